"""What was delivered to whom, and later than what, whatever the rows say today."""

from __future__ import annotations

from datetime import timedelta

from masivo_engine.ledger.counts import (
    delivered_after,
    delivered_rows,
    last_delivered,
    newest_delivered,
)
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State
from masivo_engine.readback.purchase_counts import purchases_of
from tests.builders import begin, customer, end, event, see, send


def events(ledger, run_id="run"):
    return claim(ledger, begin(ledger, run_id, Entity.EVENTS), Entity.EVENTS, 1)


def test_events_count_for_the_customer_to_whom_they_were_sent(ledger):
    people = claim(ledger, begin(ledger, "people"), Entity.CUSTOMERS, 1)
    send(people, *map(customer, "ABC"))
    people.finish(3)
    mine = events(ledger)
    first = send(mine, event("1", "A"), event("2", "A"), event("3", "B"))
    second = send(mine, event("4", "A"), event("5", "B"), state=BatchState.IN_DOUBT, reason="no_answer", number=2)
    given_up = send(mine, event("6", "C"), state=BatchState.IN_DOUBT, reason="no_answer", number=3)
    mine.absent([event("6", "C").place], given_up, was_refused=False)
    mine.finish(6)
    later = events(ledger, "later")
    moved = [event("2", "B"), event("4", "B")]
    see(later, *(end(one, State.HELD, "changed_after_delivery") for one in moved))

    found = purchases_of(ledger, {"A", "B", "C", "D"})
    sent = {
        name: [
            (one.batch, one.is_accepted, [purchase.sent[1] for purchase in one.purchases]) for one in theirs.requests
        ]
        for name, theirs in found.items()
    }
    assert sent == {
        "A": [(first, True, ["t1", "t2"]), (second, False, ["t4"])],
        "B": [(first, True, ["t3"]), (second, False, ["t5"])],
    }
    assert purchases_of(ledger, set()) == {}
    assert delivered_rows(ledger, Entity.EVENTS) == 3


def test_a_run_tells_a_record_of_each_of_its_last_batches(ledger):
    mine = claim(ledger, begin(ledger), Entity.CUSTOMERS, 1)
    for number, keys in enumerate(("AB", "CD", "EF"), start=1):
        send(mine, *map(customer, keys), number=number)
    send(mine, customer("G"), state=BatchState.IN_DOUBT, number=4)
    keys = last_delivered(ledger, mine.lease.run, Entity.CUSTOMERS, batches=2)
    assert [len(set(keys) & set(pair)) for pair in ("AB", "CD", "EF", "G")] == [0, 1, 1, 0]
    assert last_delivered(ledger, mine.lease.run, Entity.EVENTS, batches=2) == []
    assert len(newest_delivered(ledger, Entity.CUSTOMERS, most=4)) == 4


def test_what_was_sent_later_is_a_witness_as_long_as_the_api_has_just_that(ledger):
    mine = claim(ledger, begin(ledger), Entity.CUSTOMERS, 1)
    first = send(mine, customer("A"), state=BatchState.IN_DOUBT, reason="no_answer")
    send(mine, customer("B"), customer("C"), number=2)
    send(mine, customer("D"), state=BatchState.IN_DOUBT, number=3)
    mine.finish(4)
    before = ledger.moment() - timedelta(hours=1)
    found = delivered_after(ledger, Entity.CUSTOMERS, before, first)
    assert [(one.key, one.customer) for one in found] == [("B", "B"), ("C", "C")]
    assert delivered_after(ledger, Entity.CUSTOMERS, ledger.moment() + timedelta(hours=1), first) == []
    assert delivered_after(ledger, Entity.EVENTS, before, first) == []

    later = claim(ledger, begin(ledger, "later"), Entity.CUSTOMERS, 1)
    send(later, customer("B", content="new"), state=BatchState.REFUSED)
    assert [one.key for one in delivered_after(ledger, Entity.CUSTOMERS, before, first)] == ["B", "C"]
    second = claim(ledger, begin(ledger, "second"), Entity.CUSTOMERS, 1)
    sent = send(second, customer("C", content="new"))
    assert [one.key for one in delivered_after(ledger, Entity.CUSTOMERS, before, first, batches=1)] == ["B"]
    # Whoever was there before shows nothing of the queue.
    assert delivered_after(ledger, Entity.CUSTOMERS, before, sent - 1) == []
