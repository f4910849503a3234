"""
A ledger on each database in turn.

Making one takes longer than most tests, so they share it: what a test wrote is deleted before the next one.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from masivo import engines
from sqlalchemy import delete, make_url

from include.ledger import schema
from include.ledger.store import Ledger
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
def memory():
    """A folder where a commit does not wait for a disk, for tests that are not about disks."""
    where = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="masivo-test-", dir=where if where.is_dir() else None) as folder:
        yield Path(folder)


@pytest.fixture
def ledger(shared_engine):
    """An empty ledger, ready to be written."""
    made = Ledger(shared_engine, "account")
    made.prepare()
    with shared_engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.execute(delete(table))
    made.prepare()
    return made


@pytest.fixture
def engine(ledger):
    """The engine that a task would use for `ledger`."""
    return ledger.engine
