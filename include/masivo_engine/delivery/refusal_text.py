"""
Whom a refusal names: the API says why it refused a batch in prose, and prose can be wrong.

The contract promises a sentence and nothing about its content (docs/api-facts.md#f-events,
``Error``; docs/api-facts.md#f-errors). So a name is a hint where to look first, and a verdict only
together with what the API does: see `masivo_engine.delivery.isolation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from masivo_engine.batching.units import Unit
from masivo_engine.model.rows import Entity


_SHORT = 4  # a shorter name may be any number of a sentence, unless it stands in quotes
_CUT_AT = 2_000  # what an `Answer` keeps; the last name of a longer text may be half of another one
_QUOTED = re.compile(r"(?<!\w)(?:'([^']+)'|\"([^\"]+)\"|`([^`]+)`)(?!\w)")
_EMAIL = re.compile(r"[^\s\"'`<>(),;:\[\]{}=]+@[^\s\"'`<>(),;:\[\]{}=]+")
_PLACE = re.compile(r"customers(?:\[|\.)(\d+)\]?(?:\.(?:events|transactions)(?:\[|\.)(\d+)\]?)?")


def culprits(text: str, request: Sequence[Unit]) -> list[Unit]:
    """
    Return the units that *text*, the refusal of exactly *request*, names, by themselves or by their
    customer. Nobody, where it names nobody or everybody.

    A record is named in quotes, by e-mail or by place; where none is, by a bare word of the
    sentence, which may also be a number that happens to be somebody's key.
    """
    said = sentences(text)
    plain = {name for groups in _QUOTED.findall(said) for name in groups if name}
    plain |= {email.strip(".").casefold() for email in _EMAIL.findall(said)}
    places = {(int(customer), int(item) if item else None) for customer, item in _PLACE.findall(said)}
    if found := _named(request, plain, places):
        return found
    bare = {word.strip(".:") for word in re.split(r"[\s'\"`,;()<>]+", said)} | set(re.findall(r"[\w.+-]*\w", said))
    return _named(request, {word for word in bare if len(word) >= _SHORT}, set())


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


def _named(request: Sequence[Unit], said: set[str], places: set[tuple[int, int | None]]) -> list[Unit]:
    found = [
        unit
        for unit, (customer, item) in zip(request, _places_of(request), strict=True)
        if said & (names(unit) | {unit[0].customer}) or places & {(customer, item), (customer, None)}
    ]
    return found if len(found) < len(request) else []


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
