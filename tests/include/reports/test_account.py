"""
The account: it is counted from the ledger, so it fails where the ledger does not add up, and says
why.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from sqlalchemy import update

from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json, as_text
from tests.builders import adopted, begin, customer, end, event, quarantined, rejection, see, send, transaction
from tests.builders import entity_of as of


def bad(key, *, entity=Entity.CUSTOMERS, reason="missing_value", points=0):
    return quarantined(rejection(entity, key, reason, "name", "nothing", points=points))


def test_rows_points_and_requests_are_counted_by_state(ledger):
    mine = claim(ledger, begin(ledger), Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7), customer("B", points=8))
    send(mine, customer("C", points=1), state=BatchState.IN_DOUBT, reason="no_answer", number=2)
    see(mine, bad("D", points=3), adopted(customer("E")), end(customer("F"), State.HELD, "api_unavailable"))
    mine.finish(6)
    made = account(ledger)

    assert made.adds_up
    one = of(made)
    assert one.states == {"delivered": 2, "in_doubt": 1, "quarantined": 1, "unchanged": 1, "held": 1}
    assert {state: int(points) for state, points in one.points.items() if points} == {
        "delivered": 15,
        "in_doubt": 1,
        "quarantined": 3,
    }
    assert (one.requests, one.sent, one.least_requests) == (2, 3, 2)
    assert made.trouble == 3


def test_fractions_of_points_add_up_exactly(ledger):
    mine = claim(ledger, begin(ledger, "run", Entity.TRANSACTIONS), Entity.TRANSACTIONS, 1)
    rows = [bad(key, entity=Entity.TRANSACTIONS, reason="not_a_date", points="0.1") for key in ("1", "2", "3")]
    see(mine, *rows)
    assert of(account(ledger), Entity.TRANSACTIONS).points["quarantined"] == Decimal("0.3")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda mine: mine.finish(3), "DOES NOT ADD UP: 2 in the ledger, 0 of them on the way"),
        (lambda mine: mine.finish(1), "DOES NOT ADD UP: 2 in the ledger, 0 of them on the way"),
        (lambda _mine: None, "DOES NOT ADD UP: 1 of 1 slices are not finished"),
        (
            lambda mine: (send(mine, customer("C"), state=None, number=2), mine.finish(3)),
            "DOES NOT ADD UP: 3 in the ledger, 1 of them on the way",
        ),
    ],
    ids=["a row is missing", "a row too many", "a slice is not finished", "a request is out"],
)
def test_an_account_that_does_not_hold_says_so(ledger, spoil, said):
    run = begin(ledger)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    send(mine, customer("A"), customer("B"))
    spoil(mine)
    for _ in range(2):  # under way, and when it has ended
        made = account(ledger)
        assert not made.adds_up
        assert made.verdict(1_000_000) == "the account does not add up: customers"
        assert said in as_text(made)
        assert as_json(made)["adds_up"] is False
        freeze(ledger, run)


def test_a_row_that_two_slices_have_met_counts_once(ledger):
    mine = claim(ledger, begin(ledger), Entity.CUSTOMERS, 1)
    send(mine, customer("A"))
    mine.met_again(1)
    mine.finish(2)
    made = account(ledger)
    assert made.adds_up
    assert of(made).read == 1


def test_trouble_counts_against_the_tolerance_only_while_it_is_new(ledger):
    for run_id, keys in (("first", "A"), ("second", "AB")):
        run = begin(ledger, run_id)
        mine = claim(ledger, run, Entity.CUSTOMERS, 1)
        see(mine, *(bad(key) for key in keys))
        mine.finish(len(keys))
        freeze(ledger, run)

    made = account(ledger, "second")
    assert made.trouble == 1
    assert made.verdict(1) == ""
    assert made.verdict(0).startswith("1 rows are newly quarantined, held by an error or in doubt")
    assert account(ledger, "first").adds_up


def test_what_was_in_trouble_when_the_run_began_is_no_news_whatever_it_was_in_between(ledger):
    """It is to be sent for a moment, and then the run stops as the one before it did."""
    for run_id in ("first", "second"):
        run = begin(ledger, run_id)
        mine = claim(ledger, run, Entity.CUSTOMERS, 1)
        see(mine, end(customer("A"), State.HELD, "not_yet_sent"))
        mine.finish(1)
        freeze(ledger, run)
    assert account(ledger, "first").trouble == 1
    assert account(ledger, "second").trouble == 0


def test_rows_that_wait_for_a_customer_or_a_policy_are_no_trouble(ledger):
    mine = claim(ledger, begin(ledger, "run", Entity.EVENTS), Entity.EVENTS, 1)
    reasons = ["customer_missing", "customer_quarantined", "changed_after_delivery", "earlier_in_doubt"]
    see(mine, *(end(event(reason, "A"), State.HELD, reason) for reason in reasons))
    mine.finish(len(reasons))
    assert account(ledger).verdict(0) == ""


def test_what_was_read_and_not_sent_when_the_run_ended_is_held_by_an_error(ledger):
    run = begin(ledger)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    see(mine, end(customer("A"), State.HELD, "not_yet_sent"))
    send(mine, customer("B"), state=None)
    mine.finish(2)
    under_way = account(ledger)
    assert (under_way.troubles, of(under_way).on_the_way) == ((), 2)

    freeze(ledger, run)
    made = account(ledger)
    assert {(one.state, one.reason): one.rows for one in made.troubles} == {
        ("held", "run_stopped"): 1,
        ("held", "not_yet_sent"): 1,  # on the wire: a read-back shows what became of it
    }
    assert made.trouble == 2


def test_an_account_stays_as_it_was_when_the_run_ended(ledger):
    first = begin(ledger, "first")
    mine = claim(ledger, first, Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7))
    see(mine, bad("B"))
    mine.finish(2)
    freeze(ledger, first)
    before = as_json(account(ledger, "first"))
    assert before["adds_up"]
    freeze(ledger, first)

    mine = claim(ledger, begin(ledger, "second"), Entity.CUSTOMERS, 1)
    see(mine, end(customer("A", points=7), State.UNCHANGED))
    send(mine, customer("B", points=1))
    mine.finish(2)
    assert as_json(account(ledger, "first")) == before
    second = account(ledger, "second")
    assert second.adds_up
    assert of(second).states == {"unchanged": 1, "delivered": 1}


def test_a_row_that_another_run_has_seen_since_stays_in_the_account_of_a_run_under_way(ledger):
    mine = claim(ledger, begin(ledger, "first"), Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7))
    see(mine, bad("B"))
    mine.finish(2)
    before = as_json(account(ledger, "first"))

    other = claim(ledger, begin(ledger, "second"), Entity.CUSTOMERS, 1)
    see(other, end(customer("A", points=7), State.UNCHANGED), bad("B"))
    other.finish(2)
    assert as_json(account(ledger, "first")) == before
    assert account(ledger, "first").adds_up
    assert of(account(ledger, "second")).states == {"unchanged": 1, "quarantined": 1}


def test_rows_that_are_gone_have_a_line_of_their_own_and_count_against_the_tolerance(ledger):
    mine = claim(ledger, begin(ledger, "first"), Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=7), customer("B", points=5))
    see(mine, bad("C"))
    mine.finish(3)
    run = begin(ledger, "second")
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    see(mine, end(customer("A", points=7), State.UNCHANGED))
    mine.finish(1)
    with ledger.engine.begin() as connection:
        missed = schema.record.c.key.in_(["B", "C"])  # C never arrived: nobody misses it
        connection.execute(update(schema.record).where(missed).values(gone_run=run))

    for _ in range(2):
        made = account(ledger, "second")
        assert made.adds_up
        assert (of(made).states, of(made).gone, of(made).gone_points) == ({"unchanged": 1}, 1, 5)
        assert (made.trouble, made.verdict(1)) == (1, "")
        assert made.verdict(0).startswith("1 rows that Masivo has are gone from the legacy database, and the run")
        assert "gone from the legacy database, and Masivo has them: customers 1 (5 points)" in as_text(made)
        assert as_json(made)["entities"]["customers"]["gone"] == 1
        freeze(ledger, run)

    with ledger.engine.begin() as connection:  # found again
        connection.execute(update(schema.record).values(gone_run=None))
    assert account(ledger, "second").gone == 1


def test_the_least_number_of_requests_is_that_of_what_was_sent_of_each_customer(ledger):
    mine = claim(ledger, begin(ledger, "run", Entity.TRANSACTIONS), Entity.TRANSACTIONS, 1)
    for number, customers in enumerate(("AB", "CD", "E"), start=1):
        send(mine, *(transaction(f"{name}{n}", name) for name in customers for n in range(2)), number=number)
    assert of(account(ledger), Entity.TRANSACTIONS).least_requests == 2


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
