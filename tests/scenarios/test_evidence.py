"""
What counts as proof that the API has something, or has not: told from outside, by what the sandbox
took and how often.

Accounts differ in what nobody documents: what a refusal leaves behind, by which year transactions
are found, what a gateway says when the API behind it broke. Whatever they do, nothing is taken
twice, and what is good arrives.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import text

from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Filing, Leaves
from tests.databases.changing import SWEEP, TOLERANT, booking, site
from tests.whole_migration import UNLIMITED


CUSTOMERS, EVENTS, TRANSACTIONS = Entity
PATHS = {
    CUSTOMERS: "/customers/migrate",
    EVENTS: "/customers/migrate/events",
    TRANSACTIONS: "/customers/migrate/transactions",
}
PATIENT = {**UNLIMITED, "certain_after_s": 36_000, "deadline_s": 2}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open a shop whose account has habits: *options* of the sandbox; *extra* of the connection."""

    @contextmanager
    def open_(extra=(), **options):
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        sandbox, connection = {**TOLERANT, **options}, {**PATIENT, **dict(extra)}
        with site(*urls, tmp_path, monkeypatch, sandbox=sandbox, extra=connection) as made:
            yield made

    return open_


def script(*rules):
    return Script(rules=tuple(Rule(faults=(fault,), path=PATHS[entity], nth=nth) for fault, entity, nth in rules))


def stock(on, *bookings):
    """
    Add customers ``C1``, ``C2`` ... who each have the bookings ``C1-1``, ``C1-2`` ... of so many
    points.
    """
    for number, points in enumerate(bookings, 1):
        on.shop.add_person(f"C{number}", points=sum(points))
        for place, amount in enumerate(points, 1):
            on.shop.add_booking(f"C{number}-{place}", f"C{number}", points=amount)


def times(on, entity=TRANSACTIONS):
    """How often each key was taken, and nothing that is in doubt or held."""
    return dict(on.sent(entity))


def end(on, entity, key):
    """Where *key* stands, sightings apart."""
    last = [one for one in on.stand(entity, key) if not one.startswith(("unchanged", "superseded"))][-1]
    return "delivered" if last.startswith("delivered") else last  # whatever its batch went through


@pytest.mark.parametrize("filed_by", list(Filing))
@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
def test_transactions_whose_answer_was_lost_are_found_by_whatever_year_the_account_files_them(opened, filed_by, fault):
    """
    They are of 1 January 2024 in UTC, which is 31 December 2023 in Bogota, and are sent today.
    """
    with opened({"records": 2}, filed_by=filed_by, faults=script((fault, TRANSACTIONS, (1,)))) as on:
        stock(on, (5, 7), (3,), (4,))
        on.run()
        on.run(SWEEP)
        assert times(on) == {"C1-1": 1, "C1-2": 1, "C2-1": 1, "C3-1": 1}
        assert {end(on, TRANSACTIONS, key) for key in times(on)} == {"delivered"}


@pytest.mark.parametrize("leaves", list(Leaves))
@pytest.mark.parametrize("fault", ["413", "413_page", "413_text"])
def test_what_a_proxy_refuses_of_customers_says_nothing_of_what_the_api_refuses_of_transactions(opened, fault, leaves):
    options = {"faults": script((fault, CUSTOMERS, (1,))), "poison": frozenset({"C4-1"})}
    with opened({"records": 4}, leaves={"transactions": leaves}, **options) as on:
        stock(on, *[(5,)] * 7)
        on.run()
        on.run(SWEEP)
        good = {f"C{number}-1" for number in range(1, 8)} - {"C4-1"}
        assert times(on) == dict.fromkeys(good, 1)
        assert {end(on, TRANSACTIONS, key) for key in good} == {"delivered"}
        assert end(on, TRANSACTIONS, "C4-1") == "quarantined refused"


@pytest.mark.parametrize("leaves", [Leaves.GOOD, Leaves.BEFORE])
@pytest.mark.parametrize("bad", ["C1", "C2", "C5"])
def test_what_one_address_leaves_behind_is_not_believed_of_another(opened, bad, leaves):
    """
    The bad customer stands first, in the middle, or last of its batch, and so does the bad booking;
    customers are refused whole.
    """
    options = {"leaves": {"transactions": leaves, "events": leaves}}
    poison = frozenset({bad, f"{bad}0-1"})
    with opened({"records": 5}, poison=poison, **options) as on:
        for number in range(1, 11):
            on.shop.add_person(f"C{number}")
            on.shop.add_sale(f"S{number}", f"C{number}")
        for number in (10, 20, 30, 40, 50, 60, 70):
            on.shop.add_person(f"C{number}0", points=5)
            on.shop.add_booking(f"C{number}-1", f"C{number}0", points=5)
        on.run()
        on.run(SWEEP)
        assert set(times(on, CUSTOMERS).values()) == set(times(on).values()) == set(times(on, EVENTS).values()) == {1}
        assert end(on, CUSTOMERS, bad) == "quarantined refused"
        refused = f"{bad}0-1"
        assert end(on, TRANSACTIONS, refused) == "quarantined refused"
        assert len(times(on)) == 6


def test_a_bad_one_that_stood_first_and_one_that_stands_last_where_the_api_stops_at_it(opened):
    """Of the first refusal nothing was taken, and of the second all but one."""
    with opened(
        {"records": 4}, leaves=dict.fromkeys(Entity, Leaves.BEFORE), poison=frozenset({"C1-1", "C8-1", "C1", "C8"})
    ) as on:
        stock(on, *[(5,)] * 9)
        on.run()
        on.run(SWEEP)
        good = {f"C{number}" for number in range(1, 10)} - {"C1", "C8"}
        assert times(on, CUSTOMERS) == dict.fromkeys(good, 1)
        assert times(on) == {f"{key}-1": 1 for key in good}


@pytest.mark.parametrize("is_alone", [True, False])
def test_of_a_set_that_was_taken_in_part_nothing_goes_again(opened, is_alone):
    """
    The API takes the first booking, which is the balance, and stops at the second: what it has left
    out is held, and said.
    """
    with opened(
        {"records": 3 if is_alone else 5}, leaves={"transactions": Leaves.BEFORE}, poison=frozenset({"C1-2"})
    ) as on:
        stock(on, (10, 3, -3), (5, 5), (5,))
        on.run()
        assert {end(on, TRANSACTIONS, key) for key in ("C1-2", "C1-3")} == {"held transactions_already_migrated"}
        on.run(SWEEP)
        on.run(SWEEP)
        assert times(on) == {"C1-1": 1, "C2-1": 1, "C2-2": 1, "C3-1": 1}
        assert end(on, TRANSACTIONS, "C1-1") == "delivered"
        assert {end(on, TRANSACTIONS, key) for key in ("C1-2", "C1-3")} == {"held transactions_already_migrated"}
        # Corrected, the rest does not go on its own either.
        on.shop.delete(booking, "C1-2")
        on.run(SWEEP)
        assert times(on)["C1-1"] == 1
        assert "C1-3" not in times(on)


@pytest.mark.parametrize("entity", list(Entity))
@pytest.mark.parametrize("fault", ["503_but_accepted", "408_but_accepted", "503"])
def test_what_a_gateway_says_is_no_answer_of_the_api(opened, fault, entity):
    with opened({"records": 2}, faults=script((fault, entity, (1,)))) as on:
        stock(on, *[(5,)] * 4)
        for number in range(1, 5):
            on.shop.add_sale(f"S{number}", f"C{number}")
        on.run()
        on.run(SWEEP)
        found = times(on, entity)
        assert set(found.values()) == {1}
        assert len(found) == 4
        assert settled(on, entity, found) == {"delivered"}


def settled(on, entity, found):
    """
    Where the keys that the API took stand, when a person has said of events what no address of the
    API shows.
    """
    if entity is EVENTS:
        doubtful = sorted(key for key in found if end(on, entity, key) != "delivered")
        if doubtful:
            on.sync("replay", keys=doubtful, entities=["events"], in_doubt="delivered", confirm="delivered")
            on.run(SWEEP)
    return {"delivered" if "delivered" in "".join(on.stand(entity, key)) else end(on, entity, key) for key in found}


@pytest.mark.parametrize("fault", ["503", "503_but_accepted"])
@pytest.mark.parametrize("entity", list(Entity))
def test_an_outage_behind_a_gateway_leaves_little_in_doubt_and_ends_well(opened, entity, fault):
    """
    Every request of *entity* is answered so, for as many tries as an hour has; then the API is well
    again.
    """
    with opened({"records": 10}) as on:
        for number in range(100, 140):
            on.shop.add_person(f"C{number}", points=5)
            on.shop.add_booking(f"T{number}", f"C{number}", points=5)
            on.shop.add_sale(f"S{number}", f"C{number}")
        on.trip.sandbox.follow(Script(rules=(Rule(faults=(fault,), path=PATHS[entity]),)))
        for _ in range(4):
            with pytest.raises(TryAgainLater, match="answers in a row prove nothing"):
                on.trip.migrate("load")
        # A batch and two more, and then one for each try.
        assert len([line for line in on.trip.posts() if line.path == PATHS[entity]]) == 3 + 3
        on.trip.sandbox.follow(Script())
        on.trip.migrate("load")
        on.run(SWEEP)
        found = times(on, entity)
        assert set(found.values()) == {1}
        assert len(found) == 40
        assert settled(on, entity, found) == {"delivered"}


def test_a_refused_batch_of_many_sets_costs_few_rounds(opened):
    """
    One bad set of sixty: it is found in two rounds of parts, by about twice the root of sixty
    requests.
    """
    with opened({"records": 60}, leaves={"transactions": Leaves.GOOD}, poison=frozenset({"C37-1"})) as on:
        stock(on, *[(5,)] * 70)
        on.run()
        sent = [line for line in on.trip.posts() if line.path == PATHS[TRANSACTIONS]]
        assert set(times(on).values()) == {1}
        assert len(times(on)) == 69
        assert end(on, TRANSACTIONS, "C37-1") == "quarantined refused"
        assert len(sent) <= 5


@pytest.mark.parametrize("budget", [1, 3])
def test_what_the_budget_of_taking_apart_leaves_is_found_by_later_runs(opened, budget):
    """Business goes on, so that there is always something that is sent later."""
    with opened({"records": 12, "isolation_per_hour": budget}, poison=frozenset({"C7-1"})) as on:
        stock(on, *[(5,)] * 15)
        for number in range(12):
            assert on.run(SWEEP).adds_up
            on.shop.add_person(f"N{number}", points=5)
            on.shop.add_booking(f"N{number}-1", f"N{number}", points=5)
            with on.trip.place.ledger_engine.begin() as connection:  # an hour passes
                connection.execute(text("UPDATE masivo_batch SET purpose = '' WHERE purpose = 'isolation'"))
        assert set(times(on).values()) == {1}
        assert end(on, TRANSACTIONS, "C7-1") == "quarantined refused"
        assert len(times(on)) == 14 + 11


def test_a_refused_batch_of_many_sets_that_was_not_taken_at_all_costs_few_rounds(opened):
    with opened({"records": 60}, poison=frozenset({"C37-1"})) as on:
        stock(on, *[(5,)] * 70)
        on.run()
        sent = [line for line in on.trip.posts() if line.path == PATHS[TRANSACTIONS]]
        assert times(on) == {f"C{number}-1": 1 for number in range(1, 71) if number != 37}
        assert end(on, TRANSACTIONS, "C37-1") == "quarantined refused"
        assert len(sent) <= 25


def last_set_refused(on):
    """
    Run with three customers of two bookings each, of which the last set is refused: nothing goes
    after it.
    """
    stock(on, (5, 7), (3, 1), (4, 2))
    on.run()
    (waits,) = [key for key in ("C1", "C2", "C3") if not end(on, TRANSACTIONS, f"{key}-1").startswith("delivered")]
    assert end(on, TRANSACTIONS, f"{waits}-1") == "in_doubt refusal_unproven"
    return waits


def test_a_refused_set_that_nothing_follows_waits_and_a_later_one_convicts_it_without_another_request(opened):
    faults = script(("422_opaque", TRANSACTIONS, (2,)))
    with opened(faults=faults) as on:
        waits = last_set_refused(on)
        posts = len(on.trip.posts())
        on.run(SWEEP)
        assert len(on.trip.posts()) == posts
        on.shop.add_person("N", points=5)
        on.shop.add_booking("N-1", "N", points=5)
        on.run(SWEEP)
        assert end(on, TRANSACTIONS, f"{waits}-1") == "quarantined refused"
        assert times(on) == times(on) | {"N-1": 1}
        assert f"{waits}-1" not in times(on)
        assert len(on.trip.posts()) == posts + 2  # the new customer and its booking
        on.sync("replay", keys=[f"{waits}-1", f"{waits}-2"], entities=["transactions"])
        assert set(times(on).values()) == {1}
        assert len(times(on)) == 7


def test_a_person_may_say_that_a_refused_set_did_not_arrive_and_it_is_read_back_first(opened):
    with opened({"certain_after_s": 0}, faults=script(("422_opaque", TRANSACTIONS, (2,)))) as on:
        waits = last_set_refused(on)
        posts = len(on.trip.posts())
        keys = [f"{waits}-1", f"{waits}-2"]
        on.sync("replay", keys=keys, entities=["transactions"], in_doubt="send_again", confirm="send_again")
        assert {end(on, TRANSACTIONS, key) for key in keys} == {"quarantined refused"}
        assert len(on.trip.posts()) == posts
        on.clock.pass_minutes(60)
        on.shop.change(booking, keys[0], ago=1, points=on_points(on, waits) - 3)
        on.shop.change(booking, keys[1], ago=1, points=3)
        on.run()
        assert times(on) == dict.fromkeys(("C1-1", "C1-2", "C2-1", "C2-2", "C3-1", "C3-2"), 1)


def on_points(on, owner):
    """The balance of *owner*."""
    with on.shop.engine.connect() as connection:
        return connection.execute(text("SELECT points FROM person WHERE id = :id"), {"id": owner}).scalar_one()


def test_the_last_set_is_of_one_booking_where_there_is_one_and_then_its_refusal_needs_no_proof(opened):
    with opened(poison=frozenset({"C3-1"})) as on:
        stock(on, (5, 7), (3, 1), (4,), (6, 2))
        on.run()
        assert end(on, TRANSACTIONS, "C3-1") == "quarantined refused"
        assert len(times(on)) == 6


@pytest.mark.parametrize("entity", list(Entity))
def test_the_plan_counts_what_is_in_doubt_among_what_may_be_sent(opened, entity):
    """The last request of its entity is lost, and nothing that came later proves that."""
    with opened({"records": 10}, faults=script(("rst_before", entity, (2,)))) as on:
        for number in (1, 2):
            on.shop.add_person(f"C{number}", points=7)
            on.shop.add_booking(f"B{number}", f"C{number}", points=5)
            on.shop.add_booking(f"D{number}", f"C{number}", points=2)
            on.shop.add_sale(f"S{number}", f"C{number}")
        on.sync()
        lost = 2 if entity is TRANSACTIONS else 1
        before = sum(times(on, entity).values())
        on.clock.pass_minutes(60)
        on.shop.add_person("N", points=5, ago=20)
        on.shop.add_booking("N1", "N", points=5, ago=20)
        on.shop.add_sale("SN", "N", ago=20)
        on.sync()
        told = on.plan[entity.value]
        assert (told["again"], told["records"], told["requests"]) == (lost, lost + 1, 2)
        assert sum(times(on, entity).values()) - before == lost + 1
        assert set(times(on, entity).values()) == {1}
        on.clock.pass_minutes(60)
        on.sync()
        assert on.plan[entity.value]["again"] == 0
