"""
Small hand-made shops in the real schemas of real systems, and what a migration made of every row of
theirs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import Engine, create_engine, make_url, text

from masivo_engine.mapping.aliases import KEY
from masivo_engine.model.rows import Entity, LegacyRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.reports.account import Account
from masivo_engine.source.reader import Source
from tests import told
from tests.whole_migration import UNHURRIED, Trip


SCHEMAS = Path(__file__).parent / "schemas"

Table = tuple[str, Sequence[tuple[Any, ...]]]  # the columns, and rows of them


_REWARDS = {
    "woocommerce": "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1d01",
    "opencart": "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1e01",
    "prestashop": "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1a01",
}


def account_of(mapping: str) -> dict[str, Any]:
    """
    Return the sandbox's options for an account that was set up for *mapping*: its reward exists.
    """
    return {**UNHURRIED, "rewards": {_REWARDS[mapping]: "Points"}}


def build(url: str, name: str, tables: Mapping[str, Table]) -> None:
    """Create the tables of the schema *name* in the empty database at *url*, and fill *tables*."""
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            if engine.dialect.name in {"mysql", "mariadb"}:
                connection.execute(text("SET SESSION sql_mode = ''"))  # as old shops run: zero dates are taken
            for statement in (SCHEMAS / f"{name}.sql").read_text().split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)
            for table, (columns, rows) in tables.items():
                _fill(connection, table, columns.split(), rows)
    finally:
        engine.dispose()


def strictly(url: str) -> str:
    """Return *url* with the SQL modes of MySQL 8, which refuse what MariaDB lets pass."""
    modes = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO"
    query = {"init_command": f"SET SESSION sql_mode = '{modes}'"}
    return make_url(url).update_query_dict(query).render_as_string(hide_password=False)


def read(engine: Engine, sql: str) -> list[dict[str, Any]]:
    """Return the rows of *sql*."""
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(text(sql)).mappings()]


def fates(trip: Trip) -> dict[Entity, dict[str, str]]:
    """
    Return by entity and key what the ledger says of each row: its state, and what reason and column
    it has.
    """
    found: dict[Entity, dict[str, str]] = {entity: {} for entity in Entity}
    for row in told.told(trip.place.ledger_engine):
        words = (row.state, row.reason, row.column) if row.state != "delivered" else (row.state,)
        assert row.key not in found[Entity(row.entity)], "two rows of one key"
        found[Entity(row.entity)][row.key] = " ".join(filter(None, words))
    return found


def states(made: Account, entity: Entity) -> Counter[str]:
    """Return the rows of *entity* in the account *made*, by state."""
    return Counter(next(one.states for one in made.entities if one.entity is entity))


def keys(legacy: Source, window: Window) -> set[Any]:
    """Return the keys of the rows that *window* selects, as the database gives them."""
    key = legacy.columns.index(KEY[legacy.entity])
    everywhere = Slice.everything(legacy.entity)
    found = (row for page in legacy.pages(everywhere, window) for row in page)
    return {row.values[key] for row in found if isinstance(row, LegacyRow)}


def payloads(trip: Trip, entity: Entity) -> dict[str, Any]:
    """
    Return what was sent of *entity* by its key: a customer, an event by its order, a customer's
    list of transactions.
    """
    found: dict[str, Any] = {}
    for sent_entity, body in trip.api.bodies:
        if sent_entity is entity:
            for customer in orjson.loads(body)["customers"]:
                found |= dict(_records(entity, customer))
    return found


def _records(entity: Entity, customer: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    if entity is Entity.EVENTS:
        return [(event["order"]["purchase_id"], event) for event in customer["events"]]
    if entity is Entity.TRANSACTIONS:
        return [(customer["id"], customer["transactions"])]
    return [(customer["id"], customer)]


def _fill(connection: Any, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    names = ", ".join(columns)
    places = ", ".join(f":c{number}" for number in range(len(columns)))
    statement = text(f"INSERT INTO {table} ({names}) VALUES ({places})")
    for row in rows:
        assert len(row) == len(columns), (table, row)
        connection.execute(statement, {f"c{number}": value for number, value in enumerate(row)})
