"""
What a person says of records in doubt, or the mapping's policy says of those that nothing settles.

``arrived``: the API has what is out. ``give_up``: it has not; the row waits and is sent again. What
is given up may still arrive, so it stays a stray: no refusal convicts the row from then on.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, case, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State


_RECORD = schema.record
#: What the API has where that is not what any row says.
NO_CONTENT = b"\x00" * 16

# What was given up may still arrive. The first of several is the one that a read-back asks about;
# of several contents none is, because whichever is shown, another one may still come.
_IS_FIRST, _IS_ALIKE = _RECORD.c.strays == 0, _RECORD.c.stray_hash == _RECORD.c.out_hash
STRAYING: tuple[tuple[str, Any], ...] = (
    ("stray_hash", case((_IS_FIRST | _IS_ALIKE, _RECORD.c.out_hash), else_=None)),
    ("stray_batch", case((_IS_FIRST, _RECORD.c.out_batch), else_=_RECORD.c.stray_batch)),
    ("strays", _RECORD.c.strays + 1),
)


def arrived(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool]) -> int:
    """
    Enter that a person knows that what is out of *which* rows has arrived; return how many rows.
    """
    is_as_sent = (_RECORD.c.hash == _RECORD.c.out_hash) & (_RECORD.c.customer == _RECORD.c.out_customer)
    values: list[tuple[Any, Any]] = [
        (_RECORD.c.state, case((is_as_sent, State.DELIVERED.value), else_=State.HELD.value)),
        (_RECORD.c.reason, case((is_as_sent, "settled_by_person"), else_="released")),
        (_RECORD.c.since_run, run),
        *((_RECORD.c[f"has_{name}"], _RECORD.c[f"out_{name}"]) for name in schema.CONTENT),
        (_RECORD.c.has_batch, _RECORD.c.out_batch),
        (_RECORD.c.has_run, run),
        (_RECORD.c.confirmed_at, None),
        *((_RECORD.c[name], None) for name in schema.NOTHING_OUT),
    ]
    return _change(ledger, entity, values, *which)


def settle_strays(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool], has_it: bool) -> int:
    """
    Enter what a person says of rows of which an older content may have arrived since: that the API
    *has_it* as it is now, or else that it is to be sent again. Return how many.
    """
    these = (_RECORD.c.entity == entity, schema.is_waiting(State.IN_DOUBT), _RECORD.c.reason == "stray")
    now: dict[str, Any] = (
        {"state": State.DELIVERED, "reason": "settled_by_person"}
        if has_it
        else {"state": State.HELD, "reason": "released", "has_hash": NO_CONTENT}
    )
    settled = {"strays": 0, "stray_batch": None, "stray_hash": None, "since_run": run}
    with ledger.engine.begin() as connection:
        statement = update(_RECORD).where(*these, ~schema.is_out, *which)
        return int(connection.execute(statement.values(now | settled)).rowcount)


def doubts_unread(ledger: Ledger, run: int, entity: Entity) -> list[str]:
    """Return the places of which something is in doubt, and that *run* has not met."""
    batch = schema.batch
    waits = select(_RECORD.c.place).join(batch, batch.c.id == _RECORD.c.out_batch)
    is_over = batch.c.state.in_([BatchState.IN_DOUBT, BatchState.REFUSED])
    with ledger.reading() as connection:
        mine = (_RECORD.c.entity == entity, schema.is_out, _RECORD.c.run != run, is_over)
        return list(connection.execute(waits.where(*mine)).scalars())


def give_up(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool]) -> int:
    """Let rows be sent again whose fate nobody knows; return how many."""
    values: list[tuple[Any, Any]] = [
        (_RECORD.c.state, State.HELD.value),
        (_RECORD.c.reason, "released"),
        (_RECORD.c.since_run, run),
        *((_RECORD.c[name], value) for name, value in STRAYING),
        *((_RECORD.c[name], None) for name in schema.NOTHING_OUT),
    ]
    return _change(ledger, entity, values, *which)


def _change(ledger: Ledger, entity: Entity, values: list[tuple[Any, Any]], *which: ColumnElement[bool]) -> int:
    # In this order: MySQL takes what it has changed already for what was there. What is on its way
    # at this moment is not in doubt.
    these = (_RECORD.c.entity == entity, schema.is_waiting(State.IN_DOUBT), schema.is_out, *which)
    with ledger.engine.begin() as connection:
        return int(connection.execute(update(_RECORD).where(*these).ordered_values(*values)).rowcount)
