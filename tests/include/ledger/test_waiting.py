"""What waits in the ledger is free when its reason is gone, also where both happened at once."""

from __future__ import annotations

import pytest
from masivo_engine.ledger.history.waiting import waiting
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.mapping.settings import Policies
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.rows import Entity, Entry, State
from tests.builders import batch, begin, customer, transaction


DELIVERED = Receipt(BatchState.DELIVERED, 201, 0.1)


def free(ledger, run):
    return waiting(ledger, Entity.TRANSACTIONS, Policies(), before=run + 1)


@pytest.fixture
def runs(ledger):
    """
    Return the numbers of a run of transactions, and of a run of customers that is at work beside
    it.
    """
    return begin(ledger, "transactions", *Entity), begin(ledger, "customers", *Entity)


def deliver(ledger, lease, number):
    ledger.sending(lease, number)
    ledger.receive(lease, number, DELIVERED)


def judge(ledger, run):
    """Judge the transactions of customer A by what is delivered of A now: they do not add up."""
    lease = ledger.claim(run, Entity.TRANSACTIONS, 1)
    ledger.enter(lease, [Entry(transaction("T1", "A"), State.QUARANTINED, "points_do_not_sum")])


def test_transactions_wait_for_a_customer_who_is_delivered_again(ledger, runs):
    of_transactions, of_customers = runs
    lease = ledger.claim(of_customers, Entity.CUSTOMERS, 1)
    deliver(ledger, lease, ledger.pack(lease, batch([customer("A")])))
    judge(ledger, of_transactions)
    assert free(ledger, of_customers) == []
    deliver(ledger, lease, ledger.pack(lease, batch([customer("A")]), again={"A"}))
    assert free(ledger, of_customers) == ["A"]


def test_a_customer_who_was_written_down_before_and_delivered_after_frees_its_transactions(ledger, runs):
    """
    A batch is written down ahead of its turn; its entry is older than the transactions that were
    judged without it.
    """
    of_transactions, of_customers = runs
    lease = ledger.claim(of_customers, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    judge(ledger, of_transactions)
    assert free(ledger, of_customers) == []
    deliver(ledger, lease, number)
    assert free(ledger, of_customers) == ["A"]
    # Judged anew by what is there now, they wait for the next change.
    of_transactions = begin(ledger, "transactions again", *Entity)
    lease = ledger.claim(of_transactions, Entity.TRANSACTIONS, 1)
    with ledger.reading() as connection:
        old = connection.execute(
            select(schema.entry.c.id).where(schema.entry.c.state == State.QUARANTINED)
        ).scalar_one()
    ledger.enter(lease, [Entry(transaction("T1", "A"), State.QUARANTINED, "points_do_not_sum")], [old])
    assert free(ledger, of_transactions) == []


def test_a_customer_in_doubt_who_is_settled_as_delivered_frees_its_transactions(ledger, runs):
    """When that was is not written down: they are judged anew by what is known then."""
    of_transactions, of_customers = runs
    lease = ledger.claim(of_customers, Entity.CUSTOMERS, 1)
    deliver(ledger, lease, ledger.pack(lease, batch([customer("A")])))
    later = begin(ledger, "customers later", *Entity)
    lease = ledger.claim(later, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    ledger.sending(lease, number)
    ledger.receive(lease, number, Receipt(BatchState.IN_DOUBT, 0, 1.0, reason="no_answer"))
    judge(ledger, of_transactions)
    assert free(ledger, later) == []
    with ledger.reading() as connection:
        newer = connection.execute(select(schema.entry.c.id).where(schema.entry.c.run == later)).scalar_one()
    ledger.settle(lease, [newer], State.DELIVERED)
    assert free(ledger, later) == ["A"]
    ledger.settle(lease, [newer], State.CONFIRMED)  # and read back
    assert free(ledger, later) == ["A"]


def test_a_customer_who_was_only_read_back_frees_nothing(ledger, runs):
    of_transactions, of_customers = runs
    lease = ledger.claim(of_customers, Entity.CUSTOMERS, 1)
    deliver(ledger, lease, ledger.pack(lease, batch([customer("A")])))
    judge(ledger, of_transactions)
    with ledger.reading() as connection:
        one = connection.execute(select(schema.entry.c.id).where(schema.entry.c.run == of_customers)).scalar_one()
    ledger.settle(lease, [one], State.CONFIRMED)
    assert free(ledger, of_customers) == []
