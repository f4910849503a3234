"""
Rows that a mapping leaves out on purpose: the check, the plan, the account and the pack say how
many there are and why, and none of them is read.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, text

from masivo_engine.checks.check import check
from masivo_engine.checks.questions import Bounds
from masivo_engine.ledger.runs.runs import finish_run
from masivo_engine.mapping.loader import load
from masivo_engine.model.errors import MappingError
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.reports.account_text import as_json, as_text
from masivo_engine.reports.pack.pack import write_pack
from tests import mapping_folder
from tests.whole_migration import journey


READ = "SELECT id, name, email, registered AS registration_date FROM customer WHERE state = 'open'"
LEFT_OUT = """
SELECT id, CASE state WHEN 'test' THEN 'a test' WHEN 'shut' THEN 'shut by its owner' ELSE state END AS reason
FROM customer WHERE state <> 'open' -- whatever it is
"""
STATES = {1: "open", 2: "shut", 3: "shut", 4: "test", 5: "open"}


@pytest.fixture
def shop(legacy_url):
    """A shop of five customers, two of them open."""
    engine = create_engine(legacy_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(40), email VARCHAR(60),"
                " registered VARCHAR(20), state VARCHAR(10))"
            )
        )
        for number, state in STATES.items():
            connection.execute(
                text("INSERT INTO customer VALUES (:id, 'Ann', :email, '2024-01-01 10:00:00', :state)"),
                {"id": number, "email": f"m{number}@shop.example", "state": state},
            )
    yield engine
    engine.dispose()


def folder(tmp_path, **files):
    written = {"customers.sql": READ, "customers.left_out.sql": LEFT_OUT}
    written |= {f"{name.replace('__', '.')}.sql": sql for name, sql in files.items()}
    return mapping_folder.write(tmp_path / "mapping", written)


def found(shop, tmp_path, **files):
    """Return what the check says of what is left out, by code."""
    mapping = load(str(folder(tmp_path, **files)))
    codes = {"left_out", "read_and_left_out", "neither_read_nor_left_out", "sql_fails"}
    said = [one for one in check(mapping, shop, limits=Limits()) if one.code in codes]
    return sorted((one.severity.value, one.code, one.rows, one.matter) for one in said)


def test_plan_account_and_pack_show_what_is_left_out_and_it_is_not_read(shop, legacy_url, tmp_path):
    assert found(shop, tmp_path) == [
        ("note", "left_out", 1, "1 row: a test"),
        ("note", "left_out", 2, "2 rows: shut by its owner"),
    ]
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with journey(legacy_url, ledger, mapping=str(folder(tmp_path))) as trip:
        run = trip.begin("nightly")
        told = trip.foretell(run)
        counted = [
            {"entity": "customers", "reason": "shut by its owner", "rows": 2},
            {"entity": "customers", "reason": "a test", "rows": 1},
        ]
        assert told.as_json()["left_out"] == counted
        made = trip.migrate("nightly")
        assert (made.adds_up, made.entities[0].read) == (True, 2)
        assert as_json(made)["left_out"] == counted
        assert "left out by the mapping" in as_text(made)
        assert f"{2:>10,}  {'customers':<13}shut by its owner" in as_text(made)
        finish_run(trip.place.ledger, run.number, "adds up")
        pack = write_pack(trip.place.ledger, trip.account("nightly"), tmp_path / "packs", Limits())
        for page in ("index.html", "plan.html"):
            assert '<li data-entity="customers">2 customers: shut by its owner</li>' in (pack / page).read_text()
        assert json.loads((pack / "account.json").read_text())["left_out"] == counted


def test_rows_that_are_in_both_files_or_in_none_are_found(shop, tmp_path):
    both = "SELECT id, 'shut' AS reason FROM customer WHERE state <> 'test'"
    assert found(shop, tmp_path, customers__left_out=both) == [
        ("note", "left_out", 4, "4 rows: shut"),
        (
            "warning",
            "neither_read_nor_left_out",
            1,
            "1 row of customer are neither in customers.sql nor in customers.left_out.sql",
        ),
        (
            "warning",
            "read_and_left_out",
            2,
            "2 rows that customers.left_out.sql leaves out are read by customers.sql all the same",
        ),
    ]


def test_a_row_without_a_reason_is_said_to_have_none(shop, tmp_path):
    assert found(
        shop, tmp_path, customers__left_out="SELECT id, NULL AS reason FROM customer WHERE state <> 'open'"
    ) == [("warning", "left_out", 3, "3 rows without a reason")]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT id FROM customer", "has no column 'reason'"),
        ("SELECT 'a test' AS reason FROM customer", "has no column 'id'"),
        ("SELECT id, 'a test' AS reason, name FROM customer", "unknown alias 'name'"),
        ("SELECT id, 'a test' AS reason FROM customers", "the database cannot run it"),
    ],
)
def test_check_and_plan_refuse_a_file_that_does_not_fit_with_the_same_words(sqlite_url, tmp_path, sql, words):
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE customer (id INTEGER, name TEXT, email TEXT, registered TEXT, state TEXT)")
        )
    ((severity, _, _, matter),) = found(engine, tmp_path, customers__left_out=sql)
    engine.dispose()
    assert severity == "blocker"
    assert words in matter
    with journey(
        sqlite_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping=str(folder(tmp_path, customers__left_out=sql))
    ) as trip:
        run = trip.begin("nightly")
        with pytest.raises(MappingError, match=words):
            trip.foretell(run)


def test_what_is_left_out_decides_nothing_of_what_is_sent(tmp_path):
    before = load(str(folder(tmp_path))).content_hash
    after = load(str(folder(tmp_path, customers__left_out="SELECT id, 'other words' AS reason FROM customer")))
    assert after.content_hash == before
    assert list(after.left_out) == [Entity.CUSTOMERS]


def test_a_file_of_an_entity_that_is_not_read_is_refused(tmp_path):
    with pytest.raises(MappingError, match=r"events\.left_out\.sql.*but there is no events\.sql"):
        load(str(folder(tmp_path, events__left_out="SELECT order__purchase_id, reason FROM x")))


def test_a_count_that_takes_too_long_is_a_note_and_the_check_goes_on(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TABLE customer (id INTEGER, name TEXT, email TEXT, registered TEXT, state TEXT DEFAULT 'open')"
            )
        )
        connection.execute(
            text(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
                " INSERT INTO customer (id, name) SELECT i, 'Ann' FROM n"
            )
        )
    endless = "SELECT a.id AS id, 'x' AS reason FROM customer a, customer b, customer c"  # 27,000,000,000 rows
    mapping = load(str(folder(tmp_path, customers__left_out=endless)))
    said = list(check(mapping, engine, limits=Limits(), bounds=Bounds(100, 0.2)))
    engine.dispose()
    assert [one.where for one in said if one.code == "not_checked" and "how many rows are left out" in one.matter] == [
        Entity.CUSTOMERS
    ]
