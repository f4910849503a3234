"""The aliases of a mapping's SQL: which there are, what each fills, how a database spells them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node, nearest, paths, tree
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity


# Aliases by which rows are selected, ordered and joined.
KEY = {Entity.CUSTOMERS: "id", Entity.EVENTS: "order__purchase_id", Entity.TRANSACTIONS: "transaction_id"}
CUSTOMER = {Entity.CUSTOMERS: "id", Entity.EVENTS: "customer_id", Entity.TRANSACTIONS: "customer_id"}
PARENT_KEY = {
    Entity.CUSTOMERS: "customer_id",
    Entity.EVENTS: "order__purchase_id",
    Entity.TRANSACTIONS: "transaction_id",
}
CHANGED = "updated_at"
POSITION = "position"  # orders the elements of a list

LEFT_OUT = "left_out"  # in the place of a list's path: the file of the rows that the mapping does not read
REASON = "reason"  # why it does not


@dataclass(frozen=True, slots=True)
class Query:
    """One SQL file."""

    entity: Entity
    path: str  #: the list that it fills, or `LEFT_OUT`; empty for an entity's own file
    sql: str
    where: str  #: its path, for people

    @property
    def file_name(self) -> str:
        """Its name without folders, for people."""
        return Path(self.where).name

    @property
    def reserved(self) -> frozenset[str]:
        """The aliases of this file that are never sent."""
        if self.path == LEFT_OUT:
            return frozenset({KEY[self.entity], REASON})
        if self.path:
            return frozenset({PARENT_KEY[self.entity], POSITION, CHANGED})
        return frozenset({CUSTOMER[self.entity], KEY[self.entity], CHANGED}) - {"id", "order__purchase_id"}

    @property
    def needed(self) -> tuple[str, ...]:
        """The aliases without which this file cannot be used at all."""
        if self.path == LEFT_OUT:
            return (KEY[self.entity], REASON)
        if self.path:
            return (PARENT_KEY[self.entity],)
        return tuple(dict.fromkeys((CUSTOMER[self.entity], KEY[self.entity])))


class Columns:
    """The aliases of one query as its database spells them, found in whatever case."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.lowered = tuple(name.lower() for name in names)
        self._spelled = dict(zip(self.lowered, self.names, strict=True))

    def index(self, alias: str) -> int:
        """Return the position of *alias* in a row, -1 if the query has none of that name."""
        return self.lowered.index(alias) if alias in self.lowered else -1

    def spelled(self, alias: str) -> str:
        """Return *alias* as the database spells it."""
        return self._spelled[alias]

    def has(self, *aliases: str) -> bool:
        """Whether the query has all of *aliases*."""
        return all(alias in self._spelled for alias in aliases)


def check_aliases(query: Query, columns: Sequence[str], *, newer_fields: bool = False) -> None:
    """
    Check that *columns*, the aliases of *query* as its database spells them, are in the contract.

    Raises `MappingError` with the alias and the nearest one that exists.
    """
    for fault in alias_faults(query, columns):
        raise fault
    for fault in _same_places(query, columns, newer_fields=newer_fields):
        raise fault


def alias_faults(query: Query, columns: Sequence[str]) -> Iterator[MappingError]:
    """Yield all that is wrong with *columns*, the aliases of *query* as they are spelled."""
    lowered = [column.lower() for column in columns]
    for needed in query.needed:
        if needed not in lowered:
            what = "why a row is left out" if needed == REASON else "the key that rows are found by"
            yield MappingError(query.where, f"has no column {needed!r}", f"add it: it is {what}")
    for column in dict.fromkeys(lowered):
        name, _, repeated = column.partition(":")  # SQLite calls the second of two equal aliases `id:1`
        if lowered.count(column) > 1 or (repeated.isdecimal() and name in lowered):
            yield MappingError(query.where, f"has the alias {name!r} twice", "keep one of them")
        elif column not in query.reserved and find(query, column) is None:
            known = sorted({*paths(root_of(query)), *query.reserved})
            like = nearest(column, known)
            hint = f"did you mean {like!r}?" if like else f"known are {', '.join(known[:12])} ..."
            yield MappingError(query.where, f"unknown alias {column!r}", hint)


def _same_places(query: Query, columns: Sequence[str], *, newer_fields: bool) -> Iterator[MappingError]:
    """Yield aliases that fill a key inside a value of a free object that another column gives."""
    lowered = [column.lower() for column in columns]
    for column in lowered:
        node, steps = root_of(query), column.split("__")
        while column not in query.reserved and len(steps) > 1:
            step, *steps = steps
            node = next(child for name, child in node.children.items() if name.lower() == step)
            if node.newer and not newer_fields:
                break
            if node.kind is Kind.FREE:
                for count in range(len(steps) - 1, 0, -1):
                    shorter = column.removesuffix("__" + "__".join(steps[count:]))
                    if shorter in lowered:
                        yield MappingError(
                            query.where, f"{shorter!r} and {column!r} fill the same place", "rename one of them"
                        )
                break


def root_of(query: Query) -> Node:
    """Return the part of the payload that a row of *query* fills: of what is left out, none."""
    if query.path == LEFT_OUT:
        return Node(LEFT_OUT, required=False, null_is_sent=False, newer=False)
    node = tree(query.entity)
    for step in filter(None, query.path.split("__")):
        child = node.children.get(step)
        if child is None:
            raise MappingError(
                query.where, f"no list {query.path!r} in the API's {query.entity}", _lists_hint(query.entity)
            )
        node = child
    if query.path:
        if node.item is None:
            raise MappingError(query.where, f"{query.path!r} is no list", _lists_hint(query.entity))
        return node.item
    return node


def find(query: Query, alias: str) -> Node | None:
    """Return the leaf, list or free object that *alias* leads to, in whatever case, or None."""
    node, steps = root_of(query), alias.split("__")
    if not all(steps):
        return None
    for step in steps:
        if node.kind is not None and node.kind.value == "free":
            return node
        child = next((c for name, c in node.children.items() if name.lower() == step.lower()), None)
        if child is None:
            return None
        node = child
    return None if node.children else node


def _lists_hint(entity: Entity) -> str:
    return f"lists are {', '.join(_lists(tree(entity)))}"


def _lists(node: Node, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, child in node.children.items():
        if child.item is not None:
            found.append(f"{prefix}{name}")
        found += _lists(child, f"{prefix}{name}__")
    return found
