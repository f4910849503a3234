"""
The production shape at work: every service of docker-compose.yaml on this machine, a migration
through two Celery workers, one of them killed in mid-batch.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError

from masivo.demo.processes import Program
from masivo_engine.model.reasons import REASONS
from masivo_engine.samples.planted import GOES, Planted
from masivo_engine.samples.retailer import build
from masivo_engine.sandbox.state.journal import read
from tests.production import image
from tests.production.bare import DATABASES, Machine, is_of, kill


pytestmark = pytest.mark.slow


IMAGE = Path(os.environ.get("MASIVO_TEST_IMAGE", image.ROOT / ".venv" / "image"))
GIVEN = {"SAMPLE_CUSTOMERS": "240"}
STAYING = ("api-server", "scheduler", "dag-processor", "triggerer")
DAG = "dags/masivo_sync"
RUN = f"{DAG}/dagRuns/first"
PATIENCE_S = 180.0


@pytest.fixture
def machine(tmp_path, postgres_server):
    absent = [what for what, is_there in _needed().items() if not is_there]
    if absent:
        sentence = f"the production shape is not tried: {', '.join(absent)}"
        pytest.skip(sentence)
    with image.held(IMAGE):
        made = Machine(tmp_path, image.build(IMAGE), postgres_server, GIVEN, _small_batches)
        Path(made.here(f"{image.HOME}/airflow.cfg")).unlink(missing_ok=True)  # of an earlier test
        with made.databases(), made.programs.guarded():
            yield made
        made.reap()


@pytest.fixture
def planted(postgres_url):
    """What the sample has, by building its twin."""
    engine = create_engine(postgres_url)
    yield build.build(engine, customers=int(GIVEN["SAMPLE_CUSTOMERS"]))
    engine.dispose()


def _needed() -> dict[str, bool]:
    return {
        f"no image in {IMAGE} (`make test-slow` makes it)": (IMAGE / "layers").exists(),
        "no redis-server (Debian: apt-get install redis-server)": shutil.which("redis-server") is not None,
    }


def _small_batches(connections: str) -> str:
    """
    Many requests of few records, so that there is a middle to be killed in; a doubt is read back
    after a second.
    """
    return connections.replace("extra: {", "extra: {records: 120, slice_requests: 1000, settle_after_s: 1, ")


class Airflow:
    """Airflow's REST API, for the user that the service `init` made."""

    def __init__(self, machine: Machine) -> None:
        self._address = machine.here("http://api-server:8080")
        self._session = requests.Session()
        self._session.trust_env = False
        self._login = {"username": "admin", "password": machine.secret("admin_password")}

    def enter(self) -> None:
        answer = self._session.post(f"{self._address}/auth/token", json=self._login, timeout=30)
        assert answer.status_code == 201, answer.text
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def ask(self, method: str, path: str, **request: Any) -> Any:
        answer = self._session.request(method, f"{self._address}/api/v2/{path}", timeout=30, **request)
        return answer.json() if answer.ok else {}


class Clock:
    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {line}", flush=True)


def wait(until: Callable[[], Any], programs: list[Program], what: str, *, every_s: float = 0.3) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := until()):
        for program in programs:
            program.check()
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        time.sleep(every_s)
    return found


@pytest.mark.airflow
@pytest.mark.timeout(600)
def test_a_worker_that_is_killed_in_mid_batch_costs_no_row_and_sends_nothing_twice(machine, planted):
    clock, airflow = Clock(), Airflow(machine)

    running = up(machine, clock)
    faults = sum(
        found for states in _expected(planted).values() for state, found in states.items() if state == "quarantined"
    )
    trigger(airflow, running, faults)
    clock.say(f"run triggered; {faults} rows have a fault that was planted")

    dead = kill_in_mid_batch(machine, airflow, running, clock)
    left = [program for program in running if program is not dead]
    (alive,) = (program for program in left if program in running[-2:])
    for name in ("dag-processor", "triggerer"):
        assert machine.is_healthy(name)
    assert machine.is_healthy("worker", hostname=alive.name)
    assert not machine.is_healthy("worker", hostname=dead.name)
    clock.say(f"health checks: dag-processor, triggerer and {alive.name} answer, {dead.name} does not")

    state = wait(lambda: ended(airflow), left, "the run to end")
    tasks = airflow.ask("GET", f"{RUN}/taskInstances", params={"limit": 100})["task_instances"]
    again = [task["task_id"] for task in tasks if task["try_number"] == 2]
    clock.say(f"run ended: {state}; tried twice: {again}")
    assert (state, again) == ("success", ["transactions.send"]), [(task["task_id"], task["state"]) for task in tasks]

    told = machine.run("worker", "python", "-m", "masivo", "account", "--run", "first", "--json")
    assert told.returncode == 0, told.stderr
    account = json.loads(told.stdout)
    for name, entity in account["entities"].items():
        clock.say(f"account: {name} {_states(entity)}")
    assert {name: _states(entity) for name, entity in account["entities"].items()} == _expected(planted)
    taken = accepted(machine)
    assert set(taken.values()) == {1}
    sent = sum(entity["delivered"] + entity["confirmed"] for entity in account["entities"].values())
    assert len(taken) == sent
    clock.say(f"{sent} records sent, each taken once by the sandbox's journal")


def _states(entity: dict[str, Any]) -> dict[str, int]:
    """Fold a state that a read-back has made out of another into that."""
    found = {"read": entity["read"], "delivered": entity["delivered"] + entity["confirmed"]}
    return found | {name: entity[name] for name in ("quarantined", "held", "in_doubt", "unchanged")}


def _expected(planted: Planted) -> dict[str, dict[str, int]]:
    """Say what the account must hold, by what was planted."""
    expected = {}
    for entity, outcomes in planted.outcomes.items():
        states = dict.fromkeys(("quarantined", "held", "in_doubt", "unchanged"), 0)
        states |= {"read": planted.rows(entity), "delivered": outcomes[GOES]}
        for reason, rows in outcomes.items():
            if reason != GOES:
                states[REASONS[reason].state.value] += rows
        expected[entity.value] = states
    return expected


def trigger(airflow: Airflow, running: list[Program], tolerance: int) -> None:
    """Start one run, as somebody does in the UI."""
    airflow.enter()
    wait(lambda: airflow.ask("GET", DAG), running, "the DAG to be read")
    body = {"dag_run_id": "first", "logical_date": None, "conf": {"tolerance": tolerance}}
    assert airflow.ask("POST", f"{DAG}/dagRuns", json=body)
    assert airflow.ask("PATCH", DAG, json={"is_paused": False})


def up(machine: Machine, clock: Clock) -> list[Program]:
    """
    Do what ``docker compose --profile sample up`` does, in the order of depends_on; return what
    stays, workers last.
    """
    clock.say("docker compose --profile sample up")
    redis, sandbox = machine.start("redis"), machine.start("sandbox")
    ending = [machine.start("init"), machine.start("legacy-sample")]
    for name in ("redis", *(DATABASES if shutil.which("pg_isready") else ())):
        wait(lambda name=name: machine.is_healthy(name), [redis], name)
        clock.say(f"{name} is healthy")
    for program in ending:
        program.finish()
        clock.say(f"{program.name} has ended well")
    staying = [machine.start(name) for name in STAYING]
    workers = [
        machine.start("worker", "--celery-hostname", f"celery@{name}", hostname=name)
        for name in ("worker-1", "worker-2")
    ]
    running = [redis, sandbox, *staying, *workers]
    for name in ("sandbox", "api-server", "scheduler"):
        wait(lambda name=name: machine.is_healthy(name), running, name)
        clock.say(f"{name} is healthy")
    return running


def kill_in_mid_batch(machine: Machine, airflow: Airflow, running: list[Program], clock: Clock) -> Program:
    """
    Stop the API when transactions arrive, so that the next request is out and unanswered; kill its
    worker; let the API go on.
    """
    api = next(program for program in running if program.name == "sandbox")
    engine = create_engine(machine.here(ledger_url(machine)))
    wait(lambda: count(engine, "delivered"), running, "the first transactions", every_s=0.02)
    api.process.send_signal(signal.SIGSTOP)
    wait(lambda: count(engine, "sending"), running, "a request that is out", every_s=0.1)
    time.sleep(0.5)
    assert count(engine, "sending") == 1
    task = next(
        task
        for task in airflow.ask("GET", f"{RUN}/taskInstances", params={"state": "running"})["task_instances"]
        if task["task_id"] == "transactions.send"
    )
    dead = next(program for program in running[-2:] if is_of(program, task["pid"]))
    clock.say(f"{dead.name} is at work on {task['task_id']}, its request is out: SIGKILL")
    clock.say(f"{kill(dead)} processes killed")
    api.process.send_signal(signal.SIGCONT)
    engine.dispose()
    return dead


def ledger_url(machine: Machine) -> str:
    lines = machine.secret("connections.yaml").splitlines()
    return next(line for line in lines if line.startswith("masivo_ledger:")).split(": ", 1)[1]


def count(engine: Any, state: str) -> int:
    try:
        with engine.connect() as connection:
            statement = "SELECT count(*) FROM masivo_batch WHERE entity = 'transactions' AND state = :state"
            return int(connection.execute(text(statement), {"state": state}).scalar_one())
    except DBAPIError:  # the plan has not made the table yet
        return 0


def ended(airflow: Airflow) -> str:
    state = airflow.ask("GET", RUN).get("state", "")
    return state if state in {"success", "failed"} else ""


def accepted(machine: Machine) -> Counter[tuple[str, ...]]:
    """Return how often the sandbox took each record, by its own journal."""
    journal = machine.folder / "volume-sandbox" / "store.db.journal.jsonl"
    return Counter((line.path, *record) for line in read(journal) for record in line.accepted)
