"""Small runs with something in every state, and audit packs of them."""

from __future__ import annotations

import hashlib
import json
import subprocess
from decimal import Decimal

from masivo_engine.ledger.runs.runs import begin_run, finish_run
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.model.runs import Covers, RunKind, Window
from masivo_engine.reports.account import account
from masivo_engine.reports.pack.pack import write_pack
from tests.builders import batch, customer, event, one_slice, plan_slices, transaction


LIMITS = Limits()
HOSTILE = "<script>fetch('//evil.example')</script><img src=x onerror=alert(1)>\"'&{{ 7*7 }}"


def begin(ledger, run_id="run", *entities, kind="full"):
    covers = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="0123", covers=covers, kind=kind, started_by="ana")
    for entity in entities or Entity:
        plan_slices(ledger, run.number, entity, [one_slice(entity)])
    return run.number


def send(ledger, lease, *records, state=BatchState.DELIVERED, words="", reason=""):
    made = ledger.pack(lease, batch(records))
    ledger.sending(lease, made)
    status = 201 if state is BatchState.DELIVERED else 500
    ledger.receive(lease, made, Receipt(state, status, 0.1, words, reason))


def work_off(ledger, run):
    """A small run with something in every state that one run alone can have."""
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    send(ledger, lease, customer("A", points=1250), customer("B", points=8))
    send(ledger, lease, customer("C", points=1), state=BatchState.IN_DOUBT, words="oops", reason="server_error")
    spoilt = Rejection(Entity.CUSTOMERS, "D", "D", "missing_value", "name", "nothing", Decimal("3.5"))
    ledger.enter(lease, [Entry(spoilt, State.QUARANTINED, "missing_value", "name", "nothing")])
    ledger.enter(lease, [Entry(customer("E", points=2), State.UNCHANGED)])
    ledger.finish(lease, 5)
    lease = ledger.claim(run, Entity.EVENTS, 1)
    ledger.enter(lease, [Entry(event("1", "D"), State.HELD, "customer_quarantined")])
    ledger.finish(lease, 1)
    lease = ledger.claim(run, Entity.TRANSACTIONS, 1)
    send(ledger, lease, transaction("T1", "A", 1300), transaction("T2", "A", -50))
    ledger.finish(lease, 2)
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
    one = {"rows": 1, "states": states, "records": 0, "resent": 0, "requests": 0, "least_requests": 0}
    reason = {"entity": "customers", "state": "quarantined", "reason": name, "column": name, "rows": 1, "points": "0"}
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
