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
from pathlib import Path
from shutil import get_terminal_size

from include.account import account, as_json, as_text
from include.checking.asking import ROWS, Bounds
from include.checking.check import check
from include.checking.coverage import summary
from include.checking.finding import Severity, as_lines, blocker, counted, note
from include.errors import MigrationError, Misconfigured
from include.journey import Entity, Limits
from include.pack.pack import write_pack
from include.preview import origins, preview, statements
from include.retention import prune
from include.trail import trail
from masivo.demo.environment import connections
from masivo.demo.folder import latest
from masivo.sealing import unseal
from masivo.workplace import Workplace


_CONNECTIONS = ("AIRFLOW_CONN_LEGACY_DB", "AIRFLOW_CONN_MASIVO_API", "AIRFLOW_CONN_MASIVO_LEDGER")


def print_account(given: argparse.Namespace) -> int:
    """Print a run's account; fail if it does not add up."""
    place = _workplace(only_looks=True)
    place.ledger.open()
    made = account(place.ledger, given.run_id, place.hook.limits)
    print(json.dumps(as_json(made), indent=2) if given.json else as_text(made).rstrip())
    return 0 if made.adds_up else 1


def write_audit_pack(given: argparse.Namespace) -> int:
    """Write a run's audit pack and print where it is."""
    place = _workplace(only_looks=True)
    place.ledger.open()
    made = account(place.ledger, given.run_id, place.hook.limits)
    into = Path(given.to).expanduser() if given.to else place.packs
    try:
        print(write_pack(place.ledger, made, into, place.hook.limits).absolute())
    except OSError as error:
        raise Misconfigured(
            f"the audit pack cannot be written to {into}: {error.strerror}; name another with --to"
        ) from error
    return 0


def print_trail(given: argparse.Namespace) -> int:
    """Print what became of one customer's rows."""
    place = _workplace(only_looks=True)
    place.ledger.open()
    lines = list(trail(place.ledger, given.customer, unseal if given.payloads else None))
    print("\n".join(lines) or f"no run has read anything of customer {given.customer}")
    return 0 if lines else 1


def print_pruned(given: argparse.Namespace) -> int:
    """Fold the settled rows of old runs, and say how many."""
    place = _workplace()
    place.ledger.open()
    print(prune(place.ledger, keep_days=given.keep_days))
    return 0


def print_check(given: argparse.Namespace) -> int:
    """Print a line per finding, worst first; fail if one of them is a blocker."""
    place = _workplace()
    findings = []
    for name, prove in (("masivo_api", place.hook.prove), ("masivo_ledger", lambda: place.ledger_engine)):
        try:
            prove()
            findings.append(note(name, "usable", "usable: the API takes the key" if name == "masivo_api" else "usable"))
        except MigrationError as error:
            findings.append(blocker(name, "not_usable", str(error)))
    account = (
        None if any(found.where == "masivo_api" and found.code == "not_usable" for found in findings) else place.hook
    )
    bounds = Bounds(None, None) if given.all else Bounds(given.rows or ROWS)
    try:
        limits, newer_fields = place.hook.limits, place.hook.newer_fields
    except MigrationError:  # said above; the mapping is checked all the same
        limits, newer_fields = Limits(), False
    try:
        found = check(
            place.mapping, place.legacy_engine, limits=limits, bounds=bounds, newer_fields=newer_fields, account=account
        )
        findings += found
    except MigrationError as error:
        findings.append(blocker("legacy_db", "not_usable", str(error)))
    width = get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in as_lines(findings, width=width):
        print(line)
    print(f"\n{counted(findings)} in mapping {os.environ.get('MASIVO_MAPPING') or 'in use'}; {summary(findings)}")
    return 1 if any(found.severity is Severity.BLOCKER for found in findings) else 0


def print_preview(given: argparse.Namespace) -> int:
    """Print payloads and where their values come from; fail if there is none."""
    place, entity = _workplace(), Entity(given.entity)
    if given.limit < 1:
        raise Misconfigured(f"--limit {given.limit} shows nothing; give a number from 1")
    if entity not in place.mapping.queries:
        raise Misconfigured(f"mapping {place.mapping.name!r} has no {entity}.sql, so there is nothing to preview")
    legacy = place.legacy(entity)
    shown = 0
    for text in preview(legacy, limit=given.limit, key=given.key):
        print(text, end="\n\n")
        shown += 1
    if not shown:
        print(f"no row of {entity} has this key" if given.key else f"{entity}.sql finds no rows")
        return 1
    print("\n".join(origins(place.mapping, entity)))
    if given.sql:
        print()
        print("\n\n".join(statements(legacy, key=given.key)))
    return 0


def _workplace(*, only_looks: bool = False) -> Workplace:
    logging.getLogger("airflow").setLevel(logging.ERROR)
    folder = latest()
    if folder is not None and not any(name in os.environ for name in _CONNECTIONS):
        print(f"(no AIRFLOW_CONN_* is set: using the demo's in {os.path.relpath(folder.path)})", file=sys.stderr)
        mapping = {name: os.environ[name] for name in ("MASIVO_MAPPING",) if name in os.environ}
        os.environ |= connections(folder) | mapping
    return Workplace(only_looks=only_looks)
