"""
A whole Airflow on its own scheduler and executor, with a sandbox and a legacy database, for tests
and benches.

It is the stack of ``make up`` in a folder of its own; what a person would do in the UI is done over
the REST API that the UI uses.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import requests
from sqlalchemy import Engine, Row, create_engine, text

from masivo.demo.folder import Folder, free_port
from masivo.demo.processes import Program, Programs
from masivo.demo.progress import Clock, complaints
from masivo.demo.stack import Stack
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.limits import Limits
from masivo_engine.reports.account import Account, account
from masivo_engine.sandbox.options import DEFAULT_KEY
from masivo_engine.sandbox.state.journal import Line, read


ENDED = {"success", "failed"}
_PATIENCE_S = 240.0


@dataclass(frozen=True)
class _Stack(Stack):
    """
    The stack of ``make up``, with *variables* on top, another pace of the sandbox, and perhaps a
    triggerer.
    """

    variables: Mapping[str, str] = field(default_factory=dict)
    interval_s: float = 0.0
    delay_s: float = 0.0
    has_triggerer: bool = False

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | self.variables

    def _start_sandbox(self) -> Program:
        port = str(self.folder.settings().sandbox_port)
        options = ["--port", port, "--store", str(self.folder.sandbox), "--delay", str(self.delay_s)]
        return self._start(
            "sandbox",
            "sandbox",
            ["masivo_engine.sandbox", *options, "--interval", str(self.interval_s), "--per-hour", "0"],
        )

    def _start_airflow(self) -> list[Program]:
        triggerer = [self._start_part("triggerer", "--skip-serve-logs")] if self.has_triggerer else []
        return [*triggerer, *super()._start_airflow()]


class Scheduler:
    """Airflow while it runs; every wait is bounded."""

    def __init__(self, stack: _Stack, parts: Sequence[Program]) -> None:
        self._stack = stack
        self.parts = list(parts)
        self._scheduler, self._parser = parts[-2:]
        self.folder = stack.folder
        self.airflow = stack.airflow
        self.legacy: Engine = create_engine(f"sqlite:///{self.folder.legacy}")
        self.ledger: Engine = create_engine(f"sqlite:///{self.folder.ledger}")

    def call(self, method: str, path: str, **request: Any) -> Any:
        """Ask Airflow's REST API, as its UI does."""
        return self.airflow._call(method, path, **request)

    def trigger(self, run_id: str, dag_id: str = "masivo_sync", **parameters: Any) -> str:
        """Start a run, as the button *Trigger* does."""
        has_tried = False

        def is_started() -> bool:
            nonlocal has_tried
            is_again, has_tried = has_tried, True
            try:
                self.airflow.trigger(dag_id, run_id, parameters)
            except MigrationError as refused:
                # Airflow's SQLite may be locked for longer than it waits itself; and an answer that
                # came too late was a run all the same.
                if "Database error" in str(refused):
                    return False
                if not (is_again and "with 409" in str(refused)):
                    raise
            return True

        self.until(is_started, f"Airflow to take the run {run_id}")
        return run_id

    def run(
        self, run_id: str, dag_id: str = "masivo_sync", *, patience_s: float = _PATIENCE_S, **parameters: Any
    ) -> str:
        """Start a run, wait for its end, and return the state that it ended in."""
        return self.ended(self.trigger(run_id, dag_id, **parameters), dag_id, patience_s=patience_s)

    def ended(self, run_id: str, dag_id: str = "masivo_sync", *, patience_s: float = _PATIENCE_S) -> str:
        """Wait for the end of a run and return its state."""
        self.until(lambda: self.airflow.state(dag_id, run_id) in ENDED, f"{run_id} to end", patience_s=patience_s)
        return self.airflow.state(dag_id, run_id)

    def until(self, holds: Callable[[], Any], what: str, *, patience_s: float = _PATIENCE_S) -> Any:
        """Wait until *holds* returns something, and return it."""
        deadline = time.monotonic() + patience_s

        def asked() -> Any:
            try:
                return holds()
            except requests.Timeout:  # Airflow's SQLite may be locked for longer than a question waits
                return None

        while not (found := asked()):
            self._scheduler.check()
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {patience_s:.0f} s in vain for {what}")
            time.sleep(0.3)
        return found

    def task(self, run_id: str, task_id: str, dag_id: str = "masivo_sync") -> dict[str, Any]:
        """Return one task of a run that is not mapped."""
        return next(task for task in self.airflow.tasks(dag_id, run_id) if task["task_id"] == task_id)

    def complaints(self, run_id: str, task_id: str, dag_id: str = "masivo_sync") -> list[str]:
        """Return the errors in the log of a task's last try."""
        return complaints(self.folder.logs / "tasks", self.task(run_id, task_id, dag_id))

    def log(self, run_id: str, task_id: str, dag_id: str = "masivo_sync") -> str:
        """Return what a task's last try wrote into its log."""
        task = self.task(run_id, task_id, dag_id)
        file = self.folder.logs / "tasks" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        lines = (file / f"attempt={task['try_number']}.log").read_text().splitlines()
        return "\n".join(str(json.loads(line).get("event", "")) for line in lines)

    def backfill(self, first: datetime, last: datetime, *, reprocess: str = "none", at_once: int = 2) -> list[str]:
        """
        Create a backfill of `masivo_sync`, wait for its runs, and return their ids in the order of
        their days.
        """
        body = {
            "dag_id": "masivo_sync",
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "reprocess_behavior": reprocess,
            "max_active_runs": at_once,
        }
        made = self.until(lambda: self._backfill(body), "Airflow to create the backfill")

        def runs() -> list[dict[str, Any]]:
            query = {"run_type": "backfill", "order_by": "logical_date", "limit": 100}
            found: list[dict[str, Any]] = self.call("GET", "dags/masivo_sync/dagRuns", params=query)["dag_runs"]
            return [run for run in found if first <= datetime.fromisoformat(run["logical_date"]) <= last]

        self.until(lambda: runs() and all(run["state"] in ENDED for run in runs()), "the backfill to end")
        # Airflow takes no second backfill before the first is called done, which it looks after
        # every half minute only.
        if not self.call("GET", f"backfills/{made['id']}")["completed_at"]:
            self.call("PUT", f"backfills/{made['id']}/cancel")
        return [run["dag_run_id"] for run in runs()]

    def _backfill(self, body: dict[str, Any]) -> Any:
        # On SQLite Airflow takes back a backfill that meets a lock, and a scheduler that has seen
        # its runs meanwhile dies of it.
        scheduler = psutil.Process(self._scheduler.process.pid)
        scheduler.suspend()
        try:
            answer = self.airflow._session.post(f"{self.airflow.address}/api/v2/backfills", json=body, timeout=60)
        finally:
            scheduler.resume()
        if answer.status_code == requests.codes.service_unavailable:
            return None
        assert answer.ok, answer.text
        return answer.json()

    def tick(self, cron: str) -> None:
        """
        Have Airflow read the DAGs again, with another schedule of `masivo_sync`, and start runs by
        itself from now on.
        """
        variables = {**self._stack.variables, "MASIVO_SCHEDULE": cron}
        stack = replace(self._stack, is_scheduled=True, variables=variables)
        _end(self._parser)
        self._parser = stack._start_part("dag-processor")
        self.until(
            lambda: self.call("GET", "dags/masivo_sync")["timetable_summary"] == cron, "Airflow to read the schedule"
        )
        self.call("PATCH", "dags/masivo_sweep", json={"is_paused": True})  # a test of one must not meet the other
        _end(self._scheduler)
        self._scheduler = stack._start_part("scheduler", "--skip-serve-logs")
        self.parts += [self._parser, self._scheduler]

    def pause(self, *, is_paused: bool = True) -> None:
        """Switch `masivo_sync` off or on."""
        self.call("PATCH", "dags/masivo_sync", json={"is_paused": is_paused})

    def write(self, *statements: str) -> None:
        """Change the legacy database, in one transaction."""
        with self.legacy.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def ask(self, statement: str, **values: Any) -> list[Row[Any]]:
        """Ask the ledger's database."""
        with self.ledger.connect() as connection:
            return list(connection.execute(text(statement), values))

    def account(self, run_id: str) -> Account:
        """Make the account of a run from the ledger."""
        return account(Ledger(self.ledger, ""), run_id, Limits())

    def work_off_the_queue(self) -> None:
        """Let everything that the sandbox has in its queue be visible now."""
        with closing(sqlite3.connect(self.folder.sandbox, timeout=30)) as store, store:
            store.execute("UPDATE request SET visible_at = 0")

    def posts(self) -> list[Line]:
        """Return the migration requests that the sandbox saw, in their order."""
        journal = self.folder.sandbox.with_name(f"{self.folder.sandbox.name}.journal.jsonl")
        return [line for line in read(journal) if line.method == "POST" and "migrate" in line.path]


def _end(program: Program) -> None:
    program.process.terminate()
    program.process.wait(60)


@contextmanager
def scheduler(
    path: Path,
    stock: Callable[[Engine], object],
    *,
    mapping: str,
    extra: Mapping[str, Any],
    schedule: str = "0 0 * * *",
    is_scheduled: bool = False,
    **options: Any,
) -> Iterator[Scheduler]:
    """
    Start everything in *path*, on a legacy database that *stock* fills, and stop everything at the
    end.

    *extra* is that of the connection ``masivo_api``, *schedule* that of `masivo_sync`; Airflow
    starts runs by itself only if it *is_scheduled*. Of the *options*, *interval_s* is the sandbox's
    own limit and *delay_s* that of its queue; with *has_triggerer*, what can be deferred is.
    """
    folder = Folder(path, "sample")
    folder.logs.mkdir(parents=True)
    engine = create_engine(f"sqlite:///{folder.legacy}")
    stock(engine)
    engine.dispose()
    (path / "legacy.json").write_text(json.dumps({"customers": None, "faults": 0, "note": ""}))
    api = {"conn_type": "masivo", "schema": "http", "host": "127.0.0.1", "password": DEFAULT_KEY, "extra": dict(extra)}
    variables = {
        "AIRFLOW_CONN_MASIVO_API": json.dumps(api | {"port": folder.settings().sandbox_port}),
        "MASIVO_MAPPING": mapping,
        "MASIVO_SCHEDULE": schedule,
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(bool(options.get("has_triggerer"))),
    }
    programs = Programs(path / "programs")
    port = free_port(but=folder.settings().sandbox_port)
    stack = _Stack(folder, programs, port, is_scheduled=is_scheduled, variables=variables, **options)
    with programs.guarded():
        parts, _ = stack.start(None, Clock())
        running = Scheduler(stack, parts)
        try:
            yield running
        finally:
            running.legacy.dispose()
            running.ledger.dispose()
    for program in running.parts:
        program.process.wait(30)
