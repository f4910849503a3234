"""
The hook: what it sends, what it reads back, and its place in Airflow.
"""

from __future__ import annotations

import pytest

from masivo.hook import MasivoHook
from masivo.provider import get_provider_info
from masivo_engine.model.answers import Verdict, verdict
from masivo_engine.model.rows import Entity
from tests.plugins.masivo.wire.scripted_server import BODY, KEY, ScriptedServer, answer, raw, reset


# --- what is sent


def test_a_batch_is_posted_once_with_a_token_and_json(hook_for):
    with ScriptedServer(answer(201)) as server:
        got = hook_for(server).post(Entity.EVENTS, BODY)

    assert (got.status, got.text, got.failure, got.left) == (201, "", "", True)
    assert verdict(got) is Verdict.ACCEPTED
    [request] = server.seen
    assert (request.method, request.path, request.body) == (
        "POST",
        "/api/storefront/v1/customers/migrate/events",
        BODY,
    )
    assert request.headers["authorization"] == "Bearer a-token"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"].startswith("masivo-migration/")
    assert [asked.headers["x-api-key"] for asked in server.token_requests] == [KEY]


def test_extras_never_become_headers(hook_for):
    with ScriptedServer(answer(201)) as server:
        hook_for(server, **{"X-Evil": "1", "headers": {"X-Worse": "2"}, "per_hour": 10}).post(Entity.CUSTOMERS, BODY)

    assert not {"x-evil", "headers", "x-worse", "per_hour"} & server.seen[0].headers.keys()


def test_a_netrc_does_not_replace_the_token(hook_for, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with ScriptedServer(answer(201)) as server:
        hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert server.seen[0].headers["authorization"] == "Bearer a-token"


def test_headers_have_lower_case_names_and_text_is_at_most_2000_characters(hook_for):
    with ScriptedServer(answer(422, b"x" * 5000, X_RateLimit_Remaining="7")) as server:
        got = hook_for(server).post(Entity.CUSTOMERS, BODY)

    assert got.headers["x-ratelimit-remaining"] == "7"
    assert got.text == "x" * 2000
    assert verdict(got) is Verdict.REFUSED


def test_requests_share_one_connection_even_after_a_long_answer(hook_for):
    with ScriptedServer(answer(422, b"x" * 5000), answer(201), answer(201)) as server:
        hook = hook_for(server)
        assert [hook.post(Entity.CUSTOMERS, BODY).status for _ in range(3)] == [422, 201, 201]

    assert server.connections == 1


def test_an_endless_answer_is_read_up_to_a_cap(hook_for):
    def endless(connection):
        connection.sendall(b"HTTP/1.1 500 Oh\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with ScriptedServer(endless, answer(201)) as server:
        hook = hook_for(server)
        assert (hook.post(Entity.CUSTOMERS, BODY).status, hook.post(Entity.CUSTOMERS, BODY).status) == (500, 201)

    assert server.connections == 2


# --- reading back


def test_a_customer_is_read_back_by_an_id_that_needs_quoting(hook_for):
    with ScriptedServer(answer(200, b'{"data":{"customer":{"id":"a/b ?"}}}')) as server:
        reading = hook_for(server).get_customer("a/b ?")

    assert reading.json == {"data": {"customer": {"id": "a/b ?"}}}
    assert server.seen[0].path == "/api/storefront/v1/customers/a%2Fb%20%3F"


@pytest.mark.parametrize("customer", ["", ".", ".."])
def test_an_id_that_a_url_cannot_carry_is_not_asked_for(hook_for, customer):
    with ScriptedServer() as server:
        reading = hook_for(server).get_customer(customer)

    assert (reading.answer.status, reading.json, server.seen) == (0, None, [])


def test_transactions_are_read_back_by_year(hook_for):
    with ScriptedServer(answer(200, b'{"data":[]}'), answer(404)) as server:
        hook = hook_for(server)
        assert hook.get_transactions("7", year=2023).json == {"data": []}
        assert hook.get_transactions("8").answer.status == 404

    assert [request.path.rpartition("/customers")[2] for request in server.seen] == [
        "/7/transactions?year=2023",
        "/8/transactions",
    ]


def test_a_reading_that_was_cut_has_no_json(hook_for):
    with ScriptedServer(raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[1]")) as server:
        reading = hook_for(server).get("/customers/1")

    assert (reading.answer.status, reading.json) == (200, None)


# --- Airflow


def test_the_test_button_asks_for_a_token_and_posts_nothing(hook_for):
    with ScriptedServer() as server:
        is_good, sentence = hook_for(server, account="dev").test_connection()

    assert is_good
    assert sentence == (
        f"Masivo's API at 127.0.0.1:{server.port} accepts the API key; 1 request per 5 s, at most 250 an hour"
    )
    assert (server.seen, len(server.token_requests)) == ([], 1)


def test_the_test_button_says_what_is_wrong(hook_for):
    with ScriptedServer(authorize=answer(401)) as server:
        is_good, sentence = hook_for(server).test_connection()

    assert not is_good
    assert "refuses the API key of this connection" in sentence
    assert hook_for(80, interval_s=-1).test_connection()[0] is False


@pytest.mark.parametrize(
    ("play", "is_good"),
    [
        (answer(404), True),
        (answer(200), True),
        (answer(401), False),
        (answer(404, kind="text/html"), False),
        (reset, False),
    ],
)
def test_the_test_button_proves_a_static_token_by_a_customer_that_is_not_there(hook_for, play, is_good):
    with ScriptedServer(play) as server:
        assert hook_for(server, conn={"password": "", "extra": {"token": "t"}}).test_connection()[0] is is_good

    assert [request.method for request in server.seen] == ["GET"]


def test_the_hook_takes_its_connection_by_either_name():
    assert MasivoHook().masivo_conn_id == "masivo_api"
    assert MasivoHook(masivo_conn_id="mine").http_conn_id == "mine"
    assert MasivoHook(http_conn_id="mine").masivo_conn_id == "mine"
    [kind] = get_provider_info()["connection-types"]
    assert kind["connection-type"] == MasivoHook.conn_type


def test_the_providers_own_way_of_sending_is_closed():
    with pytest.raises(NotImplementedError):
        MasivoHook().run("/customers/migrate", data="{}")
    with pytest.raises(NotImplementedError):
        MasivoHook().run_with_advanced_retry({}, "/customers/migrate")
