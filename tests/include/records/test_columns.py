"""
A page that is made column by column is what its rows would be one by one: to the byte where they are sound, to the word where they are not.
"""

# ruff: noqa: DTZ001 (what legacy databases hand out is naive)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import tree
from masivo_engine.mapping.aliases import CUSTOMER, KEY, Query
from masivo_engine.mapping.settings import Places, Settings
from masivo_engine.mapping.values import Unfit, reader
from masivo_engine.model.rows import Entity, LegacyRow, Record, UnreadableRow
from masivo_engine.records import columns
from masivo_engine.records.maker import RecordMaker
from masivo_engine.records.payload import PayloadBuilder


REWARD = UUID("3c90c3cc-0d44-4b50-8888-8dd25736052a")
_NEW_YORK = ZoneInfo("America/New_York")
ZONES = ["UTC", "America/Mexico_City", "Europe/London"]

# What a driver may hand out for a column of each kind: mostly of one plain type, as columns are, and now and then whatever comes.
_TEXTS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["a", " a ", "", " ", "a\x00b", "\ud800", "ñandú", "\u00a0", "1", "2024-01-15"]),
)
_DECIMALS = st.one_of(
    st.decimals(allow_nan=False, allow_infinity=False, places=2, min_value=-(10**9), max_value=10**9),
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        [
            Decimal("0.005"),
            Decimal("-0.00"),
            Decimal("1E+30"),
            Decimal(999999999999999),
            Decimal("9999999999999.99"),
            Decimal("sNaN"),
        ]
    ),
)
_MOMENTS = st.one_of(
    st.datetimes(),
    st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=-7))])),
    st.sampled_from(
        [
            datetime(1900, 1, 1),
            datetime(1899, 12, 31, 23),
            datetime(1, 1, 1),
            datetime(9999, 12, 31, 23, 59, 59, 999999),
            # One o'clock comes twice on this night; Python takes the two for equal.
            datetime(2024, 11, 3, 1, 30, tzinfo=_NEW_YORK),
            datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=_NEW_YORK),
            datetime(2024, 10, 27, 1, 30),
            datetime(2024, 10, 27, 1, 30, fold=1),
        ]
    ),
)
_FAMILIES: list[st.SearchStrategy[Any]] = [
    _TEXTS,
    st.one_of(st.integers(-5, 5), st.integers()),
    _DECIMALS,
    st.floats(),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 2)),
    _MOMENTS,
    st.dates(),
    st.booleans(),
    st.uuids(),
    st.binary(max_size=4),
]
_VALUES = st.one_of(*_FAMILIES, st.none())
_COLUMNS = st.one_of(
    *(st.lists(family, max_size=6) for family in _FAMILIES),
    *(st.lists(st.one_of(st.none(), family), max_size=6) for family in _FAMILIES),
    st.lists(_VALUES, max_size=6),
)


def singly(read: Any, value: Any) -> Any:
    try:
        return None if value is None else read(value)
    except Unfit as fault:
        return fault.reason


@given(
    kind=st.sampled_from(list(Kind)),
    values=_COLUMNS,
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
    for position, (value, one) in enumerate(zip(found, expected, strict=True)):
        if position not in unsure:
            assert (type(value), value) == (type(one), one)
        else:
            assert isinstance(one, str)  # the reason why nobody can read it


@given(values=st.lists(st.one_of(st.none(), st.text(max_size=3), st.integers()), max_size=8))
def test_what_breaks_the_contract_is_found_by_its_position(values):
    adapter = tree(Entity.CUSTOMERS).children["name"].several
    assert adapter is not None
    unsure: set[int] = set()
    columns.check_all(values, adapter, unsure)
    assert unsure == {
        position
        for position, value in enumerate(values)
        if value is not None and not (isinstance(value, str) and value)
    }


SOUND: dict[Entity, dict[str, Any]] = {
    Entity.CUSTOMERS: {
        "id": "C1",
        "name": "Ana",
        "email": "Ana@example.com",
        "registration_date": date(2024, 1, 15),
        "gender": "FEMALE",
        "dob": date(1980, 2, 29),
        "metrics__lifetime__spend_total": Decimal("12.50"),
        "metrics__lifetime__last_visit": datetime(2024, 3, 10, 2, 30),
        "metadata__level": 3,
        "metadata__since__year": "1999",
    },
    Entity.EVENTS: {
        "customer_id": "C1",
        "order__purchase_id": "P1",
        "type": "PURCHASE",
        "brand_id": None,
        "order__value": Decimal("20.00"),
        "order__discounted_value": Decimal("19.99"),
        "order__payment_method": "CASH",
        "order__shipping__value": None,
        "order__metadata": '{"a": null, "b": [1]}',
        "fulfilled": True,
        "issued_at": datetime(2024, 1, 15, 10, 11, 12, 999999),
        "resolved_at": None,
    },
    Entity.TRANSACTIONS: {
        "customer_id": 7,
        "transaction_id": "T1",
        "reward_id": REWARD,
        "details": "legacy:T1",
        "type": "ACCUMULATION",
        "issued_at": datetime(2024, 1, 15),
        "resolved_at": datetime(2024, 1, 15),
        "amount": Decimal("-12.50"),
        "event__type": None,
        "event__order__value": None,
    },
}
LINES: dict[Entity, tuple[str, dict[str, Any]]] = {
    Entity.CUSTOMERS: ("balance", {"customer_id": "C1", "reward_id": REWARD, "amount": Decimal(10), "position": 1}),
    Entity.EVENTS: (
        "order__products",
        {
            "order__purchase_id": "P1",
            "sku": "A",
            "amount": 1,
            "value": Decimal(20),
            "tags__colour": None,
            "position": 1,
        },
    ),
    Entity.TRANSACTIONS: (
        "event__order__products",
        {"transaction_id": "T1", "sku": "A", "amount": 1, "value": 20.0, "position": 1},
    ),
}


# Columns that a mapping may have as well: JSON beside columns of the same object, lists as JSON, codes that repeat.
MORE: dict[Entity, dict[str, Any]] = {
    Entity.CUSTOMERS: {
        "metadata": '{"level": 1, "b": {"c": [2]}}',
        "balance": f'[{{"reward_id": "{REWARD}", "amount": 5}}]',
        "devices": '[{"device_token": "t"}]',
        "status": "ACTIVE",
    },
    Entity.EVENTS: {
        "order__products": '[{"sku": "B", "amount": 2, "value": 3.10}]',
        "order__shipping__metadata": '{"by": "bike \\"x\\""}',
        "order__shipping__metadata__days": 2,
        "channel_id": "100 %",
    },
    Entity.TRANSACTIONS: {"brand_id": None, "cost": 1.005, "store_id": "S1", "event__order__purchase_id": "P1"},
}
# A list of an object of which the mapping may have no column.
FURTHER: dict[Entity, tuple[str, dict[str, Any]]] = {
    Entity.CUSTOMERS: ("devices", {"customer_id": "C1", "device_token": "t", "device_info__platform": "ios"}),
    Entity.EVENTS: ("order__shipping__redeem", {"order__purchase_id": "P1", "amount": 1}),
    Entity.TRANSACTIONS: ("event__order__redeem", {"transaction_id": "T1", "amount": 1}),
}


def changed(sound: dict[str, Any], data: st.DataObject) -> tuple[Any, ...]:
    """The row *sound*, with none or some of its values replaced by anything."""
    row = dict(sound)
    for name in data.draw(st.sets(st.sampled_from(sorted(row)), max_size=2)):
        row[name] = data.draw(_VALUES)
    return tuple(row.values())


@given(data=st.data(), entity=st.sampled_from(list(Entity)), zone=st.sampled_from(ZONES))
def test_a_page_is_made_as_its_rows_are(data, entity, zone):
    settings = Settings(timezone=zone)

    def shaper(path: str, names: list[str]) -> PayloadBuilder:
        return PayloadBuilder(Query(entity, path, "SELECT 1", f"{entity}.sql"), names, settings, newer_fields=False)

    sound = SOUND[entity] | data.draw(st.sampled_from([{}, MORE[entity]]))
    for name in data.draw(st.sets(st.sampled_from(sorted(sound.keys() - {KEY[entity], CUSTOMER[entity]})), max_size=4)):
        del sound[name]
    files = data.draw(st.lists(st.sampled_from([LINES[entity], FURTHER[entity]]), unique_by=str))
    lines = {path: line for path, line in files if path not in sound}
    maker = RecordMaker(entity, shaper("", list(sound)), {path: shaper(path, list(lines[path])) for path in lines})
    rows = []
    for _ in range(data.draw(st.integers(0, 5))):
        if data.draw(st.integers(0, 9)) == 0:
            rows.append(UnreadableRow("K", "C1", "unreadable_row", "name", "the driver refuses it"))
            continue
        some = {
            path: [changed(line, data) for _ in range(data.draw(st.integers(0, 3)))] for path, line in lines.items()
        }
        rows.append(LegacyRow(changed(sound, data), some))

    assert maker.make_all(rows) == [maker.make(row) for row in rows]


@given(data=st.data(), entity=st.sampled_from(list(Entity)))
def test_a_large_page_of_few_values_is_made_as_its_rows_are(data, entity):
    """What repeats is read once for all rows that have it, also what is unfit, empty or wrong."""
    query = Query(entity, "", "SELECT 1", f"{entity}.sql")
    sound = SOUND[entity] | MORE[entity]
    maker = RecordMaker(entity, PayloadBuilder(query, list(sound), Settings(timezone="UTC"), newer_fields=False), {})
    kinds = [changed(sound, data) for _ in range(data.draw(st.integers(1, 4)))]
    chosen = data.draw(st.lists(st.sampled_from(kinds), min_size=8, max_size=80))
    rows = [LegacyRow(values, {}) for values in chosen]
    assert maker.make_all(rows) == [maker.make(row) for row in rows]


_TWICE = datetime(2024, 11, 3, 1, 30, tzinfo=_NEW_YORK), datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=_NEW_YORK)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("twice", [_TWICE, [moment.replace(tzinfo=None) for moment in _TWICE]])
def test_two_columns_that_differ_by_the_repeated_hour_are_two_points_in_time(twice, zone):
    sound = SOUND[Entity.TRANSACTIONS]
    query = Query(Entity.TRANSACTIONS, "", "SELECT 1", "transactions.sql")
    maker = RecordMaker(
        Entity.TRANSACTIONS, PayloadBuilder(query, list(sound), Settings(timezone=zone), newer_fields=False), {}
    )
    first, second = twice
    rows = [
        LegacyRow(tuple({**sound, "issued_at": issued, "resolved_at": resolved}.values()), {})
        for issued, resolved in [(first, second), (second, first), (second, second), (first, first)]
    ]
    for some in (rows, rows[:1], rows[1:2]):
        assert maker.make_all(some) == [maker.make(row) for row in some]


@pytest.mark.parametrize("entity", Entity)
def test_sound_rows_are_made_together(entity, monkeypatch):
    """The fast way is taken where it can be: no row of a sound page is looked at by itself."""
    path, line = LINES[entity]
    settings = Settings(timezone="UTC")

    def shaper(path: str, names: list[str]) -> PayloadBuilder:
        return PayloadBuilder(Query(entity, path, "SELECT 1", f"{entity}.sql"), names, settings, newer_fields=False)

    sound = dict(SOUND[entity])
    lists = (
        {} if entity is Entity.TRANSACTIONS else {path: [tuple(line.values()), tuple({**line, "position": 2}.values())]}
    )
    maker = RecordMaker(entity, shaper("", list(sound)), {path: shaper(path, list(line))})
    rows = [LegacyRow(tuple(sound.values()), lists) for _ in range(3)]
    expected = [maker.make(row) for row in rows]
    monkeypatch.setattr(RecordMaker, "make", None)

    found = maker.make_all(rows)

    assert found == expected
    assert all(isinstance(one, Record) and json.loads(one.body) for one in found)


def test_an_adjusted_page_is_adjusted_row_by_row():
    sound = SOUND[Entity.TRANSACTIONS]
    query = Query(Entity.TRANSACTIONS, "", "SELECT 1", "transactions.sql")
    shaper = PayloadBuilder(query, list(sound), Settings(timezone="UTC"), newer_fields=False)
    maker = RecordMaker(Entity.TRANSACTIONS, shaper, {}, adjust=lambda row: row | {"details": row["details"].upper()})
    (found,) = maker.make_all([LegacyRow(tuple(sound.values()), {})])
    assert isinstance(found, Record)
    assert json.loads(found.body)["details"] == "LEGACY:T1"
