"""
The invented retailer's legacy schema: a till system, a web shop and a loyalty club that grew
together over the years.

Its habits, all of which real systems have:

* money is integer cents, points are unsigned and a letter says which way they go, an expiry is a
  row of its own;
* times are naive and local to America/Mexico_City, which changed its clocks until October 2022;
* gender, status, tier, channel, payment method and purse are codes; shop numbers have leading
  zeros;
* e-mail addresses stand in a table of contacts; birth dates are text; free attributes are JSON in a
  text column;
* receipts and ledger entries came in by file: nothing declares their keys unique, and nothing has a
  foreign key;
* ``changed_at`` of a member is touched by whatever changes the member, its contacts or its points,
  that of a receipt by its lines and payments.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    DateTime,
    Double,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)

from masivo_engine.samples.bulk import MYSQL_OPTIONS


RETAILER = MetaData()

TIER = Table(
    "tier",
    RETAILER,
    Column("tier_code", String(3), primary_key=True),
    Column("tier_name", String(40), nullable=False),
    Column("entry_points", Integer, nullable=False),
    **MYSQL_OPTIONS,
)

SHOP = Table(
    "shop",
    RETAILER,
    Column("shop_no", String(4), primary_key=True),
    Column("brand_code", String(2), nullable=False),
    Column("shop_name", String(60), nullable=False),
    **MYSQL_OPTIONS,
)

MEMBER = Table(
    "member",
    RETAILER,
    Column("member_no", Integer, primary_key=True, autoincrement=False),
    Column("first_name", String(60)),
    Column("last_name", String(60)),
    Column("gender_code", SmallInteger),
    Column("birth_date", String(10)),
    Column("status", String(1)),
    Column("tier_code", String(3)),
    Column("home_shop_no", String(4)),
    Column("joined_at", DateTime, nullable=False),
    Column("club_since", DateTime, nullable=False),
    Column("last_visit_at", DateTime),
    Column("visit_count", Integer, nullable=False),
    Column("spend_cents", BigInteger, nullable=False),
    Column("extra_json", Text),
    Column("changed_at", DateTime, nullable=False),
    Index("member_by_change", "changed_at"),
    **MYSQL_OPTIONS,
)

MEMBER_CONTACT = Table(
    "member_contact",
    RETAILER,
    Column("contact_no", BigInteger, primary_key=True, autoincrement=False),
    Column("member_no", Integer, nullable=False),
    Column("kind", String(1), nullable=False),
    Column("contact_value", String(160), nullable=False),
    Column("is_primary", SmallInteger, nullable=False),
    Index("contact_by_member", "member_no", "kind"),
    **MYSQL_OPTIONS,
)

RECEIPT = Table(
    "receipt",
    RETAILER,
    Column("receipt_no", BigInteger),
    Column("member_no", Integer),
    Column("shop_no", String(4)),
    Column("channel", String(1), nullable=False),
    Column("sold_at", DateTime, nullable=False),
    Column("settled_at", DateTime),
    Column("total_cents", Integer, nullable=False),
    Column("discount_cents", Integer, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Index("receipt_by_number", "receipt_no"),
    Index("receipt_by_member", "member_no", "receipt_no"),
    Index("receipt_by_change", "changed_at"),
    **MYSQL_OPTIONS,
)

RECEIPT_LINE = Table(
    "receipt_line",
    RETAILER,
    Column("receipt_no", BigInteger, nullable=False),
    Column("line_no", SmallInteger, nullable=False),
    Column("sku", String(12), nullable=False),
    Column("item_name", String(60), nullable=False),
    Column("quantity", Double),
    Column("gross_cents", Integer),
    Column("discount_cents", Integer, nullable=False),
    Index("line_by_receipt", "receipt_no", "line_no"),
    **MYSQL_OPTIONS,
)

PAYMENT = Table(
    "payment",
    RETAILER,
    Column("receipt_no", BigInteger, nullable=False),
    Column("seq_no", SmallInteger, nullable=False),
    Column("method_code", String(2), nullable=False),
    Column("paid_cents", Integer, nullable=False),
    Index("payment_by_receipt", "receipt_no", "seq_no"),
    **MYSQL_OPTIONS,
)

POINTS_LEDGER = Table(
    "points_ledger",
    RETAILER,
    Column("entry_no", BigInteger),
    Column("member_no", Integer),
    Column("purse", String(1), nullable=False),
    Column("kind", String(1), nullable=False),
    Column("points", Integer),
    Column("cost_cents", Integer, nullable=False),
    Column("receipt_no", BigInteger),
    Column("shop_no", String(4)),
    Column("reason", String(80), nullable=False),
    Column("booked_at", DateTime, nullable=False),
    Column("effective_at", DateTime, nullable=False),
    Column("changed_at", DateTime, nullable=False),
    Index("entry_by_number", "entry_no"),
    Index("entry_by_member", "member_no", "entry_no"),
    Index("entry_by_change", "changed_at"),
    **MYSQL_OPTIONS,
)

POINTS_LOT = Table(
    "points_lot",
    RETAILER,
    Column("member_no", Integer, primary_key=True, autoincrement=False),
    Column("lot_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("purse", String(1), nullable=False),
    Column("points", Integer, nullable=False),
    Column("granted_at", DateTime, nullable=False),
    Column("expires_on", Date),
    **MYSQL_OPTIONS,
)
