"""
Payloads for people to look at, made as a sync makes them.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine

from masivo_engine.checks.preview import origins, preview, statements
from masivo_engine.model.rows import Entity
from tests.databases.dialects import Shop


CUSTOMERS = """
SELECT m.no AS id, m.name AS name, 'ana@example.com' AS email, '2024-01-15' AS registration_date FROM member m
"""


@pytest.fixture
def shop(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    yield Shop(engine, tmp_path)
    engine.dispose()


def test_a_payload_stands_under_its_key_as_it_would_be_sent(shop):
    shop.add(shop.members, [{"no": "A", "name": "José"}])
    (shown,) = preview(shop.legacy(Entity.CUSTOMERS, customers=CUSTOMERS), limit=5)
    title, _, body = shown.partition("\n")
    assert title == "customers A"
    assert "José" in body
    assert json.loads(body)["registration_date"] == "2024-01-15T06:00:00.000Z"


def test_a_row_that_cannot_go_says_why_and_what_to_do(shop):
    shop.add(shop.members, [{"no": None, "name": "x"}, {"no": "A", "name": None}])
    keyless, nameless = preview(shop.legacy(Entity.CUSTOMERS, customers=CUSTOMERS), limit=5)
    assert (
        keyless == "customers (no key): quarantined, missing_key, column id (nothing): the row has no key; "
        "give it one in the mapping's SQL, or filter it out there\n  id <- m.no"
    )
    assert (
        nameless == "customers A: quarantined, missing_value, column name (nothing): a required field is empty; "
        "fill it in the legacy database or give it a rule in the mapping\n  name <- m.name"
    )


def test_what_belongs_to_a_customer_says_so(shop):
    shop.add(shop.points, [{"no": "T1", "member": "A", "amount": 5}])
    sql = """
    SELECT p.member AS customer_id, p.no AS transaction_id, p.amount AS amount, 'x' AS details, 'MIGRATION' AS type,
        '3c90c3cc-0d44-4b50-8888-8dd25736052a' AS reward_id, '2024-01-15' AS issued_at, '2024-01-15' AS resolved_at FROM points p
    """
    (shown,) = preview(shop.legacy(Entity.TRANSACTIONS, transactions=sql), limit=5)
    assert shown.startswith("transactions T1 of customer A\n{")


def test_the_first_few_are_shown_or_those_of_one_key(shop):
    shop.add(shop.members, [{"no": f"{number:02}", "name": "x"} for number in range(20)])
    legacy = shop.legacy(Entity.CUSTOMERS, customers=CUSTOMERS)
    assert [shown.split("\n")[0] for shown in preview(legacy, limit=3)] == [
        f"customers {key}" for key in ("00", "01", "02")
    ]
    assert [shown.split("\n")[0] for shown in preview(legacy, limit=3, key="17")] == ["customers 17"]
    assert list(preview(legacy, limit=3, key="77")) == []
    assert list(preview(legacy, limit=0)) == []


def test_rows_that_cannot_go_do_not_hide_those_that_can(shop):
    shop.add(shop.members, [*({"no": None, "name": "x"} for _ in range(9)), {"no": "A", "name": "x"}])
    shown = list(preview(shop.legacy(Entity.CUSTOMERS, customers=CUSTOMERS), limit=2))
    assert [text.split("\n")[0].split(":")[0] for text in shown] == ["customers (no key)"] * 2 + ["customers A"]


@pytest.mark.parametrize("keys", [("A 1", "a 1", "A1"), (7, 8, 2**60)], ids=["text", "numbers"])
def test_one_key_is_asked_of_the_database_whatever_its_type(legacy_url, tmp_path, keys):
    engine = create_engine(legacy_url)
    shop = Shop(engine, tmp_path, numbered=keys[0] == 7)
    shop.add(shop.members, [{"no": key, "name": "x"} for key in keys])
    legacy = shop.legacy(Entity.CUSTOMERS, customers=CUSTOMERS)
    shown = {key: list(preview(legacy, limit=9, key=str(key))) for key in (*keys, "007", "8 or 1=1")}
    assert [[text.partition("\n")[0] for text in shown[key]] for key in keys] == [[f"customers {key}"] for key in keys]
    assert shown["007"] == shown["8 or 1=1"] == []
    engine.dispose()


def test_where_each_value_comes_from_is_said_with_file_and_expression(shop):
    mapping = shop.mapping(customers=CUSTOMERS)
    assert list(origins(mapping, Entity.CUSTOMERS)) == [
        "where each value comes from",
        "  id                <- customers.sql: m.no",
        "  name              <- customers.sql: m.name",
        "  email             <- customers.sql: 'ana@example.com'",
        "  registration_date <- customers.sql: '2024-01-15'",
    ]
    assert "  order.products[].sku    <- events.order__products.sql: l.sku" in list(origins(mapping, Entity.EVENTS))


def test_the_sql_is_shown_as_the_database_gets_it_and_texts_by_their_shape(shop):
    shop.add_receipts([("Ana", "R-1")])
    main, lines = statements(shop.legacy(Entity.EVENTS), key="R-1")
    assert main.startswith("-- events.sql, with ")
    assert "<text of 3 characters>" in main
    assert "ORDER BY" in main
    assert "FROM line l" in lines
    assert "R-1" not in main + lines
