"""
A ledger of millions of entries: seconds until a run has started, its account is made, and a replay
has chosen its rows.

20 entries of every customer: one first load, and sweeps that found nothing new; one row in a
thousand waits. ``MASIVO_BENCH_ENTRIES`` says how many (20 million for docs/benchmarks.md). On
SQLite, and on PostgreSQL where ``MASIVO_BENCH_LEDGERS`` names it too.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any


sys.path[:0] = [str(Path(__file__).parents[2] / folder) for folder in (".", "include", "plugins")]

from masivo_engine.ledger.history.entries import known, sent_of  # noqa: E402
from masivo_engine.ledger.history.waiting import waiting, waiting_for  # noqa: E402
from sqlalchemy import make_url, text  # noqa: E402
from sqlalchemy.schema import CreateIndex, DropIndex  # noqa: E402

from masivo.connections import engines  # noqa: E402
from masivo_engine.ledger import schema  # noqa: E402
from masivo_engine.ledger.runs.coverage import covered, last_seen  # noqa: E402
from masivo_engine.ledger.runs.retention import prune  # noqa: E402
from masivo_engine.ledger.runs.runs import begin_run, finish_run
from masivo_engine.ledger.writing.slice_ledger import Ledger  # noqa: E402
from masivo_engine.mapping.settings import Policies  # noqa: E402
from masivo_engine.model.limits import Limits  # noqa: E402
from masivo_engine.model.rows import Entity  # noqa: E402
from masivo_engine.model.runs import (  # noqa: E402
    Covers,
    RunKind,
    Window,
)
from masivo_engine.planning.replay import Chosen, release  # noqa: E402
from masivo_engine.reports.account import account  # noqa: E402
from tests import servers  # noqa: E402


ENTRIES = int(os.environ.get("MASIVO_BENCH_ENTRIES", "1000000"))
LEDGERS = os.environ.get("MASIVO_BENCH_LEDGERS", "sqlite,postgres").split(",")
RUNS = 20
_AT = datetime(2026, 11, 1)  # noqa: DTZ001 (the ledger's times are UTC without a zone)
_COVERS = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()

# Of a run's rows one in eleven is a customer, five are events and five transactions.
_SHARES = ((Entity.CUSTOMERS, 1), (Entity.EVENTS, 5), (Entity.TRANSACTIONS, 5))
_NUMBERS = {
    "sqlite": (
        "(WITH RECURSIVE n(value) AS (SELECT 0 UNION ALL SELECT value + 1 FROM n WHERE value + 1 < {rows}) SELECT value"
        " FROM n)"
    ),
    "postgresql": "(SELECT generate_series(0::bigint, {rows} - 1) AS value)",
}
_ENTRIES = """
INSERT INTO masivo_entry (run, entity, slice, "key", customer, occurrence, content_hash, state, reason, column_name, shape, batch, points, reward)
SELECT {run}, entity, 1 + position / 50000, CASE entity WHEN 'customers' THEN customer ELSE substr(entity, 1, 1) || position END,
       customer, 0, {hash}, state, reason, '', '', CASE WHEN state IS NULL THEN {batch} + position / 1000 END, 1, ''
FROM (SELECT entity, position, 'C' || (position * 7919 % {customers}) AS customer,
             CASE WHEN position % 1000 = 7 THEN '{waits}' {settled} END AS state,
             CASE WHEN position % 1000 = 7 THEN 'changed_after_delivery' ELSE '' END AS reason
      FROM (SELECT CASE WHEN value % 11 = 0 THEN 'customers' WHEN value % 11 < 6 THEN 'events' ELSE 'transactions' END AS entity,
                   CASE WHEN value % 11 = 0 THEN value / 11 ELSE (value / 11) * 5 + (value % 11 - 1) % 5 END AS position
            FROM {numbers} numbers) placed) shaped
"""


def main() -> None:
    """Print a table for each database."""
    for kind in LEDGERS:
        with _ledger(kind) as (ledger, size):
            _say(f"\nledger of {ENTRIES:,} entries in {kind}: {size()}")
            _say(f"{'':<44}{'seconds':>10}")
            for what, do in _questions(ledger):
                began = time.perf_counter()
                found = do()
                _say(f"{what:<44}{time.perf_counter() - began:>10.2f}  {found}")


def _questions(ledger: Ledger) -> Iterator[tuple[str, Callable[[], Any]]]:
    policies = Policies()

    def start() -> str:
        for entity in Entity:
            covered(ledger, "bench", entity)
            last_seen(ledger, "bench", entity, runs=3)
        return "coverage and guards"

    def waits() -> str:
        free = sum(len(waiting(ledger, entity, policies, before=RUNS + 1)) for entity in Entity)
        children = sum(len(some) for entity in Entity for some in waiting_for(ledger, entity, before=RUNS + 1))
        return f"{free + children:,} are free"

    def page() -> str:
        found = known(ledger, Entity.EVENTS, {f"e{number * 37}" for number in range(1000)})
        sent_of(ledger, Entity.TRANSACTIONS, {f"C{number * 3}" for number in range(100)})
        return f"{len(found):,} keys are known"

    def accounts() -> str:
        return f"adds up: {account(ledger, f'run {RUNS}', Limits()).adds_up}"

    def first_account() -> str:
        return f"adds up: {account(ledger, 'run 1', Limits()).adds_up}"

    def replay() -> str:
        chosen = Chosen(tuple(Entity), reasons=("changed_after_delivery",))
        run = begin_run(
            ledger, "replay", mapping="bench", mapping_hash="0", covers=chosen.covers().as_json(), kind=RunKind.REPLAY
        )
        return ", ".join(str(one.rows) for one in release(ledger, run, chosen, Limits(), by="bench")) + " rows"

    yield "a run's start: coverage, guards", start
    yield "a run's start: what waits and is free", waits
    yield "a page's history, 1,000 keys", page
    yield "the newest run's account", accounts
    yield "the first load's account", first_account
    yield "a replay's selection", replay
    yield "forget the settled rows of one old run", lambda: _forgotten(ledger)


def _forgotten(ledger: Ledger) -> str:
    with ledger.engine.begin() as connection:
        connection.execute(text("UPDATE masivo_run SET finished_at = '2026-01-01' WHERE id = 2"))
    return str(prune(ledger, keep_days=30))


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
        began = time.perf_counter()
        _fill(ledger)
        filled = time.perf_counter() - began

        def size() -> str:
            if kind == "sqlite":
                with engine.connect() as connection:  # the log was as large as what it was filled with
                    connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
                total = sum(file.stat().st_size for file in folder.iterdir())
            else:
                with engine.connect() as connection:
                    total = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
            return f"{total / 1e9:.2f} GB, {total / ENTRIES:.0f} bytes an entry, made in {filled:.0f} s"

        yield ledger, size


def _fill(ledger: Ledger) -> None:
    engine, rows = ledger.engine, ENTRIES // RUNS // 11 * 11
    dialect = engine.dialect.name
    digest = "zeroblob(16)" if dialect == "sqlite" else "decode(md5(random()::text), 'hex')"
    numbers = _NUMBERS[dialect]
    for number in range(1, RUNS + 1):
        run = begin_run(ledger, f"run {number}", mapping="bench", mapping_hash="0", covers=_COVERS, kind=RunKind.FULL)
        finish_run(ledger, run.number, "adds up")
    with engine.begin() as connection:
        if dialect == "sqlite":
            connection.execute(text("PRAGMA foreign_keys = OFF"))
        for index in schema.entry.indexes:
            connection.execute(DropIndex(index))
        connection.execute(schema.batch.insert(), list(_batches(rows)))
        for number in range(1, RUNS + 1):
            settled = "" if number == 1 else "ELSE 'unchanged'"
            waits = "held" if number == RUNS else "superseded"
            statement = _ENTRIES.format(
                run=number,
                hash=digest,
                batch=(
                    "CASE entity"
                    f" {' '.join(f'WHEN {chr(39)}{entity}{chr(39)} THEN {first}' for entity, first, _ in _first_batches(rows))} END"
                ),
                customers=rows // 11,
                waits=waits,
                settled=settled,
                numbers=numbers.format(rows=rows),
            )
            connection.execute(text(statement))
            _slices(connection, number, rows)
        for index in schema.entry.indexes:
            connection.execute(CreateIndex(index))
    if (
        dialect == "postgresql"
    ):  # where autovacuum would; SQLite keeps a ledger without statistics, and so it is asked here
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _first_batches(rows: int) -> Iterator[tuple[Entity, int, int]]:
    """Yield each entity, the id of its first batch and how many it has, 1000 records each."""
    first = 1
    for entity, share in _SHARES:
        count = rows // 11 * share // 1000 + 1
        yield entity, first, count
        first += count


def _batches(rows: int) -> Iterator[dict[str, Any]]:
    for entity, first, count in _first_batches(rows):
        for number in range(count):
            yield {
                "id": first + number,
                "run": 1,
                "entity": entity.value,
                "slice": 1 + number // 50,
                "number": 1 + number,
                "fence": 1,
                "state": "delivered",
                "records": 1000,
                "customers": 200,
                "bytes": 500_000,
                "body_hash": bytes(16),
                "requests": 1,
                "packed_at": _AT,
                "sent_at": _AT,
            }


def _slices(connection: Any, run: int, rows: int) -> None:
    for entity, share in _SHARES:
        read = rows // 11 * share
        values = {"run": run, "entity": entity.value, "number": 1, "of": 1, "planned_rows": read, "read_rows": read}
        values |= {"started_at": _AT, "finished_at": _AT, "fence": 1}
        connection.execute(schema.part.insert().values(values))
        span = {"run": run, "entity": entity.value, "mapping": "bench", "until": _AT, "rows": read, "signature": "{}"}
        connection.execute(schema.coverage.insert().values(span))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    main()
