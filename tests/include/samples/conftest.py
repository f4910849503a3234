"""Engines on the databases that the samples are built in; every one is disposed of."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine


@pytest.fixture
def engine(legacy_url):
    """An empty database, on each dialect in turn."""
    made = create_engine(legacy_url)
    yield made
    made.dispose()


@pytest.fixture
def sqlite(sqlite_url):
    """An empty SQLite database, where the dialect does not matter."""
    made = create_engine(sqlite_url)
    yield made
    made.dispose()
