"""
The DAG as Airflow reads it: it parses, it explains itself, and its tasks hang together.
"""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronDataIntervalTimetable
from airflow.sdk.exceptions import AirflowRescheduleException, ParamValidationError

from masivo.dags.retries import MigrationRetryPolicy, airflow_errors
from masivo_engine.model.errors import Stopped, TryAgainLater
from tests.whole_migration import environment


ROOT = Path(__file__).parent.parent.parent
ORDER = ("customers", "events", "transactions")


@pytest.fixture(scope="module")
def dag():
    """The DAG where a schedule is set."""
    with environment({"MASIVO_SCHEDULE": "0 * * * *"}):
        bag = DagBag(dag_folder=str(ROOT / "dags"))
    assert bag.import_errors == {}
    return bag.dags["masivo_sync"]


def test_it_says_what_it_is_for_and_what_to_do_when_it_fails(dag):
    for words in ("**Parameters**", "**Connections**", "It failed, now what", "Never delete the ledger"):
        assert words in dag.doc_md
    for name in dag.params:
        assert f"*{name}*" in dag.doc_md
    assert dag.description
    assert {"masivo", "loyalty"} <= set(dag.tags)


def test_it_runs_by_the_clock_one_at_a_time_and_can_be_backfilled(dag):
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    assert dag.start_date < datetime.now(UTC)


def test_parents_go_before_children_and_the_account_comes_last(dag):
    (first,) = dag.roots
    (last,) = dag.leaves
    assert (first.task_id, last.task_id) == ("plan", "account")
    for earlier, later in pairwise(ORDER):
        assert f"{later}.send" in dag.get_task(f"{earlier}.send").get_flat_relative_ids(upstream=False)
    assert dag.get_task("customers.visible").downstream_task_ids == {"events.send"}
    assert dag.get_task("approval").downstream_task_ids == {"customers.slices"}


def test_what_takes_none_of_the_lane_is_done_while_the_customers_are_sent_or_waited_for(dag):
    assert dag.get_task("customers.send").upstream_task_ids == {"customers.slices"}
    assert dag.get_task("events.send").upstream_task_ids == {"events.slices", "customers.visible"}
    assert dag.get_task("transactions.send").upstream_task_ids == {"transactions.slices", "events.send"}
    for child in ("events", "transactions"):
        assert dag.get_task(f"{child}.slices").upstream_task_ids == {"customers.send"}


def test_the_account_is_made_when_nothing_of_the_run_can_change_any_more(dag):
    # A send that is not even tried is over while slices may still be read.
    over = dag.get_task("account").get_flat_relative_ids(upstream=True)
    assert over == set(dag.task_ids) - {"account"}
    assert dag.get_task("delivered").upstream_task_ids == {"events.slices", "transactions.slices", "transactions.send"}


def test_an_entity_without_rows_holds_up_nothing_and_a_failure_leaves_no_run_without_account(dag):
    for entity in ORDER:
        assert dag.get_task(f"{entity}.slices").trigger_rule == "none_failed"
        assert dag.get_task(f"{entity}.send").trigger_rule == "none_failed"
    assert dag.get_task("customers.visible").trigger_rule == "none_failed"
    assert dag.get_task("account").trigger_rule == "all_done"
    assert dag.get_task("account").retries == 0


def test_a_slice_is_ready_when_the_one_before_it_has_nothing_more_to_send(dag):
    for entity in ORDER:
        send = dag.get_task(f"{entity}.send")
        assert send.is_mapped
        assert send.max_active_tis_per_dag == 2
        assert send.retries == 20
        assert isinstance(send.retry_policy, MigrationRetryPolicy)


@pytest.mark.parametrize(
    "conf",
    [
        {},
        {"full": True},
        {"since": "2026-11-01T00:00:00Z", "entities": ["customers"], "tolerance": 10},
        {"customer_ids": ["7", "8"], "dry_run": True},
    ],
)
def test_the_form_takes_what_the_runbook_shows(dag, conf):
    _filled(dag, conf).validate()


@pytest.mark.parametrize("conf", [{"entities": ["orders"]}, {"tolerance": -1}, {"since": "soon"}, {"dry_run": "yes"}])
def test_the_form_refuses_what_makes_no_sense(dag, conf):
    with pytest.raises(ParamValidationError):
        _filled(dag, conf).validate()


def _filled(dag, conf):
    """The parameters of a run that is triggered with *conf*."""
    copy = type(dag.params)({name: dag.params.get_param(name) for name in dag.params})
    for name, value in conf.items():
        copy[name] = value
    return copy


def test_what_can_be_tried_again_is_and_not_before_it_makes_sense():
    policy = MigrationRetryPolicy()
    later = policy.evaluate(TryAgainLater("the API asks to wait", wait_s=900), 1, 20)
    assert later.retry_delay >= timedelta(seconds=900)
    waits = [policy.evaluate(TryAgainLater("away"), number, 20).retry_delay for number in (1, 2, 3, 20)]
    assert waits == sorted(waits)
    assert waits[-1] <= timedelta(minutes=10)
    assert policy.evaluate(Stopped("no"), 1, 20).retry_delay is None


@pytest.mark.parametrize(("asked", "comes_back"), [(2400, 2400), (3, 60), (10**12, 86_400)])
def test_a_wait_that_somebody_asked_for_costs_no_try(asked, comes_back):
    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as later, airflow_errors():
        raise TryAgainLater("the hour is full", wait_s=asked)
    wait = (later.value.reschedule_date - before).total_seconds()
    assert comes_back <= wait < comes_back + 60


def test_a_wait_of_unknown_length_is_a_try():
    with pytest.raises(TryAgainLater), airflow_errors():
        raise TryAgainLater("away")


def test_reading_the_dag_loads_nothing_heavy_and_opens_nothing():
    program = (
        "import runpy, sys, socket\nsocket.socket.connect = lambda *_:"
        " sys.exit(5)\nrunpy.run_path('dags/masivo_sync.py')\nheavy = {'pandas', 'numpy', 'polars', 'pyarrow',"
        " 'masivo_engine.sandbox.wire.server', 'hypothesis'} & set(sys.modules)\nprint(sorted(heavy));"
        " sys.exit(len(heavy))"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}"}
    parsed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    assert parsed.returncode == 0, parsed.stdout + parsed.stderr[-2000:]
