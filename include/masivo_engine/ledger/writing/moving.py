"""Records that are sent again: their entries leave the batch that was refused or lost, for the one that carries them now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, update

from masivo_engine.ledger import schema


_CHANGED = ("batch", "state", "reason", "content_hash", "points", "balance")


def move(connection: Connection, place: Mapping[str, Any], anew: Sequence[Mapping[str, Any]]) -> None:
    """Move entries of the slice at *place* to another batch, with what is sent now, *anew*: the row may have changed since."""
    entry = schema.entry
    beside = {"run": schema.run_beside_key, "entity": entry.c.entity, "slice": entry.c.slice}
    this = (*(beside[name] == value for name, value in place.items()), entry.c.key == bindparam("moved"))
    connection.execute(
        update(entry)
        .where(*this, entry.c.batch.is_not(None))
        .values({name: bindparam(f"new_{name}") for name in _CHANGED}),
        [{"moved": row["key"]} | {f"new_{name}": row[name] for name in _CHANGED} for row in anew],
    )
