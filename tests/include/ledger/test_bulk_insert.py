"""
Rows by the thousand: what was given by column is read back row by row, whatever stands in it and
however many there are.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.judged import SENT, Judged
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, Record, State
from tests.builders import begin, end, quarantined, rejection, see


# Also what separates the values of a column where they are given as one text.
NAMES = ["plain", "Ñandú", "with\x1fseparator", "with 'quotes' and \\", '{curly},""', "\\x00", "NULL", "%s ?"]


def record(position):
    key = f"{NAMES[position % len(NAMES)]} {position}"
    digest = position.to_bytes(16)
    places = {"place": place_of(key), "owner": place_of(f"C {key}")}
    return Record(
        Entity.TRANSACTIONS,
        key,
        f"C {key}",
        b"{}",
        digest,
        Decimal(position) / 4,
        reward=NAMES[position % 2],
        changed=key,
        **places,
    )


@pytest.fixture
def mine(ledger):
    return claim(ledger, begin(ledger, "run", Entity.TRANSACTIONS), Entity.TRANSACTIONS, 1)


def written(ledger):
    table = schema.record
    with ledger.reading() as connection:
        return connection.execute(select(table).order_by(table.c.home, table.c.place)).all()


@pytest.mark.parametrize("count", [1, 2, 7, 19, 20, 21, 499, 500, 501, 1013])
def test_a_page_is_written_whole(ledger, mine, count):
    records = [record(position) for position in range(count)]
    see(mine, *(Judged(one, SENT, one.place) for one in records))
    found = {row.place: row for row in written(ledger)}
    assert len(found) == count
    for one in records:
        row = found[one.place]
        assert (row.key, row.customer, row.changed, row.home) == (one.key, one.customer, one.key, one.owner)
        assert (bytes(row.hash), row.points, row.state) == (one.content_hash, one.points, "held")
        assert as_worth(row.worth) == {one.reward: one.points}


def test_rows_that_are_not_sent_are_written_with_their_states_and_shapes(ledger, mine):
    ended = [end(record(position), State.HELD, "customer_missing") for position in range(25)]
    bad = rejection(Entity.TRANSACTIONS, "", "missing_key", "transaction_id", "text with \x1f in it")
    see(mine, *ended, quarantined(bad))
    found = {row.key: row for row in written(ledger)}
    without = found.pop("")
    assert {(key, row.state, row.reason) for key, row in found.items()} == {
        (one.row.key, "held", "customer_missing") for one in ended
    }
    assert (without.customer, without.hash, without.state) == ("", None, "quarantined")
    assert (without.column_name, without.shape) == ("transaction_id", "text with \x1f in it")


def test_a_single_empty_text_is_a_text(ledger, mine):
    see(mine, end(record(0)._replace(customer="", changed=""), State.HELD, "customer_missing"))
    assert [(row.key, row.customer, row.changed) for row in written(ledger)] == [(record(0).key, "", "")]
