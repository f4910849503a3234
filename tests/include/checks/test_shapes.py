"""
The shapes of real legacy data, one case each: what is done to a sound shop, and what the check says
of it then.

The cases name the systems that have the shape; all of them are data, because that is what the next
shape will be.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Numeric, String, create_engine

from masivo_engine.checks.check import check
from masivo_engine.checks.questions import Bounds
from masivo_engine.model.limits import Limits
from tests.databases.sound import BALANCE, CUSTOMERS, EVENTS, NOON, PRODUCTS, TRANSACTIONS, SoundShop


Spoil = Callable[[SoundShop], None]


@dataclass(frozen=True)
class Case:
    """
    *statements* or *spoil* change the data, *files* the mapping; the finding has *code* at *where*
    and says *words*.
    """

    name: str
    where: str
    code: str
    words: str
    statements: tuple[str, ...] = ()
    files: dict[str, Any] = field(default_factory=dict)
    spoil: Spoil | None = None
    limits: Limits = field(default_factory=Limits)
    severity: str = "warning"


def _column(table: str, name: str, kind: str, *values: str) -> tuple[str, ...]:
    """Add a column with two different values."""
    one, other = values
    return (
        f"ALTER TABLE {table} ADD COLUMN {name} {kind}",
        f"UPDATE {table} SET {name} = {one}",
        f"UPDATE {table} SET {name} = {other} WHERE rowid = 7",
    )


def _one_for_many(shop: SoundShop) -> None:
    sale = {"member": 1, "total": 1, "method": "CASH", "sold": NOON, "settled": NOON, "changed": NOON}
    shop.add_all(shop.sale, [{"no": 900_000 + number, **sale} for number in range(800)])


def _future(shop: SoundShop) -> None:
    shop.run(
        [
            (
                "UPDATE entry SET changed = datetime('now', '+5 hours'), happened = datetime('now', '+90 days') WHERE no ="
                " 1000"
            )
        ]
    )


def _mixed(shop: SoundShop) -> None:
    shop.run(["UPDATE sale SET sold = strftime('%Y-%m-%dT%H:%M:%S+02:00', sold) WHERE no % 10 = 1"])


CASES = (
    # 1.3: facts of real purchases
    Case("times in UTC that are said to be local", "events", "zone_doubtful", "look like UTC",
         ("UPDATE sale SET sold = datetime(sold, '+9 hours')",)),
    Case("one column local, the other UTC, as WooCommerce has them", "events", "columns_offset", "updated_at is +6 h from issued_at",
         ("UPDATE sale SET changed = datetime(sold, '+6 hours')",)),
    Case("money that prints more decimals", "events", "more_decimals", "order__value has more than 2 decimals in 1 of",
         ("UPDATE sale SET total = 20.504999 WHERE no = 1000",), severity="note"),
    Case("orders worth nothing", "events", "zero_value", "1 of 300 orders", ("UPDATE sale SET total = 0 WHERE no = 1000",), severity="note"),
    Case("a coupon above the price", "events", "negative_value", "1 of 300 orders", ("UPDATE sale SET total = -3 WHERE no = 1000",)),
    Case("a discount that makes dearer", "events", "discount_negative", "1 orders",
         files={"events.sql": EVENTS.replace("s.total AS order__discounted_value", "s.total + (s.no = 1000) AS order__discounted_value")}),
    Case("lines of quantity nought", "events", "zero_quantity", "1 orders", ("UPDATE line SET qty = 0 WHERE sale = 1000 AND pos = 1",), severity="note"),
    Case("fuel in thousandths", "events", "odd_quantity", "thousandths", ("UPDATE line SET qty = 8725 WHERE sale = 1000 AND pos = 1",)),
    Case("returns as lines", "events", "negative_quantity", "returns", ("UPDATE line SET qty = -1 WHERE sale = 1000 AND pos = 1",)),
    Case("exact copies of lines", "events", "duplicate_line", "1 orders",
         ("INSERT INTO line SELECT sale, pos, sku, qty, price FROM line WHERE sale = 1000 AND pos = 1",), severity="note"),
    Case("product codes that differ by case", "events", "skus_alike", "2 products", ("UPDATE line SET sku = 's0' WHERE sale = 1000 AND pos = 1",), severity="note"),
    Case("money in cents", "events", "money_in_cents", "divide it by 100.0", ("UPDATE sale SET total = 2050", "UPDATE line SET price = 1025")),
    Case("lines that miss their total", "events", "lines_do_not_sum", "1 of 300 orders", ("UPDATE sale SET total = 23 WHERE no = 1000",)),
    Case("lines that round", "events", "lines_round", "rounding alone", ("UPDATE sale SET total = 20.51 WHERE no = 1000",), severity="note"),
    Case("a record above the size of a request", "events", "too_large", "300 records", limits=Limits(body_bytes=100)),
    Case("one with very many transactions", "transactions", "too_many_transactions", "300 rows: the customer has more transactions", limits=Limits(records=5)),
    # 1.4: schemas of real systems
    Case("EAV side tables, and Shopify's orders on several rows", "customers", "join_multiplies", "10.0 rows on average",
         files={"customers.sql": f"{CUSTOMERS} JOIN sale s ON s.member = m.no"}, severity="warning"),
    Case("no column for what is needed", "customers", "field_missing", "needs email",
         files={"customers.sql": CUSTOMERS.replace("m.email AS email, ", "")}, severity="blocker"),
    Case("an alias that is none", "customers", "alias_unknown", "did you mean 'registration_date'",
         files={"customers.sql": CUSTOMERS.replace("registration_date", "registered_date")}, severity="blocker"),
    Case("an alias twice", "customers", "alias_twice", "'name' twice", files={"customers.sql": CUSTOMERS.replace("AS email", "AS name")}, severity="blocker"),
    Case("no key column, as in coupon redemptions", "events", "key_column_missing", "order__purchase_id",
         files={"events.sql": EVENTS.replace("s.no AS order__purchase_id, ", "")}, severity="blocker"),
    Case("orders without lines in the mapping", "events", "list_missing", "add events.order__products.sql",
         files={"events.order__products.sql": None}, severity="blocker"),
    Case("no balances in the mapping", "customers", "list_missing", "every balance is sent empty", files={"customers.balance.sql": None}),
    Case("an order without lines", "events", "empty_list", "1 row in order__products", ("DELETE FROM line WHERE sale = 1000",)),
    Case("a missing key", "transactions", "missing_key", "1 row in transaction_id", ("UPDATE entry SET no = NULL WHERE no = 1000",)),
    Case("a key twice", "events", "duplicate_key", "2 rows", ("UPDATE sale SET no = 1001, total = 3 WHERE no = 1000",)),
    Case("64-bit keys", "events", "long_keys", "300 keys are above 2^53",
         ("UPDATE sale SET no = no + 4611686018427387904", "UPDATE line SET sale = sale + 4611686018427387904"), severity="note"),
    Case("no updated_at, as OpenCart and django-oscar", "customers", "no_change_column", "reads and compares all rows",
         files={"customers.sql": CUSTOMERS.replace(", m.changed AS updated_at", "")}),
    Case("an updated_at that lines do not touch", "events", "lines_move_alone", "order__products alone", severity="note"),
    Case("rows without a change time", "events", "no_change_time", "1 row without", ("UPDATE sale SET changed = NULL WHERE no = 1000",)),
    Case("a change time that is a day", "events", "date_only", "updated_at holds days without a time", ("UPDATE sale SET changed = date(changed)",)),
    Case("rows that mutate, as PrestaShop, Open Loyalty and Odoo", "transactions", "rows_mutate", "the ledger mutates",
         ("UPDATE entry SET changed = datetime(changed, '+30 days', '+7 minutes')",)),
    Case("hard deletes, as OpenCart", "transactions", "key_gaps", "seen by no window", ("UPDATE entry SET no = rowid", "DELETE FROM entry WHERE no % 10 = 3"), severity="note"),
    Case("expiry at reading time, as PrestaShop", "customers", "clock_in_sql", "asks the clock",
         files={"customers.balance.sql": f"{BALANCE} WHERE l.expires > CURRENT_TIMESTAMP"}),
    Case("points that have expired already", "customers", "expired_balance", "1 of 30 lines", ("UPDATE lot SET expires = '2020-01-01' WHERE member = 1",)),
    Case("points that never expire, as a date", "customers", "expires_never", "map `never` to NULL", ("UPDATE lot SET expires = '9998-12-31' WHERE member = 1",), severity="note"),
    Case("soft deletes, as PrestaShop and Odoo", "customers", "soft_delete_ignored", "member.deleted", _column("member", "deleted", "INTEGER", "0", "1")),
    Case("abandoned orders, as OpenCart", "events", "status_ignored", "sale.order_status_id", _column("sale", "order_status_id", "INTEGER", "5", "0")),
    Case("unsigned points and a flag", "transactions", "sign_doubtful", "1 of 300 amounts", ("UPDATE entry SET kind = 'REDEMPTION' WHERE no = 1000",)),
    Case("issued and used in one row, as Odoo", "transactions", "half_sign_ignored", "entry.used", _column("entry", "used", "INTEGER", "0", "5")),
    Case("points with decimals, as Open Loyalty", "transactions", "fractional_points", "1 rows", ("UPDATE entry SET points = 6.9 WHERE no = 1000",), severity="note"),
    Case("formatted money, as PostgreSQL's type", "events", "not_a_number", "1 row in order__value", ("UPDATE sale SET total = '$12.34' WHERE no = 1000",)),
    Case("two currencies, as Magento and OpenCart", "events", "currency_ignored", "sale.currency_code", _column("sale", "currency_code", "TEXT", "'MXN'", "'USD'")),
    Case("refunds in columns, as Magento", "events", "refund_ignored", "sale.total_refunded", _column("sale", "total_refunded", "INTEGER", "0", "5"), severity="note"),
    Case("guests in a flag, as Magento and PrestaShop", "events", "guest_ignored", "sale.customer_is_guest", _column("sale", "customer_is_guest", "INTEGER", "0", "1"), severity="note"),
    Case("guests as customer 0, as OpenCart", "events", "guest_customer", "of customer '0'", ("UPDATE sale SET member = 0 WHERE no < 1004",)),
    Case("guests as NULL, as WooCommerce", "events", "missing_value", "1 row in customer_id", ("UPDATE sale SET member = NULL WHERE no = 1000",)),
    Case("a shared dummy customer", "events", "one_for_many", "one customer owns 810 of 1,100 events", spoil=_one_for_many),
    Case("zero dates, as WooCommerce and Magento", "events", "not_a_date", "(1 zero dates)", ("UPDATE sale SET sold = '0000-00-00 00:00:00' WHERE no = 1000",)),
    Case("a year alone", "customers", "not_a_date", "(1 a year alone)", ("UPDATE member SET joined = '1980' WHERE no = 1",)),
    Case("infinity", "customers", "not_a_date", "(1 infinity)", ("UPDATE member SET joined = 'infinity' WHERE no = 1",)),
    Case("dates without a time", "transactions", "date_only", "issued_at holds days without a time", ("UPDATE entry SET happened = date(happened)",), severity="note"),
    Case("several offsets, as Open Loyalty", "events", "mixed_offsets", "30 at 2:00:00", spoil=_mixed),
    Case("ahead of the clock", "transactions", "ahead_of_clock", "updated_at is ahead of the database's clock in 1 row", spoil=_future),
    Case("in the future", "transactions", "future_time", "issued_at lies more than a day in the future", spoil=_future),
    Case("local and UTC beside each other, as WooCommerce", "events", "utc_ignored", "sale.changed_gmt", _column("sale", "changed_gmt", "TEXT", "'x'", "'y'")),
    Case("codes that the contract lacks", "events", "unknown_code", "('Q' x 2, 'TARJETA' x 1)",
         ("UPDATE sale SET method = 'Q' WHERE no < 1002", "UPDATE sale SET method = 'TARJETA' WHERE no = 1002")),
    Case("rewards that are no UUID", "transactions", "not_a_uuid", "('gold' x 300)",
         files={"transactions.sql": TRANSACTIONS.replace("8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01", "gold")}),
    Case("PHP-serialised text, as WooCommerce's log", "transactions", "php_serialised", "details holds PHP-serialised text in 1 rows",
         ("""UPDATE entry SET note = 'a:1:{s:8:"order_id";i:5;}' WHERE no = 1000""",)),
    Case("PHP-serialised attributes", "customers", "not_json", "PHP-serialised",
         ("""UPDATE member SET name = 'a:1:{s:8:"order_id";i:5;}' WHERE no = 1""",),
         {"customers.sql": CUSTOMERS.replace("m.status AS status", "CASE m.no WHEN 1 THEN m.name END AS metadata")}),
    Case("another table prefix, as PrestaShop", "customers", "sql_fails", "no table 'ps_member'; did you mean 'member'",
         files={"customers.sql": CUSTOMERS.replace("FROM member", "FROM ps_member")}, severity="blocker"),
    Case("SQL of another dialect", "customers", "sql_fails", "run as it stands, on sqlite",
         files={"customers.sql": f"{CUSTOMERS} WHERE m.joined > now()::date"}, severity="blocker"),
    Case("several shops in one table", "customers", "brand_ignored", "member.shop_id", _column("member", "shop_id", "INTEGER", "1", "2"), severity="note"),
    Case("merged customers, in a column", "customers", "merged_ignored", "member.merged_into", _column("member", "merged_into", "INTEGER", "NULL", "2")),
    Case("merged customers, still in orders", "events", "customer_missing", "10 events of 1 customer that customers.sql does not have", ("DELETE FROM member WHERE no = 7",)),
    Case("expiry flags, as Magento", "transactions", "expiry_ignored", "entry.is_expired", _column("entry", "is_expired", "INTEGER", "0", "1")),
    Case("one person, several cards", "customers", "email_shared", "1 row in email", ("UPDATE member SET email = 'm1@example.com' WHERE no = 2",)),
    Case("one person, in capitals", "customers", "email_shared", "1 row in email", ("UPDATE member SET email = ' M1@EXAMPLE.com' WHERE no = 2",)),
    Case("a ledger that misses the balance", "transactions", "points_do_not_sum", "1 customer do not add up to their balance: 2.5 points too many",
         ("UPDATE entry SET points = 12.5 WHERE no = 1000",)),
    Case("a balance below zero", "customers", "negative_balance", "1 row in balance", ("UPDATE lot SET points = -5 WHERE member = 1",)),
    Case("text that is a money amount in all rows", "events", "no_row_goes", "none of all 300 rows",
         files={"events.sql": EVENTS.replace("s.total AS order__value", "'$1' AS order__value")}, severity="blocker"),
    Case("no rows at all", "events", "no_rows", "rights", ("DELETE FROM sale",)),
    Case("born before they joined the world", "customers", "odd_birth_date", "1 customers",
         files={"customers.sql": CUSTOMERS.replace("m.status AS status", "CASE m.no WHEN 1 THEN '2024-01-01' ELSE NULL END AS dob")}, severity="warning"),
    Case("an index that is missing on the key", "events", "index_missing", "CREATE INDEX sale_by_member ON sale (member)", ("DROP INDEX sale_member",)),
    Case("an index that is missing on the change time", "events", "index_missing", "CREATE INDEX sale_by_changed ON sale (changed)", ("DROP INDEX sale_changed",)),
    Case("an index that is missing on the lines", "events", "index_missing", "CREATE INDEX line_by_sale ON line (sale)", ("DROP INDEX line_sale",)),
    Case("a key that no index helps", "events", "index_impossible", "is no plain column",
         files={"events.order__products.sql": PRODUCTS.replace("l.sale AS", "l.sale + 0 AS")}, severity="note"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_shape_is_found_and_says_what_to_do(case, sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    shop = SoundShop(engine, tmp_path)
    shop.run(case.statements)
    if case.spoil:
        case.spoil(shop)
    found = shop.check(case.files, limits=case.limits)
    said = [one for one in found if (one.where, one.code) == (case.where, case.code) and case.words in one.sentence]
    assert len(said) == 1, "\n".join(map(str, found))
    assert said[0].severity == case.severity
    assert said[0].do or case.code == "long_keys"
    engine.dispose()


def test_every_case_is_silent_where_nothing_is_spoilt(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    found = {(one.where, one.code) for one in SoundShop(engine, tmp_path).check()}
    assert found & {(case.where, case.code) for case in CASES} == {("events", "lines_move_alone")}
    engine.dispose()


def test_codes_are_cut_after_twenty_and_what_is_no_code_is_not_shown(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    shop = SoundShop(engine, tmp_path)
    shop.run(["UPDATE member SET status = 'S' || no", "UPDATE sale SET method = 'ana' || no || '@example.com'"])
    found = {(one.where, one.code): one.sentence for one in shop.check() if one.code in ("unknown_code", "no_row_goes")}
    assert found["customers", "unknown_code"].count(" x 1") == 20
    assert "and 10 more" in found["customers", "unknown_code"]
    assert "200 or more different ones" in found["events", "unknown_code"]
    engine.dispose()


def test_a_query_that_takes_too_long_is_given_up_and_said(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400000000) SELECT max(i) FROM n"
    shop = SoundShop(engine, tmp_path)
    mapping = shop.mapping({"customers.sql": f"{CUSTOMERS} WHERE m.no < ({slow})"})
    found = list(check(mapping, engine, limits=Limits(), bounds=Bounds(None, 0.2)))
    assert {"cannot_be_read", "not_checked"} & {one.code for one in found if one.where in ("customers", "mapping")}
    assert ("events", "records") in {(one.where, one.code) for one in found}
    engine.dispose()


def test_a_question_about_all_rows_that_takes_too_long_is_a_note_and_the_sample_is_judged(postgres_url, tmp_path):
    engine = create_engine(postgres_url)
    shop = SoundShop(engine, tmp_path)
    shop.run(
        [
            "INSERT INTO member SELECT n, 'M', n || '@x.example', now(), 'ACTIVE', now() FROM generate_series(31, 40000) n",
            "ANALYZE member",
        ]
    )
    # Who asks about all rows waits at the last one; the first pages are read by the index.
    waits = "CASE WHEN m.no = 40000 THEN pg_sleep(60)::text ELSE '' END IS NOT NULL"
    mapping = shop.mapping({"customers.sql": f"{CUSTOMERS} WHERE {waits}"})
    found = list(check(mapping, engine, limits=Limits(), bounds=Bounds(200, 0.5)))
    engine.dispose()
    of = [one for one in found if one.where == "customers"]
    said = " ".join(one.matter for one in of if one.code == "not_checked")
    assert "whether keys are on more than one row: the legacy database (postgresql) gave up" in said
    assert "whether customers and times are written in one way: the legacy database (postgresql) gave up" in said
    assert "cannot_be_read" not in {one.code for one in of}
    assert any(one.code == "records" and "200" in one.matter for one in of)


@pytest.fixture
def engine(legacy_url):
    engine = create_engine(legacy_url)
    yield engine
    engine.dispose()


def test_a_missing_index_is_seen_on_every_dialect(engine, tmp_path):
    shop = SoundShop(engine, tmp_path)
    on = " ON sale" if engine.dialect.name == "mysql" else ""
    shop.run([f"DROP INDEX sale_changed{on}"])
    found = [one.do for one in shop.check() if one.code == "index_missing"]
    assert found == ["CREATE INDEX sale_by_changed ON sale (changed)"]


KEYS = {
    # PostgreSQL keeps apart what MariaDB takes for one; blanks are dropped on reading, whatever the
    # database thinks.
    "postgresql": {"keys_padded", "keys_by_case"},
    "mysql": {"keys_alike"},
    "sqlite": {"keys_padded", "keys_by_case"},
}


def test_keys_that_are_taken_for_one_are_counted_and_shown_by_shape_alone(engine, tmp_path):
    shop = SoundShop(engine, tmp_path, keys=String(40))
    at = NOON - timedelta(days=1)
    for number, key in enumerate(("Peña1", "peña1", "pena1", "Peña1 ")):
        shop.add(shop.member, no=key, name="x", email=f"p{number}@example.com", joined=at, status="ACTIVE", changed=at)
    found = {one.code: one for one in shop.check() if one.code.startswith("keys_")}
    assert KEYS[engine.dialect.name] <= found.keys()
    for one in found.values():
        assert "Aaaa9" in one.matter or "aaaa9" in one.matter
        assert "ena1" not in one.sentence


def test_a_column_of_sqlite_that_is_case_blind_is_seen(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    shop = SoundShop(engine, tmp_path, keys=String(40, collation="NOCASE"))
    shop.add(shop.member, no="m0001", name="x", email="x@example.com", joined=NOON, status="ACTIVE", changed=NOON)
    (found,) = [one for one in shop.check() if one.code == "keys_alike"]
    assert found.matter.startswith("2 values of id are only 1 key")
    engine.dispose()


def test_postgresql_money_and_quoted_names_are_understood(postgres_url, tmp_path):
    engine = create_engine(postgres_url)
    shop = SoundShop(engine, tmp_path)
    shop.run(
        [
            'CREATE TABLE "Kunde" AS SELECT * FROM member',
            'CREATE INDEX kunde_no ON "Kunde" (no)',
            "ALTER TABLE sale ALTER COLUMN total TYPE money USING total::money",
        ]
    )
    found = shop.check({"customers.sql": CUSTOMERS.replace("FROM member m", 'FROM "Kunde" m')})
    assert ("events", "no_row_goes") in {(one.where, one.code) for one in found}
    assert [one.do for one in found if one.code == "index_missing"] == [
        'CREATE INDEX "Kunde_by_changed" ON "Kunde" (changed)'
    ]
    engine.dispose()


@pytest.mark.parametrize("keys", [None, Numeric(20, 0), String(40)], ids=["numbers", "decimals", "text"])
def test_several_missing_customers_who_own_rows_are_counted_on_every_dialect(engine, tmp_path, keys):
    shop = SoundShop(engine, tmp_path, keys=keys)
    gone = [shop.key(number) for number in (7, 8, 9)]
    shop.run([f"DELETE FROM member WHERE no = {key!r}" for key in gone])
    # One of them owns most: a till, or somebody who was merged.
    sale = {"member": gone[0], "total": 1, "method": "CASH", "sold": NOON, "settled": NOON, "changed": NOON}
    shop.add_all(shop.sale, [{"no": 900_000 + number, **sale} for number in range(800)])
    line = {"pos": 1, "sku": "S", "qty": 1, "price": 1}
    shop.add_all(shop.line, [{"sale": 900_000 + number, **line} for number in range(800)])

    found = {(one.where, one.code): one for one in shop.check()}
    assert found["transactions", "customer_missing"].rows == 30
    assert "30 transactions of 3 customers" in found["transactions", "customer_missing"].matter
    assert found["events", "customer_missing"].rows == 830
    assert "830 events of 3 customers" in found["events", "customer_missing"].matter
    assert "810 of them to one" in found["events", "customer_missing"].matter
    assert "one customer owns 810 of 1,100 events" in found["events", "one_for_many"].matter


def test_numbers_and_text_in_one_column_of_keys_are_no_error(sqlite_url, tmp_path):
    engine = create_engine(sqlite_url)
    shop = SoundShop(engine, tmp_path)
    shop.run(
        [
            "UPDATE member SET no = 'M-7' WHERE no = 7",
            "UPDATE sale SET member = 'nobody' WHERE member = 8",
            "UPDATE entry SET no = 'E' || no WHERE no % 2",
            "DELETE FROM member WHERE no = 9",
        ]
    )
    found = {(one.where, one.code): one.rows for one in shop.check()}
    assert found["events", "customer_missing"] == 30
    assert ("events", "not_checked") not in found
    engine.dispose()
