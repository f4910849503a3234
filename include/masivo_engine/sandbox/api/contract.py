"""
What a body must look like, straight from the OpenAPI documents beside this file.

``openapi/events.yaml`` is the document that Masivo publishes (docs/api-facts.md#f-events), byte for
byte; the other two are written in its style from docs/api-facts.md#f-customers and
docs/api-facts.md#f-transactions. OpenAPI 3.0 is translated to JSON Schema on loading: ``nullable``
becomes a null type, ``minimum`` and ``maximum`` of an array (a slip of the published document,
docs/api-facts.md#f-arrays) become the item counts they mean, and an object with named properties
takes no others (docs/api-facts.md#u17: the stricter reading).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml


class Entity(StrEnum):
    """The three things that can be migrated."""

    CUSTOMERS = "customers"
    EVENTS = "events"
    TRANSACTIONS = "transactions"

    @property
    def path(self) -> str:
        """Where it is POSTed, below the base path."""
        return "/customers/migrate" if self is Entity.CUSTOMERS else f"/customers/migrate/{self}"


@dataclass(frozen=True, slots=True)
class Complaint:
    """
    One thing that is wrong with a body.

    *customer* and *item* are zero-based places in ``customers[]`` and in its list of events or
    transactions; ``None`` means the whole level above. *where* is the path below that, *problem*
    says what is wrong without showing the value.
    """

    customer: int | None
    item: int | None
    where: str
    problem: str


class Contract:
    """The contract of one entity's body. Thread-safe."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._validator = jsonschema_rs.validator_for(body_schema(entity), validate_formats=True)

    def complaints(self, body: Any) -> Iterator[Complaint]:
        """
        Yield what is wrong with *body*, nothing if it keeps the contract.

        :raises UnicodeEncodeError: a text holds half a surrogate pair, so it is no Unicode text at
            all.
        """
        # Asking first is three times quicker than collecting errors, and nearly every body is good.
        if self._validator.is_valid(body):
            return
        for error in self._validator.iter_errors(body):
            yield self._complaint(error)

    def _complaint(self, error: jsonschema_rs.ValidationError) -> Complaint:
        customer = item = None
        rest = list(error.instance_path)
        if len(rest) > 1:
            customer, rest = int(rest[1]), rest[2:]
            if self._entity is not Entity.CUSTOMERS and len(rest) > 1:
                item, rest = int(rest[1]), rest[2:]
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            return Complaint(customer, item, _dotted([*rest, error.kind.property]), "is missing")
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
            return Complaint(customer, item, _dotted([*rest, *error.kind.unexpected[:1]]), "is not a known field")
        return Complaint(customer, item, _dotted(rest), f"breaks the rule {error.schema_path[-1]!r}")


@cache
def contract_of(entity: Entity) -> Contract:
    """The contract of *entity*, compiled once."""
    return Contract(entity)


def body_schema(entity: Entity) -> dict[str, Any]:
    """The JSON Schema (2020-12) of *entity*'s request body."""
    document = yaml.safe_load((Path(__file__).parents[1] / "openapi" / f"{entity}.yaml").read_text(encoding="utf-8"))
    operation = document["paths"][entity.path]["post"]
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    schema: dict[str, Any] = _translated(body)
    schema["components"] = {
        "schemas": {name: _translated(part) for name, part in document["components"]["schemas"].items()}
    }
    return schema


def _translated(schema: dict[str, Any]) -> dict[str, Any]:
    result = {key: value for key, value in schema.items() if key not in {"nullable", "example"}}
    if result.get("type") == "array":
        for wrong, right in (("minimum", "minItems"), ("maximum", "maxItems")):
            if wrong in result:
                result[right] = result.pop(wrong)
    if "items" in result:
        result["items"] = _translated(result["items"])
    if "properties" in result:
        result["properties"] = {name: _translated(part) for name, part in result["properties"].items()}
        result["additionalProperties"] = False
    if schema.get("nullable"):
        result["type"] = [result["type"], "null"]
    return result


def _dotted(path: Iterable[str | int]) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
