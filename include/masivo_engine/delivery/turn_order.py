"""
Slices of one run that overlap, so that the lane never idles between them.

The next slice is claimed, read and packed while the one before it still sends; it takes its first
turn on the lane when that has nothing more to send. If both sent in turns they would also end
together, and the lane would wait for the next two to start.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from masivo_engine.delivery.sender import Turns
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.writing.leases import is_behind
from masivo_engine.model.limits import Limits
from masivo_engine.model.runs import Slice


# A slice that sends writes to the ledger twice in an interval; one that is silent longer is reading
# back, or dead.
_SILENT_INTERVALS, _SILENT_S = 3.0, 2.0
_LOOKS_PER_INTERVAL, _LONGEST_LOOK_S = 10.0, 0.5


class InOrder:
    """The lane for one slice: it gives turns only while no earlier slice of the run is sending."""

    def __init__(
        self,
        lane: Turns,
        ledger: Ledger,
        run: int,
        part: Slice,
        limits: Limits,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lane = lane
        self._ledger = ledger
        self._run = run
        self._part = part
        self._silent_s = max(_SILENT_INTERVALS * limits.interval_s, _SILENT_S)
        self._look_s = min(_LONGEST_LOOK_S, max(0.01, limits.interval_s / _LOOKS_PER_INTERVAL))
        self._sleep = sleep
        self._is_first = part.number == 1
        self.start = lane.start
        self.freeze = lane.freeze

    def turn(self) -> float:
        """
        Wait until earlier slices have nothing to send, then for a turn; return the seconds waited.
        """
        waited = 0.0
        while self.is_behind():
            self._sleep(self._look_s)
            waited += self._look_s
        return waited + self._lane.turn()

    def is_behind(self) -> bool:
        """Whether an earlier slice of the run is sending, so that this one has no turn yet."""
        return not self._is_first and is_behind(self._ledger, self._run, self._part, lively_s=self._silent_s)
