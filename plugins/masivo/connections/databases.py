"""
Airflow's connections as databases: the legacy one, read only, and the ledger.

A connection is given in any of three ways, in the UI or as ``AIRFLOW_CONN_*``:

* one of Airflow's own types: postgres, mysql, sqlite, mssql, oracle; the driver is chosen here;
* a SQLAlchemy URL: ``AIRFLOW_CONN_LEGACY_DB=mariadb+pymysql://user:password@host/shop``;
* any type, for instance generic, with the extra ``{"sqlalchemy_url": "..."}``.

No sentence of this module holds a password.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from typing import Any

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.log import mask_secret
from sqlalchemy import URL, Engine, make_url
from sqlalchemy.exc import ArgumentError

from masivo.connections import engines, lookup
from masivo_engine.model.errors import EmptyLedger, LedgerError, LegacyError, Misconfigured


_log = logging.getLogger(__name__)

_DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite",
    "mssql": "mssql+pyodbc",
    "oracle": "oracle+oracledb",
}
# Extras of Airflow's own types that mean the same to the driver; a URL with a driver's name passes
# all of its query on.
_OPTIONS = {
    "postgresql": (
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "options",
        "application_name",
        "target_session_attrs",
    ),
    "mysql": ("charset", "ssl_ca", "ssl_cert", "ssl_key", "unix_socket", "init_command"),
    "mssql": ("driver", "Encrypt", "TrustServerCertificate", "ApplicationIntent"),
    "oracle": ("service_name",),
}
_OPTIONS["mariadb"] = _OPTIONS["mysql"]
_MSSQL_DRIVER = "ODBC Driver 18 for SQL Server"


def connection_named(conn_id: str) -> Connection:
    """
    Return the connection from wherever Airflow keeps it: environment, secrets backend, UI (see
    `masivo.connections.lookup`).

    Raises `Misconfigured` if there is none.
    """
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        pass
    variable = f"AIRFLOW_CONN_{conn_id.upper()}"
    if variable in os.environ:
        raise Misconfigured(f"{variable} is set, but is neither a URI nor JSON of a connection; correct it")
    if origin := lookup.origin_of(conn_id):
        raise Misconfigured(
            f"connection {conn_id!r} cannot be read from {origin}: is AIRFLOW__CORE__FERNET_KEY here the one that"
            " Airflow has?"
        )
    raise Misconfigured(
        f"connection {conn_id!r} is not defined: set {variable}, or add it in Airflow's UI under Admin > Connections "
        f"(looked in {lookup.places()})"
    )


def url_for(connection: Connection) -> URL:
    """Return the SQLAlchemy URL of *connection*, with a driver; raises `Misconfigured`."""
    extras = _extras(connection)
    whole = extras.pop("sqlalchemy_url", None)
    if whole:
        return _whole_url(connection, whole)
    kind = (connection.conn_type or "").replace("_", "-")
    drivername = kind if "+" in kind else _DRIVERS.get(kind)
    if drivername is None:
        raise Misconfigured(
            f"connection {connection.conn_id!r} is of type {kind!r}, which names no database: use one of "
            f"{', '.join(sorted(_DRIVERS))}, a SQLAlchemy URL, or the extra `sqlalchemy_url`"
        )
    if drivername.partition("+")[0] == "sqlite":
        return _checked(connection, URL.create(drivername, database=connection.schema or connection.host))

    database, query = connection.schema or None, _query(connection, kind, extras)
    if kind == "oracle" and "service_name" not in query:
        database, query = _oracle_database(database, extras)
    if kind == "mssql":
        query.setdefault("driver", _MSSQL_DRIVER)
    return URL.create(
        drivername,
        username=connection.login or None,
        password=connection.password or None,
        host=connection.host or None,
        port=connection.port,
        database=database,
        query=query,
    )


def legacy_engine(conn_id: str = "legacy_db", zone: str = "") -> Engine:
    """
    Return an engine that reads the legacy database and has proved that it can be reached.

    Its sessions are read only where the database knows that; server-side cursors are set per
    statement by the caller, and they show times as clocks in *zone* do. A SQLite file must exist.
    Raises `LegacyError`.
    """
    return _opened(conn_id, lambda url: engines.legacy(url, zone), LegacyError, "the legacy database")


def ledger_engine(conn_id: str = "masivo_ledger", *, only_looks: bool = False) -> Engine:
    """
    Return an engine of the ledger's database that has proved that it can be reached and written.

    SQLite: folder and file (mode 0600) are made if missing. Every transaction takes the write lock
    at its start, because one that reads first and writes later fails at once when another wrote in
    between, whatever the time-out; with the execution option ``reads_only=True`` it takes none.
    PostgreSQL and MySQL: READ COMMITTED, sessions in UTC. Who *only_looks* makes no file and takes
    no lock, and does without the proof of writing. Raises `LedgerError`.
    """
    return _opened(conn_id, engines.ledger_to_look_at if only_looks else engines.ledger, LedgerError, "the ledger")


def _opened(conn_id: str, opens: Callable[[URL], Engine], error: type[Misconfigured], what: str) -> Engine:
    url = url_for(connection_named(conn_id))
    try:
        return opens(url)
    except engines.Absent as problem:
        raise EmptyLedger(f"{what} (connection {conn_id!r}, {engines.place(url)}) {problem}") from None
    except engines.Unusable as problem:
        raise error(f"{what} (connection {conn_id!r}, {engines.place(url)}) {problem}") from None


def _extras(connection: Connection) -> dict[str, Any]:
    if not connection.extra or not connection.extra.strip():
        return {}
    try:
        extras = json.loads(connection.extra)
    except ValueError:
        raise Misconfigured(f"the extra of connection {connection.conn_id!r} is no JSON; correct it") from None
    return dict(extras) if isinstance(extras, dict) else {}


def _whole_url(connection: Connection, whole: Any) -> URL:
    try:
        url = make_url(str(whole))
    except (ArgumentError, ValueError):
        raise Misconfigured(
            f"extra `sqlalchemy_url` of connection {connection.conn_id!r} is no SQLAlchemy URL"
        ) from None
    if url.password:
        mask_secret(url.password)
    drivername = url.drivername if "+" in url.drivername else _DRIVERS.get(url.drivername, url.drivername)
    return _checked(connection, url.set(drivername=drivername))


def _checked(connection: Connection, url: URL) -> URL:
    """
    A relative path would be another file in every process, and a database in memory another one in
    every task.
    """
    if url.get_backend_name() == "sqlite" and not (url.database or "").startswith("/"):
        raise Misconfigured(
            f"connection {connection.conn_id!r} must name a SQLite file by its absolute path: sqlite:////folder/file.db"
        )
    return url


def _query(connection: Connection, kind: str, extras: dict[str, Any]) -> dict[str, str]:
    if "+" in kind:
        return {name: str(value) for name, value in extras.items() if isinstance(value, (str, int, float))}
    known = _OPTIONS.get(_DRIVERS[kind].partition("+")[0], ())
    ignored = sorted(extras.keys() - set(known) - {"sid"})
    if ignored:
        _log.warning(
            "extras of connection %r are not known and are ignored: %s", connection.conn_id, ", ".join(ignored)
        )
    return {name: str(extras[name]) for name in known if extras.get(name) not in (None, "")}


def _oracle_database(schema: str | None, extras: dict[str, Any]) -> tuple[str | None, dict[str, str]]:
    """
    Airflow's type has the SID in an extra or the service's name as schema; SQLAlchemy wants it the
    other way.
    """
    if extras.get("sid"):
        return str(extras["sid"]), {}
    return None, {"service_name": schema} if schema else {}
