"""
Faults along the path of the points that a review has shown, each with the right value, told from
outside: by what the sandbox took and what the account says.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import delete, update

from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import shown_customer
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Refusal
from tests.databases.changing import FILES, SWEEP, TOLERANT, booking, line, person, sale, site, states
from tests.whole_migration import UNLIMITED


CUSTOMERS, EVENTS, TRANSACTIONS = Entity
ADDRESSES = {"customers.sql": FILES["customers.sql"].replace("p.id) AS email", "p.name) AS email")}
WITH_COUNTRY = {
    "customers.sql": FILES["customers.sql"].replace("SELECT p.id AS id", "SELECT p.id AS id, 'CO' AS country")
}


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open a shop: *options* of the sandbox, *extra* of the connection, *settings* of the site."""

    @contextmanager
    def open_(extra=(), settings=(), **options):
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        given = {"sandbox": {**TOLERANT, **options}, "extra": {**UNLIMITED, **dict(extra)}}
        with site(*urls, tmp_path, monkeypatch, **given, **dict(settings)) as made:
            yield made

    return open_


def points(on, key):
    """What the API shows of a customer's points, over all rewards; None where it is not there."""
    shown = shown_customer(on.trip.place.hook.get_customer(key), key)
    return None if shown is None else sum(shown.balance.values())


def later(on, *kinds):
    """Run every one of *kinds*, an hour apart; return the last account."""
    for kind in kinds:
        on.clock.pass_minutes(60)
        made = on.run() if kind == "increment" else on.run(SWEEP)
        assert made.adds_up
    return made


@pytest.mark.parametrize("others", [1, 12])
def test_a_balance_that_changed_beside_the_mapping_is_sent_and_not_adopted(opened, others):
    with opened() as on:
        for number in range(others):
            on.shop.add_person(f"B{number}", points=7)
        on.shop.add_person("A", points=500)
        on.sync()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", points=900, ago=20)
        on.remaps(WITH_COUNTRY)
        on.sync(mapping_change="from_now_on", confirm="from_now_on")
        on.clock.pass_minutes(60)
        on.sync("sweep")
        assert points(on, "A") == 900
        assert on.stand(CUSTOMERS, "A")[-1] == "delivered"


def test_a_customer_with_the_address_of_one_who_was_refused_goes_once_that_one_is_merged(opened):
    """The remedy that the account names: merge or re-address one."""
    refused = Script(rules=(Rule(faults=("422_opaque",), path="/customers/migrate", nth=(1,)),))
    with opened(settings={"files": ADDRESSES}, faults=refused) as on:
        on.shop.add_person("A", name="ana", points=5)
        on.run()
        assert on.stand(CUSTOMERS, "A")[-1] == "quarantined refused"
        on.shop.add_person("B", name="ana", points=8, ago=0)
        on.shop.add_sale("SB", "B", ago=0)
        on.clock.pass_minutes(30)
        on.shop.delete(person, "A")
        later(on, "increment", "sweep")
        assert on.sent(CUSTOMERS) == {"B": 1}
        assert on.sent(EVENTS) == {"SB": 1}


def test_two_who_swap_addresses_are_named_and_go_once_one_of_them_is_changed(opened):
    with opened(settings={"files": ADDRESSES}) as on:
        on.shop.add_person("A", name="ana", points=5)
        on.shop.add_person("B", name="bea", points=7)
        on.run()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", name="bea", points=102)
        on.shop.change(person, "B", name="ana")
        later(on, "increment")
        assert {on.stand(CUSTOMERS, name)[-1] for name in "AB"} == {"quarantined email_swapped"}
        on.shop.change(person, "B", name="berta")
        later(on, "increment", "increment", "increment")
        assert points(on, "A") == 102
        on.shop.change(person, "B", name="ana")
        later(on, "increment", "increment")
        assert {on.stand(CUSTOMERS, name)[-1] for name in "AB"} == {"delivered"}


@pytest.mark.parametrize("key", [None, "K" * 200, "a\0b"])
def test_a_transaction_without_a_key_that_can_be_sent_keeps_its_customers_set_back(opened, key):
    """It is worth nothing, so that only the row itself can tell that the set is not whole."""
    with opened() as on:
        on.shop.add_person("A", points=5)
        on.shop.add_booking("T1", "A")
        on.shop.add(booking, id=key, person="A", points=0, changed_at=on.clock.ago(60))
        on.run()
        assert on.sent(TRANSACTIONS) == {}
        assert on.stand(TRANSACTIONS, "T1") == ["held sibling_not_sendable"]
        with on.shop.engine.begin() as connection:
            connection.execute(update(booking).where(booking.c.points == 0).values(id="T2", changed_at=on.clock.ago(0)))
        later(on, "increment", "increment")
        assert on.sent(TRANSACTIONS) == {"T1": 1, "T2": 1}


def test_rows_without_a_key_are_the_same_rows_in_every_run(opened):
    with opened() as on:
        on.shop.add_person("A")
        for cents in (100, 200, 300):
            on.shop.add(sale, id=None, person="A", cents=cents, changed_at=on.clock.ago(60))
        first = on.run()
        assert states(first, EVENTS) == {"quarantined": 3}
        for _ in range(2):
            on.clock.pass_minutes(60)
            assert on.sync("sweep", tolerance=0)["entities"]["events"]["quarantined"] == 3


def test_a_customer_who_registered_meanwhile_is_not_taken_for_the_one_that_was_sent(opened, monkeypatch):
    """The request that carried the points did not arrive, and somebody registers in the app."""
    lost = Script(rules=(Rule(faults=("rst_before",), path="/customers/migrate", nth=(1,)),))
    with opened({"records": 1}, faults=lost) as on:
        send, bodies = on.trip.api.post, []

        def and_register(entity, body):
            answer = send(entity, body)
            bodies.append(body)
            if len(bodies) == 1:
                on.trip.place.hook.post(CUSTOMERS, body.replace(b"500", b"1"))
            return answer

        monkeypatch.setattr(on.trip.api, "post", and_register)
        on.shop.add_person("A", points=500)
        on.shop.add_person("B", points=5)
        on.run()
        later(on, "increment")
        assert points(on, "A") == 1
        assert on.stand(CUSTOMERS, "A")[-1] == "in_doubt differs"


@pytest.mark.parametrize("owners", ["AZ", "ZA", "AA"])
def test_of_two_rows_of_one_key_none_goes_and_the_account_says_so_of_both(opened, owners):
    """They stand on different pages: what is read by customer comes at its own time."""
    with opened() as on:
        for name in "AZ":
            on.shop.add_person(name, points=5)
        for owner, cents in zip(owners, (100, 200), strict=True):
            on.shop.add(sale, id="E1", person=owner, cents=cents, changed_at=on.clock.ago(60))
            on.shop.add(line, sale="E1", position=cents, sku="A", changed_at=on.clock.ago(60))
            on.shop.add_booking("T1", owner, points=cents // 20)
        made = on.run()
        assert states(made, EVENTS) == {"quarantined": 2}
        later(on, "increment", "increment", "sweep", "increment")
        assert on.sent(EVENTS) == {}
        assert on.sent(TRANSACTIONS) == {}
        with on.shop.engine.begin() as connection:
            for table in (sale, booking):
                connection.execute(delete(table).where(table.c.id.in_(["E1", "T1"]), table.c.person == owners[1]))
        if owners == "AZ":
            later(on, "increment", "increment")
            assert (on.sent(EVENTS), on.sent(TRANSACTIONS)) == ({"E1": 1}, {"T1": 1})


def test_one_newest_row_that_was_deleted_stops_nobody(opened):
    with opened() as on:
        on.shop.add_person("A")
        for number in range(5):
            on.shop.add_sale(f"S{number}", "A", ago=60 - number)
        on.run()
        on.clock.pass_minutes(60)
        on.shop.delete(sale, "S4")
        on.shop.add_person("B", ago=30)
        later(on, "increment")
        assert on.sent(CUSTOMERS) == {"A": 1, "B": 1}


def test_more_fields_are_asked_about_before_everybody_is_sent_again(opened):
    """The files of the mapping stay as they are; what they make of the rows does not."""
    with opened(existing=Existing.DOUBLE, duplicates=Refusal.AT_ONCE) as on:
        for number in range(50):
            on.shop.add_person(f"P{number}", points=5)
        on.sync()
        on.clock.pass_minutes(60)
        on.remaps({"customers.sql": FILES["customers.sql"].replace("p.name AS name", "UPPER(p.name) AS name")})
        with pytest.raises(Exception, match="50 of 50 customers that the API has read otherwise"):
            on.sync("sweep")
        assert set(on.sent(CUSTOMERS).values()) == {1}


def test_change_times_of_another_zone_than_the_mapping_says_are_no_empty_windows(opened):
    """The shop writes Bogota's time, five hours behind, and the mapping says UTC."""
    with opened() as on:
        on.shop.add_person("A", ago=3_000)
        on.run()
        on.clock.pass_minutes(60)
        on.shop.add_person("B", ago=300)
        with pytest.raises(Misconfigured, match="written in another zone or form than the mapping says"):
            on.run()
        assert on.sent(CUSTOMERS) == {"A": 1}


@pytest.mark.parametrize("is_shown", [True, False])
def test_an_id_that_an_address_has_to_encode_is_read_back_or_stays_in_doubt(opened, is_shown):
    """A control with a plain id proves nothing of an id with a slash."""
    lost = Script(rules=(Rule(faults=("close_after_accept",), path="/customers/migrate", nth=(1,)),))
    with opened({"records": 1}, faults=lost) as on:
        on.shop.add_person("ES/1001", points=5)
        on.shop.add_person("ES2", points=5)
        if not is_shown:
            ask = on.trip.place.hook.get_customer
            on.trip.api.get_customer = lambda key: ask("nobody" if "/" in key else key)
        on.run()
        later(on, "increment")
        assert on.sent(CUSTOMERS)["ES/1001"] == 1
        assert on.stand(CUSTOMERS, "ES/1001")[-1] == ("delivered" if is_shown else "in_doubt no_answer")
