"""
The plan of a whole migration beside the floor: the same rows streamed out of the database and
thrown away.

The plan reads, maps, validates, hashes and packs every row, and asks the ledger about it, without
sending. ``MASIVO_BENCH_PLAN`` is the size in events (default 1,000,000, as many transactions, a
fifth as many customers).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any


ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")]

from tests.bench.rig.shop import EVENTS_PER_CUSTOMER, shop  # noqa: E402
from tests.bench.rig.ways import ENTITIES, ledger, other, ours  # noqa: E402


EVENTS = int(os.environ.get("MASIVO_BENCH_PLAN", "1000000"))
_NOBODY = "http://127.0.0.1:9"


def main() -> None:
    """Print the plan and the floors, and how far they are apart."""
    customers = EVENTS // EVENTS_PER_CUSTOMER
    load = os.getloadavg()[0]
    _say(
        f"plan of {EVENTS:,} events with lines, {EVENTS:,} transactions, {customers:,} customers; load average"
        f" {load:.1f} at the start"
    )
    _say(f"{'way':<40}{'rows':>11}{'wall s':>9}{'rows/s':>10}{'CPU s':>8}{'MB':>7}{'of the plan':>13}")
    with ExitStack() as stack:
        url = stack.enter_context(shop(EVENTS))
        plan = ours(url, ledger(stack, "sqlite"), _NOBODY, "plan")
        _line("this, the plan of everything", plan, plan)
        for way, words in (
            ("stream", "floor: values, by a server-side cursor"),
            ("copy", "floor: COPY the joined rows"),
        ):
            parts = [other(way, url, _NOBODY, entity, 0) for entity in ENTITIES]
            _line(words, _together(parts), plan)


def _together(parts: list[dict[str, Any]]) -> dict[str, Any]:
    whole = {name: sum(part[name] for part in parts) for name in ("rows", "seconds", "cpu")}
    return whole | {"megabytes": max(part["megabytes"] for part in parts)}


def _line(way: str, took: Mapping[str, Any], plan: Mapping[str, Any]) -> None:
    if took["rows"] != plan["rows"]:
        raise SystemExit(f"{way}: {took['rows']:,} rows, and the plan has {plan['rows']:,}")
    _say(
        f"{way:<40}{took['rows']:>11,}{took['seconds']:>9.1f}{took['rows'] / took['seconds']:>10,.0f}{took['cpu']:>8.1f}"
        f"{took['megabytes']:>7.0f}{took['seconds'] / plan['seconds']:>13.0%}"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    main()
