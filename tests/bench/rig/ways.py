"""The ways from database to socket, each a process of its own that measures itself."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests import servers


ENTITIES = ("customers", "events", "transactions")
_RIG = Path(__file__).parent


def ledger(stack: ExitStack, kind: str) -> str:
    """
    Return the URL of an empty ledger in ``sqlite`` or ``postgres``, which goes when *stack* is
    closed.
    """
    if kind == "postgres":
        return stack.enter_context(servers.fresh_database(servers.POSTGRES))
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="masivo-bench-"))
    return f"sqlite:///{folder}/ledger.sqlite"


def ours(legacy_url: str, ledger_url: str, sink_url: str, step: str, *how: str) -> dict[str, Any]:
    """
    Do one *step* of this project's way, two slices at a time or ``one``, for the first time or
    ``again``, and return what was measured.
    """
    return _measured(sys.executable, "ours.py", legacy_url, ledger_url, sink_url, step, *how)


def other(way: str, legacy_url: str, sink_url: str, entity: str, rows: int, *, python: str = "") -> dict[str, Any]:
    """
    Do it another *way*, and return what was measured; *python* is that of an environment that has
    the tool.
    """
    return _measured(python or sys.executable, "others.py", way, legacy_url, sink_url, entity, str(rows))


def _measured(python: str, program: str, *arguments: str) -> dict[str, Any]:
    done = subprocess.run([python, str(_RIG / program), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program} {arguments[0]} failed: {done.stderr[-2000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))
