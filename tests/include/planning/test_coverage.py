"""
Windows and coverage: whatever runs there were, and whichever of them failed, no moment is left out.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.mapping.settings import Windows
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, Covers, RunKind, RunPolicies, Span, Window
from masivo_engine.planning.coverage import covered_until, span_of, window_of


EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = Windows(overlap=15, lag=2)


def at(minute):
    return EPOCH + timedelta(minutes=minute)


MINUTES = st.integers(0, 60)
ENDS = st.one_of(st.none(), MINUTES.map(at))
SPANS = st.builds(Span, ENDS, ENDS)


@given(st.lists(SPANS, max_size=8))
def test_every_moment_before_the_end_of_coverage_is_in_a_span(spans):
    end = covered_until(spans)
    moments = [at(minute + 0.5) for minute in range(-1, 61)]
    if end is None:
        assert all(span.since is not None or span.until is None for span in spans)
        return
    for moment in moments:
        if moment < end:
            assert any(
                span.until is not None and moment < span.until and (span.since is None or span.since <= moment)
                for span in spans
            )


@given(st.lists(SPANS, max_size=8))
def test_coverage_ends_where_the_next_span_leaves_a_gap(spans):
    end = covered_until(spans)
    if end is not None:
        reaching = [s for s in spans if s.until is not None and s.until > end and (s.since is None or s.since <= end)]
        assert reaching == []


@given(
    st.lists(st.tuples(st.integers(1, 90), st.booleans(), st.sampled_from([0, 1, 30])), min_size=1, max_size=12),
)
def test_increments_of_which_any_may_fail_cover_every_moment(steps):
    """
    Time passes, a run is made, and may fail; a row is read if it changed before the last run's lag
    and some good run held it.
    """
    now, spans = EPOCH, []
    for minutes, is_good, late in steps:
        now += timedelta(minutes=minutes)
        asked = Asked(RunKind.INCREMENT, until=now - timedelta(minutes=late))
        window = window_of(asked, covered=covered_until(spans), now=now, windows=SETTINGS, is_dated=True)
        span = span_of(asked, window, now=now, windows=SETTINGS)
        assert window.until <= max(now - timedelta(minutes=2), covered_until(spans) or now)
        if is_good:
            before = covered_until(spans)
            spans.append(span)
            assert covered_until(spans) == max(before or span.until, min(window.until, now - timedelta(minutes=17)))
    if any(is_good for _, is_good, _ in steps):
        assert spans[0].since is None


def test_an_increment_goes_on_where_coverage_ends_and_stops_before_the_databases_now():
    window = window_of(Asked(RunKind.INCREMENT), covered=at(30), now=at(60), windows=SETTINGS, is_dated=True)
    assert window == Window(at(30), at(58))


def test_an_increment_that_comes_again_at_once_reads_only_the_overlap():
    asked = Asked(RunKind.INCREMENT)
    first = span_of(asked, Window(None, at(58)), now=at(60), windows=SETTINGS)
    assert first == Span(None, at(43))
    window = window_of(asked, covered=covered_until([first]), now=at(60), windows=SETTINGS, is_dated=True)
    assert window == Window(at(43), at(58))


def test_a_window_that_begins_where_an_increment_ended_leaves_the_overlap_to_the_next_increment():
    """Between the two, rows may be committed late that neither of them has seen."""
    increment = span_of(Asked(RunKind.INCREMENT), Window(None, at(58)), now=at(60), windows=SETTINGS)
    asked = Asked(RunKind.WINDOW, at(58))
    window = span_of(asked, Window(at(58)), now=at(600), windows=SETTINGS)
    assert covered_until([increment, window]) == at(43)


def test_backfills_of_days_that_meet_cover_both_days():
    days = [Asked(RunKind.BACKFILL, at(0), at(20)), Asked(RunKind.BACKFILL, at(20), at(40))]
    spans = [span_of(day, Window(day.since, day.until), now=at(600), windows=SETTINGS) for day in days]
    assert covered_until([Span(None, at(0)), *spans]) == at(40)


@pytest.mark.parametrize(
    ("asked", "window"),
    [
        (Asked(RunKind.FULL), Window()),
        (Asked(RunKind.SWEEP), Window()),
        (Asked(RunKind.BACKFILL, at(0), at(10)), Window(at(0), at(10))),
        (Asked(RunKind.WINDOW, until=at(10)), Window(None, at(10))),
        (Asked(RunKind.CUSTOMERS, customers=("7",)), Window(customers=("7",))),
    ],
)
def test_what_a_person_asks_for_is_read_and_nothing_else(asked, window):
    assert window_of(asked, covered=at(30), now=at(60), windows=SETTINGS, is_dated=True) == window


def test_rows_that_do_not_say_when_they_changed_are_all_read():
    window = window_of(Asked(RunKind.INCREMENT), covered=at(30), now=at(60), windows=SETTINGS, is_dated=False)
    assert window.is_everything


@pytest.mark.parametrize(
    ("asked", "window", "span"),
    [
        (Asked(RunKind.FULL), Window(), Span(None, at(43))),
        (Asked(RunKind.BACKFILL, at(0), at(10)), Window(at(0), at(10)), Span(at(0), at(10))),
        (Asked(RunKind.BACKFILL, at(0), at(99)), Window(at(0), at(99)), Span(at(0), at(43))),
        (Asked(RunKind.CUSTOMERS, customers=("7",)), Window(customers=("7",)), None),
        (Asked(RunKind.REPLAY), Window(places=()), None),
    ],
)
def test_a_run_covers_what_it_read_up_to_what_may_still_come(asked, window, span):
    assert span_of(asked, window, now=at(60), windows=SETTINGS) == span


@given(
    st.sampled_from(RunKind),
    st.builds(RunPolicies, adopts=st.booleans(), takes_more=st.booleans()),
    ENDS,
    ENDS,
    st.lists(st.text(max_size=9), max_size=3).map(tuple),
)
def test_what_a_run_covers_survives_being_written_down(kind, mode, since, until, customers):
    covers = Covers(kind, {Entity.EVENTS: Window(since, until, customers), Entity.CUSTOMERS: Window()}, mode)
    assert Covers.from_json(covers.as_json()) == covers
