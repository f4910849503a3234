"""
The plan: what a run will read, in which slices, and what that costs on the lane.

It counts rows by customer in one pass of the legacy database per entity and writes the slices to the ledger, where the tasks find them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from include.journey import Entity, Limits
from include.ledger.store import Ledger
from include.legacy import Legacy
from include.packing import least_requests
from include.selection import Window
from include.slicing import slices


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run will do with one entity: counts only, fit for XCom."""

    entity: Entity
    rows: int
    slices: int
    requests: int
    hours: float

    def __str__(self) -> str:
        return (
            f"{self.entity}: {self.rows:,} rows in {self.slices} slices, at least {self.requests:,} requests "
            f"if all of them go, {hours(self.hours)} on the lane"
        )


def plan(ledger: Ledger, legacy: Legacy, run: int, window: Window, limits: Limits) -> Planned:
    """Count the rows of one entity in *window* and enter its slices."""
    by_size: Counter[int] = Counter()
    cut = slices(legacy.entity, _noted(legacy.counts(window), by_size), limits)
    ledger.plan_slices(run, legacy.entity, cut)
    rows = sum(part.rows for part in cut)
    requests = least_requests(legacy.entity, by_size.elements(), limits)
    return Planned(legacy.entity, rows, len(cut), requests, lane_hours(requests, limits))


def lane_hours(requests: int, limits: Limits) -> float:
    """Return the hours that *requests* take on the lane: the interval or the hourly cap, whichever is slower."""
    by_interval = requests * limits.interval_s / 3600
    by_cap = requests / limits.per_hour if limits.per_hour else 0.0
    return max(by_interval, by_cap)


def hours(value: float) -> str:
    """Write *value* hours for people."""
    minutes = round(value * 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


def _noted(counts: Iterable[tuple[Any, int]], by_size: Counter[int]) -> Iterator[tuple[Any, int]]:
    """Pass *counts* on and note in *by_size* how many customers have how many rows."""
    for customer, count in counts:
        if customer is not None:
            by_size[count] += 1
        yield customer, count
