"""
Retention: what is forgotten is still counted, and nothing goes that a later run decides by.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from datetime import timedelta

import pytest
from masivo_engine.ledger.history.entries import known
from sqlalchemy import event, func, make_url, select, update

from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.runs import retention
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.ledger.runs.runs import finish_run
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError, Misconfigured
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json
from tests.builders import begin, customer, entity_of, send


def a_run(ledger, run_id, entries, *sent, outdated=(), age_days=0):
    """A finished run that entered *entries* and delivered *sent*."""
    run = begin(ledger, run_id)
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    if sent:
        send(ledger, lease, *sent)
    ledger.enter(lease, entries, outdated)
    ledger.finish(lease, len(entries) + len(sent))
    finish_run(ledger, run, "adds up")
    if age_days:
        with ledger.engine.begin() as connection:
            old = {"finished_at": now() - timedelta(days=age_days)}
            connection.execute(update(schema.run).where(schema.run.c.id == run).values(old))
    return run


def unchanged(*keys, reason=""):
    return [Entry(customer(key, points=2), State.UNCHANGED, reason) for key in keys]


def quarantined(*keys):
    return [
        Entry(Rejection(Entity.CUSTOMERS, key, key, "missing_value"), State.QUARANTINED, "missing_value")
        for key in keys
    ]


def ids(ledger, run):
    with ledger.reading() as connection:
        return list(connection.execute(select(schema.entry.c.id).where(schema.entry.c.run == run)).scalars())


def rows(ledger, table):
    with ledger.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_an_old_account_is_the_same_when_its_settled_rows_are_only_counted(ledger, monkeypatch):
    monkeypatch.setattr(retention, "AT_ONCE", 2)
    a_run(ledger, "old", unchanged("B", "C", "D", "E", "F"), customer("A", points=7), age_days=40)
    a_run(ledger, "young", unchanged("A", "B"))
    before = [as_json(account(ledger, run)) for run in ("old", "young")]

    pruned = prune(ledger, keep_days=30)

    assert (pruned.runs, pruned.rows) == (1, 5)
    assert [as_json(account(ledger, run)) for run in ("old", "young")] == before
    assert before[0]["adds_up"]
    assert entity_of(account(ledger, "old")).points[State.UNCHANGED] == 10
    assert rows(ledger, schema.entry) == 3
    assert rows(ledger, schema.tally) == 1
    assert prune(ledger, keep_days=30).rows == 0


def test_what_a_later_run_decides_by_is_never_forgotten(ledger):
    old = a_run(
        ledger,
        "old",
        [*unchanged("adopted", reason="adopted"), *quarantined("Q"), Entry(customer("H"), State.HELD, "customer_held")],
        customer("sent"),
        age_days=400,
    )
    doubt = begin(ledger, "doubt")
    lease = ledger.claim(doubt, Entity.CUSTOMERS, 1)
    send(ledger, lease, customer("doubtful"), state=BatchState.IN_DOUBT, reason="no_answer")
    ledger.finish(lease, 1)
    finish_run(ledger, doubt, "in doubt")
    before = ids(ledger, old), known(ledger, Entity.CUSTOMERS, {"adopted", "Q", "H", "sent", "doubtful"})

    prune(ledger, keep_days=1)

    assert (ids(ledger, old), known(ledger, Entity.CUSTOMERS, {"adopted", "Q", "H", "sent", "doubtful"})) == before


def test_a_superseded_row_stays_while_it_shows_that_one_that_waits_is_no_news(ledger):
    first = a_run(ledger, "first", quarantined("Q", "R"), age_days=60)
    second = a_run(ledger, "second", quarantined("Q"), customer("R"), outdated=ids(ledger, first), age_days=50)
    assert account(ledger, "second").trouble == 0

    assert prune(ledger, keep_days=30).rows == 1  # R was delivered since

    assert account(ledger, "second").trouble == 0
    assert account(ledger, "first").adds_up
    a_run(ledger, "third", [], customer("Q"), outdated=ids(ledger, second)[:])
    assert prune(ledger, keep_days=30).rows >= 1
    assert all(account(ledger, run).adds_up for run in ("first", "second", "third"))


def test_a_run_that_is_not_over_is_left_alone(ledger):
    a_run(ledger, "old", unchanged("A"), age_days=40)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.part).values(finished_at=None))

    assert prune(ledger, keep_days=30).rows == 0
    with pytest.raises(Misconfigured, match="give a number from 1"):
        prune(ledger, keep_days=0)


def test_a_run_whose_rows_are_only_counted_cannot_be_done_again(ledger):
    run = a_run(ledger, "old", unchanged("A"), age_days=40)
    prune(ledger, keep_days=30)

    with pytest.raises(LedgerError, match="only counted any more, so it cannot be done again: trigger a new run"):
        ledger.claim(run, Entity.CUSTOMERS, 1)
    assert account(ledger, "old").adds_up


def _prune_and_die(url):
    engine = engines.ledger(make_url(url))
    ledger = Ledger(engine, "")
    ledger.open()
    deletions = []

    @event.listens_for(engine, "after_cursor_execute")
    def _die(_connection, _cursor, statement, *_):
        if statement.startswith("DELETE FROM masivo_entry"):
            deletions.append(statement)
            if len(deletions) == 2:
                os.kill(os.getpid(), signal.SIGKILL)  # deleted and counted, but not committed

    retention.AT_ONCE = 2
    prune(ledger, keep_days=30)


def test_a_prune_that_is_killed_half_way_has_lost_nothing_and_is_done_again(ledger):
    a_run(ledger, "old", unchanged(*"ABCDE"), age_days=40)
    before = as_json(account(ledger, "old"))
    url = ledger.engine.url.render_as_string(hide_password=False)
    process = multiprocessing.get_context("spawn").Process(target=_prune_and_die, args=(url,))
    process.start()
    process.join(120)

    assert process.exitcode == -signal.SIGKILL
    assert rows(ledger, schema.entry) == 3
    assert as_json(account(ledger, "old")) == before
    assert prune(ledger, keep_days=30).rows == 3
    assert as_json(account(ledger, "old")) == before
