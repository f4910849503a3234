"""
Entries by the thousand into the ledger: the one write that every record costs.

Each column is given once, as a whole. To PostgreSQL that is one statement with an array for each column that varies; row by row its driver and
SQLAlchemy together took longer than reading, checking and sending the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary, Numeric, String
from sqlalchemy.types import TypeEngine

from include.ledger import schema


def add(connection: Connection, entries: Sequence[Mapping[str, Any]]) -> None:
    """Insert *entries*, which all have the same columns."""
    if not entries:
        return
    columns = {name: [entry[name] for entry in entries] for name in entries[0]}
    if connection.dialect.name == "postgresql":
        _add_arrays(connection, columns)
    else:
        _add_rows(connection, columns)


def _add_arrays(connection: Connection, columns: Mapping[str, list[Any]]) -> None:
    parameters: dict[str, Any] = {}
    chosen, arrays = [], []
    for name, values in columns.items():
        kind = _array(schema.entry.c[name].type)
        if all(value == values[0] for value in values):
            parameters[name] = values[0]
            chosen.append(f"%({name})s::{kind}")
        else:
            parameters[name] = values
            chosen.append(f"given.{name}")
            arrays.append((name, f"%({name})s::{kind}[]"))
    if not arrays:  # one entry, or copies of it
        parameters["rows"] = len(next(iter(columns.values())))
        source = "generate_series(1, %(rows)s)"
    else:
        names = ", ".join(name for name, _ in arrays)
        source = f"unnest({', '.join(array for _, array in arrays)}) AS given ({names})"
    into = ", ".join(_quoted(connection.dialect, name) for name in columns)
    statement = f"INSERT INTO {schema.entry.name} ({into}) SELECT {', '.join(chosen)} FROM {source}"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, parameters)


def _add_rows(connection: Connection, columns: Mapping[str, list[Any]]) -> None:
    dialect = connection.dialect
    bound = [_bound(schema.entry.c[name].type, dialect, values) for name, values in columns.items()]
    into = ", ".join(_quoted(dialect, name) for name in columns)
    places = ", ".join(repeat("?" if dialect.paramstyle == "qmark" else "%s", len(columns)))
    statement = f"INSERT INTO {schema.entry.name} ({into}) VALUES ({places})"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, list(zip(*bound, strict=True)))


def _bound(kind: TypeEngine[Any], dialect: Dialect, values: list[Any]) -> list[Any]:
    """Give *values* as SQLAlchemy would: SQLite's driver knows no decimals."""
    bind: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return values if bind is None else [bind(value) for value in values]


def _array(kind: TypeEngine[Any]) -> str:
    """Return the name of *kind* without a length: a cast to one would cut what is too long instead of refusing it."""
    if isinstance(kind, String):
        return "text"
    if isinstance(kind, Numeric):
        return "numeric"
    return "bytea" if isinstance(kind, LargeBinary) else "bigint"


def _quoted(dialect: Dialect, name: str) -> str:
    return dialect.identifier_preparer.quote(name)
