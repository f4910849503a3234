"""
Settling doubt: did what was sent without a usable answer arrive?

What is proved is said by `masivo_engine.readback.evidence`; here is when it is asked: after
`Patience.settle_after_s`, some times, and nothing is called absent before the last time.

Transactions of which a person says that they have not arrived need no control: the last ones of all
have nothing behind them. They are read in all years all the same, after `Patience.certain_after_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby

from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.limits import Patience
from masivo_engine.model.rows import Entity
from masivo_engine.readback.doubt import Doubt, Finding
from masivo_engine.readback.evidence import Evidence, is_encoded
from masivo_engine.readback.purchase_counts import Passed
from masivo_engine.readback.shown import Reader


class Settler:
    """Settles the doubts of one entity."""

    def __init__(
        self,
        ledger: Ledger,
        reader: Reader,
        entity: Entity,
        patience: Patience,
        *,
        sleep: Callable[[float], None] = time.sleep,
        is_said_lost: bool = False,
    ) -> None:
        self._is_said_lost = is_said_lost and entity is Entity.TRANSACTIONS
        self._ledger = ledger
        self._evidence = Evidence(ledger, reader)
        self._entity = entity
        self._patience = patience
        self._sleep = sleep

    def settle(self, doubts: Sequence[Doubt]) -> dict[str, Finding]:
        """Return what can be proved of each of *doubts*, by place. Waits for the queue first."""
        findings = dict.fromkeys((doubt.place for doubt in doubts), Finding.UNPROVEN)
        open_batches = _by_batch(doubts)
        for number in range(self._patience.reads if open_batches else 0):
            self._sleep(
                self._wait_s(open_batches) if number == 0 else self._patience.settle_after_s / self._patience.reads
            )
            is_last = number == self._patience.reads - 1
            for members in open_batches:
                findings |= self._read(members, is_last=is_last)
            open_batches = _by_batch(
                doubt for members in open_batches for doubt in members if findings[doubt.place] is Finding.UNPROVEN
            )
            if not open_batches:
                break
        return findings

    def _wait_s(self, batches: Iterable[Sequence[Doubt]]) -> float:
        youngest = max((members[0].sent_at for members in batches), default=None)
        return 0.0 if youngest is None else max(0.0, self._patience.settle_after_s - self._age_s(youngest))

    def _age_s(self, moment: datetime) -> float:
        return (self._ledger.moment() - moment).total_seconds()

    def _read(self, doubts: Sequence[Doubt], *, is_last: bool) -> dict[str, Finding]:
        """
        Read the records of one batch; nothing that is not visible is called absent before the last
        read, nor what is there and not equal: it may still come.
        """
        passed, controls = self._later(doubts) if is_last else ({}, set[bool]())
        looks = self._evidence.looks(doubts, passed)
        findings: dict[str, Finding] = {}
        for doubt in doubts:
            look = looks[doubt.place]
            is_final = look is Finding.PRESENT or (look is Finding.DIFFERS and is_last)
            if look is not None and (is_final or (look is Finding.ABSENT and is_encoded(doubt.customer) in controls)):
                findings[doubt.place] = look
        return findings

    def _later(self, doubts: Sequence[Doubt]) -> tuple[Mapping[bool, Passed], set[bool]]:
        """Return how far the queue has come, and for which forms of address there is a control."""
        first, forms = doubts[0], {is_encoded(doubt.customer) for doubt in doubts}
        if self._entity is Entity.EVENTS:
            passed = self._evidence.passed(first.batch, first.sent_at)
            return passed, set(passed)
        if self._is_said_lost and self._age_s(first.sent_at) >= self._patience.certain_after_s:
            return {}, forms
        return {}, self._evidence.controls(self._entity, first.batch, first.sent_at, forms)


def _by_batch(doubts: Iterable[Doubt]) -> list[list[Doubt]]:
    def of(doubt: Doubt) -> tuple[int, datetime]:
        return doubt.batch, doubt.sent_at

    return [list(members) for _, members in groupby(sorted(doubts, key=of), key=of)]
