"""
What is written into the ledger's tables, made from the nouns of the journey; whose run and slice it
is, the store adds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, update

from masivo_engine.ledger import encoding, schema
from masivo_engine.ledger.encoding import as_text
from masivo_engine.ledger.writing.bulk_insert import Same
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.model import ledger_capacity
from masivo_engine.model.batches import Batch, BatchState, Purpose
from masivo_engine.model.reasons import RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, Entry, Record, Rejection
from masivo_engine.model.runs import Slice


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


def of_packed(
    lease: Lease, batch: Batch, purpose: Purpose, *, at: datetime, sent_at: datetime | None = None
) -> dict[str, Any]:
    """Return the row of a batch that waits for its turn."""
    return {
        "run": lease.run,
        "entity": lease.entity,
        "slice": lease.slice,
        "fence": lease.fence,
        "number": batch.number,
        "state": BatchState.PACKED,
        "records": len(batch.records),
        "customers": batch.customers,
        "bytes": len(batch.body),
        "body_hash": hashlib.blake2b(batch.body, digest_size=16).digest(),
        "packed_at": at,
        "sent_at": sent_at,
        "purpose": purpose,
    }


def of_batch(
    records: Sequence[Record], batches: int | Sequence[int], unproven: Collection[str] = ()
) -> dict[str, Sequence[Any] | Same]:
    """
    Return the entries of *records*, whose states are those of their *batches*, each of its own or
    all of one; keys in *unproven* may have arrived before.
    """
    reasons = [RESENT_UNPROVEN if record.key in unproven else "" for record in records] if unproven else Same("")
    return _entries(records) | {"batch": Same(batches) if isinstance(batches, int) else batches, "reason": reasons}


def of_unsent(ended: Sequence[Entry]) -> dict[str, Sequence[Any] | Same]:
    """Return the entries of rows that are not sent."""
    return _entries([one.row for one in ended]) | {
        "state": [one.state for one in ended],
        "reason": [one.reason for one in ended],
        "column_name": [kept(one.column, ledger_capacity.COLUMN_NAME) for one in ended],
        "shape": [kept(one.shape, ledger_capacity.SHAPE) for one in ended],
    }


def kept(words: str, most: int) -> str:
    """Return *words* of somebody else as any database can store them."""
    return words.replace("\x00", "")[:most]


def _entries(given: Sequence[Record | Rejection]) -> dict[str, Sequence[Any] | Same]:
    records = [row if isinstance(row, Record) else None for row in given]
    is_events = bool(given) and given[0].entity is Entity.EVENTS
    has_balance = bool(given) and given[0].entity is Entity.CUSTOMERS
    return {
        "key": [row.key for row in given],
        "customer": [row.customer for row in given],
        "occurrence": [row.occurrence for row in given] if any(row.occurrence for row in given) else Same(0),
        "content_hash": [record and record.content_hash for record in records],
        "state": Same(None),
        "reason": Same(""),
        "column_name": Same(""),
        "shape": Same(""),
        "batch": Same(None),
        "points": Same(0) if is_events else [row.points for row in given],
        "balance": [record and encoding.balance_text(record.balance) for record in records]
        if has_balance
        else Same(None),
        "reward": Same("")
        if is_events
        else [kept(record.reward, ledger_capacity.REWARD) if record else "" for record in records],
    }


_CHANGED = ("batch", "state", "reason", "content_hash", "points", "balance")


def move(connection: Connection, place: Mapping[str, Any], anew: Sequence[Mapping[str, Any]]) -> None:
    """
    Move entries of the slice at *place* to another batch, with what is sent now, *anew*: the row
    may have changed since.
    """
    entry = schema.entry
    beside = {"run": schema.run_beside_key, "entity": entry.c.entity, "slice": entry.c.slice}
    this = (*(beside[name] == value for name, value in place.items()), entry.c.key == bindparam("moved"))
    connection.execute(
        update(entry)
        .where(*this, entry.c.batch.is_not(None))
        .values({name: bindparam(f"new_{name}") for name in _CHANGED}),
        [{"moved": row["key"]} | {f"new_{name}": row[name] for name in _CHANGED} for row in anew],
    )
