"""Batches: the records of one request, where it is, and what the API's answer made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from masivo_engine.model.rows import Entity, Record


class BatchState(StrEnum):
    """
    Where a batch is.

    A record that a batch carries has its batch's state, so a receipt changes one row of the ledger.
    """

    PACKED = "packed"  #: written down, waits for its turn
    SENDING = "sending"  #: committed before the POST; a process that dies leaves it so
    DELIVERED = "delivered"  #: 201
    IN_DOUBT = "in_doubt"  #: may have arrived
    REFUSED = "refused"  #: taken apart; its records have states of their own
    GIVEN_BACK = "given_back"  #: provably never sent; its records wait


class Purpose(StrEnum):
    """What a batch is sent for."""

    DELIVERY = ""
    ISOLATION = "isolation"  #: takes a refused batch apart; such requests have a budget of their own
    PROBE = "probe"  #: shows what a second sending of a customer does; one a run


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one request."""

    entity: Entity
    number: int  #: within the slice, from 1
    records: tuple[Record, ...]  #: in the order of *body*
    body: bytes  #: what is POSTed

    @property
    def customers(self) -> int:
        """How many customers the request names."""
        return len({record.customer for record in self.records})


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the API's answer made of a batch."""

    state: BatchState
    status: int  #: of HTTP; 0 if no status line came
    seconds: float  #: from start to end of the request
    words: str = ""  #: of the answer, without anything that must not be kept
    reason: str = ""
