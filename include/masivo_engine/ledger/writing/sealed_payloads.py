"""
The payloads of quarantined records, sealed: for whoever has to find out what the API refused.

The only place where the ledger holds what a row says; off unless somebody asks for it and there is
a key. Sealing is handed in, because the key is Airflow's. A payload goes when its row is no longer
quarantined (`masivo_engine.ledger.runs.retention`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sqlalchemy import Connection, delete, insert, select

from masivo_engine.ledger import schema
from masivo_engine.model.rows import Entity, Record, State
from masivo_engine.sql import at_once, one_of


Seal = Callable[[bytes], bytes]


def keep(connection: Connection, seal: Seal, entity: Entity, records: Iterable[Record]) -> None:
    """Keep the bodies of those *records* of *entity* whose rows are quarantined."""
    record, payload = schema.record, schema.payload
    bodies = {one.place: one.body for one in records}
    for places in at_once(sorted(bodies), connection.dialect.name):
        among = one_of(record.c.place, places, connection.dialect.name)
        quarantined = select(record.c.place).where(
            record.c.entity == entity, among, record.c.state == State.QUARANTINED
        )
        found = [place for place in connection.execute(quarantined).scalars() if place in bodies]
        if found:
            mine = one_of(payload.c.place, found, connection.dialect.name)
            connection.execute(delete(payload).where(payload.c.entity == entity, mine))
            sealed = [{"entity": entity, "place": place, "sealed": seal(bodies[place])} for place in found]
            connection.execute(insert(payload), sealed)
