"""A column is read as its values are one by one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import tree
from masivo_engine.mapping.settings import Places, Settings
from masivo_engine.mapping.values import Unfit, reader
from masivo_engine.model.rows import Entity
from masivo_engine.records import columns
from tests.include.records.any_values import COLUMNS, ZONES


def singly(read: Any, value: Any) -> Any:
    try:
        return None if value is None else read(value)
    except Unfit as fault:
        return fault.reason


@given(
    kind=st.sampled_from(list(Kind)),
    values=COLUMNS,
    zone=st.sampled_from(ZONES),
    places=st.sampled_from([Places(), Places(money=0, points=4, quantity=6)]),
)
@example(kind=Kind.MONEY, values=[Decimal("0.29"), Decimal("1.10"), Decimal("0.285")], zone="UTC", places=Places())
@example(kind=Kind.MONEY, values=[0.1 + 0.2, 1e15, -0.0, 0.005], zone="UTC", places=Places())
def test_a_column_is_read_as_its_values_are(kind, values, zone, places):
    settings = Settings(timezone=zone)
    read = reader(kind, zone=settings.zone_of("x"), places=places)
    plain = columns.column_reader(kind, zone=settings.zone_of("x"), places=places)
    unsure: set[int] = set()

    found = columns.read_all(values, plain, read, unsure)

    expected = [singly(read, value) for value in values]
    assert len(found) == len(values)
    for index, (value, one) in enumerate(zip(found, expected, strict=True)):
        if index not in unsure:
            assert (type(value), value) == (type(one), one)
        else:
            assert isinstance(one, str)  # the reason why nobody can read it


@given(values=st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers()), max_size=8))
def test_what_breaks_the_contract_is_found_by_its_index(values):
    adapter = tree(Entity.CUSTOMERS).children["name"].several
    assert adapter is not None
    unsure: set[int] = set()
    columns.check_all(values, adapter, unsure)
    assert unsure == {
        index for index, value in enumerate(values) if value is not None and not (isinstance(value, str) and value)
    }
