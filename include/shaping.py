"""
A legacy row into the nested payload that its column aliases describe.

A `Shaper` is compiled once per SQL file from the columns that the database reports. It shapes a page column by column, and a row by itself
where something is wrong with it and people have to be told what.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from include.columns import ColumnReader, Values, check_all, column_reader, read_all, texts
from include.contract.fields import Kind
from include.contract.tree import Node
from include.errors import MappingError
from include.mapping import Query, check_aliases, root_of
from include.settings import Settings
from include.values import Reader, Unfit, from_json, reader, shape, text


ListPath = tuple[Sequence[str], str]  # the objects on the way to a list, and its own name


class Misfit(Exception):
    """One column of a row cannot be read: *reason* is a code of `include.reasons`, *shape* shows no content."""

    def __init__(self, reason: str, column: str, shape: str) -> None:
        super().__init__(reason, column, shape)
        self.reason = reason
        self.column = column
        self.shape = shape


@dataclass(frozen=True, slots=True)
class _Leaf:
    """One value of the payload: from which column, and how one value or a whole column is read. *node* is None in free objects."""

    name: str
    index: int
    read: Reader
    plain: ColumnReader
    node: Node | None

    def values(self, columns: Sequence[Values], unsure: set[int]) -> Values:
        """Read and check the whole column; the positions of rows that it is not sure of are added to *unsure*."""
        values = read_all(columns[self.index], self.plain, self.read, unsure)
        if self.node is not None and self.node.several is not None:
            check_all(values, self.node.several, unsure)
        return values


@dataclass(slots=True)
class _Object:
    """How one object of the payload is filled: its own leaves, then its objects. *required* are the keys that it must have."""

    leaves: list[_Leaf] = field(default_factory=list)
    sent_as_null: list[str] = field(default_factory=list)
    objects: dict[str, _Object] = field(default_factory=dict)
    required: frozenset[str] = frozenset()

    def build(self, row: Sequence[Any]) -> dict[str, Any]:
        built = {
            leaf.name: found
            for leaf in self.leaves
            if (value := row[leaf.index]) is not None and (found := leaf.read(value)) is not None
        }
        for name in self.sent_as_null:
            built.setdefault(name, None)
        for name, part in self.objects.items():
            inner = part.build(row)
            if inner:
                built[name] = {**built[name], **inner} if name in built else inner
        return built

    def build_all(
        self, columns: Sequence[Values], count: int, unsure: set[int], *, is_root: bool
    ) -> list[dict[str, Any]]:
        """Build what `build` would for *count* rows, and check it; the positions of rows that it is not sure of are added to *unsure*."""
        always: dict[str, Values] = {}
        sometimes: dict[str, Values] = {}
        for leaf in self.leaves:
            values = leaf.values(columns, unsure)
            is_always = leaf.name in self.sent_as_null or None not in values
            (always if is_always else sometimes)[leaf.name] = values
        names = tuple(always)
        rows = zip(*always.values(), strict=True) if always else [()] * count
        built = [dict(zip(names, row, strict=True)) for row in rows]
        for name, values in sometimes.items():
            for one, value in zip(built, values, strict=True):
                if value is not None:
                    one[name] = value
        for name, part in self.objects.items():
            for one, inner in zip(built, part.build_all(columns, count, unsure, is_root=False), strict=True):
                if inner:
                    one[name] = {**one[name], **inner} if name in one else inner
        for name in self.required.difference(always):
            unsure.update(position for position, one in enumerate(built) if name not in one and (one or is_root))
        return built

    def misfit(self, row: Sequence[Any], columns: Sequence[str]) -> Misfit | None:
        """Return what is wrong with the first unfit column of *row*."""
        for leaf in self.leaves:
            try:
                if row[leaf.index] is not None:
                    leaf.read(row[leaf.index])
            except Unfit as fault:
                return Misfit(fault.reason, columns[leaf.index], fault.shape)
        return next(filter(None, (part.misfit(row, columns) for part in self.objects.values())), None)


class Shaper:
    """Turns rows of *query*, whose aliases are *columns*, into payload parts. Keys of free objects are lower case."""

    def __init__(self, query: Query, columns: Sequence[str], settings: Settings, *, newer_fields: bool) -> None:
        check_aliases(query, list(columns))
        self.query = query
        self.columns = tuple(column.lower() for column in columns)
        self.left_out: list[str] = []
        self._settings = settings
        self._readers: dict[str, Reader] = {}
        self._root = _Object(required=_required(root_of(query)))
        for index, column in enumerate(self.columns):
            if column not in query.reserved:
                self._place(root_of(query), self._root, column, column.split("__"), index, newer_fields=newer_fields)

    def index(self, column: str) -> int:
        """Return the position of *column* in a row, -1 if the query has none of that name."""
        return self.columns.index(column) if column in self.columns else -1

    def payload(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return what *row* says of its payload, without empty columns. Raises `Misfit`."""
        try:
            return self._root.build(row)
        except Unfit as fault:
            # Which column it was is asked only now, so that good rows do not pay for the answer.
            raise self._root.misfit(row, self.columns) or fault from None

    def payloads(self, rows: Sequence[Sequence[Any]], unsure: set[int]) -> list[dict[str, Any]]:
        """
        Return what `payload` says of each of *rows*, checked by the contract but for lists that other files fill.

        The positions of rows that are not vouched for are added to *unsure*: their payloads are not to be used.
        """
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(self.columns)
        return self._root.build_all(columns, len(rows), unsure, is_root=True)

    def texts(self, rows: Sequence[Sequence[Any]], index: int, unsure: set[int]) -> Values:
        """Read the column at *index* as text, as keys are; rows without it, or with none that can be read, are added to *unsure*."""
        found = read_all([row[index] for row in rows], texts, text, unsure)
        unsure.update(position for position, value in enumerate(found) if value is None)
        return found

    def value(self, row: Sequence[Any], column: str) -> Any:
        """Read *column* of *row* alone, None where it is empty or not there. Raises `include.values.Unfit`."""
        if column not in self._readers or row[self.index(column)] is None:
            return None
        return self._readers[column](row[self.index(column)])

    def _place(
        self, node: Node, part: _Object, column: str, steps: list[str], index: int, *, newer_fields: bool
    ) -> None:
        step, *rest = steps
        child = next(child for name, child in node.children.items() if name.lower() == step)
        if child.newer and not newer_fields:
            self.left_out.append(column)
        elif child.kind is Kind.FREE and rest:
            self._place_freely(part.objects.setdefault(child.name, _Object()), column, rest, index)
        elif rest:
            inside = part.objects.setdefault(child.name, _Object(required=_required(child)))
            self._place(child, inside, column, rest, index, newer_fields=newer_fields)
        else:
            self._readers[column] = self._reader(child, column)
            plain = column_reader(child.kind, zone=self._settings.zone_of(column), places=self._settings.places)
            part.leaves.append(_Leaf(child.name, index, self._readers[column], plain, child))
            if child.null_is_sent:
                part.sent_as_null.append(child.name)

    def _place_freely(self, inside: _Object, column: str, steps: list[str], index: int) -> None:
        *way, last = steps
        for count in range(len(way), 0, -1):
            shorter = column.removesuffix("__" + "__".join(steps[count:]))
            if shorter in self.columns:
                raise MappingError(
                    self.query.where, f"{shorter!r} and {column!r} fill the same place", "rename one of them"
                )
        for step in way:
            inside = inside.objects.setdefault(step, _Object())
        plain = column_reader(None, zone=self._settings.zone_of(column), places=self._settings.places)
        inside.leaves.append(_Leaf(last, index, self._anything(column), plain, None))

    def _reader(self, node: Node, column: str) -> Reader:
        if node.item is not None:
            return self._list(node.item, column)
        if node.kind is None:
            return self._object(node, column)
        return reader(node.kind, zone=self._settings.zone_of(column), places=self._settings.places)

    def _list(self, item: Node, column: str) -> Reader:
        """Read a list that is given as JSON; its values are read as if each had a column of its own."""
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
                case datetime() | date():
                    return instant(value)
                case dict() | list():
                    return from_json(value)
                case _:
                    return text(value)

        return read


def _required(node: Node) -> frozenset[str]:
    """The keys of an object that it must have, without the lists, which may come from files of their own."""
    return frozenset(name for name, child in node.children.items() if child.required and child.item is None)


def path_of(column: str) -> ListPath:
    """Return where in a payload the list is that *column* names."""
    *steps, last = column.split("__")
    return steps, last


def put(payload: dict[str, Any], path: ListPath, elements: list[dict[str, Any]]) -> bool:
    """Set the list at *path* of *payload*, making the objects on the way; say whether all of them were there."""
    steps, last = path
    were_there = True
    for step in steps:
        were_there = were_there and step in payload
        payload = payload.setdefault(step, {})
    payload[last] = elements
    return were_there


def complete(payload: dict[str, Any], path: ListPath) -> list[Any] | None:
    """Return the list at *path*, made empty if the object around it has none; None where there is no such object."""
    steps, last = path
    for step in steps:
        payload = payload.get(step, {})
        if not payload:
            return None
    found: list[Any] = payload.setdefault(last, [])
    return found
