"""What can be judged apart: a record, or a customer's transactions together."""

from __future__ import annotations

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
