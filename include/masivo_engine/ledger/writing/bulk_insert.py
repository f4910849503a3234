"""
Rows by the thousand into the ledger: the one insertion that every record costs.

Each column is given once, as a whole. To PostgreSQL that is one statement with an array for each
column that varies; row by row its driver and SQLAlchemy together took longer than reading, checking
and sending the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

from sqlalchemy import Connection, Dialect, LargeBinary, Numeric, String, Table
from sqlalchemy.types import TypeEngine


# Rows of one statement; SQLite takes 32,766 values in one, which is more than these have.
_MOST_TOGETHER, _FEW_TOGETHER = 500, 20
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True)
class Same:
    """One value for all rows of a column."""

    value: Any


Columns = Mapping[str, Sequence[Any] | Same]


def add(connection: Connection, table: Table, columns: Columns) -> None:
    """Insert rows into *table*, given by *columns*, of which one at least has a value for each."""
    count = next(len(values) for values in columns.values() if not isinstance(values, Same))
    if not count:
        return
    if connection.dialect.name == "postgresql":
        _add_arrays(connection, table, columns)
    elif connection.dialect.name == "sqlite":
        _add_together(connection, table, columns, count)
    else:
        _add_rows(connection, table, columns, count)


def _add_arrays(connection: Connection, table: Table, columns: Columns) -> None:
    parameters: dict[str, Any] = {}
    chosen, arrays = [], []
    for name, values in columns.items():
        kind = _array(table.c[name].type)
        if isinstance(values, Same):
            parameters[name] = values.value
            chosen.append(f"%({name})s::{kind}")
            continue
        chosen.append(f"given.{name}")
        joined = _joined(kind, values)
        if joined is None:
            parameters[name] = list(values)
            arrays.append((name, f"%({name})s::{kind}[]"))
        else:
            parameters[name] = joined
            arrays.append((name, f"string_to_array(%({name})s, chr({ord(_SEPARATOR)}))::{kind}[]"))
    names = ", ".join(name for name, _ in arrays)
    source = f"unnest({', '.join(array for _, array in arrays)}) AS given ({names})"
    into = ", ".join(_quoted(connection.dialect, name) for name in columns)
    statement = f"INSERT INTO {table.name} ({into}) SELECT {', '.join(chosen)} FROM {source}"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, parameters)


def _joined(kind: str, values: Sequence[Any]) -> str | None:
    """
    Join *values* to one text, which the driver hands on as it is; None where they cannot be told
    apart in it.
    """
    if not values or None in values:
        return None
    texts = [f"\\x{value.hex()}" for value in values] if kind == "bytea" else list(map(str, values))
    joined = _SEPARATOR.join(texts)
    # An empty text would be cut to no values, not to one.
    return joined if joined and joined.count(_SEPARATOR) == len(texts) - 1 else None


def _add_together(connection: Connection, table: Table, columns: Columns, count: int) -> None:
    """
    Insert many rows by one statement: SQLite's driver takes the interpreter's lock anew for each
    row that it is given, and waits for it.
    """
    dialect = connection.dialect
    once: list[Any] = []
    chosen, varied = [], []
    for name, values in columns.items():
        kind = table.c[name].type
        if isinstance(values, Same):
            once += _bound(kind, dialect, [values.value])
            chosen.append("?")
        else:
            varied.append(_bound(kind, dialect, values))
            chosen.append(f"column{len(varied)}")
    into = ", ".join(_quoted(dialect, name) for name in columns)
    row = f"({', '.join(repeat('?', len(varied)))})"
    start = 0
    # Of few sizes, so that the driver keeps the statements.
    for size in (_MOST_TOGETHER, _FEW_TOGETHER):
        given = ", ".join(repeat(row, size))
        statement = f"INSERT INTO {table.name} ({into}) SELECT {', '.join(chosen)} FROM (VALUES {given})"  # noqa: S608 (our own names)
        while count - start >= size:
            rows = zip(*(values[start : start + size] for values in varied), strict=True)
            connection.exec_driver_sql(statement, (*once, *chain.from_iterable(rows)))
            start += size
    if start < count:
        rest = {name: values if isinstance(values, Same) else values[start:] for name, values in columns.items()}
        _add_rows(connection, table, rest, count - start)


def _add_rows(connection: Connection, table: Table, columns: Columns, count: int) -> None:
    dialect = connection.dialect
    bound = []
    for name, values in columns.items():
        kind = table.c[name].type
        if isinstance(values, Same):
            bound.append(_bound(kind, dialect, [values.value]) * count)
        else:
            bound.append(_bound(kind, dialect, values))
    into = ", ".join(_quoted(dialect, name) for name in columns)
    places = ", ".join(repeat("?" if dialect.paramstyle == "qmark" else "%s", len(columns)))
    statement = f"INSERT INTO {table.name} ({into}) VALUES ({places})"  # noqa: S608 (our own names)
    connection.exec_driver_sql(statement, list(zip(*bound, strict=True)))


def _bound(kind: TypeEngine[Any], dialect: Dialect, values: Sequence[Any]) -> list[Any]:
    """
    Give *values* as SQLAlchemy would: SQLite's driver knows no decimals. Bytes all drivers know.
    """
    if isinstance(kind, LargeBinary):
        return list(values)
    bind: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return list(values) if bind is None else [bind(value) for value in values]


def _array(kind: TypeEngine[Any]) -> str:
    """
    Return the name of *kind* without a length: a cast to one would cut what is too long instead of
    refusing it.
    """
    if isinstance(kind, String):
        return "text"
    if isinstance(kind, Numeric):
        return "numeric"
    return "bytea" if isinstance(kind, LargeBinary) else "bigint"


def _quoted(dialect: Dialect, name: str) -> str:
    return dialect.identifier_preparer.quote(name)
