"""What can be judged apart: a record, or a customer's transactions together."""

from __future__ import annotations

from masivo_engine.batching.units import units_of
from masivo_engine.model.rows import Entity, Record


def records(entity: Entity, *customers: str) -> list[Record]:
    return [Record(entity, f"K{number}", customer, b"", b"") for number, customer in enumerate(customers)]


def test_a_customers_transactions_are_one_unit_even_if_others_stand_between_them():
    one, other, third = records(Entity.TRANSACTIONS, "A1", "a1", "A1")
    assert units_of([one, other, third]) == [[one, third], [other]]


def test_any_other_record_is_a_unit():
    for entity in (Entity.CUSTOMERS, Entity.EVENTS):
        found = records(entity, "A1", "A1")
        assert units_of(found) == [[one] for one in found]
    assert units_of([]) == []
