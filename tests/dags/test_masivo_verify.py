"""
The DAG as Airflow reads it: it runs when something was delivered, holds no worker while it waits,
and explains itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.exceptions import ParamValidationError

from masivo.operators.verify import DELIVERIES


ROOT = Path(__file__).parent.parent.parent
SENDERS = ("masivo_sync", "masivo_sweep", "masivo_replay")


@pytest.fixture(scope="module")
def bag():
    bag = DagBag(dag_folder=str(ROOT / "dags"))
    assert bag.import_errors == {}
    return bag


@pytest.fixture(scope="module")
def dag(bag):
    return bag.dags["masivo_verify"]


def test_it_says_what_it_is_for_and_what_to_do_when_it_fails(dag):
    for words in ("**Parameters**", "**Connections**", "**The buckets**", "It failed, now what"):
        assert words in dag.doc_md
    for name in dag.params:
        assert f"*{name}*" in dag.doc_md
    assert dag.description
    assert {"masivo", "loyalty"} <= set(dag.tags)


@pytest.mark.parametrize("sender", SENDERS)
def test_it_runs_by_itself_after_whatever_delivers(bag, dag, sender):
    assert [asset.name for asset in dag.timetable.asset_condition.objects] == [DELIVERIES.name]
    delivered = bag.dags[sender].get_task("delivered")
    assert DELIVERIES in delivered.outlets
    # Also after a run that failed: some of it may have gone.
    assert delivered.trigger_rule == "all_done"


@pytest.mark.parametrize("sender", SENDERS)
def test_the_account_alone_says_how_a_run_that_sends_has_ended(bag, sender):
    (last,) = bag.dags[sender].leaves
    assert last.task_id == "account"
    assert last.trigger_rule == "all_done"
    assert "transactions.send" in bag.dags[sender].get_task("delivered").get_flat_relative_ids(upstream=True)


def test_no_worker_is_held_while_it_waits(dag):
    read = dag.get_task("read")
    assert read.is_mapped
    assert read.partial_kwargs["retries"] == 20
    made = read.unmap({"part": {"first": 1, "last": 2}})
    assert made.reschedule
    assert made.deferrable is False


def test_the_verdict_is_spoken_also_where_there_was_nothing_to_read(dag):
    (last,) = dag.leaves
    assert (last.task_id, last.trigger_rule, last.retries) == ("verdict", "none_failed", 0)


@pytest.mark.parametrize("conf", [{}, {"run": "7", "sample": "all"}, {"customer_ids": ["7"], "most_reads": 50}])
def test_the_form_takes_what_the_runbook_shows(dag, conf):
    _filled(dag, conf).validate()


@pytest.mark.parametrize("conf", [{"sample": "half"}, {"sample": "0"}, {"most_reads": 0}, {"tolerance": -1}])
def test_the_form_refuses_what_makes_no_sense(dag, conf):
    with pytest.raises(ParamValidationError):
        _filled(dag, conf).validate()


def _filled(dag, conf):
    """The parameters of a run that is triggered with *conf*."""
    copy = type(dag.params)({name: dag.params.get_param(name) for name in dag.params})
    for name, value in conf.items():
        copy[name] = value
    return copy
