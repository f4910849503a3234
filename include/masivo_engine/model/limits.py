"""What the account allows, how long is waited for it, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the account's API allows, from its connection; a response's headers may only slow it.

    A slice takes at most *slice_requests* and *slice_s* seconds of the lane; a try that wrote
    nothing for *lease_s* counts as dead. *isolation_per_hour* is how many of an hour's requests may
    go into taking refused batches apart. Sources: docs/api-facts.md#f-caps and
    docs/api-facts.md#f-limits; *body_bytes* is docs/api-facts.md#u14's safe guess. Times are
    seconds, from start to start.
    """

    records: int = 1000
    customers: int = 1000
    body_bytes: int = 4_000_000
    interval_s: float = 5.0
    margin_s: float = 0.05
    per_hour: int = 1000
    slice_requests: int = 50
    isolation_per_hour: int = 600
    slice_s: float = 1200.0
    lease_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Patience:
    """
    How long to wait for the queue, in seconds, and how often to read; from the connection's extra.
    """

    settle_after_s: float = 180.0
    certain_after_s: float = 3600.0
    reads: int = 3


HOUR_S = 3600.0


def lane_hours(requests: int, limits: Limits) -> float:
    """
    Return the hours that *requests* take on the lane: the interval with its margin, or the hourly
    cap, whichever is slower.
    """
    apart = limits.interval_s + limits.margin_s if limits.interval_s else 0.0
    by_interval = requests * apart / 3600
    by_cap = requests / limits.per_hour if limits.per_hour else 0.0
    return max(by_interval, by_cap)


def hours(value: float) -> str:
    """Write *value* hours for people."""
    minutes = round(value * 60)
    if minutes < 1:
        return "under a minute"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min"


class Log(Protocol):
    """A logger: the standard library's, or the one that Airflow gives a task."""

    def info(self, message: str, /, *values: object) -> object:
        """Write one line."""
