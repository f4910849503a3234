"""
A small shop on a real database, with just enough in it to be read: members, receipts, their lines,
and points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Engine,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    insert,
)
from sqlalchemy.types import TypeEngine

from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.rows import Entity, UnreadableRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.source.reader import Found, Source
from tests import mapping_folder


EVENTS = """
SELECT r.member AS customer_id, r.no AS order__purchase_id, r.total AS order__value, r.note AS type, r.changed AS updated_at
FROM receipt r
"""
PRODUCTS = "SELECT l.no AS order__purchase_id, l.pos AS position, l.sku AS sku, l.qty AS amount FROM line l"
TRANSACTIONS = """
SELECT p.member AS customer_id, p.no AS transaction_id, p.amount AS amount, p.note AS details, p.changed AS updated_at FROM points p
"""
FILES: dict[str, str | bytes | None] = {
    "customers.sql": "SELECT m.no AS id, m.name AS name FROM member m",
    "events.sql": EVENTS,
    "events.order__products.sql": PRODUCTS,
    "transactions.sql": TRANSACTIONS,
}


class Shop:
    """Tables of a shop behind *engine*; keys are text, or 64-bit numbers if *numbered*."""

    def __init__(self, engine: Engine, folder: Path, *, numbered: bool = False) -> None:
        self.engine = engine
        self._folder = folder
        key: TypeEngine[Any] = BigInteger() if numbered else String(40)
        metadata = MetaData()
        self.members = Table("member", metadata, Column("no", key), Column("name", String(40)))
        self.receipts = Table(
            "receipt",
            metadata,
            Column("no", key),
            Column("member", key),
            Column("total", Numeric(12, 2)),
            Column("note", String(40)),
            Column("changed", DateTime),
        )
        self.lines = Table(
            "line",
            metadata,
            Column("no", key),
            Column("pos", Integer),
            Column("sku", String(40)),
            Column("qty", Integer),
        )
        self.points = Table(
            "points",
            metadata,
            Column("no", key),
            Column("member", key),
            Column("amount", Numeric(12, 2)),
            Column("note", String(40)),
            Column("changed", DateTime),
        )
        metadata.create_all(engine)

    def add(self, table: Table, rows: Iterable[dict[str, Any]]) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(table), list(rows))

    def add_receipts(self, places: Sequence[tuple[Any, Any]], *, changed: datetime | None = None) -> None:
        """Add a receipt for each (customer, key)."""
        self.add(self.receipts, ({"member": member, "no": no, "total": 5, "changed": changed} for member, no in places))

    def stock(self, count: int) -> None:
        """Add *count* receipts, 000 and up, four to a customer, with a line each."""
        self.add_receipts([(f"C{number // 4}", f"{number:03}") for number in range(count)])
        self.add(self.lines, ({"no": f"{number:03}", "pos": 1, "sku": "A", "qty": number} for number in range(count)))

    def run(self, *statements: str) -> None:
        with self.engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def mapping(self, **files: str) -> Mapping:
        """
        Return the shop's mapping; *files* are SQL by name without its ending, dots as ``__of__``.
        """
        named = {f"{name.replace('__of__', '.')}.sql": sql for name, sql in files.items()}
        return mapping_folder.mapping(self._folder, {**FILES, **named})

    def legacy(self, entity: Entity = Entity.EVENTS, **files: str) -> Source:
        return Source(self.engine, self.mapping(**files), entity)


def everything(entity: Entity) -> Slice:
    return Slice.everything(entity)


def pages(legacy: Source, part: Slice | None = None, window: Window | None = None) -> list[list[Found]]:
    return list(legacy.pages(part or everything(legacy.entity), window or Window()))


def place(legacy: Source, row: Found) -> tuple[Any, Any]:
    """Return (customer, key) of *row*."""
    if isinstance(row, UnreadableRow):
        return row.customer, row.key
    key = {"customers": "id", "events": "order__purchase_id", "transactions": "transaction_id"}[legacy.entity]
    customer = "id" if legacy.entity is Entity.CUSTOMERS else "customer_id"
    return row.values[legacy.columns.index(customer)], row.values[legacy.columns.index(key)]


def places(legacy: Source, found: list[list[Found]]) -> list[tuple[Any, Any]]:
    return [place(legacy, row) for page in found for row in page]
