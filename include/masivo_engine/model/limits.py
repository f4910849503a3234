"""What the account allows, how long is waited for it, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limits:
    """
    What the account's API allows, from its connection. Headers of a response only slow it down.

    Sources: docs/api-facts.md#f-caps and docs/api-facts.md#f-limits.
    """

    records: int = 1000  #: of one request
    customers: int = 1000  #: of one request
    body_bytes: int = 4_000_000  #: of one request; docs/api-facts.md#u14 has no number, this is a safe guess
    interval_s: float = 5.0  #: from the start of a request to the start of the next
    margin_s: float = 0.05  #: added to the interval
    per_hour: int = 1000  #: requests
    slice_requests: int = 50  #: that one slice is planned for
    isolation_per_hour: int = 600  #: requests of an hour that may take refused batches apart
    slice_s: float = 1200.0  #: of the lane that one slice is planned for
    lease_s: float = 180.0  #: a try that wrote nothing for so long counts as dead


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the API's queue, and how often to read; from the connection's extra."""

    settle_after_s: float = 180.0  #: before a read-back may say "not there"
    certain_after_s: float = 3600.0  #: where nothing that was sent later can serve as a control
    reads: int = 3  #: apart from each other, before "not there" counts


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
