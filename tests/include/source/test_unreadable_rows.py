"""
Values that drivers refuse to hand out: the row is named with its column, its page goes on, and
nothing of it is shown.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

import pytest

from masivo_engine.model.errors import LegacyError, MappingError
from masivo_engine.model.rows import Entity, LegacyRow, Rejection, UnreadableRow
from masivo_engine.model.runs import Window
from masivo_engine.records.stream import maker_of
from tests.databases.dialects import EVENTS, PRODUCTS, Shop, pages, places


NOON = datetime(2024, 1, 15, 12, 0, tzinfo=UTC)


def unreadable(found: list[list]) -> dict[str, str]:
    """Return the keys of the rows that could not be read, with the column in the way."""
    return {row.key: row.column for page in found for row in page if isinstance(row, UnreadableRow)}


POSTGRES_FAULTS = {
    "infinity": ("'infinity'::timestamp", "issued_at"),
    "year 20000": ("'20000-01-01'::date", "issued_at"),
    "before Christ": ("'0044-03-15 BC'::date", "issued_at"),
}
# With three rows to a page: the first and the last of all, of a page and of the next, neighbours,
# and far apart.
BAD_KEYS = [{"000"}, {"009"}, {"002"}, {"003"}, {"002", "003"}, {"001", "004", "009"}]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("bad", BAD_KEYS, ids=sorted)
@pytest.mark.parametrize("fault", POSTGRES_FAULTS)
def test_a_date_that_python_does_not_have_is_named_and_the_other_rows_go_on(postgres, tmp_path, fault, bad):
    shop = Shop(postgres, tmp_path)
    shop.stock(10)
    value, column = POSTGRES_FAULTS[fault]
    listed = ", ".join(f"'{key}'" for key in bad)
    sql = EVENTS.replace("r.note AS type", f"CASE WHEN r.no IN ({listed}) THEN {value} ELSE r.changed END AS {column}")
    legacy = shop.legacy(events=sql)
    found = pages(legacy)
    assert places(legacy, found) == [(f"C{number // 4}", f"{number:03}") for number in range(10)]
    assert unreadable(found) == dict.fromkeys(bad, column)
    assert all(row.lists["order__products"] for page in found for row in page if isinstance(row, LegacyRow))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("bad", BAD_KEYS, ids=sorted)
def test_a_cast_that_fails_in_one_row_is_named(postgres, tmp_path, bad):
    shop = Shop(postgres, tmp_path)
    shop.stock(10)
    listed = ", ".join(f"'{key}'" for key in bad)
    shop.run("UPDATE receipt SET note = '5'", f"UPDATE receipt SET note = 'five' WHERE no IN ({listed})")
    legacy = shop.legacy(events=EVENTS.replace("r.total AS", "CAST(r.note AS integer) AS"))
    found = pages(legacy)
    assert len(places(legacy, found)) == 10
    assert unreadable(found) == dict.fromkeys(bad, "order__value")


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("bad", BAD_KEYS, ids=sorted)
def test_text_that_is_no_utf8_is_named(sqlite, tmp_path, bad):
    shop = Shop(sqlite, tmp_path)
    shop.stock(10)
    listed = ", ".join(f"'{key}'" for key in bad)
    shop.run(f"UPDATE receipt SET note = CAST(x'4A6F73E9' AS TEXT) WHERE no IN ({listed})")
    legacy = shop.legacy()
    found = pages(legacy)
    assert len(places(legacy, found)) == 10
    assert unreadable(found) == dict.fromkeys(bad, "type")


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("bad", BAD_KEYS, ids=sorted)
def test_a_subquery_of_two_rows_is_named(mariadb, tmp_path, bad):
    shop = Shop(mariadb, tmp_path)
    shop.stock(10)
    shop.add(shop.lines, [{"no": key, "pos": 2, "sku": "B", "qty": 1} for key in bad])
    sql = EVENTS.replace("r.note AS type", "(SELECT l.sku FROM line l WHERE l.no = r.no) AS type")
    legacy = shop.legacy(events=sql)
    found = pages(legacy)
    assert len(places(legacy, found)) == 10
    assert unreadable(found) == dict.fromkeys(bad, "type")


def test_a_zero_date_is_read_as_text_and_refused_as_a_date(mariadb, tmp_path):
    shop = Shop(mariadb, tmp_path)
    shop.add(shop.members, [{"no": "A", "name": "x"}])
    with mariadb.begin() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        connection.exec_driver_sql("ALTER TABLE member ADD COLUMN joined datetime")
        connection.exec_driver_sql("UPDATE member SET joined = '0000-00-00 00:00:00'")
    legacy = shop.legacy(Entity.CUSTOMERS, customers="SELECT m.no AS id, m.joined AS registration_date FROM member m")
    ((row,),) = pages(legacy)
    found = maker_of(legacy).make(row)
    assert isinstance(found, Rejection)
    assert (found.reason, found.column, found.shape) == ("not_a_date", "registration_date", "text of 19 characters")


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("bad", BAD_KEYS, ids=sorted)
def test_a_fault_in_an_element_is_named_with_its_list(legacy_engine, tmp_path, bad):
    shop = Shop(legacy_engine, tmp_path)
    shop.stock(10)
    listed = ", ".join(f"'{key}'" for key in bad)
    shop.run("UPDATE line SET sku = '5'", f"UPDATE line SET sku = 'five' WHERE no IN ({listed})")
    sku = {
        "postgresql": "CAST(l.sku AS integer)",
        "sqlite": "CASE l.sku WHEN 'five' THEN CAST(x'E9' AS TEXT) ELSE l.sku END",
        "mysql": "CASE l.sku WHEN 'five' THEN (SELECT t.no FROM receipt t) ELSE l.sku END",
    }[legacy_engine.dialect.name]
    legacy = shop.legacy(events__of__order__products=PRODUCTS.replace("l.sku AS sku", f"{sku} AS sku"))
    found = pages(legacy)
    assert len(places(legacy, found)) == 10
    assert unreadable(found) == dict.fromkeys(bad, "order__products[].sku")


@pytest.mark.usefixtures("small_pages")
def test_all_rows_of_a_key_share_the_fault_of_one(sqlite, tmp_path):
    shop = Shop(sqlite, tmp_path)
    shop.add_receipts([("A", "1"), *[("A", "2")] * 5, ("A", "3")])
    shop.run("UPDATE receipt SET note = CAST(x'E9' AS TEXT) WHERE rowid = 4")
    legacy = shop.legacy()
    found = pages(legacy)
    assert Counter(places(legacy, found)) == {("A", "1"): 1, ("A", "2"): 5, ("A", "3"): 1}
    assert Counter(row.key for page in found for row in page if isinstance(row, UnreadableRow)) == {"2": 5}


def test_few_rows_that_are_all_unreadable_are_all_named(sqlite, tmp_path):
    shop = Shop(sqlite, tmp_path)
    shop.stock(3)
    shop.run("UPDATE receipt SET note = CAST(x'E9' AS TEXT)")
    assert unreadable(pages(shop.legacy())) == {"000": "type", "001": "type", "002": "type"}


@pytest.mark.usefixtures("small_pages")
def test_a_full_page_without_one_readable_row_is_a_fault_of_the_mapping(sqlite, tmp_path):
    shop = Shop(sqlite, tmp_path)
    shop.stock(10)
    shop.run("UPDATE receipt SET note = CAST(x'E9' AS TEXT)")
    with pytest.raises(MappingError) as caught:
        pages(shop.legacy())
    assert str(caught.value) == (
        f"{tmp_path / 'events.sql'}: of 3 rows that follow each other the database hands out none, because of 'type'; "
        "convert it in the SQL"
    )


def test_what_a_row_is_worth_is_known_although_the_rest_cannot_be_read(sqlite, tmp_path):
    shop = Shop(sqlite, tmp_path)
    rows = [("A", "1", 5), ("A", "2", 7), ("A", None, 11), (None, "4", 13)]
    shop.add(shop.points, [{"member": member, "no": no, "amount": amount} for member, no, amount in rows])
    shop.run("UPDATE points SET note = CAST(x'E9' AS TEXT) WHERE no = '2'")
    legacy = shop.legacy(Entity.TRANSACTIONS)
    found = [maker_of(legacy).make(row) for page in pages(legacy) for row in page]
    assert {(made.key, made.reason): int(made.points) for made in found} == {
        ("1", "missing_value"): 5,
        ("2", "unreadable_row"): 7,
        ("", "missing_key"): 11,
        ("4", "missing_value"): 13,
    }


@pytest.mark.usefixtures("small_pages")
def test_rows_outside_the_window_stay_outside_when_a_page_is_read_again(sqlite, tmp_path):
    shop = Shop(sqlite, tmp_path)
    old, new = datetime(2020, 1, 1), datetime(2024, 1, 15, 8)  # noqa: DTZ001
    shop.add_receipts([("A", "1"), ("A", "2"), ("A", "3")], changed=old)
    shop.add_receipts([("A", "2"), ("A", "3"), ("A", "4")], changed=new)
    shop.run("UPDATE receipt SET note = CAST(x'E9' AS TEXT) WHERE no = '3'")
    legacy = shop.legacy()
    found = pages(legacy, window=Window(since=NOON))
    assert places(legacy, found) == [("A", "2"), ("A", "3"), ("A", "4")]
    assert unreadable(found) == {"3": "type"}


def test_no_sentence_shows_what_stood_in_the_way(postgres, tmp_path):
    shop = Shop(postgres, tmp_path)
    shop.add_receipts([("A", "1")])
    shop.run("UPDATE receipt SET note = 'Ana Secreta'")
    sql = "SELECT r.member AS customer_id, CAST(r.note AS integer) AS order__purchase_id FROM receipt r"
    legacy = shop.legacy(events=sql)
    for read in (lambda: pages(legacy), lambda: list(legacy.counts(Window()))):
        with pytest.raises(LegacyError) as caught:
            read()
        assert str(caught.value) == f"{tmp_path / 'events.sql'}: the database cannot read it: InvalidTextRepresentation"
        assert caught.value.__suppress_context__
