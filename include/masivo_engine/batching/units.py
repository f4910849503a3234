"""What can be judged apart: a record, or a customer's transactions together."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from masivo_engine.model.rows import Entity, Record


Unit = list[Record]


def units_of(records: Sequence[Record]) -> list[Unit]:
    """Return the units of *records*, all of one entity, in the order in which they begin."""
    if records and records[0].entity is Entity.TRANSACTIONS:
        return list(by_customer(records).values())
    return [[record] for record in records]


def by_customer(records: Iterable[Record]) -> dict[str, Unit]:
    """
    Return *records* by customer.

    They may be mixed: a database that takes A1 and a1 for one customer mixes their rows.
    """
    found: dict[str, Unit] = {}
    for record in records:
        found.setdefault(record.customer, []).append(record)
    return found


def set_digest(records: Iterable[Record]) -> bytes:
    """Return what a customer's transactions are known by together."""
    digest = hashlib.blake2b(digest_size=16)
    for content in sorted(record.content_hash for record in records):
        digest.update(content)
    return digest.digest()


def judged_as(unit: Unit) -> bytes:
    """Return what the API has judged when it refused *unit* by itself."""
    return set_digest(unit) if unit[0].entity is Entity.TRANSACTIONS else unit[0].content_hash
