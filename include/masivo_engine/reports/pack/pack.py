"""
Writes the pack of a run: its plan as soon as there is one, everything when the account is made, and
again when it was read back.

``index.html``            the account for people
``plan.json``             what was foretold
``account.json``          the account for machines
``<entity>.<state>.csv``  every row of the run
``manifest.json``         sizes and SHA-256
``batches.csv``           every request and its receipt
``findings.csv``          what a read-back found
``readback.json``         how much it read, and what it came to

A read-back that has ended writes the packs of its runs again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.limits import Limits
from masivo_engine.model.runs import DRY_RUN
from masivo_engine.reports.account import Account, account
from masivo_engine.reports.account_text import as_json
from masivo_engine.reports.pack.facts import Facts, facts
from masivo_engine.reports.pack.findings import write_findings
from masivo_engine.reports.pack.folder import Folder, name_of, written_whole
from masivo_engine.reports.pack.tables import write_batches, write_rows
from masivo_engine.reports.pages.account_page import account_page
from masivo_engine.reports.pages.plan_page import plan_page


INDEX = "index.html"


def write_pack(ledger: Ledger, made: Account, into: Path, limits: Limits) -> Path:
    """
    Write the pack of the run that *made* is the account of, as a folder in *into*, and return its
    path; an older one is replaced.

    Raises `OSError` where it cannot be written; what was there before is then still there.
    """
    known = facts(ledger, made.run_id)
    with written_whole(into, name_of(known.run_id)) as folder:
        if known.kind == DRY_RUN:
            _put_plan(folder, known, has_account=False)
            folder.close(_about(known))
        else:
            counted = write_rows(ledger, known.number, folder)
            hashes = write_batches(ledger, known.number, folder)
            proof, counted.findings = write_findings(ledger, known.number, made, folder)
            folder.put_json("account.json", as_json(made))
            _put_plan(folder, known, has_account=True)
            folder.put(INDEX, account_page(known, made, counted, hashes, proof, folder.sums(), limits))
            folder.close(_about(known) | {"batches": {"count": hashes.count, "sha256_of_body_hashes": hashes.sha256}})
    return into / name_of(known.run_id)


def write_plan(ledger: Ledger, run_id: str, into: Path, limits: Limits) -> Path:
    """
    Write the page of a run's plan, and return its path; where the run has a pack already, all of it
    is written again.
    """
    place = into / name_of(run_id)
    if (place / INDEX).exists():
        write_pack(ledger, account(ledger, run_id, limits), into, limits)
    else:
        known = facts(ledger, run_id)
        with written_whole(into, place.name) as folder:
            _put_plan(folder, known, has_account=False)
            folder.close(_about(known))
    return place / "plan.html"


def _put_plan(folder: Folder, known: Facts, *, has_account: bool) -> None:
    if known.plan is not None:
        folder.put_json("plan.json", known.plan)
        folder.put("plan.html", plan_page(known, known.plan, has_account=has_account))


def _about(known: Facts) -> dict[str, Any]:
    return {
        "run": known.run_id,
        "account": known.account,
        "mapping": known.mapping,
        "mapping_hash": known.mapping_hash,
        "outcome": known.outcome,
    }
