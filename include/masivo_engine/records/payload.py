"""
The nested payload that the column aliases of a SQL file describe.

A `PayloadBuilder` is compiled once per file, from the columns that the database reports. It builds
the payload of one row; `masivo_engine.records.by_column` writes whole pages by the same layout.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import lt
from types import MappingProxyType
from typing import Any

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.aliases import CHANGED, CUSTOMER, KEY, POSITION, Columns, Query, check_aliases, root_of
from masivo_engine.mapping.settings import Settings
from masivo_engine.mapping.values import Reader, Unfit, from_json, reader, shape, text
from masivo_engine.model import ledger_capacity
from masivo_engine.records.columns import Leaf, column_reader


Elements = Mapping[str, list[dict[str, Any]]]  # of lists that files of their own fill, by path
_NO_ELEMENTS: Elements = MappingProxyType({})


class UnfitColumn(Exception):
    """One column of a row cannot be read."""

    def __init__(self, reason: str, column: str, shape: str) -> None:
        super().__init__(reason, column, shape)
        self.reason = reason  #: a code of `masivo_engine.model.reasons`
        self.column = column
        self.shape = shape  #: describes the value without showing it


@dataclass(slots=True)
class Layout:
    """How one object of the payload is filled: its own leaves, then its objects, then its lists."""

    path: str = ""  #: alias of the object with the ``__`` that follows, empty for the root
    leaves: list[Leaf] = field(default_factory=list)
    sent_as_null: list[str] = field(default_factory=list)
    objects: dict[str, Layout] = field(default_factory=dict)
    required: frozenset[str] = frozenset()  #: keys that the object must have, without its lists
    fewest: Mapping[str, int] = field(default_factory=dict)  #: lists that the object must have: least elements
    lists: set[str] = field(default_factory=set)  #: the same lists, and those that files of their own fill

    @classmethod
    def of(cls, node: Node, path: str = "") -> Layout:
        """Return the layout of *node*, with no columns yet."""
        needed = {name: child for name, child in node.children.items() if child.required}
        required = frozenset(name for name, child in needed.items() if child.item is None)
        fewest = {name: child.fewest for name, child in needed.items() if child.item is not None}
        return cls(path, required=required, fewest=fewest, lists=set(fewest))

    def build(self, row: Sequence[Any], elements: Elements = _NO_ELEMENTS) -> dict[str, Any]:
        """Build the object of *row*, without what is empty. Raises `Unfit`."""
        built = {
            leaf.name: found
            for leaf in self.leaves
            if (value := row[leaf.index]) is not None and (found := leaf.read(value)) is not None
        }
        for name in self.sent_as_null:
            built.setdefault(name, None)
        for name, part in self.objects.items():
            inner = part.build(row, elements)
            if inner:
                built[name] = {**built[name], **inner} if name in built else inner
        if self.lists:
            for name in self.lists:
                if found := elements.get(self.path + name):
                    built[name] = found
            if built or not self.path:
                for name in self.fewest:
                    built.setdefault(name, [])
        return built

    def fault(self, row: Sequence[Any], columns: Sequence[str]) -> UnfitColumn | None:
        """Return what is wrong with the first unfit column of *row*."""
        for leaf in self.leaves:
            try:
                if row[leaf.index] is not None:
                    leaf.read(row[leaf.index])
            except Unfit as fault:
                return UnfitColumn(fault.reason, columns[leaf.index], fault.shape)
        return next(filter(None, (part.fault(row, columns) for part in self.objects.values())), None)


class PayloadBuilder:
    """
    Builds what rows of *query*, whose aliases are *columns*, say of their payload.

    Keys of free objects are in lower case.
    """

    def __init__(self, query: Query, columns: Sequence[str], settings: Settings, *, newer_fields: bool) -> None:
        check_aliases(query, columns, newer_fields=newer_fields)
        self.query = query
        self._columns = Columns(columns)
        self.columns = self._columns.lowered
        self.key = self.index(KEY[query.entity])  #: index of the row's key; -1 in list files
        self.customer = self.index(CUSTOMER[query.entity])
        self.changed = self.index(CHANGED)  #: index of the row's change time, or -1
        self.position = self.index(POSITION)  #: index of what orders a list's elements, or -1
        self.left_out: list[str] = []  #: columns of newer fields that are not switched on
        self._settings = settings
        self._newer_fields = newer_fields
        self._readers: dict[str, Reader] = {}
        root = root_of(query)
        self.layout = Layout.of(root)
        for index, column in enumerate(self.columns):
            if column not in query.reserved:
                self._place(root, self.layout, column, column.split("__"), index)

    def index(self, column: str) -> int:
        """Return the position of *column* in a row, -1 if the query has none of that name."""
        return self._columns.index(column)

    def add_list(self, path: str) -> None:
        """Make room for the list at *path*, which a file of its own fills."""
        node, part = root_of(self.query), self.layout
        *steps, last = path.split("__")
        for step in steps:
            node = node.children[step]
            part = part.objects.setdefault(step, Layout.of(node, f"{part.path}{step}__"))
        part.lists.add(last)

    def payload(self, row: Sequence[Any], elements: Elements = _NO_ELEMENTS) -> dict[str, Any]:
        """Return the payload of *row* and its *elements*. Raises `UnfitColumn`."""
        try:
            return self.layout.build(row, elements)
        except Unfit as fault:
            # Which column it was is asked only now, so that good rows do not pay for the answer.
            raise self.layout.fault(row, self.columns) or fault from None

    def value(self, row: Sequence[Any], column: str) -> Any:
        """Read *column* of *row* alone, None where it is empty or not there. Raises `Unfit`."""
        if column not in self._readers or row[self.index(column)] is None:
            return None
        return self._readers[column](row[self.index(column)])

    def _place(self, node: Node, part: Layout, column: str, steps: list[str], index: int) -> None:
        """Put the column at *index* where its remaining *steps* lead from *node*."""
        step, *rest = steps
        child = next(child for name, child in node.children.items() if name.lower() == step)
        path = f"{part.path}{child.name}__"
        if child.newer and not self._newer_fields:
            self.left_out.append(column)
        elif child.kind is Kind.FREE and rest:
            inside = part.objects.setdefault(child.name, Layout(path))
            *way, last = rest
            for name in way:
                inside = inside.objects.setdefault(name, Layout(f"{inside.path}{name}__"))
            inside.leaves.append(self._leaf(last, index, self._anything(column), column, None))
        elif rest:
            self._place(child, part.objects.setdefault(child.name, Layout.of(child, path)), column, rest, index)
        else:
            self._readers[column] = self._reader(child, column)
            part.leaves.append(self._leaf(child.name, index, self._readers[column], column, child))
            if child.null_is_sent:
                part.sent_as_null.append(child.name)

    def _leaf(self, name: str, index: int, read: Reader, column: str, node: Node | None) -> Leaf:
        kind, zone = node.kind if node is not None else None, self._settings.zone_of(column)
        return Leaf(name, index, read, column_reader(kind, zone=zone, places=self._settings.places), node)

    def _reader(self, node: Node, column: str) -> Reader:
        if node.item is not None:
            return self._list(node.item, column)
        if node.kind is None:
            return self._object(node, column)
        return reader(node.kind, zone=self._settings.zone_of(column), places=self._settings.places)

    def _list(self, item: Node, column: str) -> Reader:
        """Read a list that is given as JSON, its values as if each had a column of its own."""
        element = self._object(item, column)

        def read(value: Any) -> list[Any] | None:
            found = from_json(value)
            if found is not None and not isinstance(found, list):
                raise Unfit("wrong_type", shape(value))
            return None if found is None else [element(one) for one in found]

        return read

    def _object(self, node: Node, column: str) -> Reader:
        readers = {name: self._reader(child, column) for name, child in node.children.items()}

        def read(value: Any) -> dict[str, Any]:
            if not isinstance(value, dict):
                raise Unfit("wrong_type", shape(value))
            # A key that the contract does not know is left for the models to refuse by name.
            found = {key: readers[key](one) if key in readers else one for key, one in value.items()}
            return {key: one for key, one in found.items() if one is not None}

        return read

    def _anything(self, column: str) -> Reader:
        """Read a key of a free object, where no contract says what it is."""
        zone, places = self._settings.zone_of(column), self._settings.places
        number = reader(Kind.QUANTITY, zone=zone, places=places.model_copy(update={"quantity": 6}))
        instant = reader(Kind.INSTANT, zone=zone, places=places)

        def read(value: Any) -> Any:
            match value:
                case bool():
                    return value
                case int() | float() | Decimal():
                    return number(value)
                case datetime():
                    return instant(value)
                case date():
                    return value.isoformat()  # a day has no zone, and SQLite hands it out as this text
                case dict() | list():
                    return from_json(value)
                case _:
                    return text(value)

        return read


# The order of a list's elements.


def element_order(positions: Sequence[Any], written: Sequence[str]) -> Sequence[int]:
    """
    Return the order of a list's elements, given by their *positions* and as JSON.

    Equal positions go by content. A database promises no order; without one of our own, the same
    row would hash differently tomorrow.
    """
    if all(rises(positions)):
        return range(len(positions))
    ranks = [(*_rank(position), text) for position, text in zip(positions, written, strict=True)]
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def change_text(changed: Any) -> str:
    """Return a change time as text that another reading of it can be compared with."""
    written = "" if changed is None else str(changed)[: ledger_capacity.CHANGED]
    return written if written.isprintable() else written.encode("utf-8", "replace").decode().replace("\x00", "")


def rises(positions: Sequence[Any]) -> list[bool]:
    """Say of each of *positions* except the last whether it is certainly before the next one."""
    try:
        return list(map(lt, positions, positions[1:]))
    except (TypeError, InvalidOperation):
        return [False] * len(positions)  # some position is NULL or NaN, or they are not all of one type


def _rank(position: Any) -> tuple[int, Any]:
    """Numbers come first, then everything else as text, then what has no position."""
    if position is None:
        return 2, ""
    is_number = isinstance(position, int | float | Decimal) and Decimal(position).is_finite()
    return (0, position) if is_number else (1, str(position))


# Points.


@lru_cache(maxsize=65536)  # amounts repeat; a whole one is always an int, so 1 and 1.0 do not meet here
def as_decimal(number: float) -> Decimal:
    """Return exactly the decimal that *number* is written as."""
    return Decimal(repr(number))


def by_reward(lines: Iterable[tuple[Any, Any]]) -> dict[str, Decimal]:
    """Add up the lines of a balance, given as reward and amount."""
    sums: dict[str, Decimal] = {}
    for reward, amount in lines:
        name = str(reward).lower()
        sums[name] = sums.get(name, Decimal(0)) + as_decimal(amount)
    return sums
