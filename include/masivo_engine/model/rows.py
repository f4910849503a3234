"""
Rows, from the legacy database to the ledger.

``legacy row -> record -> batch -> request -> receipt -> ledger entry``

A *row* that cannot become a *record* becomes a *rejection*; both end as one ledger entry. The words
are those of the design, and every table, log line and message uses them. The other nouns are in
`masivo_engine.model.batches` and `masivo_engine.model.runs`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple


NO_BALANCE: Mapping[str, Decimal] = MappingProxyType({})


class Entity(StrEnum):
    """
    What is migrated, in the order in which it must be: the API knows a child only after its
    customer.
    """

    CUSTOMERS = "customers"
    EVENTS = "events"
    TRANSACTIONS = "transactions"

    @property
    def has_parent(self) -> bool:
        """Whether a record of this entity belongs to a customer that must be there first."""
        return self is not Entity.CUSTOMERS


class State(StrEnum):
    """
    Where a row that was read has ended: exactly one of these, and per run they add up to the rows
    read.

    The comment says whose move it is next.
    """

    DELIVERED = "delivered"  # nobody's; a read-back may make it confirmed
    CONFIRMED = "confirmed"  # nobody's
    UNCHANGED = "unchanged"  # nobody's: the same content was delivered before
    QUARANTINED = "quarantined"  # the owner of the data or of the mapping
    HELD = "held"  # frees itself when what it waits for changes
    IN_DOUBT = "in_doubt"  # a read-back, or a person
    SUPERSEDED = "superseded"  # nobody's: a newer version replaced it before it was sent


# A named tuple costs a quarter of a frozen dataclass, and there is one for every row.
class Record(NamedTuple):
    """
    One validated payload.

    *body* is its canonical JSON (UTF-8, sorted keys, no spaces): the bytes that are hashed are the
    bytes that are sent. *points* are what the record is worth to its customer: the sum of a
    customer's balance, a transaction's amount, nothing for an event. *balance* is points by reward,
    for customers only. *is_odd* where it is valid and suspicious all the same.
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
    is_outlier: bool = False


class Rejection(NamedTuple):
    """
    A row that did not become a record: which, why, and in which column.

    *shape* describes the offending value without showing it ("text of 14 characters"), because rows
    hold personal data.
    """

    entity: Entity
    key: str
    customer: str
    reason: str
    column: str = ""
    shape: str = ""
    points: Decimal = Decimal(0)
    occurrence: int = 0


Row = Sequence[Any]
Lists = Mapping[str, Sequence[Row]]


class LegacyRow(NamedTuple):
    """One row as the database gave it, with the elements of its lists by path."""

    values: Row
    lists: Lists


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """
    A row of which only key and customer could be read; *reason* and *column* say what stood in the
    way.

    *amount* is that of a transaction, where it could be read too, so that the account in points is
    whole.
    """

    key: Any
    customer: Any
    reason: str
    column: str
    shape: str = ""
    amount: Any = None


class Entry(NamedTuple):
    """Where one row ended, other than in a batch."""

    row: Record | Rejection
    state: State
    reason: str = ""
    column: str = ""
    shape: str = ""
