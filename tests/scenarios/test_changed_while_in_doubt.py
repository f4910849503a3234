"""
What changes in the legacy database while a record is in doubt: it is looked for as it was sent, and
goes again only as it went.

A request's answer is lost, the process dies before it reads anything back, and the rows change
before somebody looks.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager

import orjson
import pytest
from sqlalchemy import text

from masivo_engine import crash_points
from masivo_engine.ledger.runs.runs import find_run
from masivo_engine.ledger.writing.leases import let_go
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.ledger.writing.takeover import settle_dead
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.faults.spoiling import Spoil
from tests.databases.verification import person, shop
from tests.whole_migration import Died


pytestmark = pytest.mark.slow


ARRIVED, LOST = "close_after_accept", "rst_before"
METRICS = {
    "metrics": {
        "visits": 7,
        "spent": 1,
        "lifetime_from": "2020-01-01 00:00:00",
        "lifetime_to": "2024-01-01 00:00:00",
    }
}


def die():
    raise Died


@contextmanager
def in_doubt(tmp_path, people, fault, *, entity=Entity.TRANSACTIONS, **connection):
    """
    Yield a shop whose first request of *entity* has met *fault*, in a process that died before it
    looked.
    """
    ends = "" if entity is Entity.CUSTOMERS else f"/{entity}"
    faults = Script(rules=(Rule(faults=(fault,), path=f"/customers/migrate{ends}", nth=(1,)),))
    with shop(tmp_path, *people, migrate=False, sandbox={"faults": faults}, **connection) as on:
        crash_points.set_trap(crash_points.trap_at("settling", die))
        try:
            with pytest.raises(Died):
                on.trip.migrate("first", entities=Entity if entity is not Entity.CUSTOMERS else [entity])
        finally:
            crash_points.set_trap(None)
        let_go(on.ledger, find_run(on.ledger, "first").number)
        yield on


def change(on, *statements):
    with on.trip.legacy.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def most_often_taken(on, entity):
    times = Counter(key for line in on.trip.posts() if line.path.endswith(f"/{entity}") for key, _ in line.accepted)
    return max(times.values())


@pytest.mark.parametrize("entity", [Entity.TRANSACTIONS, Entity.EVENTS])
def test_a_row_that_has_another_customer_now_is_looked_for_at_the_one_it_was_sent_for(tmp_path, entity):
    points = entity is Entity.TRANSACTIONS
    bookings, sales = ((5, 7), ()) if points else ((), (20,))
    people = [person(f"P{n}", bookings=bookings, sales=sales, **METRICS) for n in (1, 2, 3)]
    nobody_yet = person("P9", bookings=(), sales=(), **METRICS)
    size = 2 if points else 1
    with in_doubt(tmp_path, [*people, nobody_yet], ARRIVED, entity=entity, records=size, certain_after_s=36000) as on:
        table = "booking" if points else "sale"
        change(on, f"UPDATE {table} SET person = 'P9' WHERE person = 'P1'")
        change(on, "UPDATE lot SET person = 'P9' WHERE person = 'P1'")
        for name in ("second", "third", "fourth"):
            on.trip.migrate(name)
        assert most_often_taken(on, entity) == 1


@pytest.mark.parametrize("run", ["first", "second"])
def test_a_transaction_whose_date_was_corrected_is_looked_for_in_every_year(tmp_path, run):
    people = [person(f"P{n}", bookings=(5, 7), sales=()) for n in (1, 2, 3)]
    with in_doubt(tmp_path, people, ARRIVED, records=2, certain_after_s=36000) as on:
        change(on, "UPDATE booking SET booked = '2025-03-03 10:00:00' WHERE person = 'P1'")
        on.trip.migrate(run)
        on.trip.migrate("last")
        assert most_often_taken(on, Entity.TRANSACTIONS) == 1


@pytest.mark.parametrize("run", ["first", "second"])
@pytest.mark.parametrize(
    "change_of_one",
    [
        "UPDATE booking SET points = 70 WHERE id = 'P1-b2'",
        "DELETE FROM booking WHERE id = 'P1-b2'",
        "UPDATE booking SET booked = 'soon' WHERE id = 'P1-b2'",
    ],
)
def test_what_is_left_of_a_set_that_did_not_arrive_is_judged_anew(tmp_path, change_of_one, run):
    people = [person(f"P{n}", bookings=(5, 7), sales=()) for n in (1, 2, 3)]
    with in_doubt(tmp_path, people, LOST, records=2) as on:
        before = len(on.trip.api.bodies)
        change(on, change_of_one)
        assert on.trip.migrate(run).adds_up
        assert on.trip.migrate("last").adds_up
        sent = [orjson.loads(body) for entity, body in on.trip.api.bodies[before:] if entity is Entity.TRANSACTIONS]
        amounts = [[one["amount"] for one in set_["transactions"]] for body in sent for set_ in body["customers"]]
        assert all(sum(some) == 12 for some in amounts)
        assert not on.states("in_doubt")
        # Corrected, it goes.
        change(on, "DELETE FROM booking WHERE person = 'P1'")
        new = "INSERT INTO booking (id, person, points, booked) VALUES ('P1-c{0}', 'P1', {1}, '2024-01-02 10:00:00')"
        change(on, new.format(1, 5), new.format(2, 7))
        on.trip.migrate("corrected")
        assert {("transactions", "P1-c1"), ("transactions", "P1-c2")} <= on.states("delivered")


@pytest.mark.parametrize("run", ["first", "second"])
def test_what_is_left_of_a_set_does_not_go_alone_when_the_process_dies_in_between(tmp_path, monkeypatch, run):
    people = [person(f"P{n}", bookings=(5, 7), sales=()) for n in (1, 2, 3)]
    absent = SliceLedger.absent

    def dying(*given, **more):
        absent(*given, **more)
        raise Died

    with in_doubt(tmp_path, people, LOST, records=2) as on:
        before = len(on.trip.api.bodies)
        change(on, "DELETE FROM booking WHERE id = 'P1-b2'")
        with monkeypatch.context() as patch:
            patch.setattr(SliceLedger, "absent", dying)
            with pytest.raises(Died):
                on.trip.migrate(run)
        let_go(on.ledger, find_run(on.ledger, run).number)
        on.trip.migrate(run)
        on.trip.migrate("last")
        sent = [body for entity, body in on.trip.api.bodies[before:] if entity is Entity.TRANSACTIONS]
        assert not [body for body in sent if b"P1-b1" in body]


def test_a_row_whose_sibling_has_another_customer_now_waits_for_its_own_to_be_read(tmp_path):
    people = [person(f"P{n}", bookings=(5, 7), sales=()) for n in (1, 2, 3)]
    faults = Script(rules=(Rule(faults=("422_opaque",), path="/customers/migrate/transactions", nth=(1,)),))
    everybody = [*people, person("P9", bookings=(), sales=())]
    with shop(tmp_path, *everybody, migrate=False, sandbox={"faults": faults}, records=4) as on:
        crash_points.set_trap(crash_points.trap_at("received:3", die))
        try:
            with pytest.raises(Died):
                on.trip.migrate("first")
        finally:
            crash_points.set_trap(None)
        let_go(on.ledger, find_run(on.ledger, "first").number)
        other = on.trip.begin("other", asked=Asked(RunKind.FULL))
        settle_dead(on.ledger, other.number, Entity.TRANSACTIONS, lease_s=1)
        change(on, "UPDATE booking SET person = 'P9' WHERE id = 'P1-b2'")
        on.trip.migrate("only P9", asked=Asked(RunKind.CUSTOMERS, customers=("P9",)))
        assert ("transactions", "P1-b1") in on.states(
            "in_doubt"
        )  # a part of the set may have been taken, and nobody has looked for it
        on.trip.migrate("last")
        assert not on.states("in_doubt")
        assert not on.trip.sandbox.accepted("transactions") or most_often_taken(on, Entity.TRANSACTIONS) == 1


def test_witnesses_that_were_confirmed_still_prove_what_did_not_arrive(tmp_path):
    people = [person(f"P{n}", bookings=(5, 7), sales=()) for n in range(1, 7)]
    with in_doubt(tmp_path, people, LOST, records=4, certain_after_s=3600) as on:
        on.verify()
        on.trip.migrate("second")
        assert not on.states("in_doubt")
        assert most_often_taken(on, Entity.TRANSACTIONS) == 1


def test_one_that_is_missing_is_not_the_only_witness_after_a_read_back(tmp_path):
    people = [person(f"P{n}", bookings=(), sales=()) for n in range(1, 7)]
    with in_doubt(tmp_path, people, LOST, entity=Entity.CUSTOMERS, records=2, certain_after_s=0) as on:
        on.spoil("customers", "P6", Spoil.LOSE)
        on.verify()
        on.trip.migrate("second", entities=[Entity.CUSTOMERS])
        assert not on.states("in_doubt")
