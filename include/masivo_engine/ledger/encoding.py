"""
A slice's bounds as text, with their type, because a database compares a key only with a value of
its own type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID


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


def balance_text(balance: Mapping[str, Decimal]) -> str:
    """Write *balance* as JSON, amounts as text."""
    return json.dumps({reward: str(amount) for reward, amount in sorted(balance.items())})


def as_balance(text: str | None) -> dict[str, Decimal]:
    """Read what `balance_text` wrote; nothing is an empty balance."""
    return {reward: Decimal(amount) for reward, amount in json.loads(text or "{}").items()}
