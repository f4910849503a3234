"""
Rows out of the legacy database, a page at a time, whatever stands in them.

Pages are streamed from one statement per slice. The driver may refuse a page: a date of year 20000,
text that is no UTF-8, a cast that fails in one row. Then that page is read again in halves. The
rows that cannot be read are named, and the others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import starmap
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Engine, FromClause, Select, func, select

from masivo_engine.mapping.aliases import CHANGED, CUSTOMER, KEY, Columns, Query, check_aliases
from masivo_engine.mapping.loader import Mapping
from masivo_engine.mapping.values import Unfit, instant, shape
from masivo_engine.model.errors import LegacyError, MappingError
from masivo_engine.model.places import first_of, has_key, is_copy, is_unkept, place_of, place_of_row
from masivo_engine.model.rows import Entity, LegacyRow, UnreadableRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.source.change_time import form_of
from masivo_engine.source.database import Database, streamed
from masivo_engine.source.dialects import subquery
from masivo_engine.source.fitness import Fitness
from masivo_engine.source.left_out import left_out
from masivo_engine.source.lists import ListReader
from masivo_engine.source.owners import Owners
from masivo_engine.source.statements import Position, SampleValues, Statements
from masivo_engine.sql import MOST_KEYS, REFUSALS, at_once, kind_of, portions


PAGE = 1000  # rows of the first page
# What is asked of databases for each page costs as much as hundreds of rows, so later pages are
# larger.
_MOST_PAGES = 8  # times PAGE: rows of a later page
_MOST_WITH_ELEMENTS = 24  # times PAGE: its rows and elements, if rows have as many as those before them
_MOST_CHARACTERS = 8_000_000
_SAMPLE = 10  # rows by which the characters of a page are guessed

Found = LegacyRow | UnreadableRow


class Source:
    """
    The rows of one entity of *mapping* in the database behind *engine*.

    Raises `LegacyError` if it cannot be reached at first, `TryAgainLater` if it goes away later,
    and `MappingError` if the mapping does not fit it.
    """

    def __init__(self, engine: Engine, mapping: Mapping, entity: Entity, *, newer_fields: bool = False) -> None:
        self.entity = entity
        self._engine = engine
        self._mapping = mapping
        self._database = Database(engine)
        #: Of the rows that were read last. At first, as many as a page of a thousand rows takes.
        self._elements_of_row = _MOST_WITH_ELEMENTS
        self.query = query = mapping.queries[entity]
        self.settings = mapping.settings
        self.policies = mapping.settings.policies
        self.adjust = mapping.adjust.get(entity)
        self.newer_fields = newer_fields
        fitness = Fitness(self._database, mapping.settings)
        columns = fitness.columns(query)
        check_aliases(query, columns, newer_fields=newer_fields)
        self.columns = Columns(columns)
        self._zone = mapping.settings.zone_of(CHANGED)
        self._elements = ListReader(mapping, entity, fitness, newer_fields=newer_fields)
        self._key = self.columns.index(KEY[entity])
        self._customer = self.columns.index(CUSTOMER[entity])
        # Of a row that cannot go, only its worth is wanted.
        self._left_out = mapping.left_out.get(entity)
        self._has_worth = entity is Entity.TRANSACTIONS and self.columns.index("amount") >= 0
        stored = self._stored(subquery(query, columns))
        self._an_owner = None if isinstance(stored.customer, BaseException) else stored.customer
        self._selection = Statements(
            mapping,
            entity,
            columns,
            stored=stored,
            dialect=self._database.dialect,
            moving=list(self._elements.moving(entity, mapping, self._database.sample)),
            single=fitness.rounded(query),
        )
        #: By file, the numbers that the database keeps in single precision.
        self.single = {one: fitness.single(one) for one in (query, *mapping.lists[entity].values())}
        self._owners = Owners.of(self._database, mapping, entity, columns, like=stored.customer)
        self._refuse_other_types(stored.key)

    @property
    def lists(self) -> dict[str, tuple[Query, Columns]]:
        """The list files by path, each with its columns."""
        return self._elements.files

    @property
    def an_owner(self) -> Any:
        """The customer of some row, as the database hands it out; None where no row has one."""
        return self._an_owner

    @property
    def has_change_time(self) -> bool:
        """Whether rows say when they changed, so that windows can be read."""
        return self._selection.has_change_time

    def has_beside(self, entity: Entity) -> bool:
        """Whether the mapping has rows of *entity*, too."""
        return entity in self._mapping.entities

    def beside(self, entity: Entity) -> Source:
        """Return the rows of another *entity* of the same mapping and database."""
        return Source(self._engine, self._mapping, entity, newer_fields=self.newer_fields)

    def now(self) -> datetime:
        """Return the time by the legacy database's clock; see `Database.now`."""
        return self._database.now()

    def types(self) -> dict[str, str]:
        """Return what the driver calls the type of each column, by lower-case alias."""
        return {name.lower(): kind for name, kind in self._database.types(self.query)}

    def left_out(self) -> dict[str, int]:
        """Return how many rows of the whole database the mapping leaves out, by reason."""
        return left_out(self._database, self._left_out) if self._left_out else {}

    def newest(self, *, until: datetime) -> datetime | None:
        """Return the newest change time before *until*, aware UTC with milliseconds, or None."""
        statement = self._selection.newest(until=until)
        found = None if statement is None else self._database.sample(statement)
        if found is None or isinstance(found, BaseException):
            return None
        try:
            written = instant(found, self._zone)
        except Unfit:
            return None
        return None if written is None else datetime.fromisoformat(written)

    def later(self, moment: datetime) -> int:
        """Return how many rows changed at *moment* or later."""
        statement = self._selection.later(moment)
        found = None if statement is None else self._database.sample(statement)
        return found if isinstance(found, int) else 0

    def is_empty(self) -> bool:
        """Whether the mapping's SQL finds no row at all."""
        return self._database.sample(self._selection.any_row()) is None

    def counts(self, window: Window) -> Iterator[tuple[Any, int]]:
        """
        Yield the number of rows of each customer, in the database's order.

        Rows that lack a key come last, as customer None. Raises `MappingError` at the end where one
        customer's transactions stand apart in that order, because the customer is written in two
        ways: they would be judged, and sent, in parts.
        """
        self._selection.refuse_window_without_change_time(window)
        everywhere = Slice.everything(self.entity)
        try:
            with self._database.reading() as connection:
                odd: dict[Any, None] = {}
                for some in streamed(connection, self._selection.counts(window), PAGE):
                    if self.entity is Entity.TRANSACTIONS:
                        odd |= dict.fromkeys(owner for owner, _ in some if _stands_apart(owner))
                    yield from map(tuple, some)
                self._refuse_owners_apart(connection, list(odd))
                keyless = self._selection.keyless(everywhere, window).subquery()
                without = connection.execute(select(func.count()).select_from(keyless)).scalar_one()
        except REFUSALS as refusal:
            raise self._cannot_be_read(refusal) from None
        if without:
            yield None, without

    def _refuse_owners_apart(self, connection: Connection, odd: Sequence[Any]) -> None:
        """Raise `MappingError` if a customer of *odd* is also written as others are."""
        plain = {owner: other for owner in odd for other in _other_forms(owner, self._database.dialect)}
        there: set[Any] = set()
        for some in portions(list(dict.fromkeys(plain.values())), most=MOST_KEYS):
            for kind in {type(value) for value in some}:
                alike = [value for value in some if type(value) is kind]
                there.update(connection.execute(self._selection.owners_among(alike)).scalars())
        if both := [owner for owner, other in plain.items() if other in there]:
            raise MappingError(
                self.query.where,
                f"{len(both):,} customers are written in two ways, as {shape(both[0])} and as"
                f" {shape(plain[both[0]])}, so that the database puts their rows in two places",
                f"make them alike in SQL, as in CAST or TRIM({CUSTOMER[self.entity]})",
            )

    def refuse_several_forms(self) -> None:
        """
        Raise `MappingError` if the change times are texts in several forms: compared as texts, they
        say nothing of which is later.
        """
        statement = self._selection.forms()
        if statement is None:
            return
        found: Counter[str] = Counter()
        try:
            with self._database.reading() as connection:
                for one, count in connection.execute(statement):
                    found[form_of(one)] += count
        except REFUSALS:
            return  # whoever reads the rows hears of it
        if len(found) > 1:
            kinds = ", ".join(f"{count:,} like {form!r}" for form, count in found.most_common())
            raise MappingError(
                self.query.where,
                f"{CHANGED!r} is written in several forms: {kinds}",
                "make them alike in SQL, because texts are compared sign by sign",
            )

    def pages(self, part: Slice, window: Window, *, key: str = "") -> Iterator[list[Found]]:
        """
        Yield the rows of *part* in pages, ordered by customer and key.

        Rows that lack one of them come first. With *key*: only the rows that the database takes for
        it.

        A window of places has just those rows, wherever they stand by now; of transactions, all
        rows of just those owners. They are ordered within portions of the places.
        """
        self._selection.refuse_window_without_change_time(window)
        if window.places is None:
            yield from map(self._with_owners, self._pages(part, window, key=key))
            return
        asked = set(map(first_of, window.places))
        of = self._owner_of if self.entity is Entity.TRANSACTIONS else self._place_of
        for some in self._portions(asked):
            alike = set(some)  # the database may take a key of one portion for one of another
            for page in map(self._with_owners, self._pages(part, replace(window, places=some), key=key)):
                if found := [row for row in page if of(row) in alike]:
                    yield found

    def twins(self, window: Window) -> Iterator[tuple[str, int]]:
        """
        Yield the places of keys that more than one row of *window* has, each with the number of its
        rows.
        """
        try:
            with self._database.reading() as connection, self._database.beside(connection) as another:
                for found in streamed(connection, self._selection.twins(window), MOST_KEYS):
                    if self._selection.can_take_for_another:
                        keys = [key for key, _ in found]
                        yield from _counted(another.execute(self._selection.spellings(keys)).all())
                    else:
                        yield from _counted(found)
        except REFUSALS as refusal:
            raise self._cannot_be_read(refusal) from None

    def there(self, places: Iterable[str]) -> set[str]:
        """
        Return those of *places* that the source has now, whoever owns them.

        A further row of a place is there if the place has more than one row, because which of them
        it is can only be told by what is in it.
        """
        asked = set(places)
        rows = self.rows_at({first_of(place) for place in asked})
        return {place for place in asked if rows[first_of(place)] > is_copy(place)}

    def rows_at(self, places: Iterable[str]) -> Counter[str]:
        """Count the rows of each of *places*."""
        return Counter(place for place, _ in self._at(places))

    def owners_at(self, places: Iterable[str]) -> set[str]:
        """Return the places of the customers who own the rows at *places* now."""
        return {owner for _, owner in self._at(places)}

    def _at(self, places: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield place and owner of each row at *places*."""
        try:
            with self._database.reading() as connection:
                for some in self._portions(places):
                    worth = ["amount"] if self._has_worth and _have_no_key(some) else []
                    wanted = set(some)
                    for found in streamed(connection, self._selection.at(some, *worth), PAGE):
                        owners = self._owners.meant_by([row[0] for row in found])
                        for spelled, key, *amount in found:
                            owner = owners.get(spelled, spelled)
                            if (place := place_of_row(key, owner, *amount)) in wanted:
                                yield place, place_of(owner)
        except REFUSALS as refusal:
            raise self._cannot_be_read(refusal) from None

    def _with_owners(self, page: list[Found]) -> list[Found]:
        """Return *page* with each owner spelled as the customer whom the database takes it for."""
        owners = self._owners.meant_by([self._position(row)[0] for row in page])
        if not owners:
            return page
        return [self._owned_by(row, owners.get(self._position(row)[0])) for row in page]

    def _owned_by(self, row: Found, customer: Any) -> Found:
        if customer is None:
            return row
        if isinstance(row, UnreadableRow):
            return replace(row, customer=customer)
        at = self._customer
        return LegacyRow((*row.values[:at], customer, *row.values[at + 1 :]), row.lists)

    def _pages(self, part: Slice, window: Window, *, key: str) -> Iterator[list[Found]]:
        has_no_key = _have_no_key(window.places)
        is_own_parent = self._key == self._customer  # who has a key lacks nothing
        if not key and (window.places is None or has_no_key or not is_own_parent):
            yield from self._keyless(part, window)
        if has_no_key:
            return
        behind: Position | None = None
        grows = True
        while True:
            try:
                for page in self._stream(self._selection.rows(part, window, behind=behind, key=key), grows=grows):
                    yield page
                    behind = self._position(page[-1])
            except REFUSALS as refusal:
                fault = self._cannot_be_read(refusal)
                grows = False  # so that fewer rows are read again if another one is refused
            else:
                return
            positions = self._positions(part, window, behind, fault, key=key)
            page = self._in_halves(part, window, positions)
            self._refuse_if_none_is_readable(page)
            yield page
            behind = positions[-1]

    def statements(self, part: Slice, window: Window, *, key: str = "") -> Iterator[tuple[Query, str, dict[str, Any]]]:
        """
        Yield query, SQL and parameters of what `pages` runs, as this database gets it.

        Lists are read for one parent.
        """
        yield self.query, *self._database.compiled(self._selection.rows(part, window, key=key))
        for query, statement in self._elements.statements(key or None):
            yield query, *self._database.compiled(statement)

    def _stream(self, statement: Select[Any], *, grows: bool) -> Iterator[list[Found]]:
        """
        Stream *statement* in pages that keep the rows of one key together.

        *grows*: later pages are larger.
        """
        with self._database.reading() as connection, self._database.beside(connection) as lists:
            held: list[Sequence[Any]] = []
            size, characters = PAGE, 0
            for rows in streamed(connection, statement, PAGE):
                held += rows
                characters += _characters(rows)
                is_last = len(rows) < PAGE
                if len(held) < size and characters < _MOST_CHARACTERS and not is_last:
                    continue
                cut = len(held) if is_last else self._end_of_whole_keys(held)
                yield from self._with_elements_in_pages(lists, held[:cut])
                held = held[cut:]
                characters = 0
                size = _MOST_PAGES * PAGE if grows else PAGE
            if held:
                yield from self._with_elements_in_pages(lists, held)

    def _with_elements_in_pages(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> Iterator[list[Found]]:
        """Yield *rows* with their elements as one page, or as several where these are many."""
        page: list[Found] = []
        weight = start = 0
        while start < len(rows):
            rows_at_once = max(1, min(2 * PAGE, _MOST_WITH_ELEMENTS * PAGE // self._elements_of_row))
            end = min(start + rows_at_once, len(rows))
            while end < len(rows) and self._is_same(rows[end - 1], rows[end]):
                end += 1
            some = self._with_elements(connection, rows[start:end])
            weighs = sum(1 + sum(map(len, row.lists.values())) for row in some if isinstance(row, LegacyRow))
            self._elements_of_row = max(1, weighs // (end - start))
            start = end
            page += some
            weight += weighs
            if weight >= _MOST_WITH_ELEMENTS * PAGE:
                yield page
                page, weight = [], 0
        if page:
            yield page

    def _is_same(self, one: Sequence[Any], other: Sequence[Any]) -> bool:
        """Whether both are rows of the same key."""
        return (one[self._customer], one[self._key]) == (other[self._customer], other[self._key])

    def _end_of_whole_keys(self, rows: Sequence[Sequence[Any]]) -> int:
        """Return where the last key of *rows* begins: it may go on in the next page."""
        end = len(rows)
        while end and self._is_same(rows[end - 1], rows[-1]):
            end -= 1
        return end

    def _with_elements(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> list[Found]:
        if not self._elements or not rows:
            return [LegacyRow(row, {}) for row in rows]
        keys = list(map(itemgetter(self._key), rows))
        found = self._elements.of(connection, list(dict.fromkeys(keys)), lambda alike: self._known(connection, alike))
        lists = {path: [elements.get(key, ()) for key in keys] for path, elements in found.items()}
        if len(lists) == 1:
            ((path, of_rows),) = lists.items()
            return [LegacyRow(row, {path: of_row}) for row, of_row in zip(rows, of_rows, strict=True)]
        by_path = (dict(zip(lists, of_row, strict=True)) for of_row in zip(*lists.values(), strict=True))
        return list(starmap(LegacyRow, zip(rows, by_path, strict=True)))

    def _known(self, connection: Connection, keys: list[Any]) -> set[Any]:
        found: set[Any] = set()
        for some in portions(keys, most=MOST_KEYS):
            found.update(connection.execute(self._selection.keys_among(some)).scalars())
        return found

    def _keyless(self, part: Slice, window: Window) -> Iterator[list[Found]]:
        worth = ["amount"] if self._has_worth else []
        no_key = ("missing_key", KEY[self.entity], "nothing")
        no_customer = ("missing_value", CUSTOMER[self.entity], "nothing")
        try:
            with self._database.reading() as connection:
                for rows in streamed(connection, self._selection.keyless(part, window, *worth), PAGE):
                    yield [
                        UnreadableRow(key, customer, *(no_key if key is None else no_customer), *amount)
                        for customer, key, *amount in rows
                    ]
        except REFUSALS as refusal:
            raise self._cannot_be_read(refusal) from None

    def _positions(
        self, part: Slice, window: Window, behind: Position | None, fault: LegacyError, *, key: str = ""
    ) -> list[Position]:
        """Return the positions of the rows of the page that was refused, in whole keys."""
        positions: list[Position] = []
        try:
            with self._database.reading() as connection:
                for rows in streamed(connection, self._selection.positions(part, window, behind=behind, key=key), PAGE):
                    for owner, found in rows:
                        if len(positions) >= PAGE and (owner, found) != positions[-1]:
                            return positions
                        positions.append((owner, found))
        except REFUSALS:
            raise fault from None
        if not positions:
            raise fault
        return positions

    def _in_halves(self, part: Slice, window: Window, positions: list[Position]) -> list[Found]:
        try:
            with self._database.reading() as connection:
                between = self._selection.rows(part, window, between=(positions[0], positions[-1]))
                return self._with_elements(connection, connection.execute(between).all())
        except REFUSALS as refusal:
            distinct = list(dict.fromkeys(positions))
            if len(distinct) == 1:
                return [self._unreadable(part, window, positions[0], refusal)] * len(positions)
        middle = positions.index(distinct[len(distinct) // 2])
        return [*self._in_halves(part, window, positions[:middle]), *self._in_halves(part, window, positions[middle:])]

    def _refuse_if_none_is_readable(self, page: Sequence[Found]) -> None:
        """Raise `MappingError` if no row can be read, before all of them are read one by one."""
        bad = {row.key: row for row in page if isinstance(row, UnreadableRow)}
        if len(bad) >= PAGE and all(isinstance(row, UnreadableRow) for row in page):
            worst = Counter(row.column for row in bad.values()).most_common(1)[0][0]
            problem = f"of {len(page):,} rows that follow each other the database hands out none, because of {worst!r}"
            raise MappingError(self.query.where, problem, "convert it in the SQL")

    def _unreadable(self, part: Slice, window: Window, position: Position, refusal: BaseException) -> UnreadableRow:
        customer, key = position
        cells = {
            name: self._selection.rows(part, window, name, between=(position, position))
            for name in self.columns.lowered
        }
        column = next((name for name, cell in cells.items() if not self._database.can_read(cell)), "")
        column = column or self._elements.unreadable(self._database.can_read, key)
        worth = self._database.sample(cells["amount"]) if self._has_worth else None
        shape = f"the driver refuses it ({kind_of(refusal)})"
        return UnreadableRow(key, customer, "unreadable_row", column, shape, worth)

    def _portions(self, places: Iterable[str]) -> Iterator[tuple[str, ...]]:
        """Cut *places* into parts that are found alike, in the order of their keys."""
        in_order = sorted(places)
        by_key = [place for place in in_order if has_key(place)]
        not_kept = tuple(filter(is_unkept, in_order))
        no_key = tuple(place for place in in_order if _have_no_key((place,)))
        yield from filter(None, (no_key, not_kept))
        yield from map(tuple, at_once(by_key, self._database.dialect))

    def _place_of(self, row: Found) -> str:
        if isinstance(row, UnreadableRow):
            return place_of_row(row.key, row.customer, row.amount)
        return place_of(row.values[self._key])

    def _owner_of(self, row: Found) -> str:
        return place_of(self._position(row)[0])

    def _position(self, row: Found) -> Position:
        if isinstance(row, UnreadableRow):
            return row.customer, row.key
        return row.values[self._customer], row.values[self._key]

    def _stored(self, rows: FromClause) -> SampleValues:
        """Read one value each of key, customer and change time."""
        samples = []
        for name in (KEY[self.entity], CUSTOMER[self.entity], CHANGED):
            column = rows.c[self.columns.spelled(name)] if self.columns.has(name) else None
            samples.append(
                None if column is None else self._database.sample(select(column).where(column.is_not(None)).limit(1))
            )
        return SampleValues(*samples)

    def _refuse_other_types(self, key: Any) -> None:
        """
        Refuse lists whose parents are text where keys are numbers, or the other way round.

        None of their elements would be found.
        """
        for query, statement in self._elements.samples():
            here, there = _type(self._database.sample(statement)), _type(key)
            if here and there and here != there:
                problem = f"its key is {here}, but in {self.entity}.sql it is {there}"
                raise MappingError(query.where, problem, "cast both to the same type")

    def _cannot_be_read(self, refusal: BaseException) -> LegacyError:
        return LegacyError(f"{self.query.where}: the database cannot read it: {kind_of(refusal)}")


def _stands_apart(owner: Any) -> bool:
    """Whether the name that *owner* becomes may be had by another one, far off in the order."""
    return isinstance(owner, str) and (owner[:1].isspace() or owner.strip().isdecimal())


def _other_forms(owner: str, dialect: str) -> Iterator[Any]:
    """Yield how else the name of *owner* may be written."""
    plain = owner.strip()
    if owner[:1].isspace():
        yield plain
    # One column of SQLite's may hold both, and numbers come before texts.
    if dialect == "sqlite" and plain.isascii() and plain.isdecimal() and str(int(plain)) == plain:
        yield int(plain)


def _have_no_key(places: Sequence[str] | None) -> bool:
    """Whether *places*, which are found alike, are those of rows without a key."""
    return places is not None and not has_key(places[0]) and not is_unkept(places[0])


def _counted(found: Iterable[Sequence[Any]]) -> Iterator[tuple[str, int]]:
    return ((place_of(key), count) for key, count in found)


def _characters(rows: Sequence[Sequence[Any]]) -> int:
    """Return about how many characters *rows* have."""
    some = rows[:: max(1, len(rows) // _SAMPLE)]
    return sum(len(str(cell)) for row in some for cell in row) * len(rows) // max(1, len(some))


def _type(value: Any) -> str:
    match value:
        case None | BaseException():
            return ""
        case str():
            return "text"
        case int() | float() | Decimal():
            return "a number"
        case _:
            return type(value).__name__
