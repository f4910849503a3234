"""The ways from database to socket, each a process of its own that measures itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import servers


ENTITIES = ("customers", "events", "transactions")
READY = "ready"
_RIG = Path(__file__).parent


def ledger(stack: ExitStack, kind: str) -> str:
    """Return the URL of an empty ledger in ``sqlite`` or ``postgres``, which goes when *stack* is closed."""
    if kind == "postgres":
        return stack.enter_context(servers.fresh_database(servers.POSTGRES))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="masivo-bench-"))
    return f"sqlite:///{folder}/ledger.sqlite"


def ours(legacy_url: str, ledger_url: str, sink_url: str, step: str, *, tasks: int = 1) -> dict[str, Any]:
    """Do one *step* of this project's way, its slices in so many *tasks* at a time, and return what was measured, memory of all together."""
    command = [sys.executable, str(_RIG / "ours.py"), legacy_url, ledger_url, sink_url, step]
    with ExitStack() as stack:
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        doing = [
            stack.enter_context(subprocess.Popen([*command, str(number), str(tasks)], text=True, **pipes))
            for number in range(tasks)
        ]
        for task in doing:
            _line_of(task, is_wanted=READY.__eq__)
        began = time.perf_counter()
        for task in doing:
            task.stdin.write("go\n")
            task.stdin.flush()
        done = [json.loads(_line_of(task, is_wanted=lambda line: line.startswith('{"rows"'))) for task in doing]
        seconds = time.perf_counter() - began
    return {name: sum(one[name] for one in done) for name in done[0]} | {"seconds": seconds}


def _line_of(task: subprocess.Popen[str], *, is_wanted: Callable[[str], bool]) -> str:
    for line in task.stdout or ():
        if is_wanted(line.strip()):
            return line
    raise SystemExit(f"a task of this project's way ended with {task.wait()}; by itself it says why: {task.args}")


def other(way: str, legacy_url: str, sink_url: str, entity: str, rows: int, *, python: str = "") -> dict[str, Any]:
    """Do it another *way*, and return what was measured; *python* is that of an environment that has the tool."""
    return _measured(python or sys.executable, "others.py", way, legacy_url, sink_url, entity, str(rows))


def _measured(python: str, program: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([python, str(_RIG / program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program} {arguments[0]} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
