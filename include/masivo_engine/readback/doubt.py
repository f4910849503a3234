"""A record that was sent and may have arrived, and what a read-back proves of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.writing.handles import as_handle
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity
from masivo_engine.sql import at_once, one_of


NOT_TAKEN = "accepted, and not taken by the queue"


@dataclass(frozen=True, slots=True)
class Content:
    """What of a record the API can show, as it was sent."""

    worth: Mapping[str, Decimal]
    email: bytes | None
    handle: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    The record at *place* that was sent as *sent*, for *customer*, in batch *batch* of the ledger,
    of run
    *run*, at *sent_at* (UTC, no zone), and may have arrived.

    *refused* is the status with which the API refused the batch, and may have taken part of it all
    the same, else 0; *words* are what it said, and *is_alone* is whether the batch carried nothing
    that is judged apart from this. *is_accepted*: the answer was 201, and it is not known whether
    the queue took it (`masivo_engine.delivery.probe`). *before* is what the API had of it already,
    None if nothing.
    """

    entity: Entity
    place: str
    key: str
    customer: str
    batch: int
    run: int
    sent_at: datetime
    sent: Content
    before: Content | None = None
    refused: int = 0
    is_accepted: bool = False
    is_alone: bool = False
    words: str = ""
    content: bytes = b""

    @property
    def is_refused(self) -> bool:
        """Whether the API refused its batch."""
        return self.refused != 0

    @property
    def is_answered(self) -> bool:
        """Whether an answer came, so that what has not arrived is not on its way any more."""
        return self.is_refused or self.is_accepted


class Finding(StrEnum):
    """What a read-back has proved of a record."""

    PRESENT = "present"  #: there, and equal to what was sent
    ABSENT = "absent"  #: not there, although something that was sent later is
    DIFFERS = "differs"  #: there, and not equal
    UNPROVEN = "unproven"


def doubts_at(ledger: Ledger, entity: Entity, places: Collection[str]) -> list[Doubt]:
    """Return what is out of the rows at *places*, in the order of their batches."""
    record, batch = schema.record, schema.batch
    found: list[Doubt] = []
    statement = select(
        record,
        batch.c.sent_at,
        batch.c.packed_at,
        batch.c.status,
        batch.c.words,
        batch.c.records,
        batch.c.customers,
        batch.c.run.label("of_run"),
        batch.c.state.label("of_batch"),
    ).join(batch, batch.c.id == record.c.out_batch)
    with ledger.reading() as connection:
        for some in at_once(sorted(set(places)), connection.dialect.name):
            among = one_of(record.c.place, some, connection.dialect.name)
            rows = connection.execute(statement.where(record.c.entity == entity, among))
            found += [_doubt(entity, row) for row in rows]
    return sorted(found, key=lambda doubt: (doubt.batch, doubt.place))


def _doubt(entity: Entity, row: Any) -> Doubt:
    has_arrived = row.has_hash is not None
    return Doubt(
        entity,
        row.place,
        row.key,
        row.out_customer or "",
        row.out_batch,
        row.of_run,
        row.sent_at or row.packed_at,
        Content(as_worth(row.out_worth), row.out_email, as_handle(row.out_handle)),
        Content(as_worth(row.has_worth), row.has_email, as_handle(row.has_handle)) if has_arrived else None,
        row.status or 0 if row.of_batch == BatchState.REFUSED else 0,
        is_accepted=row.of_batch == BatchState.DELIVERED,
        is_alone=(row.customers if entity is Entity.TRANSACTIONS else row.records) == 1,
        words=row.words or "",
        content=row.out_hash,
    )
