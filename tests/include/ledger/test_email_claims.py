"""
An address belongs to one customer at a time: it is let go when the API has taken another one in its
place, and not before.
"""

from __future__ import annotations

import threading

import pytest
from masivo_engine.ledger.writing.email_claims import claim
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.rows import Entity
from tests.builders import batch, customer, one_slice, plan_slices


OLD, NEW = "old@shop.invalid", "new@shop.invalid"
ACCEPTED = Receipt(BatchState.DELIVERED, 201, 0.1)


def lease(ledger, run_id):
    run = begin_run(ledger, run_id, mapping="m", mapping_hash="h", covers="{}").number
    plan_slices(ledger, run, Entity.CUSTOMERS, [one_slice(Entity.CUSTOMERS)])
    return ledger.claim(run, Entity.CUSTOMERS, 1)


def owner(ledger, email, wanted_by):
    """Claim *email* for a customer, as triage does, and return whose it is."""
    digest = ledger.digest(email)
    return claim(ledger.engine, "email", [(digest, wanted_by)])[digest]


def send(ledger, held, *people, receipt=ACCEPTED):
    number = ledger.pack(held, batch(people))
    ledger.sending(held, number)
    if receipt:
        ledger.receive(held, number, receipt, people)


def claims(ledger):
    with ledger.reading() as connection:
        return connection.execute(select(schema.claim)).all()


@pytest.fixture
def changed(ledger):
    """A's address is delivered; it has another one now, which is claimed and not sent yet."""
    assert owner(ledger, OLD, "A") == "A"
    first = lease(ledger, "first")
    send(ledger, first, customer("A", email=OLD))
    ledger.finish(first, 1)
    assert owner(ledger, NEW, "A") == "A"
    return lease(ledger, "second")


def test_the_old_address_is_let_go_with_the_receipt_of_the_new_one(ledger, changed):
    assert owner(ledger, OLD, "B") == "A"
    send(ledger, changed, customer("A", email=NEW))
    assert owner(ledger, OLD, "B") == "B"
    assert owner(ledger, NEW, "B") == "A"


@pytest.mark.parametrize(
    "receipt",
    [None, Receipt(BatchState.REFUSED, 422, 0.1), Receipt(BatchState.IN_DOUBT, 0, 0.1, reason="no_answer")],
    ids=["no receipt", "refused", "in doubt"],
)
def test_it_is_kept_as_long_as_the_api_may_have_it(ledger, changed, receipt):
    send(ledger, changed, customer("A", email=NEW), receipt=receipt)
    assert owner(ledger, OLD, "B") == owner(ledger, NEW, "B") == "A"


def test_a_read_back_lets_it_go_as_well(ledger, changed):
    doubt = Receipt(BatchState.IN_DOUBT, 0, 0.1, reason="no_answer")
    send(ledger, changed, customer("A", email=NEW), receipt=doubt)
    ledger.release(changed, [customer("A", email=NEW)])
    assert owner(ledger, OLD, "B") == "B"


def test_nobody_elses_claim_goes_and_a_customer_without_another_loses_none(ledger, changed):
    assert owner(ledger, "b@shop.invalid", "B") == "B"
    before = len(claims(ledger))
    send(ledger, changed, customer("B", email="b@shop.invalid"))
    assert len(claims(ledger)) == before


def test_what_an_earlier_try_of_the_run_claimed_is_let_go_too(ledger):
    """The row changed between the tries; the first one sent nothing, and has left no entry."""
    first = lease(ledger, "run")
    assert owner(ledger, OLD, "A") == "A"
    second = ledger.claim(first.run, Entity.CUSTOMERS, 1)
    assert owner(ledger, NEW, "A") == "A"
    send(ledger, second, customer("A", email=NEW))
    assert owner(ledger, OLD, "B") == "B"


def test_a_try_that_lost_its_slice_lets_nothing_go(ledger, changed):
    number = ledger.pack(changed, batch([customer("A", email=NEW)]))
    ledger.sending(changed, number)
    ledger.claim(changed.run, Entity.CUSTOMERS, 1)
    with pytest.raises(Exception, match="taken over"):
        ledger.receive(changed, number, ACCEPTED, [customer("A", email=NEW)])
    assert owner(ledger, OLD, "B") == "A"


def test_two_tasks_at_once_never_both_have_an_address_that_is_still_out(ledger):
    """One task wants the old address all the time, while another one delivers the new one."""
    people = [customer(f"P{n}", email=f"new{n}@shop.invalid") for n in range(30)]
    for n, one in enumerate(people):
        assert owner(ledger, f"old{n}@shop.invalid", one.key) == one.key
        assert owner(ledger, one.email, one.key) == one.key
    before = lease(ledger, "before")
    send(ledger, before, *(customer(one.key, email=f"old{n}@shop.invalid") for n, one in enumerate(people)))
    ledger.finish(before, len(people))
    held = lease(ledger, "now")
    early, errors, start = [], [], threading.Barrier(2)

    def wants():
        start.wait()
        try:
            for n, one in enumerate(people):
                while owner(ledger, f"old{n}@shop.invalid", "L") != "L":
                    pass
                with ledger.reading() as connection:
                    states = connection.execute(
                        select(schema.state_of_entry)
                        .select_from(schema.entry_and_batch)
                        .where(schema.entry.c.key == one.key, schema.entry.c.run == held.run)
                    )
                    early.extend(state for state in states.scalars() if state != "delivered")
        except Exception as error:  # noqa: BLE001 (shown by the test)
            errors.append(error)

    task = threading.Thread(target=wants, daemon=True)
    task.start()
    start.wait()
    for one in people:
        send(ledger, held, one)
    task.join(60)

    assert not task.is_alive()
    assert (early, errors) == ([], [])
    assert {owner(ledger, one.email, "L") for one in people} == {one.key for one in people}
    assert {owner(ledger, f"old{n}@shop.invalid", "nobody") for n in range(30)} == {"L"}
