"""
Questions of those who send and read back: how much was delivered to whom, what was delivered later,
and how the account has answered of late.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import Column, ColumnElement, Connection, and_, exists, func, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import stamp
from masivo_engine.model.batches import BatchState, Purpose
from masivo_engine.model.rows import Entity
from masivo_engine.sql import at_once, one_of


class Arrived(NamedTuple):
    """A record that the API has, as it was sent: its *key*, its *customer* and its *handle*."""

    key: str
    customer: str
    handle: str | None


def is_of(whose: Column[str | None], customers: Sequence[str], dialect: str) -> ColumnElement[bool]:
    """
    Whether a record was sent to one of *customers*, by *whose*: ``out_customer`` or
    ``has_customer``.

    It is asked so that indexes answer it: hardly any is another one than the row's customer today.
    """
    today = schema.record.c.customer
    return or_(
        and_(one_of(today, customers, dialect), whose == today),
        and_(one_of(whose, customers, dialect), whose != today),
    )


def last_delivered(ledger: Ledger, run: int, entity: Entity, *, batches: int) -> list[str]:
    """Return a key of each of the last *batches* batches of *entity* that *run* delivered."""
    record, batch = schema.record, schema.batch
    latest = (
        select(batch.c.id)
        .where(batch.c.run == run, batch.c.entity == entity, batch.c.state == BatchState.DELIVERED)
        .order_by(batch.c.sent_at.desc(), batch.c.id.desc())
        .limit(batches)
    )
    with ledger.reading() as connection:
        ids = list(connection.execute(latest).scalars())
        rows = connection.execute(
            select(record.c.has_batch, record.c.key)
            .where(record.c.has_run == run, record.c.has_batch.in_(ids))
            .order_by(record.c.home, record.c.place)
        )
        return list({row.has_batch: row.key for row in rows}.values())  # the last one of each


def delivered_keys(ledger: Ledger, entity: Entity) -> int:
    """Count the records of *entity* that the API has, over all runs."""
    counted = select(func.count()).select_from(schema.record)
    with ledger.reading() as connection:
        there = counted.where(schema.record.c.entity == entity, schema.has_arrived)
        return int(connection.execute(there).scalar_one())


def delivered_events(ledger: Ledger, customers: Collection[str]) -> dict[str, int]:
    """Count the events of *customers* that the API accepted, over all runs."""
    record = schema.record
    with ledger.reading() as connection:
        return _events(connection, record.c.has_customer, customers, func.count(record.c.has_batch))


def open_events(ledger: Ledger, customers: Collection[str]) -> dict[str, int]:
    """Count the events of *customers* that were sent and may have arrived, over all runs."""
    record = schema.record
    with ledger.reading() as connection:
        found = _events(connection, record.c.out_customer, customers, func.count(record.c.out_batch))
        # What was given up was sent to the customer of its row, as far as anybody knows.
        for customer, strays in _events(connection, record.c.customer, customers, func.sum(record.c.strays)).items():
            found[customer] = found.get(customer, 0) + strays
    return found


def _events(
    connection: Connection, whose: Column[str | None], customers: Collection[str], counted: ColumnElement[int]
) -> dict[str, int]:
    found: dict[str, int] = {}
    for some in at_once(sorted(customers), connection.dialect.name):
        among = is_of(whose, some, connection.dialect.name)
        statement = select(whose, counted).where(schema.record.c.entity == Entity.EVENTS, among).group_by(whose)
        found |= {customer: int(number) for customer, number in connection.execute(statement) if customer and number}
    return found


def delivered_after(ledger: Ledger, entity: Entity, moment: datetime, batch: int, *, batches: int = 3) -> list[Arrived]:
    """
    Return what was delivered in the first *batches* of *entity* that were accepted, and packed and
    sent after *batch* at *moment*, and was not sent again since.

    Both, because stamps were once of workers' clocks, which may differ; batches have always been
    numbered by the database.
    """
    record, table = schema.record, schema.batch
    brought = (record.c.has_run == table.c.run, record.c.has_batch == table.c.id)
    first = (
        select(table.c.id)
        .where(
            table.c.entity == entity,
            table.c.state == BatchState.DELIVERED,
            table.c.sent_at > moment,
            table.c.id > batch,
            exists().where(*brought),
        )
        .order_by(table.c.sent_at)
        .limit(batches)
    )
    with ledger.reading() as connection:
        later = list(connection.execute(first).scalars())
        rows = connection.execute(
            select(record.c.key, record.c.has_customer, record.c.has_handle)
            .select_from(table.join(record, and_(*brought)))
            .where(table.c.id.in_(later))
            .order_by(table.c.id, record.c.home, record.c.place)
        )
        return [Arrived(row.key, row.has_customer, row.has_handle) for row in rows]


def doubts_in_a_row(ledger: Ledger, entity: Entity, *, most: int) -> int:
    """
    Return how many of the newest answers to requests of *entity* prove nothing, one after the
    other; *most* is enough.
    """
    batch = schema.batch
    decided = [BatchState.DELIVERED, BatchState.REFUSED, BatchState.IN_DOUBT]
    newest = (
        select(batch.c.state, batch.c.reason)
        .where(batch.c.entity == entity, batch.c.state.in_(decided))
        .order_by(batch.c.id.desc())
        .limit(most)
    )
    with ledger.reading() as connection:
        rows = connection.execute(newest).all()
    # A task that died says nothing of the API.
    proves_nothing = [row.state == BatchState.IN_DOUBT and row.reason != "task_died" for row in rows]
    return [*proves_nothing, False].index(False)


def isolated_within_hour(ledger: Ledger) -> int:
    """
    Return the requests of the account's last hour that took refused batches apart, whichever slice
    or run sent them.

    By the ledger's clock, as they are stamped. A stamp from the future counts, so that a clock that
    was set back cannot open the budget.
    """
    batch = schema.batch
    with ledger.reading() as connection:
        spent = select(func.coalesce(func.sum(batch.c.requests), 0)).where(
            batch.c.purpose == Purpose.ISOLATION, batch.c.sent_at > stamp(connection) - timedelta(hours=1)
        )
        return int(connection.execute(spent).scalar_one())
