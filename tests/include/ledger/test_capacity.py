"""
What the ledger can hold, tried by writing the largest of everything on each database.
"""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import Numeric, String, Text, delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from masivo_engine.ledger import schema
from masivo_engine.model import ledger_capacity, reasons
from masivo_engine.planning import guards, replay
from masivo_engine.planning.mapping_change import CHOICES


# The widest character that there is, in bytes.
WIDE = "\N{GRINNING FACE}"
_NOON = dt.datetime(2026, 1, 1, 12)  # noqa: DTZ001 (the ledger's times have no zone)
_PLAIN = {"String": "", "_String": "", "Text": "{}", "DateTime": _NOON, "Double": 0.0}

BOUNDED = [
    (table, column)
    for table in schema.metadata.sorted_tables
    for column in table.columns
    if not column.foreign_keys and isinstance(column.type, String | Numeric) and column.type.python_type is not float
]
LARGEST_POINTS = [99_999_999_999_999, -99_999_999_999_999, 99_999_999_999_999.9, 0.000001]


@pytest.fixture
def rows(ledger):
    """A ledger with one row in every table; the engine."""
    with ledger.engine.begin() as connection:
        connection.execute(delete(schema.ledger))
        for table in schema.metadata.sorted_tables:
            connection.execute(insert(table).values({column.name: _plain(column) for column in table.columns}))
    return ledger.engine


def _plain(column):
    if column.foreign_keys or (column.primary_key and not isinstance(column.type, String)):
        return 1 if column.type.python_type is int or column.foreign_keys else b"\0" * 16
    if column.type.python_type is bytes:
        return b"\0" * 16
    return _PLAIN.get(type(column.type).__name__, 0)


def test_every_bounded_column_holds_what_the_table_of_limits_says_and_no_more(rows):
    for table, column in BOUNDED:
        for largest, above in _bounds(column):
            with rows.begin() as connection:
                connection.execute(update(table).values({column.name: largest}))
                found = connection.execute(select(column)).scalar()
                assert (float(found) == float(largest)) if isinstance(largest, int | float) else (found == largest), (
                    column
                )
                connection.rollback()
            if above is not None and rows.dialect.name != "sqlite":  # whose columns have no width
                with rows.connect() as connection, pytest.raises(DBAPIError):
                    connection.execute(update(table).values({column.name: above}))


def _bounds(column):
    """Yield the largest values of *column*, each with one that it cannot hold."""
    if isinstance(column.type, Numeric):
        is_sum = column.table is schema.tally
        for points in LARGEST_POINTS:
            yield points, None if is_sum else 10**14
        if is_sum:
            yield 10**14 * 1_000_000, None
    elif isinstance(column.type, Text):
        yield WIDE * 100_000, None
    else:
        yield WIDE * column.type.length, WIDE * (column.type.length + 1)


def test_the_limits_stand_in_one_place():
    known = {value for name, value in vars(ledger_capacity).items() if name.isupper()}
    lengths = {column.type.length for _, column in BOUNDED if isinstance(column.type, String) and column.type.length}
    assert lengths <= known


def test_what_we_ourselves_call_things_has_room():
    assert max(map(len, reasons.REASONS)) <= ledger_capacity.REASON
    assert max(map(len, [*guards.Guard, *replay.IN_DOUBT, *CHOICES, "release"])) <= ledger_capacity.ACTION
