"""
A whole run in a process of its own, every task of which opens what it needs anew: ``python -m tests.scenarios.one_run RUN_ID``.

As under ``airflow dags test``. With ``--asks`` it says after each task that sends what it was, and goes on when a line comes.
"""

from __future__ import annotations

import sys
from typing import Any

from masivo import operators
from masivo.workplace import Workplace

from tests.include.changing_shop import Site


def main(run_id: str, *options: str) -> None:
    opened: list[Workplace] = []  # Airflow keeps what its tasks leave behind

    def kept() -> Workplace:
        opened.append(Workplace())
        return opened[-1]

    operators.Workplace = kept  # type: ignore[assignment,misc]
    if "--asks" in options:
        sends: Any = operators.MasivoMigrateOperator.execute

        def asking(self: Any, context: Any) -> Any:
            made = sends.__wrapped__(self, context)
            print(f"sent {self.entity}", flush=True)
            sys.stdin.readline()
            return made

        asking.__wrapped__ = asking  # type: ignore[attr-defined]
        operators.MasivoMigrateOperator.execute = asking  # type: ignore[method-assign]
    Site(None, None, None).sync(run_id=run_id)  # type: ignore[arg-type]
    print("ended", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
