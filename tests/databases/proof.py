"""
A tiny retailer whose truth is known by key.

`stock` fills a database and returns what must become of every row: written down beside the row, in
the API's own words, without asking any of the pipeline's modules. The mapping is `MAPPING`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import Column, DateTime, Engine, Integer, MetaData, String, Table, insert
from sqlalchemy.dialects import mysql


MAPPING = str(Path(__file__).parents[1] / "proof" / "mapping")
REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"
BOGOTA_BEHIND_UTC = timedelta(hours=5)  # all year round

# What a leak would show: every name and address of the shop holds it, and nothing else does.
MARK = "planted"

CUSTOMERS, EVENTS, TRANSACTIONS = "customers", "events", "transactions"
ENTITIES = (CUSTOMERS, EVENTS, TRANSACTIONS)

metadata = MetaData()
_Key = String(40).with_variant(mysql.VARCHAR(40, collation="utf8mb4_bin"), "mysql", "mariadb")

member = Table(
    "member",
    metadata,
    Column("id", _Key),  # no primary key: a legacy table may hold a row twice
    Column("name", String(80)),
    Column("email", String(80)),
    Column("joined_at", DateTime),
    Column("purchases", Integer),
    Column("changed_at", DateTime),
)
lot = Table("lot", metadata, Column("member_id", _Key), Column("position", Integer), Column("points", Integer))
sale = Table(
    "sale",
    metadata,
    Column("id", _Key),
    Column("member_id", _Key),
    Column("cents", Integer),
    Column("sold_at", DateTime),
    Column("changed_at", DateTime),
)
sale_line = Table(
    "sale_line",
    metadata,
    Column("sale_id", _Key),
    Column("position", Integer),
    Column("sku", String(20)),
    Column("cents", Integer),
)
booking = Table(
    "booking",
    metadata,
    Column("id", _Key),
    Column("member_id", _Key),
    Column("kind", String(20)),
    Column("points", Integer),
    Column("booked_at", DateTime),
    Column("changed_at", DateTime),
)


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What must become of one legacy row: *payload* goes to the API, unless there is a *reason* why it
    must not.

    *points* is what a transaction moves. *behind* is the key of a row that goes before this one:
    where the API has not taken that one, this one may go in its place.
    """

    customer: str
    payload: Mapping[str, Any]
    reason: str = ""
    points: Decimal = Decimal(0)
    behind: str = ""

    @property
    def goes(self) -> bool:
        """Whether the row must reach the API, if nothing prevents it."""
        return not self.reason


Truth = dict[str, dict[str, Fate]]


def stock(engine: Engine, *, customers: int = 40, seed: int = 0) -> Truth:
    """Fill the empty database behind *engine*; return the truth by entity and key."""
    metadata.create_all(engine)
    shop = _Shop(random.Random(seed))
    for number in range(1, customers + 1):
        shop.add_member(number, is_heavy=number == 7)
    shop.add_dirt(customers)
    with engine.begin() as connection:
        for table, rows in shop.rows.items():
            connection.execute(insert(metadata.tables[table]), rows)
    return shop.truth


def stock_clean(engine: Engine, *, customers: int) -> None:
    """Fill the shop with *customers* without its planted dirt: every row goes."""
    metadata.create_all(engine)
    made = _Shop(random.Random(4))
    for number in range(1, customers + 1):
        made.add_member(number, is_heavy=False)
    with engine.begin() as connection:
        for name, rows in made.rows.items():
            connection.execute(insert(metadata.tables[name]), rows)


def instant(local: datetime) -> str:
    """Write a local time of the shop the way the API wants it."""
    return (local + BOGOTA_BEHIND_UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


class _Shop:
    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in metadata.tables}
        self.truth: Truth = {entity: {} for entity in ENTITIES}

    def add_member(self, number: int, *, is_heavy: bool) -> None:
        """Add a customer with its purchases and points; a heavy one fills several requests."""
        member_id = f"C{number:03}"
        sales = 45 if is_heavy else self._dice.choice((0, 1, 1, 2, 3, 5))
        bookings = 9 if is_heavy else self._dice.choice((0, 1, 2, 3, 5))
        moves = [self._dice.choice((5, 10, 25, -5)) for _ in range(bookings)]
        if sum(moves) < 0:
            moves[0] += 40
        # Some legacy counters say exactly what the events will add up to: then a read-back cannot
        # tell them apart.
        purchases = self._dice.choice((sales, 0, sales + 3, 1))
        self._member(member_id, purchases, [sum(moves)] if bookings else [])
        for place in range(sales):
            self._sale(f"S{number:03}-{place:02}", member_id)
        for place, points in enumerate(moves):
            self._booking(f"T{number:03}-{place:02}", member_id, points)

    def add_dirt(self, number: int) -> None:
        """Add rows that must not go, each for a reason of its own."""
        self._member("X1", 1, [], email=f"{MARK}.broken", reason="email_malformed")
        self._sale("SX1", "X1", reason="customer_quarantined")
        self._member("X2", 1, [], email=f"{MARK}.{number}@shop.invalid", name=f"{MARK} twin")
        # An address belongs to the lowest place that can go, so this one goes only if the API
        # refuses the other.
        twin = {"email": f"{MARK}.{number}@shop.invalid", "name": f"{MARK} twin", "behind": "X2"}
        self._member("X3", 1, [], reason="email_shared", **twin)
        self._sale("SX2", "nobody", reason="customer_missing")
        self._sale("SX3", "C001", lines=0, reason="empty_list")
        self._member("X4", 0, [100])
        self._booking("TX4", "X4", 99, reason="points_do_not_sum")
        self._member("X5", 0, [15])
        self._booking("TX5-1", "X5", 5, reason="sibling_not_sendable")
        self._booking("TX5-2", "X5", 10, kind="GIFT", reason="unknown_code")

    def _member(
        self,
        member_id: str,
        purchases: int,
        lots: list[int],
        *,
        name: str = "",
        email: str = "",
        reason: str = "",
        behind: str = "",
    ) -> None:
        name, email = name or f"{MARK} {member_id}", email or f"{MARK}.{member_id}@shop.invalid"
        joined = self._moment(2019)
        row = {"id": member_id, "name": name, "email": email, "joined_at": joined, "purchases": purchases}
        self.rows["member"].append({**row, "changed_at": joined})
        self.rows["lot"] += [{"member_id": member_id, "position": n, "points": p} for n, p in enumerate(lots)]
        payload = {
            "id": member_id,
            "name": name,
            "email": email,
            "registration_date": instant(joined),
            "balance": [{"reward_id": REWARD, "amount": points} for points in lots],
            "metrics": {"lifetime": {"number_of_purchases": purchases}},
        }
        self.truth[CUSTOMERS][member_id] = Fate(member_id, payload, reason, behind=behind)

    def _sale(self, sale_id: str, member_id: str, *, lines: int = 2, reason: str = "") -> None:
        sold = self._moment(2023)
        cents = [self._dice.randrange(5, 20_000, 5) for _ in range(lines)]
        row = {"id": sale_id, "member_id": member_id, "cents": sum(cents), "sold_at": sold, "changed_at": sold}
        self.rows["sale"].append(row)
        self.rows["sale_line"] += [
            {"sale_id": sale_id, "position": n, "sku": f"SKU{n}", "cents": c} for n, c in enumerate(cents)
        ]
        order = {
            "purchase_id": sale_id,
            "value": sum(cents) / 100,
            "discounted_value": sum(cents) / 100,
            "payment_method": "CASH",
            "products": [{"sku": f"SKU{n}", "amount": 1, "value": c / 100} for n, c in enumerate(cents)],
        }
        payload = {
            "type": "PURCHASE",
            "brand_id": "B1",
            "order": order,
            "fulfilled": True,
            "issued_at": instant(sold),
            "resolved_at": instant(sold),
        }
        self.truth[EVENTS][sale_id] = Fate(member_id, payload, reason)

    def _booking(
        self, booking_id: str, member_id: str, points: int, *, kind: str = "ACCUMULATION", reason: str = ""
    ) -> None:
        booked = self._moment(2024)
        if booking_id.endswith("-00"):
            booked = datetime(2023, 12, 31, 22)  # noqa: DTZ001 (legacy times are naive) - in UTC that is the next year
        row = {"id": booking_id, "member_id": member_id, "kind": kind, "points": points}
        self.rows["booking"].append({**row, "booked_at": booked, "changed_at": booked})
        payload = {
            "reward_id": REWARD,
            "details": booking_id,
            "type": kind,
            "amount": points,
            "issued_at": instant(booked),
            "resolved_at": instant(booked),
        }
        self.truth[TRANSACTIONS][booking_id] = Fate(member_id, payload, reason, Decimal(points))

    def _moment(self, year: int) -> datetime:
        return datetime(year, 1, 1) + timedelta(minutes=self._dice.randrange(500_000))  # noqa: DTZ001 (legacy times are naive)


def going(truth: Truth, entity: str) -> Iterator[tuple[str, Fate]]:
    """Yield the rows of *entity* that must reach the API."""
    return ((key, fate) for key, fate in truth[entity].items() if fate.goes)
