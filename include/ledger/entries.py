"""
Entries by the thousand into the ledger: the one write that every record costs.

Each column is given once, as a whole. To PostgreSQL that is one statement with an array for each column that varies; row by row its driver and
SQLAlchemy together took longer than reading, checking and sending the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary, Numeric, String
from sqlalchemy.types import TypeEngine

from include.ledger import schema


@dataclass(frozen=True, slots=True)
class Same:
    """One value for all rows of a column."""

    value: Any


Columns = Mapping[str, Sequence[Any] | Same]


def add(connection: Connection, columns: Columns) -> None:
    """Insert entries, given by *columns*, of which one at least has a value for each."""
    count = next(len(values) for values in columns.values() if not isinstance(values, Same))
    if not count:
        return
    if connection.dialect.name == "postgresql":
        _add_arrays(connection, columns)
    else:
        _add_rows(connection, columns, count)


def at(columns: Columns, position: int) -> dict[str, Any]:
    """Return one row of *columns*."""
    return {name: values.value if isinstance(values, Same) else values[position] for name, values in columns.items()}


def _add_arrays(connection: Connection, columns: Columns) -> None:
    parameters: dict[str, Any] = {}
    chosen, arrays = [], []
    for name, values in columns.items():
        kind = _array(schema.entry.c[name].type)
        if isinstance(values, Same):
            parameters[name] = values.value
            chosen.append(f"%({name})s::{kind}")
        else:
            parameters[name] = list(values)
            chosen.append(f"given.{name}")
            arrays.append((name, f"%({name})s::{kind}[]"))
    names = ", ".join(name for name, _ in arrays)
    source = f"unnest({', '.join(array for _, array in arrays)}) AS given ({names})"
    into = ", ".join(_quoted(connection.dialect, name) for name in columns)
    statement = f"INSERT INTO {schema.entry.name} ({into}) SELECT {', '.join(chosen)} FROM {source}"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, parameters)


def _add_rows(connection: Connection, columns: Columns, count: int) -> None:
    dialect = connection.dialect
    bound = []
    for name, values in columns.items():
        kind = schema.entry.c[name].type
        if isinstance(values, Same):
            bound.append(_bound(kind, dialect, [values.value]) * count)
        else:
            bound.append(_bound(kind, dialect, values))
    into = ", ".join(_quoted(dialect, name) for name in columns)
    places = ", ".join(repeat("?" if dialect.paramstyle == "qmark" else "%s", len(columns)))
    statement = f"INSERT INTO {schema.entry.name} ({into}) VALUES ({places})"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, list(zip(*bound, strict=True)))


def _bound(kind: TypeEngine[Any], dialect: Dialect, values: Sequence[Any]) -> list[Any]:
    """Give *values* as SQLAlchemy would: SQLite's driver knows no decimals."""
    bind: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return list(values) if bind is None else [bind(value) for value in values]


def _array(kind: TypeEngine[Any]) -> str:
    """Return the name of *kind* without a length: a cast to one would cut what is too long instead of refusing it."""
    if isinstance(kind, String):
        return "text"
    if isinstance(kind, Numeric):
        return "numeric"
    return "bytea" if isinstance(kind, LargeBinary) else "bigint"


def _quoted(dialect: Dialect, name: str) -> str:
    return dialect.identifier_preparer.quote(name)
