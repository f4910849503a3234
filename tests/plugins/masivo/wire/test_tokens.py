"""
Tokens: fetched, kept, renewed, and what is said where there are none.
"""

from __future__ import annotations

import json
import logging
import time

import pytest

from masivo.wire import tokens
from masivo_engine.model.answers import Verdict, verdict
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.rows import Entity
from tests.plugins.masivo.wire.scripted_server import (
    BODY,
    KEY,
    ScriptedServer,
    answer,
    jwt,
    reset,
    self_signed,
    unused_port,
)


def test_a_401_is_followed_by_a_new_token_and_one_more_request(hook_for):
    with ScriptedServer(answer(401), answer(201), tokens=["old", "new"]) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert got.status == 201
    assert [request.headers["authorization"] for request in server.seen] == ["Bearer old", "Bearer new"]
    assert [request.body for request in server.seen] == [BODY, BODY]


def test_a_second_401_is_the_answer(hook_for):
    with ScriptedServer(answer(401), answer(401), answer(201), tokens=["one", "two", "three"]) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert (got.status, len(server.seen)) == (401, 2)


def test_a_static_token_is_not_tried_twice(hook_for):
    with ScriptedServer(answer(401), answer(201)) as server:
        got = hook_for(server, conn={"password": "", "extra": {"token": "static"}}).post(Entity.CUSTOMERS, BODY)

    assert (got.status, len(server.seen), server.token_requests) == (401, 1, [])
    assert server.seen[0].headers["authorization"] == "Bearer static"


def test_a_token_is_shared_by_the_hooks_of_a_process(hook_for):
    with ScriptedServer(answer(201), answer(201), tokens=[jwt(3600)]) as server:
        for _ in range(2):
            hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert len(server.token_requests) == 1


def test_a_token_is_renewed_before_it_expires(hook_for, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(tokens.time, "monotonic", lambda: now[0])
    with ScriptedServer(*[answer(201)] * 4, tokens=[jwt(3600), jwt(100), jwt(3600)]) as server:
        hook = hook_for(server)
        for passed, asked in ((0, 1), (3200, 1), (150, 2), (60, 3)):
            now[0] += passed
            hook.post(Entity.CUSTOMERS, BODY)
            assert len(server.token_requests) == asked


def test_the_life_of_a_token_is_measured_by_the_servers_clock(hook_for):
    date = "Thu, 01 Jan 2015 00:00:00 GMT"
    in_an_hour = jwt(0, exp=1420074000)  # 2015-01-01T01:00:00Z

    with ScriptedServer(
        answer(201),
        answer(201),
        authorize=answer(200, json.dumps({"data": in_an_hour}).encode(), Date=date),
    ) as server:
        hook = hook_for(server)
        for _ in range(2):
            hook.post(Entity.CUSTOMERS, BODY)

    assert len(server.token_requests) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_stops_with_a_sentence_that_names_the_connection_and_not_the_key(hook_for, status):
    with ScriptedServer(answer(201), authorize=answer(status)) as server:
        hook = hook_for(server)
        with pytest.raises(Stopped, match="refuses the API key of connection 'masivo_api'") as stopped:
            hook.authorize()
        got = hook.post(Entity.CUSTOMERS, BODY)

    assert KEY not in str(stopped.value)
    assert (verdict(got), got.left, server.seen) == (Verdict.STOP, False, [])


@pytest.mark.parametrize(
    ("play", "words"),
    [
        (answer(200, b"<html>", kind="text/html; charset=utf-8"), "web page: the host or the path of connection"),
        (answer(404, b"<html>", kind="text/html"), "web page"),
        (answer(201, b"<html>", kind="text/html"), "web page"),
        (answer(404), "host or the path of connection 'masivo_api' is wrong"),
        (answer(302, Location="https://login.example/"), "redirects"),
        (answer(200, b'{"token":"t"}'), "is not Masivo's API"),
        (answer(201, b'{"data":"t"}'), "is not Masivo's API"),
        (answer(200, b'{"data":"with\\r\\nbreak"}'), "is not Masivo's API"),
        (answer(200, b"[]"), "is not Masivo's API"),
    ],
)
def test_an_address_that_is_not_the_apis_stops(hook_for, play, words):
    with ScriptedServer(answer(201), authorize=play) as server:
        hook = hook_for(server)
        with pytest.raises(Stopped) as stopped:
            hook.authorize()
        got = hook.post(Entity.CUSTOMERS, BODY)

    assert words in str(stopped.value)
    assert (verdict(got), got.left, server.seen) == (Verdict.STOP, False, [])


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_no_token_for_now_means_later_and_never_in_doubt(hook_for, status):
    with ScriptedServer(answer(201), authorize=answer(status, Retry_After="17")) as server:
        hook = hook_for(server)
        with pytest.raises(TryAgainLater) as later:
            hook.authorize()
        got = hook.post(Entity.CUSTOMERS, BODY)

    assert later.value.wait_s == 17
    assert (verdict(got), got.left, server.seen) == (Verdict.TRY_AGAIN, False, [])


def test_an_api_that_cannot_be_reached_is_for_later_and_says_why(hook_for):
    with pytest.raises(TryAgainLater, match=r"at 127.0.0.1:\d+ cannot be reached \(connection refused\)"):
        hook_for(unused_port()).authorize()
    with pytest.raises(TryAgainLater, match=r"at masivo.invalid:80 cannot be reached \(name lookup failed\)"):
        hook_for(80, conn={"host": "masivo.invalid"}).authorize()


def test_a_certificate_that_is_not_trusted_stops_and_names_the_cure(hook_for, tmp_path):
    context, _ = self_signed(tmp_path)
    with ScriptedServer(tls=context) as server, pytest.raises(Stopped, match="`verify`"):
        hook_for(server, conn={"schema": "https"}).authorize()


def test_an_expired_static_token_stops_before_anything_is_sent(hook_for):
    with ScriptedServer(answer(201)) as server:
        hook = hook_for(server, conn={"password": "", "extra": {"token": jwt(-10)}})
        with pytest.raises(Stopped, match="has expired"):
            hook.authorize()
        assert verdict(hook.post(Entity.CUSTOMERS, BODY)) is Verdict.STOP

    assert server.seen == []


def test_neither_key_nor_token_nor_body_is_logged(hook_for, caplog):
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(answer(401), reset, tokens=["secret-one", "secret-two"]) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, b'{"customers":[{"email":"ana@example.invalid"}]}')

    said = caplog.text + repr(got)
    assert [word for word in (KEY, "secret-one", "secret-two", "ana@") if word in said] == []


def test_what_cannot_be_asked_again_within_the_deadline_of_a_post_is_left_for_later(hook_for):
    """
    Others count on that a batch, once its POST's deadline is over, is not on its way any more.
    """

    def late(play):
        def plays(connection):
            time.sleep(0.7)
            return play(connection)

        return plays

    with ScriptedServer(
        late(answer(401)), answer(201), authorize=late(answer(200, json.dumps({"data": "token"}).encode()))
    ) as server:
        hook = hook_for(server, deadline_s=1)
        hook.authorize()
        got = hook.post(Entity.CUSTOMERS, BODY)

    assert (len(server.seen), len(server.token_requests)) == (1, 2)
    assert verdict(got) is Verdict.TRY_AGAIN
