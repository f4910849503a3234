"""
A try through the operators of `masivo_sync`, in the order in which the DAG runs them, with as
little context as they need.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from sqlalchemy import Engine, text

from masivo.dags.sync_form import form
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.migrate import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.visible import MasivoVisibleSensor
from masivo.services import Services
from masivo_engine.ledger.runs.runs import find_run
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.rows import Entity


_MOST_POKES = 20


@dataclass(slots=True)
class Airflow:
    """What Airflow remembers: the XCom of a run's plan, and every other that was returned."""

    dag_id: ClassVar[str] = "masivo_sync"

    plan: Any = None
    xcoms: list[Any] = field(default_factory=list)

    def xcom_pull(self, **_: Any) -> Any:
        """Return what the plan of the run returned, as a task instance does."""
        return self.plan

    def work_on(self, run_id: str) -> None:
        """Do what is left of a run. What Airflow is told to fail for is raised as what it was."""
        params = {"tolerance": 1_000_000, "full": True}
        dag_run = SimpleNamespace(run_type="manual", triggering_user_name="", conf=params)
        dag = SimpleNamespace(dag_id=self.dag_id, params=form())
        context = {"run_id": run_id, "params": params, "dag_run": dag_run, "dag": dag, "ti": self}
        try:
            for is_plan, returned in _tasks(context):
                self.xcoms.append(returned)
                self.plan = returned if is_plan else self.plan
        except (AirflowFailException, AirflowRescheduleException) as failed:
            if isinstance(failed.__cause__, MigrationError):
                raise failed.__cause__ from None
            raise


def finished_slices(ledger: Engine, run: int, entity: Entity) -> set[int]:
    """
    Return the slices of *entity* that a task of the run has finished: Airflow does not run them
    again by itself.
    """
    finished = text("SELECT number FROM masivo_slice WHERE run = :run AND entity = :entity AND finished_at IS NOT NULL")
    with ledger.connect().execution_options(reads_only=True) as connection:
        return set(connection.execute(finished, {"run": run, "entity": entity.value}).scalars())


def _tasks(context: Any) -> Iterator[tuple[bool, Any]]:
    yield True, MasivoPlanOperator(task_id="plan").execute(context)
    place = Services()
    place.ledger.open()
    run = find_run(place.ledger, context["run_id"])
    for entity in Entity:
        done = finished_slices(place.ledger_engine, run.number, entity)
        for part in MasivoSlicesOperator(task_id="slices", entity=entity.value).execute(context):
            if part["number"] not in done:
                yield False, MasivoMigrateOperator(task_id="send", entity=entity.value, part=part).execute(context)
        if entity is Entity.CUSTOMERS:
            sensor = MasivoVisibleSensor(task_id="visible")
            for _ in range(_MOST_POKES):
                if sensor.poke(context).is_done:
                    break
    yield False, MasivoAccountOperator(task_id="account").execute(context)
