"""
Places: one for each key of each type, that gives the key back and takes no other's room.
"""

# ruff: noqa: DTZ001 (what legacy databases hand out is naive)

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.model.ledger_capacity import KEY, PLACE
from masivo_engine.model.places import (
    NO_PLACE,
    copy_of,
    first_of,
    has_key,
    is_copy,
    is_unkept,
    key_of,
    place_of,
    place_of_row,
    place_without_key,
)


LIKE_COPIES = st.from_regex(r"\A.{0,8}~[0-9a-f]{12}\.[0-9]{1,3}\Z")
TEXTS = st.one_of(
    st.text(max_size=8),
    st.text("A~.|ab0 1\t\x00\ud800\u00a0", max_size=20),
    st.text("x~", min_size=KEY - 2, max_size=KEY + 2),
    LIKE_COPIES,
    LIKE_COPIES.map(lambda text: text + "|"),
    LIKE_COPIES.map(lambda text: text + " "),
    st.sampled_from(["", "17", "17 ", "b17", "n", "h", "~", "A~0123456789ab.1", "A~0123456789ab.1|"]),
)
NUMBERS = st.one_of(st.integers(-20, 20), st.integers(), st.integers(-(10**200), 10**200))
DECIMALS = st.one_of(
    st.decimals(allow_nan=False, places=2, min_value=-(10**9), max_value=10**9),
    st.decimals(allow_nan=False),
    st.sampled_from(["17", "17.5", "17.50", "-0.00", "0E-10", "1E+2", "100", "1E+400", "1E-400"]).map(Decimal),
)
KEYS = st.one_of(
    TEXTS,
    NUMBERS,
    DECIMALS,
    st.floats(allow_nan=False),
    st.uuids(),
    st.binary(max_size=100),
    st.dates(),
    st.datetimes(),
)


@given(one=KEYS, other=KEYS)
def test_two_keys_have_one_place_if_they_are_equal_and_of_one_type(one, other):
    alike = type(one) is type(other) and one == other
    assert (place_of(one) == place_of(other)) is alike


@given(one=TEXTS, other=TEXTS)
def test_texts_are_told_apart_whatever_they_look_like(one, other):
    assert (place_of(one) == place_of(other)) is (one == other)


@given(key=KEYS)
def test_a_place_gives_its_key_back_or_says_that_it_does_not(key):
    place = place_of(key)
    if not has_key(place):
        assert is_unkept(place)
        with pytest.raises(ValueError, match="not kept"):
            key_of(place)
        return
    expected = str(key) if isinstance(key, date) else key
    for known in (place, copy_of(place, b"\x00" * 16, 3)):
        found = key_of(known)
        assert found == expected
        assert type(found) is type(expected)


@given(key=KEYS)
def test_every_key_that_can_be_a_name_is_kept(key):
    if isinstance(key, str):
        can_be = len(key) <= KEY and "\x00" not in key and "\ud800" not in key
    elif isinstance(key, bytes):
        can_be = 2 * len(key) <= KEY
    else:
        can_be = len(str(key)) <= KEY
    assert has_key(place_of(key)) or not can_be


@given(key=KEYS, content=st.binary(max_size=16), number=st.integers(1, 10**12))
def test_a_place_fits_the_ledger_and_so_does_a_further_row_of_it(key, content, number):
    place = place_of(key)
    further = copy_of(place, content, number)
    assert len(place) <= len(further) <= PLACE
    for written in (place, further):
        assert "\x00" not in written
        assert written == written.rstrip()
        written.encode()
    assert not is_copy(place)
    assert is_copy(further)
    assert (first_of(place), first_of(further)) == (place, place)


@given(key=KEYS, other=KEYS, content=st.binary(min_size=16, max_size=16))
def test_no_key_has_the_place_of_a_further_row(key, other, content):
    assert place_of(key) != copy_of(place_of(other), content, 1)


def test_a_key_that_looks_like_a_further_row_is_none():
    place = place_of("A~0123456789ab.1")
    assert not is_copy(place)
    assert key_of(place) == "A~0123456789ab.1"
    assert place != copy_of(place_of("A"), bytes.fromhex("0123456789ab"), 1)


@given(one=st.integers(0, 10**26 - 1), other=st.integers(0, 10**26 - 1))
def test_places_of_whole_numbers_are_in_the_order_of_the_numbers(one, other):
    assert (place_of(one) < place_of(other)) is (one < other)


@pytest.mark.parametrize(
    ("key", "place"),
    [
        (17, "ib17"),
        (True, "ia1"),
        (0, "ia0"),
        (-17, "i-17"),
        (10**26, f"i{{1{'0' * 26}"),
        ("A-17", "tA-17"),
        ("17", "t17"),
        ("A-17 ", "sA-17 |"),
        ("", "t"),
        (Decimal("17.50"), "d17.5"),
        (Decimal(17), "d17"),
        (Decimal("1E+2"), "d100"),
        (Decimal("-0.00"), "d0"),
        (Decimal("NaN"), "dNaN"),
        (17.5, "f17.5"),
        (-0.0, "f0.0"),
        (math.inf, "finf"),
        (UUID("3C90c3cc-0d44-4b50-8888-8dd25736052a"), "u3c90c3cc-0d44-4b50-8888-8dd25736052a"),
        (b"\xff\x00", "bff00"),
        (bytearray(b"\xff\x00"), "bff00"),
        (memoryview(b"\xff\x00"), "bff00"),
        (date(2024, 1, 1), "o2024-01-01|"),
        (datetime(2024, 1, 1), "o2024-01-01 00:00:00|"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=-6))), "o2024-01-01 06:00:00+00:00|"),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-6))), "o9999-12-31 23:59:59.999999-06:00|"),
        (None, NO_PLACE),
    ],
)
def test_places_as_people_see_them(key, place):
    assert place_of(key) == place


@pytest.mark.parametrize(
    "key",
    ["x" * (KEY + 1), "a\x00b", "\ud800", 10**300, -(10**300), 10**9000, Decimal("1." + "1" * 300), b"x" * 96],
    ids=["long", "NUL", "surrogate", "large", "negative", "very large", "decimal", "bytes"],
)
def test_what_a_ledger_cannot_keep_is_known_by_its_hash(key):
    place = place_of(key)
    assert is_unkept(place)
    assert len(place) == 33
    assert place == place_of(key)


def test_the_longest_keys_are_kept():
    for key in ("x" * KEY, "x" * (KEY - 1) + " ", "\U0001f600" * KEY, 10 ** (KEY - 1), b"x" * 95):
        assert key_of(place_of(key)) == key


def test_a_row_without_a_key_is_known_by_what_else_it_has():
    places = {
        place_without_key("C1", Decimal(5)),
        place_without_key("C1", 5),
        place_without_key("C1", None),
        place_without_key(1, None),
        place_without_key(None, None),
        place_without_key("C15", None),
    }
    assert len(places) == 6
    assert NO_PLACE not in places
    assert not any(map(has_key, places))
    assert not any(map(is_unkept, places))
    assert place_of_row(None, "C1", Decimal("5.00")) == place_without_key("C1", Decimal(5))
    assert place_of_row("K", "C1", Decimal(5)) == "tK"
