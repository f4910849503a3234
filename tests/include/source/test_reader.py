"""
Rows out of real databases: every one of them once, in order, with what belongs to it.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, delete

import masivo_engine.source.reader
from masivo_engine.model.errors import MappingError
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, LegacyRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.planning.slices import slices
from masivo_engine.records.stream import maker_of, shaper_of
from masivo_engine.source.reader import Source
from tests import mapping_folder
from tests.databases.dialects import TRANSACTIONS, Shop, everything, pages, place, places


def test_rows_come_ordered_by_customer_and_key_and_those_that_lack_one_first(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("B", "2"), ("A", "9"), (None, "5"), ("B", "1"), ("A", None), (None, None), ("A", "10")])
    legacy = shop.legacy()
    first, rest = pages(legacy)
    assert Counter(place(legacy, row) for row in first) == Counter([(None, "5"), ("A", None), (None, None)])
    assert {(row.reason, row.column) for row in first} == {
        ("missing_key", "order__purchase_id"),
        ("missing_value", "customer_id"),
    }
    assert places(legacy, [rest]) == [("A", "10"), ("A", "9"), ("B", "1"), ("B", "2")]


def test_no_rows_are_no_pages(legacy_engine, tmp_path):
    legacy = Shop(legacy_engine, tmp_path).legacy()
    assert pages(legacy) == []
    assert list(legacy.counts(Window())) == []


def test_counts_are_by_customer_and_what_lacks_a_key_comes_last(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("B", "2"), ("A", "9"), (None, "5"), ("B", "1"), ("A", None), ("B", "1")])
    assert list(shop.legacy().counts(Window())) == [("A", 1), ("B", 3), (None, 2)]


@pytest.mark.usefixtures("small_pages")
def test_the_slices_of_a_plan_hold_every_row_once(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    keys = [(f"C{number % 7}", str(number // 2)) for number in range(40)]
    keys += [(None, "1"), (None, None), ("C3", None), ("C99", None)]
    shop.add_receipts(keys)
    legacy = shop.legacy()
    cut = slices(Entity.EVENTS, legacy.counts(Window()), Limits(records=5, slice_requests=2))
    assert len(cut) > 3
    found = [row for part in cut for row in places(legacy, pages(legacy, part))]
    assert Counter(found) == Counter(keys)


KEYS = st.sampled_from([None, "", "a", "A", "a ", "b", "á", "10", "9"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=st.lists(st.tuples(KEYS, KEYS), max_size=25), cuts=st.lists(st.sampled_from("AaBb1á"), max_size=3))
def test_slices_cut_anywhere_hold_every_row_once_and_no_page_parts_the_rows_of_a_key(
    tmp_path_factory, monkeypatch, keys, cuts
):
    monkeypatch.setattr(masivo_engine.source.reader, "PAGE", 3)
    folder = tmp_path_factory.mktemp("shop")
    legacy_engine = create_engine(f"sqlite:///{folder / 'shop.sqlite'}")
    shop = Shop(legacy_engine, folder / "mapping")
    shop.add_receipts(keys or [("a", "a")])
    legacy = shop.legacy()
    ends = [None, *sorted(cuts), None]
    parts = [Slice(Entity.EVENTS, 1, 1, lower, upper, 0) for lower, upper in pairwise(ends)]
    found = [page for part in parts for page in pages(legacy, part)]
    legacy_engine.dispose()

    assert Counter(places(legacy, found)) == Counter(keys or [("a", "a")])
    seen: set[tuple[str, str]] = set()
    for page in found:
        here = {place(legacy, row) for row in page if isinstance(row, LegacyRow)}
        assert not here & seen
        seen |= here


@pytest.mark.usefixtures("small_pages")
def test_pages_grow_where_rows_are_small_and_do_not_where_they_are_wide_or_carry_long_lists(
    legacy_engine, tmp_path, monkeypatch
):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("A", f"{number:03}") for number in range(60)])
    sizes = [len(page) for page in pages(shop.legacy())]
    assert sizes[0] <= 3
    assert max(sizes) > 3 * 4
    assert max(sizes) <= 3 * masivo_engine.source.reader._MOST_PAGES
    assert sum(sizes) == 60

    lists = "SELECT r.no AS order__purchase_id, n.no AS sku, 1 AS amount, 1 AS value FROM receipt r, receipt n"
    legacy = shop.legacy(events__of__order__products=lists)
    sizes = [len(page) for page in pages(legacy)]
    assert max(sizes) <= 3 * 2
    assert sum(sizes) == 60

    wide = (
        f"SELECT no AS order__purchase_id, member AS customer_id, '{'x' * 1000}' AS order__payment_method FROM receipt"
    )
    monkeypatch.setattr(masivo_engine.source.reader, "_MOST_CHARACTERS", 3000)
    sizes = [len(page) for page in pages(shop.legacy(events=wide))]
    assert max(sizes) <= 3
    assert sum(sizes) == 60


@pytest.mark.usefixtures("small_pages")
def test_the_rows_of_one_key_stay_on_one_page_however_many_they_are(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("A", "1"), ("A", "2"), *[("B", "1")] * 8, ("B", "2"), *[("C", "1")] * 3])
    legacy = shop.legacy()
    found = [Counter(places(legacy, [page])) for page in pages(legacy)]
    assert sum(found, Counter()) == {("A", "1"): 1, ("A", "2"): 1, ("B", "1"): 8, ("B", "2"): 1, ("C", "1"): 3}
    assert sum(("B", "1") in page for page in found) == 1
    assert sum(("C", "1") in page for page in found) == 1


def test_customers_are_their_own_key(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add(shop.members, [{"no": no, "name": "x"} for no in ("B", None, "A", "B")])
    legacy = shop.legacy(Entity.CUSTOMERS)
    assert list(legacy.counts(Window())) == [("A", 1), ("B", 2), (None, 1)]
    assert places(legacy, pages(legacy)) == [(None, None), ("A", "A"), ("B", "B"), ("B", "B")]


def test_a_points_table_is_read_as_transactions(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add(shop.points, [{"member": "A", "no": no, "amount": 5} for no in ("1", "2")])
    legacy = shop.legacy(Entity.TRANSACTIONS, transactions=TRANSACTIONS)
    assert places(legacy, pages(legacy)) == [("A", "1"), ("A", "2")]


@pytest.mark.parametrize(
    "sql",
    ["SELEC 1", "SELECT * FROM nowhere", "SELECT no FROM receipt; DROP TABLE receipt", "UPDATE receipt SET no = '1'"],
)
def test_sql_that_the_database_cannot_run_is_named_in_one_sentence(legacy_engine, tmp_path, sql):
    shop = Shop(legacy_engine, tmp_path)
    with pytest.raises(MappingError) as caught:
        shop.legacy(events=sql)
    said = str(caught.value)
    assert f"{tmp_path / 'events.sql'}: the database cannot run it: " in said
    assert "\n" not in said
    shop.add_receipts([("A", "1")])  # the table is still there


def test_sql_of_a_list_that_the_database_cannot_run_is_named(legacy_engine, tmp_path):
    with pytest.raises(MappingError, match=r"events\.order__products\.sql: the database cannot run it: "):
        Shop(legacy_engine, tmp_path).legacy(events__of__order__products="SELECT nothing FROM line")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("r.member AS customer_id", "has no column 'order__purchase_id'; add it: it is the key that rows are found by"),
        ("r.no AS order__purchase_id", "has no column 'customer_id'; add it: it is the key that rows are found by"),
        (
            "r.member AS customer_id, r.no AS order__purchase_id, r.note AS typ",
            "unknown alias 'typ'; did you mean 'type'?",
        ),
    ],
)
def test_aliases_are_checked_before_anything_is_read(legacy_engine, tmp_path, columns, said):
    with pytest.raises(MappingError) as caught:
        Shop(legacy_engine, tmp_path).legacy(events=f"SELECT {columns} FROM receipt r")
    assert str(caught.value).endswith(f"events.sql: {said}")


def test_an_alias_that_is_there_twice_is_refused(legacy_engine, tmp_path):
    sql = "SELECT r.member AS customer_id, r.no AS order__purchase_id, r.note AS type, r.member AS type FROM receipt r"
    with pytest.raises(
        MappingError, match=r"events\.sql: (has the alias 'type' twice|the database cannot run it: .*[Dd]uplicate)"
    ):
        Shop(legacy_engine, tmp_path).legacy(events=sql)


def test_newer_fields_wait_to_be_switched_on(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    mapping = shop.mapping(customers="SELECT m.no AS id, 'MX' AS country FROM member m")
    shop.add(shop.members, [{"no": "A", "name": "x"}])
    assert shaper_of(Source(legacy_engine, mapping, Entity.CUSTOMERS)).left_out == ["country"]
    assert shaper_of(Source(legacy_engine, mapping, Entity.CUSTOMERS, newer_fields=True)).left_out == []


def test_adjust_and_lists_reach_the_maker(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.mapping()
    mapping = mapping_folder.mapping(
        tmp_path,
        {
            "customers.sql": "SELECT m.no AS id, m.name AS name FROM member m",
            "customers.py": "def adjust(row):\n    return {**row, 'id': 'from adjust'}\n",
        },
    )
    shop.add(shop.members, [{"no": "A", "name": "x"}])
    legacy = Source(legacy_engine, mapping, Entity.CUSTOMERS)
    ((row,),) = pages(legacy)
    assert maker_of(legacy).make(row).key == "from adjust"


@pytest.mark.usefixtures("small_pages")
def test_rows_and_lists_are_read_from_one_snapshot(postgres, tmp_path):
    shop = Shop(postgres, tmp_path)
    shop.stock(10)
    legacy = shop.legacy()
    rows = legacy.pages(everything(Entity.EVENTS), Window())
    found = [next(rows)]
    with postgres.begin() as connection:
        connection.execute(delete(shop.lines))
    shop.add_receipts([("Z", "999")])
    found += rows
    assert len(places(legacy, found)) == 10
    assert all(row.lists["order__products"] for page in found for row in page)
