"""
The two ways in which a record is made are equal, byte for byte, or by-column is unsure of the row.

By row is the definition. Whatever stands in a page, and whichever mapping it comes from, by-column
gives the same record or none.
"""

# ruff: noqa: DTZ001 (what legacy databases hand out is naive)

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node, paths, tree
from masivo_engine.mapping.aliases import CHANGED, CUSTOMER, KEY, PARENT_KEY, POSITION, Query, find, root_of
from masivo_engine.mapping.lineage import expressions
from masivo_engine.mapping.loader import MAPPINGS, load
from masivo_engine.mapping.settings import Settings
from masivo_engine.model.places import place_of, place_of_row
from masivo_engine.model.rows import Entity, LegacyRow, Record, Rejection, UnreadableRow
from masivo_engine.records.maker import RecordMaker
from masivo_engine.records.payload import PayloadBuilder
from tests.include.records.any_values import NEW_YORK, VALUES, ZONES, for_field


# As databases hand them out; not each can be the name of a record.
RAW_KEYS = ["K2", 7, "7", Decimal(7), Decimal("7.50"), True, UUID(int=7), b"K3", b"\xff", " K4 ", "K4 ", "A~0123456789ab.1",
            "x" * 191, "x" * 192, "x" * 191 + " ", 10**200, "", " ", "a\x00b", "\ud800", 1.5, date(2024, 1, 1)]  # fmt: skip
SHIPPED = sorted(folder.name for folder in MAPPINGS.iterdir() if folder.is_dir())
_CHANGED = datetime(2024, 1, 16)
Columns = dict[str, list[Any]]  # by alias: what it may hold, a sound value first


class Shop:
    """
    Rows of one entity and what makes records of them.

    *files*: columns by the path of the list that they fill; those of the entity itself are at "".
    """

    def __init__(self, entity: Entity, files: dict[str, Columns], settings: Settings, *, newer_fields: bool) -> None:
        builders = {
            path: PayloadBuilder(_query(entity, path), list(columns), settings, newer_fields=newer_fields)
            for path, columns in files.items()
        }
        self.row = files[""]
        self.lines = {path: columns for path, columns in files.items() if path}
        self.maker = RecordMaker(entity, builders.pop(""), builders)
        self.by_row, self.by_column = self.maker._by_row, self.maker._by_column

    def sound_row(self, line_count: int) -> LegacyRow:
        lines = {
            path: [
                tuple(number if name == POSITION else values[0] for name, values in line.items())
                for number in range(line_count)
            ]
            for path, line in self.lines.items()
        }
        return LegacyRow(tuple(values[0] for values in self.row.values()), lines)

    def any_row(self, data: st.DataObject) -> LegacyRow:
        lines = {
            path: [_changed(line, data) for _ in range(data.draw(st.integers(0, 3)))]
            for path, line in self.lines.items()
        }
        return LegacyRow(_changed(self.row, data), lines)

    def variants(self) -> Iterator[tuple[LegacyRow, bool]]:
        """Yield rows with one value or object changed, and whether it was only left out."""
        sound_row = self.sound_row(2)
        for row in _variants(self.row):
            yield LegacyRow(row, sound_row.lists), None in row
        for row in _without_an_object(self.row):
            for lists in (sound_row.lists, *({path: lines} for path, lines in sound_row.lists.items())):
                yield LegacyRow(row, lists), not self.lines  # a list may make the object all the same
        for path, columns in self.lines.items():
            sound_line = sound_row.lists[path][0]
            for line in (*_variants(columns), *_without_an_object(columns)):
                for lines in ([line], [sound_line, line], [line, sound_line]):
                    yield LegacyRow(sound_row.values, {**sound_row.lists, path: lines}), None in line
            yield LegacyRow(sound_row.values, {**sound_row.lists, path: []}), True


def _variants(columns: Columns) -> Iterator[tuple[Any, ...]]:
    row = {name: values[0] for name, values in columns.items()}
    for name, values in columns.items():
        for value in (*values, None):
            yield tuple({**row, name: value}.values())


def _without_an_object(columns: Columns) -> Iterator[tuple[Any, ...]]:
    for emptied in _objects(columns):
        yield tuple(None if name.startswith(emptied) else values[0] for name, values in columns.items())


def _objects(columns: Columns) -> list[str]:
    """Return the beginnings of the aliases in *columns* of objects."""
    steps = (name.split("__") for name in columns)
    return sorted({"__".join(some[:count]) + "__" for some in steps for count in range(1, len(some))})


def _query(entity: Entity, path: str) -> Query:
    return Query(entity, path, "SELECT 1", ".".join(filter(None, (entity, path, "sql"))))


def _changed(columns: Columns, data: st.DataObject) -> tuple[Any, ...]:
    """Return a sound row with up to two of its values replaced, or all of an object left out."""
    row = {name: values[0] for name, values in columns.items()}
    for name in data.draw(st.sets(st.sampled_from(sorted(row)), max_size=2)):
        row[name] = data.draw(st.none() | st.sampled_from(columns[name]) | VALUES)
    objects = _objects(columns)
    emptied = data.draw(st.none() | st.sampled_from(objects)) if objects else None
    return tuple(None if emptied and name.startswith(emptied) else value for name, value in row.items())


def _column(query: Query, alias: str) -> list[Any]:
    """Return what the column *alias* may hold."""
    if alias in {KEY[query.entity], CUSTOMER[query.entity], PARENT_KEY[query.entity]}:
        return ["K1", *RAW_KEYS]
    if alias in query.reserved:
        return [_CHANGED] if alias == CHANGED else [1, 2, "x"]
    node = find(query, alias)
    is_inside = node.kind is Kind.FREE and node.name != alias.rpartition("__")[2]
    return ["1999", 3, _CHANGED, Decimal("NaN"), {"a": 1}] if is_inside else for_field(node)


@cache
def shipped(name: str, entity: Entity) -> Shop:
    """The mapping *name*, as its SQL names its columns."""
    mapping = load(name)
    queries = {"": mapping.queries[entity], **mapping.lists[entity]}
    files = {path: {alias: _column(query, alias) for alias in expressions(query)} for path, query in queries.items()}
    return Shop(entity, files, mapping.settings, newer_fields=name == "woocommerce")


def _aliases(query: Query) -> tuple[list[str], list[tuple[str, ...]]]:
    """Return the aliases that a file needs for sound rows, and groups of those that it may have."""
    root = root_of(query)
    known = list(paths(root))
    free = [alias for alias in known if find(query, alias).kind is Kind.FREE]
    inside = [(f"{alias}__level", f"{alias}__since__year") for alias in free]
    both = [(alias, *keys) for alias, keys in zip(free, inside, strict=True)]
    return [alias for alias in known if _is_needed(root, alias)], [*((alias,) for alias in known), *inside, *both]


def _is_needed(node: Node, alias: str) -> bool:
    for step in alias.split("__"):
        node = node.children[step]
        if not node.required:
            return False
    return True


@cache
def all_fields(entity: Entity, *, by_file: bool) -> Shop:
    """A mapping that has all there is."""
    lists = [path for path in paths(tree(entity)) if find(_query(entity, ""), path).item is not None]
    files = {}
    for path in ("", *(lists if by_file else ())):
        query = _query(entity, path)
        keys = [PARENT_KEY[entity], POSITION] if path else [CUSTOMER[entity], KEY[entity]]
        known = {alias for group in _aliases(query)[1] for alias in group} - (set(lists) if by_file else set())
        files[path] = {alias: _column(query, alias) for alias in sorted({*keys, *known})}
    return Shop(entity, files, Settings(timezone="America/Mexico_City"), newer_fields=True)


def _chosen(draw: st.DrawFn, query: Query, keys: tuple[str, ...]) -> set[str]:
    """Choose the columns of *query*'s file."""
    needed, known = _aliases(query)
    more = draw(st.sets(st.sampled_from([*known, (POSITION,)] if query.path else known), max_size=5))
    chosen = {*needed, *(alias for group in more for alias in group)}
    if needed and draw(st.integers(0, 9)) == 0:
        chosen.discard(draw(st.sampled_from(needed)))
    return {*chosen, *keys}


@st.composite
def made_up(draw: st.DrawFn) -> Shop:
    """Any mapping: lists by column, by file or not at all; now and then it lacks what it needs."""
    entity = draw(st.sampled_from(list(Entity)))
    files = {"": _chosen(draw, _query(entity, ""), keys=(CUSTOMER[entity], KEY[entity]))}
    lists = [path for path in paths(tree(entity)) if find(_query(entity, ""), path).item is not None]
    for path in draw(st.sets(st.sampled_from(lists), max_size=2)):
        files[""].discard(path)
        files[path] = _chosen(draw, _query(entity, path), keys=(PARENT_KEY[entity],))
    columns = {
        path: {alias: _column(_query(entity, path), alias) for alias in sorted(aliases)}
        for path, aliases in files.items()
    }
    return Shop(entity, columns, Settings(timezone=draw(st.sampled_from(ZONES))), newer_fields=draw(st.booleans()))


SHOPS = {
    "made up": made_up(),
    **{name: st.builds(shipped, st.just(name), st.sampled_from(list(Entity))) for name in SHIPPED},
}


def exactly(made: Record | Rejection) -> Any:
    """Return *made* with its points as they are written: 1 and 1.0 are equal, but not the same."""
    balance = {reward: repr(amount) for reward, amount in made.balance.items()} if isinstance(made, Record) else {}
    return made, repr(made.points), balance


@pytest.mark.parametrize("mapping", SHOPS)
@given(data=st.data())
def test_by_column_makes_what_by_row_makes_or_is_unsure(mapping, data):
    shop = data.draw(SHOPS[mapping])
    kinds = [shop.sound_row(2), *(shop.any_row(data) for _ in range(data.draw(st.integers(1, 4))))]
    # What repeats is read once for all rows that have it, also what is unfit, empty or wrong.
    rows = kinds * data.draw(st.sampled_from([1, 5]))

    made = shop.by_column.make(rows)

    assert len(made) == len(rows)
    for row, found in zip(rows, made, strict=True):
        if found is not None:
            assert exactly(found) == exactly(shop.by_row.make(row))


@pytest.mark.parametrize("entity", Entity)
@pytest.mark.parametrize("name", [*SHIPPED, "all fields", "all fields, lists by file"])
def test_by_column_agrees_on_each_value_of_each_field_and_vouches_for_what_is_empty(name, entity):
    shop = shipped(name, entity) if name in SHIPPED else all_fields(entity, by_file="file" in name)
    sound_row = shop.sound_row(2)
    assert shop.by_column.make([sound_row]) == [shop.by_row.make(sound_row)]
    for row, is_plain in shop.variants():
        *_, found = shop.by_column.make([*[sound_row] * 7, row])  # so many that a text is read once
        expected = shop.by_row.make(row)
        if found is not None or (is_plain and isinstance(expected, Record)):
            assert exactly(found) == exactly(expected)


@given(data=st.data(), entity=st.sampled_from(list(Entity)))
def test_a_page_has_a_record_or_a_rejection_for_each_row_in_its_place(data, entity):
    shop = shipped("sample", entity)
    sound_rows = [shop.sound_row(1), shop.sound_row(2)]
    unreadable = UnreadableRow("K", "C1", "unreadable_row", "name", "the driver refuses it")
    rows = data.draw(st.lists(st.sampled_from([*sound_rows, shop.any_row(data), unreadable]), max_size=6))
    assert shop.maker.make_all(rows) == [shop.maker.make(row) for row in rows]


@pytest.mark.parametrize("entity", Entity)
def test_both_ways_give_each_raw_key_its_place_and_its_customer_and_change_time_beside_it(entity):
    shop = shipped("sample", entity)
    row = {name: values[0] for name, values in shop.row.items()}
    rows, expected = [], []
    for key, customer in product([*RAW_KEYS, None], repeat=2):
        # Of a customer it is one column.
        given = {**row, CUSTOMER[entity]: customer} | {KEY[entity]: key}
        rows.append(LegacyRow(tuple(given.values()), shop.sound_row(1).lists))
        owner = given[CUSTOMER[entity]]
        place = place_of_row(key, owner, given.get("amount"))
        expected.append((place, place_of(owner), str(row[CHANGED]) if CHANGED in row else ""))

    by_row = [shop.by_row.make(some) for some in rows]

    assert [(made.place, made.owner, made.changed) for made in by_row] == expected
    for some, made in zip(rows, by_row, strict=True):
        (alone,) = shop.by_column.make([some])
        assert alone in (None, made)
    vouched = [found for found in shop.by_column.make(rows) if found is not None]
    assert vouched == [made for made in by_row if isinstance(made, Record)]
    assert vouched


_TWICE = datetime(2024, 11, 3, 1, 30, tzinfo=NEW_YORK), datetime(2024, 11, 3, 1, 30, fold=1, tzinfo=NEW_YORK)


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("twice", [_TWICE, [moment.replace(tzinfo=None) for moment in _TWICE]])
def test_two_columns_that_differ_by_the_repeated_hour_are_two_points_in_time(twice, zone):
    columns = shipped("sample", Entity.TRANSACTIONS).row
    shop = Shop(Entity.TRANSACTIONS, {"": columns}, Settings(timezone=zone), newer_fields=False)
    row = {name: values[0] for name, values in columns.items()}
    first, second = twice
    rows = [
        LegacyRow(tuple({**row, "issued_at": issued, "resolved_at": resolved}.values()), {})
        for issued, resolved in [(first, second), (second, first), (second, second), (first, first)]
    ]
    for some in (rows, rows[:1], rows[1:2]):
        assert shop.by_column.make(some) == [shop.by_row.make(row) for row in some]
