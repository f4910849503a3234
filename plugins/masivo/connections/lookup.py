"""
Where this process finds Airflow's connections and Variables, and which it found where.

Tasks ask Airflow. A command is nobody's task: Airflow's SDK shows it the environment and a secrets
backend, and what was typed into the UI only if it is told that it may ask Airflow's database. It
may where that database is there; nothing is made where it is not.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import Variable
from airflow.sdk.configuration import conf
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError


ENVIRONMENT = "the environment"
DATABASE = "Airflow's database"

_CONTEXT = "_AIRFLOW_PROCESS_CONTEXT"  # Airflow's own switch; its parts set it for themselves
_PATIENCE_S = 5.0
_PORTS = {"postgresql": 5432, "mysql": 3306}
_NOBODY = "masivo-asks-whether-you-are-there"


@dataclass(frozen=True, slots=True)
class Database:
    """
    Airflow's own database as a command sees it: whether it *is_asked* for connections, and
    *why_not*; *is_there* even if it cannot be asked.
    """

    is_asked: bool
    is_there: bool
    why_not: str = ""


_seen: ContextVar[Database | None] = ContextVar("seen", default=None)


@contextmanager
def with_airflows_database() -> Iterator[Database]:
    """
    Let this process look into Airflow's database, too, if it can be read; for commands, until the
    block ends.
    """
    role = os.environ.get(_CONTEXT)
    if role is not None:
        found = Database(role == "server", is_there=True, why_not="" if role == "server" else "a task may not")
    else:
        found = _looked_at()
        if found.is_asked:
            os.environ[_CONTEXT] = "server"
    before = _seen.set(found)
    try:
        yield found
    finally:
        _seen.reset(before)
        if role is None:
            os.environ.pop(_CONTEXT, None)


def _looked_at() -> Database:
    try:
        url = make_url(conf.get("database", "sql_alchemy_conn"))
    except ArgumentError:
        return Database(is_asked=False, is_there=True, why_not="database.sql_alchemy_conn is no URL")
    kind = url.get_backend_name()
    if kind == "sqlite":
        place = url.database or ""
        if not Path(place).is_file():
            return Database(is_asked=False, is_there=False, why_not=f"there is none at {place}")
    else:
        place = f"{url.host}:{url.port or _PORTS.get(kind, 0)}"
        try:  # before a driver does, which may wait for minutes
            if url.host:
                socket.create_connection((url.host, url.port or _PORTS.get(kind, 0)), _PATIENCE_S).close()
        except OSError as error:
            why = error.strerror or type(error).__name__
            return Database(is_asked=False, is_there=True, why_not=f"{place} cannot be reached: {why}")
    from airflow.secrets.metastore import MetastoreBackend  # noqa: PLC0415 (Airflow's models: half a second)

    try:
        MetastoreBackend().get_connection(_NOBODY)
    except Exception as error:  # noqa: BLE001 (whatever a driver, a missing table or an older schema gives)
        return Database(is_asked=False, is_there=True, why_not=f"{place} cannot be read ({type(error).__name__})")
    return Database(is_asked=True, is_there=True)


def origin_of(conn_id: str) -> str:
    """
    Return, for people, where Airflow finds the connection *conn_id*, also if it cannot read it
    there; empty if nowhere.
    """
    unread = ""
    for backend in _backends():
        called = _called(backend)
        try:
            if backend.get_connection(conn_id=conn_id):
                return called
        except Exception:  # noqa: BLE001 (as Airflow itself goes on to the next)
            unread = unread or called
    return unread


def places() -> str:
    """Return, for people, where connections are looked for, and where not and why."""
    said = " and ".join(dict.fromkeys(_called(backend) for backend in _backends()))
    seen = _seen.get()
    return said if seen is None or seen.is_asked else f"{said}; not in {DATABASE}: {seen.why_not}"


def setting(name: str, default: str = "") -> tuple[str, str]:
    """
    Return the value of the setting *name* and, for people, where it is from: environment variable,
    else Airflow Variable, else default.
    """
    if os.environ.get(name):
        return os.environ[name], f"environment variable {name}"
    found = Variable.get(name, default=None)
    return (default, "the default") if not found else (str(found), f"Airflow Variable {name}")


def _backends() -> list[Any]:
    from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded  # noqa: PLC0415 (as the SDK does)

    return list(ensure_secrets_backend_loaded())


def _called(backend: Any) -> str:
    known = {"EnvironmentVariablesBackend": ENVIRONMENT, "MetastoreBackend": DATABASE}
    kind = type(backend).__name__
    return known.get(kind) or ("Airflow" if kind.startswith("ExecutionAPI") else f"the secrets backend {kind}")
