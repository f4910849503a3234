"""
A small shop in which nothing is wrong, on a real database: what a test spoils is all that a check
may find.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Engine,
    Index,
    MetaData,
    Numeric,
    String,
    Table,
    insert,
)

from masivo_engine.checks.check import check
from masivo_engine.checks.finding import Finding
from masivo_engine.checks.questions import Bounds
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.limits import Limits
from tests import mapping_folder


REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"
CUSTOMERS = """
SELECT m.no AS id, m.name AS name, m.email AS email, m.joined AS registration_date, m.status AS status, m.changed AS updated_at
FROM member m
"""
BALANCE = (
    f"SELECT l.member AS customer_id, '{REWARD}' AS reward_id, l.points AS amount, l.expires AS expiration_date FROM"
    " lot l"
)
EVENTS = """
SELECT s.member AS customer_id, s.no AS order__purchase_id, 'PURCHASE' AS type, NULL AS brand_id, 1 AS fulfilled,
    s.total AS order__value, s.total AS order__discounted_value, s.method AS order__payment_method,
    s.sold AS issued_at, s.settled AS resolved_at, s.changed AS updated_at
FROM sale s
"""
PRODUCTS = (
    "SELECT l.sale AS order__purchase_id, l.pos AS position, l.sku AS sku, l.qty AS amount, l.price AS value FROM"
    " line l"
)
TRANSACTIONS = f"""
SELECT e.member AS customer_id, e.no AS transaction_id, '{REWARD}' AS reward_id, e.note AS details, e.kind AS type,
    e.points AS amount, e.happened AS issued_at, e.happened AS resolved_at, e.changed AS updated_at
FROM entry e
"""
SOUND = {
    "customers.sql": CUSTOMERS,
    "customers.balance.sql": BALANCE,
    "events.sql": EVENTS,
    "events.order__products.sql": PRODUCTS,
    "transactions.sql": TRANSACTIONS,
}
NOON = datetime(2023, 6, 15, 12)  # noqa: DTZ001 (naive, as the shop writes it)
MEMBERS = 30


class SoundShop:
    """
    Thirty members, each with ten sales and as many points as entries say; *keys* is the type of
    every key.
    """

    def __init__(self, engine: Engine, folder: Path, *, keys: Any = None) -> None:
        self.engine = engine
        self._folder = folder
        key = keys or BigInteger()
        self.is_text = isinstance(key, String)
        tables = MetaData()
        self.member = Table(
            "member", tables, Column("no", key), Column("name", String(60)), Column("email", String(80)),
            Column("joined", DateTime), Column("status", String(10)), Column("changed", DateTime),
        )  # fmt: skip
        self.lot = Table(
            "lot", tables, Column("member", key), Column("points", Numeric(12, 2)), Column("expires", DateTime)
        )
        self.sale = Table(
            "sale", tables, Column("no", BigInteger), Column("member", key), Column("total", Numeric(12, 4)),
            Column("method", String(10)), Column("sold", DateTime), Column("settled", DateTime), Column("changed", DateTime),
        )  # fmt: skip
        self.line = Table(
            "line", tables, Column("sale", BigInteger), Column("pos", BigInteger), Column("sku", String(20)),
            Column("qty", Numeric(12, 3)), Column("price", Numeric(12, 4)),
        )  # fmt: skip
        self.entry = Table(
            "entry", tables, Column("no", BigInteger), Column("member", key), Column("kind", String(20)),
            Column("points", Numeric(12, 2)), Column("note", String(80)), Column("happened", DateTime),
            Column("changed", DateTime),
        )  # fmt: skip
        for table, names in (
            (self.member, ("no", "changed")), (self.lot, ("member",)), (self.line, ("sale",)),
            (self.sale, ("no", "member", "changed")), (self.entry, ("no", "member", "changed")),
        ):  # fmt: skip
            for name in names:
                Index(f"{table.name}_{name}", table.c[name])
        tables.create_all(engine)
        rows: dict[Table, list[dict[str, Any]]] = {}
        for number in range(1, MEMBERS + 1):
            for table, row in self._stock(number):
                rows.setdefault(table, []).append(row)
        with engine.begin() as connection:
            for table, some in rows.items():
                connection.execute(insert(table), some)

    def key(self, number: int) -> Any:
        """Return the key of member *number*."""
        return f"M{number:04}" if self.is_text else number

    def _stock(self, number: int) -> Iterator[tuple[Table, dict[str, Any]]]:
        member, at = self.key(number), NOON + timedelta(minutes=number)
        email = f"m{number}@example.com"
        yield (
            self.member,
            {"no": member, "name": f"M {number}", "email": email, "joined": at, "status": "ACTIVE", "changed": at},
        )
        yield (
            self.lot,
            {"member": member, "points": 100, "expires": datetime.now(UTC).replace(tzinfo=None) + timedelta(days=90)},
        )
        for turn in range(10):
            no, sold = number * 1000 + turn, at + timedelta(days=turn, hours=turn % 8 - 3, minutes=7 * turn)
            times = {"sold": sold, "settled": sold + timedelta(minutes=3), "changed": sold + timedelta(minutes=4)}
            yield self.sale, dict(no=no, member=member, total=20.5, method="CASH", **times)
            yield self.line, {"sale": no, "pos": 1, "sku": f"S{turn}", "qty": 1, "price": 10.25}
            yield self.line, {"sale": no, "pos": 2, "sku": f"T{turn}", "qty": 2, "price": 10.25}
            entry = {"note": f"sale {no}", "happened": sold, "changed": times["changed"]}
            yield self.entry, dict(no=no, member=member, kind="ACCUMULATION", points=10, **entry)

    def add(self, table: Table, **row: Any) -> None:
        """Insert one row."""
        self.add_all(table, [row])

    def add_all(self, table: Table, rows: list[dict[str, Any]]) -> None:
        """Insert *rows*."""
        with self.engine.begin() as connection:
            connection.execute(insert(table), rows)

    def run(self, statements: Iterable[str]) -> None:
        """Spoil something."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def mapping(self, files: dict[str, str | bytes | None] | None = None) -> Mapping:
        """Return the shop's mapping; *files* replace or add to its files."""
        return mapping_folder.mapping(self._folder / "mapping", {**SOUND, **(files or {})})

    def check(
        self,
        files: dict[str, str | bytes | None] | None = None,
        *,
        rows: int | None = None,
        limits: Limits | None = None,
    ) -> list[Finding]:
        """Check all of it."""
        bounds = Bounds(rows, 30.0)
        return list(check(self.mapping(files), self.engine, limits=limits or Limits(), bounds=bounds))


def codes(findings: Iterable[Finding]) -> set[tuple[str, str]]:
    """Return (severity, code) of all that is more than a note."""
    return {(str(found.severity), found.code) for found in findings if found.severity != "note"}
