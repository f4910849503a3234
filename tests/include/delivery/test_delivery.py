from __future__ import annotations

from collections import Counter

import pytest

from masivo_engine.batching.packers import one_request
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Refusal
from tests.include.delivery import delivery_rig
from tests.include.delivery.delivery_rig import bench, customer, event, transaction
from tests.include.sandbox.bodies import balance


DELIVERED, REFUSED, UNPROVEN = ("delivered", ""), ("quarantined", "refused"), ("in_doubt", "refusal_unproven")
BOTH = pytest.mark.parametrize("atomic", [True, False], ids=["atomic", "partial"])


@pytest.fixture(autouse=True, params=[False, True], ids=["each", "ahead"])
def _packed(request, monkeypatch):
    """What becomes of a record must not depend on when its batch was written down."""
    monkeypatch.setattr(delivery_rig, "PACKS_AHEAD", request.param)


def people(*numbers, **fields):
    return [customer(number, **fields) for number in numbers]


def learned(on):
    """What the ledger knows of a 422 of customers."""
    assert set(on.ledger.refusals) <= {(Entity.CUSTOMERS, 422)}
    return on.ledger.refusals.get((Entity.CUSTOMERS, 422), "")


def once(on):
    """Nothing was taken twice."""
    return max(Counter(on.accepted()).values(), default=0) <= 1


@BOTH
def test_the_first_refusal_teaches_what_refusals_leave_behind(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison=frozenset({"C3", "C7"})) as on:
        states = on.migrate(people(*range(1, 6)), people(*range(6, 11)), people(*range(11, 16)))
        assert learned(on) == ("atomic" if atomic else "partial")
        assert {key for key, state in states.items() if state == REFUSED} == {"C3", "C7"}
        assert {key for key, state in states.items() if state == DELIVERED} == set(states) - {"C3", "C7"}
        assert once(on)
        assert set(on.accepted()) == set(states) - {"C3", "C7"}


@BOTH
def test_what_was_learned_holds_for_later_runs(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison=frozenset({"C3", "C12"})) as on:
        on.migrate(people(1, 2, 3), people(4, 5))
        states = on.migrate(people(11, 12, 13), people(14, 15))
        assert states["C12"] == REFUSED
        assert {states[f"C{n}"] for n in (11, 13, 14, 15)} == {DELIVERED}
        assert once(on)


@BOTH
def test_nothing_is_learned_while_the_queue_stands_still(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison=frozenset({"C3"}), outages=((0.0, 3600.0),)) as on:
        states = on.migrate(people(1, 2, 3), people(4, 5))
        assert learned(on) == ""
        assert {states[key] for key in ("C1", "C2", "C3")} == {UNPROVEN}
        assert {states[key] for key in ("C4", "C5")} == {DELIVERED}
        assert once(on)


@BOTH
def test_with_nothing_sent_later_a_refused_batch_stays_in_doubt_until_enough_time_has_passed(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison=frozenset({"C3"})) as on:
        states = on.migrate(people(1, 2, 3))
        assert learned(on) == ("" if atomic else "partial")
        assert states["C1"] == (UNPROVEN if atomic else DELIVERED)
        assert states["C3"] == UNPROVEN
    with bench(tmp_path / "later", certain_after_s=0, atomic=atomic, poison=frozenset({"C3"})) as on:
        assert on.migrate(people(1, 2, 3)) == {"C1": DELIVERED, "C2": DELIVERED, "C3": REFUSED}
        assert once(on)


@BOTH
def test_what_was_sent_again_unproven_tells_nothing_of_refusals_and_keeps_no_other_from_telling(tmp_path, atomic):
    """
    C1 and C2 may be there from an earlier request, which the second batch cannot be mistaken for.
    """
    with bench(tmp_path, atomic=atomic, poison=frozenset({"C2", "C6"})) as on:
        delivery = on.delivery(Entity.CUSTOMERS)
        delivery._resent |= {"C1", "C2"}
        numbers = iter(range(1, 5))
        for batch in ((1, 2), (3, 4, 5, 6), (7, 8), (9, 10)):
            delivery.deliver(one_request([[one] for one in people(*batch)], next(numbers)))
        assert learned(on) == ("atomic" if atomic else "partial")


def test_a_batch_of_nothing_but_bad_rows_teaches_nothing(tmp_path):
    """
    All of it is absent, as of an atomic refusal; had that been believed, the next batch would go
    out twice.
    """
    with bench(tmp_path, atomic=False, poison=frozenset({"C1", "C2", "C7"})) as on:
        states = on.migrate(people(1, 2), people(3, 4), people(5, 6, 7, 8), people(9, 10))
        assert learned(on) == "partial"
        assert {key for key, state in states.items() if state == REFUSED} == {"C1", "C2", "C7"}
        assert once(on)


def test_a_customer_who_was_there_before_does_not_make_refusals_partial(tmp_path):
    options = {"atomic": True, "poison": frozenset({"C9", "C10", "C13"}), "duplicates": Refusal.IN_QUEUE}
    with bench(tmp_path, **options) as on:
        on.migrate(people(1, 2))
        states = on.migrate([*people(1, name="Another name"), *people(9)], people(3))
        assert learned(on) == ""
        assert states["C1"] == UNPROVEN
        states = on.migrate([*people(2, name="Another name"), *people(10, 11)], people(4))
        assert (
            learned(on) == ""
        )  # the first of the batch was there before, and might be the bad one that stops the others
        assert states["C9"] == states["C10"] == REFUSED
        assert states["C2"] == UNPROVEN
        assert states["C11"] == DELIVERED
        states = on.migrate(people(12, 13), people(14))
        assert learned(on) == "atomic"
        assert states["C12"] == states["C14"] == DELIVERED
        assert states["C13"] == REFUSED


def test_a_record_that_is_refused_alone_has_its_verdict_at_once(tmp_path):
    with bench(tmp_path, poison=frozenset({"C1"})) as on:
        assert on.migrate(people(1)) == {"C1": REFUSED}
        assert learned(on) == ""
        assert on.posts() == 1


@BOTH
def test_an_api_that_refuses_everything_stops_the_run_after_few_requests(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison_rate=1.0) as on:
        with pytest.raises(Stopped, match="looks like the mapping"):
            on.migrate(*(people(*range(n, n + 10)) for n in range(0, 100, 10)))
        assert on.posts() <= 10
        assert on.accepted() == []


def test_three_answers_in_a_row_that_prove_nothing_are_enough(tmp_path):
    script = Script(rules=(Rule(faults=("500", "rst_after_accept")),))
    with bench(tmp_path, faults=script) as on:
        with pytest.raises(TryAgainLater, match="prove nothing"):
            on.migrate(*(people(n) for n in range(9)))
        assert on.posts() == 3
        assert Counter(state for state, _ in on.states().values()) == (
            {"in_doubt": 3, "held": 6} if delivery_rig.PACKS_AHEAD else {"in_doubt": 3}
        )


@BOTH
def test_transactions_go_together_whatever_a_refusal_leaves_behind(tmp_path, atomic):
    with bench(tmp_path, atomic=atomic, poison=frozenset({"T21"})) as on:
        on.migrate(people(1, 2, 3, balance=[balance(15)]), people(4, 5, balance=[balance(15)]))
        sets = [[transaction(f"T{c}{n}", f"C{c}") for n in range(3)] for c in range(1, 6)]
        states = on.migrate([*sets[0], *sets[1], *sets[2]], [*sets[3], *sets[4]])
        assert {key for key, state in states.items() if state == REFUSED} == {"T20", "T21", "T22"}
        assert {state for key, state in states.items() if not key.startswith("T2")} == {DELIVERED}
        assert on.sandbox.failures() == []
        assert once(on)


def test_events_of_a_refused_batch_are_settled_by_what_their_customers_show(tmp_path):
    """
    Customers without metrics show a number as soon as an event is counted; the one whose event was
    refused shows none.
    """
    with bench(tmp_path, atomic=False, poison=frozenset({"O2"})) as on:
        on.migrate(people(*range(1, 7)))
        states = on.migrate([event(f"O{n}", f"C{n}") for n in (1, 2, 3)], [event(f"O{n}", f"C{n}") for n in (4, 5, 6)])
        assert states["O2"] in {REFUSED, UNPROVEN}
        assert {states[f"O{n}"] for n in (4, 5, 6)} == {DELIVERED}
        assert {states[f"O{n}"] for n in (1, 3)} <= {DELIVERED, UNPROVEN}
        assert once(on)


def test_a_dead_try_leaves_a_refused_batch_in_doubt_as_long_as_refusals_are_not_understood(tmp_path):
    with bench(tmp_path, poison=frozenset({"C3"})) as on:
        lease = on.lease(Entity.CUSTOMERS)
        on.sending(lease).send(one_request([[one] for one in people(1, 2, 3)], 1))
        on.ledger.claim(lease.run, Entity.CUSTOMERS, 1)
        assert set(on.states().values()) == {UNPROVEN}
