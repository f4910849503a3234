"""
What a legacy database's errors mean: not now, or not this row; and how to speak of them without showing a row.

A driver refuses a whole fetch for one value that it cannot hand out (a date of year 20000, text that is no UTF-8), and a
database refuses it for a cast that fails in one row. Both can be got around; a connection that is gone cannot.
"""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError, OperationalError


# SQLAlchemy wraps only what a driver calls an error; some raise Python's own for a value that they cannot convert.
REFUSALS = (DBAPIError, UnicodeDecodeError, ValueError, OverflowError)

# Lock wait, deadlock, interrupted, the two names of a time limit in MySQL and MariaDB; and a server that is away, or goes.
_MYSQL_NOT_NOW = frozenset({1205, 1213, 1317, 1969, 3024, 2002, 2003, 2006, 2013})
_SQLITE_NOT_NOW = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT"})
# Deadlock, and two of a time limit, as SQLSTATE; deadlock, cancelled, and a snapshot that undo no longer reaches.
_MSSQL_NOT_NOW = frozenset({"40001", "HYT00", "HYT01"})
_ORACLE_NOT_NOW = frozenset({60, 1013, 1555})


def is_passing(error: DBAPIError, dialect: str) -> bool:
    """Whether *error* says nothing about the row or the statement: the same may well work in a minute."""
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
    """Return the database's own words for *error*, which no row is part of; the first line says it."""
    original = getattr(error, "orig", None) or error
    return (str(original).strip().splitlines() or [type(original).__name__])[0][:200]
