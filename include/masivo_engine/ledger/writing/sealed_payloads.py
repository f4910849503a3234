"""
The payloads of quarantined records, sealed: for whoever has to find out what the API refused.

The only place where the ledger holds what a row says; off unless somebody asks for it and there is
a key. Sealing is handed in, because the key is Airflow's. A payload goes with its entry, or when
its record is no longer quarantined (`masivo_engine.ledger.runs.retention`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from masivo_engine.ledger import schema
from masivo_engine.model.rows import Record, State
from masivo_engine.sql import MOST_KEYS, portions


Seal = Callable[[bytes], bytes]


def keep(connection: Connection, seal: Seal, place: Mapping[str, Any], records: Iterable[Record]) -> None:
    """Keep the bodies of those *records* whose entries of the slice at *place* are quarantined."""
    entry, payload = schema.entry, schema.payload
    bodies = {(record.key, record.occurrence): record.body for record in records}
    beside = {"run": schema.run_beside_key, "entity": entry.c.entity, "slice": entry.c.slice}
    mine = [beside[name] == value for name, value in place.items()]
    for keys in portions(sorted({key for key, _ in bodies}), most=MOST_KEYS):
        quarantined = select(entry.c.id, entry.c.key, entry.c.occurrence).where(
            *mine, entry.c.key.in_(keys), entry.c.state == State.QUARANTINED
        )
        found = {row.id: bodies.get((row.key, row.occurrence)) for row in connection.execute(quarantined)}
        sealed = [{"entry": number, "sealed": seal(body)} for number, body in found.items() if body is not None]
        if sealed:
            connection.execute(delete(payload).where(payload.c.entry.in_([row["entry"] for row in sealed])))
            connection.execute(insert(payload), sealed)
