"""
The commands that read Airflow's connections, ``AIRFLOW_CONN_*``, as the tasks do.

Where none of them is set and a demo has run here, they use the demo's, and say so.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys

from include.account import account, as_json, as_text
from include.checking import check_mapping
from include.errors import MigrationError
from include.journey import Entity
from include.preview import preview
from include.trail import trail
from masivo.demo.environment import connections
from masivo.demo.folder import latest
from masivo.workplace import Workplace


_CONNECTIONS = ("AIRFLOW_CONN_LEGACY_DB", "AIRFLOW_CONN_MASIVO_API", "AIRFLOW_CONN_MASIVO_LEDGER")


def print_account(given: argparse.Namespace) -> int:
    """Print a run's account; fail if it does not add up."""
    place = _workplace()
    place.ledger.open()
    made = account(place.ledger, given.run_id, place.hook.limits)
    print(json.dumps(as_json(made), indent=2) if given.json else as_text(made).rstrip())
    return 0 if made.adds_up else 1


def print_trail(given: argparse.Namespace) -> int:
    """Print what became of one customer's rows."""
    place = _workplace()
    place.ledger.open()
    lines = list(trail(place.ledger, given.customer))
    print("\n".join(lines) or f"no run has read anything of customer {given.customer}")
    return 0 if lines else 1


def print_check(_: argparse.Namespace) -> int:
    """Print a line per finding; fail if one of them is a blocker."""
    place = _workplace()
    blockers = 0
    for severity, sentence in check_mapping(place.mapping, place.legacy):
        blockers += severity == "blocker"
        print(f"{severity:<8} {sentence}")
    for name, prove in (("masivo_api", place.hook.prove), ("masivo_ledger", lambda: place.ledger_engine)):
        try:
            prove()
            print(f"note     {name}: usable")
        except MigrationError as error:
            blockers += 1
            print(f"blocker  {error}")
    return 1 if blockers else 0


def print_preview(given: argparse.Namespace) -> int:
    """Print payloads; fail if there is none."""
    legacy = _workplace().legacy(Entity(given.entity))
    shown = 0
    for text in preview(legacy, limit=given.limit, key=given.key):
        print(text, end="\n\n")
        shown += 1
    if not shown:
        print("no such row" if given.key else "no rows")
    return 0 if shown else 1


def _workplace() -> Workplace:
    logging.getLogger("airflow").setLevel(logging.ERROR)
    folder = latest()
    if folder is not None and not any(name in os.environ for name in _CONNECTIONS):
        print(f"(no AIRFLOW_CONN_* is set: using the demo's in {os.path.relpath(folder.path)})", file=sys.stderr)
        mapping = {name: os.environ[name] for name in ("MASIVO_MAPPING",) if name in os.environ}
        os.environ |= connections(folder) | mapping
    return Workplace()
