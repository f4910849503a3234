"""
The account: it is counted from the ledger, so it fails where the ledger does not add up, and says
why.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json, as_text
from tests.builders import begin, customer, event, send
from tests.builders import entity_of as of


def quarantine(ledger, lease, key, *, reason="missing_value", points=0):
    row = Rejection(lease.entity, key, key, reason, "name", "nothing", Decimal(points))
    ledger.enter(lease, [Entry(row, State.QUARANTINED, reason, "name", "nothing")])


def test_rows_points_and_requests_are_counted_by_state(ledger):
    run = begin(ledger)
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    send(ledger, lease, customer("A", points=7), customer("B", points=8))
    send(ledger, lease, customer("C", points=1), state=BatchState.IN_DOUBT, reason="no_answer")
    quarantine(ledger, lease, "D", points=3)
    ledger.enter(lease, [Entry(customer("E"), State.UNCHANGED), Entry(customer("F"), State.HELD, "api_unavailable")])
    ledger.finish(lease, 6)
    made = account(ledger)

    assert made.adds_up
    one = of(made)
    assert one.states == {"delivered": 2, "in_doubt": 1, "quarantined": 1, "unchanged": 1, "held": 1}
    assert {state: int(points) for state, points in one.points.items() if points} == {
        "delivered": 15,
        "in_doubt": 1,
        "quarantined": 3,
    }
    assert (one.requests, one.sent, one.least_requests) == (2, 3, 1)
    assert made.trouble == 3


def test_fractions_of_points_add_up_exactly(ledger):
    run = begin(ledger, "run", Entity.TRANSACTIONS)
    lease = ledger.claim(run, Entity.TRANSACTIONS, 1)
    row = Rejection(Entity.TRANSACTIONS, "1", "A", "not_a_date", points=Decimal("0.1"))
    ledger.enter(lease, [Entry(row, State.QUARANTINED, "not_a_date") for _ in range(3)])
    assert of(account(ledger), Entity.TRANSACTIONS).points["quarantined"] == Decimal("0.3")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda ledger, lease: ledger.finish(lease, 3), "DOES NOT ADD UP: 2 in the ledger, 0 of them on the way"),
        (lambda ledger, lease: ledger.finish(lease, 1), "DOES NOT ADD UP: 2 in the ledger, 0 of them on the way"),
        (lambda _ledger, _lease: None, "DOES NOT ADD UP: 1 of 1 slices are not finished"),
        (
            lambda ledger, lease: (send(ledger, lease, customer("C"), state=None), ledger.finish(lease, 3)),
            "DOES NOT ADD UP: 3 in the ledger, 1 of them on the way",
        ),
    ],
    ids=["a row is missing", "a row too many", "a slice is not finished", "a request is out"],
)
def test_an_account_that_does_not_hold_says_so(ledger, spoil, said):
    lease = ledger.claim(begin(ledger), Entity.CUSTOMERS, 1)
    send(ledger, lease, customer("A"), customer("B"))
    spoil(ledger, lease)
    made = account(ledger)

    assert not made.adds_up
    assert made.verdict(1_000_000) == "the account does not add up: customers"
    assert said in as_text(made)
    assert as_json(made)["adds_up"] is False


def test_trouble_counts_against_the_tolerance_only_while_it_is_new(ledger):
    for run_id in ("first", "second"):
        lease = ledger.claim(begin(ledger, run_id), Entity.CUSTOMERS, 1)
        if run_id == "second":
            with ledger.reading() as connection:
                known = list(connection.exec_driver_sql("SELECT id FROM masivo_entry").scalars())
            ledger.enter(lease, [], known)
        quarantine(ledger, lease, "A")
        if run_id == "second":
            quarantine(ledger, lease, "B")
        ledger.finish(lease, 1 + (run_id == "second"))

    made = account(ledger, "second")
    assert made.trouble == 1
    assert made.verdict(1) == ""
    assert made.verdict(0).startswith("1 rows are newly quarantined, held by an error or in doubt")
    assert account(ledger, "first").adds_up


def test_rows_that_wait_for_a_customer_or_a_policy_are_no_trouble(ledger):
    lease = ledger.claim(begin(ledger, "run", Entity.EVENTS), Entity.EVENTS, 1)
    reasons = ["customer_missing", "customer_quarantined", "changed_after_delivery", "earlier_in_doubt"]
    ledger.enter(lease, [Entry(event(reason, "A"), State.HELD, reason) for reason in reasons])
    ledger.finish(lease, len(reasons))
    assert account(ledger).verdict(0) == ""


def test_a_run_is_found_by_its_id_and_by_its_number_and_the_latest_by_default(ledger):
    numbers = [begin(ledger, run_id) for run_id in ("first", "second")]
    assert account(ledger).run_id == "second"
    assert account(ledger, "first").run_id == "first"
    assert account(ledger, str(numbers[0])).run_id == "first"
    with pytest.raises(LedgerError, match="the ledger knows no run 'third'"):
        account(ledger, "third")


def test_a_ledger_without_a_run_says_so(ledger):
    with pytest.raises(LedgerError, match="the ledger has no run yet"):
        account(ledger)
