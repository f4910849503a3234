"""
The payload models against the sandbox's OpenAPI documents, which know nothing of them: field by
field, and payload by payload with a validator that is not ours.

Where the two differ on purpose, the difference stands in a table here, with its reason. Everywhere
else they must agree.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_schema_validator import OAS30Validator, oas30_format_checker
from pydantic import BaseModel, ValidationError

from masivo_engine.contract.customers import Customer
from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node, tree
from masivo_engine.model.rows import Entity
from tests.include.contract.whole_requests import CustomersRequest, EventsRequest, TransactionsRequest


DOCUMENTS = Path(__file__).parents[3] / "include" / "masivo_engine" / "sandbox" / "openapi"
REQUESTS: dict[Entity, type[BaseModel]] = {
    Entity.CUSTOMERS: CustomersRequest,
    Entity.EVENTS: EventsRequest,
    Entity.TRANSACTIONS: TransactionsRequest,
}
ROOTS = {
    Entity.CUSTOMERS: "MigratedCustomer",
    Entity.EVENTS: "MigratedEvent",
    Entity.TRANSACTIONS: "MigratedTransaction",
}
PATHS = {entity: "/customers/migrate" + ("" if entity is Entity.CUSTOMERS else f"/{entity}") for entity in Entity}

TYPES = {
    Kind.TEXT: ("string", None),
    Kind.EMAIL: ("string", "email"),
    Kind.UUID: ("string", "uuid"),
    Kind.INSTANT: ("string", "date-time"),
    Kind.DAY: ("string", "date-time"),
    Kind.MONEY: ("number", None),
    Kind.POINTS: ("number", None),
    Kind.QUANTITY: ("number", None),
    Kind.FLAG: ("boolean", None),
    Kind.CHOICE: ("string", None),
    Kind.FREE: ("object", None),
}

# A device without a token is no device: nothing could be sent to it. The documents do not say.
REQUIRED_BY_US_ALONE = {"devices[].device_token"}


@cache
def document(entity: Entity) -> dict[str, Any]:
    return yaml.safe_load((DOCUMENTS / f"{entity}.yaml").read_text("utf-8"))


def resolved(schema: Any, schemas: dict[str, Any]) -> Any:
    """Put what ``$ref`` names in its place; the documents have no cycles."""
    if isinstance(schema, list):
        return [resolved(part, schemas) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return resolved(schemas[schema["$ref"].rsplit("/", 1)[1]], schemas)
    return {key: resolved(part, schemas) for key, part in schema.items()}


@cache
def body_schema(entity: Entity) -> dict[str, Any]:
    """
    Return the schema of the request body as it is meant.

    The published document writes minimum and maximum for arrays, a slip
    (docs/api-facts.md#f-arrays), and an object takes no unknown keys (docs/api-facts.md#u17). The
    validator is told both.
    """
    described = document(entity)
    operation = described["paths"][PATHS[entity]]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    return meant(resolved(body, described["components"]["schemas"]))


def meant(schema: Any) -> Any:
    if isinstance(schema, list):
        return [meant(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: meant(part) for key, part in schema.items()}
    if found.get("type") == "array":
        for wrong, right in (("minimum", "minItems"), ("maximum", "maxItems")):
            if wrong in found:
                found[right] = found.pop(wrong)
    if found.get("type") == "object" and isinstance(found.get("properties"), dict):
        found["additionalProperties"] = False
    return found


VALIDATORS = {entity: OAS30Validator(body_schema(entity), format_checker=oas30_format_checker) for entity in Entity}


def described_fields(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Yield path, schema and whether it is required of every field, in lists ``path[].field``."""
    for name, part in schema["properties"].items():
        path = f"{prefix}{name}"
        yield path, part, name in schema.get("required", ())
        if part.get("type") == "array":
            yield from described_fields(part["items"], f"{path}[].")
        elif "properties" in part:
            yield from described_fields(part, f"{path}.")


def our_fields(node: Node, prefix: str = "") -> Iterator[tuple[str, Node]]:
    for name, child in node.children.items():
        path = f"{prefix}{name}"
        yield path, child
        yield from our_fields(child.item, f"{path}[].") if child.item else our_fields(child, f"{path}.")


@cache
def fields_of(entity: Entity) -> dict[str, tuple[dict[str, Any], bool]]:
    described = document(entity)
    root = resolved(described["components"]["schemas"][ROOTS[entity]], described["components"]["schemas"])
    return {path: (schema, required) for path, schema, required in described_fields(root)}


FIELDS = [(entity, path) for entity in Entity for path in fields_of(entity)]


@pytest.mark.parametrize("entity", Entity)
def test_the_models_have_the_fields_of_the_documents_and_no_others(entity):
    assert {path for path, _ in our_fields(tree(entity))} == set(fields_of(entity))


@pytest.mark.parametrize(("entity", "path"), FIELDS)
def test_a_field_has_the_type_and_format_of_the_documents_and_is_required_as_they_say(entity, path):
    schema, required = fields_of(entity)[path]
    node = dict(our_fields(tree(entity)))[path]

    if node.item is not None:
        assert schema["type"] == "array"
    elif node.kind is None:
        assert schema["type"] == "object"
        assert "properties" in schema
    else:
        assert (schema["type"], schema.get("format")) == TYPES[node.kind]
        assert ("enum" in schema) is (node.kind is Kind.CHOICE)
        assert "properties" not in schema
    assert node.required is (required or path in REQUIRED_BY_US_ALONE)
    assert node.null_is_sent is (required and schema.get("nullable", False))


@pytest.mark.parametrize("entity", Entity)
def test_only_what_newer_documentation_added_is_off_at_first(entity):
    newer = {path for path, node in our_fields(tree(entity)) if node.newer}
    periods = {path.partition(".")[2].partition(".")[0] for path in newer if path.endswith(".last_session")}
    if entity is Entity.CUSTOMERS:
        assert len(periods) == 9
        newer -= {f"metrics.{period}.last_session" for period in periods}
        assert newer == {"document_type", "document_number", "country"}
    else:
        assert newer == set()


# A body with every field that there is, so that each can be taken away, nulled or spoilt.

_REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
_MOMENT = "2023-11-07T05:31:56.000Z"


def full(schema: dict[str, Any]) -> Any:
    """Return a value of *schema* that has every field, in the forms that we send."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "object":
            return {name: full(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [full(schema["items"])]
        case "number":
            return 20.95
        case "boolean":
            return True
        case _:
            return {"email": "jsmith@example.com", "uuid": _REWARD, "date-time": _MOMENT}.get(
                schema.get("format"), "text"
            )


BODIES = {entity: full(body_schema(entity)) for entity in Entity}


def steps(schema: dict[str, Any], way: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the way to every field of a full body."""
    if schema["type"] == "array":
        yield from steps(schema["items"], (*way, 0))
    for name, part in schema.get("properties", {}).items():
        yield (*way, name)
        yield from steps(part, (*way, name))


WAYS = [(entity, way) for entity in Entity for way in steps(body_schema(entity))]
_REMOVED = object()


def changed(entity: Entity, way: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """Return the full body of *entity* with *value* at *way*, or without anything there."""
    body = copy.deepcopy(BODIES[entity])
    place = body
    for step in way[:-1]:
        place = place[step]
    if value is _REMOVED:
        del place[way[-1]]
    else:
        place[way[-1]] = value
    return body


def we_accept(entity: Entity, body: Any) -> bool:
    try:
        REQUESTS[entity].model_validate(body)
    except ValidationError:
        return False
    return True


def they_accept(entity: Entity, body: Any) -> bool:
    return VALIDATORS[entity].is_valid(body)


def dotted(way: tuple[str | int, ...]) -> str:
    return ".".join("[]" if isinstance(step, int) else step for step in way).replace(".[]", "[]")


@pytest.mark.parametrize("entity", Entity)
def test_a_body_with_every_field_is_accepted_by_both(entity):
    assert they_accept(entity, BODIES[entity])
    assert we_accept(entity, BODIES[entity])


@pytest.mark.parametrize(
    ("entity", "way"), WAYS, ids=lambda part: dotted(part) if isinstance(part, tuple) else str(part)
)
def test_a_field_may_be_absent_where_the_documents_allow_it(entity, way):
    body = changed(entity, way, _REMOVED)
    ours_alone = dotted(way).removeprefix("customers[].") in REQUIRED_BY_US_ALONE
    assert we_accept(entity, body) is (they_accept(entity, body) and not ours_alone)


@pytest.mark.parametrize(
    ("entity", "way"), WAYS, ids=lambda part: dotted(part) if isinstance(part, tuple) else str(part)
)
def test_a_field_may_be_null_where_the_documents_allow_it(entity, way):
    body = changed(entity, way, None)
    assert we_accept(entity, body) is they_accept(entity, body)


@pytest.mark.parametrize("field", ["brand_id", "resolved_at"])
def test_brand_and_resolution_of_an_event_are_sent_even_if_they_are_null(field):
    way = ("customers", 0, "events", 0, field)
    for accepts in (we_accept, they_accept):
        assert accepts(Entity.EVENTS, changed(Entity.EVENTS, way, None))
        assert not accepts(Entity.EVENTS, changed(Entity.EVENTS, way, _REMOVED))


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.text(max_size=5),
    st.sampled_from(
        ["MALE", "CASH", "EXPIRATION", "male", _REWARD, _REWARD.upper(), _REWARD.replace("-", ""), "a@b.example"]
    ),
    st.sampled_from(
        [_MOMENT, "2023-11-07", "2023-11-07T05:31:56", "2023-13-07T05:31:56.000Z", "2023-11-07T25:31:56.000Z"]
    ),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.sampled_from(["id", "unknown", "sku"]), st.integers(), max_size=2),
)


def stricter(schema: dict[str, Any], value: Any) -> bool:
    """
    Whether we refuse *value* although *schema* allows it, on purpose.

    * An empty text is no name, key or code, so an empty column is left out instead.
    * An e-mail address needs a domain with a dot: the documents' format is any text with an @.
    * A point in time has exactly the form that the API's examples have, and we always send that.
    """
    if not isinstance(value, str):
        return False
    return schema["format"] in {"date-time", "email"} if "format" in schema else not value


def schema_at(entity: Entity, way: tuple[str | int, ...]) -> dict[str, Any]:
    schema = body_schema(entity)
    for step in way:
        schema = schema["items"] if isinstance(step, int) else schema["properties"][step]
    return schema


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(WAYS), value=VALUES)
def test_any_value_in_any_field_is_judged_as_the_documents_judge_it(place, value):
    entity, way = place
    body = changed(entity, way, value)
    ours, theirs = we_accept(entity, body), they_accept(entity, body)
    assert theirs or not ours, "what we send must keep the contract"
    if theirs and not ours:
        is_cap = way[-1] in {"events", "transactions"} and value == []  # at least one (guide)
        assert is_cap or stricter(schema_at(entity, way), value)


@settings(max_examples=100)
@given(entity=st.sampled_from(list(Entity)), name=st.text(min_size=1, max_size=8), data=st.data())
def test_an_unknown_field_is_refused_at_every_level(entity, name, data):
    objects = [
        way for kind, way in WAYS if kind is entity and isinstance(schema_at(entity, way).get("properties"), dict)
    ]
    way = data.draw(st.sampled_from(objects))
    known = schema_at(entity, way)["properties"]
    if name not in known:
        body = changed(entity, (*way, name), "text")
        assert not we_accept(entity, body)
        assert not they_accept(entity, body)


@pytest.mark.parametrize("entity", Entity)
@pytest.mark.parametrize(("count", "fits"), [(0, False), (1, True), (1000, True), (1001, False)])
def test_a_request_names_1_to_1000_customers(entity, count, fits):
    (customer,) = BODIES[entity]["customers"]
    body = {"customers": [customer] * count}
    assert we_accept(entity, body) is fits
    assert they_accept(entity, body) is fits


@pytest.mark.parametrize(("entity", "children"), [(Entity.EVENTS, "events"), (Entity.TRANSACTIONS, "transactions")])
@pytest.mark.parametrize(
    ("counts", "fits"), [((0,), False), ((1, 0), False), ((1000,), True), ((600, 400), True), ((600, 401), False)]
)
def test_a_request_has_1_event_of_each_customer_and_1000_in_all(entity, children, counts, fits):
    """The guide's rule, which no schema can say: the documents allow any number."""
    (child,) = BODIES[entity]["customers"][0][children]
    body = {"customers": [{"id": str(number), children: [child] * count} for number, count in enumerate(counts)]}
    assert we_accept(entity, body) is fits
    assert they_accept(entity, body)


def test_an_order_has_at_least_one_product():
    body = changed(Entity.EVENTS, ("customers", 0, "events", 0, "order", "products"), [])
    assert not we_accept(Entity.EVENTS, body)
    assert not they_accept(Entity.EVENTS, body)


def test_a_customer_may_have_no_points_at_all():
    body = changed(Entity.CUSTOMERS, ("customers", 0, "balance"), [])
    assert we_accept(Entity.CUSTOMERS, body)
    assert they_accept(Entity.CUSTOMERS, body)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_number_is_finite(value):
    assert not we_accept(Entity.EVENTS, changed(Entity.EVENTS, ("customers", 0, "events", 0, "order", "value"), value))


@pytest.mark.parametrize(
    ("email", "fits"),
    [
        ("jsmith@example.com", True),
        ("o'neil+shop@sub.example.co", True),
        ("a" * 64 + "@example.com", True),
        ("a" * 65 + "@example.com", False),
        ("jsmith@localhost", False),
        ("jsmith@example..com", False),
        ("jsmith@-example.com", False),
        ("js mith@example.com", False),
        ("jsmith@example.com\n", False),
        ("josé@example.com", False),
        ("@example.com", False),
        ("jsmith", False),
    ],
)
def test_an_email_address_is_one_that_mail_can_reach(email, fits):
    assert we_accept(Entity.CUSTOMERS, changed(Entity.CUSTOMERS, ("customers", 0, "email"), email)) is fits


@pytest.mark.parametrize(
    "written",
    ["2023-11-07T05:31:56Z", "2023-11-07T05:31:56.000+00:00", "2023-11-07 05:31:56.000Z", "٢٠٢٣-11-07T05:31:56.000Z"],
)
def test_a_point_in_time_is_sent_in_one_form_only(written):
    assert not we_accept(Entity.CUSTOMERS, changed(Entity.CUSTOMERS, ("customers", 0, "registration_date"), written))


def test_a_day_that_its_month_does_not_have_is_the_one_thing_that_only_the_readers_refuse():
    """The models look at the form alone. What is sent is written from real dates (test_values)."""
    body = changed(Entity.CUSTOMERS, ("customers", 0, "registration_date"), "2023-02-30T05:31:56.000Z")
    assert we_accept(Entity.CUSTOMERS, body)
    assert not they_accept(Entity.CUSTOMERS, body)


def test_a_key_is_as_long_as_every_database_can_index():
    assert we_accept(Entity.CUSTOMERS, changed(Entity.CUSTOMERS, ("customers", 0, "id"), "x" * 191))
    assert not we_accept(Entity.CUSTOMERS, changed(Entity.CUSTOMERS, ("customers", 0, "id"), "x" * 192))


def test_a_model_keeps_what_it_was_given():
    payload = BODIES[Entity.CUSTOMERS]["customers"][0]
    assert Customer.model_validate(payload).model_dump(by_alias=True, exclude_unset=True) == payload
