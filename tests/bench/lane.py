"""
What a full load takes under Airflow's own scheduler, at ten times the API's pace: how long the lane
idles, and whether the plan was right.

Idle is what lies between two requests beyond the lane's own pace (interval and margin), by the
sandbox's journal. A hand-over takes as long at Masivo's 5 s as here, so the share there is a tenth
of what this prints.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, insert

from masivo_engine.sandbox.state.journal import Line
from tests.databases import proof
from tests.scheduler import Scheduler, scheduler


INTERVAL_S, MARGIN_S = 0.5, 0.05
RECORDS = int(os.environ.get("RECORDS", "200"))  # of one request
CUSTOMERS, EVENTS, TRANSACTIONS = 20, 300, 60  # requests
_ENDS = {"customers": "customers/migrate", "events": "migrate/events", "transactions": "migrate/transactions"}
EXTRA = {
    "interval_s": INTERVAL_S,
    "margin_s": MARGIN_S,
    "per_hour": 1_000_000,
    "records": RECORDS,
    "customers": RECORDS,
    "slice_requests": 50,
}


def main() -> int:
    """Print the table of one run; return 0 if it succeeded."""
    with tempfile.TemporaryDirectory() as folder:
        site = scheduler(Path(folder) / "site", stock, mapping=proof.MAPPING, extra=EXTRA, interval_s=INTERVAL_S)
        with site as running:
            state = running.run("lane", full=True, approve_rows=None, patience_s=1200.0)
            _tell(running)
    return 0 if state == "success" else 1


def stock(engine: Engine) -> None:
    """Customers, purchases and points for so many full requests."""
    proof.metadata.create_all(engine)
    members = CUSTOMERS * RECORDS
    with engine.begin() as connection:
        for table, rows in _rows(members):
            connection.execute(insert(table), rows)
        for name, columns in (
            ("member", "id"),
            ("lot", "member_id"),
            ("sale", "member_id, id"),
            ("sale_line", "sale_id"),
            ("booking", "member_id, id"),
        ):
            connection.exec_driver_sql(f"CREATE INDEX {name}_key ON {name} ({columns})")


def _rows(members: int) -> Iterator[tuple[Any, list[dict[str, Any]]]]:
    at = datetime(2024, 1, 1)  # noqa: DTZ001 (legacy times are naive)
    ids = [f"C{number:06}" for number in range(members)]
    bookings = TRANSACTIONS // CUSTOMERS
    yield (
        proof.member,
        [
            {"id": i, "name": i, "email": f"{i}@shop.invalid", "joined_at": at, "purchases": 0, "changed_at": at}
            for i in ids
        ],
    )
    yield proof.lot, [{"member_id": i, "position": 0, "points": 10 * bookings} for i in ids]
    sales = [
        (f"S{number:07}", ids[number % members], at + timedelta(minutes=number)) for number in range(EVENTS * RECORDS)
    ]
    yield (
        proof.sale,
        [{"id": s, "member_id": i, "cents": 700, "sold_at": when, "changed_at": when} for s, i, when in sales],
    )
    yield (
        proof.sale_line,
        [{"sale_id": s, "position": n, "sku": f"K{n}", "cents": 350} for s, _, _ in sales for n in range(2)],
    )
    yield (
        proof.booking,
        [
            {
                "id": f"T{i}-{n}",
                "member_id": i,
                "kind": "ACCUMULATION",
                "points": 10,
                "booked_at": at,
                "changed_at": at,
            }
            for i in ids
            for n in range(bookings)
        ],
    )


def _tell(site: Scheduler) -> None:
    posts = site.posts()
    plan = json.loads(site.ask("SELECT plan FROM masivo_run WHERE run_id = 'lane'")[0].plan)
    slices = dict(site.ask("SELECT entity, count(*) FROM masivo_slice GROUP BY entity"))
    _say(f"load average {os.getloadavg()[0]:.1f}; lane at {INTERVAL_S} s + {MARGIN_S} s, {RECORDS} records a request")
    _say(
        f"{'':<14}{'slices':>8}{'requests':>10}{'planned':>10}{'429':>6}{'seconds':>10}{'idle s':>9}{'idle':>9}{'longest':>9}"
    )
    for entity, told in plan["entities"].items():
        _line(entity, slices.get(entity, 0), [p for p in posts if p.path.endswith(_ENDS[entity])], told["requests"])
    _line("whole run", sum(slices.values()), posts, plan["requests"])
    for before, after in pairwise(posts):
        if before.path != after.path:
            _say(f"{before.path} to {after.path}: {after.monotonic_s - before.monotonic_s:.1f} s")
    taken = posts[-1].monotonic_s - posts[0].monotonic_s + INTERVAL_S
    _say(
        f"planned {plan['hours'] * 3600:.0f} s on the lane, taken {taken:.1f} s"
        f" ({taken / plan['hours'] / 3600 - 1:+.1%})"
    )


def _line(name: str, slices: int, posts: Sequence[Line], planned: int) -> None:
    gaps = [after.monotonic_s - before.monotonic_s for before, after in pairwise(posts)]
    idle = [max(0.0, gap - INTERVAL_S - MARGIN_S) for gap in gaps]
    refused = sum(post.status == 429 for post in posts)
    _say(
        f"{name:<14}{slices:>8}{len(posts):>10}{planned:>10}{refused:>6}{sum(gaps):>10.1f}{sum(idle):>9.2f}"
        f"{sum(idle) / sum(gaps):>9.2%}{max(idle):>9.2f}"
    )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    sys.exit(main())
