"""
What a read-back needs to know a record again, kept as it is sent: a doubt never depends on what the
row says today.

==============  ==================================================================================
entity          handle
==============  ==================================================================================
customers       ``n``: digest of the name; ``m``: the lifetime's number of purchases, and what was
                spent; points and address have columns of their own
events          ``p``: whether it counts as a purchase; ``v``: what was spent; ``w``: before
                discounts, where that is another sum
transactions    ``y``: the day it was issued; ``d``: digest of its ``details``; ``t``: whether
                these hold its key, so that they tell it from others
==============  ==================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson

from masivo_engine.model.rows import Entity, Record


def handle_of(record: Record, digest: Callable[[str], bytes]) -> str:
    """Return the handle of *record*; *digest* is the ledger's, so that nothing personal is kept."""
    payload: dict[str, Any] = orjson.loads(record.body)
    match record.entity:
        case Entity.CUSTOMERS:
            name = str(payload.get("name") or "")
            return json.dumps(({"n": digest(name).hex()} if name else {}) | _counted(payload))
        case Entity.EVENTS:
            order = payload.get("order")
            worth = order.get("value") if isinstance(order, dict) else None
            spent = order.get("discounted_value", worth) if isinstance(order, dict) else None
            another = {"w": str(worth or 0)} if worth != spent else {}
            return json.dumps({"p": payload.get("type") == "PURCHASE", "v": str(spent or 0)} | another)
        case _:
            text = str(payload.get("details") or "")
            day = str(payload.get("issued_at") or "")[:10]
            return json.dumps({"y": day, "d": digest(text).hex(), "t": names(text, record.key)})


def _counted(payload: dict[str, Any]) -> dict[str, Any]:
    lifetime = (payload.get("metrics") or {}).get("lifetime") or {}
    number, spent = lifetime.get("number_of_purchases"), lifetime.get("spend_total")
    if number is None and spent is None:
        return {}
    return {"m": [int(number or 0), None if spent is None else str(spent)]}


def as_handle(text: str | None) -> dict[str, Any]:
    """Read what `handle_of` wrote."""
    return json.loads(text) if text else {}


def names(text: str, key: str) -> bool:
    """
    Whether *text* holds *key* as a word of its own; a text that several transactions have proves
    none of them.
    """
    start = text.find(key)
    while start >= 0:
        end = start + len(key)
        if not (_is_of_a_word(text[:start][-1:]) or _is_of_a_word(text[end : end + 1])):
            return True
        start = text.find(key, start + 1)
    return False


def _is_of_a_word(character: str) -> bool:
    return character.isalnum() or character == "_"
