"""
The two mappings' SQL: one text that every dialect runs, whose aliases are paths of the API's
payloads.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest
from sqlalchemy import insert, text

from masivo_engine.mapping.aliases import check_aliases
from masivo_engine.mapping.loader import load
from masivo_engine.model.rows import Entity
from masivo_engine.samples.complete_journey.tables import COMPLETE_JOURNEY, HOUSEHOLD
from masivo_engine.samples.retailer import build
from masivo_engine.samples.retailer.tables import RETAILER


SCHEMAS = {"sample": RETAILER, "complete_journey": COMPLETE_JOURNEY}

COLUMNS = {
    ("sample", "customers"): "id name email gender dob registration_date metrics__lifetime__from metrics__lifetime__to "
    "metrics__lifetime__tier_id metrics__lifetime__last_visit metrics__lifetime__spend_total "
    "metrics__lifetime__number_of_purchases metrics__updated_at status metadata updated_at",
    ("sample", "customers.balance"): "customer_id position reward_id amount issued_at expiration_date brand_id",
    (
        "sample",
        "events",
    ): "customer_id order__purchase_id type brand_id channel_id store_id order__store_id order__value "
    "order__discounted_value order__payment_method fulfilled issued_at resolved_at updated_at",
    ("sample", "events.order__products"): "order__purchase_id position sku amount value discounted_value "
    "metadata__item_name",
    ("sample", "transactions"): "customer_id transaction_id brand_id reward_id details type amount cost store_id "
    "issued_at resolved_at updated_at",
    ("complete_journey", "customers"): "id name email registration_date metadata__age_band metadata__income_band "
    "metadata__home_ownership metadata__marital_status metadata__household_size metadata__household_comp "
    "metadata__kids_count updated_at",
    (
        "complete_journey",
        "customers.balance",
    ): "customer_id position reward_id amount issued_at expiration_date brand_id",
    ("complete_journey", "events"): "customer_id order__purchase_id type brand_id channel_id store_id order__store_id "
    "order__value order__discounted_value order__payment_method fulfilled issued_at resolved_at updated_at",
    ("complete_journey", "events.order__products"): "order__purchase_id position sku amount value discounted_value",
    ("complete_journey", "transactions"): "customer_id transaction_id brand_id reward_id details type amount issued_at "
    "resolved_at updated_at",
}


def queries(mapping):
    for entity in mapping.entities:
        yield entity.value, mapping.queries[entity]
        for path, query in mapping.lists[entity].items():
            yield f"{entity.value}.{path}", query


def run(engine, query, where="1 = 1", *, columns="*"):
    with engine.connect() as connection:
        result = connection.execute(text(f"SELECT {columns} FROM ({query.sql}) AS legacy WHERE {where}"))
        return list(result.keys()), result.mappings().all()


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_file_runs_on_every_dialect_and_gives_the_aliases_that_are_sent(engine, name):
    SCHEMAS[name].create_all(engine)
    mapping = load(name)

    found = {}
    for file, query in queries(mapping):
        columns, _ = run(engine, query, "1 = 0")
        check_aliases(query, columns)
        found[name, file] = " ".join(columns)

    assert found == {file: columns for file, columns in COLUMNS.items() if file[0] == name}


def test_codes_outside_the_lists_are_passed_on_and_never_guessed_at(engine):
    planted = build.build(engine, customers=100)
    mapping = load("sample")

    for kind, entity, key, column, raw in (
        ("unknown_gender", Entity.CUSTOMERS, "id", "gender", "9"),
        ("unknown_status", Entity.CUSTOMERS, "id", "status", "Z"),
        ("unknown_tier", Entity.CUSTOMERS, "id", "metrics__lifetime__tier_id", "VIP"),
        ("unknown_payment", Entity.EVENTS, "order__purchase_id", "order__payment_method", "Q"),
        ("unknown_kind", Entity.TRANSACTIONS, "transaction_id", "type", "Q"),
        ("unknown_purse", Entity.TRANSACTIONS, "transaction_id", "reward_id", "Z"),
    ):
        where = f"{key} IN ({', '.join(planted.kinds[kind].keys)})"
        _, rows = run(engine, mapping.queries[entity], where, columns=column)
        assert {row[column] for row in rows} == {raw}, kind


def test_cents_come_out_as_the_same_amount_on_every_dialect(engine):
    build.build(engine, customers=100)

    amounts = "order__purchase_id, order__value"
    _, rows = run(engine, load("sample").queries[Entity.EVENTS], "order__purchase_id IS NOT NULL", columns=amounts)
    with engine.connect() as connection:
        cents = connection.execute(
            text("SELECT receipt_no, total_cents FROM receipt WHERE receipt_no IS NOT NULL")
        ).all()

    exact = [(row["order__purchase_id"], Decimal(str(row["order__value"])) * 100) for row in rows]
    assert sorted(exact) == sorted(cents)


def test_the_legacy_number_of_a_transaction_travels_in_its_details(engine):
    build.build(engine, customers=100)

    _, rows = run(
        engine,
        load("sample").queries[Entity.TRANSACTIONS],
        "transaction_id IS NOT NULL",
        columns="transaction_id, details",
    )

    assert all(row["details"].startswith(f"legacy:{row['transaction_id']} ") for row in rows)


def test_shop_numbers_keep_their_leading_zeros(engine):
    build.build(engine, customers=100)

    _, rows = run(engine, load("sample").queries[Entity.EVENTS], columns="store_id")

    assert {row["store_id"] for row in rows} == {"0001", "0003", "0007", "0012", "0045", "0208", "0900"}


def test_made_up_names_and_addresses_are_told_from_real_ones(engine):
    COMPLETE_JOURNEY.create_all(engine)
    bought = datetime.fromisoformat("2017-01-01 11:53:26")
    with engine.begin() as connection:
        households = [{"household_id": number, "enrolled_at": bought, "changed_at": bought} for number in (1, 2499)]
        connection.execute(insert(HOUSEHOLD), households)

    _, rows = run(engine, load("complete_journey").queries[Entity.CUSTOMERS], columns="name, email")

    assert sorted((row["name"], row["email"]) for row in rows) == [
        ("Household 1", "household-1@complete-journey.invalid"),
        ("Household 2499", "household-2499@complete-journey.invalid"),
    ]
