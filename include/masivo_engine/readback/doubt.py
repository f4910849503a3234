"""A record that was sent and may have arrived, and what a read-back proves of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from masivo_engine.ledger.history.entries import Known
from masivo_engine.model.rows import Record


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    A record that was sent for *customer* in batch *batch* of the ledger at *sent_at* (UTC, no zone)
    and is in doubt as *entry* of some run.

    *refused* is the status with which the API refused the batch, and may have taken part of it all
    the same, else 0; *is_changed* where the row has another content or customer now than what was
    sent; *is_resent* where that batch was a second sending, by policy and not by proof, so that the
    answer to it says nothing of the first.
    """

    record: Record
    customer: str
    entry: int
    batch: int
    sent_at: datetime
    arrived_before: bool
    refused: int = 0
    is_changed: bool = False
    is_resent: bool = False

    @property
    def is_refused(self) -> bool:
        """Whether the API refused its batch."""
        return self.refused != 0

    @property
    def was_refused_first(self) -> bool:
        """Whether the refused request was the only one that can have brought it."""
        return self.is_refused and not self.is_resent


def doubt_about(record: Record, entry: Known, *, arrived_before: bool) -> list[Doubt]:
    """
    Return the doubt about *record*, which was sent as *entry* and may have arrived; none where it
    was not sent.
    """
    if not entry.batch or not entry.sent_at:
        return []
    is_changed = not is_same(entry, record)
    return [
        Doubt(
            record,
            entry.customer,
            entry.id,
            entry.batch,
            entry.sent_at,
            arrived_before,
            entry.status or 0 if entry.is_refused else 0,
            is_changed,
            entry.is_resent,
        )
    ]


def is_same(entry: Known, record: Record) -> bool:
    """
    Whether *entry* is about the content of *record*; the customer counts, and stands outside an
    event's own JSON.
    """
    return (entry.customer, entry.content_hash) == (record.customer, record.content_hash)


class Finding(StrEnum):
    """What a read-back has proved of a record."""

    PRESENT = "present"
    ABSENT = "absent"
    UNPROVEN = "unproven"
