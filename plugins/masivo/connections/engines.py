"""
SQLAlchemy engines with the settings that a migration needs, and why a database cannot be used, in
one sentence.

A process has one engine for each ledger, however often it is opened, and carries none of SQLite's
connections over a fork. The file of a SQLite ledger is made, and never opened by hand again:
whoever closes a file, by whatever descriptor, drops all locks that the process has on it, those of
its open connections too (sqlite.org/howtocorrupt.html, 2.2). Others then take the ledger for unused
and remove the log with what was committed last.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from weakref import WeakSet, WeakValueDictionary

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from masivo_engine.ledger import dialects
from masivo_engine.model.errors import Misconfigured
from masivo_engine.source.database import zone_names


_CONNECT_S = 10
_BUSY_MS = 30_000  # a writer's transaction takes milliseconds; a queue of them at most seconds
_DEAD_PEER_MS = 60_000
_READ_S = 900  # of one answer of MySQL's, which is the only defence against a network that swallows packets
_RECYCLE_S = 1_800  # below the idle time after which firewalls and MySQL itself drop a connection
_REASON = 300
_PAGE = 1000  # as many as a page of the legacy rows has

_PACKAGES = {"psycopg": "psycopg[binary]", "MySQLdb": "mysqlclient"}  # modules whose package has another name
_LEDGERS = ("sqlite", "postgresql", "mysql", "mariadb")

# Every engine that is in use, and the ledgers' by what they are for.
_made: WeakSet[Engine] = WeakSet()
_ledgers: WeakValueDictionary[tuple[URL, bool], Engine] = WeakValueDictionary()
_opening = threading.RLock()
# SQLite files that the process which this one was forked from was using at that moment.
_carried: set[str] = set()
_in_use: set[str] = set()

# How long a slice may read nothing while it sends, waits behind another one or for the hour's
# requests: longer than any of these.
_PATIENCE_S = 86_400
# What every transaction with the legacy database begins with: no statement of a mapping can change
# anything, and none is cut off for waiting. Said of the transaction and not of the session, which a
# pooler may hand on to the shop's own programs.
_UNHURRIED = (
    f"SELECT set_config(name, '{_PATIENCE_S * 1000}', true) FROM pg_settings"  # noqa: S608 (a number of ours)
    " WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout') AND setting <> '0'"
)
_BEGINNINGS = {
    "postgresql": ("SET TRANSACTION READ ONLY", _UNHURRIED),
    "mysql": ("START TRANSACTION READ ONLY",),
    "mariadb": ("START TRANSACTION READ ONLY",),
}
# What a role or a database may have set, and what the mapping's SQL may make texts or days of.
_PINNED = (
    "SELECT set_config('TimeZone', '{zone}', true), set_config('DateStyle', 'ISO', true),"
    " set_config('IntervalStyle', 'postgres', true), set_config('extra_float_digits', '1', true),"
    " set_config('bytea_output', 'hex', true)"
)
# MySQL knows time-outs of sessions only; the latter two are MariaDB's. They harm nobody whom a
# pooler hands the session on to.
_MYSQL_PATIENCE = (
    f"SET SESSION net_write_timeout = GREATEST(@@net_write_timeout, {_PATIENCE_S}),"
    f" wait_timeout = GREATEST(@@wait_timeout, {_PATIENCE_S})"
    " /*M!100300 , idle_transaction_timeout = 0, idle_readonly_transaction_timeout = 0 */"
)
_PATIENT = {"mysql": _MYSQL_PATIENCE, "mariadb": _MYSQL_PATIENCE}
_UTC = {
    "postgresql": "SET TIME ZONE 'UTC'",
    "mysql": "SET time_zone = '+00:00'",
    "mariadb": "SET time_zone = '+00:00'",
}


class Unusable(Misconfigured):
    """A database cannot be used; the text completes a sentence that names it."""


class Absent(Unusable):
    """There is no database of that name."""


def legacy(url: URL, zone: str = "") -> Engine:
    """
    Return a read-only engine that has connected; raises `Unusable`.

    Its sessions show times as clocks in *zone* do, whatever server, role or database say; without
    one as they are set up.
    """
    if url.get_backend_name() == "sqlite":
        return _reached(_legacy_sqlite(url))
    options: dict[str, Any] = {}
    if url.get_backend_name() == "oracle":
        options = {"arraysize": _PAGE}  # rows per round trip; 100 otherwise
    unprepared: dict[str, Any] = {}
    if url.get_driver_name() == "psycopg":
        # Behind a pooler the next transaction may be on another session, which does not know what
        # was prepared on this one. And jsonb has numbers of any length.
        unprepared = {"prepare_threshold": None}
        options = {"json_deserializer": partial(json.loads, parse_float=Decimal)}
    engine = _create(url, connect_args=_connect_args(url) | unprepared, pool_size=2, max_overflow=4, **options)
    _tell_sessions(engine, _PATIENT)
    beginnings = _BEGINNINGS.get(engine.dialect.name, ())
    if zone and engine.dialect.name == "postgresql":
        beginnings += (_PINNED.format(zone=zone),)
    elif zone and engine.dialect.name in {"mysql", "mariadb"}:
        _tell_first_that_works(engine, [f"SET SESSION time_zone = '{name}'" for name in zone_names(zone)])
    _begin_with(engine, beginnings)
    return _reached(engine)


def ledger(url: URL) -> Engine:
    """Return the ledger's engine, which has connected and begun to write; raises `Unusable`."""
    with _opening:
        if url.get_backend_name() == "sqlite":
            _make(Path(url.database or ""))
        return _reached(_ledger(url))


def ledger_to_look_at(url: URL) -> Engine:
    """
    Return the ledger's engine, which has connected and written nothing, for whoever only reads;
    raises `Unusable`.
    """
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        raise Absent("is empty: no run has written to it yet, or its file is not on this machine")
    with _opening:
        return _reached(_ledger(url, reads_only=True), reads_only=True)


def place(url: URL) -> str:
    """
    Return where *url* points, for people: dialect, host and port, or file; never user or password.
    """
    backend = url.get_backend_name()
    if backend == "sqlite":
        return f"sqlite, {url.database}"
    where = (url.host or "local socket") + (f":{url.port}" if url.port else "")
    return f"{backend}, {where}" + (f"/{url.database}" if url.database else "")


def reason(error: BaseException, url: URL) -> str:
    """Return the driver's own words in one line of at most 300 characters, without the password."""
    cause = getattr(error, "orig", None) or error
    words = cause.args[-1] if len(cause.args) > 1 else cause  # PyMySQL: (number, words)
    line = " ".join(str(words).split())
    for secret in (url.password, quote(url.password or "", safe="")):
        if secret:
            line = line.replace(secret, "***")
    return line[:_REASON]


def _create(url: URL, **options: Any) -> Engine:
    try:
        # Errors are logged, and must not show rows.
        engine = create_engine(url, pool_pre_ping=True, pool_recycle=_RECYCLE_S, hide_parameters=True, **options)
    except NoSuchModuleError:
        raise Unusable(f"is of a kind that SQLAlchemy does not know: {url.drivername!r}") from None
    except ModuleNotFoundError as missing:
        package = _PACKAGES.get(missing.name or "", missing.name)
        raise Unusable(f"needs a driver that is not installed: pip install '{package}'") from None
    except ImportError as broken:  # pyodbc without unixODBC
        raise Unusable(
            f"has a driver that cannot be loaded ({reason(broken, url)}): install the system's library that it names"
        ) from None
    except (ArgumentError, TypeError) as wrong:
        raise Unusable(f"has an address that its driver does not take: {reason(wrong, url)}") from None
    with _opening:
        _made.add(engine)
    return engine


def _connect_args(url: URL) -> dict[str, Any]:
    """Time-outs by driver; what the URL itself says wins, so it is left out here."""
    driver = url.get_driver_name()
    args: dict[str, Any] = {}
    if driver == "psycopg":
        # A network that swallows packets is noticed after a minute, without a limit for slow
        # queries.
        keepalives = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}
        args = {"connect_timeout": _CONNECT_S, "tcp_user_timeout": _DEAD_PEER_MS, **keepalives}
    elif driver == "pymysql":
        args = {"connect_timeout": _CONNECT_S, "read_timeout": _READ_S, "write_timeout": _READ_S}
    elif driver == "pyodbc":
        args = {"timeout": _CONNECT_S}
    elif driver == "oracledb":
        args = {"tcp_connect_timeout": _CONNECT_S}
    return {name: value for name, value in args.items() if name not in url.query}


def _begin_with(engine: Engine, statements: Sequence[str]) -> None:
    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _tell_sessions(engine: Engine, statements: dict[str, str]) -> None:
    statement = statements.get(engine.dialect.name)
    if statement is None:
        return

    @event.listens_for(engine, "connect")
    def _tell(connection: DBAPIConnection, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(statement)
        cursor.close()
        connection.commit()  # PostgreSQL takes a session's settings back with the transaction that made them


def _tell_first_that_works(engine: Engine, statements: Sequence[str]) -> None:
    """Tell each session the first of *statements* that the server takes, or none of them."""

    @event.listens_for(engine, "connect")
    def _tell(connection: DBAPIConnection, _: Any) -> None:
        for statement in statements:
            cursor = connection.cursor()
            try:
                cursor.execute(statement)
            except engine.dialect.loaded_dbapi.Error:
                continue
            finally:
                cursor.close()
            return


def _legacy_sqlite(url: URL) -> Engine:
    file = Path(url.database or "")
    if not file.is_file():
        raise Unusable("is not there: no such file; correct the path (an empty database is never made in its place)")
    return _sqlite(url, mode="ro")


def _sqlite(url: URL, *, mode: str) -> Engine:
    """
    Return an engine of a file that is there, to read it (*mode* ``ro``) or to write to it too
    (``rw``).

    A connection that reads can change nothing, not even the log: of those that may write, the last
    one that closes the database brings what was committed from there into the file, and removes it.
    """
    file = url.database or ""

    def connect() -> sqlite3.Connection:
        if file in _carried:
            raise sqlite3.OperationalError(
                "this process was forked from one that was using it; use it in a process of its own"
            )
        address = f"file:{quote(file)}?mode={mode}"
        return sqlite3.connect(address, uri=True, timeout=_BUSY_MS / 1000, check_same_thread=False)

    return _create(url, creator=connect, poolclass=QueuePool)


def _make(file: Path) -> None:
    """
    Make *file* and its folder, unless it is there; it names customers, so it is nobody else's to
    read.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise Unusable(f"cannot be written: {error.strerror}") from None
    if not file.is_file():
        raise Unusable("cannot be written: it is no file")


def _ledger(url: URL, *, reads_only: bool = False) -> Engine:
    """Return the process's own engine of the ledger, made on first use."""
    engine = _ledgers.get((url, reads_only))
    if engine is None:
        engine = _ledgers[url, reads_only] = _new_ledger(url, reads_only=reads_only)
    return engine


def _new_ledger(url: URL, *, reads_only: bool) -> Engine:
    backend = url.get_backend_name()
    if backend not in _LEDGERS:
        raise Unusable(f"cannot be kept in {backend}; use SQLite, PostgreSQL, MySQL or MariaDB")
    if backend == "sqlite":
        engine = _sqlite(url, mode="ro" if reads_only else "rw")
        dialects.prepare(engine, reads_only=reads_only)
        return engine
    engine = _create(url, connect_args=_connect_args(url), isolation_level="READ COMMITTED")
    _tell_sessions(engine, _UTC)
    return engine


def _reached(engine: Engine, *, reads_only: bool = False) -> Engine:
    probe = "SELECT count(*) FROM sqlite_master" if engine.dialect.name == "sqlite" else None
    try:
        with engine.connect().execution_options(reads_only=reads_only) as connection, connection.begin():
            if probe:
                connection.execute(text(probe))
    except (SQLAlchemyError, OSError) as error:
        engine.dispose()
        words = reason(error, engine.url)
        is_reach = isinstance(error, DBAPIError) and engine.dialect.name != "sqlite"
        raise Unusable(f"cannot be {'reached' if is_reach else 'used'}: {words}") from None
    return engine


def _before_fork() -> None:
    """
    Close the idle connections to SQLite's files, so that no child gets them; of a file that is
    being used it must keep away.
    """
    _opening.acquire()
    for engine in list(_made):
        if engine.dialect.name == "sqlite":
            if engine.pool.checkedout():  # type: ignore[attr-defined]
                _in_use.add(engine.url.database or "")
            engine.dispose()


def _after_fork_in_parent() -> None:
    _in_use.clear()
    _opening.release()


def _after_fork_in_child() -> None:
    _carried.update(_in_use)
    for engine in list(_made):
        engine.dispose(close=False)  # the parent goes on with its connections
    _after_fork_in_parent()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
