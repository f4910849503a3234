"""Batches: the records of one request, where it is, and what the API's answer made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from masivo_engine.model.rows import Entity, Record


class BatchState(StrEnum):
    """
    Where a batch is. A record that a batch carries has its batch's state, so a receipt settles one
    row.

    ``packed`` and ``sending`` are on the way; the others are settled. ``given_back`` was provably
    never sent, and its records wait; ``refused`` was taken apart, and its records have states of
    their own.
    """

    PACKED = "packed"
    SENDING = "sending"
    DELIVERED = "delivered"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    GIVEN_BACK = "given_back"


class Purpose(StrEnum):
    """
    What a batch is sent for; requests that only take a refused batch apart have a budget of their
    own.
    """

    DELIVERY = ""
    ISOLATION = "isolation"


@dataclass(frozen=True, slots=True)
class Batch:
    """
    The records of one request, in the order of *body*, which is what is POSTed.

    *number* counts within the slice, from 1.
    """

    entity: Entity
    number: int
    records: tuple[Record, ...]
    body: bytes

    @property
    def customers(self) -> int:
        """How many customers the request names."""
        return len({record.customer for record in self.records})


@dataclass(frozen=True, slots=True)
class Receipt:
    """
    What the API's answer made of a batch. *status* is 0 where no status line came; *words* are fit
    to be kept.
    """

    state: BatchState
    status: int
    seconds: float
    words: str = ""
    reason: str = ""
