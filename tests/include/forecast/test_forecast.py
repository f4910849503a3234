"""
The plan's forecast: what it says of every row is what the run then does, and asking for it leaves
nothing behind.
"""

from __future__ import annotations

import shutil

import pytest
from sqlalchemy import func, select, text

from masivo_engine.forecast.forecast import Forecaster, as_text
from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Asked, RunKind
from tests.databases.sample import sample_shop
from tests.whole_migration import EVERYTHING, UNLIMITED, journey


pytestmark = pytest.mark.slow


SMALL = {**UNLIMITED, "records": 100, "customers": 20, "slice_requests": 2}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A sample database of 300 members, and what was planted in it."""
    return sample_shop(tmp_path_factory.mktemp("forecast"), customers=300)


@pytest.fixture
def trip(shop, tmp_path):
    """A journey of the shop, with small requests."""
    legacy = shutil.copy(shop[0], tmp_path / "legacy.sqlite")
    with journey(f"sqlite:///{legacy}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", extra=SMALL) as made:
        yield made


def foretold(trip, run_id, asked):
    """The run as it is begun, and its forecast."""
    run = trip.begin(run_id, asked=asked)
    place = trip.place
    legacies = [place.legacy(entity) for entity in Entity]
    slices = {entity: slices_of(place.ledger, run.number, entity) for entity in Entity}
    return Forecaster(place.ledger, run, place.hook.limits).forecast(legacies, slices)


def entries(trip):
    """How many rows and batches the ledger holds."""
    with trip.place.ledger.reading() as connection:
        tables = (schema.record, schema.batch)
        return [connection.execute(select(func.count()).select_from(table)).scalar() for table in tables]


def agrees(forecast, account):
    """
    Whether the account of a run is what its forecast said, row for row, request for request and
    point for point.
    """
    by_entity = {one.entity: one for one in account.entities}
    for one in forecast.entities:
        done = by_entity.get(one.entity)
        if done is None:
            assert one.rows == one.requests == 0
            continue
        assert one.rows == done.read
        assert {state: n for state, n in one.states.items() if n} == {s: n for s, n in done.states.items() if n}
        assert one.requests == done.requests
        assert one.records == done.sent
        told = {key: value for key, value in one.why.items() if key[0] != State.UNCHANGED}
        found = {(t.state, t.reason, t.column): (t.rows, t.points) for t in account.troubles if t.entity is one.entity}
        assert {key: rows for key, (rows, _) in told.items()} == {key: rows for key, (rows, _) in found.items()}
    return True


def test_a_first_run_does_exactly_what_was_foretold(trip):
    told = foretold(trip, "first", EVERYTHING)
    assert entries(trip) == [0, 0]
    assert told.requests > 20
    assert agrees(told, trip.migrate("first"))


def test_a_run_after_changes_does_exactly_what_was_foretold(trip, shop):
    """
    Of an account that is known to replace; else the plan says at most, because a probe decides.
    """
    trip.migrate("first")
    trip.place.ledger.learn_resends("replace")
    member, *_ = shop[1].kinds["missing_name"].keys
    with trip.legacy.begin() as connection:
        connection.execute(text(f"UPDATE member SET first_name = 'Ana', last_name = 'Paz' WHERE member_no = {member}"))
        connection.execute(text("UPDATE member SET visit_count = visit_count + 1 WHERE member_no % 7 = 0"))
    told = foretold(trip, "second", EVERYTHING)
    customers = next(one for one in told.entities if one.entity is Entity.CUSTOMERS)
    assert customers.resent == customers.records - 1 > 0
    assert agrees(told, trip.migrate("second"))


def test_what_waits_for_a_customer_of_the_same_run_is_foretold_to_go(trip, shop):
    """An increment after a repair: the customer is in the window, and its children are not."""
    trip.migrate("first", asked=Asked(RunKind.INCREMENT))
    members = ", ".join(shop[1].kinds["missing_name"].keys)
    with trip.legacy.begin() as connection:
        connection.execute(
            text(
                "UPDATE member SET first_name = 'Ana', last_name = 'Paz', changed_at = datetime('now', '-6 hours', '-5"
                f" minutes') WHERE member_no IN ({members})"
            )
        )
    told = foretold(trip, "second", Asked(RunKind.INCREMENT))
    made = trip.migrate("second", asked=Asked(RunKind.INCREMENT))
    assert agrees(told, made)
    assert {one.entity: one.states["delivered"] > 0 for one in told.entities}[Entity.EVENTS]


def test_it_is_written_for_people_worst_first(trip):
    text_ = as_text(foretold(trip, "first", EVERYTHING))
    assert "on the lane" in text_
    rows = [int(line.split()[0].replace(",", "")) for line in text_.split("most rows first\n")[1].splitlines()]
    assert rows == sorted(rows, reverse=True)
