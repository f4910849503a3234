"""
Entries by the thousand: what was given by column is read back row by row, whatever stands in it and
however many there are.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import Batch
from masivo_engine.model.rows import Entity, Entry, Record, Rejection, State
from tests.builders import one_slice, plan_slices


# Also what separates the values of a column where they are given as one text.
NAMES = ["plain", "Ñandú", "with\x1fseparator", "with 'quotes' and \\", '{curly},""', "\\x00", "NULL", "%s ?"]


def record(position):
    key = f"{NAMES[position % len(NAMES)]} {position}"
    digest = position.to_bytes(16)
    return Record(
        Entity.TRANSACTIONS, key, f"C {key}", b"{}", digest, Decimal(position) / 4, reward=NAMES[position % 2]
    )


@pytest.fixture
def lease(ledger):
    run = begin_run(ledger, "run", mapping="m", mapping_hash="h", covers="{}")
    plan_slices(ledger, run.number, Entity.TRANSACTIONS, [one_slice(Entity.TRANSACTIONS)])
    return ledger.claim(run.number, Entity.TRANSACTIONS, 1)


def written(ledger):
    entry = schema.entry
    with ledger.reading() as connection:
        found = connection.execute(select(entry).order_by(entry.c.id)).all()
    return [(row.key, row.customer, bytes(row.content_hash), row.points, row.reward, row.state) for row in found]


@pytest.mark.parametrize("count", [1, 2, 7, 19, 20, 21, 499, 500, 501, 1013])
def test_a_batch_is_written_whole(ledger, lease, count):
    records = [record(position) for position in range(count)]
    ledger.pack(lease, Batch(Entity.TRANSACTIONS, 1, tuple(records), b"{}"))
    assert written(ledger) == [
        (one.key, one.customer, one.content_hash, one.points, one.reward, None)
        for one in sorted(records, key=lambda record: record.key)
    ]


def test_rows_that_are_not_sent_are_written_with_their_states_and_shapes(ledger, lease):
    ended = [Entry(record(position), State.HELD, "customer_missing") for position in range(25)]
    bad = Rejection(Entity.TRANSACTIONS, "", "", "missing_key", "transaction_id", "text with \x1f in it")
    ledger.enter(lease, [*ended, Entry(bad, State.QUARANTINED, bad.reason, bad.column, bad.shape)])
    entry = schema.entry
    with ledger.reading() as connection:
        rows = connection.execute(select(entry).order_by(entry.c.id)).all()
    without, *others = rows  # in the order of their keys
    assert [(row.key, row.state, row.reason) for row in others] == [
        (key, "held", "customer_missing") for key in sorted(one.row.key for one in ended)
    ]
    assert (without.key, without.customer, without.content_hash, without.state) == ("", "", None, "quarantined")
    assert (without.column_name, without.shape) == ("transaction_id", "text with \x1f in it")


def test_a_single_empty_text_is_a_text(ledger, lease):
    ledger.enter(lease, [Entry(record(0)._replace(customer="", reward=""), State.HELD, "customer_missing")])
    assert [(key, customer) for key, customer, *_ in written(ledger)] == [(record(0).key, "")]
