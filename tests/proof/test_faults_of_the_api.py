"""
Every fault that the sandbox can play (rows 28 to 49 of the catalogue), on every entity, each
through a whole migration.
"""

from __future__ import annotations

import pytest

from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.sandbox.faults.faults import FAULTS, Rule, Script
from masivo_engine.sandbox.options import Refusal
from tests.databases.proof import EVENTS
from tests.proof.rig import Rig, Schedule, rig


CUSTOMERS = 16
STRICT = {"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE}
# What comes back shows nothing of these: only a reconciliation finds them (row 48).
BEHIND_THE_DOOR = {"drop_in_queue", "duplicate_in_queue"}
STOPS = ("200", "200_html", "202", "204", "301", "307")
# Where the API answers a GET of the same key, these are about what a request holds.
ABOUT_CONTENT = ("403", "404", "422_html")


QUICK = ("422_opaque", "429", "503_but_accepted", "close_after_accept")


def each(fault: str):
    return fault if fault in QUICK else pytest.param(fault, marks=pytest.mark.slow)


def always(fault: str, path: str = "/customers/migrate*", **options) -> Schedule:
    return Schedule(options=STRICT | options, faults=Script(rules=(Rule(faults=(fault,), path=path),)))


def first_error(running: Rig) -> BaseException | None:
    """Work off the customers and return what that ended with."""
    trip = running.trip()
    run = trip.begin(running.next_run())
    try:
        for part in slices_of(trip.place.ledger, run.number, next(iter(trip.place.mapping.entities))):
            trip.work_off(run, part)
    except (Stopped, TryAgainLater) as error:
        return error
    finally:
        trip.close()
    return None


@pytest.mark.parametrize("fault", [each(fault) for fault in sorted(set(FAULTS) - BEHIND_THE_DOOR - {"429_huge"})])
def test_a_fault_that_is_met_now_and_then_loses_and_repeats_nothing(fault):
    rules = (Rule(faults=(fault,), nth=(2, 6, 11)),)
    made = Schedule(options=STRICT | {"late_s": 0.01}, faults=Script(rules=rules))
    with rig(made, customers=CUSTOMERS) as running:
        proof = running.play(made)
        assert not proof.problems, str(proof)
        assert sum(line.fault == fault for line in running.sandbox.lines()) == 3


@pytest.mark.parametrize("fault", STOPS)
def test_an_api_that_is_none_of_ours_stops_the_run_at_its_first_answer(fault):
    with rig(always(fault), customers=CUSTOMERS) as running:
        assert isinstance(first_error(running), Stopped)
        posts = [line for line in running.sandbox.lines() if line.method == "POST"]
        assert len(posts) == 1
        assert not any(line.accepted for line in posts)
        fates = running.prove().fates["customers"]
        # An API that says yes in other words than its contract's may have taken the batch all the
        # same.
        assert fates["in_doubt" if fault in {"200", "202", "204"} else "held"]
        assert not fates["delivered"]


@pytest.mark.parametrize("fault", ABOUT_CONTENT)
def test_whoever_refuses_every_request_is_met_with_few_and_nobody_is_convicted_for_it(fault):
    with rig(always(fault), customers=CUSTOMERS) as running:
        assert isinstance(first_error(running), Stopped)
        posts = [line for line in running.sandbox.lines() if line.method == "POST"]
        assert len(posts) < 10
        assert not any(line.accepted for line in posts)
        assert not running.prove().fates["customers"]["delivered"]
        trip = running.trip()
        assert "refused" not in {one.reason for one in trip.account().troubles}
        trip.close()


def test_a_wait_of_a_day_is_left_to_airflow_and_nobody_sleeps():
    with rig(always("429_huge"), customers=CUSTOMERS) as running:
        error = first_error(running)
        assert isinstance(error, TryAgainLater)
        assert error.wait_s > 80_000


@pytest.mark.parametrize("fault", ["503", "429", "rst_before", "500"])
def test_an_api_that_never_recovers_ends_the_try_and_not_the_patience_of_the_whole_night(fault):
    with rig(always(fault), customers=40) as running:
        if fault == "429":
            running.sandbox.follow(Script(rules=(Rule(faults=(fault,), times=20),)))
            running.play(Schedule())
            assert not running.prove().problems
        else:
            assert isinstance(first_error(running), TryAgainLater)
            assert len([line for line in running.sandbox.lines() if line.method == "POST"]) < 20


@pytest.mark.parametrize("fault", sorted(BEHIND_THE_DOOR))
def test_what_happens_behind_the_door_is_not_made_worse(fault):
    """
    The account says delivered, because the API took it; that the queue lost it, or took it twice,
    is for a reconciliation to find.
    """
    rules = (Rule(faults=(fault,), path="/customers/migrate/events", nth=(2,)),)
    made = Schedule(options=STRICT, faults=Script(rules=rules), spoils=frozenset({EVENTS}))
    with rig(made, customers=CUSTOMERS) as running:
        proof = running.play(made)
        assert not proof.problems, str(proof)


def test_an_answer_that_comes_later_than_we_wait_takes_effect_once():
    """
    Its effect comes after the answer was given up, and before the read-back believes in anything
    (settle_after_s).
    """
    rules = (Rule(faults=("late_ok",), nth=(2,)),)
    made = Schedule(
        options=STRICT | {"late_s": 0.5},
        faults=Script(rules=rules),
        extra={"deadline_s": 0.3, "settle_after_s": 1.2, "certain_after_s": 2.0},
    )
    with rig(made, customers=CUSTOMERS) as running:
        proof = running.play(made)
        assert not proof.problems, str(proof)
