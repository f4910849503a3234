"""
The trail of one customer, for whoever answers the telephone.
"""

from __future__ import annotations

from sqlalchemy import update

from masivo_engine.ledger import schema
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.trail import trail
from tests.builders import begin, customer, end, event, see, send, transaction


def told(ledger, name):
    """The lines of the trail of *name*, without their receipts."""
    return [" ".join(line.split()).partition(", batch")[0] for line in trail(ledger, name)]


def test_a_trail_tells_every_row_of_one_customer_and_of_nobody_else(ledger):
    run = begin(ledger, "run", *Entity)
    send(claim(ledger, run, Entity.CUSTOMERS, 1), customer("A", points=1250), customer("a"))
    send(claim(ledger, run, Entity.EVENTS, 1), event("E1", "A"), event("E2", "a"))
    mine = claim(ledger, run, Entity.TRANSACTIONS, 1)
    see(mine, end(transaction("T1", "A", -5), State.QUARANTINED, "points_do_not_sum", "amount"))

    assert told(ledger, "A") == [
        "run customers A delivered, 1,250 points",
        "run events E1 delivered",
        "run transactions T1 quarantined points_do_not_sum (amount), -5 points",
    ]
    assert "answered 201" in next(iter(trail(ledger, "A")))
    assert list(trail(ledger, "B")) == []


def test_a_trail_tells_in_order_what_became_of_a_row_in_each_run(ledger):
    mine = claim(ledger, begin(ledger, "first"), Entity.CUSTOMERS, 1)
    see(mine, end(customer("A", points=1), State.QUARANTINED, "email_shared"))
    mine.finish(1)
    mine = claim(ledger, begin(ledger, "second"), Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7))
    mine.finish(1)
    mine = claim(ledger, begin(ledger, "third"), Entity.CUSTOMERS, 1)
    see(mine, end(customer("A", points=7), State.UNCHANGED))
    mine.finish(1)
    before = [
        "first customers A quarantined email_shared, 1 points",
        "second customers A delivered, 7 points",
    ]
    assert told(ledger, "A") == [*before, "third customers A unchanged, 7 points"]

    run = begin(ledger, "fourth")
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=9), state=BatchState.IN_DOUBT, reason="no_answer")
    mine.finish(1)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).values(gone_run=run))
    assert told(ledger, "A") == [
        *before,
        "third customers A unchanged, 7 points",
        "fourth customers A in_doubt no_answer, 9 points",
        "fourth customers A gone, 7 points",
    ]
    sent = [line for line in trail(ledger, "A") if " sent " in line]
    assert [line.rpartition("answered ")[2] for line in sent] == ["201", "nothing"]


def test_a_row_that_moved_is_in_the_trails_of_both(ledger):
    mine = claim(ledger, begin(ledger, "first", Entity.EVENTS), Entity.EVENTS, 1)
    send(mine, event("E1", "A"))
    mine.finish(1)
    mine = claim(ledger, begin(ledger, "second", Entity.EVENTS), Entity.EVENTS, 1)
    see(mine, end(event("E1", "B"), State.HELD, "changed_after_delivery"))
    for name in "AB":
        assert told(ledger, name) == [
            "first events E1 delivered",
            "second events E1 held changed_after_delivery",
        ]
