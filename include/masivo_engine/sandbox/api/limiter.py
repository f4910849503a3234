"""
The account-wide migration limiter: so long from start to start, so many within an hour
(docs/api-facts.md#f-limits).

One bucket for all three endpoints (docs/api-facts.md#u12: the stricter reading). What is counted is
every request that it lets through, whatever becomes of it (docs/api-facts.md#u13); a 429 is not
counted, or an impatient client would never get in again.
"""

from __future__ import annotations

import math
import threading
from collections import defaultdict, deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ruling:
    """
    Whether a request may go on, the seconds until the next one may, and the headers that say so.
    """

    allowed: bool
    wait_s: float
    headers: tuple[tuple[str, str], ...]


class Limiter:
    """
    Rules over each start. Thread-safe; *interval_s* and *hour_s* are seconds of this machine, 0
    lifts a limit.

    Waits are told in whole seconds as the API does, with *fractions* to the millisecond (for
    compressed time).
    """

    def __init__(self, *, interval_s: float, per_hour: int, hour_s: float = 3600.0, fractions: bool = False) -> None:
        self._interval_s = interval_s
        self._per_hour = per_hour
        self._hour_s = hour_s
        self._fractions = fractions
        self._starts: defaultdict[str, deque[float]] = defaultdict(deque)
        self._lock = threading.Lock()

    def rule(self, account: str, started: float) -> Ruling:
        """
        Rule over a request of *account* that began at *started* (monotonic seconds), and count it
        if it may go on.
        """
        with self._lock:
            starts = self._starts[account]
            while starts and started - starts[0] >= self._hour_s:
                starts.popleft()
            allowed = self._wait_s(starts, started) <= 0
            if allowed:
                starts.append(started)
            wait_s = self._wait_s(starts, started)
            return Ruling(allowed, wait_s, self._headers(starts, wait_s, allowed=allowed))

    def seconds(self, value: float) -> str:
        """*value* as a header says it."""
        return f"{value:.3f}" if self._fractions else str(math.ceil(value))

    def _wait_s(self, starts: deque[float], now: float) -> float:
        wait = 0.0
        if starts and self._interval_s:
            wait = max(wait, starts[-1] + self._interval_s - now)
        if self._per_hour and len(starts) >= self._per_hour:
            wait = max(wait, starts[-self._per_hour] + self._hour_s - now)
        return wait

    def _headers(self, starts: deque[float], wait_s: float, *, allowed: bool) -> tuple[tuple[str, str], ...]:
        if self._per_hour:
            limit, remaining = self._per_hour, max(0, self._per_hour - len(starts))
        elif self._interval_s:
            limit, remaining = 1, 0
        else:
            return ()
        headers = (
            ("X-RateLimit-Limit", str(limit)),
            ("X-RateLimit-Remaining", str(remaining)),
            ("X-RateLimit-Reset", self.seconds(wait_s)),
        )
        return headers if allowed else (*headers, ("Retry-After", self.seconds(wait_s)))
