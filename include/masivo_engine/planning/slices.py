"""
Where to cut an entity into slices, so that no task runs for hours and hardly a request goes out
half full.

A slice ends between two customers. The last request of a slice is the one that is not full, so a
cut is made where the slice's rows fall just under a multiple of what a request carries: of 19,998
rows, 20 requests leave 2 places empty; of 19,010 it would be 990. For transactions a request is
planned with a little slack, because whole customers seldom fill it to the last place.

The counts are the plan's. Rows that are not sent in the end leave the last request of their slice
emptier, no more. Source: docs/benchmarks.md (whole customers).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice


MOST_SLICES = 500  # half of what Airflow maps at most (core.max_map_length is 1024)

# Measured on complete-journey (157,950 transactions of 2,469 customers in slices of 20 and 50
# requests): without slack up to 2.5 % more requests than the least possible, with one place in 1000
# always 0.6 %, with more than two in 1000 no better.
SLACK = 1000
LOOK_BACK = 4  # requests by which a slice may end earlier; never more than a fifth of it


def slices(entity: Entity, counts: Iterable[tuple[Any, int]], limits: Limits) -> list[Slice]:
    """
    Plan the slices of *entity* from *counts*: every customer once, in the database's order, with
    its number of rows.

    One pass, in which only the cuts are kept. A slice has at most ``slice_requests * records``
    rows, and as many as the lane takes in ``slice_s`` seconds, except where one customer alone has
    more, or where there would be more than `MOST_SLICES`: then neighbours become one. ``None`` for
    a customer stands for the rows without one: they belong to the first slice and are not sent, so
    they do not count against its size. No rows, no slices.
    """
    per_request = _rows_per_request(entity, limits)
    requests = _requests_per_slice(limits)
    most = rows_per_slice(entity, limits)
    look_back = min(LOOK_BACK, requests // 5)

    cuts: list[tuple[Any, int]] = []
    rows = without_customer = 0
    ends: dict[int, tuple[Any, int]] = {}
    for customer, count in counts:
        if customer is None:
            without_customer += count
            continue

        if not count:
            continue  # nobody to cut behind: a slice that ends here would leave none for the open end
        while rows and rows + count > most:
            ends[_ceil(rows, per_request)] = customer, rows
            cut = _fullest(ends, per_request, look_back)
            cuts.append(cut)
            rows -= cut[1]
            ends = {}
            if len(cuts) == MOST_SLICES:
                cuts = _joined(cuts)
                most *= 2
        if rows:
            ends[_ceil(rows, per_request)] = customer, rows
        rows += count

    return _between(entity, [*cuts, (None, rows)], without_customer) if rows or without_customer else []


def rows_per_slice(entity: Entity, limits: Limits) -> int:
    """Return how many rows a slice of *entity* may have."""
    return _rows_per_request(entity, limits) * _requests_per_slice(limits)


def _requests_per_slice(limits: Limits) -> int:
    seconds = max(limits.interval_s, 3600.0 / limits.per_hour if limits.per_hour else 0.0)
    by_time = int(limits.slice_s / seconds) if seconds else limits.slice_requests
    return max(1, min(limits.slice_requests, by_time))


def _rows_per_request(entity: Entity, limits: Limits) -> int:
    if entity is Entity.CUSTOMERS:
        return min(limits.records, limits.customers)
    if entity is Entity.TRANSACTIONS:
        return limits.records - limits.records // SLACK
    return limits.records


def _fullest(ends: dict[int, tuple[Any, int]], per_request: int, look_back: int) -> tuple[Any, int]:
    """
    Of *ends*, the last possible one by number of requests, give the one that leaves the fewest
    places empty.
    """
    longest = max(ends)
    requests = min(
        (number for number in ends if number >= longest - look_back),
        key=lambda number: (number * per_request - ends[number][1], -number),
    )
    return ends[requests]


def _joined(cuts: list[tuple[Any, int]]) -> list[tuple[Any, int]]:
    """Make one slice of every two; there is an even number of them."""
    return [(upper, rows + earlier) for (_, earlier), (upper, rows) in zip(cuts[::2], cuts[1::2], strict=True)]


def _between(entity: Entity, cuts: list[tuple[Any, int]], without_customer: int) -> list[Slice]:
    planned = []
    lower = None
    for number, (upper, rows) in enumerate(cuts, start=1):
        extra = without_customer if number == 1 else 0
        planned.append(Slice(entity, number, len(cuts), lower, upper, rows + extra))
        lower = upper
    return planned


def _ceil(rows: int, per_request: int) -> int:
    return -(-rows // per_request)
