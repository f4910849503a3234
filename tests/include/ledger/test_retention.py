"""
Retention: the account of a run stays as it was, and nothing goes that a later run decides by.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import timedelta

import pytest
from sqlalchemy import event, func, insert, make_url, select, update

from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.runs import retention
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.ledger.runs.runs import finish_run
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json
from masivo_engine.reports.trail import trail
from tests.builders import begin, customer, end, quarantined, rejection, see, send


def a_run(ledger, run_id, judged, *sent, age_days=0, **how):
    """A run that ended, which judged some rows and sent others."""
    run = begin(ledger, run_id)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    if sent:
        send(mine, *sent, **how)
    see(mine, *judged)
    mine.finish(len(judged) + len(sent))
    freeze(ledger, run)
    finish_run(ledger, run, "adds up")
    with ledger.engine.begin() as connection:
        ended = {"finished_at": now() - timedelta(days=age_days)}
        connection.execute(update(schema.run).where(schema.run.c.id == run).values(ended))
        connection.execute(insert(schema.twin).values(run=run, entity="customers", place="tA", rows=2))
    return run


def bad(*keys, reason="missing_value"):
    return [quarantined(rejection(Entity.CUSTOMERS, key, reason)) for key in keys]


def rows(ledger, table):
    with ledger.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def whole(ledger, table):
    with ledger.reading() as connection:
        return connection.execute(select(table).order_by(*table.primary_key.columns)).all()


def two_old_runs(ledger):
    """A run, and one that found each of its five rows otherwise."""
    a_run(ledger, "first", bad(*"ABCDE"), age_days=60)
    a_run(ledger, "second", bad(*"ABCDE", reason="not_a_date"), age_days=40)


def test_an_old_account_is_the_same_when_former_states_are_forgotten(ledger, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    two_old_runs(ledger)
    a_run(ledger, "young", bad("A", reason="contract"), customer("B", points=7))
    before = [as_json(account(ledger, run)) for run in ("first", "second", "young")]
    assert all(one["adds_up"] for one in before)

    pruned = prune(ledger, keep_days=30)

    assert (pruned.states, pruned.keys) == (5, 2)
    assert str(pruned).startswith("0 payloads of rows that are no longer quarantined, 5 former states of rows and 2")
    assert [as_json(account(ledger, run)) for run in ("first", "second", "young")] == before
    assert (rows(ledger, schema.history), rows(ledger, schema.twin)) == (2, 1)
    assert prune(ledger, keep_days=30) == retention.Pruned(0, 0, 0)


def test_what_a_later_run_decides_by_is_never_forgotten(ledger):
    a_run(ledger, "first", [], customer("sent"), customer("again"), age_days=500)
    waits = [*bad("Q"), end(customer("H"), State.HELD, "customer_held")]
    a_run(ledger, "second", waits, customer("again", content="new"), age_days=400)
    a_run(ledger, "third", [], customer("doubtful"), state=BatchState.IN_DOUBT, reason="no_answer", age_days=300)
    changed = end(customer("sent", content="new"), State.HELD, "changed_after_delivery")
    a_run(ledger, "fourth", [changed], age_days=200)
    tables = (schema.record, schema.history, schema.batch, schema.tally)
    before = [whole(ledger, table) for table in tables]

    prune(ledger, keep_days=1)

    assert [whole(ledger, table) for table in tables] == before
    assert [line.split()[3].rstrip(",") for line in trail(ledger, "sent")] == ["delivered", "held"]


def test_what_waits_for_the_same_reason_as_before_is_no_news_after_it_either(ledger):
    a_run(ledger, "first", bad("Q", "R"), age_days=60)
    a_run(ledger, "second", bad("Q"), customer("R"), age_days=50)
    prune(ledger, keep_days=30)
    assert account(ledger, "second").trouble == 0
    a_run(ledger, "third", bad("Q"))
    assert account(ledger, "third").trouble == 0


def test_a_run_that_is_not_over_is_left_alone(ledger):
    two_old_runs(ledger)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.part).values(finished_at=None))

    assert prune(ledger, keep_days=30) == retention.Pruned(0, 0, 0)
    with pytest.raises(Misconfigured, match="give a number from 1"):
        prune(ledger, keep_days=0)


def _prune_and_die(url):
    engine = engines.ledger(make_url(url))
    ledger = Ledger(engine, "")
    ledger.open()
    deletions = []

    @event.listens_for(engine, "after_cursor_execute")
    def _die(_connection, _cursor, statement, *_):
        if statement.startswith("DELETE FROM masivo_history"):
            deletions.append(statement)
            if len(deletions) == 2:
                os.kill(os.getpid(), signal.SIGKILL)  # deleted, but not committed

    retention.AT_ONCE = 2
    prune(ledger, keep_days=30)


def test_a_prune_that_is_killed_half_way_is_done_again(ledger):
    two_old_runs(ledger)
    before = as_json(account(ledger, "second"))
    url = ledger.engine.url.render_as_string(hide_password=False)
    process = multiprocessing.get_context("spawn").Process(target=_prune_and_die, args=(url,))
    process.start()
    process.join(120)

    assert process.exitcode == -signal.SIGKILL
    assert rows(ledger, schema.history) == 3
    assert prune(ledger, keep_days=30).states == 3
    assert as_json(account(ledger, "second")) == before
