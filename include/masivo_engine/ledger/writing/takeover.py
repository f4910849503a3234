"""
What a try does, when it claims a slice, with what other tries left: it must neither send what they
sent nor believe what they began.

Of runs that died the same is done before a run looks for what is open: else what they had in hand
would wait for a slice that never comes.

===============  ==================================  =============================================
a batch left as  what it becomes                     its records
===============  ==================================  =============================================
packed           given back: provably not sent       held, and nothing of them is out
being sent       in doubt: perhaps sent              in doubt, and read back
===============  ==================================  =============================================

Whatever else was left is in the ledger as it was judged, and judged again when it is read.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.connection import now as utc
from masivo_engine.ledger.dialects import now
from masivo_engine.model.batches import BatchState
from masivo_engine.model.judged import NOT_YET_SENT
from masivo_engine.model.rows import Entity, State


def take_over(connection: Connection, run: int, entity: Entity, number: int) -> None:
    """
    Settle what earlier tries of this slice left, and fence every other run off *entity*.

    Two runs that worked on one entity at once would both find a record unsent, and send it twice.
    """
    _settle(connection, run, entity, number)
    _fence(connection, schema.part.c.run != run, schema.part.c.entity == entity)


def settle_dead(ledger: Ledger, run: int, entity: Entity, *, lease_s: float) -> None:
    """
    Settle what tries of *entity*, of runs other than *run*, left behind that have been silent for
    *lease_s*; and fence them off.
    """
    part = schema.part
    with ledger.engine.begin() as connection:
        # As whoever claims a slice does it: so none is claimed meanwhile.
        connection.execute(select(schema.ledger.c.id).with_for_update())
        is_silent = part.c.renewed_at < now(connection) - lease_s
        _fence(connection, part.c.run != run, part.c.entity == entity, is_silent)


def settle_run(ledger: Ledger, run: int) -> None:
    """Settle what tries of *run* left behind that nobody will go on with, and fence them off."""
    with ledger.engine.begin() as connection:
        connection.execute(select(schema.ledger.c.id).with_for_update())
        _fence(connection, schema.part.c.run == run)


def _settle(connection: Connection, run: int, entity: str, number: int) -> None:
    batch, record = schema.batch, schema.record
    this = (batch.c.run == run, batch.c.entity == entity, batch.c.slice == number)
    left = select(batch.c.id, batch.c.state).where(*this, batch.c.state.in_([BatchState.SENDING, BatchState.PACKED]))
    for row in connection.execute(left).all():
        theirs = update(record).where(record.c.out_batch == row.id)
        mine = update(batch).where(batch.c.id == row.id)
        if row.state == BatchState.SENDING:
            connection.execute(mine.values(state=BatchState.IN_DOUBT, reason="task_died", settled_at=utc()))
            connection.execute(theirs.values(state=State.IN_DOUBT, reason="task_died", since_run=run))
        else:
            connection.execute(mine.values(state=BatchState.GIVEN_BACK, settled_at=utc()))
            connection.execute(theirs.values(schema.NOTHING_OUT | {"state": State.HELD, "reason": "run_stopped"}))
    unsent = (record.c.run == run, record.c.entity == entity, record.c.slice == number)
    connection.execute(
        update(record)
        .where(*unsent, schema.is_waiting(State.HELD), record.c.reason == NOT_YET_SENT, record.c.out_batch.is_(None))
        .values(reason="run_stopped")
    )


def _fence(connection: Connection, *which: ColumnElement[bool]) -> None:
    """Fence off the tries of *which* slices that did not finish, and settle what they left."""
    part = schema.part
    unfinished = (*which, part.c.finished_at.is_(None), part.c.renewed_at.is_not(None))
    left = connection.execute(select(part.c.run, part.c.entity, part.c.number).where(*unfinished)).all()
    if left:
        connection.execute(update(part).where(*unfinished).values(fence=part.c.fence + 1, renewed_at=None))
    for one in left:
        _settle(connection, one.run, one.entity, one.number)
