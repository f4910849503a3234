"""
The legacy shape that the real purchases are given: a grocer's till system without customer data.

Money is integer cents in four columns, a receipt has no total of its own and is known by shop and
basket together, a coupon redemption has no key and only a date, 17 products that were sold have no
row. Times are naive, and UTC.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, DateTime, Index, Integer, MetaData, SmallInteger, String, Table

from masivo_engine.samples.bulk import MYSQL_OPTIONS


COMPLETE_JOURNEY = MetaData()

HOUSEHOLD = Table(
    "household",
    COMPLETE_JOURNEY,
    Column("household_id", Integer, primary_key=True, autoincrement=False),
    Column("enrolled_at", DateTime, nullable=False),
    Column("age_band", String(20)),
    Column("income_band", String(20)),
    Column("home_ownership", String(20)),
    Column("marital_status", String(20)),
    Column("household_size", String(20)),
    Column("household_comp", String(20)),
    Column("kids_count", String(20)),
    Column("changed_at", DateTime, nullable=False),
    **MYSQL_OPTIONS,
)

PRODUCT = Table(
    "product",
    COMPLETE_JOURNEY,
    Column("product_id", Integer, primary_key=True, autoincrement=False),
    Column("manufacturer_id", Integer, nullable=False),
    Column("department", String(40), nullable=False),
    Column("brand", String(20), nullable=False),
    Column("product_category", String(40)),
    Column("product_type", String(40)),
    Column("package_size", String(20)),
    **MYSQL_OPTIONS,
)

POS_RECEIPT = Table(
    "pos_receipt",
    COMPLETE_JOURNEY,
    Column("store_no", Integer, primary_key=True, autoincrement=False),
    Column("basket_id", BigInteger, primary_key=True, autoincrement=False),
    Column("household_id", Integer, nullable=False),
    Column("sold_at", DateTime, nullable=False),
    Index("pos_receipt_by_household", "household_id", "basket_id"),
    Index("pos_receipt_by_basket", "basket_id"),
    Index("pos_receipt_by_time", "sold_at"),
    **MYSQL_OPTIONS,
)

POS_RECEIPT_LINE = Table(
    "pos_receipt_line",
    COMPLETE_JOURNEY,
    Column("basket_id", BigInteger, nullable=False),
    Column("line_no", SmallInteger, nullable=False),
    Column("product_id", Integer, nullable=False),
    Column("qty", Integer, nullable=False),
    Column("sales_cents", Integer, nullable=False),
    Column("retail_disc_cents", Integer, nullable=False),
    Column("coupon_disc_cents", Integer, nullable=False),
    Column("match_disc_cents", Integer, nullable=False),
    Index("pos_receipt_line_by_basket", "basket_id", "line_no"),
    **MYSQL_OPTIONS,
)

COUPON_REDEMPTION = Table(
    "coupon_redemption",
    COMPLETE_JOURNEY,
    Column("household_id", Integer, nullable=False),
    Column("coupon_upc", BigInteger, nullable=False),
    Column("campaign_id", SmallInteger, nullable=False),
    Column("redeemed_on", Date, nullable=False),
    **MYSQL_OPTIONS,
)

POINTS_LEDGER = Table(
    "points_ledger",
    COMPLETE_JOURNEY,
    Column("entry_id", BigInteger, primary_key=True, autoincrement=False),
    Column("household_id", Integer, nullable=False),
    Column("kind", String(1), nullable=False),
    Column("points", Integer, nullable=False),
    Column("basket_id", BigInteger),
    Column("reason", String(40), nullable=False),
    Column("booked_at", DateTime, nullable=False),
    Index("points_ledger_by_household", "household_id", "entry_id"),
    Index("points_ledger_by_time", "booked_at"),
    **MYSQL_OPTIONS,
)

POINTS_LOT = Table(
    "points_lot",
    COMPLETE_JOURNEY,
    Column("household_id", Integer, primary_key=True, autoincrement=False),
    Column("expires_at", DateTime, primary_key=True, autoincrement=False),
    Column("earned_from", DateTime, nullable=False),
    Column("points", Integer, nullable=False),
    **MYSQL_OPTIONS,
)
