"""
A request against real sockets: what the hook says of every way in which it can end, and that it
goes out only once.
"""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time

import pytest
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masivo_engine.model.answers import Verdict, verdict
from masivo_engine.model.rows import Entity
from tests.plugins.masivo.wire.scripted_server import (
    BODY,
    ScriptedServer,
    answer,
    drip,
    hang,
    raw,
    reset,
    self_signed,
    then_close,
    unused_port,
)


# --- failures before the request left


def test_a_refused_connection_has_not_left(hook_for):
    with ScriptedServer() as server:
        hook = hook_for(server)
        hook.authorize()
        hook.close()
    got = hook.post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, False, "connection refused")
    assert verdict(got) is Verdict.TRY_AGAIN


def test_a_name_that_does_not_resolve_has_not_left(hook_for):
    got = hook_for(80, conn={"host": "masivo.invalid", "password": "", "extra": {"token": "t"}}).post(
        Entity.CUSTOMERS, BODY
    )

    assert (got.status, got.left, got.failure) == (0, False, "name lookup failed")


def test_a_self_signed_certificate_has_not_left_and_a_ca_bundle_cures_it(hook_for, tmp_path):
    context, pem = self_signed(tmp_path)
    with ScriptedServer(answer(201), tls=context) as server:
        conn = {"schema": "https", "password": "", "extra": {"token": "t"}}
        got = hook_for(server, conn=conn).post(Entity.CUSTOMERS, BODY)
        assert (got.status, got.left) == (0, False)
        assert got.failure.startswith("its certificate cannot be trusted: self")
        assert server.seen == []

        conn["extra"]["verify"] = str(pem)
        assert hook_for(server, conn=conn).post(Entity.CUSTOMERS, BODY).status == 201


def test_a_certificate_of_another_host_has_not_left(hook_for, tmp_path):
    context, pem = self_signed(tmp_path, "elsewhere.example")
    with ScriptedServer(tls=context) as server:
        conn = {"schema": "https", "password": "", "extra": {"token": "t", "verify": str(pem)}}
        got = hook_for(server, conn=conn).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left) == (0, False)
    assert "certificate cannot be trusted" in got.failure


def test_a_server_that_speaks_no_tls_has_not_been_sent_anything(hook_for):
    with ScriptedServer(raw(b"what?")) as server:
        conn = {"schema": "https", "password": "", "extra": {"token": "t", "deadline_s": 0.5}}
        got = hook_for(server, conn=conn).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left) == (0, False)


def test_a_tls_handshake_that_never_ends_is_cut_at_the_deadline(hook_for):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        conn = {"schema": "https", "password": "", "extra": {"token": "t", "deadline_s": 0.4}}
        got = hook_for(silent.getsockname()[1], conn=conn).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left) == (0, False)


def test_a_proxy_that_cannot_be_reached_has_not_left(hook_for, monkeypatch):
    for scheme in ("http", "https"):
        monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{unused_port()}")
        conn = {"host": "masivo.invalid", "schema": scheme, "password": "", "extra": {"token": "t"}}
        got = hook_for(80, conn=conn).post(Entity.CUSTOMERS, BODY)
        assert (got.status, got.left) == (0, False)
        assert got.failure.startswith("the proxy cannot be reached")


def test_a_proxy_that_refuses_the_tunnel_has_not_left_and_its_status_is_not_the_apis(hook_for, monkeypatch):
    for proxys_answer in (answer(502), answer(200, Connection="close")):
        with ScriptedServer(then_close(proxys_answer)) as proxy:
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
            conn = {"host": "masivo.invalid", "schema": "https", "password": "", "extra": {"token": "t"}}
            got = hook_for(443, conn=conn).post(Entity.CUSTOMERS, BODY)
            assert [request.method for request in proxy.seen] == ["CONNECT"]

        assert (got.status, got.left) == (0, False)


def test_a_proxy_that_drips_its_consent_is_cut_at_the_deadline(hook_for, monkeypatch):
    with ScriptedServer(drip()) as proxy:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.port}")
        extra = {"token": "t", "deadline_s": 0.5}
        conn = {"host": "masivo.invalid", "schema": "https", "password": "", "extra": extra}
        got = hook_for(443, conn=conn).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, False, "not connected within 0.5 s")


def test_a_real_host_is_reached_through_the_proxy_of_the_environment_and_loopback_is_not(hook_for, monkeypatch):
    with ScriptedServer(answer(201)) as proxy, ScriptedServer(answer(201)) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)

        hook_for(80, conn={"host": "masivo.invalid"}).post(Entity.CUSTOMERS, BODY)
        assert proxy.seen[0].path == "http://masivo.invalid/api/storefront/v1/customers/migrate"

        assert hook_for(server).post(Entity.CUSTOMERS, BODY).status == 201
        assert (len(proxy.seen), len(server.seen)) == (1, 1)


def test_a_socks_proxy_is_refused_because_nobody_could_watch_it(hook_for, monkeypatch):
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:1080")
    got = hook_for(80, conn={"host": "masivo.invalid", "password": "", "extra": {"token": "t"}}).post(
        Entity.CUSTOMERS, BODY
    )

    assert (got.status, got.left) == (0, False)
    assert "SOCKS" in got.failure


# --- failures after it left


@pytest.mark.parametrize(
    ("play", "failure"),
    [
        (reset, "connection reset before the answer"),
        (raw(b""), "closed without an answer"),
        (raw(b"SSH-2.0-OpenSSH_9.6\r\n"), "what came back is no HTTP answer"),
        (raw(b"HTTP/1.1 2"), "what came back is no HTTP answer"),
    ],
)
def test_a_request_that_left_and_brought_no_status_is_in_doubt_and_is_not_sent_again(hook_for, play, failure):
    with ScriptedServer(play, answer(201)) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, True, failure)
    assert verdict(got) is Verdict.IN_DOUBT
    assert len(server.seen) == 1


def test_a_server_that_hangs_is_cut_at_the_deadline(hook_for):
    with ScriptedServer(hang) as server:
        got = hook_for(server, deadline_s=0.4).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, True, "no whole answer within 0.4 s")


def test_a_server_that_hangs_is_told_in_the_same_words_where_the_watchdog_comes_late(hook_for, monkeypatch):
    monkeypatch.setattr("masivo.wire.deadline.RequestWatch._cut", lambda _watch: None)
    with ScriptedServer(hang) as server:
        got = hook_for(server, deadline_s=0.4).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, True, "no whole answer within 0.4 s")


@pytest.mark.parametrize("is_tls", [False, True])
def test_a_server_that_drips_its_answer_is_cut_at_the_deadline(hook_for, tmp_path, is_tls):
    context, pem = self_signed(tmp_path)
    with ScriptedServer(drip(), tls=context if is_tls else None) as server:
        conn = {"schema": "https", "extra": {"verify": str(pem), "deadline_s": 0.5}} if is_tls else {}
        got = hook_for(server, conn=conn, deadline_s=0.5).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, got.failure) == (0, True, "no whole answer within 0.5 s")


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(raw(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"), id="body cut"),
        pytest.param(raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"), id="chunk cut"),
        pytest.param(raw(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), id="no chunk"),
        pytest.param(raw(b"HTTP/1.1 201 Created\r\nX-Big: " + b"x" * 200_000 + b"\r\n\r\n"), id="huge header"),
        pytest.param(raw(b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 200 + b"\r\n"), id="too many headers"),
        pytest.param(raw(b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n{}"), id="lengths"),
        pytest.param(answer(201, b"no gzip", Content_Encoding="gzip"), id="broken gzip"),
        pytest.param(answer(201, b"<html>", kind="text/html"), id="a page"),
        pytest.param(drip(b"HTTP/1.1 201 Created\r\nX-Slow: "), id="dripping header"),
        pytest.param(drip(b"HTTP/1.1 201 Created\r\nContent-Length: 9999\r\n\r\n"), id="dripping body"),
        pytest.param(drip(b"HTTP/1.1 201 Created\r\nConnection: close\r\n\r\n"), id="dripping, no length"),
    ],
)
def test_a_status_line_of_201_counts_whatever_happens_to_the_rest(hook_for, play):
    with ScriptedServer(play) as server:
        got = hook_for(server, deadline_s=1).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, len(server.seen)) == (201, True, 1)
    assert verdict(got) is Verdict.ACCEPTED


CUT_HEADERS = raw(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\nbroken header\r\n\r\n{}")


def test_headers_that_cannot_be_parsed_are_not_worth_a_traceback(hook_for, caplog):
    caplog.set_level(logging.DEBUG)
    with ScriptedServer(CUT_HEADERS, CUT_HEADERS) as server:
        hook = hook_for(server)
        assert hook.post(Entity.CUSTOMERS, BODY).status == 201
        hook.get_customer("somebody")
        assert not [line for line in caplog.records if line.exc_info or "parse headers" in line.getMessage()]

        # Somebody else's requests in the same process keep their warning.
        with ScriptedServer(CUT_HEADERS) as others:
            urllib3.PoolManager().request("GET", f"http://127.0.0.1:{others.port}/")
    assert [line for line in caplog.records if "parse headers" in line.getMessage()]


def test_a_100_continue_is_not_taken_for_the_status(hook_for):
    with ScriptedServer(raw(b"HTTP/1.1 100 Continue\r\n\r\n"), answer(201)) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left) == (0, True)


def test_the_beginning_of_a_refusal_that_was_cut_is_kept(hook_for):
    with ScriptedServer(raw(b'HTTP/1.1 422 No\r\nContent-Length: 99\r\n\r\n{"error":"Invalid')) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.text, got.failure) == (422, '{"error":"Invalid', "the answer was cut")


def test_a_compressed_refusal_is_read(hook_for):
    with ScriptedServer(answer(422, gzip.compress(b"Invalid customer entry"), Content_Encoding="gzip")) as server:
        assert hook_for(server).post(Entity.CUSTOMERS, BODY).text == "Invalid customer entry"


def test_an_answer_that_comes_before_the_whole_body_was_read_is_heard(hook_for):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def too_large():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                time.sleep(0.3)

        thread = threading.Thread(target=too_large)
        thread.start()
        conn = {"password": "", "extra": {"token": "t"}}
        got = hook_for(listener.getsockname()[1], conn=conn).post(Entity.CUSTOMERS, b"x" * 20_000_000)
        thread.join()

    assert got.left
    assert got.status in (0, 413)  # a reset may overtake the answer; both are safe to judge


def test_a_large_body_may_take_longer_than_connecting(hook_for):
    received = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

        def slow_reader():
            connection, _ = listener.accept()
            with connection:
                time.sleep(0.8)
                while piece := connection.recv(1_000_000):
                    received.append(len(piece))
                    if sum(received) > 8_000_000:
                        answer(201)(connection)
                        return

        thread = threading.Thread(target=slow_reader)
        thread.start()
        conn = {"password": "", "extra": {"token": "t", "connect_timeout_s": 0.3, "deadline_s": 20}}
        got = hook_for(listener.getsockname()[1], conn=conn).post(Entity.CUSTOMERS, b"x" * 8_000_000)
        thread.join()

    assert (got.status, got.failure) == (201, "")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(hook_for, status):
    with ScriptedServer() as elsewhere:
        with ScriptedServer(answer(status, Location=f"http://127.0.0.1:{elsewhere.port}/")) as server:
            got = hook_for(server).post(Entity.CUSTOMERS, BODY)

        assert (got.status, verdict(got)) == (status, Verdict.STOP)
        assert (len(server.seen), elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("status", [413, 429, 503])
def test_nothing_is_sent_again_below_us_not_even_on_a_retry_after(hook_for, status):
    with ScriptedServer(answer(status, Retry_After="0"), answer(201)) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.headers["retry-after"], len(server.seen)) == (status, "0", 1)


def test_a_connection_that_the_server_closed_is_replaced_before_anything_is_sent_on_it(hook_for):
    with ScriptedServer(then_close(answer(201)), answer(201)) as server:
        hook = hook_for(server)
        assert hook.post(Entity.CUSTOMERS, BODY).status == 201
        time.sleep(0.1)
        assert hook.post(Entity.CUSTOMERS, BODY).status == 201

    assert [request.connection for request in server.seen] == [1, 2]


def test_a_kept_connection_that_breaks_under_a_request_is_in_doubt_and_not_sent_again(hook_for):
    with ScriptedServer(answer(201), reset, answer(201)) as server:
        hook = hook_for(server)
        assert hook.post(Entity.CUSTOMERS, BODY).status == 201
        got = hook.post(Entity.CUSTOMERS, BODY)

    assert (got.status, got.left, len(server.seen)) == (0, True, 2)


def test_a_connection_is_not_used_again_when_the_server_is_about_to_close_it(hook_for):
    with ScriptedServer(answer(201, Keep_Alive="timeout=1, max=100"), answer(201)) as server:
        hook = hook_for(server)
        assert [hook.post(Entity.CUSTOMERS, BODY).status for _ in range(2)] == [201, 201]

    assert [request.connection for request in server.seen] == [1, 2]


@given(
    head=st.sampled_from(
        [b"", b"HTTP/1.1 ", b"HTTP/1.1 422 No\r\n", b"HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"]
    ),
    rest=st.binary(max_size=200),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_of_a_server_make_the_hook_raise_or_count_a_delivery(hook_for, head, rest):
    with ScriptedServer(raw(head + rest)) as server:
        hook = hook_for(server, conn={"password": "", "extra": {"token": "t", "deadline_s": 2}})
        got = hook.post(Entity.CUSTOMERS, BODY)
        hook.close()

    assert got.left
    assert verdict(got) is not Verdict.TRY_AGAIN or got.status in (401, 429, 503)
    assert verdict(got) is not Verdict.ACCEPTED or b"201" in rest
