"""
Records that are valid and odd all the same: the API may know a reason to refuse them that its contract does not say.

A refused batch costs a dozen requests, so odd records travel together and last: then they keep nobody else up, and if the API takes
them they cost nothing (reverse_etl_anchors.md 1.3: two to three times fewer requests where a warning catches most of the bad rows).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from include.journey import Entity


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


def is_odd(entity: Entity, body: Mapping[str, Any], points: Decimal) -> bool:
    """Whether a record is of a kind that an API may well refuse: out of its time, worth nothing, or worth too much."""
    end = _end_of(int(time.time() // _HOUR_S))
    for name in _MOMENTS[entity]:
        moment = body.get(name)
        if moment is not None and moment > end:
            return True
    if entity is Entity.CUSTOMERS:
        return _is_born_oddly(body) or points >= _HUGE
    if entity is Entity.TRANSACTIONS:
        return not 0 < abs(points) < _HUGE
    order = body["order"]
    return not 0 <= order["discounted_value"] <= order["value"] < _HUGE or not order["value"]


def _is_born_oddly(body: Mapping[str, Any]) -> bool:
    born = body.get("dob")
    return bool(born) and not _OLDEST <= str(born)[:10] <= str(body["registration_date"])[:10]


@lru_cache(maxsize=2)
def _end_of(hour: int) -> str:
    """Return the end of the last plausible day, in the *hour* since 1970, as ISO text, which sorts like time: asked of every record, it changes once a day."""
    return (datetime.fromtimestamp(hour * _HOUR_S, UTC) + _MARGIN).date().isoformat() + "T24"
