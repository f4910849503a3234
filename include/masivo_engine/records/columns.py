"""
Columns of a page: legacy values into JSON values, a whole column at once.

Most columns hold one plain type, so what is asked of each value can be asked of all. Every reader
here gives what `masivo_engine.mapping.values` gives value by value, or None where the column is not
that plain. Then each value is read by itself, and only those that are unfit are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, partial
from types import NoneType
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import TypeAdapter, ValidationError

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.settings import Places
from masivo_engine.mapping.values import LARGEST, OLDEST_YEAR, Reader, Unfit, rounded_to


Values = Sequence[Any]
ColumnReader = Callable[[Values], Values | None]

_Types = frozenset[type]
_SAMPLE = 64
_MOST_NUMBERS = 32_768
_OLDEST = f"{OLDEST_YEAR}-"
_BOOL = frozenset({bool})
_INT = frozenset({int})
_MOMENT = frozenset({datetime})
_STR = frozenset({str})
_UUID = frozenset({UUID})
_NUMBERS = frozenset({Decimal, float})


def column_reader(kind: Kind | None, *, zone: ZoneInfo, places: Places) -> ColumnReader:
    """Return what reads plain columns for fields of *kind*; it gives None for any other column."""
    match kind:
        case Kind.INSTANT:
            return _moments_in(zone)
        case Kind.DAY:
            return _moments_in(None)
        case Kind.MONEY:
            return partial(_numbers, places.money)
        case Kind.POINTS:
            return partial(_numbers, places.points)
        case Kind.QUANTITY:
            return partial(_numbers, places.quantity)
        case Kind.FLAG:
            return partial(_only, _BOOL)
        case Kind.TEXT | Kind.EMAIL | Kind.UUID | Kind.CHOICE:
            return texts
        case _:
            return partial(_only, frozenset())


def distinct(values: Values) -> list[Any] | None:
    """Return the distinct values of a column of texts that repeat, as codes do; or None."""
    if len(set(map(type, values[:_SAMPLE])) - {NoneType, str}) or len(set(values[:_SAMPLE])) > _SAMPLE // 4:
        return None
    if not _types(values) <= _STR:
        return None
    few = set(values)
    return list(few) if 4 * len(few) <= len(values) else None


def read_all(values: Values, plain: ColumnReader, read: Reader, unsure: set[int]) -> Values:
    """Read a column, None where a value is empty or unfit. Adds the unfit to *unsure*."""
    try:
        found = plain(values)
    except Unfit:
        found = None
    if found is not None:
        return found
    singly: list[Any] = []
    for index, value in enumerate(values):
        try:
            singly.append(None if value is None else read(value))
        except Unfit:
            unsure.add(index)
            singly.append(None)
    return singly


def check_all(values: Values, several: TypeAdapter[list[Any]], unsure: set[int]) -> None:
    """Check a column by the contract. Adds what breaks it to *unsure*."""
    indexes: Sequence[int] = range(len(values))
    if None in values:
        indexes = [index for index in indexes if values[index] is not None]
        values = [values[index] for index in indexes]
    try:
        several.validate_python(list(values))
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        unsure.update(indexes[int(fault["loc"][0])] for fault in faults)


def texts(values: Values) -> Values | None:
    """Read a column of texts, or of whole numbers or UUIDs that are sent as text."""
    types = _types(values)
    if types == _STR:
        has_empty = None in values
        found = [value.strip() for value in values if value is not None] if has_empty else list(map(str.strip, values))
        if not "".join(found).isprintable():
            return None
        if has_empty:
            following = iter(found)
            return [None if value is None else next(following) or None for value in values]
        return found if all(found) else [value or None for value in found]
    if types in (_INT, _UUID):
        return [None if value is None else str(value) for value in values]
    return values if not types else None


def names(values: Values) -> Values | None:
    """Read a column of keys. Where some have signs beyond ASCII each is looked at by itself."""
    found = texts(values)
    return found if found is None or all(value is None or value.isascii() for value in found) else None


def _numbers(places: int, values: Values) -> Values | None:
    types = _types(values)
    if types == _INT:
        whole = [value for value in values if value is not None]
        return values if min(whole) > -LARGEST and max(whole) < LARGEST else None
    if len(types) != 1 or not types <= _NUMBERS:
        return None if types else values
    (kind,) = types
    try:
        # A text is looked up in a third of the time of a Decimal, which is hashed as a number.
        given = map(str, values) if kind is Decimal else values
        return list(map(_rounded(places, kind).__getitem__, given))
    except (TypeError, ValueError):  # a signalling NaN
        return None


class _Rounded(dict[Any, Any]):
    """
    Numbers of one *kind* as they are sent, by how they came (Decimals as text).

    Prices repeat, and looking one up is cheaper than rounding it.
    """

    def __init__(self, places: int, kind: type) -> None:
        self._scale = 10**places
        self._round = rounded_to(places)
        self._kind = kind

    def __missing__(self, value: Any) -> int | float | None:
        if value is None or value == "None":
            return None
        if len(self) >= _MOST_NUMBERS:
            self.clear()
        # A number whose hundredfold is whole has two places, or is written as one that has.
        many = float(value) * self._scale
        is_near = many.is_integer() and -LARGEST < many < LARGEST
        number = float(many / self._scale if is_near else self._round(self._kind(value)))
        found = self[value] = int(number) if number.is_integer() else number
        return found


@cache
def _rounded(places: int, kind: type) -> _Rounded:
    """Return the table of numbers with *places* that come as one kind."""
    return _Rounded(places, kind)


@cache
def _moments_in(zone: ZoneInfo | None) -> ColumnReader:
    """Return the reader of points in time. Columns that are read alike share one."""
    return partial(_moments, zone)


def _moments(zone: ZoneInfo | None, values: Values) -> Values | None:
    """Read points in time, naive ones in *zone*. Without one they are days, kept as written."""
    types = _types(values)
    if types != _MOMENT:
        return None if types else values
    found = [value for value in values if value is not None]
    if zone is None and any(value.tzinfo is not None for value in found):
        return None  # the day of an instant depends on the mapping's zone
    if zone is not None and (zone.key != "UTC" or any(value.tzinfo is not None for value in found)):
        is_naive = [value.tzinfo is None for value in found]
        if all(is_naive):
            found = [value.replace(tzinfo=zone) for value in found]
        elif any(is_naive):
            return None
        try:
            found = [value.astimezone(UTC) for value in found]
        except (OverflowError, ValueError):
            return None
    written = [value.isoformat(timespec="milliseconds")[:23] + "Z" for value in found]
    if min(written) < _OLDEST:
        return None
    if len(found) == len(values):
        return written
    following = iter(written)
    return [None if value is None else next(following) for value in values]


def _only(types: _Types, values: Values) -> Values | None:
    """Take a column of *types* as it is."""
    return values if _types(values) <= types else None


def _types(values: Values) -> _Types:
    return frozenset(map(type, values)) - {NoneType}


@dataclass(frozen=True, slots=True)
class Filling:
    """A list that another file fills, for every row of a page."""

    joined: Sequence[str]  #: by row: the JSON of its elements, with a comma between them
    counts: Sequence[int]  #: by row: how many elements it has
    values: Mapping[str, Values]  #: by path: what was read of all elements, row after row


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of the payload, and how it is read from its column."""

    name: str
    index: int  #: of the column
    read: Reader  #: reads one value
    plain: ColumnReader  #: reads a whole column, if it is plain
    node: Node | None  #: None in free objects

    def values(self, given: Values, unsure: set[int]) -> Values:
        """Read and check the column *given*. Adds rows that are not certain to *unsure*."""
        few = distinct(given)
        if few is None:
            return self._read(given, unsure)
        doubtful: set[int] = set()
        found = dict(zip(few, self._read(few, doubtful), strict=True))
        if doubtful:
            bad = {few[index] for index in doubtful}
            unsure.update(index for index, value in enumerate(given) if value in bad)
        return list(map(found.__getitem__, given))

    def _read(self, given: Values, unsure: set[int]) -> Values:
        values = read_all(given, self.plain, self.read, unsure)
        if self.node is not None and self.node.several is not None:
            check_all(values, self.node.several, unsure)
        return values


@dataclass(slots=True)
class Page:
    """Rows that are made into payloads together."""

    rows: Sequence[Sequence[Any]]
    lists: Mapping[str, Filling] = field(default_factory=dict)  #: by path: what other files fill
    unsure: set[int] = field(default_factory=set)  #: rows of which nothing that is made may be used
    values: dict[str, Values] = field(default_factory=dict)  #: by path: the columns that were read
    columns: Sequence[Values] = field(init=False)
    _moments: list[tuple[ColumnReader, Values, Values]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = list(zip(*self.rows, strict=True))

    def read(self, leaf: Leaf) -> Values:
        """Read and check the column of *leaf*."""
        given = self.columns[leaf.index]
        if leaf.node is None or leaf.node.kind is not Kind.INSTANT:
            return leaf.values(given, self.unsure)
        # When it was sold and when it was paid for are often the same column.
        for plain, alike, values in self._moments:
            if plain is leaf.plain and alike == given and not _any_folded(alike) and not _any_folded(given):
                return values
        doubtful: set[int] = set()
        values = leaf.values(given, doubtful)
        self.unsure |= doubtful
        if not doubtful:
            self._moments.append((leaf.plain, given, values))
        return values


def _any_folded(moments: Values) -> bool:
    """Whether one is in the second of two hours that a clock shows alike, which are equal."""
    return any(getattr(moment, "fold", 0) for moment in moments)
