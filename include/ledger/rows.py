"""What is written into the ledger's tables, made from the nouns of the journey; whose run and slice it is, the store adds."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from include.journey import Entity, Record, Rejection, Slice, State
from include.ledger import balances
from include.ledger.bounds import as_text
from include.reasons import RESENT_UNPROVEN


def of_slice(part: Slice) -> dict[str, Any]:
    """Return the row of a slice that nobody has claimed."""
    return {
        "entity": part.entity,
        "number": part.number,
        "of": part.of,
        "lower_bound": as_text(part.lower),
        "upper_bound": as_text(part.upper),
        "planned_rows": part.rows,
        "selects": part.selects,
        "fence": 0,
    }


def of_batch(record: Record, batch: int, unproven: Collection[str] = ()) -> dict[str, Any]:
    """Return the entry of *record*, whose state is that of its *batch*; keys in *unproven* may have arrived before."""
    return _entry(record) | {"batch": batch, "reason": RESENT_UNPROVEN if record.key in unproven else ""}


def of_unsent(row: Record | Rejection, state: State, reason: str, column: str, shape: str) -> dict[str, Any]:
    """Return the entry of a *row* that is not sent."""
    return _entry(row) | {
        "state": state,
        "reason": reason,
        "column_name": column[:190],
        "shape": kept(shape, 250),
    }


def kept(words: str, most: int) -> str:
    """Return *words* of somebody else as any database can store them."""
    return words.replace("\x00", "")[:most]


def _entry(row: Record | Rejection) -> dict[str, Any]:
    record = row if isinstance(row, Record) else None
    return {
        "key": row.key,
        "customer": row.customer,
        "occurrence": row.occurrence,
        "content_hash": record.content_hash if record else None,
        "state": None,
        "reason": "",
        "column_name": "",
        "shape": "",
        "batch": None,
        "points": row.points,
        "balance": balances.as_text(record.balance) if record and record.entity is Entity.CUSTOMERS else None,
        "reward": kept(record.reward, 64) if record else "",
    }
