"""
A ledger on each database in turn, and engines of legacy databases: on each in turn, or on one that
a test is about.

Making a ledger takes longer than most tests, so they share it. What a test wrote is deleted after
it.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, delete, make_url

import masivo_engine.source.reader
from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from tests import servers


@pytest.fixture(scope="session", params=["sqlite", "postgres", "mariadb"])
def shared_engine(request, tmp_path_factory):
    """The engine of a ledger that lives as long as the tests run."""
    if request.param == "sqlite":
        engine = engines.ledger(make_url(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'shared.sqlite'}"))
        yield engine
        engine.dispose()
        return
    with servers.fresh_database(request.getfixturevalue(f"{request.param}_server")) as url:
        engine = engines.ledger(make_url(url))
        yield engine
        engine.dispose()


@pytest.fixture
def ledger(shared_engine):
    """An empty ledger, ready to be written."""
    made = Ledger(shared_engine, "account")
    made.prepare()
    yield made
    with shared_engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(delete(table))


@pytest.fixture
def engine(ledger):
    """The engine that a task would use for `ledger`."""
    return ledger.engine


@pytest.fixture
def legacy_engine(legacy_url):
    """An engine that may write to an empty legacy database, on each dialect in turn."""
    yield from _engine_of(legacy_url)


@pytest.fixture
def sqlite(sqlite_url):
    """An engine of an empty legacy database on SQLite."""
    yield from _engine_of(sqlite_url)


@pytest.fixture
def postgres(postgres_url):
    """An engine of an empty legacy database on PostgreSQL."""
    yield from _engine_of(postgres_url)


@pytest.fixture
def mariadb(mariadb_url):
    """An engine of an empty legacy database on MariaDB."""
    yield from _engine_of(mariadb_url)


@pytest.fixture
def small_pages(monkeypatch):
    """Three rows to a page, so that few rows have many ends."""
    monkeypatch.setattr(masivo_engine.source.reader, "PAGE", 3)


def _engine_of(url):
    engine = create_engine(url)
    yield engine
    engine.dispose()
