"""
What nothing can be proved of: it waits, or is sent again where the mapping says so; points never
are.
"""

from __future__ import annotations

import logging
import shutil
from collections import Counter
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
from tests.databases import proof
from tests.include.delivery.delivery_rig import bench, customer, transaction
from tests.include.sandbox.bodies import balance
from tests.whole_migration import UNHURRIED, UNLIMITED, Died, Trip, journey


pytestmark = pytest.mark.slow


RESENT = "resent_unproven"
PATHS = {Entity.CUSTOMERS: "", Entity.EVENTS: "/events", Entity.TRANSACTIONS: "/transactions"}
RESEND = "policies: {unproven: {customers: resend, events: resend}}\n"
# The queue never works: whatever is read back shows nothing, and so proves nothing.
STANDSTILL = {**UNHURRIED, "outages": ((0.0, 36_000.0),), "duplicates": Refusal.IN_QUEUE}
PATIENT = {**UNLIMITED, "certain_after_s": 36_000, "deadline_s": 2}


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


def of(account, entity):
    return next(one for one in account.entities if one.entity is entity)


def resent(account, entity):
    return sum(one.rows for one in account.troubles if (one.entity, one.reason) == (entity, RESENT))


@pytest.mark.parametrize(("fault", "times"), [("close_after_accept", 2), ("rst_before", 1)])
@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
def test_what_is_unproven_is_sent_again_where_the_mapping_says_so_and_the_account_names_it(
    travel, caplog, entity, fault, times
):
    with travel(losing(entity, fault, 1), RESEND) as trip, caplog.at_level(logging.INFO, "masivo.journey"):
        made = trip.migrate("run")
        found = taken(trip, entity)
    assert made.adds_up
    assert set(found.values()) == {times}
    assert of(made, entity).states.get("delivered") == len(found) == resent(made, entity)
    assert of(made, entity).states.get("in_doubt", 0) == 0
    assert not made.trouble or made.verdict(made.trouble) == ""
    assert f"{RESENT}: sent before without a usable answer" in as_text(made)
    said = [line for line in caplog.messages if "sent again because the mapping says so" in line]
    assert said == [
        (
            f"read back: 0 arrived, 0 did not, 0 stay in doubt, {len(found)} are in doubt and sent again because the"
            " mapping says so"
        )
    ]


@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
@pytest.mark.slow
def test_what_is_unproven_waits_where_the_mapping_says_nothing(travel, entity, fault):
    with travel(losing(entity, fault, 1)) as trip:
        first, second = trip.migrate("first"), trip.migrate("second")
        found = taken(trip, entity)
    assert set(found.values()) <= {1}
    held = of(second, entity).states["held"] - of(first, entity).states.get("held", 0)
    assert of(first, entity).states["in_doubt"] == held > 0
    assert resent(first, entity) == resent(second, entity) == 0


@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
def test_points_are_never_sent_again_unproven(travel, fault):
    with travel(losing(Entity.TRANSACTIONS, fault, 1), RESEND) as trip:
        first, second = trip.migrate("first"), trip.migrate("second")
        found = taken(trip, Entity.TRANSACTIONS)
        posts = sum(line.path.endswith("/transactions") for line in trip.posts())
    assert posts == 1
    assert set(found.values()) <= {1}
    assert of(first, Entity.TRANSACTIONS).states["in_doubt"] > 0
    assert of(second, Entity.TRANSACTIONS).states.get("delivered", 0) == 0


def test_not_even_if_somebody_told_the_delivery_to(tmp_path):
    with bench(tmp_path, outages=STANDSTILL["outages"], faults=losing(Entity.TRANSACTIONS, "rst_before", 1)) as on:
        on.resends_unproven = True
        on.migrate([customer(1, balance=[balance(5)])])
        assert on.migrate([transaction("T1", "C1")])["T1"] == ("in_doubt", "no_answer")
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
        first = trip.migrate("first")
        left = of(first, Entity.EVENTS).states["in_doubt"]
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        second = later.migrate("second")
        third = later.migrate("third")
        found = taken(trip, Entity.EVENTS)
        then = trip.account("first")
        later.close()
    assert (left, set(found.values())) == (len(found), {2})
    assert of(then, Entity.EVENTS).states.get("in_doubt", 0) == 0
    assert of(then, Entity.EVENTS).states["superseded"] >= left
    assert of(second, Entity.EVENTS).states["delivered"] == left == resent(second, Entity.EVENTS)
    assert of(third, Entity.EVENTS).states["unchanged"] == left
    assert then.adds_up
    assert second.adds_up
    assert third.adds_up


@pytest.mark.parametrize("entity", [Entity.CUSTOMERS, Entity.EVENTS])
@pytest.mark.parametrize("how", ["stopped", "killed before", "killed after it was written down"])
def test_what_was_to_be_sent_again_and_could_not_be_is_in_doubt_as_before(travel, tmp_path, entity, how):
    script = losing(entity, "close_after_accept", 1)
    refuses = Rule(faults=("403",), path=f"/customers/migrate{PATHS[entity]}", nth=(2,))
    with travel(Script(rules=(*script.rules, refuses)) if how == "stopped" else script) as trip:
        trip.migrate("first", entities=[entity]) if entity is Entity.CUSTOMERS else trip.migrate("first")
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        if how != "stopped":
            crash_points.set_trap(crash_points.trap_at("settling" if how == "killed before" else "packed", die))
        with pytest.raises((Stopped, Died)):
            later.migrate("second", entities=[entity])
        crash_points.set_trap(None)
        assert set(taken(trip, entity).values()) == {1}
        let_go(later.place.ledger, find_run(later.place.ledger, "second").number)
        third = later.migrate("third", entities=[entity])
        found = taken(trip, entity)
        accounts = [third, *(trip.account(name) for name in ("first", "second"))]
        later.close()
    assert set(found.values()) == {2}
    assert of(third, entity).states.get("delivered") == len(found) == resent(third, entity)
    assert [of(one, entity).states.get("in_doubt", 0) for one in accounts] == [0, 0, 0]


@pytest.mark.parametrize("refusals", ["atomic", ""])
def test_what_was_sent_again_and_refused_is_in_doubt_as_before_when_its_try_dies(travel, tmp_path, refusals):
    """The API's verdict on the second request says nothing of the first."""
    refuses = Rule(faults=("422_opaque",), path="/customers/migrate/events", nth=(2,))
    with travel(Script(rules=(*losing(Entity.EVENTS, "close_after_accept", 1).rules, refuses))) as trip:
        trip.migrate("first")
        if refusals:
            trip.place.ledger.learn(Entity.EVENTS, 422, refusals)
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        crash_points.set_trap(crash_points.trap_at("received", die))
        with pytest.raises(Died):
            later.migrate("second", entities=[Entity.EVENTS])
        crash_points.set_trap(None)
        later.place.ledger.claim(find_run(later.place.ledger, "second").number, Entity.EVENTS, 1)
        made = later.account("second")
        later.close()
    assert {(one.state, one.reason) for one in made.troubles} >= {("in_doubt", RESENT)}
    assert not {one.reason for one in made.troubles if one.state == "in_doubt"} - {RESENT}


@pytest.mark.parametrize("refusals", ["partial", "atomic", ""])
def test_what_was_sent_again_and_refused_is_sent_by_no_later_run(travel, tmp_path, refusals):
    """Neither what the API refused is sent again unproven, nor what may have arrived twice."""
    faults = losing(Entity.EVENTS, "rst_before", 1)
    with travel(faults, atomic=refusals == "atomic", poison=("S003-00",)) as trip:
        trip.migrate("first")
        if refusals:
            trip.place.ledger.learn(Entity.EVENTS, 422, refusals)
        mapping(tmp_path / "mapping", RESEND)
        later = Trip(trip.sandbox, str(trip.legacy.url))
        second = later.migrate("second")
        before = Counter(line.path for line in trip.posts())
        then = [later.migrate(name) for name in ("third", "fourth")]
        after = Counter(line.path for line in trip.posts())
        found = taken(trip, Entity.EVENTS)
        later.close()
    assert after == before
    assert set(found.values()) == {1}
    assert all(made.adds_up for made in (second, *then))
    if refusals == "atomic":
        assert "S003-00" not in found
        assert of(second, Entity.EVENTS).states.get("in_doubt") == 1
    assert "refused" not in {one.reason for one in second.troubles if one.entity is Entity.EVENTS}


def test_what_was_sent_again_and_is_refused_alone_because_it_had_arrived_is_not_quarantined(travel):
    faults = losing(Entity.CUSTOMERS, "close_after_accept", 1)
    with travel(faults, RESEND, existing=Existing.REFUSE, duplicates=Refusal.AT_ONCE) as trip:
        trip.begin("first")
        trip.place.ledger.learn(Entity.CUSTOMERS, 422, "atomic")
        made = [trip.migrate(name, entities=[Entity.CUSTOMERS]) for name in ("first", "second")]
        found = taken(trip, Entity.CUSTOMERS)
    assert set(found.values()) == {1}
    assert of(made[0], Entity.CUSTOMERS).states.get("in_doubt") == len(found)
    assert resent(made[0], Entity.CUSTOMERS) == len(found)
    assert of(made[1], Entity.CUSTOMERS).states.get("held") == len(found)


def test_a_run_sends_again_once_and_the_next_one_once_more(travel):
    with travel(losing(Entity.EVENTS, "close_after_accept", 1, 2, 5), RESEND) as trip:
        made = [trip.migrate("first"), trip.migrate("second")]
        posts = sum(line.path.endswith("/events") for line in trip.posts())
    # The first run sends, and sends again one by one until one is accepted, of which the first is
    # in doubt; the second sends that once more.
    assert posts == 5
    assert [of(one, Entity.EVENTS).states["in_doubt"] > 0 for one in made] == [True, True]
    assert all(one.adds_up for one in made)


def test_a_try_that_died_is_not_a_reason_to_send_again_twice(travel):
    """The second try of a run knows from the ledger that the first one had sent again already."""
    with travel(losing(Entity.EVENTS, "close_after_accept", 1, 2), RESEND) as trip:
        trip.migrate("run")
        before = sum(line.path.endswith("/events") for line in trip.posts())
        made = trip.migrate("run")
        assert sum(line.path.endswith("/events") for line in trip.posts()) == before == 4
    assert {one.reason for one in made.troubles if one.state == "in_doubt"} == {RESENT}


def test_a_customer_in_doubt_who_has_another_address_now_claims_it_before_it_is_sent(travel):
    with travel(losing(Entity.CUSTOMERS, "close_after_accept", 1), outages=()) as trip:
        crash_points.set_trap(crash_points.trap_at("settling", die))
        with pytest.raises(Died):
            trip.migrate("first", entities=[Entity.CUSTOMERS])
        crash_points.set_trap(None)
        let_go(trip.place.ledger, find_run(trip.place.ledger, "first").number)
        with trip.legacy.begin() as connection:
            one, other = connection.execute(
                select(proof.member).where(proof.member.c.id.in_(sorted(taken(trip, Entity.CUSTOMERS))[:2]))
            )
            connection.execute(update(proof.member).where(proof.member.c.id == one.id).values(email=other.email))
        made = trip.migrate("second", entities=[Entity.CUSTOMERS])
        found = taken(trip, Entity.CUSTOMERS)
    assert found[one.id] == 1
    assert [(row.state, row.reason) for row in made.troubles if row.column == "email"].count(
        ("quarantined", "email_shared")
    ) == 1
    assert of(made, Entity.CUSTOMERS).states["unchanged"] == len(found) - 1


@pytest.mark.parametrize("policies", ["", RESEND], ids=["absent", "sent again unproven"])
def test_a_customer_in_doubt_of_a_try_that_died_claims_another_address_too(travel, policies):
    options = {} if policies else {"outages": (), "extra": PATIENT | {"certain_after_s": 0}}
    with travel(losing(Entity.CUSTOMERS, "rst_before", 1), policies, **options) as trip:
        crash_points.set_trap(crash_points.trap_at("settling", die))
        with pytest.raises(Died):
            trip.migrate("run", entities=[Entity.CUSTOMERS])
        crash_points.set_trap(None)
        with trip.legacy.begin() as connection:
            one, other = connection.execute(select(proof.member).where(proof.member.c.id.in_(["C001", "C002"])))
            connection.execute(update(proof.member).where(proof.member.c.id == one.id).values(email=other.email))
        made = trip.migrate("run", entities=[Entity.CUSTOMERS])
        found = taken(trip, Entity.CUSTOMERS)
    assert one.id not in found
    if policies:
        assert (of(made, Entity.CUSTOMERS).states["in_doubt"], resent(made, Entity.CUSTOMERS)) == (1, len(found))
    else:
        shared = [row.rows for row in made.troubles if (row.state, row.reason) == ("quarantined", "email_shared")]
        assert sum(shared) == 2  # one is the shop's own
