"""
What can happen before a person has decided anything: the plan cannot send, nothing has a schedule,
and every DAG explains its parameters.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from masivo.operators.plan import MasivoPlanOperator


ROOT = Path(__file__).parent.parent.parent
DAGS = {"masivo_plan", "masivo_sync", "masivo_sweep", "masivo_replay", "masivo_verify"}
BY_CLOCK = {"masivo_sync", "masivo_sweep"}


@pytest.fixture
def bag(monkeypatch):
    def read(schedule=None):
        if schedule is None:
            monkeypatch.delenv("MASIVO_SCHEDULE", raising=False)
        else:
            monkeypatch.setenv("MASIVO_SCHEDULE", schedule)
        return DagBag(dag_folder=str(ROOT / "dags"))

    return read


def test_the_plan_has_one_task_that_never_sends_and_no_parameter_about_sending(bag):
    dag = bag().dags["masivo_plan"]
    (task,) = dag.tasks
    assert isinstance(task, MasivoPlanOperator)
    assert task.never_sends
    assert not task.outlets
    assert set(dag.params) == {
        "since",
        "until",
        "full",
        "entities",
        "customer_ids",
        "mapping_change",
        "override",
    }


@pytest.mark.parametrize("name", sorted(DAGS))
def test_a_dag_explains_each_of_its_parameters(bag, name):
    dag = bag().dags[name]
    assert dag.params
    for parameter in dag.params:
        assert f"*{parameter}*" in dag.doc_md
    for words in ("**Parameters**", "It failed, now what"):
        assert words in dag.doc_md


@pytest.mark.parametrize("setting", [None, "", "  ", "none", "None"])
def test_nothing_runs_by_the_clock_until_a_person_has_said_so(bag, setting):
    read = bag(setting)
    assert read.import_errors == {}
    assert set(read.dags) == DAGS
    assert {name for name, dag in read.dags.items() if dag.timetable.can_be_scheduled} == {"masivo_verify"}


@pytest.mark.parametrize("setting", ["30 * * * *", "@hourly"])
def test_one_setting_switches_all_clocks_on(bag, setting):
    dags = bag(setting).dags
    assert {name for name, dag in dags.items() if dag.timetable.can_be_scheduled} == {*BY_CLOCK, "masivo_verify"}
    times = {name: dags[name].timetable.expression for name in BY_CLOCK}
    assert times == {"masivo_sync": setting.replace("@hourly", "0 * * * *"), "masivo_sweep": "0 3 * * 0"}


@pytest.mark.parametrize("setting", ["every hour", "0 25 * * *", "@once"])
def test_a_schedule_that_is_none_is_named_and_takes_no_other_dag_along(bag, setting):
    read = bag(setting)
    assert set(read.dags) == DAGS - BY_CLOCK
    assert {Path(file).stem for file in read.import_errors} == BY_CLOCK
    for error in read.import_errors.values():
        assert f"MASIVO_SCHEDULE ({setting!r}) is no cron expression; write e.g. '0 * * * *'" in error
