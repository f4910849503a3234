"""
One slice from its legacy rows to what the ledger and the API have of them: every station of the
journey, in order.

Memory is one page of rows and the open batches, whatever the table's size; only what is in doubt,
or was refused, is kept until it is settled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from masivo_engine.batching.packers import Packer, one_request, packer_for
from masivo_engine.batching.tail import Tail
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.crash_points import crash_point
from masivo_engine.delivery.delivery import Delivery
from masivo_engine.delivery.isolation import Refused
from masivo_engine.delivery.probe import Probe
from masivo_engine.delivery.sender import Progress, Sender, Sending, Turns
from masivo_engine.delivery.turn_order import InOrder
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Rows
from masivo_engine.ledger.runs.asked import asked_places, close_asked, unmet_places
from masivo_engine.ledger.runs.doubts import doubts_unread
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.ledger.runs.twins import twins_of
from masivo_engine.ledger.writing.lease_keeper import claimed, kept_alive
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.model.answers import Answer
from masivo_engine.model.batches import Batch, Purpose
from masivo_engine.model.errors import Moved
from masivo_engine.model.judged import REFUSED_IN_COMPANY
from masivo_engine.model.limits import Limits, Log, Patience
from masivo_engine.model.places import first_of
from masivo_engine.model.rows import Entity, Record, Rejection
from masivo_engine.model.runs import AS_USUAL, RunPolicies, Slice, Window
from masivo_engine.readback.settler import Settler
from masivo_engine.readback.shown import Reader
from masivo_engine.records.stream import record_pages
from masivo_engine.source.prefetch import gc_paused
from masivo_engine.source.reader import Source
from masivo_engine.sql import MOST_KEYS, portions
from masivo_engine.triage.sets import SetsBeside
from masivo_engine.triage.triage import MOST_SUSPECTS, Decisions, Triage


Row = Record | Rejection

# Doubts about what was sent because of doubts, and so on: then the API is not well, and a later run
# settles the rest.
_ROUNDS = 3
# Of a page whose rows move between slices while it is judged.
_JUDGED_AGAIN = 5


@dataclass(frozen=True, slots=True)
class SliceTask:
    """What one mapped task has to do."""

    run: int
    part: Slice
    window: Window
    policies: RunPolicies = AS_USUAL
    settles_all: bool = False  #: also what is in doubt of rows that are in the source no more


@dataclass(frozen=True, slots=True)
class SliceResult:
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


@dataclass(frozen=True, slots=True)
class Destination:
    """The API account, as one task reaches it."""

    api: Api  #: posts batches and reads back
    lane: Turns  #: the account's permission to send
    limits: Limits
    patience: Patience


def migrate_slice(
    task: SliceTask, source: Source, destination: Destination, ledger: Ledger, *, log: Log
) -> SliceResult:
    """
    Read, judge, pack and send one slice of a run, and settle what stays in doubt.

    Raises `TryAgainLater` where a later try should go on, `Stopped` where no request makes sense,
    `Fenced` where another try has taken over. The ledger is right after each of them.
    """
    writer = claimed(ledger, task.run, task.part, destination.limits, log=log)
    with kept_alive(writer, destination.limits), gc_paused():
        return _Migration.of(task, source, destination, writer, log).run()


@dataclass(slots=True)
class _Migration:
    """One slice being worked off by one try."""

    task: SliceTask
    source: Source
    writer: SliceLedger
    triage: Triage
    sending: Sending
    delivery: Delivery
    probe: Probe
    packer: Packer
    lane: InOrder
    tail: Tail
    limits: Limits
    rows: int = 0
    batches: int = 0
    records: int = 0
    suspects: list[Unit] = field(default_factory=list)
    unsettled: dict[str, Row] = field(default_factory=dict)
    refused: list[Unit] = field(default_factory=list)  #: by an earlier try, in company

    @classmethod
    def of(cls, task: SliceTask, source: Source, destination: Destination, writer: SliceLedger, log: Log) -> _Migration:
        """Set up the stations of one slice."""
        ledger, part, limits = writer.ledger, task.part, destination.limits
        entity = part.entity
        resends = ledger.resends

        def judging(source: Source, sets: SetsBeside | None = None) -> Triage:
            decided = Decisions.of(source.entity, source.policies, task.policies, resends)
            twins = twins_of(ledger, task.run, source.entity)
            rows, number = Rows(ledger), part.number
            return Triage(
                source.entity, rows, source, limits, decided, run=task.run, number=number, twins=twins, sets=sets
            )

        has_sets = entity is Entity.CUSTOMERS and source.has_beside(Entity.TRANSACTIONS)
        triage = judging(source, SetsBeside(source, judging) if has_sets else None)
        lane = InOrder(destination.lane, ledger, task.run, part, limits)
        expected = -(-part.rows // limits.records)
        progress = Progress(f"slice {part.number} of {part.of}", expected, limits.interval_s)
        sending = Sending(writer, destination.api, lane, limits, progress=progress, log=log)
        is_said_lost = task.policies.is_said_lost
        settler = Settler(ledger, destination.api, entity, destination.patience, is_said_lost=is_said_lost)
        gives_up = getattr(source.policies.unproven, entity.value) == "resend"
        delivery = Delivery(writer, sending, settler, limits, log=log, replaces=resends == "replace", gives_up=gives_up)
        probe = Probe(writer, destination.api, settler, destination.patience, run=task.run, log=log)
        # Behind the rows of a window come those that are open, of which maybe none goes.
        alike = [one.number for one in slices_of(ledger, task.run, entity) if one.selects == part.selects]
        # Of a customer that is replaced nothing has to be proved.
        needs_tail = part.number == max(alike) and not (entity is Entity.CUSTOMERS and resends == "replace")
        packer = packer_for(entity, limits)
        tail = Tail(entity, is_needed=needs_tail)
        return cls(task, source, writer, triage, sending, delivery, probe, packer, lane, tail, limits)

    def run(self) -> SliceResult:
        """Work the slice off."""
        with self.sending.giving_back():
            for page in self._pages():
                if page:
                    self.rows += len(page)
                    self._deliver(self._judge(page))
                if len(self.suspects) > MOST_SUSPECTS:
                    self._deliver_suspects()
            self._deliver_suspects()
            self._deliver_open()
            self._deliver_probe()
            self._deliver_tail()
            self._settle()
            self._learn()
        crash_point("finishing")
        self.writer.finish(self.rows)
        if self.task.part.selects == "places":
            close_asked(self.writer.ledger, self.task.run, self.task.part)
        return SliceResult(self.task.part.entity, self.task.part.number, self.rows, self.batches, self.records)

    def _pages(self) -> Iterator[Sequence[Row]]:
        """
        Yield the slice's rows: those of the window, or those that the ledger asks for, a page of
        places at a time. Transactions are asked for by their owners: of what has moved meanwhile,
        the new owners' are read, too.
        """
        task = self.task
        if task.part.selects == "window":
            yield from record_pages(self.source, task.part, task.window)
            return
        everywhere = Slice.everything(task.part.entity)
        read: set[str] = set()
        for places in asked_places(self.writer.ledger, task.run, task.part, most=MOST_KEYS):
            read.update(places)
            yield from record_pages(self.source, everywhere, Window(places=tuple(places)))
        if task.part.entity is Entity.TRANSACTIONS:
            unmet = unmet_places(self.writer.ledger, task.run, task.part)
            owners = self.source.owners_at(map(first_of, unmet)) - read if unmet else set()
            for some in portions(sorted(owners), most=MOST_KEYS):
                yield from record_pages(self.source, everywhere, Window(places=tuple(some)))

    def _judge(self, rows: Sequence[Row]) -> list[Unit]:
        """Judge *rows*, write down where they have ended, and return what may be sent."""
        for again in range(_JUDGED_AGAIN):
            made = self.triage.judge(rows)
            try:
                self.writer.see(made.judged, made.known)
                break
            except Moved:
                if again == _JUDGED_AGAIN - 1:
                    raise
        if made.met_again:
            self.writer.met_again(made.met_again)
        crash_point("page_entered")
        self.delivery.strays |= {place for place, known in made.known.items() if known.strays}
        in_company = (place for place, known in made.known.items() if known.reason == REFUSED_IN_COMPANY)
        self.delivery.refused_before.update(in_company)
        self.refused += [unit for unit in (*made.units, *made.suspects) if self.delivery.was_refused(unit)]
        self.suspects += [unit for unit in made.suspects if not self.delivery.was_refused(unit)]
        self.unsettled |= {row.place: row for row in made.unsettled}
        self.probe.take(made.probes, made.known)
        units = [unit for unit in made.units if not self.delivery.was_refused(unit)]
        touched = {
            record.place
            for unit in units
            for record in unit
            if (row := made.known.get(record.place)) is not None and (row.has_arrived or row.is_out or row.strays)
        }
        return self.tail.keep_back(units, touched)

    def _deliver(self, units: Iterable[Unit]) -> None:
        for unit in units:
            for batch in self.packer.add(unit):
                self._send(batch)

    def _deliver_suspects(self) -> None:
        """
        Send suspects after all others: packed together they keep nobody else up, and share one
        request at most.
        """
        suspects, self.suspects = self.suspects, []
        self._deliver(suspects)

    def _deliver_open(self) -> None:
        for batch in self.packer.close():
            self._send(batch)

    def _deliver_tail(self) -> None:
        """
        Send one clean record, or set, by itself after all others: what was sent before can be
        proved by it, and if it is lost, it is only one.
        """
        if tail := self.tail.take():
            self._send(one_request([tail], self.batches + 1))

    def _send(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> None:
        self.delivery.deliver(batch, purpose)
        self.batches += 1
        self.records += len(batch.records)

    def _settle(self) -> None:
        """Settle what is in doubt, judge anew what was settled, and send what may go then."""
        for _ in range(_ROUNDS):
            refused_before = [record for unit in self.refused for record in unit]
            rows = self.unsettled | {record.place: record for record in (*self.delivery.doubtful, *refused_before)}
            places = {*rows, *self._unread()}
            if not places:
                return
            self.unsettled = {}
            settled, refused = self.delivery.settle(places, rows)
            apart = {record.place for one in refused for unit in one.units for record in unit}
            self._judge_settled(rows, settled, apart | {record.place for record in refused_before})
            lost: set[str] = set()
            for one in (*refused, *self._refused_before()):
                lost |= self.delivery.take_apart(one)
            self._judge_settled(rows, lost, set())

    def _refused_before(self) -> Iterator[Refused]:
        """
        Yield what an earlier try sent in company that was refused, as much as one request may hold
        at a time: sent as a whole it would be refused again, with nothing behind it to prove that.
        """
        units, self.refused = self.refused, []
        packer = packer_for(self.task.part.entity, self.limits)
        for batch in (*(batch for unit in units for batch in packer.add(unit)), *packer.close()):
            yield Refused(units_of(batch.records), Answer())

    def _unread(self) -> list[str]:
        """
        Return the places of which something is out, and that no slice of the run has met: what was
        sent of them is known by its handle.
        """
        part = self.task.part
        if not self.task.settles_all or part.number != part.of or self.lane.is_behind():
            return []
        return doubts_unread(self.writer.ledger, self.task.run, part.entity)

    def _judge_settled(self, rows: dict[str, Row], settled: set[str], apart: set[str]) -> None:
        """
        Judge the rows of which something was settled; of transactions with all of their customer.
        """
        names = {rows[place].customer for place in settled if place in rows}
        is_set = self.task.part.entity is Entity.TRANSACTIONS
        again = [
            row
            for place, row in rows.items()
            if place not in apart and (place in settled or (is_set and row.customer in names))
        ]
        if again:
            still = self.unsettled
            self._deliver(self._judge(again))
            self.unsettled = still  # what stays in doubt was asked about just now
            self._deliver_suspects()
            self._deliver_open()

    def _deliver_probe(self) -> None:
        """Send one changed customer again by itself, unless that was done."""
        for unit in self.probe.candidate():
            self._send(one_request([unit], self.batches + 1), Purpose.PROBE)

    def _learn(self) -> None:
        """Learn from the probe what a second sending does, and then send the others."""
        self._deliver_probe()
        if rows := self.probe.learned():
            self.triage.decided = self.triage.decided._replace(resends=self.writer.ledger.resends)
            self._deliver(self._judge(rows))
            self._deliver_open()
            self._settle()
