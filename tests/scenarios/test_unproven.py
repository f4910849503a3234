"""
What nothing can be proved of: it waits, or the next run sends it again where the mapping says so;
points never go again.

Of each entity the first request is lost and the last one, of one record, arrives; the queue never
works it off, so that nothing is shown.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, select, update

from masivo_engine import crash_points
from masivo_engine.ledger.runs.runs import find_run
from masivo_engine.ledger.writing.leases import let_go
from masivo_engine.mapping.loader import load
from masivo_engine.model.errors import MappingError, Stopped
from masivo_engine.model.rows import Entity
from masivo_engine.reports.account_text import as_text
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Refusal
from tests import told
from tests.databases import proof
from tests.include.delivery.delivery_rig import bench, customer, transaction
from tests.include.sandbox.bodies import balance
from tests.whole_migration import UNHURRIED, UNLIMITED, Died, Trip, journey


pytestmark = pytest.mark.slow


RESENT = "sent_again"
PATHS = {Entity.CUSTOMERS: "", Entity.EVENTS: "/events", Entity.TRANSACTIONS: "/transactions"}
RESEND = "policies: {unproven: {customers: resend, events: resend}}\n"
# The queue never works: whatever is read back shows nothing, and so proves nothing.
STANDSTILL = {**UNHURRIED, "outages": ((0.0, 36_000.0),), "duplicates": Refusal.IN_QUEUE}
PATIENT = {**UNLIMITED, "deadline_s": 2}


def losing(entity, fault, *nth):
    """The *nth* requests of *entity*, or all, get no answer."""
    path = f"/customers/migrate{PATHS[entity]}"
    return Script(rules=(Rule(faults=(fault,), path=path, nth=nth),))


def mapping(folder, policies=""):
    """The shop's mapping, with *policies* for it."""
    shutil.copytree(proof.MAPPING, folder, dirs_exist_ok=True)
    with (folder / "mapping.yaml").open("a") as settings:
        settings.write(policies)
    return str(folder)


@pytest.fixture
def travel(tmp_path):
    """Open a journey of a little shop."""
    engine = create_engine(f"sqlite:///{tmp_path / 'legacy.sqlite'}")
    proof.stock(engine, customers=8)
    engine.dispose()

    def opened(faults, policies="", extra=PATIENT, **options):
        urls = (f"sqlite:///{tmp_path / 'legacy.sqlite'}", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
        sandbox = {**STANDSTILL, "faults": faults, **options}
        return journey(*urls, mapping=mapping(tmp_path / "mapping", policies), sandbox=sandbox, extra=extra)

    return opened


def die():
    """Kill the process, as far as its own exception clauses see."""
    raise Died


def taken(trip, entity):
    """How often the API took each record, by its own journal."""
    ends = f"migrate{PATHS[entity]}"
    return Counter(key for line in trip.posts() if line.path.endswith(ends) for key, _ in line.accepted)


def requests(trip, entity):
    """How many requests of *entity* the API saw."""
    return sum(line.path.endswith(f"migrate{PATHS[entity]}") for line in trip.posts())


def of(account, entity):
    return next(one for one in account.entities if one.entity is entity)


def in_doubt(account, entity):
    return of(account, entity).states.get("in_doubt", 0)


def resent(account, entity):
    return sum(one.rows for one in account.troubles if (one.entity, one.reason) == (entity, RESENT))


def reasons(account, entity):
    """Why rows are in doubt."""
    return {one.reason for one in account.troubles if (one.entity, one.state) == (entity, "in_doubt")}


@contextmanager
def killed_at(point):
    """Kill the process at the crash *point*."""
    crash_points.set_trap(crash_points.trap_at(point, die))
    try:
        with pytest.raises(Died):
            yield
    finally:
        crash_points.set_trap(None)


@pytest.mark.parametrize(("fault", "times"), [("close_after_accept", 2), ("rst_before", 1)])
@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
def test_what_is_unproven_is_sent_again_by_the_next_run_where_the_mapping_says_so_and_the_account_names_it(
    travel, entity, fault, times
):
    with travel(losing(entity, fault, 1), RESEND) as trip:
        first = trip.migrate("first")
        left = in_doubt(first, entity)
        assert requests(trip, entity) == 2  # the second is the last record of all: nothing went again
        second = trip.migrate("second")
        sent = requests(trip, entity)
        third = trip.migrate("third")
        assert requests(trip, entity) == sent
        found = taken(trip, entity)
    assert left == len(found) - 1 > 0
    assert Counter(found.values()) == Counter({times: left}) + Counter({1: 1})
    assert all(made.adds_up for made in (first, second, third))
    assert (in_doubt(first, entity), reasons(first, entity)) == (left, {"no_answer"})
    assert of(second, entity).states.get("delivered") == left == resent(second, entity)
    assert in_doubt(second, entity) == 0
    assert f"{RESENT}: sent before without a usable answer" in as_text(second)
    assert sum(one.new for one in second.troubles if one.entity is entity) == 0
    assert of(third, entity).states.get("unchanged") == len(found)


@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
@pytest.mark.slow
def test_what_is_unproven_waits_where_the_mapping_says_nothing(travel, entity, fault):
    with travel(losing(entity, fault, 1)) as trip:
        made = [trip.migrate(name) for name in ("first", "second", "third")]
        found = taken(trip, entity)
        assert requests(trip, entity) == 2
    assert set(found.values()) <= {1}
    (left,) = {in_doubt(one, entity) for one in made}
    assert left > 0
    assert [reasons(one, entity) for one in made] == [{"no_answer"}] * 3
    assert [resent(one, entity) for one in made] == [0] * 3


@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
def test_points_are_never_sent_again_unproven(travel, fault):
    with travel(losing(Entity.TRANSACTIONS, fault, 1), RESEND) as trip:
        first, second = trip.migrate("first"), trip.migrate("second")
        found = taken(trip, Entity.TRANSACTIONS)
        assert requests(trip, Entity.TRANSACTIONS) == 2
    assert set(found.values()) == {1}
    assert in_doubt(first, Entity.TRANSACTIONS) == in_doubt(second, Entity.TRANSACTIONS) > 0
    assert of(second, Entity.TRANSACTIONS).states.get("delivered", 0) == 0


def test_not_even_if_somebody_told_the_delivery_to(tmp_path):
    with bench(tmp_path, outages=STANDSTILL["outages"], faults=losing(Entity.TRANSACTIONS, "rst_before", 1)) as on:
        on.gives_up = True
        on.migrate([customer(1, balance=[balance(5)])])
        lost = transaction("T1", "C1")
        assert on.migrate([lost])["T1"] == ("in_doubt", "no_answer")
        assert on.delivery(on.writer(Entity.TRANSACTIONS)).settle([lost.place]) == (set(), [])
        assert on.states()["T1"] == ("in_doubt", "no_answer")
        assert on.posts() == 2


def test_the_mapping_cannot_ask_for_it_either(tmp_path):
    folder = mapping(tmp_path / "mapping", "policies: {unproven: {transactions: resend}}\n")
    with pytest.raises(MappingError) as refused:
        load(folder)
    assert (
        str(refused.value) == f"{Path(folder) / 'mapping.yaml'}: policies.unproven.transactions: input should be 'hold'"
    )


def test_what_an_earlier_run_left_unproven_is_sent_again_by_the_next(travel, tmp_path):
    with travel(losing(Entity.EVENTS, "close_after_accept", 1)) as trip:
        left = in_doubt(trip.migrate("first"), Entity.EVENTS)
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        second = later.migrate("second")
        third = later.migrate("third")
        found = taken(trip, Entity.EVENTS)
        then = trip.account("first")
        later.close()
    assert left == len(found) - 1 > 0
    assert Counter(found.values()) == {2: left, 1: 1}
    assert in_doubt(then, Entity.EVENTS) == left  # as it was when the run ended
    assert of(second, Entity.EVENTS).states["delivered"] == left == resent(second, Entity.EVENTS)
    assert of(third, Entity.EVENTS).states["unchanged"] == left + 1
    assert then.adds_up
    assert second.adds_up
    assert third.adds_up


@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
@pytest.mark.parametrize("how", ["stopped", "killed before", "killed after it was written down"])
def test_what_was_to_be_sent_again_and_could_not_be_is_in_doubt_or_waits_as_before(travel, tmp_path, entity, how):
    script = losing(entity, "close_after_accept", 1)
    refuses = Rule(faults=("301",), path=f"/customers/migrate{PATHS[entity]}", nth=(3,))
    with travel(Script(rules=(*script.rules, refuses)) if how == "stopped" else script) as trip:
        first = trip.migrate("first", entities=[entity]) if entity is Entity.CUSTOMERS else trip.migrate("first")
        left = in_doubt(first, entity)
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        point = "settling" if how == "killed before" else "packed"
        with pytest.raises(Stopped) if how == "stopped" else killed_at(point):
            later.migrate("second", entities=[entity])
        assert set(taken(trip, entity).values()) == {1}
        let_go(later.place.ledger, find_run(later.place.ledger, "second").number)
        third = later.migrate("third", entities=[entity])
        found = taken(trip, entity)
        second = later.account("second")
        later.close()
    assert left == len(found) - 1 > 0
    assert Counter(found.values()) == {2: left, 1: 1}
    assert of(third, entity).states.get("delivered") == left == resent(third, entity)
    assert of(second, entity).states.get("delivered", 0) == 0
    assert second.troubles
    assert third.adds_up


@pytest.mark.parametrize("atomic", [True, False])
def test_what_was_sent_again_and_refused_is_in_doubt_and_no_later_run_sends_it(travel, atomic):
    """The API's verdict on the second request says nothing of the first."""
    faults = losing(Entity.EVENTS, "rst_before", 1)
    with travel(faults, RESEND, atomic=atomic, poison=("S003-00",)) as trip:
        left = in_doubt(trip.migrate("first"), Entity.EVENTS)
        second = trip.migrate("second")
        before = Counter(line.path for line in trip.posts())
        then = [trip.migrate(name) for name in ("third", "fourth")]
        after = Counter(line.path for line in trip.posts())
        found = taken(trip, Entity.EVENTS)
    assert after == before
    assert set(found.values()) == {1}
    assert "S003-00" not in found
    for made in (second, *then):
        assert made.adds_up
        assert (in_doubt(made, Entity.EVENTS), reasons(made, Entity.EVENTS)) == (left, {"refusal_unproven"})


def test_what_was_sent_again_and_refused_is_in_doubt_when_its_try_dies(travel):
    refuses = Rule(faults=("422_opaque",), path="/customers/migrate/events", nth=(3,))
    with travel(Script(rules=(*losing(Entity.EVENTS, "close_after_accept", 1).rules, refuses)), RESEND) as trip:
        left = in_doubt(trip.migrate("first"), Entity.EVENTS)
        with killed_at("received"):
            trip.migrate("second", entities=[Entity.EVENTS])
        let_go(trip.place.ledger, find_run(trip.place.ledger, "second").number)
        second = trip.account("second")
        third = trip.migrate("third")
        assert requests(trip, Entity.EVENTS) == 3
        assert max(taken(trip, Entity.EVENTS).values()) == 1
    for made in (second, third):
        assert (in_doubt(made, Entity.EVENTS), reasons(made, Entity.EVENTS)) == (left, {"refusal_unproven"})


@pytest.mark.parametrize("records", [1000, 1])
def test_what_was_sent_again_and_is_refused_because_it_had_arrived_is_not_quarantined(travel, records):
    """Neither in company nor alone."""
    faults = losing(Entity.CUSTOMERS, "close_after_accept", 1)
    own = {"existing": Existing.REFUSE, "duplicates": Refusal.AT_ONCE}
    with travel(faults, RESEND, extra=PATIENT | {"records": records}, **own) as trip:
        made = [trip.migrate(name, entities=[Entity.CUSTOMERS]) for name in ("first", "second")]
        before = requests(trip, Entity.CUSTOMERS)
        made.append(trip.migrate("third", entities=[Entity.CUSTOMERS]))
        assert requests(trip, Entity.CUSTOMERS) == before
        found = taken(trip, Entity.CUSTOMERS)
    assert set(found.values()) == {1}
    left = len(found) - 1 if records > 1 else 1
    assert [in_doubt(one, Entity.CUSTOMERS) for one in made] == [left] * 3
    assert [reasons(one, Entity.CUSTOMERS) for one in made] == [{"no_answer"}, *[{"refusal_unproven"}] * 2]


def test_a_run_sends_again_once_and_the_next_one_once_more(travel):
    with travel(losing(Entity.EVENTS, "close_after_accept", 1, 3), RESEND) as trip:
        first, second = trip.migrate("first"), trip.migrate("second")
        assert requests(trip, Entity.EVENTS) == 3
        third = trip.migrate("third")
        found = taken(trip, Entity.EVENTS)
    left = in_doubt(first, Entity.EVENTS)
    assert in_doubt(second, Entity.EVENTS) == left > 0
    assert of(third, Entity.EVENTS).states["delivered"] == left == resent(third, Entity.EVENTS)
    assert Counter(found.values()) == {3: left, 1: 1}
    assert all(one.adds_up for one in (first, second, third))


def test_a_try_that_died_is_not_a_reason_to_send_again_twice(travel):
    """The second try of a run knows from the ledger what the run has sent, or sent again."""
    with travel(losing(Entity.EVENTS, "close_after_accept", 1, 3), RESEND) as trip:
        left = in_doubt(trip.migrate("first"), Entity.EVENTS)
        assert in_doubt(trip.migrate("first"), Entity.EVENTS) == left
        assert requests(trip, Entity.EVENTS) == 2
        with killed_at("received"):
            trip.migrate("second")
        made = trip.migrate("second")
        assert requests(trip, Entity.EVENTS) == 3
    assert (in_doubt(made, Entity.EVENTS), reasons(made, Entity.EVENTS)) == (left, {"no_answer"})


def move_address(trip):
    """Give the first customer the address of the second; return both."""
    with trip.legacy.begin() as connection:
        members = select(proof.member).where(proof.member.c.id.in_(["C001", "C002"])).order_by(proof.member.c.id)
        one, other = connection.execute(members)
        connection.execute(update(proof.member).where(proof.member.c.id == one.id).values(email=other.email))
    return one.id, other.id


def shared(account):
    return sum(row.rows for row in account.troubles if (row.state, row.reason) == ("quarantined", "email_shared"))


def test_a_customer_who_had_arrived_is_not_sent_with_the_address_of_another(travel):
    with travel(losing(Entity.CUSTOMERS, "close_after_accept", 1), outages=()) as trip:
        with killed_at("settling"):
            trip.migrate("first", entities=[Entity.CUSTOMERS])
        let_go(trip.place.ledger, find_run(trip.place.ledger, "first").number)
        one, _ = move_address(trip)
        made = trip.migrate("second", entities=[Entity.CUSTOMERS])
        found = taken(trip, Entity.CUSTOMERS)
    assert set(found.values()) == {1}
    assert shared(made) == 2  # one is the shop's own
    assert told.stand(trip.place.ledger_engine, Entity.CUSTOMERS, one)[-1] == "quarantined email_shared"


@pytest.mark.parametrize("policies", ["", RESEND], ids=["absent", "sent again unproven"])
def test_of_two_customers_who_did_not_arrive_and_have_one_address_now_one_is_sent(travel, policies):
    options = {} if policies else {"outages": ()}
    with travel(losing(Entity.CUSTOMERS, "rst_before", 1), policies, **options) as trip:
        with killed_at("settling"):
            trip.migrate("run", entities=[Entity.CUSTOMERS])
        both = move_address(trip)
        made = trip.migrate("run", entities=[Entity.CUSTOMERS])
        if policies:  # not by the run that sent it
            assert taken(trip, Entity.CUSTOMERS).keys().isdisjoint(both)
            made = trip.migrate("next", entities=[Entity.CUSTOMERS])
        found = taken(trip, Entity.CUSTOMERS)
    assert [found[one] for one in both] == [1, 0]
    assert shared(made) == 2  # one is the shop's own
    assert set(found.values()) == {1}
