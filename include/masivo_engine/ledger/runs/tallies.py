"""
The account of a run in numbers: how many of its rows have ended in which state, for which reason.

While a run is under way it is asked of the rows that the run has seen last, and of what is written
down of those that another run has seen since. When it ends all of it is written down, and stays.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import stamp
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.judged import NOT_YET_SENT
from masivo_engine.model.rows import Entity, State


GONE = "gone"  #: as the state of rows that the API has, and that the run did not find in the source any more

#: The states in which a row waits for somebody or something.
OPEN = (State.QUARANTINED, State.HELD, State.IN_DOUBT)


class Tally(NamedTuple):
    """
    Rows of a run in one *state* for one *reason*, and the *column* where that is named.

    *new* are those of an open state that had not ended so before.
    """

    entity: Entity
    state: str
    reason: str
    column: str
    rows: int
    points: Decimal
    new: int


def count(connection: Connection, run: int) -> list[Tally]:
    """
    Return how the rows of *run* have ended: as it was written down, and where it was not, as it is.
    """
    frozen_at = connection.execute(select(schema.run.c.frozen_at).where(schema.run.c.id == run)).scalar()
    found: dict[tuple[str, ...], Tally] = {}
    for one in (_written if frozen_at else _live)(connection, run):
        if before := found.get(one[:4]):
            sums = before.rows + one.rows, before.points + one.points, before.new + one.new
            found[one[:4]] = Tally(*one[:4], *sums)
        else:
            found[one[:4]] = one
    return [one for one in found.values() if one.rows]


def freeze(ledger: Ledger, run: int) -> None:
    """
    Write down how the rows of *run* have ended, unless that was done; nobody may work for it any
    more.
    """
    record = schema.record
    unpacked = (schema.is_waiting(State.HELD), record.c.reason == NOT_YET_SENT, ~schema.is_out)
    waits = (record.c.entity.in_(list(Entity)), *unpacked, record.c.run == run)
    with ledger.engine.begin() as connection:
        if frozen(connection, [run]):
            return
        # What is on the wire stays as it is: whoever goes on finds out what became of it.
        unsent = update(record).where(*waits)
        connection.execute(unsent.values(reason="run_stopped", since_run=run))
        for one in _live(connection, run):
            add(connection, run, *one)
        connection.execute(delete(schema.left).where(schema.left.c.run == run))
        connection.execute(update(schema.run).where(schema.run.c.id == run).values(frozen_at=stamp(connection)))


def reopen(connection: Connection, run: int, entity: Entity) -> None:
    """
    Let a run go on that had ended. Raises `LedgerError` where another one has read *entity* since:
    what that saw would be missing here.
    """
    if not frozen(connection, [run]):
        return
    part, tally, record = schema.part, schema.tally, schema.record
    later = select(part.c.number).where(part.c.run > run, part.c.started_at.is_not(None))
    # Also an older run that went on meanwhile.
    written = select(func.coalesce(func.sum(tally.c.rows), 0)).where(tally.c.run == run, tally.c.state != GONE)
    still = select(func.count()).where(record.c.run == run)
    is_overtaken = connection.execute(later.limit(1)).first() is not None
    if is_overtaken or int(connection.execute(written).scalar_one()) != connection.execute(still).scalar_one():
        raise LedgerError(
            f"this run has ended, and another one has read {entity} since: trigger a new run; nothing was sent"
        )
    connection.execute(delete(schema.tally).where(schema.tally.c.run == run))
    connection.execute(update(schema.run).where(schema.run.c.id == run).values(frozen_at=None))


def frozen(connection: Connection, runs: Collection[int]) -> set[int]:
    """
    Return those of *runs* whose account is written down; none of the others is until the
    transaction ends.
    """
    table = schema.run
    mine = select(table.c.id, table.c.frozen_at).where(table.c.id.in_(sorted(runs))).order_by(table.c.id)
    return {row.id for row in connection.execute(mine.with_for_update(key_share=True)) if row.frozen_at is not None}


def add(  # noqa: PLR0913, PLR0917 (the columns of a tally)
    connection: Connection,
    run: int,
    entity: Entity,
    state: str,
    reason: str,
    column: str,
    rows: int,
    points: Decimal,
    new: int,
) -> None:
    """Add rows to what is written down of *run*; below zero it takes them away."""
    table = schema.tally
    # One at a time for a run: two who find no line would write two.
    frozen(connection, [run])
    this = {"run": run, "entity": entity, "state": state, "reason": reason, "column_name": column}
    mine = [table.c[name] == value for name, value in this.items()]
    amounts = {"rows": rows, "points": points, "new": new}
    more = {name: table.c[name] + amount for name, amount in amounts.items()}
    if not connection.execute(update(table).where(*mine).values(more)).rowcount:
        connection.execute(insert(table).values(this | amounts))


def rows_of(connection: Connection, run: int, entity: Entity, state: State, reason: str) -> int:
    """Return how many rows are written down of *run* as in *state* for *reason*."""
    table = schema.tally
    this = {"run": run, "entity": entity, "state": state, "reason": reason, "column_name": ""}
    rows = select(func.coalesce(func.sum(table.c.rows), 0)).where(*(table.c[name] == of for name, of in this.items()))
    return int(connection.execute(rows).scalar_one())


def _written(connection: Connection, run: int) -> Iterator[Tally]:
    table = schema.tally
    yield from _tallies(connection, select(*(table.c[name] for name in _COLUMNS)).where(table.c.run == run))


def _live(connection: Connection, run: int) -> Iterator[Tally]:
    yield from _tallies(connection, _summed(as_left().where(schema.record.c.run == run)))
    yield from _tallies(connection, _summed(select(schema.left).where(schema.left.c.run == run)))
    yield from _tallies(connection, _gone(run))


_COLUMNS = ("entity", "state", "reason", "column_name", "rows", "points", "new")


def _tallies(connection: Connection, statement: Select[Any]) -> Iterator[Tally]:
    for row in connection.execute(statement):
        entity, state, reason, column, rows, points, new = row
        yield Tally(Entity(entity), state, reason, column, int(rows), Decimal(str(points or 0)), int(new))


def as_left() -> Select[Any]:
    """
    Ask how rows have ended in the account of the run that has seen them last, as `schema.left` has
    it.
    """
    record = schema.record
    return select(
        record.c.run,
        record.c.entity,
        record.c.place,
        record.c.slice,
        schema.state_in(record.c.run).label("state"),
        record.c.reason,
        record.c.column_name,
        record.c.points,
        case((_is_new(), 1), else_=0).label("new"),
    )


def _is_new() -> ColumnElement[bool]:
    """Whether a row is in trouble since the run that saw it last, and had not been so before."""
    record, history = schema.record, schema.history
    was_so = exists().where(
        history.c.entity == record.c.entity,
        history.c.home == record.c.home,
        history.c.place == record.c.place,
        history.c.until_run == record.c.run,
        history.c.state == record.c.state,
        history.c.reason == record.c.reason,
    )
    return and_(record.c.state.in_(OPEN), record.c.since_run == record.c.run, ~was_so)


def _summed(ended: Select[Any]) -> Select[Any]:
    """Sum up rows that *ended* has as `schema.left` has them."""
    each = ended.subquery()
    kind = (each.c.entity, each.c.state, each.c.reason, each.c.column_name)
    return select(*kind, func.count(), func.sum(each.c.points), func.sum(each.c.new)).group_by(*kind)


def _gone(run: int) -> Select[Any]:
    record = schema.record
    return (
        select(
            record.c.entity,
            literal(GONE),
            literal(""),
            literal(""),
            func.count(),
            func.sum(record.c.has_points),
            literal(0),
        )
        .where(record.c.gone_run == run, schema.has_arrived)
        .group_by(record.c.entity)
    )
