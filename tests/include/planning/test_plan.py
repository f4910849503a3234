"""
The plan: it counts what there is, and promises no more requests and no less time than the lane
allows.
"""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import begin_run, slices_of
from masivo_engine.mapping.loader import load
from masivo_engine.model.limits import Limits, hours, lane_hours
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.planning.plan import Planning, settle
from masivo_engine.samples.retailer import build
from masivo_engine.source.reader import Source


@pytest.fixture(scope="module")
def legacy(tmp_path_factory):
    engine = create_engine(f"sqlite:///{tmp_path_factory.mktemp('planning') / 'legacy.sqlite'}")
    planted = build.build(engine, customers=70)
    yield engine, planted
    engine.dispose()


@pytest.fixture
def ledger(sqlite_url):
    engine = create_engine(sqlite_url)
    made = Ledger(engine, "account")
    made.prepare()
    yield made
    engine.dispose()


FULL = Asked(RunKind.FULL)


def planned(ledger, legacy, entity, asked=FULL, limits=Limits(), run_id="run"):  # noqa: B008 (frozen)
    mapping = load("sample")
    source = Source(legacy[0], mapping, entity)
    covers = settle(ledger, mapping, [source], asked).as_json()
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers=covers)
    planning = Planning(ledger, mapping, run, limits)
    (made,) = planning.plan([source])
    planning.enter()
    return made, slices_of(ledger, run.number, entity)


@pytest.mark.parametrize("entity", list(Entity))
def test_the_plan_counts_every_row_and_cuts_it_into_slices_that_hang_together(ledger, legacy, entity):
    limits = Limits(records=25, slice_requests=2)
    made, slices = planned(ledger, legacy, entity, limits=limits)

    assert made.rows == legacy[1].rows(entity) == sum(part.rows for part in slices)
    assert len(made.slices) == len(slices) > 1
    assert slices[0].lower is None
    assert slices[-1].upper is None
    assert [part.upper for part in slices[:-1]] == [part.lower for part in slices[1:]]
    assert len(slices) <= made.requests <= made.rows // 10


def test_a_plan_that_is_made_again_leaves_the_slices_as_they_are(ledger, legacy):
    _, before = planned(ledger, legacy, Entity.EVENTS)
    _, after = planned(ledger, legacy, Entity.EVENTS, limits=Limits(records=50, slice_requests=1))
    assert after == before


def test_an_entity_without_rows_has_no_slices(ledger, legacy):
    made, slices = planned(ledger, legacy, Entity.EVENTS, Asked(RunKind.CUSTOMERS, customers=("nobody",)))
    assert (made.rows, made.slices, made.requests, slices) == (0, (), 0, [])


def test_a_plan_for_some_customers_counts_only_theirs(ledger, legacy):
    with legacy[0].connect() as connection:
        member, rows = connection.execute(
            text("SELECT member_no, count(*) FROM receipt WHERE member_no IS NOT NULL GROUP BY 1 ORDER BY 2 DESC")
        ).first()
    made, _ = planned(ledger, legacy, Entity.EVENTS, Asked(RunKind.CUSTOMERS, customers=(str(member),)))
    assert made.rows == rows


@pytest.mark.parametrize(
    ("requests", "limits", "expected"),
    [
        (720, Limits(interval_s=4.95, margin_s=0.05, per_hour=1000), 1.0),
        (500, Limits(interval_s=5, per_hour=250), 2.0),
        (500, Limits(interval_s=0, per_hour=1000), 0.5),
    ],
)
def test_the_lane_takes_as_long_as_the_slower_of_its_two_limits(requests, limits, expected):
    assert lane_hours(requests, limits) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("value", "said"), [(0.001, "under a minute"), (0.5, "30 min"), (1.0, "1 h 00 min"), (25.51, "25 h 31 min")]
)
def test_hours_are_said_as_people_say_them(value, said):
    assert hours(value) == said
