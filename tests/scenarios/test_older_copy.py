"""
A ledger that was restored from an older copy does not know what was sent since, and would send it
again. Nobody may: no DAG, no task.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from contextlib import closing
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from masivo.dags.sync_form import form, keeping_form
from masivo.operators import account, migrate
from masivo.services import Services
from masivo_engine import crash_points
from masivo_engine.model.errors import TryAgainLater
from tests.databases.changing import OPERATORS, site
from tests.variables import variables


DAGS = ("sync", "sweep", "replay", "backfill")


def copy(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
        one.backup(two)


@pytest.fixture
def on(tmp_path, monkeypatch):
    """
    A shop with one customer, its purchase and its points, whose tasks open everything anew, as
    processes do.
    """
    with site(
        f"sqlite:///{tmp_path / 'legacy.sqlite'}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", tmp_path, monkeypatch
    ) as made:
        for tasks in OPERATORS:
            monkeypatch.setattr(tasks, "Services", Services)
        add(made, "A")
        yield made


def add(on, name):
    on.shop.add_person(name, points=5)
    on.shop.add_booking(f"T{name}", name)
    on.shop.add_sale(f"S{name}", name)


def file_of(on):
    return on.trip.place.ledger_engine.url.database


def with_extra(**extra):
    made = json.loads(os.environ["AIRFLOW_CONN_MASIVO_API"])
    return json.dumps(made | {"extra": made["extra"] | extra})


def context(run_id):
    sweep = form() | keeping_form()
    return {
        "run_id": run_id,
        "params": {name: param.resolve() for name, param in sweep.items()},
        "dag": SimpleNamespace(dag_id="masivo_sync", params=sweep),
        "dag_run": SimpleNamespace(conf={}),
        "ti": SimpleNamespace(dag_id="masivo_sync", xcom_pull=lambda **_: {}),
    }


def released(kind):
    return {"reason": ["changed_after_delivery"]} if kind == "replay" else {}


def forget(on, kind):
    """Send something, and bring back the ledger as it was before."""
    on.sync()
    copy(file_of(on), f"{file_of(on)}.copy")
    on.clock.pass_minutes(60)
    add(on, "B")
    on.clock.pass_minutes(60)
    on.sync(kind if kind != "replay" else "sync")
    copy(f"{file_of(on)}.copy", file_of(on))


@pytest.mark.parametrize("sent_by", ["sync", "sweep", "backfill"])
@pytest.mark.parametrize("then", DAGS)
def test_every_dag_refuses_it_whichever_sent_since_and_says_which_copy_is_newer(on, sent_by, then):
    forget(on, sent_by)
    before = on.everything_sent()
    assert before == dict.fromkeys(["A", "SA", "TA", "B", "SB", "TB"], 1)

    with pytest.raises(AirflowFailException, match="restored from an older copy") as refused:
        on.sync(then, **released(then))

    assert "the ledger ends with run 1, batch 3, 3 requests" in str(refused.value)
    assert "a newer copy of it has come to run 2, batch 6, 6 requests" in str(refused.value)
    assert on.everything_sent() == before


@pytest.mark.parametrize("then", DAGS)
def test_a_copy_that_was_made_in_the_middle_of_a_run_is_refused_although_it_has_every_run_and_batch(
    on, then, monkeypatch
):
    """
    Batches are written down long before they are sent: a backup at night, during the first load,
    has all of them as not yet sent.
    """
    for number in range(8):
        on.shop.add_person(f"C{number}")
    post, posts = on.trip.place.hook.__class__.post, []

    def copying(hook, entity, body):
        if len(posts) == 1:
            copy(file_of(on), f"{file_of(on)}.copy")
        posts.append(entity)
        return post(hook, entity, body)

    os.environ["AIRFLOW_CONN_MASIVO_API"] = with_extra(records=3)
    monkeypatch.setattr(on.trip.place.hook.__class__, "post", copying)
    on.sync()
    assert len(posts) > 3
    copy(f"{file_of(on)}.copy", file_of(on))
    before = on.everything_sent()
    assert set(before.values()) == {1}

    with pytest.raises(AirflowFailException, match="restored from an older copy"):
        on.sync(then, **released(then))
    assert on.everything_sent() == before


@pytest.mark.parametrize("then", DAGS)
def test_a_copy_that_lacks_no_run_and_no_batch_but_a_request_is_refused(on, then):
    """The last batch of all is written down, and not sent yet."""
    packed = crash_points.trap_at("packed:3", lambda: copy(file_of(on), f"{file_of(on)}.copy"))
    crash_points.set_trap(packed)
    try:
        on.sync()
    finally:
        crash_points.set_trap(None)
    copy(f"{file_of(on)}.copy", file_of(on))
    before = on.everything_sent()
    with pytest.raises(AirflowFailException, match="restored from an older copy"):
        on.sync(then, **released(then))
    assert on.everything_sent() == before


def test_a_task_that_is_cleared_on_it_refuses_as_its_plan_does(on):
    on.sync(run_id="monday")
    given = context("monday")
    copy(file_of(on), f"{file_of(on)}.copy")
    on.clock.pass_minutes(60)
    add(on, "B")
    on.clock.pass_minutes(60)
    on.sync()
    copy(f"{file_of(on)}.copy", file_of(on))
    before = on.everything_sent()
    for task in (
        migrate.MasivoSlicesOperator(task_id="slices", entity="customers"),
        migrate.MasivoMigrateOperator(task_id="send", entity="customers", part={"number": 1}),
        account.MasivoAccountOperator(task_id="account"),
        account.MasivoPruneOperator(task_id="prune"),
    ):
        with pytest.raises(AirflowFailException, match="restored from an older copy"):
            type(task).execute.__wrapped__(task, given)
    assert on.everything_sent() == before


def test_the_newest_copy_is_taken_wherever_it_lies(on, tmp_path):
    """
    What moves is the mark of the ledger, not of its file: a copy that misses nothing is as good as
    the original.
    """
    on.sync()
    copy(file_of(on), tmp_path / "elsewhere.sqlite")
    moved = f'{{"conn_type": "generic", "extra": {{"sqlalchemy_url": "sqlite:///{tmp_path / "elsewhere.sqlite"}"}}}}'
    os.environ["AIRFLOW_CONN_MASIVO_LEDGER"] = moved
    on.clock.pass_minutes(60)
    add(on, "B")
    on.clock.pass_minutes(60)
    on.sync("sweep")
    assert on.everything_sent() == dict.fromkeys(["A", "SA", "TA", "B", "SB", "TB"], 1)


def test_a_variable_that_was_cleared_stops_nobody_and_is_noted(on, caplog):
    with variables() as theirs:
        on.sync()
        (name,) = theirs.all()
        assert re.fullmatch(r"masivo_high_water_[0-9a-f]{16}", name)
        theirs.replace({})
        on.clock.pass_minutes(60)
        add(on, "B")
        on.clock.pass_minutes(60)
        on.sync()
        assert f"(Airflow Variable {name}) is not there" in caplog.text
        assert list(theirs.all()) == [name]
    assert on.everything_sent() == dict.fromkeys(["A", "SA", "TA", "B", "SB", "TB"], 1)


@pytest.mark.parametrize("fails", ["GetVariable", "GetVariableKeys"])
def test_a_mark_that_cannot_be_read_is_none_that_is_missing(on, fails):
    with variables() as theirs:
        on.sync()
        theirs.fails = {"GetVariable", fails}
        before = len(on.trip.posts())
        with pytest.raises(TryAgainLater, match="high-water mark, cannot be read now"):
            on.sync("sweep")
        assert len(on.trip.posts()) == before


def test_nothing_is_sent_that_cannot_be_remembered_and_nothing_of_it_is_in_doubt(on):
    with variables() as theirs:
        on.sync()
        on.clock.pass_minutes(60)
        add(on, "B")
        on.clock.pass_minutes(60)
        before = len(on.trip.posts())
        theirs.most_writes = theirs.writes + 1  # that the run is entered, and no request
        with pytest.raises(TryAgainLater, match="high-water mark, cannot be set now"):
            on.sync(run_id="tried")
        theirs.most_writes = None
        assert len(on.trip.posts()) == before
        made = on.sync(run_id="tried")
        assert made["adds_up"] is True
        assert all(not one["in_doubt"] for one in made["entities"].values())
    assert on.everything_sent() == dict.fromkeys(["A", "SA", "TA", "B", "SB", "TB"], 1)


def test_a_mark_that_somebody_edited_is_named(on):
    with variables() as theirs:
        on.sync()
        (name,) = theirs.all()
        theirs.replace({name: "41"})
        with pytest.raises(AirflowFailException, match=f"Airflow Variable {name}.* is not what was written there"):
            on.sync("sweep")
