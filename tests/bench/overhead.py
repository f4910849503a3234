"""
What Airflow adds: seconds of a run that finds nothing to do, and of each slice beside its work.

A slice here has fifty rows, whose work takes a tenth of a second; the rest is the scheduler's loop,
a process of its own, imports and connections.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from masivo_engine.samples.retailer import build
from tests.scheduler import Scheduler, scheduler


CUSTOMERS, RECORDS = 150, 50
EXTRA = {
    "interval_s": 0,
    "margin_s": 0,
    "per_hour": 1_000_000,
    "records": RECORDS,
    "customers": RECORDS,
    "slice_requests": 1,
    "settle_after_s": 0,
}
_STEPS = (("queued_when", "start_date"), ("start_date", "end_date"))


def main() -> int:
    """Print the tables of a load and of a run after it; return 0 if both succeeded."""
    with tempfile.TemporaryDirectory() as folder:
        stock = partial(build.build, customers=CUSTOMERS)
        with scheduler(Path(folder) / "site", stock, mapping="sample", extra=EXTRA) as running:
            states = [running.run("load", full=True, approve_rows=None, tolerance=10_000, patience_s=900.0)]
            _slices(running, "load")
            states.append(running.run("nothing", tolerance=10_000))
            _run(running, "nothing")
    return 0 if states == ["success", "success"] else 1


def _slices(site: Scheduler, run_id: str) -> None:
    tasks = [task for task in site.airflow.tasks("masivo_sync", run_id) if task["task_id"].endswith(".send")]
    rows, seconds = _rows(site, run_id), _seconds(site, run_id)
    _say(f"{len(tasks)} slices of {RECORDS} rows, {rows:,} rows in {seconds:.0f} s, two slices at a time")
    for first, last in _STEPS:
        taken = sorted(_moment(task[last]) - _moment(task[first]) for task in tasks)
        _say(
            f"  {first} to {last:<16} median {statistics.median(taken):5.2f} s, from {taken[0]:.2f} to"
            f" {taken[-1]:.2f} s"
        )
    span = max(_moment(task["end_date"]) for task in tasks) - min(_moment(task["start_date"]) for task in tasks)
    _say(f"  a slice every {span / len(tasks):.2f} s, from the first to the last of them")


def _run(site: Scheduler, run_id: str) -> None:
    tasks = [task for task in site.airflow.tasks("masivo_sync", run_id) if task["start_date"] and task["end_date"]]
    _say(f"a run of {len(tasks)} tasks that reads {_rows(site, run_id):,} rows: {_seconds(site, run_id):.1f} s")
    for task in sorted(tasks, key=lambda task: str(task["start_date"])):
        _say(f"  {task['task_id']:<22}{_moment(task['end_date']) - _moment(task['start_date']):6.2f} s")


def _rows(site: Scheduler, run_id: str) -> int:
    read = "SELECT sum(s.read_rows) AS rows FROM masivo_slice s JOIN masivo_run r ON r.id = s.run WHERE r.run_id = :run"
    return int(site.ask(read, run=run_id)[0].rows or 0)


def _seconds(site: Scheduler, run_id: str) -> float:
    run: dict[str, Any] = site.call("GET", f"dags/masivo_sync/dagRuns/{run_id}")
    return _moment(run["end_date"]) - _moment(run["start_date"])


def _moment(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


if __name__ == "__main__":
    sys.exit(main())
