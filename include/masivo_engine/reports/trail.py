"""
What the ledger knows of one customer: what became of every row of it that any run has read, and
where each has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, Table, and_, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.tallies import GONE
from masivo_engine.model.rows import Entity, State


# Of other states a batch says when the row was sent, not how it came to that.
_BY_A_REQUEST = (State.DELIVERED, State.CONFIRMED, State.IN_DOUBT)


class _Step(NamedTuple):
    """What became of a row in a run."""

    run: int
    row: Row[Any]
    state: str
    reason: str
    column: str
    points: Any
    batch: int | None


def trail(ledger: Ledger, customer: str, unseal: Callable[[bytes], str] | None = None) -> Iterator[str]:
    """
    Yield a line for each step of each row of *customer*, oldest first: run, entity, key, state,
    reason, receipt; with *unseal* what the ledger kept of it, too.
    """
    with ledger.reading() as connection:
        rows = [row for entity in Entity for row in connection.execute(_rows(entity, customer))]
        steps = [step for row in rows for step in _steps(connection, row)]
        runs = _by_id(connection, schema.run, {step.run for step in steps})
        batches = _by_id(connection, schema.batch, {step.batch for step in steps if step.batch is not None})
    for step in sorted(steps, key=lambda step: step.run):  # within a run as they stand, by entity and place
        why = f" {step.reason}" if step.reason else ""
        where = f" ({step.column})" if step.column else ""
        points = f", {step.points:,.2f} points".replace(".00 ", " ") if step.points else ""
        receipt = _receipt(batches[step.batch]) if step.batch is not None else ""
        name, row = runs[step.run].run_id, step.row
        yield f"{name}  {row.entity:<12} {row.key:<24} {step.state}{why}{where}{points}{receipt}"
        if unseal is not None and row.sealed is not None and step.state == State.QUARANTINED:
            yield f"    {unseal(bytes(row.sealed))}"


def _rows(entity: Entity, customer: str) -> Select[Any]:
    """Select the rows that are of *customer*, or were."""
    record, history, payload = schema.record, schema.history, schema.payload
    had = select(history.c.place).where(history.c.customer == customer, history.c.entity == entity)
    is_or_was = or_(
        record.c.customer == customer,
        and_(record.c.has_customer == customer, record.c.has_customer != record.c.customer),
        and_(record.c.out_customer == customer, record.c.out_customer != record.c.customer),
        record.c.place.in_(had),
    )
    kept = record.outerjoin(payload, and_(payload.c.entity == record.c.entity, payload.c.place == record.c.place))
    mine = select(record, payload.c.sealed).select_from(kept).where(record.c.entity == entity, is_or_was)
    return mine.order_by(record.c.home, record.c.place)


def _steps(connection: Connection, row: Row[Any]) -> Iterator[_Step]:
    history, sent = schema.history, schema.batch
    this = (history.c.entity == row.entity, history.c.home == row.home, history.c.place == row.place)
    former = select(history, sent.c.run.label("sent_in")).outerjoin(sent, sent.c.id == history.c.batch)
    known = set()
    for old in connection.execute(former.where(*this).order_by(history.c.id)):
        state, batch = old.state, old.batch if old.state in _BY_A_REQUEST else None
        if state == State.DELIVERED and batch is not None and old.sent_in != old.run:
            if batch not in known:
                yield _Step(old.sent_in, row, state, "", "", old.points, batch)
            known.add(batch)
            state, batch = State.UNCHANGED, None
        known.add(batch)
        yield _Step(old.run, row, state, old.reason, old.column_name, old.points, batch)
    there = State.CONFIRMED if row.confirmed_at is not None else State.DELIVERED
    is_of_last_run = row.state == State.DELIVERED and row.has_run == row.run
    if row.has_batch is not None and row.has_batch not in known and not is_of_last_run:
        yield _Step(row.has_run, row, there, "", "", row.has_points, row.has_batch)
    now = row.state if row.state != State.DELIVERED else there if is_of_last_run else State.UNCHANGED
    batch = row.has_batch if is_of_last_run else row.out_batch
    yield _Step(row.run, row, now, row.reason, row.column_name, row.points, batch)
    if row.gone_run is not None:
        yield _Step(row.gone_run, row, GONE, "", "", row.has_points, None)


def _by_id(connection: Connection, table: Table, ids: set[int]) -> dict[int, Row[Any]]:
    return {row.id: row for row in connection.execute(select(table).where(table.c.id.in_(sorted(ids))))}


def _receipt(batch: Row[Any]) -> str:
    sent = f" sent {batch.sent_at:%Y-%m-%d %H:%M:%S} UTC, answered {batch.status or 'nothing'}"
    return f", batch {batch.id}{sent if batch.requests else ''}"
