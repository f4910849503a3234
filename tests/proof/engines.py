"""
One engine for the ledgers, and one for the legacy databases, of all journeys: SQLAlchemy keeps what
it has compiled with the engine, and compiling a try's statements anew takes longer than running
them. Connections are those of the journey at hand.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import Any

from sqlalchemy import URL, Engine, QueuePool, create_engine, event, make_url

from masivo.connections import engines as product
from masivo_engine.ledger import dialects


_databases: dict[str, URL] = {}


def ledger_at(url: str) -> Engine:
    """Return the engine, from now on of the ledger at *url*; whatever it had open is closed."""
    backend = make_url(url).get_backend_name()
    return _turned("ledger" if backend == "sqlite" else backend, url)


def legacy_at(url: str) -> Engine:
    """Return the engine, from now on of the legacy database at *url*."""
    return _turned("legacy", url)


def _turned(name: str, url: str) -> Engine:
    _databases[name] = make_url(url)
    engine = _engine(name)
    engine.dispose()
    return engine


@cache
def _engine(name: str) -> Engine:
    if name not in {"ledger", "legacy"}:
        return _on_a_server(name)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(_databases[name].database or "", timeout=30, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    if name == "ledger":
        dialects.prepare(engine)
    return engine


def _on_a_server(name: str) -> Engine:
    engine = product.ledger(_databases[name])
    argument = "dbname" if name == "postgresql" else "database"

    @event.listens_for(engine, "do_connect")
    def turn(dialect: Any, _record: Any, _arguments: Any, options: dict[str, Any]) -> None:
        options[argument] = _databases[name].database
        if name != "postgresql":
            dialect.default_schema_name = options[argument]  # where it looks for tables; a database is a schema there

    return engine
