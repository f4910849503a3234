"""
The programs of a demo, started in their order and waited for: the sandbox, and Airflow's own parts.
"""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from masivo.demo.environment import INTERVAL_S, connections, environment, write_for_people
from masivo.demo.folder import Folder, is_free
from masivo.demo.legacy import Legacy, build_legacy
from masivo.demo.processes import Program, Programs
from masivo.demo.progress import Clock
from masivo.demo.rest import Airflow
from masivo_engine.model.errors import MigrationError, Misconfigured


PLAN = "masivo_plan"
DAG_ID = "masivo_sync"
READ_BACK = "masivo_verify"
_PATIENCE_S = 120.0


@dataclass(frozen=True, slots=True)
class Stack:
    """
    What a demo consists of while it runs.

    :param port: of Airflow's API server and UI.
    :param is_scheduled: whether Airflow starts runs by itself, on the DAG's schedule.
    """

    folder: Folder
    programs: Programs
    port: int
    is_scheduled: bool

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.folder, port=self.port, is_scheduled=self.is_scheduled)

    @property
    def airflow(self) -> Airflow:
        return Airflow(f"http://127.0.0.1:{self.port}")

    def start(self, customers: int | None, clock: Clock) -> tuple[list[Program], Legacy]:
        """
        Build what is missing, start everything, and return when it is healthy; read-backs start by
        themselves from then on.

        :raises Died: a program ended at once.
        :raises MigrationError: a program does not become healthy, or Airflow cannot read the DAG.
        """
        write_for_people(self.folder, connections(self.folder))
        migration = self._start_migrating()  # meanwhile, on the other core:
        legacy = build_legacy(self.folder, customers)
        clock.say(f"legacy database  {self.folder.legacy.name}")
        if migration is not None:
            migration.finish()
            self._migrated.touch()

        running = [self._start_sandbox(), *self._start_airflow()]
        port = self.folder.settings().sandbox_port
        _wait(lambda: not is_free(port), running, "the sandbox to listen")
        clock.say(f"sandbox          http://127.0.0.1:{port}/view")
        airflow = self.airflow
        _wait(airflow.is_healthy, running, "Airflow to be healthy")
        for dag_id in (PLAN, DAG_ID, READ_BACK):
            _wait(partial(airflow.has_dag, dag_id), running, f"Airflow to read the DAG {dag_id}")
        if self.is_scheduled:
            airflow.switch_on(READ_BACK)
        clock.say(f"Airflow          {airflow.address}")
        return running, legacy

    def _start_migrating(self) -> Program | None:
        if self._migrated.exists():
            return None
        self.folder.airflow.mkdir(exist_ok=True)
        (self.folder.airflow / "airflow.db").unlink(missing_ok=True)  # left half-way by a demo that was killed
        return self._start("preparation of Airflow's database", "migrate", ["airflow", "db", "migrate"])

    def _start_sandbox(self) -> Program:
        port = self.folder.settings().sandbox_port
        if not is_free(port):
            raise Misconfigured(
                f"port {port} on 127.0.0.1, which {self.folder.path} keeps for its sandbox, is taken by another"
                " program; stop that, or start over with FRESH=1"
            )
        interval = str(INTERVAL_S[self.folder.data])
        options = ["--port", str(port), "--store", str(self.folder.sandbox), "--interval", interval, "--per-hour", "0"]
        return self._start("sandbox", "sandbox", ["masivo_engine.sandbox", *options])

    def _start_airflow(self) -> list[Program]:
        server = self._start_part("api-server")
        if self.folder.unfinished_run.exists():
            # Its tasks died with the demo before this one; a scheduler would first wait for them to
            # come back.
            airflow = self.airflow
            _wait(airflow.answers, [server], "Airflow's API server")
            dag_id, _, run_id = self.folder.unfinished_run.read_text().rpartition(" ")
            airflow.give_up(dag_id or DAG_ID, run_id)
            self.folder.unfinished_run.unlink()
        return [server, self._start_part("scheduler", "--skip-serve-logs"), self._start_part("dag-processor")]

    def _start_part(self, part: str, *options: str) -> Program:
        return self._start(f"Airflow {part}", part, ["airflow", part, *options])

    def _start(self, name: str, log: str, arguments: list[str]) -> Program:
        return self.programs.start(name, arguments, self.environment, self.folder.logs / f"{log}.log")

    @property
    def _migrated(self) -> Path:
        """Stands once Airflow's database has the schema of the version that is installed."""
        return self.folder.airflow / f"migrated-{importlib.metadata.version('apache-airflow-core')}"


def _wait(until: Callable[[], bool], programs: Iterable[Program], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not until():
        for program in programs:
            program.check()
        if time.monotonic() > deadline:
            raise MigrationError(f"waited {_PATIENCE_S:.0f} s in vain for {what}; see the logs in .demo")
        time.sleep(0.2)
