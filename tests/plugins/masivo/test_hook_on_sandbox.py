"""
The hook on the sandbox: whatever breaks, what it says is never contradicted by what the API really
took.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masivo.hook import MasivoHook
from masivo_engine.model.answers import Verdict, verdict
from masivo_engine.model.errors import Stopped
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import FAULTS, Rule, Script
from masivo_engine.sandbox.options import DEFAULT_KEY, Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.plugins.masivo.wire.scripted_server import ScriptedServer, raw


pytestmark = pytest.mark.usefixtures("no_tokens_from_before")


@pytest.fixture(scope="module")
def sandbox():
    options = Options(
        interval_s=0, per_hour=0, delay_s=0, speed=1000, hang_s=3000, drip_s=20, late_s=3000, body_bytes=100_000
    )
    with Sandbox(options) as running:
        yield running


@pytest.fixture
def hook(sandbox, monkeypatch):
    fields = {"conn_type": "masivo", "host": sandbox.url, "password": DEFAULT_KEY, "extra": {"deadline_s": 1}}
    monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(fields))
    made = MasivoHook()
    yield made
    made.close()


def customer(key: str) -> bytes:
    person = {
        "id": key,
        "name": "Ana",
        "email": f"{key}@example.invalid",
        "registration_date": "2020-01-01T00:00:00.000Z",
        "balance": [],
    }
    return json.dumps({"customers": [person]}).encode()


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_makes_the_hook_say_what_is_not_so(hook, sandbox, fault):
    sandbox.follow(Script())
    assert verdict(hook.post(Entity.CUSTOMERS, customer(f"before-{fault}"))) is Verdict.ACCEPTED

    sandbox.follow(Script(rules=(Rule(faults=(fault,), times=1),)))
    got = hook.post(Entity.CUSTOMERS, customer(f"during-{fault}"))
    sandbox.follow(Script())
    after = hook.post(Entity.CUSTOMERS, customer(f"after-{fault}"))

    times = sum(one.times for one in sandbox.accepted("customers", key=f"during-{fault}"))
    assert times <= 1, "a library below us sent it again"
    assert got.left
    match verdict(got):
        case Verdict.ACCEPTED:
            assert times == 1
        case Verdict.TRY_AGAIN | Verdict.REFUSED | Verdict.STOP:
            assert times == 0
    # One request spoils no other; a connection that broke under it was the server's doing.
    assert verdict(after) is (Verdict.IN_DOUBT if fault == "stale_reset" else Verdict.ACCEPTED)


def test_a_token_that_was_withdrawn_is_renewed_within_one_call(hook, sandbox):
    sandbox.follow(Script(rules=(Rule(faults=("401",), times=1),)))

    assert verdict(hook.post(Entity.CUSTOMERS, customer("withdrawn"))) is Verdict.ACCEPTED
    assert [one.times for one in sandbox.accepted("customers", key="withdrawn")] == [1]


def test_what_was_delivered_is_read_back(hook):
    assert hook.post(Entity.CUSTOMERS, customer("read/back ?")).status in (201, 422)
    assert hook.post(Entity.CUSTOMERS, customer("read-back")).status == 201

    assert hook.get_customer("read-back").json["data"]["customer"]["id"] == "read-back"
    assert hook.get_transactions("read-back").answer.status == 200
    assert hook.get_customer("nobody").answer.status == 404


def test_the_sandbox_refuses_a_wrong_key(sandbox, monkeypatch):
    fields = {"conn_type": "masivo", "host": sandbox.url, "password": "wrong"}
    monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(fields))
    with pytest.raises(Stopped, match="refuses the API key"):
        MasivoHook().authorize()
    assert MasivoHook().test_connection()[0] is False


def test_a_host_without_the_apis_path_is_seen_to_be_wrong(sandbox, monkeypatch):
    fields = {"conn_type": "masivo", "host": sandbox.origin, "password": DEFAULT_KEY, "extra": {"base_path": "/"}}
    monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(fields))
    with pytest.raises(Stopped, match="host or the path of connection 'masivo_api' is wrong"):
        MasivoHook().authorize()


WHOLE = (
    b"HTTP/1.1 201 Created\r\nDate: Sat, 21 Nov 2026 20:00:00 GMT\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
)


@given(cut=st.integers(0, len(WHOLE)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_an_answer_cut_at_any_byte_counts_from_its_status_on_and_is_in_doubt_before(monkeypatch, cut):
    with ScriptedServer(raw(WHOLE[:cut])) as server:
        fields = {"conn_type": "masivo", "host": f"http://127.0.0.1:{server.port}", "extra": {"token": "t"}}
        monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(fields))
        hook = MasivoHook()
        got = hook.post(Entity.CUSTOMERS, b"{}")
        hook.close()

    assert verdict(got) is (Verdict.ACCEPTED if cut >= len(b"HTTP/1.1 201") else Verdict.IN_DOUBT)
    assert got.left
    assert len(server.seen) == 1
