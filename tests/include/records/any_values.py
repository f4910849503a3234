"""What drivers may hand out: single values, columns, and values for every field of the contract."""

# ruff: noqa: DTZ001 (what legacy databases hand out is naive)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node


# A column is mostly of one plain type, and now and then whatever comes.
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
ZONES = ["UTC", "America/Mexico_City", "Europe/London"]
NEW_YORK = ZoneInfo("America/New_York")
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
            datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK),
            datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=NEW_YORK),
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
VALUES = st.one_of(*_FAMILIES, st.none())
COLUMNS = st.one_of(
    *(st.lists(family, max_size=6) for family in _FAMILIES),
    *(st.lists(st.one_of(st.none(), family), max_size=6) for family in _FAMILIES),
    st.lists(VALUES, max_size=6),
)


_UUID = UUID("3C90c3cc-0d44-4b50-8888-8dd25736052a")
# By kind of field: a sound value first, then others that are sound, odd or just unfit.
_FOR: dict[Kind, list[Any]] = {
    Kind.TEXT: ["Ana", " b ", 'say "x"', "a\\b", "100 %", "", 7, Decimal(7), _UUID, "x" * 191, "x" * 192, "\x00"],
    Kind.EMAIL: ["Ana@example.com", "ana@example.com", "ana", ""],
    Kind.UUID: [str(_UUID).upper(), _UUID, "5e0ad8a4-6a52-4b6c-9a54-0f7d5f1d2c11", "P"],
    Kind.INSTANT: [
        datetime(2024, 1, 15, 10, 11, 12, 999999),
        date(2024, 1, 15),
        datetime(2999, 1, 1),
        datetime(1899, 12, 31),
        "soon",
    ],
    Kind.DAY: [date(1980, 2, 29), datetime(1980, 2, 29), date(1901, 1, 1), "1980-02-29"],
    Kind.MONEY: [Decimal("20.50"), Decimal("0.285"), 20, 0.1 + 0.2, "19.99", -1, 10**8, Decimal("NaN")],
    Kind.POINTS: [Decimal("12.50"), Decimal("-12.50"), 0, -100, 5, "7", 10**14, 10**14 - 1, 10**8, Decimal("sNaN")],
    Kind.QUANTITY: [2, Decimal("0.5"), 1.0, "many"],
    Kind.FLAG: [True, False, 0, "yes"],
    Kind.FREE: ['{"b": [1, null], "a": {"c": null}}', {"d": "x"}, "{}", "5", "{"],
}


def for_field(node: Node) -> list[Any]:
    """Return values that a field may be filled from, a sound one first."""
    if node.item is not None:
        children = {name: child for name, child in node.item.children.items() if not child.children}
        needed = {name: child for name, child in children.items() if child.required} or children
        one = {name: str(for_field(child)[0]) for name, child in needed.items()}
        odd = {name: str(for_field(child)[1]) for name, child in needed.items()}
        return [json.dumps([one, one]), [odd], [one, odd], [], "[{}]", "[1]", "["]
    if node.kind is Kind.CHOICE:
        return [*node.several.json_schema()["items"]["enum"], "F"]
    return _FOR[node.kind]
