"""
The elements of lists: each with the row that it belongs to, on every database.
"""

from __future__ import annotations

import pytest
from sqlalchemy import column, event, select, text

from masivo_engine import sql as among
from masivo_engine.model.errors import MappingError
from masivo_engine.source import reader as legacy_module
from masivo_engine.sql import one_of
from tests.databases.dialects import EVENTS, PRODUCTS, Shop, pages, place


@pytest.mark.usefixtures("small_pages")
def test_the_elements_of_a_list_come_with_their_row(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path)
    shop.add_receipts([("A", str(number)) for number in range(8)])
    shop.add(
        shop.lines,
        [{"no": str(no), "pos": pos, "sku": f"{no}-{pos}", "qty": 1} for no in range(0, 8, 2) for pos in range(no)],
    )
    shop.add(shop.lines, [{"no": no, "pos": 1, "sku": "orphan", "qty": 1} for no in (None, "77")])
    legacy = shop.legacy()
    found = {
        place(legacy, row)[1]: sorted(element[2] for element in row.lists["order__products"])
        for page in pages(legacy)
        for row in page
    }
    assert found == {str(no): [f"{no}-{pos}" for pos in range(no if no % 2 == 0 else 0)] for no in range(8)}


def test_rows_with_many_elements_come_on_smaller_pages_from_the_second_on(legacy_engine, tmp_path, monkeypatch):
    """A page holds about 24 rows and elements for each of PAGE, once their number is known."""
    monkeypatch.setattr(legacy_module, "PAGE", 2)
    shop = Shop(legacy_engine, tmp_path)
    numbers = [f"{number:02}" for number in range(24)]
    shop.add_receipts([("A", number) for number in numbers])
    shop.add(
        shop.lines, [{"no": no, "pos": pos, "sku": f"{no}-{pos}", "qty": 1} for no in numbers for pos in range(50)]
    )
    legacy = shop.legacy()
    found = list(pages(legacy))
    assert [place(legacy, row)[1] for page in found for row in page] == numbers
    assert all(len(row.lists["order__products"]) == 50 for page in found for row in page)
    assert [len(page) for page in found][1:] == [1] * (len(numbers) - len(found[0]))
    assert len(found[0]) <= 2


def test_keys_of_32_and_64_bits_may_stand_on_one_page(legacy_engine, tmp_path):
    shop = Shop(legacy_engine, tmp_path, numbered=True)
    keys = [1, 2**31 - 1, 2**31, 31198437603]
    shop.add_receipts([(7, key) for key in keys])
    shop.add(shop.lines, [{"no": key, "pos": 1, "sku": "A", "qty": 1} for key in keys])
    legacy = shop.legacy()
    (page,) = pages(legacy)
    assert [place(legacy, row) for row in page] == [(7, key) for key in keys]
    assert all(len(row.lists["order__products"]) == 1 for row in page)


@pytest.mark.parametrize("as_text", ["events", "events__of__order__products"])
def test_a_list_whose_keys_are_text_where_its_rows_have_numbers_is_refused(legacy_engine, tmp_path, as_text):
    shop = Shop(legacy_engine, tmp_path, numbered=True)
    shop.add_receipts([(7, 1)])
    shop.add(shop.lines, [{"no": 1, "pos": 1, "sku": "A", "qty": 1}])
    sql = {"events": EVENTS, "events__of__order__products": PRODUCTS}[as_text]
    cast = re_cast(sql)
    with pytest.raises(MappingError) as caught:
        shop.legacy(**{as_text: cast})
    said = str(caught.value)
    assert "events.order__products.sql: its key is " in said
    assert "text" in said
    assert said.endswith("; cast both to the same type")


def re_cast(sql: str) -> str:
    alias = "r.no" if "receipt" in sql else "l.no"
    return sql.replace(f"{alias} AS order__purchase_id", f"CAST({alias} AS CHAR(20)) AS order__purchase_id")


@pytest.mark.parametrize("at_once", [1, 2, among.MOST_KEYS])
def test_lines_whose_key_is_spelled_otherwise_belong_to_the_key_that_the_database_takes_it_for(
    mariadb, tmp_path, monkeypatch, at_once
):
    monkeypatch.setattr(among, "MOST_KEYS", at_once)
    shop = Shop(mariadb, tmp_path)
    shop.add_receipts([("A", "r1"), ("A", "r2"), ("A", "R2")])
    shop.add(shop.lines, [{"no": no, "pos": 1, "sku": no, "qty": 1} for no in ("R1", "r1 ", "r2", "R2")])
    legacy = shop.legacy()
    (page,) = pages(legacy)
    found = {place(legacy, row)[1]: sorted(element[2] for element in row.lists["order__products"]) for row in page}
    assert found == {"r1": ["R1", "r1 "], "r2": ["r2"], "R2": ["R2"]}


@pytest.mark.parametrize("at_once", [1, among.MOST_KEYS])
def test_a_line_that_two_keys_are_taken_for_is_counted_once(mariadb, tmp_path, monkeypatch, at_once):
    monkeypatch.setattr(among, "MOST_KEYS", at_once)
    shop = Shop(mariadb, tmp_path)
    shop.add_receipts([("A", "r1a"), ("A", "R1a")])
    shop.add(shop.lines, [{"no": "R1A", "pos": 1, "sku": "x", "qty": 1}])
    (page,) = pages(shop.legacy())
    assert sum(len(row.lists["order__products"]) for row in page) == 1


def test_postgres_finds_the_padded_keys_of_a_char_column(postgres):
    """A comparison with text would cut blanks off one side: such receipts would have no lines."""
    with postgres.connect() as connection:
        connection.exec_driver_sql("CREATE TEMPORARY TABLE padded (no char(5))")
        connection.exec_driver_sql("INSERT INTO padded VALUES ('a'), ('b'), ('c')")
        no = column("no")
        keys = [*connection.execute(select(no).select_from(text("padded")).where(no != "c")).scalars()]
        assert keys == ["a    ", "b    "]
        found = connection.execute(select(no).select_from(text("padded")).where(one_of(no, keys, "postgresql")))
        assert sorted(found.scalars()) == keys


def test_lines_whose_key_only_the_database_takes_for_another_are_a_fault_of_the_mapping(mariadb, tmp_path):
    shop = Shop(mariadb, tmp_path)
    shop.add_receipts([("A", "rosé")])
    shop.add(shop.lines, [{"no": "rose", "pos": 1, "sku": "x", "qty": 1}])
    with pytest.raises(
        MappingError, match=r"events\.order__products\.sql: has a 'order__purchase_id' that the database takes for"
    ):
        pages(shop.legacy())


def test_no_list_of_keys_is_so_long_that_mariadb_reads_a_grouped_list_as_a_whole(mariadb, tmp_path):
    shop = Shop(mariadb, tmp_path)
    shop.add_receipts([("A", f"{number:04}") for number in range(2100)])
    shop.add(shop.lines, [{"no": f"{no:04}", "pos": 1, "sku": f"sku {no}", "qty": 1} for no in range(2100)])
    grouped = PRODUCTS.replace("l.sku", "MIN(l.sku)").replace("l.qty", "SUM(l.qty)") + " GROUP BY l.no, l.pos"
    legacy = shop.legacy(events__of__order__products=grouped)
    counts = []

    @event.listens_for(mariadb, "before_cursor_execute")
    def _count(_connection, _cursor, _statement, parameters, *_):
        counts.append(len(parameters or ()))

    found = {place(legacy, row)[1]: row.lists["order__products"] for page in pages(legacy) for row in page}

    assert len(found) == 2100
    assert all(len(elements) == 1 and elements[0][2] == f"sku {int(key)}" for key, elements in found.items())
    with mariadb.connect() as connection:
        threshold = connection.exec_driver_sql("SELECT @@in_predicate_conversion_threshold").scalar()
    assert 1 < max(counts) < threshold
