"""
What a person sees while a demo runs: one line per task that ended, and what the API holds by then.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from masivo.demo.processes import Program
from masivo.demo.rest import Airflow


_ENDED = {"success", "failed", "skipped", "upstream_failed", "removed", "up_for_retry"}
_POLL_S = 0.5


class Clock:
    """Prints lines that begin with the seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def say(self, line: str) -> None:
        print(f"{time.monotonic() - self._start:6.1f} s  {line}", flush=True)


def follow(airflow: Airflow, dag_id: str, run_id: str, programs: Iterable[Program], clock: Clock) -> str:
    """
    Print each task of the run as it ends, and return the state that the run ended in.

    :raises Died: one of *programs* ended before the run did.
    """
    said: set[tuple[str, str, int]] = set()
    while True:
        state = airflow.state(dag_id, run_id)
        for task in airflow.tasks(dag_id, run_id):
            line = (_name(task), task["state"] or "", task["try_number"])
            if task["state"] in _ENDED and line not in said:
                said.add(line)
                clock.say(f"{line[0]:<32} {line[1]}{_seconds(task)}")
        if state in {"success", "failed"}:
            return state
        for program in programs:
            program.check()
        time.sleep(_POLL_S)


def complaints(logs: Path, task: dict[str, Any]) -> list[str]:
    """Return what a failed task's log says went wrong: its errors, each in a line."""
    folder = logs / f"dag_id={task['dag_id']}" / f"run_id={task['dag_run_id']}" / f"task_id={task['task_id']}"
    if task["map_index"] >= 0:
        folder /= f"map_index={task['map_index']}"
    found = []
    with suppress(FileNotFoundError):
        for line in (folder / f"attempt={task['try_number']}.log").read_text(errors="replace").splitlines():
            with suppress(ValueError):
                found += _errors(json.loads(line))
    return found


def _errors(entry: dict[str, Any]) -> list[str]:
    if entry.get("level") not in {"error", "critical"}:
        return []
    for raised in entry.get("error_detail") or ():
        return [raised["exc_value"]]  # the first is the outermost, which was made for people
    return [str(entry.get("event", ""))]


def _name(task: dict[str, Any]) -> str:
    return f"{task['task_id']} [{task['map_index']}]" if task["map_index"] >= 0 else str(task["task_id"])


def _seconds(task: dict[str, Any]) -> str:
    return f" in {task['duration']:.1f} s" if task["duration"] else ""
