"""
Whether a value is one of many: how a thousand keys are given to a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import orjson
from sqlalchemy import BigInteger, ColumnElement, LargeBinary, String, any_, bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.types import TypeEngine


_Value = TypeVar("_Value")

# From 1,000 values on MariaDB makes a table of a list (in_predicate_conversion_threshold), and then
# works a grouped list out for all rows before it looks for them; Oracle takes no more than 1,000 in
# one list.
MOST_KEYS = 500

# SQLite takes 32,766 parameters; of more keys than a small part of a table PostgreSQL reads the
# whole table instead, and with several processes.
_MOST_KEYS_OF = {"sqlite": 10_000, "postgresql": 2_000}

_ARRAYS: dict[frozenset[type], type[TypeEngine[Any]]] = {
    frozenset({str}): String,
    frozenset({int}): BigInteger,
    frozenset({bytes}): LargeBinary,
}


_IN_JSON = frozenset({frozenset({str}), frozenset({int})})


def one_of(term: ColumnElement[Any], values: Sequence[Any], dialect: str) -> ColumnElement[bool]:
    """
    Return whether *term* is one of *values*, as the database of *dialect* hands them out.

    PostgreSQL makes an array of such a list anyhow. As one parameter it need not be written out and
    taken apart every time, nor for SQLite as JSON, which has no bytes and no decimals.
    """
    types = frozenset(map(type, values))
    if dialect == "postgresql" and types in _ARRAYS:
        return term == any_(literal(list(values), ARRAY(_ARRAYS[types])))
    if dialect == "sqlite" and types in _IN_JSON:
        given = func.json_each(bindparam(None, orjson.dumps(list(values)).decode(), type_=String)).table_valued("value")
        return term.in_(select(given.c.value))
    return term.in_(values)


def at_once(values: Sequence[_Value], dialect: str) -> Iterator[Sequence[_Value]]:
    """Cut *values* into parts that one statement of *dialect* takes, and works off well."""
    return portions(values, most=_MOST_KEYS_OF.get(dialect, MOST_KEYS))


def portions(values: Sequence[_Value], *, most: int) -> Iterator[Sequence[_Value]]:
    """Cut *values* into parts of at most *most*."""
    for first in range(0, len(values), most):
        yield values[first : first + most]


# SQLAlchemy wraps only what a driver calls an error; some raise Python's own for a value that they
# cannot convert.
REFUSALS = (DBAPIError, UnicodeDecodeError, ValueError, OverflowError)


# Lock wait, deadlock, interrupted, the two names of a time limit in MySQL and MariaDB; and a server
# that is away, or goes.
_MYSQL_NOT_NOW = frozenset({1205, 1213, 1317, 1969, 3024, 2002, 2003, 2006, 2013})
_SQLITE_NOT_NOW = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT"})
# Deadlock, and two of a time limit, as SQLSTATE; deadlock, cancelled, and a snapshot that undo no
# longer reaches.
_MSSQL_NOT_NOW = frozenset({"40001", "HYT00", "HYT01"})
_ORACLE_NOT_NOW = frozenset({60, 1013, 1555})


def is_passing(error: DBAPIError, dialect: str) -> bool:
    """
    Whether *error* says nothing about the row or the statement: the same may well work in a minute.
    """
    if error.connection_invalidated:
        return True
    if dialect == "postgresql":
        return isinstance(
            error, OperationalError
        )  # time limits, deadlocks, a shutdown; bad values are DataErrors there
    number = next(iter(getattr(error.orig, "args", ())), None)
    if dialect == "mssql":
        return number in _MSSQL_NOT_NOW
    if dialect == "oracle":
        return getattr(number, "code", None) in _ORACLE_NOT_NOW
    return number in _MYSQL_NOT_NOW or getattr(error.orig, "sqlite_errorname", "") in _SQLITE_NOT_NOW


def kind_of(error: BaseException) -> str:
    """Name *error* by its class and number alone: its text may quote the value that it is about."""
    original = getattr(error, "orig", None) or error
    number = next(iter(getattr(original, "args", ())), None)
    return f"{type(original).__name__} {number}" if isinstance(number, int) else type(original).__name__


def reason_of(error: BaseException) -> str:
    """
    Return the database's own words for *error*, which no row is part of; the first line says it.
    """
    original = getattr(error, "orig", None) or error
    return (str(original).strip().splitlines() or [type(original).__name__])[0][:200]
