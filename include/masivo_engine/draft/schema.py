"""
What a database shows of itself: tables and views that can be read, with columns, keys and foreign
keys.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Inspector, TableClause, inspect, quoted_name, select, table, text, types
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import SAWarning, SQLAlchemyError

from masivo_engine.source.database import Database
from masivo_engine.sql import REFUSALS


class Family(StrEnum):
    """What kind of values a column holds, as far as its type says."""

    NUMBER = "number"
    TEXT = "text"
    MOMENT = "moment"
    DAY = "day"
    FLAG = "flag"
    CODE = "code"  # one of a list that the database keeps
    UUID = "uuid"
    BYTES = "bytes"
    ANY = "any"  # SQLite's columns without a type
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    name: str
    family: Family


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key of one column: it holds the *target* of a row of the table *of*."""

    column: str
    of: tuple[str | None, str]  #: schema and table, as `Table.place`
    target: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table or view that can be read; *schema* is None for the one that needs no name."""

    schema: str | None
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()  #: its primary key, or a unique index where it has none
    references: tuple[Reference, ...] = ()

    @property
    def place(self) -> tuple[str | None, str]:
        """By what others refer to it."""
        return self.schema, self.name

    @property
    def only_key(self) -> str:
        """The column that is the whole key; empty where it has several or none."""
        return self.key[0] if len(self.key) == 1 else ""


# In these a connection sees the schemas of its own database; elsewhere a schema is another
# database, or another person's.
_WITH_SCHEMAS = {
    "postgresql": frozenset({"information_schema"}),
    "mssql": frozenset({"INFORMATION_SCHEMA", "sys", "guest"}),
}


def tables(engine: Engine) -> list[Table]:
    """
    Return what can be read, by name.

    What the database does not show or hand out is left out. Raises `LegacyError` if it cannot be
    reached.
    """
    database = Database(engine)
    found: list[Table] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SAWarning)  # of types that SQLAlchemy does not know
        inspector = inspect(engine)
        for schema in _schemas(inspector, engine.dialect.name):
            for name in _names(inspector, schema):
                with suppress(SQLAlchemyError, *REFUSALS):
                    found.append(_table(inspector, schema, name, _columns(database, schema, name)))
    return sorted((one for one in found if one.columns), key=lambda one: (one.schema or "", one.name))


def rows_of(schema: str | None, name: str) -> TableClause:
    """Return the table as SQLAlchemy has it, by a name in quotes: a name may be any word."""
    return table(quoted_name(name, quote=True), schema=quoted_name(schema, quote=True) if schema else None)


def _columns(database: Database, schema: str | None, name: str) -> list[str]:
    """Return the columns that the database hands out, as it calls them; raises if it does not."""
    with database.reading() as connection:
        return list(
            connection.execute(select(text("*")).select_from(rows_of(schema, name)).where(text("1 = 0"))).keys()
        )


def _schemas(inspector: Inspector, dialect: str) -> Iterator[str | None]:
    yield None
    if dialect in _WITH_SCHEMAS:
        others = {*inspector.get_schema_names()} - _WITH_SCHEMAS[dialect] - {inspector.default_schema_name}
        yield from sorted(name for name in others if not name.startswith(("pg_", "db_")))


def _names(inspector: Inspector, schema: str | None) -> list[str]:
    names = {*inspector.get_table_names(schema)}
    for more in (inspector.get_view_names, inspector.get_materialized_view_names):
        with suppress(SQLAlchemyError, NotImplementedError):
            names |= {*more(schema)}
    return sorted(names)


def _table(inspector: Inspector, schema: str | None, name: str, handed_out: list[str]) -> Table:
    of_none = Family.ANY if inspector.dialect.name == "sqlite" else Family.OTHER
    kinds = {one["name"]: _family(one["type"], of_none) for one in inspector.get_columns(name, schema)}
    columns = tuple(Column(one, kinds.get(one, Family.OTHER)) for one in handed_out)
    key: tuple[str, ...] = ()
    references: list[Reference] = []
    with suppress(SQLAlchemyError, NotImplementedError):
        key = tuple(inspector.get_pk_constraint(name, schema)["constrained_columns"])
        if not key:
            unique = [one["column_names"] for one in inspector.get_indexes(name, schema) if one["unique"]]
            key = next((tuple(filter(None, names)) for names in unique if len(names) == 1), ())
        for one in inspector.get_foreign_keys(name, schema):
            if len(one["constrained_columns"]) == len(one["referred_columns"]) == 1:
                (column,), (target,) = one["constrained_columns"], one["referred_columns"]
                references.append(Reference(column, (one["referred_schema"], one["referred_table"]), target))
    return Table(schema, name, columns, key, tuple(references))


# The first that fits counts: an Enum is a String, too.
_FAMILIES: tuple[tuple[type[types.TypeEngine[Any]], Family], ...] = (
    (types.Enum, Family.CODE),
    (types.Boolean, Family.FLAG),
    (types.Numeric, Family.NUMBER),
    (types.Float, Family.NUMBER),
    (types.Integer, Family.NUMBER),
    (types.DateTime, Family.MOMENT),
    (types.Date, Family.DAY),
    (types.Uuid, Family.UUID),
    (types.String, Family.TEXT),
    (types.LargeBinary, Family.BYTES),
)


def _family(kind: Any, of_none: Family) -> Family:
    """Return the family of *kind*; *of_none* where SQLAlchemy knows no such type."""
    if isinstance(kind, postgresql.DOMAIN):
        return _family(kind.data_type, of_none)
    if isinstance(kind, types.NullType):
        return of_none
    if isinstance(kind, types.Interval | types.ARRAY):
        return Family.OTHER
    return next((family for known, family in _FAMILIES if isinstance(kind, known)), Family.OTHER)
