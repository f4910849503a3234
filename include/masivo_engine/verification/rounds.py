"""
Reading the chosen customers, in rounds: what is not visible yet is read again later, after growing
pauses.

Who waits, how often they were read and when they are due is in the ledger, so a try that dies costs
at most the page it had in hand, and nothing is held in memory or in Airflow between two rounds.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.counts import batch_sent_at
from masivo_engine.ledger.encoding import kept
from masivo_engine.ledger.verification.pending import Sent, Waiting, later_by, settle, wait_on, waiting_in
from masivo_engine.model import ledger_capacity
from masivo_engine.model.rows import Entity
from masivo_engine.readback.evidence import Evidence, is_encoded
from masivo_engine.readback.purchase_counts import NOT_PASSED, Passed, Purchases, purchases_of
from masivo_engine.readback.shown import Api, NoReadsLeft, Shown
from masivo_engine.source.reader import Source
from masivo_engine.verification.customers import of_balances, of_fields
from masivo_engine.verification.differences import Bucket, Difference
from masivo_engine.verification.events import of_events, of_metrics
from masivo_engine.verification.expected import Expected, owed_to
from masivo_engine.verification.transactions import Compared, every_year, of_transactions, years_of


ROUNDS = 5

_PAGE = 200
_SHORTEST_PAUSE_S = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """
    The customers that one task reads: those who wait in the ledger's rows from *first* to *last*.
    """

    first: int
    last: int


@dataclass(slots=True)
class Result:
    """
    What one reading of one customer came to; *is_silent* where the API's answer said nothing, or
    what is missing is not proved to be. *not_shown* are records that it cannot show.
    """

    confirmed: list[Sent] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)
    is_silent: bool = False
    not_shown: list[Sent] = field(default_factory=list)
    may_be_late: bool = False

    @property
    def may_come(self) -> bool:
        """Whether the queue could still bring what is missing."""
        return self.is_silent or self.may_be_late or any(variance.bucket is Bucket.MISSING for variance in self.found)


class Rounds:
    """
    Reads parts of a read-back. *pause_s* is that after the first round, each following one is twice
    as long.
    """

    def __init__(
        self,
        ledger: Ledger,
        api: Api,
        legacies: Sequence[Source],
        *,
        pause_s: float,
        log: logging.Logger | Any,
        rounds: int = ROUNDS,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._legacies = legacies
        self._evidence = Evidence(ledger, api)
        self._controls: dict[tuple[Entity, int, bool], bool] = {}
        self._passed: dict[int, Mapping[bool, Passed]] = {}
        self._pause_s = pause_s
        self._log = log
        self._rounds = rounds

    def work_off(self, part: Part) -> datetime | None:
        """
        Read who is due in *part*, and return when somebody is due next (aware UTC); None where
        nobody is.

        Raises `TryAgainLater` where the API or a database cannot be read now.
        """
        due = [one for one in self._waiting(part) if one.due <= now()]
        for first in range(0, len(due), _PAGE):
            try:
                self._read(due[first : first + _PAGE])
            except NoReadsLeft:
                self._log.info("the reads of the day are used up")
                return None
        left = self._waiting(part)
        return min(one.due for one in left).replace(tzinfo=UTC) if left else None

    def _waiting(self, part: Part) -> list[Waiting]:
        """
        Return who is still to be read; of whom the last round brought no answer, that is left to
        another read-back.
        """
        return [one for one in waiting_in(self._ledger, part.first, part.last) if one.reads < self._rounds]

    def _read(self, page: Sequence[Waiting]) -> None:
        owed = owed_to(self._ledger, self._legacies, [one.customer for one in page])
        tally: Counter[str] = Counter()
        confirmed: list[Sent] = []
        not_shown: list[Sent] = []
        found: list[Mapping[str, Any]] = []
        done: list[int] = []
        again: dict[float, list[int]] = {}
        try:
            for one in page:
                is_last = one.reads + 1 >= self._rounds
                result = self._result(owed[one.customer], is_last=is_last)
                confirmed += result.confirmed
                not_shown += result.not_shown
                if result.may_come and not is_last:
                    again.setdefault(self._pause_after(one.reads), []).append(one.id)
                    tally["again"] += 1
                    continue
                if result.is_silent:
                    # What is not known is not wrong.
                    tally["unanswered"] += 1
                    found += [_row(one, variance) for variance in result.found]
                    again.setdefault(self._pause_after(one.reads), []).append(one.id)
                    continue
                done.append(one.id)
                tally["read"] += 1
                tally["differ"] += any(not variance.bucket.is_explained for variance in result.found)
                found += [_row(one, variance) for variance in result.found]
        finally:
            # Also where the reads ran out in the middle: what was read is paid for.
            settle(self._ledger, confirmed, found, done, not_shown=not_shown)
            for pause_s, ids in again.items():
                wait_on(self._ledger, ids, later_by(now(), pause_s))
            self._log.info(
                "%d customers read to the end, %d of them differ; %d are read again later; %d records confirmed, %d"
                " cannot be shown by the API",
                tally["read"],
                tally["differ"],
                tally["again"] + tally["unanswered"],
                len(confirmed),
                len(not_shown),
            )

    def _result(self, owed: Expected, *, is_last: bool) -> Result:
        result = self._compared(owed, is_last=is_last)
        if is_last:
            lacking = [one for one in result.found if self._is_unproven(owed, one)]
            result.found = [one for one in result.found if one not in lacking]
            result.is_silent |= bool(lacking)
        return result

    def _is_unproven(self, owed: Expected, variance: Difference) -> bool:
        """
        Whether something is not there, and nothing that was sent later is there either: then the
        queue may be late. A wallet that is empty is there.
        """
        if variance.bucket is not Bucket.MISSING or (variance.entity is Entity.CUSTOMERS and owed.is_there):
            return False
        batch = owed.batch_of(variance.entity, variance.key)
        return not self._has_control(variance.entity, batch, is_encoded(owed.customer))

    def _has_control(self, entity: Entity, batch: int, form: bool) -> bool:  # noqa: FBT001
        asked = entity, batch, form
        if asked not in self._controls:
            sent_at = batch_sent_at(self._ledger, batch)
            self._controls[asked] = form in self._evidence.controls(entity, batch, sent_at, {form})
        return self._controls[asked]

    def _queue_has_passed(self, theirs: Purchases | None, form: bool) -> Passed:  # noqa: FBT001
        passed = NOT_PASSED
        for one in theirs.requests if theirs is not None else ():
            if one.batch not in self._passed:
                self._passed[one.batch] = self._evidence.passed(one.batch, batch_sent_at(self._ledger, one.batch))
            passed = passed.at_least(self._passed[one.batch].get(form, NOT_PASSED))
        return passed

    def _compared(self, owed: Expected, *, is_last: bool) -> Result:
        shown = self._api.customer(owed.customer)
        if shown is None:
            return Result(is_silent=True)
        if not isinstance(shown, Shown):
            return Result(found=_nothing_there(owed))
        owed.is_there = True
        result = _of_customer(owed, shown)
        theirs = purchases_of(self._ledger, [owed.customer]).get(owed.customer) if owed.events else None
        passed = self._queue_has_passed(theirs, is_encoded(owed.customer)) if is_last else NOT_PASSED
        result = _with(result, of_events(owed, shown, theirs, passed))
        result.may_be_late = theirs is not None and not is_last and _may_show(owed, theirs, result)
        if not owed.transactions:
            return result
        compared = self._transactions(owed, is_last=is_last)
        if compared is None:
            result.is_silent = True
            return result
        return _with(result, compared)

    def _transactions(self, owed: Expected, *, is_last: bool) -> Compared | None:
        years = years_of(owed)
        movements = self._api.transactions(owed.customer, years)
        if movements is None:
            return None
        compared = of_transactions(owed, movements, self._ledger.digest)
        if is_last and any(variance.bucket is Bucket.MISSING for variance in compared.found):
            # The year may be that of another date than the one that was sent
            # (docs/api-facts.md#u24), or of a date that was moved.
            more = self._api.transactions(owed.customer, every_year() - years)
            if more is None:
                return None
            compared = of_transactions(owed, [*movements, *more], self._ledger.digest)
        return compared

    def _pause_after(self, reads: int) -> float:
        return float(self._pause_s * 2**reads)


def pause_of(settle_after_s: float) -> float:
    """Return the first pause, in seconds, of an account whose queue is given *settle_after_s*."""
    return max(settle_after_s, _SHORTEST_PAUSE_S) if settle_after_s else 0.0


def _of_customer(owed: Expected, shown: Shown) -> Result:
    found = [
        *of_fields(owed, shown),
        *of_balances(owed, shown, at=datetime.now(UTC)),
        *of_metrics(owed, shown),
    ]
    is_right = all(variance.bucket.is_explained for variance in found)
    return Result([owed.account.sent] if owed.account is not None and is_right else [], found)


def _with(result: Result, compared: Compared) -> Result:
    return Result(
        [*result.confirmed, *compared.confirmed],
        [*result.found, *compared.found],
        result.is_silent,
        [*result.not_shown, *compared.not_shown],
        result.may_be_late,
    )


def _may_show(owed: Expected, theirs: Purchases, result: Result) -> bool:
    """Whether the number of purchases could still show what is not confirmed yet."""
    confirmed = {sent.place for sent in result.confirmed if sent.entity is Entity.EVENTS}
    left = {one.sent.batch or 0 for one in owed.events if one.handle.get("p") and one.sent.place not in confirmed}
    return any(theirs.if_queued().can_tell(batch) for batch in left)


def _nothing_there(owed: Expected) -> list[Difference]:
    """Say that a customer is missing, and with it all it has."""
    everything = [*([owed.account] if owed.account is not None else []), *owed.events, *owed.transactions]
    return [
        Difference(one.sent.entity, one.key, Bucket.MISSING, one.sent.reward, f"{one.amount.normalize():f}")
        for one in everything
    ]


def _row(one: Waiting, variance: Difference) -> dict[str, Any]:
    said = asdict(variance) | {"entity": variance.entity.value, "bucket": variance.bucket.value}
    return said | {
        "run": one.run,
        "customer": one.customer,
        # What the API shows of its own may be longer than anything that was sent.
        "key": kept(variance.key, ledger_capacity.KEY),
        "reward": kept(variance.reward, ledger_capacity.REWARD),
        "expected": kept(variance.expected, ledger_capacity.SENTENCE),
        "found": kept(variance.found, ledger_capacity.SENTENCE),
    }
