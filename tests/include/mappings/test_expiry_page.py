"""
The examples of docs/mappings/expiry.md, read from the page and run on the real schemas: what
expired adds up to the balance.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path

import pytest

from masivo_engine.model.rows import Entity
from tests import servers
from tests.databases import ready_mappings
from tests.databases.woocommerce import BO
from tests.databases.woocommerce import SHOP as TEA_SHOP
from tests.mapping_folder import write
from tests.whole_migration import journey


PAGE = Path(__file__).parents[3] / "docs" / "mappings" / "expiry.md"


def examples() -> dict[str, dict[str, str]]:
    """Return the page's SQL by section and file."""
    found = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        title, _, rest = section.partition("\n")
        blocks = re.findall(r"^```sql\n-- (\S+)\n(.*?)^```$", rest, re.MULTILINE | re.DOTALL)
        if blocks:
            found[title] = dict(blocks)
    return found


@contextmanager
def migrated(server, tmp_path, section, schema, tables, customers):
    """Migrate *tables* with the example of *section*, whose customers are *customers*."""
    folder = write(
        tmp_path / "mapping", {"mapping.yaml": "timezone: UTC", "customers.sql": customers, **examples()[section]}
    )
    with servers.fresh_database(server) as url:
        ready_mappings.build(url, schema, tables)
        ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        with journey(url, ledger, mapping=str(folder)) as trip:
            assert trip.migrate("first").adds_up
            yield trip


def transactions(trip, customer):
    made = ready_mappings.payloads(trip, Entity.TRANSACTIONS)[customer]
    return sorted(
        (one["details"].removeprefix("legacy:"), one["type"], one["amount"], one["issued_at"]) for one in made
    )


def balance(trip, customer):
    lines = ready_mappings.payloads(trip, Entity.CUSTOMERS)[customer]["balance"]
    return [(line["amount"], line["expiration_date"]) for line in lines]


def test_the_page_has_an_example_of_each_rule():
    assert {title: sorted(files) for title, files in examples().items()} == {
        title: ["customers.balance.sql", "transactions.sql"]
        for title in ("An expiry row in the ledger", "A state change", "Computed at read time")
    }


def test_an_expiry_row_is_a_transaction_like_any_other(mariadb_server, tmp_path):
    section = "An expiry row in the ledger"
    customers = f"""
        SELECT ID AS id, display_name AS name, TRIM(user_email) AS email, user_registered AS registration_date
        FROM wp_users WHERE ID = {BO}"""
    with migrated(mariadb_server, tmp_path, section, "woocommerce", TEA_SHOP, customers) as trip:
        assert transactions(trip, "12") == [
            ("10", "ACCUMULATION", 20, "2024-03-11T07:00:00.000Z"),
            ("20", "EXPIRATION", 0, "2024-02-17T03:00:00.000Z"),
            ("8", "ACCUMULATION", 30, "2023-02-15T00:00:00.000Z"),
            ("9", "EXPIRATION", -30, "2024-02-16T03:00:00.000Z"),
        ]
        assert balance(trip, "12") == [(20, "2025-03-11T07:00:00.000Z")]


def test_a_state_change_becomes_the_row_that_it_stands_for_and_no_other_gap_is_closed(postgres_server, tmp_path):
    columns = "id card_id description expiration_date active issued available_issued_points used create_date"
    tables = {
        "loyalty_card": ("id partner_id code points", [(1, 7, "044a", 70.5), (2, 8, "044b", 15), (3, 9, "044c", 1)]),
        "loyalty_history": (
            columns,
            [
                # 40 of these 100 were used before the other 60 expired; the line itself no longer
                # says so.
                (1, 1, "S1", "2024-03-31", False, 100, 0, 0, "2023-04-01 10:00:00"),
                (2, 1, "S2", "2025-01-31", True, 70.5, 70.5, 0, "2024-02-01 10:00:00"),
                (3, 1, "S3", None, False, 0, 0, 40, "2024-03-01 10:00:00"),
                # 5 are missing, and nothing expired.
                (4, 2, "S4", "2025-01-31", True, 20, 15, 0, "2024-02-01 10:00:00"),
                # 19 are missing, and no more than 10 can have expired.
                (5, 3, "S5", "2024-03-31", False, 10, 0, 0, "2023-04-01 10:00:00"),
                (6, 3, "S6", None, True, 10, 1, 0, "2024-02-01 10:00:00"),
            ],
        ),
    }
    customers = """
        SELECT partner_id AS id, code AS name, code || '@shop.example' AS email, DATE '2023-01-01' AS registration_date
        FROM loyalty_card"""
    with migrated(postgres_server, tmp_path, "A state change", "odoo", tables, customers) as trip:
        assert transactions(trip, "7") == [
            ("c1-expired", "EXPIRATION", -60, "2024-04-01T00:00:00.000Z"),
            ("h1-issued", "ACCUMULATION", 100, "2023-04-01T10:00:00.000Z"),
            ("h2-issued", "ACCUMULATION", 70.5, "2024-02-01T10:00:00.000Z"),
            ("h3-used", "REDEMPTION", -40, "2024-03-01T10:00:00.000Z"),
        ]
        assert balance(trip, "7") == [(70.5, "2025-02-01T00:00:00.000Z")]
        assert {
            key: fate for key, fate in ready_mappings.fates(trip)[Entity.TRANSACTIONS].items() if fate != "delivered"
        } == {
            "h4-issued": "quarantined points_do_not_sum",
            "h5-issued": "quarantined points_do_not_sum",
            "h6-issued": "quarantined points_do_not_sum",
        }


def test_what_is_too_old_when_it_is_read_becomes_a_row_as_of_the_cut_over(mariadb_server, tmp_path):
    columns = "id_loyalty id_loyalty_state id_customer id_order id_cart_rule points date_add date_upd"
    tables = {
        "ps_loyalty": (
            columns,
            [
                (1, 2, 1, 11, None, 100, "2024-01-10 12:00:00", "2024-01-20 12:00:00"),
                (2, 2, 1, 12, None, 40, "2023-03-01 12:00:00", "2023-03-05 12:00:00"),
                (3, 4, 1, 13, 501, 60, "2023-05-01 12:00:00", "2023-06-01 12:00:00"),
                (4, 1, 1, 14, None, 30, "2024-06-20 12:00:00", "2024-06-20 12:00:00"),
                (5, 3, 1, 15, None, 25, "2024-02-20 12:00:00", "2024-02-21 12:00:00"),
                (6, 3, 1, 11, None, -10, "2024-02-01 12:00:00", "2024-02-01 12:00:00"),
                (7, 5, 1, 16, None, 0, "2024-02-01 12:00:00", "2024-02-01 12:00:00"),
                (8, 2, 2, 21, None, 40, "2023-07-01 23:00:00", "2023-07-01 23:00:00"),  # 366 days: just too old
                (9, 2, 3, 31, None, 40, "2023-07-02 01:00:00", "2023-07-02 01:00:00"),  # 365 days: the last day
            ],
        )
    }
    customers = """
        SELECT id_customer AS id, 'Somebody' AS name, CONCAT('c', id_customer, '@shop.example') AS email,
            MIN(date_add) AS registration_date
        FROM ps_loyalty GROUP BY id_customer"""
    with migrated(mariadb_server, tmp_path, "Computed at read time", "prestashop", tables, customers) as trip:
        assert transactions(trip, "1") == [
            ("1-earned", "ACCUMULATION", 100, "2024-01-10T12:00:00.000Z"),
            ("2-earned", "ACCUMULATION", 40, "2023-03-01T12:00:00.000Z"),
            ("2-expired", "EXPIRATION", -40, "2024-03-01T00:00:00.000Z"),
            ("3-converted to voucher 501", "REDEMPTION", -60, "2023-06-01T12:00:00.000Z"),
            ("3-earned", "ACCUMULATION", 60, "2023-05-01T12:00:00.000Z"),
            ("6-earned", "REVERSAL", -10, "2024-02-01T12:00:00.000Z"),
        ]
        assert balance(trip, "1") == [(90, "2025-01-10T00:00:00.000Z")]
        assert [amount for _, _, amount, _ in transactions(trip, "2")] == [40, -40]
        assert balance(trip, "2") == []
        assert balance(trip, "3") == [(40, "2024-07-02T00:00:00.000Z")]
        assert {fate for fates in ready_mappings.fates(trip).values() for fate in fates.values()} == {"delivered"}


@pytest.mark.parametrize("section", examples())
def test_no_example_depends_on_the_day_it_is_run(section):
    assert not re.search(r"\bNOW\b|CURRENT_|SYSDATE|CURDATE", " ".join(examples()[section].values()), re.IGNORECASE)
