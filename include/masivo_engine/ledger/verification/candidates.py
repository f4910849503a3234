"""
Whom a read-back could read: the ledger's answers to the questions of
`masivo_engine.verification.sample`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.counts import is_of
from masivo_engine.ledger.verification.pending import (
    brought_by,
    is_unconfirmed,
    last_delivery,
    later_by,
    to_be_confirmed,
)
from masivo_engine.model.rows import Entity
from masivo_engine.sql import at_once


_PAGE = 5000


def count(ledger: Ledger, runs: Collection[int]) -> int:
    """Return how many customers of *runs* have something that is delivered and not confirmed."""
    with ledger.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(to_be_confirmed(runs).subquery())).scalar_one())


def due(ledger: Ledger, runs: Collection[int], *, settle_after_s: float) -> datetime:
    """
    Return when the API's queue has had *settle_after_s* for all that *runs* delivered (UTC, no
    zone).
    """
    return later_by(last_delivery(ledger, runs) or now(), settle_after_s)


def everybody(ledger: Ledger, runs: Collection[int]) -> Iterator[str]:
    """Yield the customers that `count` counts, in order."""
    named = to_be_confirmed(runs).subquery()
    with ledger.reading() as connection:
        rows = connection.execution_options(yield_per=_PAGE).execute(
            select(named.c.customer).order_by(named.c.customer)
        )
        yield from rows.scalars()


def runs_of(ledger: Ledger, customers: Sequence[str], *, among: Collection[int] = ()) -> dict[str, int]:
    """
    Return the newest run, *among* some where given, that delivered something to each of
    *customers*.
    """
    record = schema.record
    found: dict[str, int] = {}
    with ledger.reading() as connection:
        dialect = connection.dialect.name
        for some in at_once(customers, dialect):
            rows = connection.execute(
                select(record.c.has_customer, func.max(record.c.has_run).label("run"))
                .where(
                    record.c.entity.in_(list(Entity)),
                    is_of(record.c.has_customer, some, dialect),
                    record.c.has_batch.is_not(None),
                    *([record.c.has_run.in_(list(among))] if among else []),
                )
                .group_by(record.c.has_customer)
            )
            found |= {row.has_customer: row.run for row in rows}
    return {name: found[name] for name in customers if name in found}


def found_before(ledger: Ledger, runs: Collection[int], most: int) -> list[str]:
    """Return customers of whom the last read-back found something, or did not come to the end."""
    finding = schema.finding
    with ledger.reading() as connection:
        return list(
            connection.execute(
                select(finding.c.customer)
                .where(finding.c.run.in_(list(runs)), finding.c.bucket != "metrics")
                .group_by(finding.c.customer)
                .order_by(func.min(finding.c.id))
                .limit(most)
            ).scalars()
        )


def of_every_reason(ledger: Ledger, runs: Collection[int]) -> list[str]:
    """
    Return up to two customers for each state and reason of rows of *runs* that were not delivered,
    who have something that was.
    """
    record = schema.record
    there = to_be_confirmed(runs).subquery()
    with ledger.reading() as connection:
        rows = connection.execute(
            select(func.min(record.c.customer).label("first"), func.max(record.c.customer).label("last"))
            .select_from(record.join(there, there.c.customer == record.c.customer))
            .where(record.c.run.in_(list(runs)), schema.is_open | (record.c.reason != ""))
            .group_by(record.c.entity, record.c.state, record.c.reason)
        ).all()
    return list(dict.fromkeys(name for row in rows for name in (row.first, row.last)))


def top_balances(ledger: Ledger, runs: Collection[int], most: int) -> list[str]:
    """Return the customers with the most points that *runs* delivered."""
    record = schema.record
    with ledger.reading() as connection:
        return list(
            connection.execute(
                select(record.c.has_customer)
                .where(record.c.entity == Entity.CUSTOMERS, brought_by(runs), is_unconfirmed())
                .order_by(record.c.has_points.desc(), record.c.home)
                .limit(most)
            ).scalars()
        )


def edges(ledger: Ledger, runs: Collection[int], most: int) -> list[str]:
    """
    Return the first and the last customer of *runs*' batches, which are filled in their order; of
    many batches, of some all over the run.
    """
    record = schema.record
    with ledger.reading() as connection:
        ends = connection.execute(
            select(func.min(record.c.has_customer).label("first"), func.max(record.c.has_customer).label("last"))
            .where(brought_by(runs), is_unconfirmed())
            .group_by(record.c.has_batch)
            .order_by(record.c.has_batch)
        ).all()
    customers = [name for row in ends for name in (row.first, row.last)]
    step = max(1, -(-len(customers) // max(1, most)))
    return list(dict.fromkeys(customers[::step]))
