"""
The trail of one customer, for whoever answers the telephone.
"""

from __future__ import annotations

from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.rows import Entity, Entry, State
from masivo_engine.reports.trail import trail
from tests.builders import batch, customer, event, one_slice, plan_slices, transaction


def send(ledger, run, *records):
    """Have *records* delivered in a slice of their own."""
    entity = records[0].entity
    plan_slices(ledger, run, entity, [one_slice(entity)])
    lease = ledger.claim(run, entity, 1)
    number = ledger.pack(lease, batch(records))
    ledger.sending(lease, number)
    ledger.receive(lease, number, Receipt(BatchState.DELIVERED, 201, 0.1))


def test_a_trail_tells_every_row_of_one_customer_and_of_nobody_else(ledger):
    run = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers="{}").number
    send(ledger, run, customer("A", points=1250), customer("a"))
    send(ledger, run, event("E1", "A"), event("E2", "a"))
    plan_slices(ledger, run, Entity.TRANSACTIONS, [one_slice(Entity.TRANSACTIONS)])
    lease = ledger.claim(run, Entity.TRANSACTIONS, 1)
    ledger.enter(lease, [Entry(transaction("T1", "A", -5), State.QUARANTINED, "points_do_not_sum", "amount")])
    lines = list(trail(ledger, "A"))

    assert [" ".join(line.split()).partition(", batch")[0] for line in lines] == [
        "run customers A delivered, 1,250 points",
        "run events E1 delivered",
        "run transactions T1 quarantined points_do_not_sum (amount), -5 points",
    ]
    assert "answered 201" in lines[0]
    assert list(trail(ledger, "B")) == []
