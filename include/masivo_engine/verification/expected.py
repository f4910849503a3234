"""
What was delivered to some customers: what the ledger has of all runs, each with the payload it was
made of.

The ledger keeps hashes and no payloads, so the source is read again through the mapping. A payload
counts only where its hash is the one that was delivered; of a row that has changed since, or is
gone, the ledger still knows key, points and balance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.verification.pending import Sent, sent_to
from masivo_engine.ledger.writing.handles import as_handle
from masivo_engine.model.rows import Entity, Record
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of
from masivo_engine.source.reader import Source


@dataclass(frozen=True, slots=True)
class Delivered:
    """
    A record that the API accepted, or that a person said it has; *body* is its payload, None where
    the source has another by now.
    """

    sent: Sent
    body: Mapping[str, Any] | None

    @property
    def key(self) -> str:
        """Its legacy key."""
        return self.sent.key

    @property
    def handle(self) -> Mapping[str, Any]:
        """What it is known by, as it was sent."""
        return as_handle(self.sent.handle)

    @property
    def amount(self) -> Decimal:
        """Its points."""
        return self.sent.points


@dataclass(slots=True)
class Expected:
    """
    What one customer must be found to have. *in_doubt* are records of which nobody knows whether
    they arrived; *is_there* once the API has shown the customer.
    """

    customer: str
    account: Delivered | None = None
    events: list[Delivered] = field(default_factory=list)
    transactions: list[Delivered] = field(default_factory=list)
    in_doubt: list[Sent] = field(default_factory=list)
    is_there: bool = False

    @property
    def has_events(self) -> bool:
        """Whether purchases may be counted."""
        return bool(self.events) or any(sent.entity is Entity.EVENTS for sent in self.in_doubt)

    def batch_of(self, entity: Entity, key: str) -> int:
        """
        Return the newest batch that carried *key*, or any record of *entity* where that names the
        customer; 0 where no batch did, because a person stated that the API has it.
        """
        records = [*([self.account] if self.account else []), *self.events, *self.transactions]
        batches = [
            one.sent.batch or 0 for one in records if one.sent.entity is entity and key in (one.key, self.customer)
        ]
        return max(batches, default=0)


def owed_to(ledger: Ledger, legacies: Sequence[Source], customers: Collection[str]) -> dict[str, Expected]:
    """Return what is owed to each of *customers*; who was never sent anything has nothing."""
    sent = sent_to(ledger, customers)
    bodies = {legacy.entity: _bodies(legacy, customers, sent) for legacy in legacies}
    owed = {customer: Expected(customer) for customer in customers}
    for one in sent:
        whose = owed.get(one.customer)
        if whose is None:
            continue  # MySQL's comparison ignores blanks at the end
        if not one.arrived:
            whose.in_doubt.append(one)
            continue
        delivered = Delivered(one, bodies.get(one.entity, {}).get((one.key, one.content_hash)))
        if one.entity is Entity.CUSTOMERS:
            whose.account = delivered  # in the order of delivery, so that the last one counts
        elif one.entity is Entity.EVENTS:
            whose.events.append(delivered)
        else:
            whose.transactions.append(delivered)
    return owed


def _bodies(
    legacy: Source, customers: Collection[str], sent: Sequence[Sent]
) -> dict[tuple[str, bytes | None], Mapping[str, Any]]:
    wanted = {(one.key, one.content_hash) for one in sent if one.entity is legacy.entity}
    if not wanted:
        return {}
    maker, everything = maker_of(legacy), Slice.everything(legacy.entity)
    found: dict[tuple[str, bytes | None], Mapping[str, Any]] = {}
    for page in legacy.pages(everything, Window(customers=tuple(customers))):
        for row in map(maker.make, page):
            if isinstance(row, Record) and (row.key, row.content_hash) in wanted:
                found[row.key, row.content_hash] = orjson.loads(row.body)
    return found
