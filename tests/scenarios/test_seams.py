"""
Where what several parts know of a row meets: each input once ended with points at another customer,
with a row that waits for ever, with a run that is red for ever, or with an account of less than
nothing.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import select, update

from masivo_engine import crash_points
from masivo_engine.ledger import schema
from masivo_engine.ledger.verification.pending import sent_to, settle
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Refusal
from tests.databases.changing import FILES, SWEEP, TOLERANT, booking, person, sale, site
from tests.whole_migration import UNLIMITED, Died


CUSTOMERS, EVENTS, TRANSACTIONS = Entity


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open a shop on SQLite: *options* of the sandbox, *extra* of the connection."""

    @contextmanager
    def open_(extra=(), **options):
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        given = {"sandbox": {**TOLERANT, **options}, "extra": {**UNLIMITED, **dict(extra)}}
        with site(*urls, tmp_path, monkeypatch, **given) as made:
            yield made

    return open_


@contextmanager
def dying_at(point):
    """Let the process die at *point*."""

    def die():
        raise Died

    crash_points.set_trap(crash_points.trap_at(point, die))
    try:
        with pytest.raises(Died):
            yield
    finally:
        crash_points.set_trap(None)


@pytest.mark.parametrize(("case", "owner"), [("upper", "A1"), ("lower", "a1")])
def test_a_delivered_customer_whose_name_becomes_another_delivered_ones_is_not_sent_over_it(opened, case, owner):
    policies = {"changed": {"customers": "resend"}}
    other = FILES["customers.sql"].replace("REPLACE('?@shop.invalid', '?', p.id)", "p.name || '@shop.invalid'")
    files = {"customers.sql": other}
    with opened() as on:
        on.shop.add_person("a1", points=100, name="Small")
        on.shop.add_person("A1", points=7, name="Big")
        on.remaps(files, policies=policies)
        on.run()
        on.trip.place.ledger.learn_resends("replace")
        adjust = f"def adjust(row):\n    row['id'] = row['id'].{case}()\n    return row\n"
        on.remaps(files | {"customers.py": adjust}, policies=policies)
        on.clock.pass_minutes(60)
        on.run(SWEEP)
        assert on.sent(CUSTOMERS) == {"a1": 1, "A1": 1}
        assert "delivered" in on.stand(CUSTOMERS, owner)


def test_customers_who_are_only_sent_again_do_not_hide_the_new_one_that_shows_how_far_the_queue_is(opened):
    with opened(existing=Existing.REFUSE, duplicates=Refusal.IN_QUEUE) as on:
        for name in "AB":
            on.shop.add_person(name, points=5)
        for name in "PQ":
            on.shop.add_person(name)
        on.run()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", name="Berta", ago=20)
        on.run()
        assert on.stand(CUSTOMERS, "A")[-1] == "in_doubt probe_unproven"
        for number in range(3):
            on.clock.pass_minutes(60)
            for name in "PQ":
                on.shop.change(person, name, name=f"Carla{number}", ago=20)
            on.run()
        for later in "DE":
            on.clock.pass_minutes(60)
            on.shop.add_person(later, points=5, ago=20)
            on.run()
        assert on.stand(CUSTOMERS, "A")[-1] == "quarantined refused"


def test_what_is_out_for_one_customer_stops_no_batch_of_the_one_whom_its_row_names_today(opened):
    lost = Script(rules=(Rule(faults=("close_after_accept",), path="/customers/migrate/transactions", nth=(1,)),))
    with opened({"records": 1}, faults=lost) as on:
        for name in "AB":
            on.shop.add_person(name, points=5)
        on.shop.add_booking("TA", "A", points=5)
        with dying_at("settling"):
            on.run()
        on.trip.account("run-1")
        on.clock.pass_minutes(60)
        with on.shop.engine.begin() as connection:
            moved = update(booking).where(booking.c.id == "TA")
            connection.execute(moved.values(person="B", changed_at=on.clock.ago(20)))
        run = on.trip.begin("seen", asked=SWEEP)
        for entity in (CUSTOMERS, EVENTS):
            for part in on.trip.slices(run, entity):
                on.trip.work_off(run, part)
        with dying_at("page_entered"):
            for part in on.trip.slices(run, TRANSACTIONS):
                on.trip.work_off(run, part)
        on.trip.account("seen")
        on.shop.delete(booking, "TA")
        on.shop.add_booking("TB", "B", points=5, ago=20)
        for _ in range(2):
            on.clock.pass_minutes(60)
            on.run()
        assert on.sent(TRANSACTIONS) == {"TA": 1, "TB": 1}
        assert on.stand(TRANSACTIONS, "TB")[-1] == "delivered"


def test_a_row_that_waited_and_is_there_twice_now_goes_once(opened):
    with opened() as on:
        on.shop.add_person("B", points=5)
        on.shop.add_sale("S1", "A")
        on.run()
        with on.shop.engine.begin() as connection:
            connection.execute(update(sale).where(sale.c.id == "S1").values(person="B"))
            connection.execute(sale.insert().values(id="S1", person="B", cents=500, changed_at=on.clock.ago(60)))
        for _ in range(2):
            on.clock.pass_minutes(60)
            assert on.run(SWEEP).adds_up
        assert on.sent(EVENTS) == {"S1": 1}


def test_what_a_person_said_of_a_doubt_and_a_read_back_confirms_takes_nothing_from_any_account(opened):
    lost = Script(rules=(Rule(faults=("close_after_accept",), path="/customers/migrate", nth=(1,)),))
    with opened({"records": 1}, faults=lost) as on:
        for name in "AB":
            on.shop.add_person(name, points=5)
        with dying_at("settling"):
            on.run()
        on.trip.account("run-1")
        (doubtful,) = (key for key in "AB" if on.stand(CUSTOMERS, key)[-1].startswith("in_doubt"))
        on.sync("replay", keys=[doubtful], in_doubt="delivered", confirm="delivered")
        ledger = on.trip.place.ledger
        settle(ledger, [one for one in sent_to(ledger, ["A", "B"]) if one.arrived], [], [])
        with ledger.reading() as connection:
            assert min(connection.execute(select(schema.tally.c.rows)).scalars()) >= 0


def test_the_points_of_a_row_that_is_no_record_are_those_of_today(opened):
    with opened() as on:
        on.shop.add_person("A", points=9, name=None)
        for points in (9, 11):
            on.shop.change(person, "A", name=None, points=points, ago=None)
            on.clock.pass_minutes(60)
            on.run(SWEEP)
            with on.trip.place.ledger.reading() as connection:
                assert connection.execute(select(schema.record.c.points)).scalar() == points
