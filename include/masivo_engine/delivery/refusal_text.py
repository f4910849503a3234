"""
Whom a refusal names: the API says why it refused a batch in prose, and prose can be wrong.

The contract promises a sentence and nothing about its content (docs/api-facts.md#f-events,
``Error``; docs/api-facts.md#f-errors). So a name is a hint where to look first, and a verdict only
together with what the API does: see `masivo_engine.delivery.isolation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from masivo_engine.batching.units import Unit
from masivo_engine.model.rows import Entity


_SHORT = 4  # a shorter name may be any number of a sentence, unless it stands in quotes
_CUT_AT = 2_000  # what an `Answer` keeps; the last name of a longer text may be half of another one
_QUOTED = re.compile(r"(?<!\w)(?:'([^']+)'|\"([^\"]+)\"|`([^`]+)`)(?!\w)")
_EMAIL = re.compile(r"[^\s\"'`<>(),;:\[\]{}=]+@[^\s\"'`<>(),;:\[\]{}=]+")
_PLACE = re.compile(r"customers(?:\[|\.)(\d+)\]?(?:\.(?:events|transactions)(?:\[|\.)(\d+)\]?)?")


@dataclass(frozen=True, slots=True)
class Named:
    """
    The *parts* of a request that its refusal names: single units, or all units of a customer where
    only the customer is named.

    *is_plain* where they are named as one names a record: in quotes, by e-mail or by place; a bare
    word of the sentence may be a number that happens to be somebody's key.
    """

    parts: tuple[tuple[Unit, ...], ...] = ()
    is_plain: bool = False

    @property
    def units(self) -> list[Unit]:
        """All units that are named, or whose customer is."""
        return [unit for part in self.parts for unit in part]


def culprits(text: str, request: Sequence[Unit]) -> Named:
    """
    Return whom *text*, the refusal of exactly *request*, names. Nobody, where it names nobody or
    everybody.
    """
    said = sentences(text)
    plain = {name for groups in _QUOTED.findall(said) for name in groups if name}
    plain |= {email.strip(".").casefold() for email in _EMAIL.findall(said)}
    found = _parts(
        request, plain, {(int(customer), int(item) if item else None) for customer, item in _PLACE.findall(said)}
    )
    if found:
        return Named(found, is_plain=True)
    bare = {word.strip(".:") for word in re.split(r"[\s'\"`,;()<>]+", said)} | set(re.findall(r"[\w.+-]*\w", said))
    return Named(_parts(request, {word for word in bare if len(word) >= _SHORT}, set()))


def sentences(text: str) -> str:
    """
    Return what *text* says, a line for each sentence where it is JSON, and without its last word
    where it was cut off.
    """
    try:
        return "\n".join(_strings(orjson.loads(text)))
    except orjson.JSONDecodeError:
        return re.sub(r"[^\s,;]*\Z", "", text) if len(text) >= _CUT_AT else text


def names(unit: Unit) -> set[str]:
    """
    Return what *unit* may be called by: key, e-mail (in lower case), details; a customer's
    transactions also by the customer.
    """
    found = set()
    for record in unit:
        found.add(record.key)
        if record.email:
            found.add(record.email.casefold())
        if record.entity is Entity.TRANSACTIONS:
            found |= {record.customer, str(orjson.loads(record.body).get("details", ""))}
    return found - {""}


def _parts(
    request: Sequence[Unit], said: set[str], places: set[tuple[int, int | None]]
) -> tuple[tuple[Unit, ...], ...]:
    if not said and not places:
        return ()
    own: list[tuple[Unit, ...]] = []
    by_customer: dict[str, list[Unit]] = {}
    for unit, (customer, item) in zip(request, _places_of(request), strict=True):
        if said & names(unit) or (customer, item) in places:
            own.append((unit,))
        elif unit[0].customer in said or (customer, None) in places:
            by_customer.setdefault(unit[0].customer, []).append(unit)
    found = (*own, *map(tuple, by_customer.values()))
    return found if sum(len(part) for part in found) < len(request) else ()


def _strings(json: Any) -> Iterator[str]:
    if isinstance(json, str):
        yield json
    elif isinstance(json, dict | list):
        for value in json.values() if isinstance(json, dict) else json:
            yield from _strings(value)


def _places_of(request: Sequence[Unit]) -> Iterator[tuple[int, int | None]]:
    """
    Yield where each unit stands in its request: the customer's place, and the event's within it.
    """
    customers: dict[str, int] = {}
    items: dict[str, int] = {}
    for unit in request:
        customer = unit[0].customer
        place = customers.setdefault(customer, len(customers))
        if unit[0].entity is Entity.EVENTS:
            yield place, items.setdefault(customer, 0)
            items[customer] += 1
        else:
            yield place, None
