"""
What happens to a shop's customers over the years, and to the last request of all: each is named
for what it is, and nobody gets points twice.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import update

from masivo_engine import crash_points
from masivo_engine.model.rows import Entity
from masivo_engine.planning import plan as planning
from masivo_engine.planning import slices as cutting
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Refusal
from masivo_engine.triage.triage import Decisions
from tests.databases.changing import FILES, SWEEP, TOLERANT, booking, person, sale, site, states
from tests.whole_migration import UNLIMITED, Died


CUSTOMERS, EVENTS, TRANSACTIONS = Entity
PATHS = {CUSTOMERS: "/customers/migrate", TRANSACTIONS: "/customers/migrate/transactions"}
WITH_ADDRESS = {"customers.sql": FILES["customers.sql"].replace("p.id) AS email", "p.name) AS email")}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open a shop; *options* of the sandbox, *extra* of the connection."""

    @contextmanager
    def open_(extra=(), files=None, **options):
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        connection = {**UNLIMITED, **dict(extra)}
        sandbox = {**TOLERANT, **options}
        with site(*urls, tmp_path, monkeypatch, sandbox=sandbox, extra=connection, files=files) as made:
            yield made

    return open_


def die():
    raise Died


def moved(on, table, was, owner):
    with on.shop.engine.begin() as connection:
        connection.execute(update(table).where(table.c.id == was).values(person=owner, changed_at=on.clock.ago(20)))


@pytest.mark.parametrize("entity", [CUSTOMERS, TRANSACTIONS])
def test_a_lost_last_batch_is_proved_by_the_tail_behind_it(opened, entity):
    """Of four records two requests go, and the tail alone behind them: the second one is lost."""
    lost = Script(rules=(Rule(faults=("rst_before",), path=PATHS[entity], nth=(2,)),))
    with opened({"records": 2}, faults=lost) as on:
        for name in "ABCD":
            on.shop.add_person(name, points=5)
            on.shop.add_booking(f"T{name}", name, points=5)
        made = on.run()
        assert states(made, entity) == {"delivered": 4}
        assert set(on.sent(entity).values()) == {1}


def test_a_customer_who_was_merged_into_another_is_gone_and_takes_nothing_with_it(opened):
    with opened() as on:
        for name in "AB":
            on.shop.add_person(name, points=5)
            on.shop.add_booking(f"T{name}", name, points=5)
            on.shop.add_sale(f"S{name}", name)
        on.run()
        on.clock.pass_minutes(60)
        on.shop.delete(person, "B")
        on.shop.change(person, "A", points=10, ago=20)
        moved(on, booking, "TB", "A")
        moved(on, sale, "SB", "A")
        made = on.run(SWEEP)
        assert {one.entity: one.gone for one in made.entities} == {CUSTOMERS: 1, EVENTS: 0, TRANSACTIONS: 0}
        assert on.stand(CUSTOMERS, "A")[-1] == "held balance_waits"
        assert on.stand(TRANSACTIONS, "TB")[-1] == "held changed_after_delivery"
        assert on.stand(EVENTS, "SB")[-1] == "held changed_after_delivery"
        assert set(on.everything_sent().values()) == {1}


def test_a_row_that_came_back_behind_the_reading_is_not_gone(opened):
    """A database that writes a row by deleting it first, while the sweep reads."""
    with opened() as on:
        for name in "AB":
            on.shop.add_person(name)
        on.run()
        on.shop.delete(person, "B")
        run = on.trip.begin("sweep", asked=SWEEP)
        for entity in Entity:
            for part in on.trip.slices(run, entity):
                on.trip.work_off(run, part)
        on.shop.add_person("B")
        assert on.trip.account("sweep").entities[0].gone == 0


@pytest.mark.parametrize("entity", [CUSTOMERS, TRANSACTIONS])
def test_what_is_in_doubt_of_a_row_that_is_gone_is_settled_all_the_same(opened, entity):
    lost = Script(rules=(Rule(faults=("close_after_accept",), path=PATHS[entity], nth=(1,)),))
    with opened({"records": 1}, faults=lost) as on:
        for name in "AB":
            on.shop.add_person(name, points=5)
            on.shop.add_booking(f"T{name}", name, points=5)
        crash_points.set_trap(crash_points.trap_at("settling", die))
        try:
            with pytest.raises(Died):
                on.run()
        finally:
            crash_points.set_trap(None)
        on.trip.account("run-1")
        (doubtful,) = [key for key in on.sent(entity) if on.stand(entity, key)[-1].startswith("in_doubt")]
        on.shop.delete(person if entity is CUSTOMERS else booking, doubtful)
        on.clock.pass_minutes(60)
        on.run()
        assert on.stand(entity, doubtful)[-1].startswith("delivered")


@pytest.mark.parametrize("points", [5, 0])
def test_a_probe_that_the_queue_has_lost_teaches_nothing(opened, points):
    """A balance that is as it was before may be the one that was there before."""
    dropped = Script(rules=(Rule(faults=("drop_in_queue",), path=PATHS[CUSTOMERS], nth=(3,)),))
    with opened(faults=dropped, existing=Existing.DOUBLE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        assert len(on.trip.posts()) == 2
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", points=points, ago=20)
        on.run()
        ends = [on.stand(CUSTOMERS, name)[-1] for name in "ABC"]
        assert ends.count("held awaits_probe") == (2 if points else 3)


def test_a_replaced_card_is_a_new_customer_with_an_address_that_the_old_one_has(opened):
    with opened(files=WITH_ADDRESS) as on:
        on.shop.add_person("17", name="ana")
        on.run()
        on.clock.pass_minutes(60)
        on.shop.delete(person, "17")
        on.shop.add_person("18", name="ana", ago=20)
        made = on.run(SWEEP)
        assert states(made, CUSTOMERS) == {"quarantined": 1}
        assert made.entities[0].gone == 1
        assert on.stand(CUSTOMERS, "18")[-1] == "quarantined email_shared"
        assert on.sent(CUSTOMERS) == {"17": 1}


def test_a_number_that_is_used_again_for_somebody_else_is_a_change(opened):
    with opened() as on:
        for name in "AB":
            on.shop.add_person(name)
        on.shop.add_sale("S1", "A")
        on.run()
        on.clock.pass_minutes(60)
        on.shop.delete(sale, "S1")
        on.shop.add_sale("S1", "B", ago=20)
        on.run()
        assert on.stand(EVENTS, "S1")[-1] == "held changed_after_delivery"
        assert on.sent(EVENTS) == {"S1": 1}


@pytest.mark.parametrize(
    ("existing", "stand", "times"),
    [
        (Existing.UPDATE, "delivered", 2),
        (Existing.DOUBLE, "held resend_unsafe", 1),
        (Existing.REFUSE, "held resend_unsafe", 1),
    ],
)
def test_the_first_changed_customer_is_a_probe_and_the_others_follow_what_it_shows(opened, existing, stand, times):
    with opened(existing=existing, duplicates=Refusal.AT_ONCE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        for _ in range(3 if existing is Existing.REFUSE else 1):  # one refusal may have another cause
            on.run()
        assert sorted(on.sent(CUSTOMERS).values())[:2] == [times, times]
        ends = sorted(on.stand(CUSTOMERS, name)[-1] for name in "ABC")
        assert ends.count(stand) >= 2
        on.clock.pass_minutes(60)
        on.shop.change(person, "B", name="Carla", ago=20)
        on.run()
        assert on.stand(CUSTOMERS, "B")[-1] == stand


def test_a_probe_that_is_refused_in_the_queue_teaches_it_once_another_one_was(opened):
    with opened(existing=Existing.REFUSE, duplicates=Refusal.IN_QUEUE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        for later in "DEF":
            on.shop.add_person(later, points=5, ago=20)
            on.run()
            on.clock.pass_minutes(60)
        for _ in range(2):
            assert sum(on.sent(CUSTOMERS).values()) == 3 + 2 + 3
            on.run(SWEEP)
            assert {on.stand(CUSTOMERS, name)[-1] for name in "ABC"} == {"held resend_unsafe"}


def test_one_probe_waits_for_something_later_and_no_other_customer_is_tried_meanwhile(opened):
    """Nobody new comes for two runs, so that nothing shows how far the queue is."""
    with opened(existing=Existing.REFUSE, duplicates=Refusal.IN_QUEUE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        for _ in range(3):
            on.run()
            ends = sorted(on.stand(CUSTOMERS, name)[-1] for name in "ABC")
            assert ends == ["held awaits_probe", "held awaits_probe", "in_doubt probe_unproven"]
            assert sum(on.sent(CUSTOMERS).values()) == 3 + 1
            on.clock.pass_minutes(60)
        on.shop.add_person("D", points=5, ago=20)
        on.run()
        ends = sorted(on.stand(CUSTOMERS, name)[-1] for name in "ABC")
        assert ends == ["held awaits_probe", "in_doubt probe_unproven", "quarantined refused"]
        on.clock.pass_minutes(60)
        on.shop.add_person("E", points=5, ago=20)
        on.run()
        on.run(SWEEP)
        assert {on.stand(CUSTOMERS, name)[-1] for name in "ABC"} == {"held resend_unsafe"}
        assert sum(on.sent(CUSTOMERS).values()) == 3 + 2 + 2


def test_a_probe_whose_customer_is_gone_is_settled_all_the_same_and_the_next_one_is_tried(opened):
    with opened(existing=Existing.REFUSE, duplicates=Refusal.IN_QUEUE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        on.run()
        (probed,) = (name for name in "ABC" if on.stand(CUSTOMERS, name)[-1] == "in_doubt probe_unproven")
        on.shop.delete(person, probed)
        on.clock.pass_minutes(60)
        for name in "DE":
            on.shop.add_person(name, points=5, ago=20)
            on.run(SWEEP)
            on.clock.pass_minutes(60)
        ends = sorted(on.stand(CUSTOMERS, name)[-1] for name in "ABC" if name != probed)
        assert "in_doubt probe_unproven" in ends or "quarantined refused" in ends
        assert on.stand(CUSTOMERS, probed)[-1] != "in_doubt probe_unproven"


def test_a_probe_that_is_refused_for_what_it_says_teaches_nothing_of_the_others(opened):
    """The first changed customer has a name that the API does not take; it replaces all others."""
    refused = Script(rules=(Rule(faults=("422_opaque",), path=PATHS[CUSTOMERS], nth=(3,)),))
    with opened(faults=refused) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        assert len(on.trip.posts()) == 2  # the third one is the probe
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        for _ in range(2):
            on.run()
        ends = sorted(on.stand(CUSTOMERS, name)[-1] for name in "ABC")
        assert ends == ["delivered", "delivered", "quarantined refused"]


@pytest.mark.parametrize("slices", [1, 3])
def test_slices_that_read_at_one_time_send_one_probe(opened, monkeypatch, slices):
    """None of them knows yet what the others will have learned."""
    with opened(existing=Existing.DOUBLE) as on:
        for name in "ABC":
            on.shop.add_person(name, points=5)
        on.run()
        on.clock.pass_minutes(60)
        for name in "ABC":
            on.shop.change(person, name, name="Berta", ago=20)
        monkeypatch.setattr(planning, "rows_per_slice", lambda *_: 3 // slices)
        monkeypatch.setattr(cutting, "rows_per_slice", lambda *_: 3 // slices)
        run = on.trip.begin("many", asked=SWEEP)
        parts = on.trip.slices(run, CUSTOMERS)
        assert len(parts) == slices
        with monkeypatch.context() as patch:
            patch.setattr(Decisions, "of", of_the_first_moment(on))
            for part in parts:
                on.trip.work_off(run, part)
        assert sorted(on.sent(CUSTOMERS).values()) == [1, 1, 2]


def of_the_first_moment(on):
    """Let every slice decide by what was known when the first one began."""
    resends, of = on.trip.place.ledger.resends, Decisions.of
    return lambda entity, policies, run, _: of(entity, policies, run, resends)
