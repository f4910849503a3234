"""
A ledger of the first schema under today's code: brought forward once, whatever interrupted it, and
nothing of it is sent again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest
from alembic import command
from sqlalchemy import event, inspect, make_url, text

from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.upgrade import _alone, _config, upgrade
from masivo_engine.reports.account import account
from tests.databases.sample import sample_shop
from tests.whole_migration import journey


pytestmark = pytest.mark.slow


# What the first code wrote of a row, and nothing else: the columns that came later are not named.
_FIRST = {
    "masivo_ledger": "id, account, salt, refusals, created_at",
    "masivo_claim": 'kind, digest, "key"',
    "masivo_run": "id, run_id, mapping, mapping_hash, covers, started_at, finished_at, outcome",
    "masivo_slice": (
        'run, entity, number, "of", lower_bound, upper_bound, planned_rows, read_rows, fence, started_at, finished_at'
    ),
    "masivo_batch": (
        "id, run, entity, slice, number, fence, state, records, customers, bytes, body_hash, requests, status, reason,"
        " words, seconds, packed_at, sent_at, settled_at"
    ),
    "masivo_entry": (
        'id, run, entity, slice, "key", customer, occurrence, content_hash, state, reason, column_name, shape, batch,'
        " points, balance"
    ),
}


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    """A sample database."""
    return f"sqlite:///{sample_shop(tmp_path_factory.mktemp('first'), customers=60)[0]}"


def make_first(engine):
    """Make the tables of the first schema."""
    with engine.begin() as connection, _alone(connection):
        command.upgrade(_config(connection), "0001")


def as_the_first_code_left_it(engine):
    """
    Take what is in a ledger of today, make the ledger one of the first schema, and write it there
    by SQL.
    """
    quote = engine.dialect.identifier_preparer.quote_identifier
    names = {
        table: columns.replace('"key"', quote("key")).replace('"of"', quote("of")) for table, columns in _FIRST.items()
    }
    with engine.connect() as connection:
        rows = {
            table: [tuple(row) for row in connection.exec_driver_sql(f"SELECT {columns} FROM {table}")]
            for table, columns in names.items()
        }
    drop_all(engine)
    make_first(engine)
    mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
    with engine.begin() as connection:
        for table, columns in names.items():
            if rows[table]:
                places = ", ".join(mark for _ in rows[table][0])
                connection.exec_driver_sql(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows[table])
        if engine.dialect.name == "postgresql":  # rows that bring their ids along do not move the counter
            for table in ("masivo_run", "masivo_batch", "masivo_entry"):
                moved = f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
                connection.exec_driver_sql(moved)
    return {table: len(found) for table, found in rows.items()}


def drop_all(engine):
    """Drop every table of the ledger, children first."""
    with engine.begin() as connection:
        there = set(inspect(connection).get_table_names())
        for table in [*(table.name for table in reversed(schema.metadata.sorted_tables)), "masivo_alembic_version"]:
            if table in there:
                connection.exec_driver_sql(f"DROP TABLE {table}")


def test_a_ledger_of_the_first_schema_is_brought_forward_and_nothing_is_sent_again(legacy, ledger_url):
    with journey(legacy, ledger_url) as trip:
        first = trip.migrate("first")
        sent = len(trip.posts())
        written = as_the_first_code_left_it(trip.place.ledger_engine)
        again = trip.migrate("again")

        assert written["masivo_entry"] == sum(entity.read for entity in first.entities) > 0
        assert again.adds_up
        assert again.sent == 0
        assert len(trip.posts()) == sent
        assert account(trip.place.ledger, "first").adds_up
        states = [one.states for one in account(trip.place.ledger, "first").entities]
        assert sum(count.get("delivered", 0) for count in states) == sum(
            one.states["delivered"] for one in first.entities
        )


def test_a_slice_that_the_first_code_was_at_work_on_is_free_for_the_next_run(ledger_url):
    engine = engines.ledger(make_url(ledger_url))
    make_first(engine)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO masivo_run (id, run_id, mapping, mapping_hash, covers, started_at) "
                "VALUES (1, 'r', 'sample', '0', '{}', '2026-01-01 00:00:00')"
            )
        )
        of = engine.dialect.identifier_preparer.quote_identifier("of")
        connection.execute(
            text(
                f"INSERT INTO masivo_slice (run, entity, number, {of}, planned_rows, fence, started_at) "
                "VALUES (1, 'events', 1, 1, 10, 1, '2026-01-01 00:00:00')"
            )
        )
    upgrade(engine)

    with engine.connect() as connection:
        assert connection.execute(text("SELECT renewed_at FROM masivo_slice")).scalar_one() == 0
    engine.dispose()


def _upgrade_and_die(url, statements):
    engine = engines.ledger(make_url(url))
    passed = []

    @event.listens_for(engine, "after_cursor_execute")
    def _die(_connection, _cursor, statement, *_):
        if statement.lstrip().upper().startswith(("ALTER TABLE", "CREATE TABLE", "CREATE INDEX")):
            passed.append(statement)
            if len(passed) == statements:
                os.kill(os.getpid(), signal.SIGKILL)

    upgrade(engine)


@pytest.mark.parametrize("statements", [1, 7, 12, 15])
def test_an_upgrade_that_was_killed_half_way_is_done_again(mariadb_url, statements):
    engine = engines.ledger(make_url(mariadb_url))
    make_first(engine)
    process = multiprocessing.get_context("spawn").Process(target=_upgrade_and_die, args=(mariadb_url, statements))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL
    with engine.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM masivo_alembic_version")).scalar_one() == "0001"

    Ledger(engine, "account").prepare()

    made = {table: {column["name"] for column in inspect(engine).get_columns(table)} for table in _tables(engine)}
    indexes = {table: {index["name"] for index in inspect(engine).get_indexes(table)} for table in _tables(engine)}
    drop_all(engine)
    upgrade(engine)
    assert made == {
        table: {column["name"] for column in inspect(engine).get_columns(table)} for table in _tables(engine)
    }
    assert indexes == {
        table: {index["name"] for index in inspect(engine).get_indexes(table)} for table in _tables(engine)
    }
    engine.dispose()


def _tables(engine):
    return [name for name in inspect(engine).get_table_names() if name.startswith("masivo_")]
