"""
Rows, from the legacy database to the ledger.

``legacy row -> record -> batch -> request -> receipt -> ledger``

A *row* that cannot become a *record* becomes a *rejection*; the ledger has one row for either, by
its *place* (`masivo_engine.model.places`). Every table, log line and message uses these words. The
other nouns are in `masivo_engine.model.batches` and `masivo_engine.model.runs`.
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
    What is migrated, in the order in which it is sent.

    The API accepts a child only after its customer.
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
    Where a row that was read has ended.

    A row is in exactly one state, and the states of a run add up to the rows that it read. The
    comments say who moves next.
    """

    DELIVERED = "delivered"  #: nobody; a read-back may make it confirmed
    CONFIRMED = "confirmed"  #: nobody
    UNCHANGED = "unchanged"  #: nobody: the same content was delivered before
    QUARANTINED = "quarantined"  #: the owner of the data or of the mapping
    HELD = "held"  #: nobody: it frees itself when what it waits for changes
    IN_DOUBT = "in_doubt"  #: a read-back, or a person


# A named tuple costs a quarter of a frozen dataclass, and there is one for every row.
class Record(NamedTuple):
    """One validated payload, ready to be batched."""

    entity: Entity
    key: str  #: legacy key of the row
    customer: str  #: legacy id of the customer that it belongs to
    body: bytes  #: canonical JSON (UTF-8, sorted keys, no spaces); these bytes are hashed and sent
    content_hash: bytes  #: blake2b-128 of *body*
    points: Decimal = Decimal(0)  #: sum of a customer's balance, a transaction's amount, 0 for an event
    balance: Mapping[str, Decimal] = NO_BALANCE  #: points by reward; customers only
    reward: str = ""  #: of a transaction
    email: str = ""  #: of a customer, as it is sent
    place: str = ""  #: of its key, as the database handed it out
    owner: str = ""  #: place of its customer, likewise
    changed: str = ""  #: its change time as the database handed it out, to be compared and not read
    is_outlier: bool = False  #: valid, but of a kind that the API may refuse


class Rejection(NamedTuple):
    """A row that did not become a record: which, why, and in which column."""

    entity: Entity
    key: str
    customer: str
    reason: str  #: a code of `masivo_engine.model.reasons`
    column: str = ""
    shape: str = ""  #: the value described, never shown: "text of 14 characters"; rows hold personal data
    points: Decimal = Decimal(0)
    place: str = ""  #: as a record has it; known before anything of the row is judged
    owner: str = ""
    changed: str = ""


Row = Sequence[Any]
Lists = Mapping[str, Sequence[Row]]


class LegacyRow(NamedTuple):
    """One row as the database gave it, with the elements of its lists by path."""

    values: Row
    lists: Lists


@dataclass(frozen=True, slots=True)
class UnreadableRow:
    """A row of which only key and customer could be read."""

    key: Any
    customer: Any
    reason: str  #: what stood in the way
    column: str  #: and in which column
    shape: str = ""
    amount: Any = None  #: of a transaction, where it could be read, so that the account in points is whole
