"""
A ledger of millions of rows: bytes for each of them, and seconds until a run has started, a page is
judged, an account is frozen and read, and a replay has chosen its rows.

One first load, and sweeps that found nothing new; one row in a thousand waits.
``MASIVO_BENCH_ROWS`` says how many rows of the legacy database there are, ``MASIVO_BENCH_RUNS`` how
many runs. On SQLite, and on PostgreSQL where ``MASIVO_BENCH_LEDGERS`` names it too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any


sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in (".", "include", "plugins")]

from sqlalchemy import make_url, text  # noqa: E402
from sqlalchemy.schema import CreateIndex, DropIndex  # noqa: E402

from masivo.connections import engines  # noqa: E402
from masivo_engine.ledger import schema  # noqa: E402
from masivo_engine.ledger.connection import Ledger  # noqa: E402
from masivo_engine.ledger.counts import delivered_rows, newest_delivered  # noqa: E402
from masivo_engine.ledger.rows import Rows  # noqa: E402
from masivo_engine.ledger.runs import tallies  # noqa: E402
from masivo_engine.ledger.runs.asked import ask_open, plan_asked  # noqa: E402
from masivo_engine.ledger.runs.coverage import covered, last_seen  # noqa: E402
from masivo_engine.ledger.runs.runs import Run, begin_run, finish_run  # noqa: E402
from masivo_engine.model.limits import Limits  # noqa: E402
from masivo_engine.model.places import place_of  # noqa: E402
from masivo_engine.model.rows import Entity, State  # noqa: E402
from masivo_engine.model.runs import Covers, RunKind, Window  # noqa: E402
from masivo_engine.planning.replay import Chosen, release  # noqa: E402
from masivo_engine.reports.account import account  # noqa: E402
from tests import servers  # noqa: E402


ROWS = int(os.environ.get("MASIVO_BENCH_ROWS", "1000000")) // 11 * 11
RUNS = int(os.environ.get("MASIVO_BENCH_RUNS", "20"))
LEDGERS = os.environ.get("MASIVO_BENCH_LEDGERS", "sqlite,postgres").split(",")
_AT = datetime(2026, 11, 1)  # noqa: DTZ001 (the ledger's times are UTC without a zone)
_COVERS = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()
_HASH = "00"  # of the mapping
_REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
_WAITS = "changed_after_delivery"

# Of eleven rows one is a customer, five are events and five transactions.
_SHARES = {Entity.CUSTOMERS: 1, Entity.EVENTS: 5, Entity.TRANSACTIONS: 5}
_NUMBERS = {
    "sqlite": (
        "(WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value + 1 < {rows}) SELECT value"
        " FROM n)"
    ),
    "postgresql": "(SELECT generate_series(0::bigint, {rows} - 1) AS value)",
}
# Sixteen bytes that differ from row to row, as digests of a content or an address do.
_DIGESTS = {
    "sqlite": "CAST(printf('%016d', {seed} + value) AS BLOB)",
    "postgresql": "decode(md5(({seed} + value)::text), 'hex')",
}
_NO_DIGEST = {"sqlite": "NULL", "postgresql": "CAST(NULL AS BYTEA)"}
_HEX = {"sqlite": "printf('%032d', value)", "postgresql": "md5(value::text)"}
_HANDLES = {
    Entity.CUSTOMERS: """'{"n": "' || {hex} || '"}'""",
    Entity.EVENTS: """'{"p": true, "v": "10.95"}'""",
    Entity.TRANSACTIONS: """'{"y": "2024-01-01", "d": "' || {hex} || '", "t": true}'""",
}
_RECORDS = """
INSERT INTO masivo_record (entity, home, place, "key", customer, owner, changed, hash, points, worth, email, handle,
  state, reason, column_name, shape, since_run, has_batch, has_hash, has_customer, has_points, has_worth, has_email,
  has_handle, has_run, strays, run, slice, fence)
SELECT '{entity}', 't' || customer, 't' || name, name, customer, 't' || customer, '2026-10-01 12:00:00', hash, {points},
  {worth}, email, handle, CASE WHEN waits THEN 'held' ELSE 'delivered' END, CASE WHEN waits THEN '{reason}' ELSE '' END,
  '', '', 1, {batch} + value / 1000, CASE WHEN waits THEN {other} ELSE hash END, customer, {points}, {worth}, email,
  handle, 1, 0, {run}, 1 + value / 50000, 1
FROM (SELECT value, 'C' || (value {modulo} {customers}) AS customer, '{initial}' || value AS name, {hash} AS hash,
      {email} AS email, {handle} AS handle, value % 1000 = 7 AS waits FROM {numbers} numbers) shaped
ORDER BY 1, 2, 3
"""


def main() -> None:
    """Print a table for each database."""
    for kind in LEDGERS:
        with _ledger(kind) as (ledger, size):
            _say(f"\nledger of {ROWS:,} rows and {RUNS} runs in {kind}: {size()}")
            _say(f"{'':<52}{'seconds':>10}")
            for what, do in _questions(ledger):
                began = time.perf_counter()
                found = do()
                _say(f"{what:<52}{time.perf_counter() - began:>10.2f}  {found}")


def _questions(ledger: Ledger) -> Iterator[tuple[str, Callable[[], Any]]]:
    newest = f"run {RUNS}"

    def start() -> str:
        newest = 0
        for entity in Entity:
            covered(ledger, "bench", _HASH, entity)
            last_seen(ledger, "bench", entity, runs=3)
            newest += len(newest_delivered(ledger, entity, most=50))
        return f"{newest:,} rows are asked for"

    def delivered() -> str:
        return f"{sum(delivered_rows(ledger, entity) for entity in Entity):,} rows"

    def open_rows() -> str:
        run = _begin(ledger, "next").number
        asked = sum(ask_open(ledger, run, entity) for entity in Entity)
        planned = sum(plan_asked(ledger, run, entity, most=50_000) for entity in Entity)
        return f"{asked:,} are asked for, {planned:,} in slices"

    def read(run_id: str) -> str:
        return f"adds up: {account(ledger, run_id, Limits()).adds_up}"

    def frozen() -> str:
        tallies.freeze(ledger, RUNS)
        return ""

    def replay() -> str:
        chosen = Chosen(tuple(Entity), reasons=(_WAITS,))
        covers = chosen.covers().as_json()
        run = begin_run(ledger, "replay", mapping="bench", mapping_hash=_HASH, covers=covers, kind=RunKind.REPLAY)
        return ", ".join(f"{one.rows:,}" for one in release(ledger, run, chosen, Limits(), by="bench")) + " rows"

    yield "a run's start: coverage, guards", start
    yield "a plan of everything: how much is delivered", delivered
    yield "a run's start: what is open, in slices", open_rows
    yield from _lookups(ledger)
    yield "the newest run's account, while it is under way", lambda: read(newest)
    yield "the newest run's account is frozen", frozen
    yield "the newest run's account, frozen", lambda: read(newest)
    yield "the first load's account", lambda: read("run 1")
    yield "a replay's selection", replay


def _lookups(ledger: Ledger) -> Iterator[tuple[str, Callable[[], Any]]]:
    """What judging a page asks."""
    rows = Rows(ledger)

    def places() -> str:
        return f"{len(rows.at(Entity.EVENTS, [place_of(f'e{37 * n}') for n in range(1000)])):,} rows"

    def keys() -> str:
        return f"{len(rows.of_keys(Entity.EVENTS, [f'e{37 * n}' for n in range(1000)])):,} keys"

    def customers() -> str:
        found = rows.of_customers(Entity.TRANSACTIONS, [f"C{3 * n}" for n in range(200)])
        return f"{sum(map(len, found.values())):,} rows"

    def parents() -> str:
        return f"{len(rows.parents([f'C{3 * n}' for n in range(1000)])):,} customers"

    def addresses() -> str:
        with ledger.reading() as connection:
            digests = connection.execute(
                text("SELECT email FROM masivo_record WHERE entity = 'customers' LIMIT 1000")
            ).scalars()
            return f"{len(rows.of_emails([bytes(digest) for digest in digests])):,} customers"

    yield "a page: 1,000 places", places
    yield "a page: 1,000 names of the API", keys
    yield "a page: the transactions of 200 customers", customers
    yield "a page: 1,000 customers of children", parents
    yield "a page: 1,000 e-mail addresses", addresses


@contextmanager
def _ledger(kind: str) -> Iterator[tuple[Ledger, Callable[[], str]]]:
    with ExitStack() as stack:
        if kind == "sqlite":
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="masivo-bench-")))
            url = f"sqlite:///{folder / 'ledger.sqlite'}"
        else:
            url = stack.enter_context(servers.fresh_database(servers.POSTGRES))
        engine = engines.ledger(make_url(url))
        stack.callback(engine.dispose)
        ledger = Ledger(engine, "bench")
        ledger.prepare()

        def bytes_() -> int:
            if kind != "sqlite":
                with engine.connect() as connection:
                    return connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            with engine.connect() as connection:  # the log was as large as what it was filled with
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return sum(file.stat().st_size for file in folder.iterdir())

        empty, began = bytes_(), time.perf_counter()
        _fill(ledger)
        filled = time.perf_counter() - began

        def size() -> str:
            total = bytes_()
            return f"{total / 1e9:.2f} GB, {(total - empty) / ROWS:.0f} bytes a row, made in {filled:.0f} s"

        yield ledger, size


def _begin(ledger: Ledger, run_id: str) -> Run:
    return begin_run(ledger, run_id, mapping="bench", mapping_hash=_HASH, covers=_COVERS, kind=RunKind.FULL)


def _fill(ledger: Ledger) -> None:
    """Write what a first load and the sweeps after it leave behind; the newest has not ended."""
    engine = ledger.engine
    dialect = engine.dialect.name
    runs = [_begin(ledger, f"run {number}").number for number in range(1, RUNS + 1)]
    for run in runs[:-1]:
        finish_run(ledger, run, "adds up")
    with engine.begin() as connection:
        # With an index SQLite drops what the ledger says of it.
        is_sqlite = dialect == "sqlite"
        said = connection.execute(text("SELECT tbl, idx, stat FROM sqlite_stat1")).all() if is_sqlite else []
        for index in schema.record.indexes:
            connection.execute(DropIndex(index))
        batch = 1
        for entity in Entity:
            count = ROWS // 11 * _SHARES[entity]
            connection.execute(schema.batch.insert(), list(_batches(entity, batch, count)))
            connection.execute(text(_records(dialect, entity, batch, count)))
            for run in runs:
                _seen(connection, run, entity, count)
            batch += count // 1000 + 1
        for index in schema.record.indexes:
            connection.execute(CreateIndex(index))
        if is_sqlite:
            connection.execute(text("DELETE FROM sqlite_stat1"))
            connection.execute(
                text("INSERT INTO sqlite_stat1 VALUES (:tbl, :idx, :stat)"), [dict(row._mapping) for row in said]
            )
            connection.execute(text("ANALYZE sqlite_schema"))
        connection.execute(schema.run.update().where(schema.run.c.id < RUNS).values(frozen_at=_AT))
    # Where autovacuum would; SQLite keeps a ledger without statistics, and so it is asked here.
    if dialect == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _records(dialect: str, entity: Entity, batch: int, count: int) -> str:
    digest = _DIGESTS[dialect]
    is_customer, is_event = entity is Entity.CUSTOMERS, entity is Entity.EVENTS
    worth = "NULL" if is_event else f"""'{{"{_REWARD}": "1"}}'"""
    statement = _RECORDS.format(
        entity=entity.value,
        initial="C" if is_customer else entity.value[0],
        points=0 if is_event else 1,
        worth=worth,
        reason=_WAITS,
        batch=batch,
        other=digest.format(seed=10**12),
        run=RUNS,
        modulo="% 1000000000000 +" if is_customer else "* 7919 %",
        customers=0 if is_customer else ROWS // 11,
        hash=digest.format(seed=0),
        email=digest.format(seed=10**11) if is_customer else _NO_DIGEST[dialect],
        handle=_HANDLES[entity].replace("{hex}", _HEX[dialect]),
        numbers=_NUMBERS[dialect].format(rows=count),
    )
    return statement.replace(":", "\\:").replace("\\:\\:", "::")  # which SQLAlchemy takes for parameters


def _batches(entity: Entity, first: int, count: int) -> Iterator[dict[str, Any]]:
    for number in range(count // 1000 + 1):
        yield {
            "id": first + number,
            "run": 1,
            "entity": entity.value,
            "slice": 1 + number // 50,
            "number": 1 + number,
            "state": "delivered",
            "records": 1000,
            "customers": 200,
            "bytes": 500_000,
            "body_hash": bytes(16),
            "requests": 1,
            "packed_at": _AT,
            "sent_at": _AT,
        }


def _seen(connection: Any, run: int, entity: Entity, count: int) -> None:
    """Enter that *run* has read all rows, and where they ended if it has ended too."""
    values = {"run": run, "entity": entity.value, "number": 1, "of": 1, "planned_rows": count, "read_rows": count}
    values |= {"started_at": _AT, "finished_at": _AT, "fence": 1}
    connection.execute(schema.part.insert().values(values))
    span = {"run": run, "entity": entity.value, "mapping": "bench", "until": _AT, "rows": count, "signature": "{}"}
    connection.execute(schema.coverage.insert().values(span))
    if run == RUNS:
        return
    waits = len(range(7, count, 1000))
    state = State.DELIVERED if run == 1 else State.UNCHANGED
    worth = 0 if entity is Entity.EVENTS else 1
    for where, reason, number in ((state, "", count - waits), (State.HELD, _WAITS, waits)):
        points = Decimal(worth * number)
        tallies.add(connection, run, entity, where.value, reason, "", number, points, number if run == 1 else 0)


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    main()
