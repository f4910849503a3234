"""
A payload model as a tree of paths, in which an alias such as ``order__shipping__value`` finds its
leaf.

The tree is read off the pydantic models, so a new field needs no second entry here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import MinLen
from pydantic import BaseModel, ConfigDict, TypeAdapter
from pydantic.fields import FieldInfo

from masivo_engine.contract.customers import Customer
from masivo_engine.contract.events import Event
from masivo_engine.contract.fields import Kind, Newer
from masivo_engine.contract.transactions import Transaction
from masivo_engine.model.rows import Entity


MODELS: dict[Entity, type[BaseModel]] = {
    Entity.CUSTOMERS: Customer,
    Entity.EVENTS: Event,
    Entity.TRANSACTIONS: Transaction,
}


@dataclass(frozen=True, slots=True)
class Node:
    """
    One place in a payload.

    It is exactly one of three: a leaf (*kind*), an object (*children*) or a list of objects
    (*item*).
    """

    name: str
    required: bool
    null_is_sent: bool  #: required and nullable
    newer: bool  #: see `Newer`
    kind: Kind | None = None
    children: dict[str, Node] = field(default_factory=dict)
    item: Node | None = None  #: one element of the list
    fewest: int = 0  #: elements that the list must have
    #: Checks many values for this leaf at once, by the rules of the models.
    several: TypeAdapter[list[Any]] | None = None


@cache
def tree(entity: Entity) -> Node:
    """Return the root of *entity*'s payload, the same one for every caller."""
    return _object(MODELS[entity], name="", required=True, newer=False)


def paths(node: Node, prefix: str = "") -> Iterator[str]:
    """Yield all aliases that lead from *node* to a leaf or a list, ``__`` between the steps."""
    for name, child in node.children.items():
        path = f"{prefix}{name}"
        if child.children:
            yield from paths(child, f"{path}__")
        else:
            yield path


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that looks most like *name*, or an empty text."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.5)), "")


def _object(model: type[BaseModel], *, name: str, required: bool, newer: bool) -> Node:
    children = {}
    for attribute, info in model.model_fields.items():
        key = info.alias or attribute
        metadata = list(info.metadata)
        children[key] = _node(key, info.annotation, metadata, required=info.is_required())
    return Node(name=name, required=required, null_is_sent=False, newer=newer, children=children)


def _node(name: str, annotation: Any, metadata: list[Any], *, required: bool) -> Node:
    annotation, nullable = _unwrap(annotation, metadata)
    newer = any(isinstance(mark, Newer) for mark in metadata)
    kind = next((mark for mark in metadata if isinstance(mark, Kind)), None)
    if kind is None and get_origin(annotation) is list:
        item = _object(get_args(annotation)[0], name=name, required=True, newer=False)
        several = _several(annotation, metadata)
        fewest = _fewest(metadata)
        return Node(name, required, null_is_sent=False, newer=newer, item=item, fewest=fewest, several=several)
    if kind is None and isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _object(annotation, name=name, required=required, newer=newer)
    several = _several(annotation, metadata)
    return Node(name, required, null_is_sent=required and nullable, newer=newer, kind=kind, several=several)


def _several(annotation: Any, metadata: list[Any]) -> TypeAdapter[list[Any]]:
    rules = [mark for mark in metadata if not isinstance(mark, Kind | Newer)]
    one: Any = Annotated[annotation, *rules] if rules else annotation
    # Built when it is used first. A mapping uses few of them, and building all took longer than the
    # rest of a task's start.
    return TypeAdapter(list[one], config=ConfigDict(strict=True, defer_build=True))


def _fewest(metadata: list[Any]) -> int:
    marks = [mark for found in metadata for mark in (found.metadata if isinstance(found, FieldInfo) else [found])]
    return max((mark.min_length for mark in marks if isinstance(mark, MinLen)), default=0)


def _unwrap(annotation: Any, metadata: list[Any]) -> tuple[Any, bool]:
    """Strip ``Annotated`` and ``| None``, collect the marks, and say whether None was allowed."""
    nullable = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *marks = get_args(annotation)
            metadata.extend(marks)
            continue
        if get_origin(annotation) in (Union, UnionType):
            options = [option for option in get_args(annotation) if option is not NoneType]
            nullable = nullable or NoneType in get_args(annotation)
            if len(options) == 1:
                annotation = options[0]
                continue
        return annotation, nullable
