"""
The nouns of a row's journey, in the order in which a row meets them.

``legacy row -> record -> batch -> request -> receipt -> ledger entry``

A *row* that cannot become a *record* becomes a *rejection*; both end as one ledger entry. The words are those of the
design, and every table, log line and message uses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


NO_BALANCE: Mapping[str, Decimal] = MappingProxyType({})


class Entity(StrEnum):
    """What is migrated, in the order in which it must be: the API knows a child only after its customer."""

    CUSTOMERS = "customers"
    EVENTS = "events"
    TRANSACTIONS = "transactions"

    @property
    def has_parent(self) -> bool:
        """Whether a record of this entity belongs to a customer that must be there first."""
        return self is not Entity.CUSTOMERS


class State(StrEnum):
    """
    Where a row that was read has ended: exactly one of these, and per run they add up to the rows read.

    The comment says whose move it is next.
    """

    DELIVERED = "delivered"  # nobody's; a read-back may make it confirmed
    CONFIRMED = "confirmed"  # nobody's
    UNCHANGED = "unchanged"  # nobody's: the same content was delivered before
    QUARANTINED = "quarantined"  # the owner of the data or of the mapping
    HELD = "held"  # frees itself when what it waits for changes
    IN_DOUBT = "in_doubt"  # a read-back, or a person
    SUPERSEDED = "superseded"  # nobody's: a newer version replaced it before it was sent


class BatchState(StrEnum):
    """
    Where a batch is. A record that a batch carries has its batch's state, so a receipt settles one row.

    ``packed`` and ``sending`` are on the way; the others are settled. ``given_back`` was provably never sent, and
    its records wait; ``refused`` was taken apart, and its records have states of their own.
    """

    PACKED = "packed"
    SENDING = "sending"
    DELIVERED = "delivered"
    IN_DOUBT = "in_doubt"
    REFUSED = "refused"
    GIVEN_BACK = "given_back"


class Purpose(StrEnum):
    """What a batch is sent for; requests that only take a refused batch apart have a budget of their own."""

    DELIVERY = ""
    ISOLATION = "isolation"


# A named tuple costs a quarter of a frozen dataclass, and there is one for every row.
class Record(NamedTuple):
    """
    One validated payload.

    *body* is its canonical JSON (UTF-8, sorted keys, no spaces): the bytes that are hashed are the bytes that are sent.
    *points* are what the record is worth to its customer: the sum of a customer's balance, a transaction's amount,
    nothing for an event. *balance* is points by reward, for customers only. *is_odd* where it is valid and suspicious all the same.
    """

    entity: Entity
    key: str
    customer: str
    body: bytes
    content_hash: bytes
    points: Decimal = Decimal(0)
    balance: Mapping[str, Decimal] = NO_BALANCE
    reward: str = ""
    email: str = ""
    occurrence: int = 0
    is_odd: bool = False


class Rejection(NamedTuple):
    """
    A row that did not become a record: which, why, and in which column.

    *shape* describes the offending value without showing it ("text of 14 characters"), because rows hold personal data.
    """

    entity: Entity
    key: str
    customer: str
    reason: str
    column: str = ""
    shape: str = ""
    points: Decimal = Decimal(0)
    occurrence: int = 0


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
class Slice:
    """
    The part of an entity that one mapped task works off: the customers from *lower* up to, not including, *upper*.

    ``None`` is an open end, so that the slices of an entity cover every row whatever is inserted meanwhile. Rows
    without a customer belong to the first. *rows* is what the plan counted. A slice that *selects* ``keys`` reads the rows that the
    ledger names for it, and none that the others read.
    """

    entity: Entity
    number: int
    of: int
    lower: Any
    upper: Any
    rows: int
    selects: str = "window"


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the account's API allows, from its connection; a response's headers may only slow it.

    A slice takes at most *slice_requests* and *slice_s* seconds of the lane; a try that wrote nothing for *lease_s* counts as dead.
    *isolation_per_hour* is how many of an hour's requests may go into taking refused batches apart. Sources: masivo_api.md 2.1 and 2.3; *body_bytes* is U14's safe guess. Times are seconds, from start to start.
    """

    records: int = 1000
    customers: int = 1000
    body_bytes: int = 4_000_000
    interval_s: float = 5.0
    margin_s: float = 0.05
    per_hour: int = 1000
    slice_requests: int = 50
    isolation_per_hour: int = 600
    slice_s: float = 1200.0
    lease_s: float = 180.0
