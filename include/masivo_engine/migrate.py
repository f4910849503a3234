"""
One slice from its legacy rows to its ledger entries: every station of the journey, in order.

Memory is one page of rows, the open batches and those that wait for their turn
(`masivo_engine.batching.outbox`), whatever the table's size; only what is in doubt is kept until it
is settled, and in a first load the slice's keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from masivo_engine.batching.outbox import Outbox
from masivo_engine.batching.packers import packer_for
from masivo_engine.batching.units import Unit
from masivo_engine.crash_points import crash_point
from masivo_engine.delivery.delivery import Delivery
from masivo_engine.delivery.resend import whole_sets
from masivo_engine.delivery.sender import Progress, Sender, Sending, Turns
from masivo_engine.delivery.turn_order import InOrder
from masivo_engine.ledger.history.entries import FirstLoad, Knowledge
from masivo_engine.ledger.runs.coverage import selected_keys
from masivo_engine.ledger.writing.lease_keeper import claimed, kept_alive
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.batches import Batch
from masivo_engine.model.errors import Moved
from masivo_engine.model.limits import Limits, Log, Patience
from masivo_engine.model.rows import Entity, Entry, Record, Rejection, State
from masivo_engine.model.runs import Mode, Slice, Window
from masivo_engine.readback.doubt import Doubt
from masivo_engine.readback.settler import Settler
from masivo_engine.readback.shown import Reader
from masivo_engine.records.stream import record_pages
from masivo_engine.source.prefetch import gc_paused
from masivo_engine.source.reader import Source
from masivo_engine.sql import MOST_KEYS
from masivo_engine.triage.triage import MOST_SUSPECTS, Triage


# Doubts about what was sent because of doubts, and so on: then the API is not well, and a later run
# settles the rest.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Worked:
    """
    What a task did with its slice: counts only, fit for XCom. The account is made from the ledger,
    not from this.
    """

    entity: Entity
    slice: int
    rows: int
    batches: int
    records: int


class Api(Sender, Reader, Protocol):
    """Whoever can send and read back; the hook does."""


def work_off(  # noqa: PLR0913 (one for each station of the journey)
    part: Slice,
    window: Window,
    *,
    run: int,
    legacy: Source,
    ledger: Ledger,
    api: Api,
    lane: Turns,
    limits: Limits,
    patience: Patience,
    log: Log,
    mode: Mode = Mode.SEND,
) -> Worked:
    """
    Read, judge, pack and send *part* of *run*, and settle what stays in doubt.

    Raises `TryAgainLater` where a later try should go on, `Stopped` where no request makes sense,
    `Fenced` where another try has taken over. The ledger is right after each of them.
    """
    in_order = InOrder(lane, ledger, run, part, limits)

    def work(lease: Lease) -> Worked:
        with kept_alive(ledger, lease, limits), gc_paused():
            return _Work(part, window, run, legacy, ledger, api, in_order, limits, patience, log, mode).off(lease)

    lease = claimed(ledger, run, part, limits, log=log)
    try:
        return work(lease)
    except Moved as moved:
        if not lease.is_first_load:
            raise
        log.info("%s at once, and every key is looked for", str(moved))  # it holds the whole reading
    return work(claimed(ledger, run, part, limits, log=log))


@dataclass(slots=True)
class _Work:
    """One slice of one run being worked off by one try."""

    part: Slice
    window: Window
    run: int
    legacy: Source
    ledger: Ledger
    api: Api
    lane: InOrder
    limits: Limits
    patience: Patience
    log: Log
    mode: Mode
    rows: int = 0
    batches: int = 0
    records: int = 0
    suspects: list[Unit] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    earlier: list[Doubt] = field(default_factory=list)
    has_others: set[str] = field(default_factory=set)
    outdated: list[int] = field(default_factory=list)

    def off(self, lease: Lease) -> Worked:
        # What is adopted is not packed, so nobody would find what other slices have.
        is_first_load = lease.is_first_load and self.mode is not Mode.ADOPT
        knowledge = FirstLoad(self.ledger) if is_first_load else Knowledge(self.ledger)
        triage = Triage(knowledge, lease, self.limits, self.legacy.policies, self.mode)
        expected = -(-self.part.rows // self.limits.records)
        progress = Progress(f"slice {self.part.number} of {self.part.of}", expected, self.limits.interval_s)
        sending = Sending(self.ledger, lease, self.api, self.lane, self.limits, progress=progress, log=self.log)
        is_said_lost = self.mode is Mode.RELEASE_LOST
        settler = Settler(self.ledger, self.api, self.part.entity, self.patience, is_said_lost=is_said_lost)
        resends = getattr(self.legacy.policies.unproven, self.part.entity) == "resend"
        delivery = Delivery(self.ledger, lease, sending, settler, self.limits, log=self.log, resends_unproven=resends)

        with sending.giving_back():
            self._send(delivery, triage, self._sendable(lease, triage))
            for _ in range(_ROUNDS):
                doubts, delivery.doubts = [*self.doubts, *delivery.doubts], []
                again = self._of_own_email(delivery, triage, delivery.settle(doubts))
                again += self._settle_earlier(lease, delivery, triage)
                self.doubts = []
                if not again and not delivery.doubts:
                    break
                self._send(delivery, triage, [again])
        crash_point("finishing")
        # Rows that an earlier try read and sent belong to the run, also those that are gone from
        # the legacy database since.
        self.ledger.finish(lease, self.rows + lease.kept - triage.seen_again, self.outdated)
        return Worked(self.part.entity, self.part.number, self.rows, self.batches, self.records)

    def _sendable(self, lease: Lease, triage: Triage) -> Iterator[Sequence[Unit] | None]:
        """
        Read and judge the slice's rows, and yield what may be sent, page by page; None while the
        next page is waited for.

        Suspects come after all others: packed together they keep nobody else up, and share one
        request at most.
        """
        for page in self._pages():
            if not page:
                yield None
                continue
            self.rows += len(page)
            judged = triage.judge(page)
            if judged.entries:
                self.ledger.enter(lease, judged.entries)
            # Until the slice is finished: the next try forgets what this one entered, and a run
            # that is given up must leave them waiting.
            self.outdated += judged.outdated
            crash_point("page_entered")
            self.suspects += judged.suspects
            self.doubts += judged.doubts
            self.earlier += judged.earlier
            self.has_others |= {entry.row.customer for entry in judged.entries if entry.reason != "duplicate_row"}
            yield judged.groups
            if len(self.suspects) > MOST_SUSPECTS:
                yield self._suspects_now()
        yield self._suspects_now()

    def _pages(self) -> Iterator[Sequence[Record | Rejection]]:
        """
        Yield the slice's rows: those of the window, or those that the ledger names, a page of keys
        at a time.
        """
        if self.part.selects == "window":
            yield from record_pages(self.legacy, self.part, self.window)
            return
        behind: str | None = None
        while keys := selected_keys(self.ledger, self.run, self.part, behind=behind, limit=MOST_KEYS):
            yield from record_pages(self.legacy, self.part, self.window.named(keys))
            behind = keys[-1]

    def _suspects_now(self) -> list[Unit]:
        suspects, self.suspects = self.suspects, []
        return suspects

    def _send(self, delivery: Delivery, triage: Triage, pages: Iterable[Sequence[Unit] | None]) -> None:
        """
        Pack the groups of *pages* and deliver the batches; what a refusal leaves unjudged is packed
        with the next ones.
        """
        packer = packer_for(self.part.entity, self.limits, first_number=self.batches + 1)

        def pack(batches: Sequence[Batch]) -> None:
            delivery.pack(batches)
            for batch in batches:
                triage.entered(batch)

        ahead = Outbox(pack, self.lane.is_behind, self.limits)
        left: list[Unit] = []

        def take(group: Unit) -> None:
            if batches := packer.add(group):
                ahead.add(batches)
                left.extend(self._deliver(delivery, ahead.due()))

        for page in pages:
            for group in page or ():
                take(group)
                while left:
                    take(left.pop(0))
            left += self._deliver(delivery, ahead.due(is_idle=page is None))
        ahead.add(packer.close())
        left += self._deliver(delivery, ahead.rest())
        if left:
            self._send(delivery, triage, [left])

    def _deliver(self, delivery: Delivery, batches: Iterable[Batch]) -> list[Unit]:
        left: list[Unit] = []
        for batch in batches:
            delivery.has_earlier_doubts = bool(self.doubts or self.earlier)
            left += delivery.deliver(batch)
            self.batches += 1
            self.records += len(batch.records)
        return left

    def _of_own_email(self, delivery: Delivery, triage: Triage, again: list[Unit]) -> list[Unit]:
        """
        Return what of *again* has its address alone, where customers are sent again: they may have
        another one than when they were sent.
        """
        if self.part.entity is not Entity.CUSTOMERS or not again:
            return again
        kept, shared = triage.of_own_email([record for unit in again for record in unit])
        delivery.quarantine([entry.row for entry in shared if isinstance(entry.row, Record)], "email_shared")
        return [[record] for record in kept]

    def _settle_earlier(self, lease: Lease, delivery: Delivery, triage: Triage) -> list[Unit]:
        """
        Settle what earlier runs left in doubt of the rows that this slice read; return what is to
        be sent.
        """
        earlier, self.earlier = self.earlier, []
        if not earlier:
            return []
        if self.mode is Mode.ADOPT:
            # A person says that the API has it, so nobody is asked, and nothing is sent.
            self.ledger.settle(lease, [doubt.entry for doubt in earlier], State.DELIVERED)
            self.ledger.enter(lease, [Entry(doubt.record, State.UNCHANGED, "adopted") for doubt in earlier])
            return []
        found = delivery.read_back(earlier)
        absent, parts = whole_sets(self.ledger, lease, found.absent, earlier)
        anew = [*absent, *found.resend]
        self.ledger.settle(lease, [doubt.entry for doubt in found.present], State.DELIVERED)
        self.ledger.release(lease, [doubt.record for doubt in found.present if not doubt.is_changed])
        # What is part of another set now is judged anew by the next run.
        entries = [Entry(doubt.record, State.HELD, "earlier_in_doubt") for doubt in (*found.unproven, *parts)]
        send: list[Record] = []
        for doubt in found.present:
            if not doubt.is_changed:
                entries.append(Entry(doubt.record, State.UNCHANGED))
            elif entry := triage.of_changed(doubt.record):
                entries.append(entry)
            else:
                send.append(doubt.record)
        sets: dict[str, list[Record]] = {}
        for doubt in anew:
            if self.part.entity is not Entity.TRANSACTIONS:
                send.append(doubt.record)
            elif doubt.record.customer in self.has_others:
                entries.append(Entry(doubt.record, State.HELD, "earlier_in_doubt"))
            else:
                sets.setdefault(doubt.record.customer, []).append(doubt.record)
        if self.part.entity is Entity.CUSTOMERS:
            # With the content the address may have changed, and somebody else may have the new one.
            send, shared = triage.of_own_email(send)
            entries += shared
        again: list[Unit] = [*([record] for record in send), *sets.values()]
        # Each is superseded by what follows it, together with that: what is not written down in the
        # end is in doubt as before.
        written = {record.key for unit in again for record in unit}
        delivery.outdate(doubt for doubt in anew if doubt.record.key in written)
        self.ledger.enter(lease, entries, [doubt.entry for doubt in found.absent if doubt.record.key not in written])
        refused = {doubt.record.key for doubt in found.absent if doubt.is_refused}
        others = [unit for unit in again if unit[0].key not in refused]
        return others + delivery.send_in_parts([unit for unit in again if unit[0].key in refused])
