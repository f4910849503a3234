"""
A legacy row into the nested payload that its column aliases describe.

A `PayloadBuilder` is compiled once per SQL file from the columns that the database reports. It shapes a page column by column, and a row by itself
where something is wrong with it and people have to be told what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.aliases import Columns, Query, check_aliases, root_of
from masivo_engine.mapping.settings import Settings
from masivo_engine.mapping.values import Reader, Unfit, from_json, reader, shape, text
from masivo_engine.records import json_text
from masivo_engine.records.columns import Filling, Leaf, Page, Values, column_reader, read_all, texts


ListPath = tuple[Sequence[str], str]  # the objects on the way to a list, and its own name


class Misfit(Exception):
    """One column of a row cannot be read: *reason* is a code of `masivo_engine.model.reasons`, *shape* shows no content."""

    def __init__(self, reason: str, column: str, shape: str) -> None:
        super().__init__(reason, column, shape)
        self.reason = reason
        self.column = column
        self.shape = shape


@dataclass(slots=True)
class _Object:
    """
    How one object of the payload is filled: its own leaves, then its objects.

    *required* are the keys that it must have, and *fewest* the lists that it must have with the number of their elements; *path* is its
    alias with the ``__`` that follows.
    """

    path: str = ""
    leaves: list[Leaf] = field(default_factory=list)
    sent_as_null: list[str] = field(default_factory=list)
    objects: dict[str, _Object] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    fewest: Mapping[str, int] = field(default_factory=dict)

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

    def write(self, page: Page, *, is_root: bool) -> json_text.JsonColumn:
        """Write the JSON of what `build` would build for the rows of *page*, with their lists, and check it."""
        count, unsure = len(page.rows), page.unsure
        parts: dict[str, json_text.JsonColumn] = {}
        for leaf in self.leaves:
            values = page.values[self.path + leaf.name] = page.read(leaf)
            parts[leaf.name] = (json_text.with_null if leaf.name in self.sent_as_null else json_text.column)(values)
        for name, part in self.objects.items():
            if name in parts:
                parts[name] = json_text.column(self._merged(part, page, page.values[self.path + name]))
            else:
                parts[name] = part.write(page, is_root=False)
        # Where the object is: everywhere, or in the rows where something is in it.
        here = None if is_root or any(part.is_always for part in parts.values()) else _anything(parts, count)
        for name in self.required:
            if name not in parts or not parts[name].is_always:
                there: json_text.Texts = parts[name].columns[0] if name in parts else [""] * count
                unsure.update(
                    position for position in range(count) if not there[position] and (here is None or here[position])
                )
        for name, elements in self._lists(page).items():
            if here is not None:
                unsure.update(position for position in range(count) if elements.counts[position] and not here[position])
            parts[name] = json_text.some_lists(elements.joined)
        for name, fewest in self.fewest.items():
            parts[name] = self._complete(name, fewest, parts.get(name), here, page)
        return json_text.an_object(parts, count)

    def _complete(
        self, name: str, fewest: int, given: json_text.JsonColumn | None, here: Sequence[bool] | None, page: Page
    ) -> json_text.JsonColumn:
        """Write the list *name*, which the object must have where it is *here*: empty if nothing was *given*, if it may be that short."""
        count, path = len(page.rows), self.path + name
        if path in page.lists:
            lengths: Sequence[int] = page.lists[path].counts
        else:
            lengths = [len(found or ()) for found in page.values.get(path, [()] * count)]
        if min(lengths) < fewest:
            page.unsure.update(
                position for position in range(count) if lengths[position] < fewest and (here is None or here[position])
            )
        if here is None and path in page.lists:
            return json_text.a_list(page.lists[path].joined)
        texts = given.texts(count) if given is not None else [""] * count
        if here is None:
            return json_text.JsonColumn("%s", [[text or "[]" for text in texts]])
        completed = [text or ("[]" if is_here else "") for text, is_here in zip(texts, here, strict=True)]
        return json_text.JsonColumn("%s", [completed], is_always=False)

    def _lists(self, page: Page) -> dict[str, Filling]:
        """Return the lists of this object that other files fill, by name."""
        names = {path_of(path)[1] for path in page.lists}
        mine = {name: page.lists[self.path + name] for name in names if self.path + name in page.lists}
        page.placed.update(self.path + name for name in mine)
        return mine

    def _merged(self, part: _Object, page: Page, given: Values) -> list[Any]:
        """Put what *part* builds into the objects that a column of JSON has *given*."""
        merged: list[Any] = []
        for position, (row, outer) in enumerate(zip(page.rows, given, strict=True)):
            try:
                inner = part.build(row)
            except Unfit:
                page.unsure.add(position)
                inner = {}
            merged.append({**(outer or {}), **inner} if inner else outer)
        return merged

    def misfit(self, row: Sequence[Any], columns: Sequence[str]) -> Misfit | None:
        """Return what is wrong with the first unfit column of *row*."""
        for leaf in self.leaves:
            try:
                if row[leaf.index] is not None:
                    leaf.read(row[leaf.index])
            except Unfit as fault:
                return Misfit(fault.reason, columns[leaf.index], fault.shape)
        return next(filter(None, (part.misfit(row, columns) for part in self.objects.values())), None)


class PayloadBuilder:
    """Turns rows of *query*, whose aliases are *columns*, into payload parts. Keys of free objects are lower case."""

    def __init__(self, query: Query, columns: Sequence[str], settings: Settings, *, newer_fields: bool) -> None:
        check_aliases(query, columns, newer_fields=newer_fields)
        self.query = query
        self._columns = Columns(columns)
        self.columns = self._columns.lowered
        self.left_out: list[str] = []
        self._settings = settings
        self._readers: dict[str, Reader] = {}
        root = root_of(query)
        self._root = _Object(required=_required(root), fewest=_fewest(root))
        for index, column in enumerate(self.columns):
            if column not in query.reserved:
                self._place(root, self._root, column, column.split("__"), index, newer_fields=newer_fields)

    def index(self, column: str) -> int:
        """Return the position of *column* in a row, -1 if the query has none of that name."""
        return self._columns.index(column)

    def payload(self, row: Sequence[Any]) -> dict[str, Any]:
        """Return what *row* says of its payload, without empty columns. Raises `Misfit`."""
        try:
            return self._root.build(row)
        except Unfit as fault:
            # Which column it was is asked only now, so that good rows do not pay for the answer.
            raise self._root.misfit(row, self.columns) or fault from None

    def write(self, page: Page) -> json_text.JsonColumn:
        """
        Write the JSON of what `payload` says of each row of *page*, with its lists, checked by the contract.

        The positions of rows that are not vouched for are added to the page's: what is written of them is not to be used.
        """
        written = self._root.write(page, is_root=True)
        for path in page.lists.keys() - page.placed:  # of an object that no column is in
            page.unsure.update(position for position, length in enumerate(page.lists[path].counts) if length)
        # A payload is an object, if need be an empty one.
        return (
            written
            if written.is_always
            else json_text.JsonColumn("%s", [[text or "{}" for text in written.columns[0]]])
        )

    def texts(self, page: Page, index: int) -> Values:
        """Read the column at *index* as text, as keys are; rows without it, or with none that can be read, are unsure."""
        found = read_all(page.columns[index], texts, text, page.unsure)
        if not all(found):
            page.unsure.update(position for position, value in enumerate(found) if value is None)
        return found

    def value(self, row: Sequence[Any], column: str) -> Any:
        """Read *column* of *row* alone, None where it is empty or not there. Raises `masivo_engine.mapping.values.Unfit`."""
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
            free = part.objects.setdefault(child.name, _Object(f"{part.path}{child.name}__"))
            self._place_freely(free, column, rest, index)
        elif rest:
            inside = part.objects.setdefault(
                child.name,
                _Object(f"{part.path}{child.name}__", required=_required(child), fewest=_fewest(child)),
            )
            self._place(child, inside, column, rest, index, newer_fields=newer_fields)
        else:
            self._readers[column] = self._reader(child, column)
            plain = column_reader(child.kind, zone=self._settings.zone_of(column), places=self._settings.places)
            part.leaves.append(Leaf(child.name, index, self._readers[column], plain, child))
            if child.null_is_sent:
                part.sent_as_null.append(child.name)

    def _place_freely(self, inside: _Object, column: str, steps: list[str], index: int) -> None:
        *way, last = steps
        for step in way:
            inside = inside.objects.setdefault(step, _Object(f"{inside.path}{step}__"))
        plain = column_reader(None, zone=self._settings.zone_of(column), places=self._settings.places)
        inside.leaves.append(Leaf(last, index, self._anything(column), plain, None))

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


def _fewest(node: Node) -> dict[str, int]:
    """The lists that an object must have, and how many elements each."""
    return {name: child.fewest for name, child in node.children.items() if child.required and child.item is not None}


def _anything(parts: Mapping[str, json_text.JsonColumn], count: int) -> list[bool]:
    """Say for each of *count* rows whether it has any of *parts*, of which none is always there."""
    if not parts:
        return [False] * count
    return list(map(any, zip(*(part.columns[0] for part in parts.values()), strict=True)))


def path_of(column: str) -> ListPath:
    """Return where in a payload the list is that *column* names."""
    *steps, last = column.split("__")
    return steps, last


def put(payload: dict[str, Any], path: ListPath, elements: list[dict[str, Any]]) -> None:
    """Set the list at *path* of *payload*, making the objects on the way."""
    steps, last = path
    for step in steps:
        payload = payload.setdefault(step, {})
    payload[last] = elements


def complete(payload: dict[str, Any], path: ListPath) -> None:
    """Make the list at *path* empty where the object around it has none; where there is no such object, nothing is made."""
    steps, last = path
    for step in steps:
        payload = payload.get(step, {})
        if not payload:
            return
    payload.setdefault(last, [])
