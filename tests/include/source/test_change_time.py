"""
The change column in each of the forms that databases keep times in: a stretch of time takes its
rows and leaves the others.
"""
# ruff: noqa: DTZ001 (naive times are what legacy databases have)

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, DateTime, Integer, MetaData, Table, Text, column, create_engine, func, insert, select

from masivo_engine.model.errors import MappingError
from masivo_engine.source.change_time import changed


BOGOTA = ZoneInfo("America/Bogota")  # five hours behind UTC all year
NOON = datetime(2024, 1, 15, 17, 0, tzinfo=UTC)  # 12:00 there


def bounds(like: Any, moment: datetime) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """Return operator and value of both ends when a stretch begins and ends at *moment*."""
    found = []
    for since, until in ((moment, None), (None, moment)):
        (condition,) = changed(column("at"), since, until, like=like, zone=BOGOTA, where="x.sql")
        comparison = condition.clauses[1]
        found.append((comparison.operator.__name__, comparison.right.value))
    return found[0], found[1]


@pytest.mark.parametrize(
    ("like", "since", "until"),
    [
        (None, datetime(2024, 1, 15, 12, 0), ("lt", datetime(2024, 1, 15, 12, 0))),
        (datetime(2020, 1, 1), datetime(2024, 1, 15, 12, 0), ("lt", datetime(2024, 1, 15, 12, 0))),
        (datetime(2020, 1, 1, tzinfo=UTC), NOON, ("lt", NOON)),
        (datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2))), NOON, ("lt", NOON)),
        (date(2020, 1, 1), date(2024, 1, 15), ("le", date(2024, 1, 15))),
        ("2020-01-01 10:00:00", "2024-01-15 12:00:00", ("lt", "2024-01-15 12:00:00")),
        ("2020-01-01T10:00:00.123", "2024-01-15T12:00:00", ("lt", "2024-01-15T12:00:00")),
        ("2020-01-01T10:00:00Z", "2024-01-15T17:00:00", ("lt", "2024-01-15T17:00:00")),
        ("2020-01-01 10:00:00+00", "2024-01-15 17:00:00", ("lt", "2024-01-15 17:00:00")),
        ("2020-01-01 10:00", "2024-01-15 12:00", ("lt", "2024-01-15 12:00")),
        ("2020-01-01", "2024-01-15", ("le", "2024-01-15")),
    ],
)
def test_the_ends_are_written_as_the_column_is(like, since, until):
    assert bounds(like, NOON) == (("ge", since), until)


@pytest.mark.parametrize(
    ("like", "moment", "until"),
    [
        (date(2020, 1, 1), datetime(2024, 1, 15, 5, 0, tzinfo=UTC), ("lt", date(2024, 1, 15))),
        ("2020-01-01", datetime(2024, 1, 15, 5, 0, tzinfo=UTC), ("lt", "2024-01-15")),
        ("2020-01-01 10:00", NOON.replace(second=30), ("le", "2024-01-15 12:00")),
        ("2020-01-01 10:00:00", NOON.replace(microsecond=5), ("le", "2024-01-15 12:00:00")),
    ],
)
def test_an_end_that_falls_between_two_values_of_the_column_takes_the_one_before_it_along(like, moment, until):
    assert bounds(like, moment)[1] == until


def test_no_ends_are_no_condition():
    assert changed(column("at"), None, None, like=5, zone=BOGOTA, where="x.sql") == []


@pytest.mark.parametrize(
    "like",
    [1705320000, 1.5, "15/01/2024", "2024-01-15T12:00:00-05:00", "2024-01-15 12:00:00+02", "infinity", ValueError()],
)
def test_a_column_that_cannot_be_compared_with_times_is_a_fault_of_the_mapping(like):
    with pytest.raises(MappingError) as caught:
        changed(column("at"), NOON, None, like=like, zone=BOGOTA, where="x.sql")
    said = str(caught.value)
    assert said.startswith("x.sql: 'updated_at' holds ")
    assert said.endswith(", which no window can be compared with; give it as a timestamp")
    assert str(like) not in said or not str(like)


WRITERS = {
    "text": lambda at: at.isoformat(sep=" ", timespec="seconds"),
    "text with fraction": lambda at: at.isoformat(timespec="milliseconds"),
    "minutes": lambda at: at.isoformat(sep=" ", timespec="minutes"),
    "day": lambda at: at.date().isoformat(),
    "utc": lambda at: at.replace(tzinfo=BOGOTA).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
}
TIMES = st.datetimes(datetime(2024, 1, 14), datetime(2024, 1, 17))


@given(
    times=st.lists(TIMES, min_size=1, max_size=20),
    cuts=st.lists(TIMES, max_size=4),
    writer=st.sampled_from(sorted(WRITERS)),
)
def test_windows_that_follow_each_other_miss_no_row(times, cuts, writer):
    """Each row is in a window. Those that do not say when they changed are in the first."""
    write = WRITERS[writer]
    rows = Table("r", MetaData(), Column("id", Integer), Column("at", Text))
    engine = create_engine("sqlite://")
    ends = [None, *(cut.replace(tzinfo=BOGOTA).astimezone(UTC) for cut in sorted(cuts)), None]
    with engine.begin() as connection:
        rows.create(connection)
        connection.execute(insert(rows), [{"id": number, "at": write(at)} for number, at in enumerate(times)])
        connection.execute(insert(rows), [{"id": -1, "at": None}])
        seen: list[set[int]] = []
        for since, until in pairwise(ends):
            conditions = changed(rows.c.at, since, until, like=write(times[0]), zone=BOGOTA, where="x.sql")
            seen.append(set(connection.execute(select(rows.c.id).where(*conditions)).scalars()))
    engine.dispose()

    assert set.union(*seen) == {-1, *range(len(times))}
    assert [-1 in window for window in seen] == [True, *(False for _ in cuts)]


def test_a_column_of_times_is_compared_exactly_on_every_dialect(legacy_url):
    rows = Table("r", MetaData(), Column("id", Integer), Column("at", DateTime))
    engine = create_engine(legacy_url)
    local = datetime(2024, 1, 15, 12, 0)
    with engine.begin() as connection:
        rows.create(connection)
        for number, at in enumerate([local - timedelta(seconds=1), local, local + timedelta(seconds=1), None]):
            connection.execute(insert(rows), {"id": number, "at": at})
        found = {}
        for name, since, until in [("before", None, NOON), ("after", NOON, None), ("none", NOON, NOON)]:
            conditions = changed(rows.c.at, since, until, like=local, zone=BOGOTA, where="x.sql")
            found[name] = sorted(connection.execute(select(rows.c.id).where(*conditions)).scalars())
        assert connection.execute(select(func.count()).select_from(rows)).scalar_one() == 4
    engine.dispose()
    assert found == {"before": [0, 3], "after": [1, 2], "none": []}


BERLIN = ZoneInfo("Europe/Berlin")  # at 01:00 UTC of this day its clocks go back from 03:00 to 02:00
BACK = datetime(2025, 10, 26, 1, 0, tzinfo=UTC)
MINUTES = st.integers(-180, 180).map(lambda minutes: BACK + timedelta(minutes=minutes))


@given(MINUTES, MINUTES, MINUTES)
def test_no_row_of_the_hour_that_clocks_show_twice_is_missed(one, other, third):
    since, moment, until = sorted((one, other, third))
    if moment == until:
        return
    (condition,) = changed(column("at"), since, until, like=datetime(2020, 1, 1), zone=BERLIN, where="x.sql")
    _, first, last = condition.clauses
    shown = moment.astimezone(BERLIN).replace(tzinfo=None, fold=0)
    assert first.right.value <= shown < last.right.value
