"""
A run that stops or dies and is never done again: what it had in hand is taken up by the runs after
it, by themselves.

Runs are increments without a lag, so that a row that nobody remembers is never read again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, insert, text

from masivo_engine import crash_points
from masivo_engine.ledger.runs.runs import find_run, newest_run
from masivo_engine.ledger.writing.leases import let_go
from masivo_engine.model.errors import Stopped
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.triage.triage import Triage
from tests import told
from tests.databases import changing, proof
from tests.databases.verification import person
from tests.databases.verification import shop as small_shop
from tests.whole_migration import EVERYTHING, UNHURRIED, UNLIMITED, Died, journey


INCREMENT = Asked(RunKind.INCREMENT)
LONG_AGO = datetime(2023, 1, 1)  # noqa: DTZ001 (as the shop's clock shows it)


def die():
    raise Died


def just_now():
    return datetime.now(UTC).replace(tzinfo=None) - proof.BOGOTA_BEHIND_UTC - timedelta(seconds=1)


def sell(connection, key, member, at):
    connection.execute(insert(proof.sale).values(id=key, member_id=member, cents=100, sold_at=LONG_AGO, changed_at=at))
    connection.execute(insert(proof.sale_line).values(sale_id=key, position=0, sku="A", cents=100))


def book(connection, key, member, at):
    booked = {"kind": "ACCUMULATION", "points": 5, "booked_at": LONG_AGO, "changed_at": at}
    connection.execute(insert(proof.booking).values(id=key, member_id=member, **booked))


def taken(trip, entity):
    """Count how often the API took each record, by its own journal."""
    lines = (line for line in trip.posts() if line.path.endswith(f"/{entity}"))
    return Counter(key for line in lines for key, _ in line.accepted)


def register(connection, *names, **fields):
    common = {"name": "planted n", "joined_at": datetime(2019, 1, 1), "purchases": 3, "changed_at": just_now()}  # noqa: DTZ001
    members = [{"id": name, "email": f"planted.{name}@shop.invalid", **common, **fields} for name in names]
    connection.execute(insert(proof.member), members)


@contextmanager
def loaded(tmp_path, plant=lambda _: None, *, faults=None, **extra):
    """Yield a journey that has loaded a shop once, and in it what *plant* puts there."""
    folder = tmp_path / "mapping"
    shutil.copytree(proof.MAPPING, folder)
    with (folder / "mapping.yaml").open("a") as stream:
        stream.write("\nwindows: {lag: 0}\n")
    url = f"sqlite:///{tmp_path / 'legacy.sqlite'}"
    engine = create_engine(url)
    proof.stock(engine, customers=6)
    with engine.begin() as connection:
        plant(connection)
    engine.dispose()
    sandbox = {**UNHURRIED, **({"faults": faults} if faults else {})}
    ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with journey(url, ledger, mapping=str(folder), sandbox=sandbox, extra={**UNLIMITED, **extra}) as trip:
        assert trip.migrate("load").adds_up
        yield trip


def interrupted(trip, entity, point=""):
    """
    Begin an increment that ends at *entity*: at the crash *point*, or because the API says so.
    """
    run = trip.begin("given up", asked=INCREMENT)
    ended = False
    for one in Entity:
        if ended:
            break
        if one is entity and point:
            crash_points.set_trap(crash_points.trap_at(point, die))
        try:
            for part in trip.slices(run, one):
                trip.work_off(run, part)
        except (Died, Stopped):
            ended = True
        finally:
            crash_points.set_trap(None)
    assert ended
    let_go(trip.place.ledger, run.number)


def stand(trip, entity, key):
    return told.stand(trip.place.ledger_engine, entity, key)


@pytest.mark.parametrize("ends", ["stopped", "page_entered", "packed", "finishing"])
@pytest.mark.slow
def test_rows_that_waited_still_wait_when_the_run_that_read_them_is_given_up(tmp_path, ends):
    keys = [f"W{number}" for number in range(250)]

    def plant(connection):
        for key in keys:
            sell(connection, key, f"n{key}", LONG_AGO)

    with loaded(tmp_path, plant, records=20, interval_s=0.01) as trip:
        with trip.legacy.begin() as connection:
            register(connection, *(f"n{key}" for key in keys))
        if ends == "stopped":
            rule = Rule(faults=("301",), path="/customers/migrate/events", nth=(2,))
            trip.sandbox.api.director.follow(Script(rules=(rule,)))
        interrupted(trip, Entity.EVENTS, "" if ends == "stopped" else ends)
        for name in ("two", "three"):
            with trip.legacy.begin() as connection:
                sell(connection, f"N{name}", "C001", just_now())  # business goes on: each run has a slice of events
            assert trip.migrate(name, asked=INCREMENT).adds_up
        assert {stand(trip, Entity.EVENTS, key)[-1] for key in keys} == {"delivered"}
        assert {times for key, times in taken(trip, Entity.EVENTS).items() if key in keys} == {1}


def test_a_row_that_waits_says_so_no_more_once_it_was_sent(tmp_path):
    with loaded(tmp_path, lambda connection: sell(connection, "W1", "nobody", LONG_AGO)) as trip:
        with trip.legacy.begin() as connection:
            register(connection, "nobody")
        trip.migrate("next", asked=INCREMENT)
        assert stand(trip, Entity.EVENTS, "W1") == ["held customer_missing", "delivered"]


@pytest.mark.parametrize("is_busy", [True, False])
@pytest.mark.parametrize("entity", [Entity.EVENTS, Entity.TRANSACTIONS])
@pytest.mark.slow
def test_what_was_refused_by_itself_and_not_judged_yet_is_judged_once_it_is_proved_absent(tmp_path, entity, is_busy):
    """It is refused once something sent later shows that it was not taken; else it is in doubt."""

    def plant(connection):
        book(connection, "TN", "newcomer", LONG_AGO)
        sell(connection, "SN", "newcomer", LONG_AGO)

    key = "SN" if entity is Entity.EVENTS else "TN"
    with loaded(tmp_path, plant) as trip:
        with trip.legacy.begin() as connection:
            register(connection, "newcomer")
            connection.execute(insert(proof.lot).values(member_id="newcomer", position=0, points=5))
        rule = Rule(faults=("422_opaque",), path=f"/customers/migrate/{entity}", nth=(1,))
        trip.sandbox.api.director.follow(Script(rules=(rule,)))
        interrupted(trip, entity, "received")
        for name in ("two", "three", "four"):
            if is_busy:
                with trip.legacy.begin() as connection:
                    register(connection, name)
                    connection.execute(insert(proof.lot).values(member_id=name, position=0, points=5))
                    book(connection, f"T{name}", name, just_now())
                    sell(connection, f"S{name}", name, just_now())
            # What is known of events by counts is known within one slice.
            is_last = name == "four"
            assert trip.migrate(name, asked=EVERYTHING if is_last else INCREMENT).adds_up
        assert stand(trip, entity, key)[-1] == ("quarantined refused" if is_busy else "in_doubt refusal_unproven")
        assert taken(trip, entity)[key] == 0


def test_rows_that_cannot_go_are_read_by_every_run_and_cost_no_request(tmp_path):
    with loaded(tmp_path) as trip:
        posts = len(trip.posts())
        reads = []
        for number in range(4):
            made = trip.migrate(f"increment {number}", asked=INCREMENT)
            reads.append({one.entity: one.read for one in made.entities}.get(Entity.TRANSACTIONS, 0))
        assert reads == [3] * 4
        assert len(trip.posts()) == posts


@pytest.mark.parametrize("dies", [True, False])
def test_an_address_of_a_customer_who_was_read_and_never_sent_is_let_go(tmp_path, dies):
    with small_shop(tmp_path, person("P1", bookings=(), sales=()), migrate=False) as on:
        if dies:
            crash_points.set_trap(crash_points.trap_at("page_entered", die))
            with pytest.raises(Died):
                on.trip.migrate("first", entities=[Entity.CUSTOMERS])
            crash_points.set_trap(None)
            let_go(on.ledger, find_run(on.ledger, "first").number)
        with on.trip.legacy.begin() as connection:
            connection.execute(text("UPDATE person SET email = 'other@example.invalid' WHERE id = 'P1'"))
        on.trip.migrate("second", entities=[Entity.CUSTOMERS])
        with on.trip.legacy.begin() as connection:
            fields = "'P2', 'n', 'p1@example.invalid', '2020-05-01 10:00:00', '1990-02-03 00:00:00'"
            connection.execute(text(f"INSERT INTO person (id, name, email, registered, dob) VALUES ({fields})"))
        on.trip.migrate("third", entities=[Entity.CUSTOMERS])
        assert on.states("delivered") == {("customers", "P1"), ("customers", "P2")}


def test_a_set_that_was_refused_goes_when_the_faulty_one_of_it_is_removed(tmp_path):
    people = [person(f"P{number}", bookings=(5, 7), sales=()) for number in (1, 2, 3)]
    with small_shop(tmp_path, *people, migrate=False, sandbox={"poison": frozenset({"legacy:P1-b2"})}, records=2) as on:
        on.trip.place.ledger.prepare()
        on.trip.begin("first")
        on.trip.migrate("first")
        before = len(on.trip.api.bodies)
        on.trip.migrate("unchanged")
        assert len(on.trip.api.bodies) == before
        with on.trip.legacy.begin() as connection:
            connection.execute(text("DELETE FROM booking WHERE id = 'P1-b2'"))
            connection.execute(text("UPDATE lot SET points = 5 WHERE person = 'P1'"))
        on.trip.migrate("removed")
        assert ("transactions", "P1-b1") in on.states("delivered")


def test_a_set_that_was_refused_goes_when_the_faulty_one_of_it_is_corrected(tmp_path):
    people = [person(f"P{number}", bookings=(5, 7), sales=()) for number in (1, 2, 3)]
    poison = frozenset({"legacy:P1-b2"})
    with small_shop(tmp_path, *people, migrate=False, sandbox={"poison": poison}, records=2) as on:
        on.trip.place.ledger.prepare()
        on.trip.begin("first")
        on.trip.migrate("first")
        assert on.states("quarantined") == {("transactions", "P1-b1"), ("transactions", "P1-b2")}
        before = len(on.trip.api.bodies)
        on.trip.migrate("unchanged")
        assert len(on.trip.api.bodies) == before
        with on.trip.legacy.begin() as connection:
            connection.execute(text("UPDATE booking SET id = 'P1-b2x' WHERE id = 'P1-b2'"))
        on.trip.migrate("corrected")
        assert {("transactions", "P1-b1"), ("transactions", "P1-b2x")} <= on.states("delivered")


def test_what_a_person_released_to_be_sent_again_waits_until_it_is_sent(memory, monkeypatch):
    urls = [f"sqlite:///{memory / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
    patience = UNLIMITED | {"settle_after_s": 0, "certain_after_s": 100_000}
    with changing.site(*urls, memory, monkeypatch, extra=patience) as site:
        site.shop.add_person("A", points=5)
        site.shop.add_sale("SA", "A")
        site.trip.sandbox.follow(Script(rules=(Rule(faults=("rst_before",), path="/customers/migrate/events"),)))
        site.run()
        site.trip.sandbox.follow(Script())
        chosen = {"keys": ["SA"], "entities": ["events"], "in_doubt": "send_again", "confirm": "send_again"}
        crash_points.set_trap(crash_points.trap_at("page_entered", die))
        try:
            with pytest.raises(Died):
                site.sync("replay", run_id="released", **chosen)
        finally:
            crash_points.set_trap(None)
        let_go(site.trip.place.ledger, newest_run(site.trip.place.ledger))
        site.clock.pass_minutes(60)
        site.shop.add_sale("SB", "A", ago=5)
        site.run()
        assert site.sent(Entity.EVENTS)["SA"] == 1


def test_what_a_try_forgets_waits_again_in_case_it_is_the_last(tmp_path, monkeypatch):
    with loaded(tmp_path, lambda connection: sell(connection, "W1", "nobody", LONG_AGO)) as trip:
        # Read again by a full run, whose slice is worked off; and once more by a try that dies
        # before it has read anything.
        run = trip.begin("full", asked=EVERYTHING)
        for entity in (Entity.CUSTOMERS, Entity.EVENTS):
            parts = trip.slices(run, entity)
            for part in parts:
                trip.work_off(run, part)
        assert stand(trip, Entity.EVENTS, "W1") == ["held customer_missing"]
        with monkeypatch.context() as patch:
            patch.setattr(Triage, "judge", lambda *_: die())
            with pytest.raises(Died):
                trip.work_off(run, parts[0])
        let_go(trip.place.ledger, run.number)
        with trip.legacy.begin() as connection:
            register(connection, "nobody")
        for name in ("two", "three"):
            trip.migrate(name, asked=INCREMENT)
        assert stand(trip, Entity.EVENTS, "W1") == ["held customer_missing", "delivered"]
