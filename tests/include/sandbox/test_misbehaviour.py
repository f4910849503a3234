"""
Every fault, as a client sees it that hides nothing, and what was really accepted.
"""

from __future__ import annotations

import gzip
import http.client
import socket
import time
from contextlib import suppress
from email.utils import parsedate_to_datetime

import pytest

from masivo_engine.sandbox.api.api import BASE
from masivo_engine.sandbox.faults.faults import FAULTS, Rule, Script
from tests.include.sandbox.bodies import customer, customers
from tests.include.sandbox.client import CUSTOMERS, sandbox


RESET = (ConnectionResetError, BrokenPipeError)
QUICK = {"hang_s": 60, "drip_s": 0.001, "late_s": 0.05, "retry_after_s": 3}

# fault: the status or the error that the client sees, and whether the batch was accepted.
EXPECTED = {
    "400": (400, False),
    "401": (401, False),
    "403": (403, False),
    "403_page": (403, False),
    "404": (404, False),
    "406_page": (406, False),
    "413": (413, False),
    "413_page": (413, False),
    "413_text": (413, False),
    "413_early": (413, False),
    "422_opaque": (422, False),
    "422_angle": (422, False),
    "422_html": (422, False),
    "422_empty": (422, False),
    "429": (429, False),
    "429_s": (429, False),
    "429_date": (429, False),
    "429_past": (429, False),
    "429_neg": (429, False),
    "429_bad": (429, False),
    "429_huge": (429, False),
    "500": (500, False),
    "502": (502, False),
    "503": (503, False),
    "503_s": (503, False),
    "408_but_accepted": (408, True),
    "500_but_accepted": (500, True),
    "503_but_accepted": (503, True),
    "504_but_accepted": (504, True),
    "rst_before": (RESET, False),
    "rst_after_accept": (RESET, True),
    "close_after_accept": (http.client.RemoteDisconnected, True),
    "garbage": (http.client.BadStatusLine, False),
    "truncated": (http.client.IncompleteRead, True),
    "201_fewer": (201, True),
    "bad_gzip": (201, True),
    "huge_header": (http.client.LineTooLong, True),
    "ok_html_body": (201, True),
    "hang_before": (TimeoutError, False),
    "hang_after_accept": (TimeoutError, True),
    "slowloris": (201, True),
    "late_ok": (201, True),
    "200_html": (200, False),
    "200": (200, False),
    "202": (202, False),
    "204": (204, False),
    "301": (301, False),
    "307": (307, False),
    "idle_close": (201, True),
    "stale_reset": (201, True),
    "drop_in_queue": (201, True),
    "duplicate_in_queue": (201, True),
}


def faulty(fault: str, **options):
    rule = Rule(faults=(fault,), nth=(1,))
    return sandbox(faults=Script(rules=(rule,)), **{**QUICK, **options})


def answer_to(fault: str, **options):
    with faulty(fault, **options) as api:
        return api.client().post(CUSTOMERS, customers(customer(1)))


def test_every_fault_has_an_expectation():
    assert EXPECTED.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_client_sees_the_fault_and_the_journal_tells_the_truth(fault):
    seen, is_accepted = EXPECTED[fault]
    with faulty(fault) as api:
        client = api.client(timeout=0.5 if seen is TimeoutError else 10)
        if isinstance(seen, int):
            assert client.post(CUSTOMERS, customers(customer(1))).status == seen
        else:
            with pytest.raises(seen):
                client.post(CUSTOMERS, customers(customer(1)))
        line = api.lines()[-1]
        assert (line.fault, line.accepted) == (fault, (("C1", "C1"),) if is_accepted else ())
        assert line.verdict == ("accepted" if is_accepted else "not_taken")
        assert [record.times for record in api.accepted("customers")] == ([1] if is_accepted else [])
        # The next request is served as if nothing had been.
        after = api.client().post(CUSTOMERS, customers(customer(2)))
        assert after.status == 201


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_copes_with_a_body_larger_than_any_buffer(fault):
    seen, is_accepted = EXPECTED[fault]
    body = customers(customer(1, metadata={"long": "x" * 4_000_000}))
    with faulty(fault) as api:
        client = api.client(timeout=1 if seen is TimeoutError else 10)
        if fault == "413_early":
            # The early answer may lose the race against the body that is still on its way.
            with suppress(OSError):
                assert client.post(CUSTOMERS, body).status == seen
        elif isinstance(seen, int):
            assert client.post(CUSTOMERS, body).status == seen
        else:
            with pytest.raises(seen):
                client.post(CUSTOMERS, body)
        assert [record.times for record in api.accepted("customers")] == ([1] if is_accepted else [])


def test_a_plain_429_has_no_header_that_says_when():
    headers = answer_to("429", interval_s=60, per_hour=100).headers
    assert not {"retry-after", "x-ratelimit-reset"} & headers.keys()


@pytest.mark.parametrize("fault", ["503", "503_but_accepted", "408_but_accepted"])
def test_a_gateway_that_lost_the_api_has_no_header_of_a_limiter(fault):
    headers = answer_to(fault, interval_s=60, per_hour=100).headers
    assert not [name for name in headers if name == "retry-after" or name.startswith("x-ratelimit")]


def test_a_proxy_refuses_a_body_in_a_page_or_in_words_of_its_own():
    assert answer_to("413_page").headers["content-type"].startswith("text/html")
    assert answer_to("413_text").body == b"request body too large"


def test_retry_after_comes_in_every_form():
    assert answer_to("429_s").headers["retry-after"] == "3"
    assert answer_to("503_s").headers["retry-after"] == "3"
    assert answer_to("429_neg").headers["retry-after"] == "-5"
    assert answer_to("429_bad").headers["retry-after"] == "soon"
    assert answer_to("429_huge").headers["retry-after"] == "86400"
    assert answer_to("429_s", speed=10).headers["retry-after"] == "0.300"


@pytest.mark.parametrize(("fault", "least_s", "most_s"), [("429_date", 3, 5), ("429_past", -3601, -3599)])
def test_a_retry_date_counts_by_the_servers_own_clock(fault, least_s, most_s):
    headers = answer_to(fault, clock_skew_s=-7200).headers
    servers_now = parsedate_to_datetime(headers["date"])
    assert 7100 < time.time() - servers_now.timestamp() < 7300
    wait = parsedate_to_datetime(headers["retry-after"]) - servers_now
    assert least_s <= wait.total_seconds() <= most_s


@pytest.mark.parametrize("fault", ["422_html", "ok_html_body", "200_html", "502"])
def test_a_page_is_a_page(fault):
    answer = answer_to(fault)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.body.startswith(b"<!doctype html>")


def test_an_empty_answer_is_empty():
    assert answer_to("422_empty").body == answer_to("204").body == b""


def test_what_claims_to_be_gzip_is_not():
    answer = answer_to("bad_gzip")
    assert answer.headers["content-encoding"] == "gzip"
    with pytest.raises((gzip.BadGzipFile, EOFError, OSError, gzip.zlib.error)):
        gzip.decompress(answer.body)


@pytest.mark.parametrize("fault", ["301", "307"])
def test_a_redirect_leads_out_of_the_api_to_where_a_follower_can_be_seen(fault):
    with faulty(fault) as api:
        client = api.client()
        location = client.post(CUSTOMERS, customers(customer(1))).headers["location"]
        assert not location.startswith(BASE)
        client.send("POST", location, b"{}")
        assert api.lines()[-1].path == location


def test_a_late_answer_takes_effect_late():
    with faulty("late_ok", late_s=60) as api:
        with pytest.raises(TimeoutError):
            api.client(timeout=0.3).post(CUSTOMERS, customers(customer(1)))
        assert api.accepted("customers") == []
    with faulty("late_ok", late_s=0.5) as api:
        client = api.client(timeout=0.1)
        with pytest.raises(TimeoutError):
            client.post(CUSTOMERS, customers(customer(1)))
        deadline = time.monotonic() + 10
        while not api.accepted("customers"):
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "seen"), [("idle_close", (ConnectionError, http.client.HTTPException)), ("stale_reset", ConnectionError)]
)
def test_a_kept_alive_connection_may_be_stale(fault, seen):
    with faulty(fault) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1))).status == 201
        with pytest.raises(seen):
            client.post(CUSTOMERS, customers(customer(2)))
        assert [record.key for record in api.accepted("customers")] == ["C1"]
        assert api.client().post(CUSTOMERS, customers(customer(2))).status == 201


def test_the_slow_answer_comes_byte_by_byte():
    with faulty("slowloris", drip_s=0.02) as api:
        client = api.client()
        client.connection.request("POST", BASE + CUSTOMERS, b"{}", {"Authorization": f"Bearer {client.token}"})
        pieces = []
        while b"\r\n\r\n" not in b"".join(pieces):
            pieces.append(client.connection.sock.recv(65536))
        assert len(pieces) > 5


def test_the_token_endpoint_and_the_reads_can_fail_too():
    rules = (
        Rule(faults=("500",), path="/auth/authorize", method="GET", nth=(2,)),
        Rule(faults=("rst_after_accept",), path="/customers/C1", method="GET"),
    )
    with sandbox(faults=Script(rules=rules)) as api:
        client = api.client()
        assert client.authorize("sandbox-key").status == 500
        with pytest.raises(RESET):
            client.get("/customers/C1")


def test_a_body_that_breaks_off_is_not_taken():
    with sandbox() as api:
        token = api.client().token
        with socket.create_connection(("127.0.0.1", api.port)) as raw:
            head = (
                f"POST {BASE}{CUSTOMERS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length:"
                " 100\r\n\r\n"
            )
            raw.sendall(head.encode() + b'{"customers"')
            raw.shutdown(socket.SHUT_WR)
            assert raw.recv(1) == b""
        assert (api.lines()[-1].verdict, api.lines()[-1].accepted) == ("cut_off", ())


def test_closing_ends_what_hangs():
    with faulty("hang_after_accept") as api:
        client = api.client(timeout=0.2)
        with pytest.raises(TimeoutError):
            client.post(CUSTOMERS, customers(customer(1)))
        started = time.monotonic()
    assert time.monotonic() - started < QUICK["hang_s"]
