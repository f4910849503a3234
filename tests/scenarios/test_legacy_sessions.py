"""
The legacy database belongs to somebody who works with it: what we leave in its sessions, and how
long it waits for us.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event, insert, make_url, text

from masivo.connections import engines
from masivo_engine.checks.check import check
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import record_pages
from masivo_engine.source.reader import Source
from tests import mapping_folder, servers
from tests.databases import changing


EVERYTHING = Slice.everything(Entity.CUSTOMERS)


@pytest.fixture
def pooled_url(postgres_url):
    """The database of `postgres_url` through PgBouncer in transaction mode."""
    if not servers.PGBOUNCER:
        absent = "no pgbouncer on this machine: what a pooler hands on is not tested (apt-get install pgbouncer)"
        pytest.fail(absent) if servers.REQUIRED else pytest.skip(absent)
    with servers.pgbouncer(postgres_url) as url:
        yield url


@pytest.fixture
def site(postgres_url, sqlite_url, tmp_path, monkeypatch):
    with changing.site(postgres_url, sqlite_url, tmp_path, monkeypatch, keeps_time=False) as made:
        for n in range(8):
            made.shop.add_person(f"P{n}", points=5)
            made.shop.add_sale(f"S{n}", f"P{n}")
            made.shop.add_booking(f"T{n}", f"P{n}")
        yield made


def test_the_shop_behind_a_pooler_sells_on_while_we_read_and_after_we_left(site, pooled_url):
    connection = {"conn_type": "generic", "extra": {"sqlalchemy_url": pooled_url}}
    os.environ["AIRFLOW_CONN_LEGACY_DB"] = json.dumps(connection)
    shop = create_engine(pooled_url, connect_args={"prepare_threshold": None})

    def sells(n: int) -> None:
        with shop.begin() as on:
            on.execute(insert(changing.person).values(id=f"N{n}", name="Ana", points=1, changed_at=site.clock.ago(5)))
            assert on.execute(text("SHOW idle_in_transaction_session_timeout")).scalar() == "0"
            assert on.execute(text("SHOW transaction_isolation")).scalar() == "read committed"

    sells(1)
    for n in range(2, 6):
        site.sync()
        sells(n)
    engine = site.trip.place.legacy_engine
    assert check(site.trip.place.mapping, engine, limits=site.trip.place.hook.limits)
    sells(6)
    engine.dispose()
    sells(7)
    shop.dispose()
    assert {f"P{n}" for n in range(8)} <= site.sent(Entity.CUSTOMERS).keys()


def test_every_statement_is_in_a_transaction_that_can_only_read(site):
    engine = site.trip.place.legacy_engine
    said: list[tuple[str, str]] = []

    @event.listens_for(engine, "before_cursor_execute")
    def note(_connection, cursor, statement, *_):
        if not statement.startswith("SET TRANSACTION READ ONLY"):
            said.append((cursor.connection.execute("SHOW transaction_read_only").fetchone()[0], statement))

    site.sync()
    check(site.trip.place.mapping, engine, limits=site.trip.place.hook.limits)
    assert said
    assert [statement for is_on, statement in said if is_on != "on"] == []


def test_a_slice_that_waits_longer_than_postgresql_would_let_it_reads_on(postgres_url, tmp_path):
    made = create_engine(postgres_url)
    changing.metadata.create_all(made)
    with made.begin() as on:
        on.execute(text("INSERT INTO person SELECT 'P' || n, 'Ana', 5, '2026-01-01' FROM generate_series(1, 3000) n"))
        database = make_url(postgres_url).database
        on.execute(text(f"ALTER DATABASE {database} SET idle_in_transaction_session_timeout = '100ms'"))
    made.dispose()
    assert rows_with_a_pause(postgres_url, tmp_path, 0.5) == 3000


@pytest.mark.parametrize("waits", ["net_write_timeout", "idle_transaction_timeout", "wait_timeout"])
def test_a_slice_that_waits_longer_than_mariadb_would_let_it_reads_on(mariadb_url, tmp_path, waits):
    made = create_engine(mariadb_url)
    changing.metadata.create_all(made)
    with made.begin() as on:
        on.execute(text("ALTER TABLE person MODIFY name VARCHAR(2000)"))
        on.execute(
            text(
                "INSERT INTO person SELECT CONCAT('P', seq), RPAD('Ana', 700, 'x'), 5, '2026-01-01' FROM seq_1_to_20000"
            )
        )
    made.dispose()
    # What this session would have by default, as far as the server's own defaults may not be
    # touched here.
    short = make_url(mariadb_url).update_query_dict({"init_command": f"SET SESSION {waits} = 1"})
    assert rows_with_a_pause(short.render_as_string(hide_password=False), tmp_path, 3) == 20_000


def rows_with_a_pause(url: str, folder: Path, pause_s: float) -> int:
    """
    Read all customers as a slice does, and wait for *pause_s* after the first page, as if the lane
    belonged to others.
    """
    files = changing.FILES | {"mapping.yaml": "timezone: UTC\n"}
    engine = engines.legacy(make_url(url))
    rows = 0
    legacy = Source(engine, mapping_folder.mapping(folder, files), Entity.CUSTOMERS)
    for page in record_pages(legacy, EVERYTHING, Window()):
        if page and not rows:
            time.sleep(pause_s)
        rows += len(page or ())
    engine.dispose()
    return rows
