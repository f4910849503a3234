"""
A batch from its turn on the lane to its receipt in the ledger.

The order is the promise: packed, turn, *being sent* committed, POST, receipt. A process that dies
anywhere leaves either a batch that was provably not sent, or one that the next try calls in doubt.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.crash_points import crash_point
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.model.answers import (
    Answer,
    Verdict,
    counts_fewer,
    may_be_about_content,
    retry_after_s,
    verdict,
    words,
)
from masivo_engine.model.batches import Batch, BatchState, Purpose, Receipt
from masivo_engine.model.errors import Fenced, MigrationError, Misconfigured, Stopped, TryAgainLater
from masivo_engine.model.limits import Limits, Log
from masivo_engine.model.rows import Entity


# Tries of one batch that the API did not accept, before Airflow is asked to come back later.
_TRIES = 6
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 2.0, 60.0
# A try that was paused for so long between its last write and its POST may have been taken for dead
# meanwhile, and its batch read back; the POST's own deadline comes on top, and both must be over
# before a read-back proves anything (`latest_arrival_s`, `Patience.settle_after_s`).
_LONGEST_PAUSE_BEFORE_POST_S = 20.0
# A longer freeze, or many that add up to it, is waited for outside: a sleeping task would hold a
# worker's slot.
_LONGEST_FREEZE_S = 600.0

_STATES = {Verdict.ACCEPTED: BatchState.DELIVERED, Verdict.REFUSED: BatchState.REFUSED}


class Turns(Protocol):
    """What sending needs of a lane."""

    def turn(self) -> float:
        """Wait for a turn and return the seconds waited."""

    def start(self) -> bool:
        """
        Start now, or as soon as the last start is long enough ago; False where that is too long,
        and another turn is needed.
        """

    def freeze(self, seconds: float, *, too_fast: bool) -> None:
        """Let nobody send for *seconds*."""


class Sender(Protocol):
    """Sends one request to the API. Implemented by `MasivoHook`."""

    def authorize(self) -> None:
        """Make sure of a token; raises `Misconfigured`, `Stopped` or `TryAgainLater`."""

    def post(self, entity: Entity, body: bytes) -> Answer:
        """POST *body* to *entity*'s migrate endpoint, once, and never raise for what comes back."""

    def is_answered(self) -> bool:
        """Whether the API answers a GET, so that address and key are right."""


@dataclass(slots=True)
class Progress:
    """How far a slice is, for the log line of each batch."""

    slice_of: str
    expected_batches: int
    interval_s: float

    def left(self, number: int) -> str:
        """Say how much longer the slice takes if every batch takes one turn."""
        seconds = max(0, self.expected_batches - number) * self.interval_s
        minutes, seconds = divmod(round(seconds), 60)
        return f"{minutes} min {seconds:02} s left" if minutes else f"{seconds} s left"


class Sending:
    """Sends the batches of one slice, one after the other."""

    def __init__(
        self,
        writer: SliceLedger,
        sender: Sender,
        lane: Turns,
        limits: Limits,
        *,
        progress: Progress,
        log: Log,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._writer = writer
        self._sender = sender
        self._lane = lane
        self._limits = limits
        self._progress = progress
        self._log = log
        self._sleep = sleep
        self._asked_s = 0.0
        self._at_hand: int | None = None

    @contextmanager
    def giving_back(self) -> Iterator[None]:
        """Give back what is written down and was not sent, when the block fails."""
        try:
            yield
        except Fenced:
            raise  # another try has settled all that
        except Exception:
            with suppress(SQLAlchemyError, Fenced):  # the next try settles it as well
                self._give_back("run_stopped")
            raise

    def send(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> tuple[int, Answer]:
        """
        Send *batch* until the API has decided about it, and enter the receipt; return its number in
        the ledger and the deciding answer.

        Raises `TryAgainLater` or `Stopped` with the batch given back, or in doubt where the answer
        may be a yes in words that the contract does not have; no record is lost by either.
        """
        batch_id = self._writer.pack(batch, purpose)
        self._at_hand = batch_id
        crash_point("packed")
        tries, self._asked_s = 0, 0.0
        while True:
            answer = self._post(batch_id, batch)
            crash_point("answered")
            self._report(batch, answer)
            if verdict(answer) is not Verdict.TRY_AGAIN:
                break
            self._writer.mark_not_sent(batch_id, status=answer.status, words=words(answer))
            tries += answer.status != 429
            self._wait_or_give_up(answer, tries)
        self._enter(batch_id, answer, purpose)
        self._at_hand = None
        crash_point("received")
        return batch_id, answer

    def _post(self, batch_id: int, batch: Batch) -> Answer:
        while True:
            self._take_turn()
            crash_point("turn_taken")
            self._authorize()
            began = time.monotonic()
            self._writer.mark_sending(batch_id)
            crash_point("sending")
            self._raise_high_water(batch_id)
            if self._lane.start() and time.monotonic() - began < _LONGEST_PAUSE_BEFORE_POST_S:
                return self._understood(batch, self._sender.post(batch.entity, batch.body))
            # Raises `Fenced` where another try has taken over; else the batch takes another turn.
            self._writer.mark_not_sent(batch_id, status=0, words="paused before it was sent")

    def _understood(self, batch: Batch, answer: Answer) -> Answer:
        """
        Return *answer* with what it does not say by its status: that it is about the content, or
        that not all was taken.
        """
        if may_be_about_content(answer) and self._sender.is_answered():
            return replace(answer, is_about_content=True)
        return replace(answer, counts_fewer=counts_fewer(answer, batch.customers, len(batch.records)))

    def _raise_high_water(self, batch_id: int) -> None:
        """
        Remember outside the ledger that this request is made; where that cannot be done it is not,
        and the batch waits as before.
        """
        try:
            self._writer.ledger.raise_high_water()
        except MigrationError:
            self._writer.mark_not_sent(batch_id, status=0, words="its high-water mark could not be raised")
            raise

    def _authorize(self) -> None:
        """
        Have a token before the batch counts as being sent: the time that is given to its POST is
        for that alone.
        """
        for tries in count(1):
            try:
                self._sender.authorize()
            except TryAgainLater as later:
                self._asked_s += later.wait_s
                if tries == _TRIES or self._asked_s > _LONGEST_FREEZE_S:
                    self._give_back("api_unavailable")
                    raise
                self._sleep(max(later.wait_s, _pause_s(tries)))
            except (Stopped, Misconfigured) as problem:
                self._give_back("run_stopped")
                raise Stopped(f"{problem}; nothing more was sent") from None
            else:
                return

    def _take_turn(self) -> None:
        try:
            self._lane.turn()
        except TryAgainLater:
            self._give_back("api_unavailable")
            raise

    def _enter(self, batch_id: int, answer: Answer, purpose: Purpose) -> None:
        judged = verdict(answer)
        if judged is Verdict.STOP and not _may_be_accepted(answer):
            self._writer.mark_not_sent(batch_id, status=answer.status, words=words(answer))
            self._give_back("run_stopped")
            raise Stopped(_stopped(answer))
        state, reason = _STATES.get(judged, BatchState.IN_DOUBT), ""
        if state is BatchState.IN_DOUBT:
            reason = "server_error" if answer.status else "no_answer"
        elif judged is Verdict.ACCEPTED and purpose is Purpose.PROBE:
            reason = "probe_unproven"
        receipt = Receipt(state, answer.status, answer.seconds, words(answer), reason)
        self._writer.enter_receipt(batch_id, receipt)
        if judged is Verdict.STOP:
            raise Stopped(_stopped(answer))

    def _wait_or_give_up(self, answer: Answer, tries: int) -> None:
        if answer.status == 401:
            # The hook has fetched a new token and tried it already.
            self._give_back("run_stopped")
            msg = (
                "the API does not accept the key or token of connection masivo_api (401); correct it there; nothing"
                " more was sent"
            )
            raise Stopped(msg)
        pause = _pause_s(tries) if tries else 0.0
        if answer.status in {429, 503}:
            asked = retry_after_s(answer, default=max(self._limits.interval_s, pause))
            self._lane.freeze(asked, too_fast=answer.status == 429)
            self._asked_s += asked
            if self._asked_s > _LONGEST_FREEZE_S:
                self._give_back("api_unavailable")
                msg = f"the API asks to wait {asked:,.0f} s ({answer}); the rest of the slice is sent by a later try"
                raise TryAgainLater(msg, asked)
        if tries >= _TRIES:
            self._give_back("api_unavailable")
            msg = (
                f"the API did not take the batch in {tries} tries (last: {answer}); the rest of the slice is sent by a"
                " later try"
            )
            raise TryAgainLater(msg)
        if answer.status != 429:
            self._sleep(pause)

    def _give_back(self, reason: str) -> None:
        """Give back the batch at hand, unless it was sent."""
        if self._at_hand is not None:
            self._writer.give_back(self._at_hand, reason)
        self._at_hand = None

    def _report(self, batch: Batch, answer: Answer) -> None:
        records = len(batch.records)
        self._log.info(
            "%s %s, batch %d of about %d: %s records of %s customers, %.2f MB, %.0f %% full -> %s in %.2f s; %s",
            batch.entity,
            self._progress.slice_of,
            batch.number,
            max(self._progress.expected_batches, batch.number),
            f"{records:,}",
            f"{batch.customers:,}",
            len(batch.body) / 1e6,
            100 * records / self._limits.records,
            answer,
            answer.seconds,
            self._progress.left(batch.number),
        )


def latest_arrival_s(deadline_s: float) -> float:
    """
    Return how long after its last write in the ledger a batch may still reach the API, whose POST
    may take *deadline_s*.
    """
    return _LONGEST_PAUSE_BEFORE_POST_S + deadline_s


def _pause_s(tries: int) -> float:
    """
    Return a pause after so many *tries*, drawn anew, so that workers do not come back together.
    """
    return random.uniform(0, min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2 ** (tries - 1)))  # noqa: S311


def _may_be_accepted(answer: Answer) -> bool:
    """
    Whether an answer that the contract does not have may mean that the batch was taken all the
    same.
    """
    return 200 <= answer.status < 300 and not answer.is_page


def _stopped(answer: Answer) -> str:
    what = {
        403: "the key of connection masivo_api may not do this (403)",
        404: "there is no such address (404): check the host and path of connection masivo_api",
    }.get(answer.status, f"the API's answer {answer} is none that its contract has")
    if not answer.left and answer.text:
        what = answer.text  # the hook's own sentence: no token was to be had
    if answer.is_page:
        what = f"a web page came instead of the API ({answer}): check the host and path of connection masivo_api"
    return f"{what}; nothing more was sent"
