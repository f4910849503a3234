from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.model.answers import Answer, Verdict, retry_after_s, verdict, words


TABLE = {
    Verdict.ACCEPTED: [201],
    Verdict.TRY_AGAIN: [401, 429],
    Verdict.REFUSED: [400, 409, 413, 415, 422],
    Verdict.STOP: [200, 202, 204, 206, 301, 302, 304, 307, 308, 402, 403, 404, 405, 406, 410, 411, 421, 426, 451, 501],
    Verdict.IN_DOUBT: [100, 408, 418, 423, 424, 425, 431, 499, 500, 502, 503, 504, 507, 520, 599],
}
PAGE = {"content-type": "text/html; charset=utf-8"}
NOW = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(("status", "expected"), [(status, v) for v, statuses in TABLE.items() for status in statuses])
def test_a_status_means_what_the_table_says(status, expected):
    assert verdict(Answer(status)) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after": "30"}, Verdict.TRY_AGAIN),
        ({"retry-after": "soon"}, Verdict.TRY_AGAIN),
        ({"x-ratelimit-reset": "12"}, Verdict.TRY_AGAIN),
        ({"x-ratelimit-limit": "250", "x-ratelimit-remaining": "0"}, Verdict.TRY_AGAIN),
        ({"x-ratelimit-limit": "250", "x-ratelimit-remaining": "57"}, Verdict.IN_DOUBT),
        ({"retry-after": " "}, Verdict.IN_DOUBT),
        ({"server": "envoy"}, Verdict.IN_DOUBT),
    ],
)
def test_a_503_was_not_accepted_only_where_whoever_limits_says_so(headers, expected):
    assert verdict(Answer(503, headers)) is expected
    assert verdict(Answer(503, {**headers, **PAGE}, "<h1>upstream connect error</h1>")) is expected
    assert verdict(Answer(408, headers)) is verdict(Answer(500, headers)) is Verdict.IN_DOUBT


@given(status=st.integers(100, 599), is_page=st.booleans(), text=st.text(max_size=20))
def test_every_status_has_one_verdict_and_only_201_is_success(status, is_page, text):
    judged = verdict(Answer(status, PAGE if is_page else {}, text))
    assert isinstance(judged, Verdict)
    assert (judged is Verdict.ACCEPTED) == (status == 201)


@pytest.mark.parametrize(("left", "expected"), [(True, Verdict.IN_DOUBT), (False, Verdict.TRY_AGAIN)])
def test_a_failure_may_be_repeated_only_if_the_request_did_not_leave(left, expected):
    assert verdict(Answer(failure="reset", left=left)) is expected


@pytest.mark.parametrize(("status", "expected"), [(400, Verdict.STOP), (422, Verdict.STOP), (413, Verdict.REFUSED)])
def test_a_page_is_no_refusal_unless_a_gateway_found_the_body_too_large(status, expected):
    assert verdict(Answer(status, PAGE, "<html>")) is expected
    assert verdict(Answer(status, {}, "\n <!doctype html>")) is expected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 7),
        ({"retry-after": "30"}, 30),
        ({"retry-after": " 2.5 "}, 2.5),
        ({"retry-after": "0"}, 7),
        ({"retry-after": "-5"}, 7),
        ({"retry-after": "soon"}, 7),
        ({"retry-after": "nan"}, 7),
        ({"retry-after": "inf"}, 7),
        ({"retry-after": "86400"}, 86400),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:30 GMT", "date": NOW}, 90),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:30 -0000", "date": NOW}, 90),
        ({"retry-after": "Sat, 21 Nov 2026 11:00:00 GMT", "date": NOW}, 7),
        ({"retry-after": "Sat, 21 Nov 2026 12:01:30 GMT"}, 7),
        ({"retry-after": "Sat, 21 Nov 99999999999999999999 12:01:30 GMT", "date": NOW}, 7),
        ({"x-ratelimit-reset": "12"}, 12),
        ({"retry-after": "soon", "x-ratelimit-reset": "12"}, 12),
        ({"retry-after": "3", "x-ratelimit-reset": "12"}, 3),
        ({"x-ratelimit-reset": "-1"}, 7),
    ],
)
def test_the_wait_that_is_asked_for_is_read_in_all_its_forms(headers, seconds):
    assert retry_after_s(Answer(429, headers), default=7) == seconds


@given(asked=st.text(), date=st.text(), reset=st.text())
def test_no_header_makes_the_wait_anything_but_a_positive_number(asked, date, reset):
    headers = {"retry-after": asked, "date": date, "x-ratelimit-reset": reset}
    wait = retry_after_s(Answer(429, headers), default=5)
    assert wait > 0
    assert math.isfinite(wait)


@given(
    before=st.text(),
    user=st.text("abcxyz.+-_", min_size=1),
    after=st.text(),
    sign=st.sampled_from(["@", "%40", "\\u0040"]),
)
def test_words_never_keep_an_address(before, user, after, sign):
    address = f"{user}{sign}planted.example"
    said = words(Answer(422, text=f"{before} {address} {after}"))
    assert "planted.example" not in said
    assert len(said) <= 500


def test_words_of_a_text_that_was_cut_do_not_end_in_half_an_address():
    assert "lopez" not in words(Answer(422, text="x@y " * 498 + "ana.lopez"))


def test_a_page_is_only_named():
    assert words(Answer(502, PAGE, "<h1>secret</h1>")) == "(a web page)"
    assert words(Answer(failure="the connection was reset")) == "the connection was reset"
