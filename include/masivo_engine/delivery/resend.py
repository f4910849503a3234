"""
Transactions that are proved not to have arrived: which of them may be sent again.

A customer's transactions are checked against the balance together, and the API takes them once. So
they go again as they went, all of them and unchanged, or they wait to be judged anew: what is left
of a set is another set, which nobody has checked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from masivo_engine.ledger.history.transaction_sets import sent_together
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.ledger.writing.slice_ledger import Ledger
from masivo_engine.model.rows import Entity, State
from masivo_engine.readback.doubt import Doubt


def whole_sets(
    ledger: Ledger, lease: Lease, absent: Sequence[Doubt], asked: Iterable[Doubt]
) -> tuple[list[Doubt], list[Doubt]]:
    """
    Tell those of *absent* that may be sent again from those that are part of another set now, all
    of them *asked* about.

    What was sent in such a set and is not asked about, because its row is gone or is another
    customer's, did not arrive either: it is held.
    """
    if lease.entity is not Entity.TRANSACTIONS or not absent:
        return list(absent), []
    sent = sent_together(ledger, {doubt.batch for doubt in absent}, {doubt.customer for doubt in absent})
    sets: dict[tuple[int, str], list[Doubt]] = {}
    for doubt in absent:
        sets.setdefault((doubt.batch, doubt.customer), []).append(doubt)
    known = {doubt.entry for doubt in asked}
    whole: list[Doubt] = []
    parts: list[Doubt] = []
    others: set[int] = set()
    for place, doubts in sets.items():
        entries = sent.get(place, {})
        if entries.keys() == {doubt.entry for doubt in doubts} and not any(doubt.is_changed for doubt in doubts):
            whole += doubts
            continue
        parts += doubts
        if not any(doubt.is_refused for doubt in doubts):
            others |= {entry for entry, is_out in entries.items() if is_out} - known
    if others:
        ledger.settle(lease, sorted(others), State.HELD, "run_stopped")
    return whole, parts
