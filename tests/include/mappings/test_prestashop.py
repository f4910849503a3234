"""
The mapping of PrestaShop with its loyalty module, on its real schema in MariaDB: a whole migration,
row for row.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine

from masivo.cli import parser
from masivo_engine.mapping.loader import load
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Window
from masivo_engine.source.reader import Source
from tests import servers
from tests.databases import ready_mappings
from tests.databases.prestashop import SHOP
from tests.whole_migration import journey


POINTS = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01"


@pytest.fixture(scope="module")
def trip(mariadb_server, tmp_path_factory):
    """A migration of the bakery, and a second run of it."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with servers.fresh_database(mariadb_server) as url:
        ready_mappings.build(url, "prestashop", SHOP)
        with journey(
            ready_mappings.strictly(url),
            f"sqlite:///{ledger}",
            mapping="prestashop",
            sandbox=ready_mappings.account_of("prestashop"),
        ) as made:
            made.first = made.migrate("first")
            made.fates = ready_mappings.fates(made)
            made.second = made.migrate("second")
            yield made


def test_every_row_ends_in_its_state_and_they_add_up(trip):
    assert trip.first.adds_up
    assert trip.fates == {
        Entity.CUSTOMERS: {
            "1": "delivered",
            "2": "delivered",
            "3": "quarantined missing_value email",
            "6": "quarantined negative_balance balance",
            "7": "quarantined not_a_date registration_date",
        },
        Entity.EVENTS: {
            "1": "delivered",
            "2": "delivered",
            "6": "held customer_missing",  # of a customer whose row is gone
            "7": "quarantined unknown_code order__payment_method",
            "8": "quarantined not_a_date issued_at",
            "9": "quarantined empty_list order__products",
            "10": "held customer_quarantined",
        },
        Entity.TRANSACTIONS: {
            **dict.fromkeys(("1-earned", "2-earned", "3-earned", "3-converted", "4-earned", "4-expired"), "delivered"),
            "11-earned": "held customer_missing",
            "12-earned": "held customer_quarantined",
            "13-earned": "held customer_quarantined",
        },
    }


def test_what_is_left_out_is_counted_by_reason(trip):
    assert [trip.place.legacy(entity).left_out() for entity in Entity] == [
        {"a guest: a customer of one order": 1, "deleted in the shop": 1},
        {"no sale: in state 6": 1, "of a customer who was deleted": 1, "of a guest": 1},
        {
            "no points": 2,
            "in a state that the module does not have: 9": 1,
            "of a customer who was deleted": 1,
            "of a guest": 1,
            "waiting: a later run reads it when the order is delivered": 1,
        },
    ]


@pytest.mark.parametrize(
    ("entity", "table"),
    [(Entity.EVENTS, "ps_orders"), (Entity.CUSTOMERS, "ps_customer"), (Entity.TRANSACTIONS, "ps_loyalty")],
)
def test_every_row_of_a_table_is_read_or_left_out(trip, entity, table):
    mapping = load("prestashop")
    read = {
        str(next(iter(row.values())))
        for row in ready_mappings.read(trip.legacy, f"SELECT {_KEYS[entity]} FROM ({mapping.queries[entity].sql}) r")
    }
    left = {
        str(next(iter(row.values())))
        for row in ready_mappings.read(trip.legacy, f"SELECT {_KEYS[entity]} FROM ({mapping.left_out[entity].sql}) r")
    }
    assert not read & left
    assert {key.partition("-")[0] for key in read | left} == {str(row[0]) for row in SHOP[table][1]}


_KEYS = {Entity.EVENTS: "order__purchase_id", Entity.CUSTOMERS: "id", Entity.TRANSACTIONS: "transaction_id"}


def test_a_second_run_sends_nothing(trip):
    assert trip.second.adds_up
    assert all(entity.requests == 0 for entity in trip.second.entities)


def test_a_customer_has_what_the_module_counts_at_the_cut_over(trip):
    assert ready_mappings.payloads(trip, Entity.CUSTOMERS) == {
        "1": {
            "id": "1",
            "name": "Ada Acre",
            "email": "ada@bakery.example",
            "gender": "FEMALE",
            "dob": "1990-02-03T00:00:00.000Z",
            "registration_date": "2023-01-05T09:00:00.000Z",
            "balance": [
                {
                    "reward_id": POINTS,
                    "amount": 40,
                    "issued_at": "2024-02-10T10:00:00.000Z",
                    "expiration_date": "2025-02-10T00:00:00.000Z",
                    "brand_id": "main",
                }
            ],
            "status": "ACTIVE",
            "metadata": {"default_group_id": 3, "newsletter": 1},
        },
        "2": {
            "id": "2",
            "name": "Ben Bay",
            "email": "ben@bakery.example",
            "gender": "MALE",
            "registration_date": "2023-01-05T09:00:00.000Z",
            "balance": [],
            "status": "INACTIVE",
            "metadata": {"default_group_id": 3, "newsletter": 0},
        },
    }


def test_an_order_is_a_purchase_less_what_credit_slips_took_back(trip):
    assert ready_mappings.payloads(trip, Entity.EVENTS)["1"] == {
        "type": "PURCHASE",
        "brand_id": "main",
        "channel_id": "web",
        "store_id": "1",
        "order": {
            "purchase_id": "1",
            "value": 42,
            "discounted_value": 37,
            "payment_method": "BANK_TRANSFER",
            "store_id": "1",
            "shipping": {"value": 6},
            "metadata": {"currency": "EUR", "reference": "AAAAAAAAA"},
            "products": [
                {"sku": "LOAF", "amount": 1, "value": 10, "metadata": {"name": "Loaf"}},
                {"sku": "ps-41-7", "amount": 1, "value": 30, "metadata": {"name": "Cake - Size: L"}},
            ],
        },
        "fulfilled": True,
        "issued_at": "2024-02-10T10:00:00.000Z",
        "resolved_at": "2024-02-10T10:05:00.000Z",
    }


def test_a_voucher_for_free_shipping_takes_nothing_off_the_goods(trip):
    event = ready_mappings.payloads(trip, Entity.EVENTS)["2"]
    assert (event["order"]["value"], event["order"]["discounted_value"], event["resolved_at"]) == (20, 20, None)


def test_one_row_of_points_gives_what_it_earned_and_what_became_of_it(trip):
    made = ready_mappings.payloads(trip, Entity.TRANSACTIONS)
    assert list(made) == ["1"]
    assert sorted((one["details"], one["type"], one["amount"]) for one in made["1"]) == [
        ("legacy:1-earned by order 1", "ACCUMULATION", 50),
        ("legacy:2-earned by order 1", "REVERSAL", -10),
        ("legacy:3-converted to voucher 501", "REDEMPTION", -60),
        ("legacy:3-earned by order 90", "ACCUMULATION", 60),
        ("legacy:4-earned by order 91", "ACCUMULATION", 40),
        ("legacy:4-expired", "EXPIRATION", -40),
    ]


def test_without_a_period_nothing_expires(mariadb_url, tmp_path):
    ready_mappings.build(mariadb_url, "prestashop", SHOP)
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM ps_configuration WHERE name = 'PS_LOYALTY_VALIDITY_PERIOD'")
    engine.dispose()
    with journey(
        mariadb_url,
        f"sqlite:///{tmp_path / 'ledger.sqlite'}",
        mapping="prestashop",
        sandbox=ready_mappings.account_of("prestashop"),
    ) as trip:
        assert trip.migrate("first").adds_up
        lines = ready_mappings.payloads(trip, Entity.CUSTOMERS)["1"]["balance"]
        assert [(line["amount"], "expiration_date" in line) for line in lines] == [(40, False), (40, False)]
        assert sum(one["amount"] for one in ready_mappings.payloads(trip, Entity.TRANSACTIONS)["1"]) == 80


@pytest.mark.parametrize(
    ("entity", "since", "keys"),
    [
        (Entity.CUSTOMERS, "2024-04-30", {1, 2, 3, 6, 7}),
        (Entity.EVENTS, "2024-02-20", {1}),  # a credit slip moved it
        (
            Entity.TRANSACTIONS,
            "2024-02-20",
            {"1-earned", "2-earned", "3-earned", "3-converted", "4-earned", "4-expired"},
        ),
    ],
)
def test_a_window_finds_what_changed(trip, entity, since, keys):
    legacy = Source(trip.legacy, load("prestashop"), entity)
    assert ready_mappings.keys(legacy, Window(since=datetime.fromisoformat(since).replace(tzinfo=UTC))) == keys


@pytest.mark.usefixtures("trip", "commands")
def test_the_commands_take_the_mapping_as_it_is(capsys):
    assert parser.main(["check"]) == 0
    said = capsys.readouterr().out
    assert "blocker" not in said
    assert not re.search("read_and_left_out|neither_read_nor_left_out", said)

    assert parser.main(["preview", "transactions", "--key", "4-expired"]) == 0
    assert '"amount": -40' in capsys.readouterr().out
