"""Operators executed outside of Airflow's task runner, in a context as it hands one to them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace

from masivo.dags.sync_form import form
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.migrate import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.visible import MasivoVisibleSensor
from masivo_engine.model.rows import Entity


class Instance:
    """
    The task instance, as far as an operator asks for it: its DAG, and what an earlier run of the
    task returned.
    """

    def __init__(self, earlier=None, dag_id="masivo_sync"):
        self.dag_id = dag_id
        self._earlier = earlier

    def xcom_pull(self, **_):
        return self._earlier


@dataclass
class DagRun:
    """The run, as far as an operator asks for it."""

    run_type: str = "manual"
    data_interval_start: datetime | None = None
    data_interval_end: datetime | None = None
    triggering_user_name: str | None = "ana"
    conf: dict | None = None


def context(run_id="manual", earlier=None, **params):
    """What Airflow hands to a task of masivo_sync."""
    values = {name: param.resolve() for name, param in form().items()}
    dag = SimpleNamespace(dag_id="masivo_sync", params=form())
    return {"run_id": run_id, "params": values | params, "ti": Instance(earlier), "dag_run": DagRun(), "dag": dag}


def run(operator, given):
    """Execute *operator* outside of Airflow's task runner."""
    return type(operator).execute.__wrapped__(operator, given)


def migrate(given):
    """
    Run the tasks of the DAG one after the other; return what each returned, as JSON carries it.
    """
    returned = {"plan": run(MasivoPlanOperator(task_id="plan"), given)}
    given["ti"] = Instance(returned["plan"])
    for entity in Entity:
        slices = run(MasivoSlicesOperator(task_id="slices", entity=entity.value), given)
        returned[f"{entity}.slices"] = slices
        for part in slices:
            send = MasivoMigrateOperator(task_id="send", entity=entity.value, part=part)
            returned[f"{entity}.send.{part['number']}"] = run(send, given)
        if entity is Entity.CUSTOMERS:
            assert MasivoVisibleSensor(task_id="visible").poke(given).is_done
    returned["account"] = run(MasivoAccountOperator(task_id="account"), given)
    return json.loads(json.dumps(returned))
