"""
What becomes of what is out: it arrives, or is given up. So say receipts and read-backs, and of
doubts a person, or the mapping's policy where nothing settles them.

What is given up may still arrive, so it stays a stray: no refusal convicts the row from then on.

Values are in the order in which they are set: MySQL takes what it has changed already for what was
there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Update, case, literal, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import kept
from masivo_engine.model import ledger_capacity
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State


_RECORD = schema.record
#: What the API has where that is not what any row says.
NO_CONTENT = b"\x00" * 16

# Of several contents none is kept, because whichever is shown, another one may still come.
_IS_FIRST, _IS_ALIKE = _RECORD.c.strays == 0, _RECORD.c.stray_hash == _RECORD.c.out_hash
GIVEN_UP: dict[str, Any] = {
    "stray_hash": case((_IS_FIRST | _IS_ALIKE, _RECORD.c.out_hash), else_=None),
    "strays": _RECORD.c.strays + 1,
    **schema.NOTHING_OUT,
}
# What a read-back has shown is there is no stray any more.
SHOWN: dict[str, Any] = {
    "strays": case((_IS_ALIKE, 0), else_=_RECORD.c.strays),
    "stray_hash": case((_IS_ALIKE, None), else_=_RECORD.c.stray_hash),
}


def new_state(run: int, state: State, reason: str, *, shape: str = "") -> dict[str, Any]:
    """Return the values of a row that *run* has put into *state*; where it was so, it stays so."""
    is_as_before = (_RECORD.c.state == state.value) & (_RECORD.c.reason == reason)
    return {
        "since_run": case((is_as_before, _RECORD.c.since_run), else_=literal(run)),
        "state": state,
        "reason": reason,
        "column_name": "",
        "shape": kept(shape, ledger_capacity.SHAPE),
    }


def changing(values: Mapping[str, Any]) -> Update:
    """Return the statement that sets *values*, in their order."""
    return update(_RECORD).ordered_values(*((_RECORD.c[name], value) for name, value in values.items()))


def arriving(run: int, reason: Any, waits_for: str, then: Mapping[str, Any] | None = None) -> Update:
    """
    Return the statement by which what is out is what the API has, and *then* changes.

    The row is delivered, for *reason*, if that is what it says now; if it changed meanwhile, it
    *waits_for* being judged anew.
    """
    is_as_sent = (_RECORD.c.hash == _RECORD.c.out_hash) & (_RECORD.c.customer == _RECORD.c.out_customer)
    return changing(
        {
            "state": case((is_as_sent, State.DELIVERED.value), else_=State.HELD.value),
            "reason": case((is_as_sent, reason), else_=waits_for),
            **(then or {}),
            "column_name": "",
            "shape": "",
            "since_run": run,
            "judged": None,
            **{f"has_{name}": _RECORD.c[f"out_{name}"] for name in schema.CONTENT},
            "has_batch": _RECORD.c.out_batch,
            "has_run": run,
            "confirmed_at": None,
            **schema.NOTHING_OUT,
        }
    )


def arrived(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool]) -> int:
    """
    Enter that a person knows that what is out of *which* rows has arrived; return how many rows.
    """
    return _change(ledger, entity, arriving(run, "settled_by_person", "released"), schema.is_out, *which)


def give_up(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool]) -> int:
    """Let rows be sent again whose fate nobody knows; return how many."""
    values = GIVEN_UP | new_state(run, State.HELD, "released")
    return _change(ledger, entity, changing(values), schema.is_out, *which)


def settle_strays(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool], has_it: bool) -> int:
    """
    Enter what a person says of rows of which an older content may have arrived since: that the API
    *has_it* as it is now, or else that it is to be sent again. Return how many.
    """
    state, reason = (State.DELIVERED, "settled_by_person") if has_it else (State.HELD, "released")
    values = {"strays": 0, "stray_hash": None} | new_state(run, state, reason)
    if not has_it:
        values["has_hash"] = NO_CONTENT
    return _change(ledger, entity, changing(values), ~schema.is_out, _RECORD.c.reason == "stray", *which)


def doubts_unread(ledger: Ledger, run: int, entity: Entity) -> list[str]:
    """Return the places of which something is in doubt, and that *run* has not met."""
    batch = schema.batch
    waits = select(_RECORD.c.place).join(batch, batch.c.id == _RECORD.c.out_batch)
    # What was accepted and is out all the same is a probe.
    is_over = batch.c.state.in_([BatchState.IN_DOUBT, BatchState.REFUSED, BatchState.DELIVERED])
    with ledger.reading() as connection:
        mine = (_RECORD.c.entity == entity, schema.is_out, _RECORD.c.run != run, is_over)
        return list(connection.execute(waits.where(*mine)).scalars())


def _change(ledger: Ledger, entity: Entity, statement: Update, *which: ColumnElement[bool]) -> int:
    # What is on its way at this moment is not in doubt.
    these = (_RECORD.c.entity == entity, schema.is_waiting(State.IN_DOUBT), *which)
    with ledger.engine.begin() as connection:
        return int(connection.execute(statement.where(*these)).rowcount)
