"""
Batches that are ready before their turn: gathered, written down together, and sent one after the other.

Writing down costs the ledger most, because keys come in no order: each commit changes another page of their index for nearly every row, and
batches that share a commit share those pages. So batches are gathered for a moment that the lane does not notice, or, where no interval
keeps requests apart, for a second or until there are many; and no longer than rows come. A slice that waits behind another one goes on
reading and writing down: its own turn finds the requests ready, and two workers work at the same time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits


# Of bodies: how many share a commit, and how many a slice that waits keeps. With the records that they are made of, it takes up to three times as much.
TOGETHER_BYTES, MOST_BYTES = 8_000_000, 24_000_000
# What the lane may idle without being noticed, and others may wait for a ledger that has one writer at a time.
_PART_OF_INTERVAL = 0.02
# Without an interval: a slice that writes nothing for two seconds counts as silent, and the next one overtakes it (`InOrder`).
_LONGEST_GATHERING_S = 1.5
_BETWEEN_LOOKS_S = 0.1


class Outbox:
    """
    What is ready of one slice: first gathered, then written down by *pack*, then given out in the same order to be sent.

    *is_behind* says whether another slice goes first.
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
        Give what is to be sent now: nothing while more may be gathered, or while there is room and another slice goes first.

        To be asked whenever batches are complete and after each page, also after one that made none; *is_idle* where the next page is
        waited for, so that there is nothing to gather.
        """
        if self._gathered and (is_idle or self._has_gathered()):
            self._write()
        if self._packed and (self._packed_bytes >= MOST_BYTES or self._is_next()):
            yield from self.rest()

    def rest(self) -> Iterator[Batch]:
        """Give all that is ready."""
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
