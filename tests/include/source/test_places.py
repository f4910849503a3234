"""
Rows by their places, out of real databases: those that were asked for, whatever type their key has
and whatever the database takes for it, and no others.
"""

# ruff: noqa: DTZ001 (what legacy databases hand out is naive)

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Double,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Time,
    Uuid,
    create_engine,
    delete,
    event,
    insert,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects import postgresql as pg
from sqlalchemy.types import UserDefinedType

from masivo_engine import sql as among
from masivo_engine.model.ledger_capacity import KEY
from masivo_engine.model.places import NO_PLACE, copy_of, place_of, place_of_row
from masivo_engine.model.rows import Entity, LegacyRow, UnreadableRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of
from tests.databases.dialects import Shop, pages, place, places


LONG = "x" * (KEY + 9)
TEXT = String(300)
MOMENT = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


class Anything(UserDefinedType):
    """Of a column that takes whatever comes, as SQLite's do."""

    cache_ok = True

    def get_col_spec(self, **_):
        return ""


#: By name: the type of a column, the databases that have it, and keys that are easily taken for
#: each other.
KEYS = {
    "text": (
        TEXT,
        "sqlite postgres mariadb",
        [
            *("17", "17 ", " 17", "017", "17.0", "a", "A", "á", "a ", "a  ", "a\t", "", " ", "ñ", "\U0001f600", "%", "a'b"),
            *("A~0123456789ab.1", "x" * KEY, "x" * (KEY - 1) + " ", "ñ" * KEY, LONG, LONG + "y", LONG + " "),
        ],
    ),
    "padded": (pg.CHAR(5), "postgres", ["a", "ab", "17", ""]),
    "long and padded": (pg.CHAR(KEY + 1), "postgres", ["a", "ab", "x" * KEY]),
    "numbers": (BigInteger, "sqlite postgres mariadb", [17, -17, 0, 1, 7, 31198437603, 2**63 - 1, -(2**63)]),
    "decimals": (
        Numeric(30, 4),
        "postgres mariadb",
        [Decimal("17.5"), Decimal(17), Decimal("-17.5"), Decimal(0), Decimal("12345678901234567890.0001")],
    ),
    "any decimals": (pg.NUMERIC(), "postgres", [Decimal("17.50"), Decimal(17), Decimal(10) ** 40, Decimal("1." + "1" * 300)]),
    "floats": (Double, "sqlite postgres mariadb", [17.5, 17.0, 0.1, -1e300, 1e-7]),
    "UUIDs": (Uuid, "postgres", [UUID(int=17), UUID(int=2**127)]),
    "bytes": (
        LargeBinary().with_variant(mysql.VARBINARY(300), "mysql"),
        "sqlite postgres mariadb",
        [b"", b"17", b"17 ", b"\xff\x00", b"\x00", b"a", b"A", b"x" * 95, b"x" * 96, b"x" * 97],
    ),
    "long bytes": (
        LargeBinary().with_variant(mysql.VARBINARY(300), "mysql"),
        "sqlite postgres mariadb",
        [b"x" * 96, b"x" * 97, b"x"],
    ),
    "long decimals": (pg.NUMERIC(), "postgres", [Decimal("1." + "1" * 300), Decimal("1.5")]),
    "long text": (TEXT, "sqlite postgres mariadb", [LONG, "x"]),
    "days": (Date, "postgres mariadb", [date(2024, 1, 1), date(1999, 12, 31)]),
    "moments": (MOMENT, "postgres mariadb", [datetime(2024, 1, 1), datetime(2024, 1, 1, 10, 11, 12, 500000)]),
    "hours": (Time, "postgres", [time(1, 2, 3), time(23, 0)]),
    "any type": (Anything, "sqlite", [17, "17", b"17", 17.5, "17.5", "a", "A", b"a", 2**63 - 1, LONG, LONG.encode()]),
}  # fmt: skip
EVENTS = "SELECT k AS order__purchase_id, c AS customer_id, note AS type FROM own"
PRODUCTS = "SELECT k AS order__purchase_id, note AS sku, 1 AS amount FROM own"
TRANSACTIONS = "SELECT k AS transaction_id, c AS customer_id, worth AS amount, note AS details FROM own"


class Own:
    """A table whose keys and customers are of one type, behind *engine*."""

    def __init__(self, engine, folder, kind=TEXT, rows=()):
        self.shop = Shop(engine, folder)
        self.table = Table(
            "own",
            MetaData(),
            Column("k", kind),
            Column("c", kind),
            Column("worth", Numeric(12, 2)),
            Column("note", String(40)),
        )
        self.table.create(engine)
        self.add(rows)

    def add(self, rows):
        # Written as they are: SQLite would be given what a type makes of a value.
        with self.shop.engine.begin() as connection:
            for key, customer, *worth in rows:
                values = {"k": key, "c": customer, "worth": worth[0] if worth else 5, "note": "x"}
                connection.execute(insert(self.table).values(values))

    def legacy(self, entity=Entity.EVENTS):
        return self.shop.legacy(
            entity,
            customers="SELECT k AS id, note AS name FROM own",
            events=EVENTS,
            events__of__order__products=PRODUCTS,
            transactions=TRANSACTIONS,
        )


def asked(legacy, *wanted, part=None):
    """Return the places of the rows that a window of the places *wanted* has."""
    maker = maker_of(legacy)
    found = [row for page in pages(legacy, part, Window(places=wanted)) for row in page]
    return Counter(maker.make(row).place for row in found)


def everything(legacy):
    maker = maker_of(legacy)
    return Counter(maker.make(row).place for page in pages(legacy) for row in page)


@pytest.fixture(params=[f"{name} on {dialect}" for name, (_, those, _) in KEYS.items() for dialect in those.split()])
def own(request, tmp_path):
    """Rows with keys of each type that a database has: two of the first key, one of each other."""
    name, _, dialect = request.param.partition(" on ")
    kind, _, keys = KEYS[name]
    engine = request.getfixturevalue(dialect)
    made = Own(engine, tmp_path, kind, [(key, keys[-1]) for key in (keys[0], *keys)])
    made.keys = len(keys)
    return made


def test_a_place_is_read_as_what_it_is_and_alone(own):
    legacy = own.legacy()
    rows = everything(legacy)
    assert sorted(rows.values())[:-1] == [1] * (len(rows) - 1)
    assert len(rows) == own.keys
    for each, count in rows.items():
        assert asked(legacy, each) == {each: count}
        assert asked(legacy, copy_of(each, b"\x01" * 16, 1)) == {each: count}
    assert asked(legacy, *rows) == rows
    assert asked(legacy) == {}


def test_the_source_knows_which_places_it_has(own):
    legacy = own.legacy()
    rows = everything(legacy)
    nowhere = {place_of(key) for _, _, keys in KEYS.values() for key in keys} - set(rows)
    assert legacy.there([*rows, *nowhere]) == set(rows)
    further = {copy_of(each, b"\x01" * 16, 1): count for each, count in rows.items()}
    assert legacy.there(further) == {each for each, count in further.items() if count > 1}
    assert legacy.there([]) == set()


def test_the_keys_of_two_rows_are_found_and_no_others(own):
    legacy = own.legacy()
    twins = list(legacy.twins(Window()))
    assert dict(twins) == {each: count for each, count in everything(legacy).items() if count > 1}
    assert len(twins) == len(dict(twins))


def test_places_of_all_other_types_are_not_there_and_hinder_nothing(own):
    legacy = own.legacy()
    rows = everything(legacy)
    others = {place_of(key) for _, _, keys in KEYS.values() for key in keys} - set(rows)
    assert asked(legacy, *others) == {}
    assert asked(legacy, *others, *rows) == rows


def test_whole_owners_are_read_of_transactions(own):
    legacy = own.legacy(Entity.TRANSACTIONS)
    everyone = [row for page in pages(legacy) for row in page]
    (owner,) = {place_of(place(legacy, row)[0]) for row in everyone}
    assert len(everyone) == own.keys + 1
    found = [row for page in pages(legacy, window=Window(places=(owner,))) for row in page]
    assert len(found) == len(everyone)
    own_place = maker_of(legacy).make(everyone[0]).place
    if own_place != owner:
        assert pages(legacy, window=Window(places=(own_place,))) == []


# Rows that lack something.


def test_rows_without_a_key_are_read_by_what_else_they_have(legacy_engine, tmp_path):
    rows = [(None, "A"), (None, "A"), (None, "a"), (None, "A "), (None, None), ("K", None), ("K", "A"), ("L", "A")]
    own = Own(legacy_engine, tmp_path, TEXT, rows)
    legacy = own.legacy()
    expected = {
        place_of_row(None, "A"): 2,
        place_of_row(None, "a"): 1,
        place_of_row(None, "A "): 1,
        place_of_row(None, None): 1,
        "tK": 2,
        "tL": 1,
    }
    assert everything(legacy) == expected
    for each, count in expected.items():
        assert asked(legacy, each) == {each: count}
    assert asked(legacy, *expected) == expected
    assert asked(legacy, place_of_row(None, "B")) == {}
    assert legacy.there([*expected, place_of_row(None, "B"), "tM"]) == set(expected)
    assert dict(legacy.twins(Window())) == {"tK": 2}
    ((without, *_),) = pages(legacy, window=Window(places=(place_of_row(None, "a"),)))
    assert without == UnreadableRow(None, "a", "missing_key", "order__purchase_id", "nothing")
    first, second = (row for page in pages(legacy, window=Window(places=("tK",))) for row in page)
    assert first == UnreadableRow("K", None, "missing_value", "customer_id", "nothing")
    assert isinstance(second, LegacyRow)


def test_transactions_without_a_key_go_with_their_owner_and_those_without_an_owner_together(legacy_engine, tmp_path):
    rows = [(None, "A", 7), (None, "A", 8), ("1", "A"), ("2", "a"), ("3", None), (None, None, 9), ("4", "A ")]
    legacy = Own(legacy_engine, tmp_path, TEXT, rows).legacy(Entity.TRANSACTIONS)
    without = [place_of_row(None, "A", Decimal(7)), place_of_row(None, "A", Decimal(8))]
    if legacy_engine.dialect.name == "sqlite":
        without = [place_of_row(None, "A", 7), place_of_row(None, "A", 8)]
    assert set(asked(legacy, "tA")) == {*without, "t1"}
    assert asked(legacy, "ta") == {"t2": 1}
    assert asked(legacy, "sA |") == {"t4": 1}
    assert "t3" in asked(legacy, NO_PLACE)
    assert len(asked(legacy, NO_PLACE)) == 2
    assert sum(asked(legacy, "tA", "ta", "sA |", NO_PLACE).values()) == len(rows)
    assert legacy.there([*without, "t3", "t4", "t5"]) == {*without, "t3", "t4"}


def test_customers_without_a_key_share_one_place(legacy_engine, tmp_path):
    legacy = Own(legacy_engine, tmp_path, TEXT, [("A", "A"), (None, None), (None, None)]).legacy(Entity.CUSTOMERS)
    nameless = place_of_row(None, None)
    assert everything(legacy) == {"tA": 1, nameless: 2}
    assert asked(legacy, nameless) == {nameless: 2}
    assert asked(legacy, "tA") == {"tA": 1}
    assert legacy.there(["tA", nameless]) == {"tA", nameless}


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"])  # PostgreSQL has none
def test_a_key_with_a_nul_is_read_as_one_that_is_too_long(request, dialect, tmp_path):
    legacy_engine = request.getfixturevalue(dialect)
    keys = ["a\x00b", "a\x00c", "\x00", "a", LONG]
    legacy = Own(legacy_engine, tmp_path, TEXT, [(key, "A") for key in keys]).legacy()
    for key in keys:
        assert asked(legacy, place_of(key)) == {place_of(key): 1}
    assert legacy.there(map(place_of, [*keys, "\x00\x00"])) == set(map(place_of, keys))


def test_owners_whose_keys_no_ledger_keeps_are_read_whole(legacy_engine, tmp_path):
    rows = [("1", LONG), ("2", LONG), ("3", LONG + "y"), (None, LONG), ("4", "A")]
    legacy = Own(legacy_engine, tmp_path, TEXT, rows).legacy(Entity.TRANSACTIONS)
    found = [place(legacy, row) for page in pages(legacy, window=Window(places=(place_of(LONG),))) for row in page]
    assert Counter(found) == Counter([(LONG, "1"), (LONG, "2"), (LONG, None)])


# How they are read.


def test_a_row_is_read_wherever_it_stands_by_now(legacy_engine, tmp_path):
    own = Own(legacy_engine, tmp_path, TEXT, [("1", "A"), ("2", "Z"), (None, "Z"), ("3", None)])
    legacy = own.legacy()
    part = Slice(Entity.EVENTS, 2, 3, "tM", "tP", 1, "places")
    wanted = ["t1", "t2", "t3", place_of_row(None, "Z")]
    assert set(asked(legacy, *wanted, part=part)) == set(wanted)


def test_nothing_is_there_where_no_row_has_a_key(legacy_engine, tmp_path):
    for rows in ([], [(None, None)]):
        legacy = Own(legacy_engine, tmp_path, TEXT, rows).legacy()
        every = [place_of(key) for _, _, keys in KEYS.values() for key in keys]
        assert asked(legacy, *every) == {}
        assert legacy.there(every) == set()
        assert list(legacy.twins(Window())) == []
        with legacy_engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE own")
            for table in ("member", "receipt", "line", "points"):
                connection.exec_driver_sql(f"DROP TABLE {table}")


@pytest.mark.usefixtures("small_pages")
def test_many_places_are_asked_for_in_portions_and_a_key_is_not_read_twice(legacy_engine, tmp_path, monkeypatch):
    monkeypatch.setattr(among, "MOST_KEYS", 4)
    monkeypatch.setattr(among, "_MOST_KEYS_OF", {})
    keys = [spelled for number in range(12) for spelled in (f"k{number}", f"K{number}", f"k{number} ")]
    own = Own(legacy_engine, tmp_path, TEXT, [(key, key) for key in [*keys, LONG, "k0"]])
    own.add([(None, "k1")])
    for entity in Entity:
        legacy = own.legacy(entity)
        rows = everything(legacy)
        if entity is Entity.TRANSACTIONS:
            found = pages(legacy, window=Window(places=tuple(map(place_of, [*keys, LONG]))))
            assert len(places(legacy, found)) == sum(rows.values())
            continue
        assert asked(legacy, *rows) == rows
        assert legacy.there(rows) == set(rows)
        assert dict(legacy.twins(Window())) == {"tk0": 2}


@pytest.mark.usefixtures("small_pages")
def test_rows_that_cannot_be_read_are_dropped_or_named_like_others(sqlite, tmp_path):
    own = Own(sqlite, tmp_path, TEXT, [(key, "A") for key in ("1", "2", "3", "4", "5")])
    own.shop.run("UPDATE own SET note = CAST(x'E9' AS TEXT) WHERE k IN ('2', '4')")
    legacy = own.legacy()
    found = [row for page in pages(legacy, window=Window(places=("t1", "t2", "t3"))) for row in page]
    assert [place(legacy, row)[1] for row in found] == ["1", "2", "3"]
    assert [type(row) for row in found] == [LegacyRow, UnreadableRow, LegacyRow]


@pytest.mark.parametrize("key", ["text", "numbers"])
def test_the_rows_of_a_place_come_out_of_an_index(postgres, tmp_path, key):
    kind, _, _ = KEYS[key]
    own = Own(postgres, tmp_path, kind)
    own.shop.run(
        "INSERT INTO own SELECT n, n, 5, 'x' FROM generate_series(1, 20000) AS s(n)",
        "CREATE INDEX own_k ON own (k)",
        "CREATE INDEX own_c ON own (c)",
        "ANALYZE own",
    )
    statements = []

    @event.listens_for(postgres, "before_cursor_execute")
    def _keep(_connection, _cursor, statement, parameters, *_):
        statements.append((statement, parameters))

    wanted = [place_of(str(number) if key == "text" else number) for number in (17, 18, 19)]
    for entity in Entity:
        legacy = own.legacy(entity)
        statements.clear()
        assert sum(map(len, pages(legacy, window=Window(places=tuple(wanted))))) == 3
        assert legacy.there(wanted) == set(wanted)
        asking = [(some, given) for some, given in statements if " = ANY " in some]
        assert len(asking) >= 2
        with postgres.connect() as connection:
            for some, given in asking:
                plan = connection.exec_driver_sql(f"EXPLAIN {some}", given).scalars().all()
                assert not any("Seq Scan" in line for line in plan), plan


def test_a_moment_has_one_place_whatever_clock_a_session_has(postgres, tmp_path):
    own = Own(postgres, tmp_path, DateTime(timezone=True))
    own.shop.run("INSERT INTO own (k, c) VALUES ('2024-01-01 12:00:00.5+00', '2024-01-01 12:00:00+00')")
    there = create_engine(postgres.url, connect_args={"options": "-c timezone=America/Mexico_City"})
    own.shop.engine = there
    try:
        legacy = own.legacy()
        assert everything(legacy) == {"o2024-01-01 12:00:00.500000+00:00|": 1}
        assert asked(legacy, *everything(legacy)) == everything(legacy)
        assert legacy.there(everything(legacy)) == set(everything(legacy))
    finally:
        there.dispose()


SPELLED = st.one_of(st.none(), st.text("aA á\t~", max_size=3), st.sampled_from(["17", "17 ", LONG, LONG + " "]))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_are_read_by_any_places(shared, data):
    with shared.shop.engine.begin() as connection:
        connection.execute(delete(shared.table))
    shared.add(data.draw(st.lists(st.tuples(SPELLED, SPELLED), max_size=8)))
    legacy = shared.legacy(data.draw(st.sampled_from([Entity.CUSTOMERS, Entity.EVENTS])))
    found = everything(legacy)
    others = ["ta", "tA", "ib17", "n", place_of(LONG), place_of_row(None, "a")]
    wanted = data.draw(st.sets(st.sampled_from([*found, *others])))
    expected = Counter({each: count for each, count in found.items() if each in wanted})
    assert asked(legacy, *wanted) == expected
    assert legacy.there(wanted) == set(expected)
    assert dict(legacy.twins(Window())) == {
        each: count for each, count in found.items() if count > 1 and each[0] != "n"
    }


@pytest.fixture
def shared(legacy_engine, tmp_path):
    """One table for all examples."""
    return Own(legacy_engine, tmp_path)
