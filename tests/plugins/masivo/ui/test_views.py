"""
The page in Airflow's UI where something is amiss: it says so in a sentence that gives nothing away,
and it never makes or locks a ledger.
"""

from __future__ import annotations

import json
import logging

import pytest
from sqlalchemy import insert, make_url
from starlette.requests import Request

from masivo.connections import engines
from masivo.connections.databases import ledger_engine
from masivo.services import Services
from masivo.ui import views
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.model.errors import EmptyLedger
from tests.include.reports.pages_read import Page
from tests.include.reports.small_packs import begin, work_off


HIDDEN = "postgresql+psycopg://ana:pa55word@127.0.0.1:9/secretplace"


@pytest.fixture
def connected(monkeypatch):
    """Say where the ledger is."""

    def connect(url):
        api = {
            "conn_type": "masivo",
            "host": "app.masivo.invalid",
            "password": "",
            "extra": {"token": "t", "account_id": "shop"},
        }
        monkeypatch.setenv("AIRFLOW_CONN_MASIVO_API", json.dumps(api))
        extra = {"sqlalchemy_url": url}
        monkeypatch.setenv("AIRFLOW_CONN_MASIVO_LEDGER", json.dumps({"conn_type": "generic", "extra": extra}))

    return connect


def answer(*run):
    """Ask for all runs, or for one by DAG and run id."""
    request = Request({"type": "http", "root_path": "/masivo", "headers": []})
    if run:
        return views._of_run(request, *run, lambda ledger, _, name: f"{name} of {ledger.account}")
    return views._answer(request, lambda ledger, _: f"the ledger of {ledger.account}")


def test_a_ledger_that_cannot_be_reached_gives_away_neither_place_nor_user(connected, caplog):
    connected(HIDDEN)
    with caplog.at_level(logging.WARNING):
        got = answer()
    assert got.status_code == 503
    assert "the log of Airflow's API server says why" in Page(got.body.decode()).text
    assert not [
        word for word in ("ana", "pa55word", "127.0.0.1", "secretplace") if word in Page(got.body.decode()).text
    ]
    assert "127.0.0.1:9/secretplace" in caplog.text
    assert "pa55word" not in caplog.text


def test_another_dags_run_is_answered_without_a_look_at_the_ledger(connected, caplog):
    connected(HIDDEN)
    got = answer("somebodys_dag", "run")
    assert got.status_code == 404
    assert caplog.text == ""


def test_a_look_makes_no_ledger(connected, tmp_path):
    file = tmp_path / "folder" / "ledger.sqlite"
    connected(f"sqlite:///{file}")
    got = answer()
    assert got.status_code == 404
    assert "No run has written to the ledger yet" in Page(got.body.decode()).text
    assert not file.parent.exists()
    with pytest.raises(EmptyLedger):
        ledger_engine(only_looks=True)


@pytest.fixture
def ledger(connected, tmp_path):
    """A ledger that the pages are connected to, for whoever writes it."""
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    connected(url)
    engine = engines.ledger(make_url(url))
    made = Ledger(engine, Services().hook.fingerprint)
    made.prepare()
    yield made
    engine.dispose()


def test_a_look_waits_for_no_writer(ledger):
    work_off(ledger, begin(ledger))
    with ledger.engine.begin():  # holds SQLite's write lock
        assert answer("masivo_sync", "run").status_code == 200
        assert answer("masivo_sweep", "run").status_code == 404


def test_the_tab_of_a_read_back_shows_the_run_that_it_reads(ledger):
    number = begin(ledger, "masivo_sweep/weekly")
    with ledger.engine.begin() as connection:
        read = {"run": number, "read_by": "verify", "customers": 1, "chosen": 1, "drawn": 1, "chosen_at": now()}
        connection.execute(insert(schema.readback), read)

    assert answer("masivo_verify", "verify").body.decode().startswith("masivo_sweep/weekly of ")
    assert answer("masivo_verify", "another").status_code == 404
