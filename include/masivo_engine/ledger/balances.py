"""Points by reward as text, every digit kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal


def as_text(balance: Mapping[str, Decimal]) -> str:
    """Write *balance* as JSON, amounts as text."""
    return json.dumps({reward: str(amount) for reward, amount in sorted(balance.items())})


def as_balance(text: str | None) -> dict[str, Decimal]:
    """Read what `as_text` wrote; nothing is an empty balance."""
    return {reward: Decimal(amount) for reward, amount in json.loads(text or "{}").items()}
