"""
What the ledger forgets: settled rows of old runs, of which a count is kept instead.

A sweep enters a row for everything that has not changed. Once its run is old nobody asks for the
single row any more, only for its account: so rows that are ``unchanged`` or ``superseded`` are
folded into ``masivo_tally``, from where the account adds them. Never forgotten is what a later run
decides by: what was sent, delivered or adopted, what waits or is in doubt, and what shows that a
row which waits is no news.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, insert, or_, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.history.states import ADOPTED
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import MOST_KEYS, portions


AT_ONCE = 5_000  # rows of one transaction: a task that waits for the ledger waits no longer than that

_WAITS = (State.QUARANTINED, State.HELD, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Pruned:
    """
    What was forgotten: *rows* that are counted instead, and sealed *payloads* of rows that are not
    quarantined any more.
    """

    runs: int
    rows: int
    payloads: int

    def __str__(self) -> str:
        return (
            f"{self.rows:,} settled rows of {self.runs:,} runs are counted instead of kept, {self.payloads:,} payloads"
            " are gone"
        )


def prune(ledger: Ledger, *, keep_days: int) -> Pruned:
    """
    Fold the settled rows of runs that ended more than *keep_days* ago, a bounded transaction at a
    time; safe to be done again.

    Raises `Misconfigured` where *keep_days* is below 1.
    """
    if keep_days < 1:
        raise Misconfigured(f"keep-days {keep_days} would forget the run that is under way; give a number from 1")
    runs = rows = 0
    for run in _old(ledger, keep_days):
        folded = sum(_fold(ledger, run, entity) for entity in Entity)
        runs += bool(folded)
        rows += folded
    return Pruned(runs, rows, _forget_payloads(ledger))


def _old(ledger: Ledger, keep_days: int) -> list[int]:
    """
    Return the runs that ended so long ago, oldest first, of which nothing is left to be worked off.
    """
    run, part = schema.run, schema.part
    unfinished = exists().where(part.c.run == run.c.id, part.c.finished_at.is_(None))
    old = run.c.finished_at < now() - timedelta(days=keep_days)
    with ledger.reading() as connection:
        return list(connection.execute(select(run.c.id).where(old, ~unfinished).order_by(run.c.id)).scalars())


def _fold(ledger: Ledger, run: int, entity: Entity) -> int:
    behind = folded = 0
    while True:
        with ledger.engine.begin() as connection:
            # One at a time for a run, so that nothing is counted twice.
            connection.execute(select(schema.run.c.id).where(schema.run.c.id == run).with_for_update())
            found = connection.execute(
                select(schema.entry.c.id, schema.entry.c.state, schema.entry.c.reason, schema.entry.c.points)
                .where(schema.entry.c.run == run, schema.entry.c.entity == entity, schema.entry.c.id > behind)
                .where(*_is_settled())
                .order_by(schema.entry.c.id)
                .limit(AT_ONCE)
            ).all()
            if not found:
                return folded
            counts: dict[tuple[str, str], tuple[int, Decimal]] = {}
            for row in found:
                rows, points = counts.get((row.state, row.reason), (0, Decimal(0)))
                counts[row.state, row.reason] = rows + 1, points + Decimal(str(row.points or 0))
            for (state, reason), (rows, points) in counts.items():
                _count(connection, run, entity, (state, reason), rows, points)
            for ids in portions([row.id for row in found], most=MOST_KEYS):
                connection.execute(delete(schema.payload).where(schema.payload.c.entry.in_(ids)))
                connection.execute(delete(schema.entry).where(schema.entry.c.id.in_(ids)))
        behind, folded = found[-1].id, folded + len(found)


def _is_settled() -> list[ColumnElement[bool]]:
    """
    Say which entries nobody asks for.

    A superseded one shows that what waits today for the same reason is no news, so it stays until
    nothing of its key waits.
    """
    entry = schema.entry
    later = entry.alias("later")
    waits = exists().where(later.c.entity == entry.c.entity, later.c.key == entry.c.key, later.c.state.in_(_WAITS))
    is_seen = and_(entry.c.state == State.UNCHANGED, entry.c.reason != ADOPTED)
    return [entry.c.batch.is_(None), or_(is_seen, and_(entry.c.state == State.SUPERSEDED, ~waits))]


def _count(connection: Connection, run: int, entity: Entity, kind: tuple[str, str], rows: int, points: Decimal) -> None:
    """Add *rows* worth *points* of one *kind*, state and reason, to what is counted of *run*."""
    table = schema.tally
    this = {"run": run, "entity": entity, "state": kind[0], "reason": kind[1]}
    mine = [table.c[name] == value for name, value in this.items()]
    more = {"rows": table.c.rows + rows, "points": table.c.points + points}
    if not connection.execute(update(table).where(*mine).values(more)).rowcount:
        connection.execute(insert(table).values(this | {"rows": rows, "points": points}))


def _forget_payloads(ledger: Ledger) -> int:
    """Delete the sealed payloads of entries that are not quarantined any more."""
    payload, entry = schema.payload, schema.entry
    settled = (
        select(payload.c.entry)
        .join(entry, entry.c.id == payload.c.entry)
        .where(or_(entry.c.state.is_(None), entry.c.state != State.QUARANTINED))
        .limit(AT_ONCE)
    )
    gone = 0
    while True:
        with ledger.engine.begin() as connection:
            ids = list(connection.execute(settled).scalars())
            if not ids:
                return gone
            connection.execute(delete(payload).where(payload.c.entry.in_(ids)))
        gone += len(ids)
