"""Errors in Airflow's words: a log may show them, and whoever reads it is not to see a row."""

from __future__ import annotations

import sqlite3
import traceback

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from masivo.connections import engines
from masivo.dags.retries import MigrationRetryPolicy, airflow_errors
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.errors import DatabaseFailed, TryAgainLater
from masivo_engine.model.rows import Entity
from tests.builders import begin, claimed, customer, see


@pytest.fixture
def failing(tmp_path):
    """A ledger whose database refuses every row, and quotes it."""
    engine = engines.ledger(make_url(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
    ledger = Ledger(engine, "account")
    ledger.prepare()
    writer = claimed(ledger, begin(ledger, "run", *Entity))
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TRIGGER t BEFORE INSERT ON masivo_record BEGIN SELECT RAISE(ABORT, 'not CC-799'); END")
        )
    yield lambda: see(writer, customer("CC-799"), customer("CC-800"))
    engine.dispose()


def test_what_the_ledgers_database_says_of_a_row_stays_out_of_the_log(failing):
    with pytest.raises(DatabaseFailed) as failed, airflow_errors():
        failing()
    said = "".join(traceback.format_exception(failed.value))
    assert "CC-" not in said
    assert str(failed.value) == (
        "a database failed: IntegrityError SQLITE_CONSTRAINT_TRIGGER, in bulk_insert.py, _add_rows; what was written before stands"
    )


def test_what_passes_is_tried_again_and_what_does_not_only_once_more(tmp_path):
    """A ledger that is locked is free later; one that refuses a row will refuse it again."""
    file = tmp_path / "locked.sqlite"
    with sqlite3.connect(file, isolation_level=None) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0}, hide_parameters=True)
        with (
            pytest.raises(TryAgainLater, match="OperationalError SQLITE_BUSY"),
            airflow_errors(),
            engine.begin() as asking,
        ):
            asking.execute(text("CREATE TABLE t (x)"))
        engine.dispose()
    failed = MigrationRetryPolicy().evaluate(DatabaseFailed("a database failed"), 2, 20)
    assert failed.action is RetryAction.FAIL


def test_parameters_are_not_part_of_an_error(failing):
    with pytest.raises(DBAPIError) as failed:
        failing()
    assert "CC-800" not in str(failed.value)
