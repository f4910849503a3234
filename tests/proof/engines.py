"""
One engine for the ledgers, and one for the legacy databases, of all journeys: SQLAlchemy keeps what it has compiled with the engine,
and compiling a try's statements anew takes longer than running them. Connections are those of the journey at hand.
"""

from __future__ import annotations

import sqlite3
from functools import cache

from sqlalchemy import Engine, QueuePool, create_engine, make_url

from include.ledger import sqlite


_files: dict[str, str] = {}


def ledger_at(url: str) -> Engine:
    """Return the engine, from now on of the ledger at *url*; whatever it had open is closed."""
    return _turned("ledger", url)


def legacy_at(url: str) -> Engine:
    """Return the engine, from now on of the legacy database at *url*."""
    return _turned("legacy", url)


def _turned(name: str, url: str) -> Engine:
    engine = _engine(name)
    engine.dispose()
    _files[name] = make_url(url).database or ""
    return engine


@cache
def _engine(name: str) -> Engine:
    def connect() -> sqlite3.Connection:
        return sqlite3.connect(_files[name], timeout=30, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=QueuePool)
    if name == "ledger":
        sqlite.prepare(engine)
    return engine
