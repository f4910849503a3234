"""
The change column: which rows changed in a stretch of time, however the database keeps times.

The two sides of a comparison must be alike. So the ends of the stretch are written as a sample of
the column is: with or without a zone, as a day, or as ISO text. Ends are rounded so that a row may
be read twice, but is never missed between two stretches.

A row that does not say when it changed belongs to the stretch without a beginning. Later stretches
need not read it each time, and the sweep finds it if it changes.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, or_

from masivo_engine.mapping.values import shape
from masivo_engine.model.errors import MappingError


_NONE = timedelta(0)
_ISO_TEXT = re.compile(r"\d{4}-\d\d-\d\d(?:([ T])\d\d:\d\d(:\d\d(?:\.\d+)?)?(Z|[+-]00(?::?00)?)?)?", re.ASCII)


def changed(
    column: ColumnElement[Any], since: datetime | None, until: datetime | None, *, like: Any, zone: ZoneInfo, where: str
) -> list[ColumnElement[bool]]:
    """
    Return the condition that *column* lies in [*since*, *until*), none where both are open.

    It is true or false for every row, never null, so that it can be denied.

    *like*: a value of the column, None if it has none yet.
    *zone*: that of naive times.
    *where*: the file, for people.

    Raises `MappingError` for a column that cannot be compared with times.
    """
    bounds = []
    if since is not None:
        bounds.append(column >= _as_stored(since, like, zone, where, is_end=False)[0])
    if until is not None:
        end, is_exact = _as_stored(until, like, zone, where, is_end=True)
        bounds.append(column < end if is_exact else column <= end)
    if not bounds:
        return []
    return [or_(column.is_(None), *bounds) if since is None else and_(column.is_not(None), *bounds)]


def form_of(value: Any) -> str:
    """
    Return in which form a change time is written, with 9 for any digit: ``9999-99-99T99:99:99Z``.
    Fractions of a second make no other form; what is no text has the name of its type.
    """
    if not isinstance(value, str):
        return type(value).__name__
    found = _ISO_TEXT.fullmatch(value.strip())
    if found is None:
        return "".join("9" if sign.isdigit() else "a" if sign.isalpha() else sign for sign in value.strip())[:30]
    separator, seconds, is_utc = found.groups()
    time = "" if separator is None else f"{separator}99:99{':99' if seconds else ''}"
    return f"9999-99-99{time}{'Z' if is_utc else ''}"


def _wall(moment: datetime, zone: ZoneInfo, *, is_end: bool) -> datetime:
    """
    Return what clocks in *zone* show at *moment*.

    Some hours are shown twice, and no row of either may be missed. After a beginning in the first
    hour, clocks go back once more. Before an end in the second, they have been further already.
    """
    shown = moment.astimezone(zone)
    other = shown.replace(fold=1 - shown.fold)
    step = abs((shown.utcoffset() or _NONE) - (other.utcoffset() or _NONE))
    local = shown.replace(tzinfo=None, fold=0)
    if step and not shown.fold and not is_end:
        return local - step
    return local + step if step and shown.fold and is_end else local


def _as_stored(moment: datetime, like: Any, zone: ZoneInfo, where: str, *, is_end: bool) -> tuple[Any, bool]:
    """Write *moment* as *like* is written, and say whether nothing of it was cut off."""
    local = _wall(moment, zone, is_end=is_end)
    match like:
        case None:
            return local, True
        case datetime():
            return (moment if like.tzinfo is not None else local), True
        case date():
            return local.date(), local == datetime.combine(local, datetime.min.time())
        case str() if found := _ISO_TEXT.fullmatch(like.strip()):
            separator, seconds, is_utc = found.groups()
            written = (moment.astimezone(UTC).replace(tzinfo=None) if is_utc else local).isoformat(separator or " ")
            length = 19 if seconds else 16 if separator else 10
            return written[:length], not written[length:].strip("T :.0")
        case _:
            raise MappingError(
                where,
                f"'updated_at' holds {shape(like)}, which no window can be compared with",
                "give it as a timestamp",
            )
