"""
The SQL around a mapping's SQL: which rows, in which order.

A user's SELECT is never edited. It stands as a subquery, and SQLAlchemy Core adds the window, the
slice, the keys and the order. So one mapping serves a full load, an increment and a few customers,
on every dialect. Nothing pages by OFFSET.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, String, and_, case, cast, func, literal, literal_column, or_, select

from masivo_engine.mapping.aliases import CHANGED, CUSTOMER, KEY, PARENT_KEY, Columns, Query
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MappingError
from masivo_engine.model.places import has_key, is_unkept, key_of, kind_of_key
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Window
from masivo_engine.source.change_time import changed
from masivo_engine.source.dialects import TEXT, subquery, unkept
from masivo_engine.source.dialects import Exactly as _Exactly
from masivo_engine.sql import one_of


# Customer and key of a row, as the database hands them out. They are where it stands in the order
# of all rows.
Position = tuple[Any, Any]

# Databases whose usual collations take 'a' for 'A'. Their order leaves open which of the two is
# first.
_CASE_BLIND = frozenset({"mysql", "mariadb", "sqlite", "mssql"})

# These have no whole numbers of more than 64 bits, and refuse to be asked for one.
_NARROW = frozenset({"sqlite", "postgresql"})
_WIDEST = 2**63

# Oracle has no FALSE, and takes no number for one.
_NEVER = literal_column("1") == literal_column("0")


@dataclass(frozen=True, slots=True)
class SampleValues:
    """A value of each column that statements compare with, as the database hands it out."""

    key: Any = None
    customer: Any = None
    changed: Any = None


@dataclass(frozen=True, slots=True)
class ListWithChangeTime:
    """A list whose elements have change times of their own."""

    parent: ColumnElement[Any]  #: key of the row that an element belongs to
    changed: ColumnElement[Any]
    like: Any  #: a value of *changed*
    where: str  #: its file, for people


class Statements:
    """
    The statements that read one entity of *mapping*.

    *columns*: the aliases as the database spells them.
    *stored*: what is in those that matter.
    *single*: those in single precision, which are read as what they are.
    """

    def __init__(
        self,
        mapping: Mapping,
        entity: Entity,
        columns: Sequence[str],
        *,
        stored: SampleValues | None = None,
        dialect: str = "",
        moving: Sequence[ListWithChangeTime] = (),
        single: Collection[str] = (),
    ) -> None:
        self.entity = entity
        self._single = single
        self._moving = moving
        self._query = mapping.queries[entity]
        self._zone = mapping.settings.zone_of(CHANGED)
        self._stored = stored or SampleValues()
        self._dialect = dialect
        self._is_case_blind = dialect in _CASE_BLIND
        self._columns = aliases = Columns(columns)
        key, customer = aliases.spelled(KEY[entity]), aliases.spelled(CUSTOMER[entity])
        self._rows = subquery(self._query, columns, {key: self._stored.key, customer: self._stored.customer})
        self.key: ColumnElement[Any] = self._rows.c[key]
        self.customer: ColumnElement[Any] = self._rows.c[customer]
        self._changed = self._rows.c[aliases.spelled(CHANGED)] if aliases.has(CHANGED) else None

    def rows(
        self,
        part: Slice,
        window: Window,
        *names: str,
        behind: Position | None = None,
        between: tuple[Position, Position] | None = None,
        key: str = "",
    ) -> Select[Any]:
        """
        Return the rows of *part* that have a key and a customer, ordered by customer and key.

        *names*: the columns, all of them by default.
        *behind*: only rows after this position.
        *between*: only rows from the first position to the second, including both.
        *key*: only rows of this key, as records write it.
        """
        statement = self._select(*names).where(
            self.customer.is_not(None), self.key.is_not(None), *self._in(part, window), *self._during(window)
        )
        if behind is not None:
            statement = statement.where(self._after(behind))
        if between is not None:
            first, last = between
            statement = statement.where(self._after(first, including=True), ~self._after(last))
        if key:
            statement = statement.where(_among(self.key, self._stored.key, [key]))
        return statement.order_by(*(term for term, _ in self._terms((None, None))))

    def positions(self, part: Slice, window: Window, *, behind: Position | None, key: str = "") -> Select[Any]:
        """Return the positions of the rows: they can be read even if the page cannot."""
        return self.rows(part, window, CUSTOMER[self.entity], KEY[self.entity], behind=behind, key=key)

    def keyless(self, part: Slice, window: Window, *names: str) -> Select[Any]:
        """
        Return customer, key and *names* of the rows that lack key or customer.

        A row without a key belongs to its customer's slice, because a customer's transactions are
        judged together. A row without a customer belongs to the first slice.
        """
        without_key = and_(self.customer.is_not(None), self.key.is_(None), *self._in(part, window))
        is_first = part.lower is None or window.places is not None
        without = or_(self.customer.is_(None), without_key) if is_first else without_key
        return self._named(*names).where(without, *self._during(window))

    def at(self, places: Sequence[str], *names: str) -> Select[Any]:
        """Return customer, key and *names* of the rows whose own places may be among *places*."""
        return self._named(*names).where(self._at(places, *self._own))

    def counts(self, window: Window) -> Select[Any]:
        """Return the number of rows of each customer, in the order of `rows`."""
        return (
            select(self.customer, func.count())
            .where(self.customer.is_not(None), self.key.is_not(None), *self._during(window))
            .group_by(self.customer)
            .order_by(self.customer)
        )

    def twins(self, window: Window) -> Select[Any]:
        """
        Return the keys that more than one row of *window* has, with the number of rows.

        The database may take several keys for one; `spellings` tells them apart.
        """
        many = func.count() > 1
        mine = (self.key.is_not(None), *self._during(window))
        return select(self.key, func.count()).where(*mine).group_by(self.key).having(many)

    def spellings(self, keys: Sequence[Any]) -> Select[Any]:
        """Return what `twins` does, of *keys* that it found, and exactly."""
        alike = select(self.key, func.count()).where(one_of(self.key, keys, self._dialect))
        return alike.group_by(self.key, _Exactly(self.key)).having(func.count() > 1)

    @property
    def can_take_for_another(self) -> bool:
        """Whether the database takes keys for each other that differ in case or in blanks."""
        return self._is_case_blind and isinstance(self._stored.key, str)

    def newest(self, *, until: datetime) -> Select[Any] | None:
        """Return the newest change time before *until*, or None if the mapping has none."""
        if self._changed is None:
            return None
        return select(func.max(self._changed)).where(*self._changed_during(Window(until=until), self._changed))

    def later(self, moment: datetime) -> Select[Any] | None:
        """Return the number of rows changed at *moment* or later, or None without change times."""
        if self._changed is None:
            return None
        after = self._changed_during(Window(since=moment), self._changed)
        return select(func.count()).select_from(self._rows).where(*after)

    def any_row(self) -> Select[Any]:
        """Return 1 if there is any row."""
        return select(literal(1)).select_from(self._rows).limit(1)

    @property
    def has_change_time(self) -> bool:
        """Whether rows say when they changed."""
        return self._changed is not None

    def owners_among(self, owners: Sequence[Any]) -> Select[Any]:
        """Return those customers that are just among *owners*, all of one type."""
        return select(self.customer).where(one_of(self.customer, owners, self._dialect)).distinct()

    def forms(self) -> Select[Any] | None:
        """
        Return one change time of each form that texts have, with their number; None where change
        times are no texts.
        """
        if self._changed is None or not isinstance(self._stored.changed, str):
            return None
        term = self._changed
        signs = [func.substr(term, at, 1) for at in (3, 5, 8, 11)]
        end = case((term.like("%Z"), "Z"), (func.substr(term, func.length(term) - 5, 1).in_(["+", "-"]), "+"), else_="")
        has_seconds = func.length(term) >= 19
        parts = [case((sign.between("0", "9"), "9"), else_=sign) for sign in signs]
        statement: Select[Any] = select(*[func.min(term), func.count()]).where(term.is_not(None))
        return statement.group_by(*parts, end, case((has_seconds, 2), (func.length(term) > 10, 1), else_=0))

    def keys_among(self, keys: Sequence[Any]) -> Select[Any]:
        """Return those keys that the database takes for one of *keys*."""
        return select(self.key).where(self.key.in_(keys))

    def refuse_window_without_change_time(self, window: Window) -> None:
        """Raise `MappingError` if *window* asks for change times and the mapping has none."""
        if (window.since or window.until) and self._changed is None:
            problem = f"has no column {CHANGED!r}, so no window can be read"
            raise MappingError(self._query.where, problem, "add it, or run with full")

    def _named(self, *names: str) -> Select[Any]:
        columns = [self._rows.c[self._columns.spelled(name)] for name in names]
        # Of customers it is the same column, and a subquery wants two names.
        return select(self.customer, self.key.label("masivo_key"), *columns)

    def _select(self, *names: str) -> Select[Any]:
        wanted = (self._columns.spelled(name) for name in names) if names else self._columns.names
        return select(*(exactly_read(self._rows.c[name], single=name in self._single) for name in wanted))

    def _after(self, position: Position, *, including: bool = False) -> ColumnElement[bool]:
        *outer, (term, value) = self._terms(position)
        condition: ColumnElement[bool] = term >= value if including else term > value
        for term, value in reversed(outer):
            condition = or_(term > value, and_(term == value, condition))
        return condition

    def _terms(self, position: Position) -> list[tuple[ColumnElement[Any], Any]]:
        """
        Return what rows are ordered by, each term with its value at *position*.

        Two different positions differ in at least one of them.
        """
        pairs = [(self.customer, position[0], self._stored.customer)]
        if self.key is not self.customer:
            pairs.append((self.key, position[1], self._stored.key))
        terms: list[tuple[ColumnElement[Any], Any]] = []
        for term, value, stored in pairs:
            terms.append((term, value))
            if self._is_case_blind and isinstance(stored, str):
                terms.append((_Exactly(term), _Exactly(literal(value, String))))
        return terms

    @property
    def _own(self) -> tuple[ColumnElement[Any], Any]:
        return self.key, self._stored.key

    @property
    def _owner(self) -> tuple[ColumnElement[Any], Any]:
        return self.customer, self._stored.customer

    def _in(self, part: Slice, window: Window) -> list[ColumnElement[bool]]:
        if window.places is not None:
            return []  # they are read wherever they are by now
        bounds = []
        if part.lower is not None:
            bounds.append(self.customer >= part.lower)
        if part.upper is not None:
            bounds.append(self.customer < part.upper)
        return bounds

    def _during(self, window: Window) -> list[ColumnElement[bool]]:
        if window.places is not None:
            is_by_owner = self.entity is Entity.TRANSACTIONS
            return [self._at(window.places, *self._owner if is_by_owner else self._own)]
        conditions = self._changed_during(window, self._changed)
        if conditions and self.entity is Entity.TRANSACTIONS:
            # A customer's transactions go together: one that changed brings the others along.
            touched = self._rows.alias("touched")
            owner = touched.c[self._columns.spelled(CUSTOMER[self.entity])]
            moved = self._changed_during(window, touched.c[self._columns.spelled(CHANGED)])
            together = self.customer.in_(select(owner).where(owner.is_not(None), *moved))
            conditions = [or_(together, and_(self.customer.is_(None), *conditions))]
        elif conditions and self._moving:
            conditions = [or_(*conditions, *(self._moved(element, window) for element in self._moving))]
        if window.customers:
            conditions.append(_among(self.customer, self._stored.customer, window.customers))
        return conditions

    def _at(self, places: Sequence[str], term: ColumnElement[Any], like: Any) -> ColumnElement[bool]:
        """
        Return whether *term*, of which *like* is a value, may be the key of one of *places*.

        Keys are compared as what they are, and never made into another type: a database would not
        use its index, or find what was not asked for, or refuse. So what the database takes for one
        of the keys is found; and all that have none, or one that no ledger keeps, where *places*
        have such ones.
        """
        conditions = list(_of_kind(term, like, [place for place in places if has_key(place)], self._dialect))
        if any(map(is_unkept, places)):
            conditions.append(unkept(term, like, self._dialect))
        if not all(has_key(place) or is_unkept(place) for place in places):
            conditions.append(term.is_(None))
        return or_(*conditions) if conditions else _NEVER

    def _moved(self, element: ListWithChangeTime, window: Window) -> ColumnElement[bool]:
        """Return the condition that an element of the row's list changed in *window*."""
        moved = changed(
            element.changed, window.since, window.until, like=element.like, zone=self._zone, where=element.where
        )
        return self.key.in_(select(element.parent).where(element.parent.is_not(None), *moved))

    def _changed_during(self, window: Window, when: ColumnElement[Any] | None) -> list[ColumnElement[bool]]:
        if when is None:
            return []
        like, where = self._stored.changed, self._query.where
        return changed(when, window.since, window.until, like=like, zone=self._zone, where=where)


def _among(term: ColumnElement[Any], like: Any, names: Sequence[str]) -> ColumnElement[bool]:
    """
    Compare *term* with *names* in the type that it has, of which *like* is a value.

    A database refuses any other type or, worse, converts it.
    """
    match like:
        case int() | Decimal():
            numbers = [int(name) for name in names if name.lstrip("-").isdecimal() and str(int(name)) == name]
            return term.in_(numbers)
        case str() | None:
            return term.in_(names)
        case _:
            return cast(term, TEXT).in_(names)


# Kinds of keys, of `masivo_engine.model.places`, that one column can hold. SQLite's have no type,
# and Oracle's numbers come as they are. What stands as text may be cast to it.
_OF_SQLITE, _NUMBERS_OF_ORACLE, _OTHERS = "iftsb", "idf", "tso"
_TYPES: dict[str, tuple[type, ...]] = {
    "i": (int,),
    "d": (Decimal,),
    "f": (float,),
    "ts": (str,),
    "u": (UUID,),
    "b": (bytes, bytearray, memoryview),
}


def _of_kind(term: ColumnElement[Any], like: Any, places: Sequence[str], dialect: str) -> Iterator[ColumnElement[bool]]:
    """Yield, type by type, whether *term* is the key of one of *places*, as far as it can be."""
    by_kind: defaultdict[str, list[Any]] = defaultdict(list)
    for place in places:
        by_kind[kind_of_key(place)].append(key_of(place))
    kinds = _kinds_like(like, dialect)
    if kinds == _OTHERS:
        texts = [text for kind in kinds for text in by_kind[kind]]
        yield from _among_others(term, like, texts)
        return
    if dialect in _NARROW:
        by_kind["i"] = [key for key in by_kind["i"] if -_WIDEST <= key < _WIDEST]
    by_kind["t"] += by_kind.pop("s", [])
    yield from (one_of(term, keys, dialect) for kind, keys in by_kind.items() if keys and kind in kinds)


def _among_others(term: ColumnElement[Any], like: Any, texts: Sequence[str]) -> Iterator[ColumnElement[bool]]:
    """Yield whether *term*, a day, a moment or something odder, is written as one of *texts*."""
    if not texts:
        return
    if not isinstance(like, date):
        yield cast(term, TEXT).in_(texts)
        return
    days: list[date] = []
    for text in texts:
        with suppress(ValueError):
            days.append(type(like).fromisoformat(text))
    yield term.in_(days)


def _kinds_like(like: Any, dialect: str) -> str:
    if dialect == "sqlite":
        return _OF_SQLITE
    if like is None:
        return ""  # nothing has a key
    kinds = next((kinds for kinds, types in _TYPES.items() if isinstance(like, types)), _OTHERS)
    return _NUMBERS_OF_ORACLE if dialect == "oracle" and kinds in _NUMBERS_OF_ORACLE else kinds


def exactly_read(term: ColumnElement[Any], *, single: bool) -> ColumnElement[Any]:
    """
    Return *term* as it is to be read: MySQL hands a number in *single* precision out with six
    digits, and reckons with all that it has.
    """
    return (term * literal_column("1e0")).label(term.key) if single else term


def elements(
    query: Query,
    columns: Sequence[str],
    parents: Sequence[Any],
    *names: str,
    dialect: str = "",
    single: Collection[str] = (),
) -> Select[Any]:
    """Return the list elements of the keys *parents*: all *columns*, or *names*."""
    aliases = Columns(columns)
    parent = aliases.spelled(PARENT_KEY[query.entity])
    rows = subquery(query, columns, {parent: next(iter(parents), None)})
    wanted = (aliases.spelled(name) for name in names) if names else aliases.names
    read = (exactly_read(rows.c[name], single=name in single) for name in wanted)
    return select(*read).where(one_of(rows.c[parent], parents, dialect))
