"""
Do the times make sense: the zone that the mapping states, days without a time, offsets, the hours
the clocks skip, the future.

A naive timestamp does not say its zone. What can be seen of it is when a shop is quiet, whether two
columns differ by the same whole quarters of an hour, and whether a time lies ahead of the
database's own clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from masivo_engine.checks.finding import Finding, note, several, warning
from masivo_engine.mapping.aliases import CHANGED
from masivo_engine.mapping.values import Unfit, text
from masivo_engine.model.rows import Entity


_FEW = 20  # too few values to judge a column by
_MANY = 200  # enough to see when a shop is quiet
_ZONES = timedelta(hours=14)  # the widest offset that there is
_DAY = timedelta(days=1)
_NEVER = 2100
_BY_DAY = range(8, 22)  # hours at which no shop is quietest
_HAPPENED = ("registration_date", "issued_at", "resolved_at", CHANGED)
_PAIRS = (("issued_at", "resolved_at"), ("issued_at", CHANGED), ("registration_date", CHANGED))


@dataclass(slots=True)
class _Column:
    zone: ZoneInfo
    values: int = 0
    days: int = 0
    at_midnight: int = 0
    skipped: int = 0
    repeated: int = 0
    ahead: int = 0
    furthest: timedelta = timedelta(0)
    future: int = 0
    past: int = 0
    never: int = 0
    offsets: Counter[str] = field(default_factory=Counter)
    hours: Counter[int] = field(default_factory=Counter)


class Moments:
    """
    Looks at the times of one file: *places* are their columns with their position in a row and
    their zone.

    *now* is the database's clock, aware.
    """

    def __init__(
        self, entity: Entity, places: Sequence[tuple[str, int, ZoneInfo]], now: datetime, *, path: str = ""
    ) -> None:
        self._entity = entity
        self._prefix = f"{path}[]." if path else ""
        self._places = places
        self._now = now
        self._columns = {name: _Column(zone) for name, _, zone in places}
        self._apart: dict[tuple[str, str], Counter[timedelta]] = {pair: Counter() for pair in _PAIRS}
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._mutated = 0

    def see(self, row: Sequence[Any]) -> None:
        """Look at one row of the file."""
        seen: dict[str, tuple[datetime, datetime]] = {}
        for name, index, _ in self._places:
            moment = _moment(row[index])
            if moment is not None:
                at = self._note(self._columns[name], row[index], moment)
                if at is not None:
                    seen[name] = at, moment
        for one, other in _PAIRS:
            if one in seen and other in seen:
                self._pairs[one, other] += 1
                apart = seen[other][0] - seen[one][0]
                if apart and abs(apart) <= _ZONES and not apart % timedelta(minutes=15):
                    self._apart[one, other][apart] += 1
        if "issued_at" in seen and CHANGED in seen:
            self._mutated += seen[CHANGED][0] - seen["issued_at"][0] > _DAY

    def _note(self, column: _Column, value: Any, moment: datetime) -> datetime | None:
        column.values += 1
        is_day = _is_day(value)
        column.days += is_day
        column.at_midnight += moment.time() == moment.min.time()
        column.offsets["none" if moment.tzinfo is None else str(moment.utcoffset())] += 1
        try:
            local = moment.replace(tzinfo=column.zone) if moment.tzinfo is None else moment.astimezone(column.zone)
            at = local.astimezone(UTC)
            if moment.tzinfo is None and not is_day:
                _note_clock_change(column, local, at)
        except (OverflowError, ValueError):
            return None
        if not is_day:
            column.hours[local.hour] += 1
        ahead = at - self._now
        column.never += at.year >= _NEVER
        column.past += ahead < timedelta(0)
        if timedelta(0) < ahead <= _ZONES:
            column.ahead += 1
            column.furthest = max(column.furthest, ahead)
        column.future += ahead > _DAY
        return at

    def findings(self) -> Iterator[Finding]:
        """Yield what is to be said of the columns."""
        where = str(self._entity)
        for name, column in self._columns.items():
            if column.values:
                yield from self._of_column(where, name, column)
        for (one, other), apart in self._apart.items():
            for by, rows in apart.most_common(1):
                if rows >= max(_FEW, 0.8 * self._pairs[one, other]):
                    matter = f"{other} is {_hours(by)} from {one} in {rows:,} of {self._pairs[one, other]:,} rows"
                    do = (
                        "one of them is probably UTC and the other local: say so in mapping.yaml, `timezones:"
                        f" {{{other}: UTC}}`"
                    )
                    yield warning(where, "columns_offset", matter, do, rows=rows)
        pairs = self._pairs["issued_at", CHANGED]
        if self._entity is Entity.TRANSACTIONS and self._mutated > max(_FEW, 0.01 * pairs):
            matter = (
                f"{self._mutated:,} of {pairs:,} entries changed more than a day after they were issued: the ledger"
                " mutates"
            )
            do = (
                "derive every change of state as a row of its own in SQL, with a key of its own; a delivered row that"
                " changes is held"
            )
            yield warning(where, "rows_mutate", matter, do, rows=self._mutated)

    def _of_column(self, where: str, name: str, column: _Column) -> Iterator[Finding]:
        called = self._prefix + name
        if name in _HAPPENED:
            yield from self._of_zone(where, called, column)
            yield from _of_days(where, called, column, is_change=name == CHANGED)
            yield from _of_clock(where, called, column)
        if name == "expiration_date":
            yield from _of_expiry(where, called, column)
        if len(column.offsets) > 1:
            kinds = ", ".join(f"{count:,} {_offset(kind)}" for kind, count in column.offsets.most_common(4))
            do = f"those without are taken as {column.zone}; make them alike in SQL if that is wrong"
            level = warning if "none" in column.offsets else note
            yield level(where, "mixed_offsets", f"{called} has several offsets: {kinds}", do)
        if column.skipped and name != CHANGED:
            matter = f"{several(column.skipped, 'value')} of {called} in an hour that the clocks of {column.zone} skip"
            do = "each is sent as if the clocks had not changed yet; if the column is UTC, say so in mapping.yaml"
            yield note(where, "clock_gap", matter, do, rows=column.skipped)
        if column.repeated and name != CHANGED:
            matter = (
                f"{several(column.repeated, 'value')} of {called} in an hour that the clocks of {column.zone} repeat"
            )
            yield note(where, "clock_fold", matter, "each is sent as the first of the two", rows=column.repeated)

    def _of_zone(self, where: str, called: str, column: _Column) -> Iterator[Finding]:
        """
        A shop is quiet at night: if the quietest hours lie in the day, the times are not of the
        zone that is stated.
        """
        total = sum(column.hours.values())
        if called != "issued_at" or total < _MANY or self._entity is Entity.CUSTOMERS or str(column.zone) == "UTC":
            return
        if column.hours[0] >= 0.5 * total:
            return  # days without a time
        quiet, start = _quietest(column.hours)
        middle = (start + 2) % 24
        if middle in _BY_DAY and quiet < 0.5 * total * 4 / 24:
            offset = column.zone.utcoffset(self._now.replace(tzinfo=None)) or timedelta(0)
            is_utc = abs(middle - 3 + offset.total_seconds() / 3600) <= 2
            matter = (
                f"{called} is rarest from {start:02}:00 to {(start + 4) % 24:02}:00 by {column.zone}, when shops are"
                " open"
            )
            like = "they look like UTC: " if is_utc else "they are probably of another zone: "
            yield warning(where, "zone_doubtful", matter, f"{like}check `timezone:` and `timezones:` in mapping.yaml")


def _of_days(where: str, called: str, column: _Column, *, is_change: bool) -> Iterator[Finding]:
    n = column.values
    if is_change and column.days == n:
        do = "give a timestamp if there is one: each window reads its last day again"
        yield warning(where, "date_only", f"{called} holds days without a time, in all {n:,} rows", do)
    elif n >= _FEW and column.at_midnight == n:
        matter = f"{called} holds days without a time, in all {n:,} rows; each is sent as midnight in {column.zone}"
        yield note(where, "date_only", matter, "give the time if the legacy system has it")
    elif n >= _FEW and column.at_midnight >= 0.1 * n and not is_change:
        matter = f"{called} is exactly midnight in {column.at_midnight:,} of {n:,} rows"
        yield note(where, "date_only", matter, "these are probably days without a time", rows=column.at_midnight)


def _of_clock(where: str, called: str, column: _Column) -> Iterator[Finding]:
    if column.ahead >= 1:
        matter = (
            f"{called} is ahead of the database's clock in {several(column.ahead, 'row')}, by up to"
            f" {_hours(column.furthest)}"
        )
        do = f"check that {column.zone} is its zone: `timezones:` in mapping.yaml says another"
        yield warning(where, "ahead_of_clock", matter, do, rows=column.ahead)
    if column.future:
        matter = f"{called} lies more than a day in the future in {several(column.future, 'row')}"
        do = "repair them, or map such dates to NULL in SQL: the API may refuse them"
        yield warning(where, "future_time", matter, do, rows=column.future)


def _of_expiry(where: str, called: str, column: _Column) -> Iterator[Finding]:
    n = column.values
    if column.past:
        matter = f"{called} has passed in {column.past:,} of {n:,} lines"
        do = "leave expired points out in SQL and add their EXPIRATION to the transactions, as of a pinned day"
        yield warning(where, "expired_balance", matter, do, rows=column.past)
    if column.never:
        matter = f"{called} is in the year {_NEVER} or later in {column.never:,} lines"
        yield note(where, "expires_never", matter, "map `never` to NULL in SQL", rows=column.never)


def _quietest(hours: Counter[int]) -> tuple[int, int]:
    """
    Return how much happens in the quietest four hours of the day, and when they begin: amid the
    longest quiet.
    """
    sums = [sum(hours[(first + i) % 24] for i in range(4)) for first in range(24)]
    least = min(sums)
    runs = [
        (length, first)
        for first in range(24)
        for length in range(1, 25)
        if all(sums[(first + i) % 24] <= least * 1.1 for i in range(length))
    ]
    length, first = max(runs)
    return least, (first + (length - 1) // 2) % 24


def _note_clock_change(column: _Column, local: datetime, at: datetime) -> None:
    if at.astimezone(column.zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        column.skipped += 1
    elif local.utcoffset() != local.replace(fold=1).utcoffset():
        column.repeated += 1


def _moment(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 (its column has a zone)
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(text(value) or "")
    except (ValueError, Unfit):
        return None


def _is_day(value: Any) -> bool:
    if isinstance(value, str):
        return len(value.strip()) == 10
    return isinstance(value, date) and not isinstance(value, datetime)


def _hours(apart: timedelta) -> str:
    return f"{apart.total_seconds() / 3600:+.2f} h".replace(".00", "")


def _offset(kind: str) -> str:
    return "without one" if kind == "none" else f"at {kind}"
