"""
The mapping of OpenCart with its reward points, on its real schema in MariaDB: a whole migration,
row for row.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from masivo.cli import parser
from masivo_engine.mapping.loader import load
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind, Window
from masivo_engine.source.reader import Source
from tests import servers
from tests.databases import ready_mappings
from tests.databases.opencart import SHOP
from tests.whole_migration import journey


POINTS = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1e01"


@pytest.fixture(scope="module")
def trip(mariadb_server, tmp_path_factory):
    """A migration of the tool shop, and a second run of it."""
    ledger = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with servers.fresh_database(mariadb_server) as url:
        ready_mappings.build(url, "opencart", SHOP)
        with journey(
            ready_mappings.strictly(url),
            f"sqlite:///{ledger}",
            mapping="opencart",
            sandbox=ready_mappings.account_of("opencart"),
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
            "4": "quarantined not_a_date registration_date",
            "5": "quarantined negative_balance balance",
            "6": "quarantined email_shared email",
            "7": "quarantined missing_value name",
        },
        Entity.EVENTS: {
            "1": "delivered",
            "6": "quarantined missing_value customer_id",  # a guest
            "7": "held customer_missing",  # of a deleted customer
            "8": "quarantined empty_list order__products",  # a gift voucher is no product
            "9": "quarantined unknown_code order__payment_method",
            "10": "quarantined not_a_boolean fulfilled",  # a status of the shop's own
            "11": "quarantined not_a_date issued_at",
            "12": "delivered",
            "13": "held customer_quarantined",
        },
        Entity.TRANSACTIONS: {
            **dict.fromkeys(map(str, (1, 2, 3, 4)), "delivered"),
            "5": "held sibling_not_sendable",
            "6": "quarantined not_a_date issued_at",
            "7": "held customer_quarantined",
            "8": "held customer_quarantined",
            "9": "held customer_missing",
            "10": "quarantined missing_value customer_id",
        },
    }


def test_orders_that_are_no_purchases_are_counted_by_reason(trip):
    assert [trip.place.legacy(entity).left_out() for entity in Entity] == [
        {},
        {
            "being processed: a later run reads it": 1,
            "cancelled": 1,
            "never ordered: a basket that was left at the till": 1,
            "refunded": 1,
        },
        {},
    ]


def test_a_second_run_sends_nothing(trip):
    assert trip.second.adds_up
    assert {entity: ready_mappings.states(trip.second, entity)["delivered"] for entity in Entity} == dict.fromkeys(
        Entity, 0
    )
    assert all(entity.requests == 0 for entity in trip.second.entities)


def test_a_customer_has_the_sum_of_the_rows_and_no_html(trip):
    assert ready_mappings.payloads(trip, Entity.CUSTOMERS) == {
        "1": {
            "id": "1",
            "name": 'Lea O"Neill & Sons',
            "email": "lea@tools.example",
            "registration_date": "2023-05-01T09:00:00.000Z",
            "balance": [{"reward_id": POINTS, "amount": 100, "brand_id": "main"}],
            "status": "ACTIVE",
            "metadata": {"customer_group_id": 1, "newsletter": 1},
        },
        "2": {
            "id": "2",
            "name": "Max Moss",
            "email": "max@tools.example",
            "registration_date": "2023-05-01T09:00:00.000Z",
            "balance": [{"reward_id": POINTS, "amount": 24, "brand_id": "main"}],
            "status": "INACTIVE",
            "metadata": {"customer_group_id": 2, "newsletter": 0},
        },
    }


def test_an_order_is_what_its_totals_say_less_its_shipping(trip):
    # 87.00 to pay: less shipping of 10.00, and the voucher's 10.00 were paid as well. Points and
    # coupon took off 9.00.
    assert ready_mappings.payloads(trip, Entity.EVENTS)["1"] == {
        "type": "PURCHASE",
        "brand_id": "main",
        "channel_id": "web",
        "store_id": "0",
        "order": {
            "purchase_id": "1",
            "value": 96,
            "discounted_value": 87,
            "payment_method": "BANK_TRANSFER",
            "store_id": "0",
            "shipping": {"value": 10},
            "metadata": {"currency": "EUR"},
            "products": [
                {"sku": "SAW-12", "amount": 2, "value": 72, "metadata": {"name": 'Saw 12"'}},
                {"sku": "Model 41", "amount": 100, "value": 24, "metadata": {"name": "Nails"}},
            ],
        },
        "fulfilled": True,
        "issued_at": "2024-02-10T15:00:00.000Z",
        "resolved_at": "2024-02-12T08:00:00.000Z",
    }


def test_an_order_without_totals_or_history_goes_with_what_there_is(trip):
    event = ready_mappings.payloads(trip, Entity.EVENTS)["12"]
    assert (event["order"]["value"], event["order"]["discounted_value"], event["store_id"]) == (24, 24, "2")
    assert "shipping" not in event["order"]
    assert event["resolved_at"] is None
    assert [product["sku"] for product in event["order"]["products"]] == ["oc-77"]


def test_a_sign_and_an_order_tell_what_kind_of_transaction_it_is(trip):
    made = ready_mappings.payloads(trip, Entity.TRANSACTIONS)
    assert list(made) == ["1"]
    assert sorted((one["details"], one["type"], one["amount"]) for one in made["1"]) == [
        ("legacy:1 of order 1", "ACCUMULATION", 60),
        ("legacy:2 of order 1", "REDEMPTION", -50),
        ("legacy:3", "ACCUMULATION", 100),
        ("legacy:4", "REVERSAL", -10),
    ]
    assert made["1"][0] == {
        "brand_id": "main",
        "reward_id": POINTS,
        "details": "legacy:1 of order 1",
        "type": "ACCUMULATION",
        "amount": 60,
        "issued_at": "2024-02-14T08:05:00.000Z",
        "resolved_at": "2024-02-14T08:05:00.000Z",
    }


def test_points_that_are_deleted_with_their_order_move_the_balance_and_stop_no_increment(mariadb_url, tmp_path):
    ready_mappings.build(mariadb_url, "opencart", SHOP)
    with journey(mariadb_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", mapping="opencart") as trip:
        trip.migrate("first")
        with trip.legacy.begin() as connection:
            connection.exec_driver_sql("DELETE FROM oc_customer_reward WHERE date_added > '2024-02-01'")
        second = trip.migrate("second", asked=Asked(RunKind.INCREMENT))
        assert second.adds_up
        # Lea has 90 now, which no row explains: balance and transactions go together, or not at
        # all.
        assert [line["amount"] for line in ready_mappings.payloads(trip, Entity.CUSTOMERS)["1"]["balance"]] == [100]
        assert "balance_waits" in {one.reason for one in second.troubles if one.entity is Entity.CUSTOMERS}
        assert ready_mappings.states(second, Entity.TRANSACTIONS)["unchanged"] == 2


def test_customers_have_no_change_time_so_a_window_is_refused(trip):
    legacy = Source(trip.legacy, load("opencart"), Entity.CUSTOMERS)
    with pytest.raises(MappingError, match="has no column 'updated_at', so no window can be read"):
        list(legacy.counts(Window(since=datetime(2024, 1, 1, tzinfo=UTC))))


@pytest.mark.usefixtures("trip", "commands")
def test_the_commands_take_the_mapping_as_it_is(capsys):
    assert parser.main(["check"]) == 0
    said = capsys.readouterr().out
    assert "blocker" not in said
    assert not re.search("read_and_left_out|neither_read_nor_left_out", said)
    assert re.search(r"customers +missing_value +\d+ rows? in email", said)

    assert parser.main(["preview", "transactions", "--key", "2"]) == 0
    assert '"amount": -50' in capsys.readouterr().out
