"""
Databases behind Airflow's connections, on real ones: how they are named, opened, and refused.
"""

from __future__ import annotations

import json
import sqlite3
import stat
import threading

import pytest
from airflow.sdk import Connection
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from masivo.connections.databases import connection_named, ledger_engine, legacy_engine, url_for
from masivo_engine.model.errors import LedgerError, LegacyError, Misconfigured


PASSWORD = "p@ss/w:ord%of#tests"
QUOTED = "p%40ss%2Fw%3Aord%25of%23tests"


@pytest.fixture
def define(monkeypatch):
    """Define a connection by the environment, as a URI or from a dictionary."""

    def put(conn_id: str, value) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", value if isinstance(value, str) else json.dumps(value))
        return conn_id

    return put


# --- names


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://ana:{p}@db:5433/shop", "postgresql+psycopg://ana:{p}@db:5433/shop"),
        ("postgresql://ana:{p}@db/shop?sslmode=require", "postgresql+psycopg://ana:{p}@db/shop?sslmode=require"),
        ("postgresql+psycopg://ana:{p}@db/shop", "postgresql+psycopg://ana:{p}@db/shop"),
        ("postgresql+psycopg2://ana@db/shop", "postgresql+psycopg2://ana@db/shop"),
        ("mysql://ana:{p}@db/shop?charset=latin1", "mysql+pymysql://ana:{p}@db/shop?charset=latin1"),
        ("mysql+pymysql://ana:{p}@db/shop?read_timeout=5", "mysql+pymysql://ana:{p}@db/shop?read_timeout=5"),
        ("mariadb+pymysql://ana:{p}@db/shop", "mariadb+pymysql://ana:{p}@db/shop"),
        ("sqlite:////var/shop.db", "sqlite:////var/shop.db"),
        ({"conn_type": "sqlite", "host": "/var/shop.db"}, "sqlite:////var/shop.db"),
        (
            {"conn_type": "mssql", "host": "db", "login": "ana", "schema": "shop", "extra": {"Encrypt": "no"}},
            "mssql+pyodbc://ana@db/shop?driver=ODBC+Driver+18+for+SQL+Server&Encrypt=no",
        ),
        ("mssql+pyodbc://db/shop?driver=Other", "mssql+pyodbc://db/shop?driver=Other"),
        ({"conn_type": "oracle", "host": "db", "schema": "SHOP"}, "oracle+oracledb://db?service_name=SHOP"),
        ({"conn_type": "oracle", "host": "db", "extra": {"sid": "X"}}, "oracle+oracledb://db/X"),
        (
            {"conn_type": "generic", "extra": {"sqlalchemy_url": f"postgresql://ana:{QUOTED}@db/shop"}},
            "postgresql+psycopg://ana:{p}@db/shop",
        ),
        (
            {"conn_type": "generic", "extra": {"sqlalchemy_url": "mysql+mysqldb://db/shop"}},
            "mysql+mysqldb://db/shop",
        ),
    ],
)
def test_a_connection_becomes_a_url_with_a_driver(define, given, expected):
    given = given.format(p=QUOTED) if isinstance(given, str) else given
    url = url_for(connection_named(define("legacy_db", given)))

    assert url == make_url(expected.format(p=QUOTED))
    assert url.password in (None, PASSWORD)


def test_extras_that_mean_nothing_to_the_driver_are_left_out_and_named(define, caplog):
    given = {"conn_type": "postgres", "host": "db", "extra": {"cursor": "dictcursor", "sslmode": "require"}}

    assert dict(url_for(connection_named(define("legacy_db", given))).query) == {"sslmode": "require"}
    assert "cursor" in caplog.text


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("http://shop.example", "names no database"),
        ({"conn_type": "generic", "host": "db"}, "sqlalchemy_url"),
        ({"conn_type": "generic", "extra": {"sqlalchemy_url": f"no url {PASSWORD}"}}, "is no SQLAlchemy URL"),
        ("sqlite:///shop.db", "absolute path"),
        ("sqlite://", "absolute path"),
        ({"conn_type": "generic", "extra": {"sqlalchemy_url": "sqlite://"}}, "absolute path"),
    ],
)
def test_a_connection_that_names_no_database_says_what_would(define, given, words):
    with pytest.raises(Misconfigured, match=words) as wrong:
        url_for(connection_named(define("legacy_db", given)))

    assert "'legacy_db'" in str(wrong.value)
    assert PASSWORD not in str(wrong.value)


def test_a_connection_that_is_not_defined_is_named_with_its_variable_and_the_ui():
    with pytest.raises(Misconfigured, match=r"AIRFLOW_CONN_NOT_THERE.*Admin > Connections"):
        connection_named("not_there")


def test_a_variable_that_is_no_connection_is_named(define):
    with pytest.raises(Misconfigured, match="AIRFLOW_CONN_BROKEN is set, but"):
        connection_named(define("broken", "{no json"))


def test_an_extra_that_is_no_json_is_named():
    with pytest.raises(Misconfigured, match="extra of connection 'x' is no JSON"):
        url_for(Connection(conn_id="x", conn_type="postgres", extra="{"))


# --- opening


def test_the_legacy_database_can_be_read_and_not_written(define, legacy_url):
    define("legacy_db", legacy_url)
    writable = create_engine(legacy_url)
    with writable.begin() as connection:
        connection.execute(text("CREATE TABLE shop (id INTEGER)"))
        connection.execute(text("INSERT INTO shop VALUES (1)"))
    writable.dispose()

    engine = legacy_engine()
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id FROM shop")).scalars().all() == [1]
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("INSERT INTO shop VALUES (2)"))
    with engine.connect() as connection, pytest.raises(DBAPIError):
        connection.execute(text("INSERT INTO shop VALUES (2)"))
    engine.dispose()


def test_the_ledger_commits_rolls_back_and_sees_only_what_was_committed(define, ledger_url):
    define("masivo_ledger", ledger_url)
    engine, other = ledger_engine(), ledger_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE masivo_probe (id INTEGER PRIMARY KEY)"))
    with engine.connect() as connection:
        connection.execute(text("INSERT INTO masivo_probe VALUES (1)"))
        with other.connect().execution_options(reads_only=True) as reader:
            assert reader.execute(text("SELECT count(*) FROM masivo_probe")).scalar() == 0
        connection.rollback()
    with engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM masivo_probe")).scalar() == 0
    engine.dispose()
    other.dispose()


def test_sessions_of_the_ledger_are_in_utc_and_read_committed(define, postgres_url, mariadb_url):
    engine = ledger_engine(define("masivo_ledger", postgres_url))
    with engine.connect() as connection:
        assert connection.execute(text("SHOW TimeZone")).scalar() == "UTC"
        connection.rollback()
        assert connection.execute(text("SHOW TimeZone")).scalar() == "UTC"
        assert connection.execute(text("SHOW transaction_isolation")).scalar() == "read committed"
    engine.dispose()

    engine = ledger_engine(define("masivo_ledger", mariadb_url))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT @@time_zone")).scalar() == "+00:00"
        assert connection.execute(text("SELECT @@tx_isolation")).scalar() == "READ-COMMITTED"
    engine.dispose()


def test_a_ledger_in_sqlite_makes_its_folder_keeps_its_file_to_itself_and_is_durable(define, tmp_path):
    file = tmp_path / "new" / "folder" / "ledger.db"
    engine = ledger_engine(define("masivo_ledger", f"sqlite:///{file}"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE masivo_probe (id INTEGER)"))
        told = {
            pragma: connection.execute(text(f"PRAGMA {pragma}")).scalar()
            for pragma in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in file.parent.iterdir()}
    engine.dispose()

    assert told == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30000}
    assert set(modes.values()) == {0o600}


def test_writers_of_a_ledger_in_sqlite_wait_for_each_other_even_if_they_read_first(define, tmp_path):
    define("masivo_ledger", f"sqlite:///{tmp_path / 'ledger.db'}")
    engine = ledger_engine()
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE masivo_probe (n INTEGER)"))
        connection.execute(text("INSERT INTO masivo_probe VALUES (0)"))
    failed = []

    def count():
        mine = ledger_engine()
        try:
            for _ in range(25):
                with mine.begin() as connection:
                    n = connection.execute(text("SELECT n FROM masivo_probe")).scalar_one()
                    connection.execute(text("UPDATE masivo_probe SET n = :n"), {"n": n + 1})
        except OperationalError as error:
            failed.append(error)
        finally:
            mine.dispose()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failed == []
    with engine.connect() as connection:
        assert connection.execute(text("SELECT n FROM masivo_probe")).scalar() == 100
    engine.dispose()


# --- refusing


def test_a_legacy_file_that_is_missing_is_named_and_not_made(define, tmp_path):
    file = tmp_path / "shop.db"
    with pytest.raises(LegacyError, match=f"'legacy_db'.*{file}.*no such file"):
        legacy_engine(define("legacy_db", f"sqlite:///{file}"))

    assert not file.exists()


def test_a_legacy_file_with_a_name_that_urls_would_misread_is_opened(define, tmp_path):
    file = tmp_path / "shop 100%?#.db"
    sqlite3.connect(file).close()
    given = {"conn_type": "sqlite", "host": str(file)}
    legacy_engine(define("legacy_db", given)).dispose()


def test_a_legacy_file_that_is_no_database_is_named(define, tmp_path):
    (tmp_path / "shop.db").write_text("customers;points\n" * 100)
    with pytest.raises(LegacyError, match=r"shop.db.*not a database"):
        legacy_engine(define("legacy_db", f"sqlite:///{tmp_path / 'shop.db'}"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("postgres://ana:{p}@127.0.0.1:1/shop", "postgresql, 127.0.0.1:1/shop.*cannot be reached.*refused"),
        ("mysql://ana:{p}@127.0.0.1:1/shop", "mysql, 127.0.0.1:1/shop.*cannot be reached.*refused"),
        ("postgres://ana:{p}@masivo.invalid/shop", "masivo.invalid.*cannot be reached"),
        ("mssql+pyodbc://ana:{p}@db/shop", "driver that is not installed: pip install 'pyodbc'"),
        ("oracle://ana:{p}@db/shop", "driver that is not installed: pip install 'oracledb'"),
        ("sybase+what://ana:{p}@db/shop", "SQLAlchemy does not know: 'sybase.what'"),
    ],
)
def test_a_legacy_database_that_cannot_be_reached_is_named_without_its_password(define, given, words):
    with pytest.raises(LegacyError, match=words) as wrong:
        legacy_engine(define("legacy_db", given.format(p=QUOTED)))

    said = str(wrong.value)
    assert "'legacy_db'" in said
    assert "\n" not in said
    assert [secret for secret in (PASSWORD, QUOTED) if secret in said] == []


def test_a_driver_that_lacks_a_library_of_the_system_names_it(define, tmp_path, monkeypatch):
    words = "libodbc.so.2: cannot open shared object file"  # what pyodbc says without unixODBC
    (tmp_path / "pyodbc.py").write_text(f"raise ImportError({words!r})")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LegacyError, match=f"'legacy_db'.*cannot be loaded .{words}.: install") as wrong:
        legacy_engine(define("legacy_db", f"mssql+pyodbc://ana:{QUOTED}@db/shop"))

    assert PASSWORD not in str(wrong.value)


@pytest.mark.parametrize("server", ["postgres_server", "mariadb_server"])
def test_a_login_that_is_refused_is_said_without_its_password(define, server, request):
    url = request.getfixturevalue(server).set(username="nobody_of_masivo", password=PASSWORD, database="nowhere")
    define("masivo_ledger", url.render_as_string(hide_password=False))
    with pytest.raises(LedgerError, match=r"'masivo_ledger'.*cannot be reached") as wrong:
        ledger_engine()

    assert PASSWORD not in str(wrong.value)


def test_a_ledger_that_cannot_be_written_is_named(define, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError, match=r"'masivo_ledger'.*cannot be written"):
        ledger_engine(define("masivo_ledger", f"sqlite:///{tmp_path / 'file' / 'ledger.db'}"))
    with pytest.raises(LedgerError, match="cannot be written"):
        ledger_engine(define("masivo_ledger", f"sqlite:///{tmp_path}"))


def test_a_ledger_elsewhere_than_in_a_database_that_it_knows_is_refused(define):
    with pytest.raises(LedgerError, match="cannot be kept in oracle; use SQLite, PostgreSQL"):
        ledger_engine(define("masivo_ledger", "oracle://db/shop"))
