"""
The SQL for databases that cannot run here, SQL Server and Oracle, as text: what their manuals take,
and nothing that they do not.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.dialects import mssql, oracle
from sqlalchemy.exc import OperationalError

from masivo_engine.mapping.aliases import PARENT_KEY
from masivo_engine.mapping.loader import load
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Window
from masivo_engine.source.statements import SampleValues, Statements, elements
from masivo_engine.sql import is_passing


DIALECTS = {"mssql": mssql.dialect(), "oracle": oracle.dialect()}
COLUMNS = {
    Entity.CUSTOMERS: ["id", "email", "updated_at"],
    Entity.EVENTS: ["customer_id", "order__purchase_id", "updated_at"],
    Entity.TRANSACTIONS: ["customer_id", "transaction_id", "amount", "updated_at"],
}
NUMBERS = SampleValues(key=7, customer=7, changed=datetime(2024, 1, 1))  # noqa: DTZ001 - as a driver hands it out
TEXTS = SampleValues(key="k", customer="c", changed=datetime(2024, 1, 1))  # noqa: DTZ001
PART = Slice(Entity.EVENTS, 2, 3, 100, 200, 50)
WINDOW = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
EVERYTHING = Window()
PLACES = tuple(map(place_of, [1, 2, "1", "1 ", Decimal("1.5"), 1.5, UUID(int=1), b"1", "x" * 300, None]))
# Neither has these: a LIMIT, hex(), a number or TRUE for a condition, or a cast to text of no
# length (Oracle) or of 30 (SQL Server).
FOREIGN = re.compile(
    r"\b(LIMIT|OFFSET|hex\(|true|false)\b|(OR|AND|NOT|WHERE) [01]\b(?! =)|AS VARCHAR2?\)|AS VARCHAR2?\(\)",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def mapping():
    return load("sample")


def selection(mapping, entity, dialect, stored):
    return Statements(mapping, entity, COLUMNS[entity], stored=stored, dialect=dialect)


def written(statement, dialect, mapping):
    """Return the statement as it goes to the driver, on one line, with SQL for the mapping's."""
    compiled = str(statement.compile(dialect=DIALECTS[dialect], compile_kwargs={"render_postcompile": True}))
    for query in mapping.queries.values():
        compiled = compiled.replace(f"({query.sql}\n)", "(SQL)")
    return " ".join(compiled.split())


def test_rows_behind_a_place_on_oracle(mapping):
    statement = selection(mapping, Entity.EVENTS, "oracle", TEXTS).rows(PART, EVERYTHING, behind=("c", "k"))
    assert written(statement, "oracle", mapping) == (
        "SELECT legacy.customer_id, legacy.order__purchase_id, legacy.updated_at FROM (SQL) legacy"
        " WHERE legacy.customer_id IS NOT NULL AND legacy.order__purchase_id IS NOT NULL"
        " AND legacy.customer_id >= :customer_id_1 AND legacy.customer_id < :customer_id_2"
        " AND (legacy.customer_id > :customer_id_3"
        " OR legacy.customer_id = :customer_id_4 AND legacy.order__purchase_id > :order__purchase_id_1)"
        " ORDER BY legacy.customer_id, legacy.order__purchase_id"
    )


def test_rows_behind_a_place_on_sql_server_whose_collations_take_a_for_capital_a(mapping):
    statement = selection(mapping, Entity.CUSTOMERS, "mssql", TEXTS).rows(PART, EVERYTHING, behind=("c", "c"))
    bytewise = "CAST(CAST({} AS NVARCHAR(4000)) AS VARBINARY(8000))"
    assert written(statement, "mssql", mapping) == (
        "SELECT legacy.id, legacy.email, legacy.updated_at FROM (SQL) AS legacy"
        " WHERE legacy.id IS NOT NULL AND legacy.id IS NOT NULL AND legacy.id >= :id_1 AND legacy.id < :id_2"
        f" AND (legacy.id > :id_3 OR legacy.id = :id_4 AND {bytewise.format('legacy.id')} > {bytewise.format(':param_1')})"
        f" ORDER BY legacy.id, {bytewise.format('legacy.id')}"
    )


def test_numbers_need_no_second_look_on_sql_server(mapping):
    statement = selection(mapping, Entity.CUSTOMERS, "mssql", NUMBERS).rows(PART, EVERYTHING, behind=(7, 7))
    assert "VARBINARY" not in written(statement, "mssql", mapping)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_window_of_transactions_brings_the_others_of_its_customers_along(mapping, dialect):
    statement = selection(mapping, Entity.TRANSACTIONS, dialect, NUMBERS).counts(WINDOW)
    alias = " AS" if dialect == "mssql" else ""
    during = "{0}.updated_at IS NOT NULL AND {0}.updated_at >= :updated_at_{1} AND {0}.updated_at < :updated_at_{2}"
    assert written(statement, dialect, mapping) == (
        f"SELECT legacy.customer_id, count(*) AS count_1 FROM (SQL){alias} legacy"
        " WHERE legacy.customer_id IS NOT NULL AND legacy.transaction_id IS NOT NULL"
        f" AND (legacy.customer_id IN (SELECT touched.customer_id FROM (SQL){alias} touched"
        f" WHERE touched.customer_id IS NOT NULL AND {during.format('touched', 1, 2)})"
        f" OR legacy.customer_id IS NULL AND {during.format('legacy', 3, 4)})"
        " GROUP BY legacy.customer_id ORDER BY legacy.customer_id"
    )


def test_places_are_asked_for_by_type_on_oracle_and_those_of_other_types_are_none(mapping):
    """Oracle hands one column's whole numbers out as int, and its others as float or Decimal."""
    made = selection(mapping, Entity.CUSTOMERS, "oracle", NUMBERS)
    statement = made.rows(PART, Window(places=("ia1", "ib17", "d17.5", "tA", "bff", "n", "h")))
    assert written(statement, "oracle", mapping).endswith(
        " WHERE legacy.id IS NOT NULL AND legacy.id IS NOT NULL"
        " AND (legacy.id IN (:id_1_1, :id_1_2) OR legacy.id IN (:id_2_1)"
        " OR lengthb(CAST(legacy.id AS VARCHAR2(4000 CHAR))) > :lengthb_1 OR legacy.id IS NULL) ORDER BY legacy.id"
    )
    nothing = made.rows(PART, Window(places=("tA",)))
    assert " AND 1 = 0 ORDER BY" in written(nothing, "oracle", mapping)


def test_texts_that_no_ledger_keeps_are_asked_for_by_what_is_wrong_with_them_on_sql_server(mapping):
    statement = selection(mapping, Entity.EVENTS, "mssql", TEXTS).at(["h"])
    assert written(statement, "mssql", mapping) == (
        "SELECT legacy.customer_id, legacy.order__purchase_id AS masivo_key FROM (SQL) AS legacy"
        " WHERE datalength(legacy.order__purchase_id) > :datalength_1"
        " OR charindex(char(:char_1), legacy.order__purchase_id COLLATE Latin1_General_BIN2) > :charindex_1"
    )


@pytest.mark.parametrize(
    ("dialect", "words"), [("mssql", "SELECT TOP 1 legacy.id FROM"), ("oracle", "FETCH FIRST 1 ROWS ONLY")]
)
def test_one_row_is_asked_for_as_the_database_says_it(mapping, dialect, words):
    key = selection(mapping, Entity.CUSTOMERS, dialect, NUMBERS).key
    assert words in written(select(key).limit(1), dialect, mapping)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    "stored",
    [NUMBERS, TEXTS, SampleValues(UUID(int=1), UUID(int=2), NUMBERS.changed)],
    ids=["numbers", "texts", "uuids"],
)
@pytest.mark.parametrize("entity", Entity)
def test_nothing_is_said_that_neither_database_knows(mapping, dialect, stored, entity):
    made = selection(mapping, entity, dialect, stored)
    position, last = (stored.customer, stored.key), (stored.customer, stored.key)
    window = Window(WINDOW.since, WINDOW.until, ("1", "2"))
    statements = [
        made.rows(PART, window, behind=position),
        made.rows(PART, window, between=(position, last)),
        made.positions(PART, window, behind=None),
        made.keyless(PART, window),
        made.counts(window),
        made.keys_among([stored.key]),
        made.newest(until=WINDOW.until),
        made.later(WINDOW.until),
        made.any_row(),
        made.rows(PART, Window(places=PLACES)),
        made.keyless(PART, Window(places=PLACES)),
        made.at(PLACES),
        made.twins(Window()),
        *([made.spellings([stored.key])] if made.can_take_for_another else []),
        *(elements(query, [PARENT_KEY[entity], "value"], [stored.key]) for query in mapping.lists[entity].values()),
    ]
    for statement in statements:
        text = written(statement, dialect, mapping)
        assert FOREIGN.search(text) is None, text


@pytest.mark.parametrize("text", ["a OR 0", "LIMIT 1", "hex(x)", "CAST(x AS VARCHAR)", "x AND true"])
def test_what_they_do_not_know_would_be_found(text):
    assert FOREIGN.search(text)


@pytest.mark.parametrize(
    ("dialect", "first", "is_later"),
    [
        ("mssql", "40001", True),
        ("mssql", "HYT00", True),
        ("mssql", "22007", False),
        ("oracle", SimpleNamespace(code=1555), True),
        ("oracle", SimpleNamespace(code=1722), False),
    ],
)
def test_what_passes_is_known_by_the_number_that_the_driver_gives(dialect, first, is_later):
    """pyodbc's errors begin with an SQLSTATE. Those of oracledb hold an ORA- number."""
    error = OperationalError("SELECT 1", {}, Exception(first, "the database's words"))
    assert is_passing(error, dialect) is is_later
