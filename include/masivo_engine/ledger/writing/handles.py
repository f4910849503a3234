"""
What a read-back needs to know a record again, kept as it is sent: a doubt never depends on what the
row says today.

==============  ==================================================================================
entity          handle
==============  ==================================================================================
customers       ``n``: digest of the name; points and address have columns of their own
events          ``p``: whether it counts as a purchase; ``v``: what was spent
transactions    ``y``: the day it was issued; ``d``: digest of its ``details``; ``t``: whether
                these hold its key, so that they tell it from others
==============  ==================================================================================
"""

from __future__ import annotations

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
            return _written({"n": digest(name).hex()} if name else {})
        case Entity.EVENTS:
            order = payload.get("order")
            spent = order.get("discounted_value", order.get("value")) if isinstance(order, dict) else None
            return _written({"p": payload.get("type") == "PURCHASE", "v": str(spent or 0)})
        case _:
            text = str(payload.get("details") or "")
            day = str(payload.get("issued_at") or "")[:10]
            return _written({"y": day, "d": digest(text).hex(), "t": names(text, record.key)})


def _written(handle: dict[str, Any]) -> str:
    return orjson.dumps(handle).decode()


def as_handle(text: str | None) -> dict[str, Any]:
    """Read what `handle_of` wrote."""
    return orjson.loads(text) if text else {}


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
