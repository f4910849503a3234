"""
A whole run in a process of its own, every task of which opens what it needs anew: ``python -m
tests.scenarios.one_run RUN_ID``.

As under ``airflow dags test``. It says ``ended`` at the end and lives on until a line comes; with
``--waits`` it says after each task that sends what it was, and goes on when a line comes.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any

from airflow.sdk.exceptions import AirflowRescheduleException

from masivo.operators import migrate
from masivo.services import Services
from tests.databases.changing import OPERATORS, Site
from tests.variables import as_in_the_parent


_MOST_KEPT = 3


def main(run_id: str, *options: str) -> None:
    opened: list[Services] = []

    def another() -> Services:
        # What tasks leave behind is collected some time later.
        if len(opened) == _MOST_KEPT:
            opened.clear()
            gc.collect()
        opened.append(Services())
        return opened[-1]

    as_in_the_parent()
    for tasks in OPERATORS:
        tasks.Services = another  # type: ignore[assignment,misc]
    sends: Any = migrate.MasivoMigrateOperator.execute.__wrapped__

    def sending(self: Any, context: Any) -> Any:
        while True:
            try:
                made = sends(self, context)
                break
            except AirflowRescheduleException:  # another run is at work; a scheduler would come back later
                time.sleep(0.1)
        if "--waits" in options:
            print(f"sent {self.entity}", flush=True)
            sys.stdin.readline()
        return made

    sending.__wrapped__ = sending  # type: ignore[attr-defined]
    migrate.MasivoMigrateOperator.execute = sending  # type: ignore[method-assign]
    Site(None, None, None).sync(run_id=run_id)  # type: ignore[arg-type]
    print("ended", flush=True)
    sys.stdin.readline()
    opened.clear()
    gc.collect()


if __name__ == "__main__":
    main(*sys.argv[1:])
