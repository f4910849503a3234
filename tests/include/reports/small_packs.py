"""Small runs with something in every state, and audit packs of them."""

from __future__ import annotations

import hashlib
import json
import subprocess

from masivo_engine.ledger.runs.runs import begin_run, finish_run
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Covers, RunKind, Window
from masivo_engine.reports.account import account
from masivo_engine.reports.pack.pack import write_pack
from tests.builders import (
    adopted,
    customer,
    end,
    event,
    one_slice,
    plan_slices,
    quarantined,
    rejection,
    see,
    send,
    transaction,
)


LIMITS = Limits()
HOSTILE = "<script>fetch('//evil.example')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def begin(ledger, run_id="run", *entities, kind="full"):
    covers = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="0123", covers=covers, kind=kind, started_by="ana")
    for entity in entities or Entity:
        plan_slices(ledger, run.number, entity, [one_slice(entity)])
    return run.number


def work_off(ledger, run):
    """A small run with something in every state that one run alone can have."""
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=1250), customer("B", points=8))
    doubtful = {"state": BatchState.IN_DOUBT, "status": 500, "words": "oops", "reason": "server_error"}
    send(mine, customer("C", points=1), **doubtful, number=2)
    see(mine, quarantined(rejection(Entity.CUSTOMERS, "D", "missing_value", "name", "nothing", points="3.5")))
    see(mine, adopted(customer("E", points=2)))
    mine.finish(5)
    mine = claim(ledger, run, Entity.EVENTS, 1)
    see(mine, end(event("1", "D"), State.HELD, "customer_quarantined"))
    mine.finish(1)
    mine = claim(ledger, run, Entity.TRANSACTIONS, 1)
    send(mine, transaction("T1", "A", 1300), transaction("T2", "A", -50))
    mine.finish(2)
    freeze(ledger, run)
    finish_run(ledger, run, "adds up")


def packed(ledger, folder, run_id="run", limits=LIMITS):
    return write_pack(ledger, account(ledger, run_id, limits), folder, limits)


def is_verified(folder):
    """Every file is in the manifest as it is, and there is nothing else."""
    manifest = json.loads((folder / "manifest.json").read_text())
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in manifest["files"]}
    assert sums == {name: known["sha256"] for name, known in manifest["files"].items()}
    assert {file.name for file in folder.iterdir()} == {*sums, "manifest.json", "SHA256SUMS"}
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    return manifest


def plan_of(name):
    """A plan whose every text is *name*."""
    states = {state.value: 0 for state in State} | {"quarantined": 1}
    one = {"rows": 1, "states": states, "records": 0, "resent": 0, "again": 0, "requests": 0, "least_requests": 0}
    reason = {"entity": "customers", "state": "quarantined", "reason": name, "column": name, "rows": 1, "points": "0"}
    reason |= {"new": 1}
    months = {"2026-01": "1", "2026-02": "2", name: "3"}
    return {
        "covers": name,
        "requests": 0,
        "hours": 0.0,
        "token_refreshes": 0,
        "entities": {name: one | {"fill": 0.0, "bytes": 0, "hours": 0.0}},
        "reasons": [reason],
        "worth": {
            "balances": {name: "1"},
            "transactions": {name: "1"},
            "tiers": {name: {"customers": 1, "points": "1"}},
            "points_by_month": months,
            "money_by_month": months,
        },
    }
