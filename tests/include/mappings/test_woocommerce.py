"""
The mapping of WooCommerce with Points and Rewards, on its real schema in MariaDB: a whole
migration, row for row.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from masivo.cli import parser
from masivo_engine.mapping.loader import load
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind, Window
from masivo_engine.source.reader import Source
from tests import servers
from tests.databases import ready_mappings
from tests.databases.woocommerce import BO, SHOP
from tests.whole_migration import journey


POINTS = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1d01"


@pytest.fixture(scope="module")
def shop(mariadb_server):
    """The database of the tea shop; it is only read, in the modes that MySQL 8 has by itself."""
    with servers.fresh_database(mariadb_server) as url:
        ready_mappings.build(url, "woocommerce", SHOP)
        yield ready_mappings.strictly(url)


@pytest.fixture(scope="module")
def trip(shop, tmp_path_factory):
    """A migration of the tea shop, and a second run of it."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with journey(
        shop, f"sqlite:///{ledger}", mapping="woocommerce", sandbox=ready_mappings.account_of("woocommerce")
    ) as made:
        made.first = made.migrate("first")
        made.fates = ready_mappings.fates(made)
        made.second = made.migrate("second")
        yield made


def test_every_row_ends_in_its_state_and_they_add_up(trip):
    assert trip.first.adds_up
    assert trip.fates == {
        Entity.CUSTOMERS: {
            "11": "delivered",
            "12": "delivered",
            "13": "quarantined missing_value email",
            "14": "quarantined not_a_date registration_date",
            "15": "delivered",
            "16": "quarantined negative_balance balance",
            "17": "delivered",
            "18": "delivered",
            "19": "delivered",
        },
        Entity.EVENTS: {
            "1001": "delivered",
            "1003": "delivered",
            "1007": "quarantined missing_value customer_id",  # a guest, as 0
            "1008": "quarantined missing_value customer_id",  # a guest, as NULL
            "1009": "held customer_missing",  # of a deleted user
            "1010": "quarantined empty_list order__products",
            "1011": "quarantined unknown_code order__payment_method",
            "1012": "quarantined not_a_boolean fulfilled",  # a status of some extension
            "1013": "quarantined not_a_date issued_at",
            "1014": "quarantined not_a_number order__products[].value",
            "1015": "held customer_quarantined",
            "1016": "delivered",
            "1018": "delivered",
        },
        Entity.TRANSACTIONS: {
            **dict.fromkeys(map(str, (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14, 15, 20)), "delivered"),
            "11": "held customer_quarantined",
            "12": "quarantined points_do_not_sum",
            "13": "held customer_quarantined",
            "16": "held sibling_not_sendable",
            "17": "quarantined unknown_code type",
            "18": "held customer_missing",
            "19": "held customer_quarantined",
        },
    }


def test_what_is_no_purchase_and_nobodys_customer_is_counted_by_reason(trip):
    assert [trip.place.legacy(entity).left_out() for entity in Entity] == [
        {"no customer by role, without points and without orders": 2},
        {
            "a draft: never ordered": 1,
            "a refund: it is taken off its order": 1,
            "failed, cancelled or in the trash": 1,
            "refunded as a whole": 1,
            "to be paid on delivery: a later run reads it": 1,
        },
        {},
    ]


def test_orders_that_lost_their_dates_of_payment_are_counted_and_repaired_ones_go(mariadb_url, tmp_path):
    """
    The move to tables of their own left orders from before WooCommerce 3.0 without dates of
    payment, and gave others a zero date; its repair leaves their change times alone.
    """
    ready_mappings.build(mariadb_url, "woocommerce", SHOP)
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("SET SESSION sql_mode = ''")
        for key, status, created in (
            (901, "wc-processing", "2016-05-02 10:00:00"),
            (902, "wc-completed", "2016-05-02 10:00:00"),
            (903, "wc-completed", "0000-00-00 00:00:00"),
        ):
            for table, columns, values in (
                (
                    "wp_wc_orders",
                    (
                        "id, type, status, customer_id, parent_order_id, total_amount, payment_method, currency,"
                        " date_created_gmt, date_updated_gmt"
                    ),
                    f"{key}, 'shop_order', '{status}', 11, 0, 40, 'stripe', 'MXN', '{created}', '2024-01-01'",
                ),
                ("wp_wc_order_operational_data", "order_id", str(key)),
                (
                    "wp_woocommerce_order_items",
                    "order_item_id, order_item_name, order_item_type, order_id",
                    f"{key}, 'Tea', 'line_item', {key}",
                ),
                *(
                    (
                        "wp_woocommerce_order_itemmeta",
                        "order_item_id, meta_key, meta_value",
                        f"{key}, '{name}', '{value}'",
                    )
                    for name, value in (("_qty", 1), ("_line_subtotal", 40), ("_line_total", 40), ("_product_id", 99))
                ),
            ):
                connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({values})")
    with journey(mariadb_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="woocommerce") as trip:
        run = trip.begin("first")
        trip.foretell(run)
        first = trip.migrate("first")
        assert ("being processed, without a date of payment", 1) in {(one.reason, one.rows) for one in first.left_out}
        fates = ready_mappings.fates(trip)[Entity.EVENTS]
        assert ("901" in fates, fates["902"], fates["903"]) == (False, "delivered", "quarantined not_a_date issued_at")
        with engine.begin() as connection:
            connection.exec_driver_sql(
                "UPDATE wp_wc_orders SET date_created_gmt = '2016-05-02 10:00:00' WHERE id = 903"
            )
        assert trip.migrate("second", asked=Asked(RunKind.INCREMENT)).adds_up
        assert ready_mappings.fates(trip)[Entity.EVENTS]["903"] == "delivered"
    engine.dispose()


def test_a_second_run_sends_nothing(trip):
    assert trip.second.adds_up
    assert {entity: ready_mappings.states(trip.second, entity)["delivered"] for entity in Entity} == dict.fromkeys(
        Entity, 0
    )
    assert all(entity.requests == 0 for entity in trip.second.entities)


def test_a_customer_is_a_user_with_what_is_left_of_the_points(trip):
    assert ready_mappings.payloads(trip, Entity.CUSTOMERS)["11"] == {
        "id": "11",
        "name": "Ana Árbol",
        "email": "ana@tea.example",
        "registration_date": "2023-02-01T10:00:00.000Z",
        "balance": [
            {
                "reward_id": POINTS,
                "amount": 38,
                "issued_at": "2024-03-11T07:00:00.000Z",
                "expiration_date": "2025-03-11T07:00:00.000Z",
                "brand_id": "main",
            },
            # Awarded before the day from which the shop lets points expire.
            {"reward_id": POINTS, "amount": 12, "issued_at": "2022-12-31T23:00:00.000Z", "brand_id": "main"},
        ],
    }


def test_a_user_without_a_name_has_the_one_that_is_displayed(trip):
    customer = ready_mappings.payloads(trip, Entity.CUSTOMERS)["12"]
    assert (customer["name"], customer["email"]) == ("Bo Baker", "bo@tea.example")


def test_what_an_award_is_short_of_is_taken_from_the_others(trip):
    assert ready_mappings.payloads(trip, Entity.CUSTOMERS)["17"]["balance"] == [
        {
            "reward_id": POINTS,
            "amount": 30,
            "issued_at": "2024-04-01T00:00:00.000Z",
            "expiration_date": "2025-04-01T00:00:00.000Z",
            "brand_id": "main",
        }
    ]


def test_an_order_is_a_purchase_less_what_was_refunded(trip):
    # Paid 59.16 with 5.80 of shipping, after a coupon of 4.64; then one of the two teas, 20.88, was
    # given back.
    assert ready_mappings.payloads(trip, Entity.EVENTS)["1001"] == {
        "type": "PURCHASE",
        "brand_id": "main",
        "channel_id": "web",
        "order": {
            "purchase_id": "1001",
            "value": 37.12,
            "discounted_value": 32.48,
            "payment_method": "BANK_TRANSFER",
            "shipping": {"value": 5.8},
            "metadata": {"currency": "MXN", "created_via": "checkout"},
            "products": [
                {
                    "sku": "TEA-100",
                    "amount": 1,
                    "value": 25.52,
                    "discounted_value": 20.88,
                    "metadata": {"name": "Green tea"},
                },
                {
                    "sku": "MUG-RED",
                    "amount": 1,
                    "value": 11.6,
                    "discounted_value": 11.6,
                    "metadata": {"name": "Mug & saucer"},
                },
            ],
        },
        "fulfilled": True,
        "issued_at": "2024-03-10T09:30:00.000Z",
        "resolved_at": "2024-03-11T07:00:00.000Z",
    }


def test_an_order_that_points_paid_for_has_its_value_and_a_deleted_product_its_number(trip):
    order = ready_mappings.payloads(trip, Entity.EVENTS)["1016"]["order"]
    assert (order["value"], order["discounted_value"], order["payment_method"]) == (11.6, 0, "OTHER")
    assert [product["sku"] for product in order["products"]] == ["wc-99"]


def test_an_order_that_is_completed_after_it_was_sent_says_the_same(mariadb_url, tmp_path):
    ready_mappings.build(mariadb_url, "woocommerce", SHOP)
    with journey(mariadb_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="woocommerce") as trip:
        assert ready_mappings.states(trip.migrate("first"), Entity.EVENTS)["delivered"] == 4
        with trip.legacy.begin() as connection:
            for change in (
                "UPDATE wp_wc_orders SET status = 'wc-completed', date_updated_gmt = '2024-06-01' WHERE id = 1003",
                "UPDATE wp_wc_order_operational_data SET date_completed_gmt = '2024-06-01' WHERE order_id = 1003",
            ):
                connection.exec_driver_sql(change)
        second = ready_mappings.states(trip.migrate("second"), Entity.EVENTS)
        assert (second["delivered"], second["unchanged"]) == (0, 4)


def test_points_that_are_earned_after_the_load_move_the_balance_and_wait_themselves(mariadb_url, tmp_path):
    ready_mappings.build(mariadb_url, "woocommerce", SHOP)
    with journey(mariadb_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="woocommerce") as trip:
        trip.migrate("first")
        earned = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=10)
        with trip.legacy.begin() as connection:
            for insert, values in (
                ("_log (id, user_id, points, type, order_id, date)", (21, BO, 5, "order-placed", 1019, earned)),
                (" (id, user_id, points, points_balance, order_id, date)", (13, BO, 5, 5, 1019, earned)),
            ):
                marks = ", ".join(["%s"] * len(values))
                statement = f"INSERT INTO wp_wc_points_rewards_user_points{insert} VALUES ({marks})"
                connection.exec_driver_sql(statement, values)
        second = trip.migrate("second", asked=Asked(RunKind.INCREMENT))
        assert second.adds_up
        assert [line["amount"] for line in ready_mappings.payloads(trip, Entity.CUSTOMERS)["12"]["balance"]] == [20]
        assert "balance_waits" in {one.reason for one in second.troubles if one.entity is Entity.CUSTOMERS}
        assert ("transactions_already_migrated", 1) in {(one.reason, one.rows) for one in second.troubles}


def test_the_log_becomes_transactions_and_expiry_is_a_row_of_it(trip):
    made = ready_mappings.payloads(trip, Entity.TRANSACTIONS)
    said = {
        customer: sorted((one["details"], one["type"], one["amount"]) for one in made[customer]) for customer in made
    }
    assert said == {
        "11": [
            ("legacy:1 account-signup", "ACCUMULATION", 50),
            ("legacy:2 order-placed of order 1001", "ACCUMULATION", 53),
            ("legacy:3 order-redeem of order 1001", "REDEMPTION", -40),
            ("legacy:4 order-refunded of order 1001", "REVERSAL", -20),
            ("legacy:5 admin-adjustment", "ACCUMULATION", 7),
            ("legacy:6 admin-adjustment", "REVERSAL", -5),
            ("legacy:7 product-review", "ACCUMULATION", 5),
        ],
        "12": [
            ("legacy:10 order-placed of order 1003", "ACCUMULATION", 20),
            ("legacy:20 expire", "EXPIRATION", 0),
            ("legacy:8 order-placed of order 900", "ACCUMULATION", 30),
            ("legacy:9 expire", "EXPIRATION", -30),
        ],
        "17": [
            ("legacy:14 order-placed of order 903", "ACCUMULATION", 50),
            ("legacy:15 order-cancelled of order 904", "REVERSAL", -20),
        ],
    }
    assert made["17"][0] == {
        "brand_id": "main",
        "reward_id": POINTS,
        "details": "legacy:14 order-placed of order 903",
        "type": "ACCUMULATION",
        "amount": 50,
        "issued_at": "2024-04-01T00:00:00.000Z",
        "resolved_at": "2024-04-01T00:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("entity", "since", "keys"),
    [
        (Entity.CUSTOMERS, "2024-03-23", {11, 17}),  # their points moved
        (Entity.CUSTOMERS, "2024-03-01", {11, 12, 17}),
        (Entity.EVENTS, "2024-03-15", {1001}),  # some of it was refunded
        (Entity.TRANSACTIONS, "2024-04-30", {14, 15}),  # one is new, and a customer's go together
    ],
)
def test_a_window_finds_what_changed_although_the_row_itself_does_not_say(trip, entity, since, keys):
    legacy = Source(trip.legacy, load("woocommerce"), entity)
    window = Window(since=datetime.fromisoformat(since).replace(tzinfo=UTC))
    assert ready_mappings.keys(legacy, window) == keys


@pytest.mark.usefixtures("trip", "commands")
def test_the_commands_take_the_mapping_as_it_is(capsys):
    assert parser.main(["check"]) == 0
    said = capsys.readouterr().out
    assert "blocker" not in said
    assert not re.search("read_and_left_out|neither_read_nor_left_out", said)
    assert re.search(r"customers +missing_value +\d+ rows? in email", said)

    assert parser.main(["preview", "events", "--key", "1001"]) == 0
    assert '"purchase_id": "1001"' in capsys.readouterr().out
