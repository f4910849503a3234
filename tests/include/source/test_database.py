"""
The legacy database itself: away, cut off, locked or too slow.
"""

from __future__ import annotations

import psycopg
import pytest
from pymysql.cursors import SSCursor
from sqlalchemy import NullPool, create_engine, event, text

from masivo_engine.model.errors import LegacyError, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Window
from masivo_engine.source.reader import Source
from tests import mapping_folder, servers
from tests.databases.dialects import Shop, everything, pages, places


@pytest.fixture
def postgres(postgres_url):
    engine = create_engine(postgres_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(sqlite_url):
    engine = create_engine(sqlite_url)
    yield engine
    engine.dispose()


def test_a_database_that_cannot_be_reached_is_named_in_one_sentence(tmp_path):
    engine = create_engine("postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing")
    with pytest.raises(LegacyError) as caught:
        Source(engine, mapping_folder.mapping(tmp_path, {}), Entity.CUSTOMERS)
    said = str(caught.value)
    assert said.startswith("the legacy database (postgresql) cannot be reached: ")
    assert "\n" not in said
    assert "secret" not in said


@pytest.mark.parametrize(("dialect", "cursor"), [("postgres", psycopg.ServerCursor), ("mariadb", SSCursor)])
def test_rows_stay_in_the_server_until_they_are_asked_for(request, tmp_path, dialect, cursor):
    engine = create_engine(request.getfixturevalue(f"{dialect}_url"))
    shop = Shop(engine, tmp_path)
    shop.add_receipts([(f"C{number:05}", f"{number:06}") for number in range(10)])
    legacy = shop.legacy()
    used = []
    event.listen(engine, "after_cursor_execute", lambda _connection, made, *_: used.append(type(made)))
    assert len(places(legacy, pages(legacy))) == 10
    assert any(issubclass(made, cursor) for made in used)
    engine.dispose()


KILL = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}


@pytest.mark.parametrize("dialect", ["postgres", "mariadb"])
def test_a_connection_that_is_cut_while_rows_come_is_a_reason_to_try_again(request, tmp_path, dialect):
    url = request.getfixturevalue(f"{dialect}_url")
    engine = create_engine(url)
    shop = Shop(engine, tmp_path)
    shop.add_receipts([(f"C{number:05}", f"{number:06}") for number in range(30_000)])
    legacy = shop.legacy()
    rows = legacy.pages(everything(Entity.EVENTS), Window())
    assert len(next(rows)) > 0

    killer = create_engine(url)
    with killer.begin() as connection:
        killed = connection.execute(text(KILL[connection.dialect.name])).scalars().all()
        if connection.dialect.name == "mysql":
            for number in killed:
                connection.exec_driver_sql(f"KILL {number}")
    assert killed
    with pytest.raises(TryAgainLater, match="gave up while it was read"):
        list(rows)

    assert len(places(legacy, pages(legacy))) == 30_000
    engine.dispose()
    killer.dispose()


def test_a_time_limit_of_the_database_is_a_reason_to_try_again(postgres, postgres_url, tmp_path):
    shop = Shop(postgres, tmp_path)
    impatient = create_engine(postgres_url, connect_args={"options": "-c lock_timeout=50"})
    legacy = Source(impatient, shop.mapping(), Entity.EVENTS)
    with postgres.begin() as connection:
        connection.exec_driver_sql("LOCK TABLE receipt")
        with pytest.raises(TryAgainLater, match="gave up while it was read: LockNotAvailable"):
            pages(legacy)
    assert pages(legacy) == []
    impatient.dispose()


def test_a_database_that_goes_away_after_it_was_opened_is_a_reason_to_try_again(postgres_server, tmp_path):
    with servers.fresh_database(postgres_server) as url:
        engine = create_engine(url, poolclass=NullPool)
        legacy = Shop(engine, tmp_path).legacy()
    with pytest.raises(TryAgainLater, match=r"^the legacy database \(postgresql\) cannot be reached: "):
        pages(legacy)


def test_a_locked_database_file_is_a_reason_to_try_again(sqlite, sqlite_url, tmp_path):
    shop = Shop(sqlite, tmp_path)
    shop.add_receipts([("A", "1")])
    impatient = create_engine(sqlite_url, connect_args={"timeout": 0})
    legacy = Source(impatient, shop.mapping(), Entity.EVENTS)
    with sqlite.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(TryAgainLater):
            pages(legacy)
        connection.rollback()
    assert len(pages(legacy)) == 1
    impatient.dispose()
