"""
A payload's tree of paths, which column aliases are looked up in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

import pytest
from annotated_types import MinLen
from pydantic import BaseModel

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import MODELS, Node, nearest, paths, tree
from masivo_engine.model.rows import Entity


def node_at(entity: Entity, path: str) -> Node:
    node = tree(entity)
    for step in path.split("__"):
        node = (node.item or node).children[step]
    return node


@pytest.mark.parametrize(
    ("entity", "path", "kind"),
    [
        (Entity.CUSTOMERS, "id", Kind.TEXT),
        (Entity.CUSTOMERS, "email", Kind.EMAIL),
        (Entity.CUSTOMERS, "dob", Kind.DAY),
        (Entity.CUSTOMERS, "metrics__lifetime__from", Kind.INSTANT),
        (Entity.CUSTOMERS, "metrics__this_year__tier_id", Kind.UUID),
        (Entity.CUSTOMERS, "metadata", Kind.FREE),
        (Entity.EVENTS, "fulfilled", Kind.FLAG),
        (Entity.EVENTS, "order__payment_method", Kind.CHOICE),
        (Entity.EVENTS, "order__products__amount", Kind.QUANTITY),
        (Entity.TRANSACTIONS, "amount", Kind.POINTS),
        (Entity.TRANSACTIONS, "event__order__value", Kind.MONEY),
    ],
)
def test_a_path_leads_to_the_kind_of_its_field(entity, path, kind):
    assert node_at(entity, path).kind is kind


@pytest.mark.parametrize("entity", Entity)
def test_every_node_is_a_leaf_an_object_or_a_list_and_only_one_of_them(entity):
    def check(node: Node) -> None:
        assert (node.kind is not None) + bool(node.children) + (node.item is not None) == 1
        for child in (node.item or node).children.values():
            check(child)

    check(tree(entity))


def test_only_what_is_required_and_nullable_is_sent_as_null():
    sent = {entity: [name for name, node in tree(entity).children.items() if node.null_is_sent] for entity in Entity}
    assert sent == {Entity.CUSTOMERS: [], Entity.EVENTS: ["brand_id", "resolved_at"], Entity.TRANSACTIONS: []}


def test_paths_end_at_leaves_and_lists():
    found = set(paths(tree(Entity.EVENTS)))
    assert {"issued_at", "order__purchase_id", "order__products", "order__shipping__redeem"} <= found
    assert not {"order", "order__shipping", "order__products__sku"} & found


def test_the_nearest_name_is_found_and_a_far_one_is_not():
    assert nearest("order__vlaue", paths(tree(Entity.EVENTS))) == "order__value"
    assert nearest("zzz", ["order__value"]) == ""


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """*model* and all models inside it."""
    yield model
    for info in model.model_fields.values():
        for inner in inside(info.annotation):
            yield from models(inner)


def inside(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from inside(argument)


@pytest.mark.parametrize("entity", Entity)
def test_the_rules_of_a_record_are_those_of_its_fields(entity):
    """
    A page is checked field by field (ADR 10).

    A rule over several fields would be passed over, and so would a list's greatest length.
    """
    for model in models(MODELS[entity]):
        rules = model.__pydantic_decorators__
        assert not {**rules.model_validators, **rules.field_validators, **rules.root_validators, **rules.validators}
        for info in model.model_fields.values():
            if get_origin(info.annotation) is list:
                assert {type(mark) for mark in info.metadata} <= {MinLen}
