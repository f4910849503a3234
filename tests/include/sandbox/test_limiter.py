"""
The migration limiter: alone, by property, and over HTTP.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.sandbox.api.limiter import Limiter
from tests.include.sandbox.bodies import customer, customers
from tests.include.sandbox.client import CUSTOMERS, EVENTS, sandbox


starts = st.lists(st.integers(0, 12), max_size=60).map(lambda steps: [sum(steps[: n + 1]) for n in range(len(steps))])


@given(starts=starts, interval=st.integers(0, 8), per_hour=st.integers(0, 5), hour=st.integers(1, 40))
def test_it_lets_through_exactly_what_both_limits_allow(starts, interval, per_hour, hour):
    limiter = Limiter(interval_s=interval, per_hour=per_hour, hour_s=hour)
    counted: list[int] = []
    for start in starts:
        recent = [earlier for earlier in counted if start - earlier < hour]
        expected = (not interval or not recent or start - recent[-1] >= interval) and (
            not per_hour or len(recent) < per_hour
        )
        assert limiter.rule("a", start).allowed == expected
        if expected:
            counted.append(start)


@given(starts=starts, per_hour=st.integers(0, 5))
def test_waiting_as_long_as_it_says_is_enough(starts, per_hour):
    limiter = Limiter(interval_s=5, per_hour=per_hour, hour_s=30)
    for start in starts:
        ruling = limiter.rule("a", start)
        if not ruling.allowed:
            assert limiter.rule("a", start + ruling.wait_s).allowed
            return


def test_a_429_says_how_long_to_wait_and_is_not_counted():
    limiter = Limiter(interval_s=5, per_hour=2, hour_s=100)
    assert limiter.rule("a", 0).headers == (
        ("X-RateLimit-Limit", "2"),
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Reset", "5"),
    )
    refused = limiter.rule("a", 3.5)
    assert not refused.allowed
    assert dict(refused.headers)["Retry-After"] == "2"
    assert limiter.rule("a", 5).allowed
    assert dict(limiter.rule("a", 30).headers)["Retry-After"] == "70"


def test_a_start_a_hair_too_early_is_refused():
    limiter = Limiter(interval_s=5, per_hour=0)
    assert limiter.rule("a", 100.0).allowed
    assert not limiter.rule("a", 104.999).allowed
    assert limiter.rule("a", 105.0).allowed


def test_accounts_do_not_share_a_limit():
    limiter = Limiter(interval_s=5, per_hour=1)
    assert limiter.rule("a", 0).allowed
    assert limiter.rule("b", 0).allowed


def test_a_lifted_limit_sends_no_headers():
    assert Limiter(interval_s=0, per_hour=0).rule("a", 0).headers == ()


def test_the_three_endpoints_share_one_limit_and_reads_have_none():
    with sandbox(interval_s=60, per_hour=1000) as api:
        client = api.client()
        first = client.post(CUSTOMERS, customers(customer(1)))
        assert (first.status, first.headers["x-ratelimit-remaining"]) == (201, "999")
        second = client.post(EVENTS, b"{}")
        assert second.status == 429
        assert 0 < int(second.headers["retry-after"]) <= 60
        assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= second.headers.keys()
        assert set(second.json) == {"error", "details"}
        assert client.get("/customers/C1").status == 200
        assert [line.verdict for line in api.lines() if line.method == "POST"] == ["accepted", "limited"]


def test_a_refused_batch_counts():
    with sandbox(interval_s=60) as api:
        client = api.client()
        assert client.post(CUSTOMERS, b"{}").status == 422
        assert client.post(CUSTOMERS, b"{}").status == 429


def test_speed_compresses_the_limits_and_what_the_headers_say():
    with sandbox(interval_s=3000, speed=100) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        refused = client.post(CUSTOMERS, customers(customer(2)))
        assert refused.status == 429
        assert 20 < float(refused.headers["retry-after"]) <= 30
