"""The ledger database's own clock: workers' clocks differ, and what two of them decide by time must be one time."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, literal_column, select


# Seconds since 1970 with fractions, at this very moment, not at the transaction's start.
_CLOCKS = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())::double precision",
    "mysql": "unix_timestamp(sysdate(6)) + 0e0",
    "mariadb": "unix_timestamp(sysdate(6)) + 0e0",
}


def clock(dialect: str) -> ColumnElement[Any]:
    """Return the expression of the moment, in seconds since 1970."""
    return literal_column(_CLOCKS[dialect])


def now(connection: Connection) -> float:
    """Return the moment, in seconds since 1970."""
    return float(connection.execute(_what_time(connection.dialect.name)).scalar_one())


@cache
def _what_time(dialect: str) -> Select[Any]:
    return select(clock(dialect))


def stamp(connection: Connection) -> datetime:
    """Return the moment as the ledger's tables keep it: UTC, without a zone. SQLite's clock is this machine's, but counts milliseconds."""
    is_here = connection.dialect.name == "sqlite"
    moment = datetime.now(UTC) if is_here else datetime.fromtimestamp(now(connection), UTC)
    return moment.replace(tzinfo=None)
