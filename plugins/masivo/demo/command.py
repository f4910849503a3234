"""
``python -m masivo demo | up | down``: what `make` calls.

A demo builds what is missing, runs the migration once under Airflow's own scheduler, prints the
account and leaves nothing running. It may be stopped at any moment, in any way; the next one goes
on where it stood.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import textwrap
from datetime import UTC, datetime
from typing import Any

from masivo.demo.environment import MAPPINGS
from masivo.demo.folder import ROOT, Folder, folder_of, free_port, is_free
from masivo.demo.legacy import CUSTOMERS
from masivo.demo.processes import Program, Programs
from masivo.demo.progress import Clock, complaints, follow
from masivo.demo.stack import DAG_ID, PLAN, READ_BACK, Stack
from masivo_engine.model.errors import Misconfigured


UI_PORT = 8080


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """
    Add ``demo``, ``up`` and ``down`` to a command line; each sets `run`, which takes the parsed
    arguments.
    """
    demo = commands.add_parser("demo", help="the migration once, start to end, with embedded parts only")
    up = commands.add_parser("up", help="Airflow with its UI, the sandbox and the sample database, until `down`")
    for command in (demo, up):
        command.add_argument("--data", choices=MAPPINGS, default="sample", help="the legacy database (default: sample)")
        command.add_argument("--customers", type=_count, help=f"how many (default: {CUSTOMERS:,}, or all real ones)")
        command.add_argument("--fresh", action="store_true", help="forget what an earlier demo left")
    up.add_argument("--port", type=int, default=UI_PORT, help=f"of Airflow's UI (default: {UI_PORT})")
    down = commands.add_parser("down", help="stop what `up` started")
    demo.set_defaults(run=lambda given: run_demo(folder_of(given.data), given.customers, is_fresh=given.fresh))
    up.set_defaults(run=lambda given: run_up(folder_of(given.data), given.customers, given.port, is_fresh=given.fresh))
    down.set_defaults(run=lambda _: run_down())


def run_demo(folder: Folder, customers: int | None, *, is_fresh: bool) -> int:
    """
    Run the migration once and read it back; return 0 only if both succeeded and the account adds
    up.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    clock = Clock()
    with folder.held():
        if _up(folder).running():
            raise Misconfigured(f"`make up` is at work in {folder.path}: trigger a run in its UI, or `make down` first")
        programs = Programs(folder.path / "demo.programs")
        programs.stop()  # what a demo left that was killed together with its guard
        if is_fresh:
            folder.clear()
        stack = Stack(folder, programs, free_port(but=folder.settings().sandbox_port), is_scheduled=False)
        with programs.guarded():
            running, legacy = stack.start(customers, clock)
            # The faults in the sample are there to be found; one more than those must turn the run
            # red.
            state, tasks = _run(stack, running, DAG_ID, {"tolerance": legacy.faults}, clock)
            if any(task["task_id"] == "delivered" and task["state"] == "success" for task in tasks):
                # Airflow starts nothing by itself in a demo, so that nothing but this happens.
                read_back, _ = _run(stack, running, READ_BACK, {}, clock)
                state = state if state != "success" else read_back
            print(f"\n{textwrap.fill(legacy.note, width=120)}\n", flush=True)
            account = subprocess.run([sys.executable, "-m", "masivo", "account"], env=stack.environment, check=False)
    _point_the_way(folder)
    return 0 if state == "success" and account.returncode == 0 else 1


def run_up(folder: Folder, customers: int | None, port: int, *, is_fresh: bool) -> int:
    """Start everything, leave it running, and return when it is healthy."""
    with folder.held():
        programs = _up(folder)
        if programs.running():
            raise Misconfigured(f"`make up` has started everything in {folder.path} already; `make down` stops it")
        if not is_free(port):
            raise Misconfigured(
                f"port {port} is taken by another program; stop that, or choose one: make up PORT={port + 1}"
            )
        if is_fresh:
            folder.clear()
        try:
            Stack(folder, programs, port, is_scheduled=True).start(customers, Clock())
        except BaseException:
            programs.stop()
            raise
    print(f"\nAirflow's UI  http://localhost:{port}  (on this machine only; every visitor is an admin)")
    print(f"The sandbox   http://localhost:{folder.settings().sandbox_port}/view")
    print(f"First step    trigger {PLAN}, which cannot send, and look at it on the page Masivo;")
    print(f"              then trigger {DAG_ID} by hand. Nothing sends before that, whatever is switched on.")
    print("`make down` stops both; what they did is kept.")
    return 0


def run_down() -> int:
    """Stop what `up` started, for every data set."""
    stopped = sum(_up(folder_of(data)).stop() for data in MAPPINGS)
    print(f"{stopped} processes stopped." if stopped else "Nothing was up.")
    return 0


def _run(
    stack: Stack, running: list[Program], dag_id: str, parameters: dict[str, Any], clock: Clock
) -> tuple[str, list[dict[str, Any]]]:
    """Run a DAG once, show how it goes, and return the state that it ended in, with its tasks."""
    airflow, folder = stack.airflow, stack.folder
    run_id = f"demo__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    folder.unfinished_run.write_text(f"{dag_id} {run_id}")
    airflow.trigger(dag_id, run_id, parameters)
    clock.say(f"run              {dag_id}, {run_id}")
    state = follow(airflow, dag_id, run_id, running, clock)
    folder.unfinished_run.unlink()
    clock.say(f"run              {state}")
    tasks = airflow.tasks(dag_id, run_id)
    for task in tasks:
        if task["state"] == "failed":
            print("\n".join(complaints(folder.logs / "tasks", task)), flush=True)
    return state, tasks


def _point_the_way(folder: Folder) -> None:
    shown = os.path.relpath(folder.path)
    print(
        f"""
Everything is in {shown}: the three databases, logs/, env. To look further:

  . {os.path.relpath(ROOT)}/.venv/bin/activate; . {shown}/env
  python -m masivo account
  python -m masivo preview customers --limit 3
  python -m masivo trace CUSTOMER_ID
  make up DATA={folder.data}    # Airflow's UI on the same""",
        flush=True,
    )


def _up(folder: Folder) -> Programs:
    return Programs(folder.path / "up.programs")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of customers")
    return int(text)


def _leave(signum: int, _frame: Any) -> None:
    print("\nstopping; what was done is kept, and `make demo` goes on from there", flush=True)
    sys.exit(128 + signum)
