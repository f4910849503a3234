"""
Whom a read-back could read: the ledger's answers to the questions of
`masivo_engine.verification.sample`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from sqlalchemy import func, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.history.states import ARRIVED
from masivo_engine.ledger.verification.pending import last_delivery, later_by, to_be_confirmed
from masivo_engine.model.rows import Entity, State


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
    entry = schema.entry
    within = [entry.c.run.in_(list(among))] if among else []
    found: dict[str, int] = {}
    with ledger.reading() as connection:
        for first in range(0, len(customers), _PAGE):
            rows = connection.execute(
                select(entry.c.customer, func.max(entry.c.run).label("run"))
                .select_from(schema.entry_and_batch)
                .where(
                    entry.c.customer.in_(list(customers[first : first + _PAGE])),
                    schema.state_of_entry.in_(ARRIVED),
                    *within,
                )
                .group_by(entry.c.customer)
            )
            found |= {row.customer: row.run for row in rows}
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
    entry, state = schema.entry, schema.state_of_entry
    there = to_be_confirmed(runs).subquery()
    with ledger.reading() as connection:
        rows = connection.execute(
            select(func.min(entry.c.customer).label("first"), func.max(entry.c.customer).label("last"))
            .select_from(schema.entry_and_batch.join(there, there.c.customer == entry.c.customer))
            .where(
                entry.c.run.in_(list(runs)),
                or_(state.not_in(ARRIVED), schema.reason_of_entry != ""),
            )
            .group_by(entry.c.entity, state, schema.reason_of_entry)
        ).all()
    return list(dict.fromkeys(name for row in rows for name in (row.first, row.last)))


def top_balances(ledger: Ledger, runs: Collection[int], most: int) -> list[str]:
    """Return the customers with the most points that *runs* delivered."""
    entry = schema.entry
    with ledger.reading() as connection:
        return list(
            connection.execute(
                select(entry.c.customer)
                .select_from(schema.entry_and_batch)
                .where(
                    entry.c.run.in_(list(runs)),
                    entry.c.entity == Entity.CUSTOMERS,
                    schema.state_of_entry == State.DELIVERED.value,
                )
                .order_by(entry.c.points.desc(), entry.c.id)
                .limit(most)
            ).scalars()
        )


def edges(ledger: Ledger, runs: Collection[int], most: int) -> list[str]:
    """
    Return the first and the last customer of *runs*' batches, which are filled in their order; of
    many batches, of some all over the run.
    """
    entry = schema.entry
    with ledger.reading() as connection:
        ends = connection.execute(
            select(func.min(entry.c.customer).label("first"), func.max(entry.c.customer).label("last"))
            .select_from(schema.entry_and_batch)
            .where(
                entry.c.run.in_(list(runs)),
                entry.c.batch.is_not(None),
                schema.state_of_entry == State.DELIVERED.value,
            )
            .group_by(entry.c.batch)
            .order_by(entry.c.batch)
        ).all()
    customers = [name for row in ends for name in (row.first, row.last)]
    step = max(1, -(-len(customers) // max(1, most)))
    return list(dict.fromkeys(customers[::step]))
