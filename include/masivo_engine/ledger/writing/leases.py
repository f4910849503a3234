"""
Whose turn it is at an entity: two runs that worked on one at once would both find a record unsent,
and send it.

So a run works alone on an entity, with as many of its slices as Airflow starts, and the others wait
for the slices that are being worked off to be finished. A try shows that it lives by every write
(`masivo_slice.renewed_at`); one that has been silent for the lease counts as dead. Of those who
wait, news go before the past: an increment is taken in between two slices of a backfill.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Double, Select, Update, bindparam, case, delete, exists, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import clock, now
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice


# The lower, the sooner; whatever is not named is wanted by a person now.
_RANKS = {"full": 1, "backfill": 2, "sweep": 3}
_STILL_WAITS_S = 120.0  # whoever asked so long ago has gone away


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one try to work off one slice; *fence* grows with every try."""

    run: int
    entity: Entity
    slice: int
    fence: int


def is_my_turn(connection: Connection, run: int, entity: Entity, *, lease_s: float) -> bool:
    """
    Tell whether *run* may begin a slice of *entity* now; if not, write down that it waits.

    Until the transaction ends nobody else is answered.
    """
    part, queue = schema.part, schema.queue
    connection.execute(select(schema.ledger.c.id).with_for_update())
    moment = now(connection)
    others = exists().where(
        part.c.run != run,
        part.c.entity == entity,
        part.c.started_at.is_not(None),
        part.c.finished_at.is_(None),
        part.c.renewed_at > moment - lease_s,
    )
    mine = connection.execute(select(schema.run.c.kind).where(schema.run.c.id == run)).scalar() or ""
    rank = case(_RANKS, value=queue.c.kind, else_=0)
    sooner = exists().where(
        queue.c.run != run,
        queue.c.entity == entity,
        queue.c.asked_at > moment - _STILL_WAITS_S,
        rank < _RANKS.get(mine, 0),
    )
    connection.execute(delete(queue).where(queue.c.run == run, queue.c.entity == entity))
    is_free = not connection.execute(select(others | sooner)).scalar()
    if not is_free:
        connection.execute(insert(queue).values(run=run, entity=entity, kind=mine, asked_at=moment))
    return is_free


def is_behind(ledger: Ledger, run: int, part: Slice, *, lively_s: float) -> bool:
    """
    Whether an earlier slice of the same run and entity is being worked off, and wrote something
    within *lively_s*.
    """
    statement = _is_another_sending(ledger.engine.dialect.name)
    mine = {"of_run": run, "of_entity": part.entity, "of_slice": part.number, "lively_s": lively_s}
    with ledger.reading() as connection:
        return bool(connection.execute(statement, mine).scalar())


@cache
def _is_another_sending(dialect: str) -> Select[tuple[bool]]:
    """Return the question of `is_behind`; it is asked again and again, and made once."""
    table = schema.part
    return select(
        exists().where(
            table.c.run == bindparam("of_run"),
            table.c.entity == bindparam("of_entity"),
            table.c.number < bindparam("of_slice"),
            table.c.finished_at.is_(None),
            table.c.renewed_at > clock(dialect) - bindparam("lively_s", type_=Double),
        )
    )


def hold(connection: Connection, lease: Lease) -> bool:
    """
    Lock the slice of *lease* until the transaction ends, and show that its try lives; False where
    another try has it.
    """
    mine = {"of_run": lease.run, "of_entity": lease.entity, "of_slice": lease.slice, "of_fence": lease.fence}
    return connection.execute(_holding(connection.dialect.name), mine).rowcount == 1


@cache
def _holding(dialect: str) -> Update:
    """Return the statement of `hold`; it is run by every write, and made once."""
    part = schema.part
    return (
        update(part)
        .where(part.c.run == bindparam("of_run"), part.c.entity == bindparam("of_entity"))
        .where(part.c.number == bindparam("of_slice"), part.c.fence == bindparam("of_fence"))
        .values(renewed_at=clock(dialect))
    )


def renew(ledger: Ledger, lease: Lease) -> None:
    """Show that the try of *lease* lives, if the slice is still its own."""
    with ledger.engine.begin() as connection:
        hold(connection, lease)


def let_go(ledger: Ledger, run: int) -> None:
    """
    Let others have what *run* did not finish, without waiting for its lease: nobody works for it
    any more.
    """
    part = schema.part
    unfinished: tuple[Any, ...] = (part.c.run == run, part.c.finished_at.is_(None), part.c.renewed_at.is_not(None))
    with ledger.engine.begin() as connection:
        connection.execute(update(part).where(*unfinished).values(renewed_at=0.0))
        connection.execute(delete(schema.queue).where(schema.queue.c.run == run))
