"""
Legacy values into JSON values, whatever a driver hands out.
"""
# ruff: noqa: DTZ001 (naive times are what legacy databases have)

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from masivo_engine.contract.fields import Kind
from masivo_engine.mapping.settings import Places
from masivo_engine.mapping.values import Unfit, free, from_json, key_text, reader, shape, text


MEXICO = ZoneInfo("America/Mexico_City")  # changed its clocks until October 2022
PLACES = Places()


def read(kind: Kind, value: Any, zone: ZoneInfo = MEXICO) -> Any:
    return reader(kind, zone=zone, places=PLACES)(value)


def fault(kind: Kind, value: Any) -> str:
    with pytest.raises(Unfit) as caught:
        read(kind, value)
    return caught.value.reason


def outcome(kind: Kind, value: Any) -> tuple[Any, str]:
    """Return what *value* is read as, and the reason where it is refused."""
    try:
        return read(kind, value), ""
    except Unfit as refused:
        return None, refused.reason


# Money.


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (0.1 + 0.2, 0.3),
        (0.30000000000000004, 0.3),
        (2.675, 2.68),  # as a double it is below the half, as it was written it is not
        (-2.675, -2.68),
        (1.005, 1.01),
        (2.3449999999999998, 2.35),  # a sum of SQLite's: a double is good for 15 digits
        (9999999999999.125, 9999999999999.13),  # of which two are decimals: it is taken as it is
        (Decimal("0.005"), 0.01),
        (Decimal("-0.005"), -0.01),
        (Decimal("12.3400"), 12.34),
        (Decimal("1E+3"), 1000),
        (Decimal("-0.00"), 0),
        (19.0, 19),
        (7, 7),
        ("19.90", 19.9),
        (" 19.90 ", 19.9),
        ("+.5", 0.5),
        ("5.", 5),
        ("1e3", 1000),
        (b"3.14", 3.14),
        (memoryview(b"3.14"), 3.14),
        ("9999999999999.99", 9999999999999.99),
        (999999999999999, 999999999999999),
        (Decimal("999999999999999.00"), 999999999999999),
    ],
)
def test_money_is_sent_as_people_write_it(value, sent):
    found = read(Kind.MONEY, value)
    assert found == sent
    assert type(found) is type(sent)


@given(cents=st.integers(-(10**14), 10**14))
def test_cents_survive_every_form_that_a_database_gives_them(cents):
    exact = Decimal(cents) / 100
    expected = orjson.dumps(read(Kind.MONEY, exact))
    assert Decimal(expected.decode()) == exact
    forms = [cents / 100, str(exact), f"{exact:f}", str(exact).encode(), exact * 1, exact.quantize(Decimal("0.000001"))]
    assert {orjson.dumps(read(Kind.MONEY, form)) for form in forms} == {expected}


@given(parts=st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=20))
def test_a_sum_of_binary_floats_never_shows_it(parts):
    total = sum(part / 100 for part in parts)
    assert Decimal(repr(read(Kind.MONEY, total))) == Decimal(sum(parts)) / 100


@given(parts=st.lists(st.integers(0, 10**6), min_size=2, max_size=10), sign=st.sampled_from([1, -1]))
def test_half_a_cent_that_was_reckoned_in_binary_is_rounded_as_half_a_cent(parts, sign):
    total = sum(sign * part / 1000 for part in parts)
    expected = (Decimal(sign * sum(parts)) / 1000).quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Decimal(repr(read(Kind.MONEY, total))) == expected


@given(value=st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**9), max_value=10**9))
def test_money_is_rounded_half_up_to_two_places(value):
    expected = value.quantize(Decimal("0.01"), ROUND_HALF_UP)
    assert Decimal(repr(read(Kind.MONEY, value))) == expected


@pytest.mark.parametrize(("kind", "places"), [(Kind.MONEY, 4), (Kind.POINTS, 0), (Kind.QUANTITY, 6)])
def test_the_mapping_says_how_many_places(kind, places):
    found = reader(kind, zone=MEXICO, places=Places(money=4, points=0, quantity=6))(Decimal("1.23456789"))
    assert found == float(round(Decimal("1.23456789"), places))


@pytest.mark.parametrize("blank", ["", "   ", b""])
@pytest.mark.parametrize("kind", Kind)
def test_blank_text_counts_as_nothing(kind, blank):
    assert read(kind, blank) is None


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Decimal("1E+400"),
        10**15,
        -(10**15),
        10**30,
        Decimal("99999999999999.99"),
        1e300,
        "NaN",
        "Infinity",
        "1,000",
        "1_000",
        "$5",
        "12 34",
        "0x10",
        "1e9999",
        "five",
        True,
        b"\x80",
        "4\x002",
        [],
        date(2024, 1, 1),
        Fraction(1, 3),
        3j,
    ],
)
def test_what_is_no_finite_number_of_15_digits_is_refused(value):
    assert fault(Kind.MONEY, value) in {"not_a_number", "invalid_text"}


@given(value=st.one_of(st.floats(), st.decimals(allow_nan=False), st.integers(), st.text(), st.binary()))
def test_a_number_is_sent_exactly_to_its_places_or_refused(value):
    found, reason = outcome(Kind.MONEY, value)
    assert reason in {"", "not_a_number", "invalid_text"}
    if found is not None:
        written = orjson.dumps(found).decode()
        assert Decimal(written) == Decimal(written).quantize(Decimal("0.01"))
        assert len(Decimal(written).as_tuple().digits) <= 17  # 15, and a zero or two behind the point


# Points in time.


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (datetime(2024, 1, 15, 12, 0), "2024-01-15T18:00:00.000Z"),
        (datetime(2022, 7, 15, 12, 0), "2022-07-15T17:00:00.000Z"),  # summer time, while it lasted
        (datetime(2024, 1, 15, 12, 0, 0, 123999), "2024-01-15T18:00:00.123Z"),
        (datetime(2024, 1, 15, 12, 0, tzinfo=UTC), "2024-01-15T12:00:00.000Z"),
        (datetime(2024, 1, 15, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30))), "2024-01-15T06:30:00.000Z"),
        (date(2024, 1, 15), "2024-01-15T06:00:00.000Z"),
        ("2024-01-15 12:00:00", "2024-01-15T18:00:00.000Z"),
        ("2024-01-15T12:00:00.5", "2024-01-15T18:00:00.500Z"),
        ("2024-01-15T12:00:00Z", "2024-01-15T12:00:00.000Z"),
        ("2024-01-15T12:00:00-06:00", "2024-01-15T18:00:00.000Z"),
        (" 2024-01-15 ", "2024-01-15T06:00:00.000Z"),
        (b"2024-01-15 12:00:00", "2024-01-15T18:00:00.000Z"),
        (datetime(1900, 1, 1, 12, 0), "1900-01-01T18:36:36.000Z"),  # before zones were whole hours
        (datetime(9999, 12, 31, 12, 0), "9999-12-31T18:00:00.000Z"),
    ],
)
def test_a_point_in_time_is_sent_in_utc_with_milliseconds(value, sent):
    assert read(Kind.INSTANT, value) == sent


def test_a_time_that_the_clock_change_repeats_is_the_first_of_the_two():
    assert read(Kind.INSTANT, datetime(2021, 10, 31, 1, 30)) == "2021-10-31T06:30:00.000Z"
    assert read(Kind.INSTANT, datetime(2021, 10, 31, 1, 30, fold=1)) == "2021-10-31T07:30:00.000Z"


def test_a_time_that_the_clock_change_skips_is_read_as_if_the_clock_had_not_changed_yet():
    assert read(Kind.INSTANT, datetime(2021, 4, 4, 2, 30)) == "2021-04-04T08:30:00.000Z"
    assert read(Kind.INSTANT, "2021-04-04 02:30") == "2021-04-04T08:30:00.000Z"


def test_a_day_whose_midnight_is_skipped_begins_when_the_clock_went_on():
    assert read(Kind.INSTANT, date(2018, 11, 4), ZoneInfo("America/Sao_Paulo")) == "2018-11-04T03:00:00.000Z"


@pytest.mark.parametrize(
    "value",
    [
        "0000-00-00 00:00:00",
        "0000-00-00",
        "2023-02-30",
        "2023-02-30T05:31:56.000Z",
        "20000-01-01",
        "infinity",
        "yesterday",
        "15/01/2024",
        1705320000,
        1705320000.5,
        time(12, 0),
        timedelta(hours=30),
        True,
        datetime(1, 1, 1),
        datetime(1899, 12, 31),
        date(1753, 1, 1),
        datetime(9999, 12, 31, 23, 59),  # in UTC it is year 10000
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        "1899-12-31T00:00:00Z",
        [],
    ],
)
def test_what_is_no_date_or_out_of_range_is_refused(value):
    assert fault(Kind.INSTANT, value) == "not_a_date"


@given(moment=st.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1), timezones=st.timezones()))
def test_an_aware_time_is_the_same_moment_when_it_is_sent(moment):
    assume(moment.astimezone(UTC).year >= 1900)
    sent = datetime.fromisoformat(read(Kind.INSTANT, moment))
    assert sent.tzinfo is not None
    assert timedelta() <= moment.astimezone(UTC) - sent < timedelta(milliseconds=1)


@given(moment=st.datetimes(datetime(1901, 1, 1), datetime(9998, 1, 1)), zone=st.timezones())
def test_a_naive_time_is_the_time_that_clocks_in_its_zone_showed(moment, zone):
    sent = datetime.fromisoformat(read(Kind.INSTANT, moment, zone))
    shown = sent.astimezone(zone).replace(tzinfo=None)
    is_skipped = moment.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment
    assert is_skipped or timedelta() <= moment - shown < timedelta(milliseconds=1)
    assert read(Kind.INSTANT, moment.isoformat(sep=" "), zone) == read(Kind.INSTANT, moment, zone)


@given(
    value=st.one_of(
        st.text(), st.binary(), st.dates(), st.datetimes(), st.from_regex(r"\d{4}-\d\d-\d\d", fullmatch=True)
    )
)
def test_whatever_is_read_as_a_time_is_a_real_date(value):
    for kind in (Kind.INSTANT, Kind.DAY):
        found, reason = outcome(kind, value)
        assert reason in {"", "not_a_date", "invalid_text"}
        if found is not None:
            assert 1900 <= datetime.fromisoformat(found).year <= 9999
            assert len(found) == len("2024-01-15T18:00:00.000Z")


@pytest.mark.parametrize(
    "value",
    [
        date(1990, 5, 5),
        datetime(1990, 5, 5),
        datetime(1990, 5, 5, tzinfo=timezone(timedelta(hours=-6))),
        "1990-05-05",
        "1990-05-05 00:00:00",
        "1990-05-05T00:00:00-06:00",
    ],
)
def test_no_time_zone_moves_a_birthday(value):
    assert read(Kind.DAY, value) == "1990-05-05T00:00:00.000Z"


# Text.


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("Ana", "Ana"),
        ("C0001     ", "C0001"),  # CHAR(10)
        ("\u00a0José\t", "José"),
        ("0071", "0071"),
        (31198437603, "31198437603"),
        (2**63 - 1, "9223372036854775807"),
        (-5, "-5"),
        (Decimal(31198437603), "31198437603"),
        (Decimal("12.00"), "12"),
        (Decimal("1E+3"), "1000"),
        (UUID("3C90C3CC-0D44-4B50-8888-8DD25736052A"), "3c90c3cc-0d44-4b50-8888-8dd25736052a"),
        (b"Jos\xc3\xa9", "José"),
        (bytearray(b"x"), "x"),
        ("👍🏽 ok", "👍🏽 ok"),
        ("line\nline", "line\nline"),
        ("bell\x07", "bell\x07"),
    ],
)
def test_text_is_sent_without_its_padding_and_numbers_as_they_stand(value, sent):
    assert text(value) == sent


@pytest.mark.parametrize("value", ["a\x00b", "\ud800", "x\udfffy", b"\xff\xfe", b"Jos\xe9", "é\x00"])
def test_text_that_no_api_can_take_is_refused(value):
    assert fault(Kind.TEXT, value) == "invalid_text"


@pytest.mark.parametrize(
    "value",
    [
        True,
        1.5,
        5.0,
        Decimal("1.5"),
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("Infinity"),
        Decimal("1E+999999"),
        datetime(2024, 1, 1),
        date(2024, 1, 1),
        time(1),
        [],
        {},
    ],
)
def test_what_is_text_only_by_accident_is_refused(value):
    assert fault(Kind.TEXT, value) == "wrong_type"


@given(
    value=st.one_of(
        st.text(st.characters(), max_size=20), st.binary(max_size=20), st.integers(), st.uuids(), st.decimals()
    )
)
def test_text_that_passes_can_be_written_and_is_never_blank(value):
    found, reason = outcome(Kind.TEXT, value)
    assert reason in {"", "invalid_text", "wrong_type"}
    if found is not None:
        assert orjson.loads(orjson.dumps(found)) == found
        assert found == found.strip()
        assert found
        assert "\x00" not in found


# Yes and no.


@pytest.mark.parametrize("value", [True, 1, 1.0, Decimal(1), "1", "t", "TRUE", " true ", b"\x01", "\x01"])
def test_what_databases_write_for_yes(value):
    assert read(Kind.FLAG, value) is True


@pytest.mark.parametrize("value", [False, 0, 0.0, Decimal("0.0"), "0", "f", "False", b"\x00", "\x00"])
def test_what_databases_write_for_no(value):
    assert read(Kind.FLAG, value) is False


@pytest.mark.parametrize(
    "value", [2, -1, 0.5, Decimal("NaN"), Decimal("sNaN"), "yes", "S", "x", date(2024, 1, 1), b"\xff", []]
)
def test_anything_else_is_neither_yes_nor_no(value):
    assert fault(Kind.FLAG, value) in {"not_a_boolean", "invalid_text"}


# Free objects.


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ('{"a": 1, "b": null, "c": {"d": null, "e": [null, {"f": null}]}}', {"a": 1, "c": {"e": [None, {}]}}),
        ({"a": None, "b": 2}, {"b": 2}),
        (b'{"a": "\xc3\xa9"}', {"a": "é"}),
        ("{}", {}),
        ("null", None),
    ],
)
def test_a_free_object_is_sent_without_its_nulls(value, sent):
    assert free(value) == sent


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("{'a': 1}", "not_json"),
        ('{"a": NaN}', "not_json"),
        ('{"a": 1', "not_json"),
        ("a", "not_json"),
        ({"a": "\ud800"}, "not_json"),
        ({"a": 2**70}, "number_too_long"),
        ({"a": Decimal("0.1234567890123456789")}, "number_too_long"),
        ('{"receipt":123456789012345678901}', "number_too_long"),
        ('{"a": [{"b": -9223372036854775809}]}', "number_too_long"),
        ('{"a": 0.1234567890123456789}', "number_too_long"),
        ('{"a": 1e400}', "not_json"),
        ({"a": {1, 2}}, "not_json"),
        ('{"a":' * 300 + "1" + "}" * 300, "not_json"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "not_json"),
        ("[" * 100_000, "not_json"),
        ("[1]", "wrong_type"),
        ("5", "wrong_type"),
        ([1], "wrong_type"),
        ('{"a": "\x00"}', "invalid_text"),
        (b"\xff", "invalid_text"),
        (1.5, "wrong_type"),
    ],
)
def test_what_is_no_json_object_is_refused(value, reason):
    assert fault(Kind.FREE, value) == reason


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(value=st.lists(JSON) | st.dictionaries(st.text(), JSON))
@pytest.mark.slow
def test_json_that_is_read_can_be_written(value):
    found, reason = outcome(Kind.FREE, {"inside": value})
    assert reason in {"", "not_json", "number_too_long"}
    if not reason:
        assert orjson.loads(orjson.dumps(found)) == found
        assert found["inside"] == from_json(value)


# What is said of a value that is refused.


@given(
    value=st.one_of(
        st.text(min_size=4), st.binary(min_size=4), st.integers(10**5), st.dates(), st.decimals(min_value=10**6)
    )
)
def test_a_shape_does_not_show_the_value(value):
    shown = shape(value)
    assert str(value) not in shown
    assert repr(value) not in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "nothing"),
        ("secret", "text of 6 characters"),
        (b"secret", "6 bytes"),
        (memoryview(b"secret"), "6 bytes"),
        (-12.5, "number of 5 characters"),
        (True, "yes/no"),
        (date(2024, 1, 1), "date"),
        ([1], "list"),
    ],
)
def test_a_shape_is_in_words(value, shown):
    assert shape(value) == shown


@pytest.mark.parametrize("number", ["18446744073709551615", "-9223372036854775808", "1.10", "2.5e3", "0.1234567890123"])
def test_a_number_in_json_is_sent_as_it_is_written_whether_the_database_parsed_it_or_not(number):
    written = f'{{"n": {number}}}'
    parsed = json.loads(written, parse_float=Decimal)
    assert free(written) == free(parsed)
    assert Decimal(repr(free(written)["n"])) == Decimal(number)


@pytest.mark.parametrize("key", ["\ufeff1001", "1002\u200b", "10\u00ad03", "A\u00a01", "\u3164", "1\u202e2"])
def test_a_key_with_a_sign_that_nobody_sees_is_refused_by_code_point(key):
    with pytest.raises(Unfit) as refused:
        key_text(key)
    assert refused.value.reason == "invisible_sign"
    assert "U+" in refused.value.shape


@pytest.mark.parametrize("key", ["Peña 1", "Ñandú", " 17 ", "A-1/2", "客户1", "17\u00a0"])
def test_a_key_that_can_be_read_is_none_of_those(key):
    assert key_text(key) == key.strip()


def test_the_day_of_an_instant_is_that_of_the_mappings_zone():
    read = reader(Kind.DAY, zone=ZoneInfo("America/Bogota"), places=Places())
    assert read("1990-05-02T03:00:00Z") == "1990-05-01T22:00:00.000Z"
    assert read(datetime(1990, 5, 2, 3, tzinfo=UTC)) == "1990-05-01T22:00:00.000Z"
    assert read(datetime(1990, 5, 2)) == "1990-05-02T00:00:00.000Z"
