"""
From database to socket: rows a second, CPU and memory of this project and of other ways, side by
side in one run.

Every way is a process of its own against the same PostgreSQL and the same sink, which answers 201
at once; the API itself allows 200 rows a second. This project's is two, as Airflow runs it: a slice
each, two at a time; and beside it the same one at a time, and a sweep, which reads all of it again
and finds it delivered. MB are those of the largest process. ``MASIVO_BENCH_EVENTS`` is the size
(events, as many transactions, a fifth as many customers); ``MASIVO_BENCH_PEERS`` the Python of an
environment with dlt and drt. Two cores that others use too move wall time a lot, so CPU seconds
stand beside it.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any


ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")]

from tests.bench.rig.shop import EVENTS, shop  # noqa: E402
from tests.bench.rig.sink import Sink, sink  # noqa: E402
from tests.bench.rig.ways import ENTITIES, ledger, other, ours  # noqa: E402


PEERS = os.environ.get("MASIVO_BENCH_PEERS", "")
TOOLS = ("dlt", "dlt-rows", "drt")


def main() -> None:
    """Print a line for each way and entity, as they are done."""
    load = os.getloadavg()[0]
    _say(
        f"{EVENTS:,} events with lines, {EVENTS:,} transactions, {EVENTS // 5:,} customers; load average {load:.1f} at"
        " the start"
    )
    _say(
        f"{'way':<22}{'entity':<14}{'rows':>10}{'wall s':>9}{'rows/s':>10}{'CPU s':>8}{'MB':>7}{'requests':>10}{'least':>7}"
    )
    with ExitStack() as stack:
        url, taker = stack.enter_context(shop()), stack.enter_context(sink())
        for kind in ("sqlite", "postgres"):
            kept = ledger(stack, kind)
            ours(url, kept, taker.url, "begin")
            for entity in ENTITIES:
                _line(f"this, ledger {kind}", entity, ours(url, kept, taker.url, entity), taker)
            ours(url, kept, taker.url, "begin", "again")
            for entity in ENTITIES:
                _line(f"sweep, {kind}", entity, ours(url, kept, taker.url, entity, "again"), taker)
        kept = ledger(stack, "sqlite")
        ours(url, kept, taker.url, "begin")
        for entity in ENTITIES:
            _line("this, one at a time", entity, ours(url, kept, taker.url, entity, "one"), taker)
        plan = ours(url, ledger(stack, "sqlite"), taker.url, "plan")
        _line("this, the plan of all", "all", plan, taker)
        for way in ("hand", *(TOOLS if PEERS else ()), "copy", "post"):
            for entity in ENTITIES:
                python = PEERS if way in TOOLS else ""
                _line(way, entity, other(way, url, taker.url, entity, _rows(entity), python=python), taker)


def _rows(entity: str) -> int:
    return EVENTS // 5 if entity == "customers" else EVENTS


def _line(way: str, entity: str, took: dict[str, Any], taker: Sink) -> None:
    counted = taker.counts()
    expected = 0 if way.startswith("sweep") else took["rows"]
    if way not in {"copy", "this, the plan of all"} and counted["records"] != expected:
        raise SystemExit(f"{way}, {entity}: {took['rows']:,} rows were read and {counted['records']:,} records arrived")
    least = -(-counted["records"] // 1000)
    speed = took["rows"] / took["seconds"]
    _say(
        f"{way:<22}{entity:<14}{took['rows']:>10,}{took['seconds']:>9.1f}{speed:>10,.0f}{took['cpu']:>8.1f}{took['megabytes']:>7.0f}"
        f"{counted['requests']:>10,}{least:>7,}"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    main()
