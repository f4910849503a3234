"""
The leaves of a page's payloads: columns that are read and checked once, and remembered by their paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.values import Reader
from masivo_engine.records import json_text
from masivo_engine.records.columns import ColumnReader, Values, check_all, distinct, read_all


@dataclass(frozen=True, slots=True)
class Filling:
    """What another file fills a list with, for every row of a page: the JSON of its elements with a comma between them, and how many they are."""

    joined: json_text.Texts
    counts: Sequence[int]


@dataclass(frozen=True, slots=True)
class Leaf:
    """One value of the payload: from which column, and how one value or a whole column is read. *node* is None in free objects."""

    name: str
    index: int
    read: Reader
    plain: ColumnReader
    node: Node | None

    def values(self, given: Values, unsure: set[int]) -> Values:
        """Read and check a whole column; the positions of rows that it is not sure of are added to *unsure*."""
        few = distinct(given)
        if few is None:
            return self._read(given, unsure)
        doubtful: set[int] = set()
        found = dict(zip(few, self._read(few, doubtful), strict=True))
        if doubtful:
            bad = {few[position] for position in doubtful}
            unsure.update(position for position, value in enumerate(given) if value in bad)
        return list(map(found.__getitem__, given))

    def _read(self, given: Values, unsure: set[int]) -> Values:
        values = read_all(given, self.plain, self.read, unsure)
        if self.node is not None and self.node.several is not None:
            check_all(values, self.node.several, unsure)
        return values


@dataclass(slots=True)
class Page:
    """
    Rows to be shaped together, with the *lists* that other files fill, by path.

    *values* are what was read, by path, column by column. The positions of rows that nobody vouches for are in *unsure*: what stands for
    them is not to be used.
    """

    rows: Sequence[Sequence[Any]]
    lists: Mapping[str, Filling] = field(default_factory=dict)
    unsure: set[int] = field(default_factory=set)
    values: dict[str, Values] = field(default_factory=dict)
    placed: set[str] = field(default_factory=set)
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
    """Whether one is the second of two hours that a clock shows alike: it equals the first, and is another point in time."""
    return any(getattr(moment, "fold", 0) for moment in moments)
