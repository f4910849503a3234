"""
A customer's transactions as the API has them or was sent them: they are one set, whatever rows
there are now.
"""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from sqlalchemy import or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.history.states import ADOPTED, ARRIVED, OUT, is_no_sighting
from masivo_engine.ledger.writing.slice_ledger import Ledger
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import at_once, one_of


def points_of(ledger: Ledger, customers: Collection[str]) -> dict[str, dict[str, Decimal]]:
    """
    Return the points of the transactions of *customers* that arrived, by reward; of each key as it
    arrived last.
    """
    entry = schema.entry
    latest: dict[str, dict[str, tuple[str, Decimal]]] = {}
    with ledger.reading() as connection:
        for some in at_once(list(customers), connection.dialect.name):
            rows = connection.execute(
                select(entry.c.customer, entry.c.key, entry.c.reward, entry.c.points)
                .select_from(schema.entry_and_batch)
                .where(
                    entry.c.entity == Entity.TRANSACTIONS,
                    one_of(entry.c.customer, some, connection.dialect.name),
                    is_no_sighting(),
                    or_(schema.state_of_entry.in_(ARRIVED), entry.c.reason == ADOPTED),
                )
                .order_by(entry.c.id)
            )
            for row in rows:
                latest.setdefault(row.customer, {})[row.key] = (row.reward, Decimal(str(row.points)))
    points: dict[str, dict[str, Decimal]] = {}
    for customer, arrived in latest.items():
        sums = points.setdefault(customer, {})
        for reward, amount in arrived.values():
            sums[reward] = sums.get(reward, Decimal(0)) + amount
    return points


def sent_together(
    ledger: Ledger, batches: Collection[int], customers: Collection[str]
) -> dict[tuple[int, str], dict[int, bool]]:
    """
    Return the entries that *batches* carried for *customers*, by batch and customer: True where
    they are in doubt still.
    """
    entry, batch = schema.entry, schema.batch
    found: dict[tuple[int, str], dict[int, bool]] = {}
    with ledger.reading() as connection:
        for some in at_once(list(batches), connection.dialect.name):
            rows = connection.execute(
                select(batch.c.id, entry.c.customer, entry.c.id.label("entry"), entry.c.state)
                .select_from(batch.join(entry, schema.of_its_batch))
                .where(batch.c.id.in_(some))
            )
            for row in rows:
                if row.customer in customers:
                    is_out = row.state is None or row.state in OUT
                    found.setdefault((row.id, row.customer), {})[row.entry] = is_out
    return found


def transactions_waiting(ledger: Ledger, customers: Collection[str], reason: str) -> dict[str, dict[int, int]]:
    """
    Return the transactions of *customers* that are held or quarantined for *reason*, by customer:
    the run of each entry.
    """
    entry = schema.entry
    found: dict[str, dict[int, int]] = {}
    with ledger.reading() as connection:
        for some in at_once(list(customers), connection.dialect.name):
            rows = connection.execute(
                select(entry.c.customer, entry.c.id, entry.c.run).where(
                    entry.c.entity == Entity.TRANSACTIONS,
                    one_of(entry.c.customer, some, connection.dialect.name),
                    entry.c.state.in_([State.HELD, State.QUARANTINED]),
                    entry.c.reason == reason,
                )
            )
            for row in rows:
                found.setdefault(row.customer, {})[row.id] = row.run
    return found
