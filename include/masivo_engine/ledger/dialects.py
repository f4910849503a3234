"""
The ledger database's own clock: workers' clocks differ, and what two of them decide by time must be
one time.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Select, event, literal_column, select
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry


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
    """
    Return the moment as the ledger's tables keep it: UTC, without a zone. SQLite's clock is this
    machine's, but counts milliseconds.
    """
    is_here = connection.dialect.name == "sqlite"
    moment = datetime.now(UTC) if is_here else datetime.fromtimestamp(now(connection), UTC)
    return moment.replace(tzinfo=None)


MANY_ROWS = "many_rows"  # the execution option of transactions with statements of hundreds of rows, not of thousands
_BUSY_MS = 30_000  # a writer's transaction takes milliseconds; a queue of them at most seconds
# Keys come in no order, so a batch changes a thousand pages of their index: SQLite's own 1,000
# would copy each page home after every batch.
_PAGES_OF_LOG = 10_000
# Of many batches in one commit most pages are changed more than once; SQLite's own 2 MB would write
# each of them down every time.
_CACHE_KB = 16_000


def prepare(engine: Engine, *, reads_only: bool = False) -> None:
    """
    Make *engine*, if it is SQLite's, durable and fair to other writers; call it before the first
    connection.

    One that *reads_only* has connections that cannot write, so there is nothing to make durable.
    """
    if engine.dialect.name == "sqlite" and not event.contains(engine, "begin", _begin):
        event.listen(engine, "connect", _connect_to_look if reads_only else _connect)
        event.listen(engine, "begin", _begin)


def _connect_to_look(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _tell(connection, f"busy_timeout = {_BUSY_MS}", f"cache_size = -{_CACHE_KB}")


def _connect(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    _tell(
        connection,
        f"busy_timeout = {_BUSY_MS}",
        "journal_mode = WAL",
        "synchronous = FULL",
        "foreign_keys = ON",
        f"wal_autocheckpoint = {_PAGES_OF_LOG}",
        f"cache_size = -{_CACHE_KB}",
    )


def _tell(connection: DBAPIConnection, *pragmas: str) -> None:
    # The driver would begin transactions by its own rules, and too late; see _begin.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    """
    Take the write lock when a transaction begins, unless it only reads.

    One that reads first and writes later fails at once when another wrote in between, whatever the
    time-out.
    """
    if connection.get_execution_options().get("reads_only", False):
        connection.exec_driver_sql("BEGIN")
        return
    if not connection.get_execution_options().get(MANY_ROWS, False):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return
    driver: Any = connection.connection.dbapi_connection
    # What a statement of hundreds of rows changes is kept until it ends, in case it fails: not in a
    # file, which costs as much as the change itself. That is settled when a transaction begins;
    # what is sorted in it may go to a file as usual.
    driver.execute("PRAGMA temp_store = MEMORY")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        driver.execute("PRAGMA temp_store = DEFAULT")
