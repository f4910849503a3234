"""
The ledger's schema: what the migrations make, and which ledgers are refused.
"""

from __future__ import annotations

import multiprocessing
import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, make_url, select, text

from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.upgrade import _config, upgrade
from masivo_engine.model.errors import LedgerError


_VERSION = "masivo_alembic_version"


@pytest.fixture
def engine(ledger_url):
    """The engine of a database that nobody has written to."""
    made = engines.ledger(make_url(ledger_url))
    yield made
    made.dispose()


def test_the_migrations_make_exactly_the_schema_that_the_code_uses(engine):
    upgrade(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": _VERSION})
        assert compare_metadata(context, schema.metadata) == []
    migrated = as_made(engine)
    schema.metadata.drop_all(engine)
    schema.metadata.create_all(engine)
    assert migrated == as_made(engine)
    assert set(migrated) == set(schema.metadata.tables)


def as_made(engine):
    """Return each table of the ledger with its indexes, in the database's own words."""
    with engine.connect() as connection:
        names = [name for name in inspect(connection).get_table_names() if name not in (_VERSION, "sqlite_stat1")]
        return {name: _in_its_words(connection, name) for name in names}


def _in_its_words(connection, name):
    match connection.dialect.name:
        case "sqlite":
            query = text("SELECT sql FROM sqlite_master WHERE tbl_name = :name AND sql IS NOT NULL ORDER BY name")
            return connection.execute(query, {"name": name}).scalars().all()
        case "postgresql":
            columns = text(
                "SELECT column_name, data_type, character_maximum_length, numeric_precision, numeric_scale,"
                " is_nullable, column_default FROM information_schema.columns WHERE table_name = :name"
                " ORDER BY ordinal_position"
            )
            indexes = text("SELECT indexdef FROM pg_indexes WHERE tablename = :name ORDER BY indexname")
            keys = text(
                "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = CAST(:name AS regclass)"
                " ORDER BY conname"
            )
            return [connection.execute(query, {"name": name}).all() for query in (columns, indexes, keys)]
        case _:
            lines = [
                line.rstrip(",")
                for line in connection.exec_driver_sql(f"SHOW CREATE TABLE {name}").one()[1].split("\n")
            ]
            # Indexes in whatever order they were made.
            return sorted(lines, key=lambda line: (line.startswith("  KEY"), line if line.startswith("  KEY") else ""))


def test_no_migration_reads_todays_schema():
    scripts = list(ScriptDirectory.from_config(_config()).walk_revisions())
    assert [script.revision for script in scripts] == ["0001"]
    for script in scripts:
        assert "masivo_engine" not in re.sub(r'""".*?"""', "", Path(script.path).read_text(), flags=re.DOTALL)


def test_sqlite_knows_how_many_rows_an_index_has_alike(engine):
    """It gathers no statistics by itself, and reads a whole load for one row else."""
    upgrade(engine)
    if engine.dialect.name != "sqlite":
        return
    with engine.connect() as connection:
        known = set(connection.execute(text("SELECT idx FROM sqlite_stat1 WHERE tbl = 'masivo_record'")).scalars())
    assert known == {"masivo_record", *(index.name for index in schema.record.indexes)}


def test_an_upgrade_is_done_once_and_leaves_the_rows_alone(engine):
    Ledger(engine, "account").prepare()
    with engine.connect() as connection:
        before = connection.execute(select(schema.ledger)).all()

    Ledger(engine, "account").prepare()

    with engine.connect() as connection:
        assert connection.execute(select(schema.ledger)).all() == before


def test_every_table_begins_with_masivo_and_everything_else_is_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE somebody_elses (id INTEGER)"))
    upgrade(engine)

    names = set(inspect(engine).get_table_names())
    assert {name for name in names if not name.startswith("masivo_")} == {"somebody_elses"}


def test_a_ledger_of_a_newer_code_is_refused_in_one_sentence(engine):
    Ledger(engine, "account").prepare()
    with engine.begin() as connection:
        connection.execute(text("UPDATE masivo_alembic_version SET version_num = '9999'"))

    for opening in (Ledger(engine, "account").prepare, Ledger(engine, "account").open):
        with pytest.raises(LedgerError, match="schema 9999 is newer than this code: upgrade the code") as refused:
            opening()
        assert "\n" not in str(refused.value)


def test_an_empty_ledger_can_be_prepared_but_not_opened(engine):
    with pytest.raises(LedgerError, match="is empty: no run has written to it yet"):
        Ledger(engine, "account").open()


def test_a_ledger_of_which_only_the_tables_were_made_counts_as_empty(engine):
    upgrade(engine)
    with pytest.raises(LedgerError, match="is empty: no run has written to it yet"):
        Ledger(engine, "account").open()

    Ledger(engine, "account").prepare()
    Ledger(engine, "account").open()


def test_the_ledger_of_another_account_is_refused_and_not_touched(engine):
    Ledger(engine, "one").prepare()

    for opening in (Ledger(engine, "other").prepare, Ledger(engine, "other").open):
        with pytest.raises(LedgerError, match="belongs to another account than the connection masivo_api"):
            opening()
    Ledger(engine, "one").open()


def test_a_digest_is_salted_by_its_ledger(engine, tmp_path):
    first = Ledger(engine, "account")
    first.prepare()
    again = Ledger(engine, "account")
    again.open()
    elsewhere = Ledger(engines.ledger(make_url(f"sqlite:///{tmp_path / 'other.sqlite'}")), "account")
    elsewhere.prepare()

    assert first.digest("ana@example.invalid") == again.digest("ana@example.invalid")
    assert first.digest("ana@example.invalid") != elsewhere.digest("ana@example.invalid")
    elsewhere.engine.dispose()


def test_a_ledger_that_takes_no_writes_is_named_in_one_sentence(engine):
    Ledger(engine, "account").prepare()
    stop_writing = {
        "sqlite": "PRAGMA query_only = ON",
        "postgresql": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "mysql": "SET SESSION TRANSACTION READ ONLY",
    }[engine.dialect.name]
    with engine.connect() as connection:
        connection.exec_driver_sql(stop_writing)
        connection.commit()
    # The pool hands the same session out again.

    with pytest.raises(LedgerError, match=r"the ledger in .* cannot be written: .*; nothing was sent") as refused:
        Ledger(engine, "account").prepare()
    assert "\n" not in str(refused.value)


def _prepare(url, start):
    engine = engines.ledger(make_url(url))
    start.wait()
    Ledger(engine, "account").prepare()
    engine.dispose()


@pytest.mark.slow
def test_two_first_runs_at_once_make_one_ledger(ledger_url):
    processes = multiprocessing.get_context("spawn")
    start = processes.Barrier(2)
    both = [processes.Process(target=_prepare, args=(ledger_url, start)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()

    assert [process.exitcode for process in both] == [0, 0]
