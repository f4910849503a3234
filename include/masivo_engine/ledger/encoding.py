"""
How values are written down: what a row is worth, and a slice's bounds with their type, because a
database compares a key only with a value of its own type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from masivo_engine.model.rows import Entity, Record


def as_text(bound: Any) -> str | None:
    """Write *bound*, a customer key as the legacy database gives it; None is an open end."""
    match bound:
        case None:
            return None
        case bool() | int():
            return json.dumps(["int", str(int(bound))])
        case Decimal():
            return json.dumps(["decimal", str(bound)])
        case UUID():
            return json.dumps(["uuid", str(bound)])
        case bytes():
            return json.dumps(["bytes", bound.hex()])
        case _:
            return json.dumps(["text", str(bound)])


def as_bound(text: str | None) -> Any:
    """Read what `as_text` wrote."""
    if text is None:
        return None
    kind, value = json.loads(text)
    match kind:
        case "int":
            return int(value)
        case "decimal":
            return Decimal(value)
        case "uuid":
            return UUID(value)
        case "bytes":
            return bytes.fromhex(value)
        case _:
            return value


def worth_text(worth: Mapping[str, Decimal]) -> str | None:
    """Write points by reward as JSON, amounts as text; nothing is None."""
    return json.dumps({reward: str(amount) for reward, amount in sorted(worth.items())}) if worth else None


def as_worth(text: str | None) -> dict[str, Decimal]:
    """Read what `worth_text` wrote."""
    return {reward: Decimal(amount) for reward, amount in json.loads(text).items()} if text else {}


def worth_of(record: Record) -> str | None:
    """Write what *record* is worth: a customer's balance, or a transaction's points."""
    if record.entity is Entity.TRANSACTIONS:
        return f'{{"{record.reward}": "{record.points}"}}'
    return worth_text(record.balance) if record.balance else None


def kept(words: str, most: int) -> str:
    """Return *words* of somebody else as any database can store them."""
    return words.replace("\x00", "")[:most]
