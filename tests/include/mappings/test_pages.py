"""
The SQL in the pages of the ready mappings, read from the pages and run on the real schemas: it says
of the shops what it claims to.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import create_engine

from masivo_engine.mapping.loader import load
from masivo_engine.model.rows import Entity
from tests import servers
from tests.databases import opencart, prestashop, ready_mappings, woocommerce
from tests.whole_migration import journey


ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "mappings"
POSTS = ("wp_posts", "wp_postmeta")


def statements(page: str) -> dict[str, str]:
    """Return the SQL of *page* by what its first line calls it."""
    blocks = re.findall(
        r"^```sql\n-- ([^\n:]+)[^\n]*\n(.*?)^```$", (PAGES / page).read_text(), re.MULTILINE | re.DOTALL
    )
    found = dict(blocks)
    assert len(found) == len(blocks)
    return found


def ask(server, schema, tables, page):
    """Return what each query of *page* finds in the shop, as sorted rows; views are left alone."""
    with servers.fresh_database(server) as url:
        ready_mappings.build(url, schema, tables)
        engine = create_engine(url)
        try:
            return {
                name: sorted((tuple(row.values()) for row in ready_mappings.read(engine, sql)), key=str)
                for name, sql in statements(page).items()
                if not name.startswith("view")
            }
        finally:
            engine.dispose()


def test_the_queries_of_the_woocommerce_page_find_what_is_in_the_shop(mariadb_server):
    said = ask(mariadb_server, "woocommerce", woocommerce.SHOP, "woocommerce.md")
    owners = {order: customer for customer, order in said.pop("guests by address")}
    assert (owners[1001], owners[1007], owners[1008]) == (11, 19, None)
    assert ("wc-shipped", "stripe", 1) in said.pop("statuses and gateways")
    assert ("birthday", 1, 1, Decimal(10)) in said.pop("types of the log")
    assert said == {
        "customers whose log and awards differ": [(15, Decimal(100), Decimal(90))],
        "guests, and how many of their orders have the address of a user": [(2, 1)],
        "currencies": [("MXN", 17)],
        "keys that are twice in a key-value table": [],
    }


def test_the_queries_of_the_opencart_page_find_what_is_in_the_shop(mariadb_server):
    said = ask(mariadb_server, "opencart", opencart.SHOP, "opencart.md")
    assert said.pop("guests by address")[0] == (1, 1)
    assert {row for row in said.pop("groups as tiers") if row[0] < 3} == {
        (1, None),
        (2, "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c02"),
    }
    assert (17, "cod", 1) in said.pop("states and payment codes")
    assert ("voucher", -1, 1) in said.pop("rows of totals")
    assert said == {
        "hours": [(0, 1), (15, 11)],
        "customers below zero": [(5, Decimal(-30))],
        "points of nobody": [(0, 1, Decimal(24)), (8, 1, Decimal(24))],
        "addresses of more than one customer": [(2,)],
    }


def test_the_queries_of_the_prestashop_page_find_what_is_in_the_shop(mariadb_server):
    said = ask(mariadb_server, "prestashop", prestashop.SHOP, "prestashop.md")
    owners = {order: customer for customer, order in said.pop("guests by address")}
    assert (owners[1], owners[4]) == (1, None)  # the guest's address has no blank in front
    assert ("my_gateway", 1) in said.pop("payment modules of sales")
    assert (9, 1, Decimal(7)) in said.pop("states of points")
    assert said == {
        "settings": [("PS_LOYALTY_VALIDITY_PERIOD", "365"), ("PS_TIMEZONE", "Europe/Paris")],
        "currencies": [(1, 9)],
    }


def test_the_views_give_the_mapping_a_shop_that_keeps_its_orders_as_posts(mariadb_server, tmp_path):
    tables = classic(woocommerce.SHOP)
    with servers.fresh_database(mariadb_server) as url:
        ready_mappings.build(url, "woocommerce", {name: rows for name, rows in tables.items() if name not in POSTS})
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE wp_wc_orders, wp_wc_order_operational_data")
        engine.dispose()
        ready_mappings.build(url, "wordpress_posts", {name: tables[name] for name in POSTS})
        engine = create_engine(url)
        with engine.begin() as connection:
            for name, sql in statements("woocommerce.md").items():
                if name.startswith("view"):
                    connection.exec_driver_sql(sql.replace("%", "%%"))
        engine.dispose()
        with journey(url, f"sqlite:///{tmp_path / 'classic.sqlite'}", mapping="woocommerce") as trip:
            assert trip.migrate("first").adds_up
            found = ready_mappings.fates(trip), ready_mappings.payloads(trip, Entity.EVENTS)

    with servers.fresh_database(mariadb_server) as url:
        ready_mappings.build(url, "woocommerce", woocommerce.SHOP)
        with journey(url, f"sqlite:///{tmp_path / 'hpos.sqlite'}", mapping="woocommerce") as trip:
            assert trip.migrate("first").adds_up
            assert found == (ready_mappings.fates(trip), ready_mappings.payloads(trip, Entity.EVENTS))


def classic(shop: dict[str, ready_mappings.Table]) -> dict[str, ready_mappings.Table]:
    """Return *shop* with its orders as posts."""
    columns, rows = shop["wp_wc_orders"]
    orders = [dict(zip(columns.split(), row, strict=True)) for row in rows]
    columns, rows = shop["wp_wc_order_operational_data"]
    details = {row[0]: dict(zip(columns.split(), row, strict=True)) for row in rows}
    posts = [
        tuple(
            order[name] for name in ("id", "type", "status", "parent_order_id", "date_created_gmt", "date_updated_gmt")
        )
        for order in orders
    ]
    meta = [
        (order["id"], key, value)
        for order in orders
        for key, value in {
            "_order_currency": order["currency"],
            "_customer_user": order["customer_id"] or 0,
            "_payment_method": order["payment_method"],
            "_order_total": order["total_amount"],
            **_details(details.get(order["id"], {})),
        }.items()
    ]
    rest = {name: table for name, table in shop.items() if name not in {"wp_wc_orders", "wp_wc_order_operational_data"}}
    return {
        **rest,
        "wp_posts": ("ID post_type post_status post_parent post_date_gmt post_modified_gmt", posts),
        "wp_postmeta": ("post_id meta_key meta_value", meta),
    }


def _details(found: dict[str, str]) -> dict[str, str]:
    seconds = {None: "", woocommerce.PAID: "1710140400", woocommerce.LATER: "1710244800"}
    return {
        "_created_via": found.get("created_via", ""),
        "_date_paid": seconds[found.get("date_paid_gmt")],
        "_date_completed": seconds[found.get("date_completed_gmt")],
        "_order_shipping": found.get("shipping_total_amount", ""),
        "_order_shipping_tax": found.get("shipping_tax_amount", ""),
        "_cart_discount": found.get("discount_total_amount", ""),
        "_cart_discount_tax": found.get("discount_tax_amount", ""),
    }


@pytest.mark.parametrize("name", ["woocommerce", "opencart", "prestashop"])
def test_the_page_names_every_field_that_the_mapping_fills(name):
    """A field that is in the SQL and not on the page is a decision that nobody was told of."""
    page = (PAGES / f"{name}.md").read_text()
    mapping = load(name)
    for entity in mapping.entities:
        for query in (mapping.queries[entity], *mapping.lists[entity].values()):
            inside = f"{query.path}[]__" if query.path else ""
            for alias in set(aliases(query.sql)) - query.reserved:
                assert f"`{(inside + alias).replace('__', '.')}`" in page, (query.where, alias)


def aliases(sql: str) -> list[str]:
    """Return the aliases of the outermost SELECT of *sql*, which has one to a line."""
    columns = re.split(r"^FROM ", sql, maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"\bAS ([a-z_]+),?(?: --.*)?$", columns, re.MULTILINE)
    assert len(found) > 3
    return found
