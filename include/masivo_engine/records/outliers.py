"""
Outliers: records that are valid, but that the API may refuse all the same.

A refused batch costs a dozen requests, so outliers travel together and last. Then they hold nobody
up, and if the API takes them they cost nothing. Where this catches most of the bad rows, a run
needs two to three times fewer requests.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from masivo_engine.model.rows import Entity


_OLDEST = "1905"  # nobody older lives
_HUGE = 10_000_000
_HOUR_S = 3600
_MARGIN = timedelta(days=1)  # clocks and time zones differ; a day is no mistake
# When a record happened.
_MOMENTS = {
    Entity.CUSTOMERS: ("registration_date",),
    Entity.EVENTS: ("issued_at", "resolved_at"),
    Entity.TRANSACTIONS: ("issued_at", "resolved_at"),
}


def is_outlier(entity: Entity, body: Mapping[str, Any], points: Decimal) -> bool:
    """Whether a record is out of its time, worth nothing or worth too much."""
    values = {name: [body.get(name)] for name in ("dob", *_MOMENTS[entity])}
    values |= {f"order__{name}": [value] for name, value in body.get("order", {}).items()}
    (odd,) = are_outliers(entity, values, [points])
    return odd


def are_outliers(entity: Entity, values: Mapping[str, Sequence[Any]], points: Sequence[Decimal]) -> list[bool]:
    """
    Say the same of many records.

    *values* holds their payloads by path, one value per record. The result is undefined for records
    that lack a value.
    """
    end, nothing = _end_of(int(time.time() // _HOUR_S)), [None] * len(points)
    if entity is Entity.EVENTS:
        paid, prices = values.get("order__discounted_value", nothing), values.get("order__value", nothing)
        odd = [
            one is None or price is None or not 0 <= one <= price < _HUGE or not price
            for one, price in zip(paid, prices, strict=True)
        ]
    elif entity is Entity.TRANSACTIONS:
        odd = [not 0 < abs(amount) < _HUGE for amount in points]
    else:
        odd = [amount >= _HUGE for amount in points]
        lives = zip(values.get("dob", nothing), values.get("registration_date", nothing), strict=True)
        odd = [one or _is_born_oddly(*life) for one, life in zip(odd, lives, strict=True)]
    for name in _MOMENTS[entity]:
        moments = values.get(name, nothing)
        if max(filter(None, moments), default="") > end:
            odd = [one or (moment or "") > end for one, moment in zip(odd, moments, strict=True)]
    return odd


def _is_born_oddly(born: Any, registered: Any) -> bool:
    return bool(born) and not _OLDEST <= str(born)[:10] <= str(registered)[:10]


@lru_cache(maxsize=2)
def _end_of(hour: int) -> str:
    """Return the end of the last plausible day, in the *hour* since 1970, as ISO text."""
    return (datetime.fromtimestamp(hour * _HOUR_S, UTC) + _MARGIN).date().isoformat() + "T24"
