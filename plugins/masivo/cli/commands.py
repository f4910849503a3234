"""
The commands that read Airflow's connections and Variables, as the tasks do: from the environment, a
secrets backend, Airflow's database.

Where none of them has a connection of ours and a demo has run here, they use the demo's. What is
not from the environment they say on standard error. What a command is asked for goes to *out*, and
nothing else does.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TextIO

from masivo.cli import tie
from masivo.connections.lookup import ENVIRONMENT, origin_of, with_airflows_database
from masivo.connections.sealing import unseal
from masivo.demo.environment import connections
from masivo.demo.folder import latest
from masivo.services import Services, folder
from masivo_engine.checks.check import check
from masivo_engine.checks.coverage import summary
from masivo_engine.checks.finding import Finding, Severity, as_lines, blocker, counted, note
from masivo_engine.checks.preview import origins, preview, statements
from masivo_engine.checks.questions import ROWS, Bounds
from masivo_engine.draft.draft import drafted, write
from masivo_engine.draft.files import FILL_IN
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.mapping.loader import load, new_folder
from masivo_engine.model.errors import MigrationError, Misconfigured, Misused
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json, as_text
from masivo_engine.reports.pack.pack import write_pack
from masivo_engine.reports.trail import trail


_LEGACY, _API, _LEDGER = _CONNECTIONS = ("legacy_db", "masivo_api", "masivo_ledger")
_NOT_USABLE = "not_usable"
# A mapping whose zone is still to be said is looked at all the same, as if its times were in UTC.
_ANY_ZONE = "UTC"


def print_account(given: argparse.Namespace) -> int:
    """Print a run's account; fail if it does not add up."""
    with _workplace(_LEDGER, _API, only_looks=True) as place:
        place.ledger.open()
        made = account(place.ledger, given.run_id, place.hook.limits)
        print(json.dumps(as_json(made), indent=2) if given.json else as_text(made).rstrip(), file=given.out)
        return 0 if made.adds_up else 1


def write_audit_pack(given: argparse.Namespace) -> int:
    """Write a run's audit pack and print where it is."""
    with _workplace(_LEDGER, _API, only_looks=True) as place:
        into = folder(given.to, "--to", Misused) if given.to else place.packs
        place.ledger.open()
        made = account(place.ledger, given.run_id, place.hook.limits)
        try:
            print(write_pack(place.ledger, made, into, place.hook.limits).absolute(), file=given.out)
        except OSError as error:
            raise Misconfigured(
                f"the audit pack cannot be written to {into}: {error.strerror}; name another with --to"
            ) from error
        return 0


def print_trail(given: argparse.Namespace) -> int:
    """Print what became of one customer's rows."""
    with _workplace(_LEDGER, _API, only_looks=True) as place:
        place.ledger.open()
        lines = list(trail(place.ledger, given.customer, unseal if given.payloads else None))
        print("\n".join(lines) or f"no run has read anything of customer {given.customer}", file=given.out)
        return 0 if lines else 1


def print_pruned(given: argparse.Namespace) -> int:
    """Forget what nobody decides by any more, and say how much."""
    with _workplace(_LEDGER, _API) as place:
        place.ledger.open()
        print(prune(place.ledger, keep_days=given.keep_days), file=given.out)
        return 0


def tie_ledger(given: argparse.Namespace) -> int:
    """Let the ledger know its account as the connection names it now."""
    with _workplace(_LEDGER, _API) as place:
        return tie.tie(place, given, given.out)


def print_check(given: argparse.Namespace) -> int:
    """
    Print a line per finding, worst first; fail if one of them is a blocker, and otherwise if that
    is one of the set-up.
    """
    with _workplace() as place:
        bounds = Bounds(None, None) if given.all else Bounds(given.rows or ROWS)
        return _print_findings(place, *place.mapping_named, bounds, given.out)


def write_draft(given: argparse.Namespace) -> int:
    """Write a mapping to begin with; print what it is made of and what the check says of it."""
    with _workplace(_LEGACY) as place:
        into = new_folder(given.name)
        made = drafted(place.legacy_engine)
        write(made, into)
        print("\n".join(made.lines()), end="\n\n", file=given.out)
        _print_findings(place, str(into), "the draft", Bounds(), given.out)
        print(
            f"\nwritten to {into}: {made.to_fill_in} lines are yours, grep -n '{FILL_IN}' {into}/*; then"
            f" MASIVO_MAPPING={given.name} python -m masivo check, and trigger masivo_plan",
            file=given.out,
        )
    return 0


def _print_findings(place: Services, named: str, origin: str, bounds: Bounds, out: TextIO) -> int:
    """Print what the check finds of the mapping *named*; return the exit code of that."""
    findings = list(_checked(place, named, bounds))
    origins = ", ".join(f"{conn_id} ({origin_of(conn_id) or 'not defined'})" for conn_id in _CONNECTIONS)
    width = get_terminal_size().columns if out.isatty() else 0
    for line in as_lines(findings, width=width):
        print(line, file=out)
    print(f"\nconnections: {origins}", file=out)
    print(f"{counted(findings)} in mapping {Path(named).name} ({origin}); {summary(findings)}", file=out)
    blockers = [found for found in findings if found.severity is Severity.BLOCKER]
    if any(found.code == _NOT_USABLE for found in blockers):
        return Misconfigured.exit_code
    return 1 if blockers else 0


def _checked(place: Services, named: str, bounds: Bounds) -> Iterator[Finding]:
    """Yield what is wrong with the set-up, and then with whatever can be looked at all the same."""
    wrong: set[str] = set()
    for name, usable, prove in (
        ("mapping", None, lambda: load(named)),
        (_API, "usable: the API takes the key", place.hook.prove),
        (_LEDGER, "usable", lambda: place.ledger_engine),
        (_LEGACY, "usable", lambda: place.legacy_engine),
    ):
        try:
            prove()
        except MigrationError as error:
            wrong.add(name)
            yield blocker(name, _NOT_USABLE, str(error))
        else:
            if usable:
                yield note(name, "usable", usable)
    if _LEGACY in wrong:
        return
    try:
        mapping = load(named, unsaid_zone=_ANY_ZONE)
    except MigrationError:  # said above
        return
    try:
        limits, newer_fields = place.hook.limits, place.hook.newer_fields
    except MigrationError:  # said above; the mapping is checked all the same
        limits, newer_fields = Limits(), False
    known = None if _API in wrong else place.hook
    try:
        yield from check(
            mapping, place.legacy_engine, limits=limits, bounds=bounds, newer_fields=newer_fields, account=known
        )
    except MigrationError as error:
        yield blocker(_LEGACY, _NOT_USABLE, str(error))


def print_preview(given: argparse.Namespace) -> int:
    """Print payloads and where their values come from; fail if there is none."""
    entity = Entity(given.entity)
    if given.limit < 1:
        raise Misused(f"--limit {given.limit} shows nothing; give a number from 1")
    with _workplace(_LEGACY, _API) as place:
        _say_elsewhere(f"mapping {place.mapping.name}", place.mapping_named[1])
        if entity not in place.mapping.queries:
            raise Misused(f"mapping {place.mapping.name!r} has no {entity}.sql, so there is nothing to preview")
        legacy = place.legacy(entity)
        shown = 0
        for text in preview(legacy, limit=given.limit, key=given.key):
            print(text, end="\n\n", file=given.out)
            shown += 1
        if not shown:
            print(f"no row of {entity} has this key" if given.key else f"{entity}.sql finds no rows", file=given.out)
            return 1
        print("\n".join(origins(place.mapping, entity)), file=given.out)
        if given.sql:
            print(file=given.out)
            print("\n\n".join(statements(legacy, key=given.key)), file=given.out)
        return 0


@contextmanager
def _workplace(*used: str, only_looks: bool = False) -> Iterator[Services]:
    """
    Open what a command works with, and say which of the connections that it has *used* are not from
    the environment.
    """
    logging.getLogger("airflow").setLevel(logging.ERROR)
    with with_airflows_database() as airflow:
        demo = latest()
        # Where there is an Airflow that cannot be asked, nobody knows whose connections its tasks
        # use: never a demo's.
        if demo is not None and (airflow.is_asked or not airflow.is_there) and not any(map(origin_of, _CONNECTIONS)):
            print(f"(no connection is defined: using the demo's in {os.path.relpath(demo.path)})", file=sys.stderr)
            mapping = {name: os.environ[name] for name in ("MASIVO_MAPPING",) if name in os.environ}
            os.environ |= connections(demo) | mapping
        for conn_id in used:
            if origin := origin_of(conn_id):
                _say_elsewhere(conn_id, origin)
        yield Services(only_looks=only_looks)


def _say_elsewhere(what: str, origin: str) -> None:
    if not origin.lower().startswith(("environment", ENVIRONMENT)):
        print(f"({what}: from {origin})", file=sys.stderr)
