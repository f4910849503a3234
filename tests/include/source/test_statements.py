"""
The SQL around a mapping's SQL, run on real databases: windows, customers, order, and a SELECT as it
was written.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Window
from tests.databases.dialects import EVENTS, Shop, everything, pages, place, places


NOON = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)


def test_a_window_holds_its_beginning_and_not_its_end_and_only_the_first_holds_rows_without_a_change_time(
    legacy_engine, tmp_path
):
    shop = Shop(legacy_engine, tmp_path)
    local = NOON.replace(tzinfo=None) - timedelta(hours=6)  # the mapping's zone is Mexico City
    for number, changed in enumerate([local - timedelta(seconds=1), local, local + timedelta(hours=1), None]):
        shop.add_receipts([("A", str(number)), (None, str(number))], changed=changed)
    legacy = shop.legacy()
    window = Window(NOON, NOON + timedelta(hours=1))
    assert sorted(places(legacy, pages(legacy, window=window)), key=str) == [
        ("A", "1"),
        (None, "1"),
    ]
    assert dict(legacy.counts(window)) == {"A": 1, None: 1}
    assert len(places(legacy, pages(legacy, window=Window(until=NOON)))) == 4
    assert len(places(legacy, pages(legacy, window=Window(since=NOON)))) == 4


def test_a_window_needs_a_change_time(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    legacy = shop.legacy(Entity.CUSTOMERS)
    for read in (legacy.counts, lambda window: legacy.pages(everything(Entity.CUSTOMERS), window)):
        with pytest.raises(MappingError) as caught:
            list(read(Window(since=NOON)))
        assert str(caught.value).endswith(
            "customers.sql: has no column 'updated_at', so no window can be read; add it, or run with full"
        )
    assert pages(legacy, window=Window(customers=("A",))) == []


def test_a_transaction_that_changed_brings_all_of_its_customers_along(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    old, new = datetime(2020, 1, 1), datetime(2024, 1, 15, 8)  # noqa: DTZ001
    rows = [("A", "1", old), ("A", "2", new), ("A", None, old), ("B", "3", old), (None, "4", new), (None, "5", old)]
    shop.add(shop.points, [{"member": member, "no": no, "amount": 5, "changed": at} for member, no, at in rows])
    legacy = shop.legacy(Entity.TRANSACTIONS)
    window = Window(since=NOON)
    assert Counter(places(legacy, pages(legacy, window=window))) == Counter(
        [("A", "1"), ("A", "2"), ("A", None), (None, "4")]
    )
    assert dict(legacy.counts(window)) == {"A": 2, None: 2}


@pytest.mark.parametrize("numbered", [True, False])
def test_a_run_may_be_of_a_few_customers(legacy_engine, tmp_path, numbered):
    shop = Shop(legacy_engine, tmp_path, numbered=numbered)
    key = int if numbered else str
    shop.add_receipts([(key(customer), key(number)) for customer in (7, 8, 31198437603) for number in range(2)])
    legacy = shop.legacy()
    window = Window(customers=("7", "31198437603", "08", "no number", "8x"))
    assert {customer for customer, _ in places(legacy, pages(legacy, window=window))} == {key(7), key(31198437603)}
    assert dict(legacy.counts(window)) == {key(7): 2, key(31198437603): 2}
    assert pages(legacy, window=Window(customers=("nobody",))) == []


def test_customers_of_another_type_are_compared_as_text(postgres, tmp_path):
    shop = Shop(postgres, tmp_path)
    member = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
    shop.add_receipts([(member, "1"), (member.replace("3", "4"), "2")])
    legacy = shop.legacy(events=EVENTS.replace("r.member AS", "CAST(r.member AS uuid) AS"))
    assert sum(dict(legacy.counts(Window(customers=(member, "x")))).values()) == 1


@pytest.mark.usefixtures("small_pages")
def test_keys_that_differ_in_case_alone_are_different_rows_where_the_database_does_not_tell_them_apart(
    mariadb, tmp_path
):
    shop = Shop(mariadb, tmp_path)
    keys = [(customer, key) for customer in ("ab", "AB", "Ab", "ab ") for key in ("k", "K", "k ", "l")] * 2
    shop.add_receipts(keys)
    legacy = shop.legacy()
    found = pages(legacy)
    assert Counter(places(legacy, found)) == Counter(keys)
    runs = [customer for customer, _ in groupby(customer for customer, _ in places(legacy, found))]
    assert len(runs) == len(set(runs)), "the rows of a customer stand together"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT r.member AS customer_id, r.no AS order__purchase_id, ':a: 12:30 :b' AS type FROM receipt r",
        "SELECT r.member AS customer_id, r.no AS order__purchase_id, ' :a:' AS type FROM receipt r;",
        "SELECT r.member AS customer_id, r.no AS order__purchase_id, '100% %s %(x)s' AS type FROM receipt r WHERE r.no LIKE '%'",
        "SELECT r.member AS customer_id, r.no AS order__purchase_id, 'x' AS type FROM receipt r -- to the end",
        "/* first */ SELECT r.member AS customer_id, r.no AS order__purchase_id, 'a;b' AS type FROM receipt r ; -- last",
        "WITH r AS (SELECT * FROM receipt) SELECT r.member AS customer_id, r.no AS order__purchase_id, 'x' AS type FROM r",
        "SELECT DISTINCT r.member AS customer_id, r.no AS order__purchase_id, 'x' AS type FROM receipt r ORDER BY 1",
        "SELECT r.member AS Customer_ID, r.no AS ORDER__PURCHASE_ID, 'x' AS Type FROM receipt r",
        "SELECT member AS customer_id, no AS order__purchase_id, 'x' AS type FROM receipt UNION SELECT 'A', '1', 'x'",
    ],
)
def test_a_select_is_run_as_it_was_written(legacy_engine, tmp_path, sql):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("A", "1")])
    legacy = shop.legacy(events=sql)
    ((row,),) = pages(legacy, window=Window(customers=("A",)))
    assert place(legacy, row) == ("A", "1")
    shown = row.values[legacy.columns.index("type")]
    assert shown in {":a: 12:30 :b", " :a:", "100% %s %(x)s", "x", "a;b"}
    assert shown in sql


def test_casts_and_backslashes_are_left_alone(postgres, tmp_path):
    shop = Shop(postgres, tmp_path)
    shop.add_receipts([("A", "1")])
    legacy = shop.legacy(
        events=EVENTS.replace("r.note AS type", r"('\:x \: ' || (ARRAY['a:b']::text[])[1:1]::text) AS type")
    )
    ((row,),) = pages(legacy)
    assert row.values[legacy.columns.index("type")] == r"\:x \: {a:b}"


@pytest.mark.parametrize(
    ("window", "said"),
    [
        (Window(), "everything"),
        (Window(since=NOON), "changed from 2024-01-15T12:00:00+00:00 to now"),
        (Window(until=NOON), "changed from the beginning to 2024-01-15T12:00:00+00:00"),
        (Window(NOON, NOON, ("A", "B")), f"changed from {NOON.isoformat()} to {NOON.isoformat()} of 2 named customers"),
        (Window(customers=("A",)), "of 1 named customers"),
        (Window(places=("tA",)), "what a person released"),
        (Window(places=()), "what a person released"),
    ],
)
def test_a_window_says_what_it_holds(window, said):
    assert str(window) == said
