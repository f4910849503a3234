"""
Batches that are ready before their turn: gathered, written down together, sent one after the other.

Writing down is what costs the ledger most. Keys come in no order, so each commit changes another
page of their index for nearly every row; batches that share a commit share those pages.

So batches are gathered for a moment that the lane does not notice. Where no interval keeps requests
apart, they are gathered for a second and a half, or until there are many. They wait no longer than
rows come. A slice that waits behind another one goes on reading and writing down. Its own turn
finds the requests ready, and two workers work at the same time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits


TOGETHER_BYTES = 8_000_000  # of bodies that share a commit
# Of bodies that a slice keeps while it waits. With their records they take up to three times as
# much.
MOST_BYTES = 24_000_000
# So long the lane may idle unnoticed, and others may wait for a ledger that has one writer at a
# time.
_PART_OF_INTERVAL = 0.02
# Without an interval. A slice that writes nothing for two seconds counts as silent, and the next
# one overtakes it (`masivo_engine.delivery.turn_order`).
_LONGEST_GATHERING_S = 1.5
_BETWEEN_LOOKS_S = 0.1


class Outbox:
    """
    The batches of one slice that are ready: gathered, written down, and given out in the same
    order.

    *pack*: writes batches down, in one commit.
    *is_behind*: says whether another slice goes first.
    """

    def __init__(
        self,
        pack: Callable[[Sequence[Batch]], None],
        is_behind: Callable[[], bool],
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pack = pack
        self._is_behind = is_behind
        self._gathering_s = _PART_OF_INTERVAL * limits.interval_s or _LONGEST_GATHERING_S
        self._clock = clock
        self._since = 0.0
        self._look_at = -math.inf
        self._gathered: list[Batch] = []
        self._packed: list[Batch] = []
        self._gathered_bytes = self._packed_bytes = 0

    def add(self, batches: Iterable[Batch]) -> None:
        """Take *batches* that are complete."""
        for batch in batches:
            if not self._gathered:
                self._since = self._clock()
            self._gathered.append(batch)
            self._gathered_bytes += len(batch.body)

    def due(self, *, is_idle: bool = False) -> Iterator[Batch]:
        """
        Yield what is to be sent now.

        That is nothing while more may be gathered, or while another slice goes first and there is
        room. Callers ask whenever batches are complete and after each page, even if it made none.

        *is_idle*: the next page is waited for, so there is nothing to gather.
        """
        if self._gathered and (is_idle or self._has_gathered()):
            self._write()
        if self._packed and (self._packed_bytes >= MOST_BYTES or self._is_next()):
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """Yield all that is ready."""
        self._write()
        packed, self._packed, self._packed_bytes = self._packed[::-1], [], 0
        while packed:
            yield packed.pop()

    def _has_gathered(self) -> bool:
        return self._gathered_bytes >= TOGETHER_BYTES or self._clock() - self._since >= self._gathering_s

    def _is_next(self) -> bool:
        if self._clock() < self._look_at:
            return False
        is_behind = self._is_behind()
        self._look_at = self._clock() + _BETWEEN_LOOKS_S if is_behind else -math.inf
        return not is_behind

    def _write(self) -> None:
        if self._gathered:
            self._pack(self._gathered)
            self._packed += self._gathered
            self._packed_bytes += self._gathered_bytes
            self._gathered, self._gathered_bytes = [], 0
