"""
What a try does, when it claims a slice, with what other tries left: it must neither send what they
sent nor believe what they began.

Of runs that died the same is done before a run looks for what waits: else what they had in hand
would wait for a slice that never comes.

===============  ====================================  =============================================
a batch left as  what it becomes                       its records
===============  ====================================  =============================================
packed           given back: provably not sent         forgotten or, of another run, held; what may
                                                       have arrived before is in doubt as before
being sent       in doubt: perhaps sent                read back
refused          refused, and perhaps partly accepted  forgotten or, of another run, held; or read
                                                       back if that may be, or if they may have
                                                       arrived before
===============  ====================================  =============================================
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, delete, func, or_, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.dialects import now, stamp
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.reasons import RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import at_once


def take_over(connection: Connection, run: int, entity: Entity, number: int, *, at: datetime) -> None:
    """
    Settle what earlier tries of this slice left, forget its rows that were not sent, and fence
    every other run off *entity*.

    Two runs that worked on one entity at once would both find a record unsent, and send it twice.
    """
    _refuse_folded(connection, run, entity)
    _settle(connection, run, entity, number, at)
    _forget_unsent(connection, run, entity, number)
    _fence(connection, run, entity, at)


def settle_dead(connection: Connection, run: int, entity: Entity, *, at: datetime, lease_s: float) -> None:
    """
    Settle what tries of runs other than *run* left of *entity*, and have been silent for *lease_s*;
    and fence them off.
    """
    # As whoever claims a slice does it: so none is claimed meanwhile.
    connection.execute(select(schema.ledger.c.id).with_for_update())
    _fence(connection, run, entity, at, schema.part.c.renewed_at < now(connection) - lease_s)


def held_or_in_doubt(reason: str) -> dict[str, Any]:
    """
    Return what entries of a batch that was not sent become: held for *reason*, or in doubt where
    they may have arrived before.
    """
    is_unproven = schema.entry.c.reason == RESENT_UNPROVEN
    # The state first, as the table has it: MySQL would ask for the new reason else.
    return {
        "state": case((is_unproven, State.IN_DOUBT), else_=State.HELD),
        "reason": case((is_unproven, RESENT_UNPROVEN), else_=reason),
    }


def note_settled(connection: Connection, which: ColumnElement[bool]) -> None:
    """
    Note in the batches of *which* entries, whose doubt a read-back or a person has just settled,
    that it was now: children may wait for it.
    """
    batch, entry = schema.batch, schema.entry
    # Not as a question within the statement, which MariaDB asks for every batch that there is.
    theirs = select(entry.c.batch).where(which, entry.c.batch.is_not(None)).distinct()
    for some in at_once(list(connection.execute(theirs).scalars()), connection.dialect.name):
        connection.execute(update(batch).where(batch.c.id.in_(some)).values(settled_at=stamp(connection)))


def _settle(connection: Connection, run: int, entity: Entity, number: int, at: datetime) -> None:
    batch, entry = schema.batch, schema.entry
    this = (batch.c.run == run, batch.c.entity == entity, batch.c.slice == number)
    theirs = (entry.c.run == run, entry.c.entity == entity, entry.c.slice == number, entry.c.state.is_(None))
    connection.execute(
        update(batch)
        .where(*this, batch.c.state == BatchState.SENDING)
        .values(state=BatchState.IN_DOUBT, reason="task_died", settled_at=at)
    )
    connection.execute(
        update(batch)
        .where(*this, batch.c.state == BatchState.PACKED)
        .values(state=BatchState.GIVEN_BACK, settled_at=at)
    )
    connection.execute(
        update(entry)
        .where(*theirs, entry.c.batch.in_(_batches(run, entity, number, BatchState.GIVEN_BACK)))
        .values(held_or_in_doubt("run_stopped"))
    )
    # The API has not taken what it refused now, and may have taken what was sent before.
    connection.execute(
        update(entry)
        .where(*theirs, entry.c.batch.in_(_batches(run, entity, number, BatchState.REFUSED)))
        .where(entry.c.reason == RESENT_UNPROVEN)
        .values(state=State.IN_DOUBT)
    )
    refused, table = _batches(run, entity, number, BatchState.REFUSED), schema.refusal
    known = select(table.c.status).where(table.c.entity == entity, table.c.leaves == "atomic")
    # A single record has no part that could have been taken.
    untaken = refused.where(or_(batch.c.records == 1, batch.c.status.in_(known)))
    connection.execute(update(entry).where(*theirs, entry.c.batch.in_(untaken)).values(held_or_in_doubt("run_stopped")))
    # Of the others the API may have taken one.
    connection.execute(
        update(entry).where(*theirs, entry.c.batch.in_(refused)).values(state=State.IN_DOUBT, reason="refusal_unproven")
    )


def _refuse_folded(connection: Connection, run: int, entity: Entity) -> None:
    """
    Refuse a run that is so old that its rows are not all there any more
    (`masivo_engine.ledger.runs.retention`): they would count twice.
    """
    table = schema.tally
    folded = select(table.c.id).where(table.c.run == run, table.c.entity == entity).limit(1)
    if connection.execute(folded).first() is not None:
        raise LedgerError(
            f"the settled {entity} of this run are only counted any more, so it cannot be done again: trigger a new"
            " run; nothing was sent"
        )


def _forget_unsent(connection: Connection, run: int, entity: Entity, number: int) -> None:
    entry = schema.entry
    given_back = entry.c.batch.in_(_batches(run, entity, number, BatchState.GIVEN_BACK)) & (
        entry.c.reason != RESENT_UNPROVEN
    )
    unjudged = entry.c.batch.in_(_batches(run, entity, number, BatchState.REFUSED)) & (entry.c.reason == "run_stopped")
    unsent = (
        entry.c.run == run,
        entry.c.entity == entity,
        entry.c.slice == number,
        entry.c.batch.is_(None) | given_back | unjudged,
    )
    _reopen(connection, run, entity, number, unsent)
    connection.execute(delete(schema.payload).where(schema.payload.c.entry.in_(select(entry.c.id).where(*unsent))))
    connection.execute(delete(entry).where(*unsent))


def _reopen(
    connection: Connection, run: int, entity: Entity, number: int, forgotten: tuple[ColumnElement[bool], ...]
) -> None:
    """
    Let wait again what was superseded by entries that are *forgotten* now: this try may die before
    it reads their rows, and be the last.
    """
    entry = schema.entry
    waited = or_(entry.c.state.in_([State.HELD, State.QUARANTINED]), entry.c.batch.is_not(None))
    keys = connection.execute(select(entry.c.key).where(*forgotten, waited, entry.c.key != "").distinct()).scalars()
    is_mine = and_(entry.c.run == run, entry.c.slice == number)
    for some in at_once(list(keys), connection.dialect.name):
        others = (entry.c.entity == entity, entry.c.key.in_(some), ~is_mine)
        is_known = or_(entry.c.state.is_(None), entry.c.state.not_in([State.SUPERSEDED, State.UNCHANGED]))
        known = set(connection.execute(select(entry.c.key).where(*others, is_known)).scalars())
        last = select(entry.c.key, func.max(entry.c.id).label("id")).where(
            *others, entry.c.state == State.SUPERSEDED, entry.c.run < run
        )
        ids = [row.id for row in connection.execute(last.group_by(entry.c.key)) if row.key not in known]
        connection.execute(update(entry).where(entry.c.id.in_(ids)).values(state=State.HELD, reason="run_stopped"))


def _fence(connection: Connection, run: int, entity: Entity, at: datetime, *which: ColumnElement[bool]) -> None:
    part = schema.part
    unfinished = (
        *which,
        part.c.run != run,
        part.c.entity == entity,
        part.c.finished_at.is_(None),
        part.c.renewed_at.is_not(None),
    )
    others = connection.execute(select(part.c.run, part.c.number).where(*unfinished)).all()
    if others:
        connection.execute(update(part).where(*unfinished).values(fence=part.c.fence + 1, renewed_at=None))
    for other in others:
        _settle(connection, other.run, entity, other.number, at)


def _batches(run: int, entity: Entity, number: int, state: BatchState) -> Select[tuple[int]]:
    batch = schema.batch
    return select(batch.c.id).where(
        batch.c.run == run, batch.c.entity == entity, batch.c.slice == number, batch.c.state == state
    )
