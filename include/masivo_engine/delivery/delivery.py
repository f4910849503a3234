"""
The records of a slice until each has its verdict: what is in doubt is read back, what was refused
is taken apart.

Batches go out one after the other (`masivo_engine.delivery.sender`). What is accepted is
delivered. Everything else is in doubt until it is read back, a refused batch too: what a refusal
leaves behind is not documented (docs/api-facts.md#u8). A single record that was refused, and was
never sent before, is refused: there is nothing that could have been taken of it.

Doubts are settled when the slice has been sent, because proof takes something that was sent later
(`masivo_engine.readback.evidence`). What has arrived is delivered. What was refused and has not
arrived is taken apart (`isolation`). What was never answered and has not arrived may be sent again,
and is a stray from then on: it may still come, so a later refusal of it convicts nobody.

Customers are the exception where the account is known to replace a customer that is sent again:
nothing needs to be proved of them.

While the last answer proves nothing, or refuses a batch, records go one by one until one is
accepted: an API that is down, or refuses all, is met with as little as can be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import Unit, judged_as, units_of
from masivo_engine.crash_points import crash_point
from masivo_engine.delivery.breaker import Breaker
from masivo_engine.delivery.isolation import Refused, is_too_large, isolate
from masivo_engine.delivery.sender import Sending
from masivo_engine.ledger.counts import doubts_in_a_row, isolated_within_hour, refused_again
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.model.answers import Answer, Verdict, verdict, words
from masivo_engine.model.batches import Batch, Purpose
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.judged import REFUSED_IN_COMPANY
from masivo_engine.model.limits import Limits, Log
from masivo_engine.model.rows import Entity, Record, Rejection, State
from masivo_engine.readback.doubt import NOT_TAKEN, Doubt, Finding, doubts_at
from masivo_engine.readback.settler import Settler


Row = Record | Rejection
NO_ROWS: Mapping[str, Row] = {}

# After so many doubts in a row the API is down, and every further batch would only be one more.
_DOUBTS_IN_A_ROW = 3
# Fresh units that are sent alone while nothing else is accepted: if the API refuses everything,
# that shows soonest.
_PROBES = 5
# Requests that one refused batch may cost.
_BUDGET = 128


class Delivery:
    """
    Delivers the batches of one slice. Where *replaces*, the account is known to replace a customer
    that is sent again. Where the mapping says so (*gives_up*), what an earlier run left in doubt,
    and of which nothing can be proved, counts as absent; never for transactions.
    """

    def __init__(
        self,
        writer: SliceLedger,
        sending: Sending,
        settler: Settler,
        limits: Limits,
        *,
        log: Log,
        replaces: bool = False,
        gives_up: bool = False,
    ) -> None:
        self._writer = writer
        self._entity = writer.lease.entity
        self._sending = sending
        self._settler = settler
        self._limits = limits
        self._log = log
        self._replaces = replaces and self._entity is Entity.CUSTOMERS
        # Whatever the mapping says: points that are sent twice count twice.
        self._gives_up = gives_up and self._entity is not Entity.TRANSACTIONS
        self._breaker = Breaker(self._entity)
        # An API that was down for an earlier try is asked once, not with as many records as if
        # nothing were known.
        self._doubts_in_a_row = doubts_in_a_row(writer.ledger, self._entity, most=_DOUBTS_IN_A_ROW - 1)
        self._is_accepting = not self._doubts_in_a_row
        #: By batch of the ledger: what the API refused together, and what it said.
        self._refusals: dict[int, Refused] = {}
        self._doubtful: list[Record] = []
        #: What was refused and cannot be proved, before something that was sent later is accepted.
        self._unproven: list[Record] = []
        #: Places of which something was sent before, and may still arrive: no refusal convicts
        #: them.
        self.strays: set[str] = set()
        #: Places of what an earlier try sent in a batch that was refused: it is not sent so again.
        self.refused_before: set[str] = set()

    def was_refused(self, unit: Unit) -> bool:
        """Whether an earlier try sent *unit*, or a part of it, in a batch that was refused."""
        return not self.refused_before.isdisjoint(record.place for record in unit)

    def deliver(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> None:
        """Send *batch*; what is not accepted waits for `settle`."""
        if not self._is_accepting:
            rest = units_of(batch.records)
            for _ in range(min(_PROBES, len(rest))):
                if self._send(one_request([rest.pop(0)], batch.number), purpose):
                    break
            if not rest:
                return
            batch = one_request(rest, batch.number)
        self._send(batch, purpose)

    @property
    def doubtful(self) -> list[Record]:
        """The records of this try that wait for `settle`."""
        return list(self._doubtful)

    def settle(self, places: Iterable[str], rows: Mapping[str, Row] = NO_ROWS) -> tuple[set[str], list[Refused]]:
        """
        Read back what is in doubt of *places* and of what this try sent; *rows* are what some of
        them say now.

        Returns the places of which something was settled, to be judged again, and what is to be
        taken apart: it was refused, and has not arrived.
        """
        records = {record.place: record for record in self._doubtful}
        self._doubtful = []
        doubts = doubts_at(self._writer.ledger, self._entity, {*places, *records})
        findings = self._find(doubts)
        settled: set[str] = set()
        refused: list[Refused] = []
        for _, some in groupby(doubts, key=lambda doubt: doubt.batch):
            these, apart = self._settle_batch(list(some), findings, records, rows)
            settled |= these
            refused += apart
        if doubts:
            self._log.info(
                "read back: %d arrived, %d did not, %d are there and differ, %d stay in doubt",
                *(sum(found is finding for found in findings.values()) for finding in Finding),
            )
        return settled, refused

    def _settle_batch(
        self,
        members: Sequence[Doubt],
        findings: Mapping[str, Finding],
        records: Mapping[str, Record],
        rows: Mapping[str, Row],
    ) -> tuple[set[str], list[Refused]]:
        """Enter what was found of *members*, all of one batch; return as `settle` does."""
        one, number = members[0], members[0].batch
        by_finding = {finding: [doubt for doubt in members if findings[doubt.place] is finding] for finding in Finding}
        present, absent = by_finding[Finding.PRESENT], by_finding[Finding.ABSENT]
        if self._gives_up and one.run < self._writer.lease.run and not one.is_answered:
            absent += by_finding[Finding.UNPROVEN]
        self._writer.arrived([doubt.place for doubt in present], number)
        self._writer.absent([doubt.place for doubt in absent], number, was_refused=one.is_answered)
        self._writer.doubt([doubt.place for doubt in by_finding[Finding.DIFFERS]], "differs")
        settled = {doubt.place for doubt in (*present, *absent)}
        if number in self._refusals:
            unproven = by_finding[Finding.UNPROVEN]
            self._unproven += [records[doubt.place] for doubt in unproven if doubt.place in records]
        if not one.is_answered:
            self.strays |= {doubt.place for doubt in absent}
        elif request := self._refusals.get(number):
            mine = [records[doubt.place] for doubt in absent if doubt.place in records]
            whole = self._whole(mine, {doubt.place for doubt in absent}, members)
            if len(request.units) > 1:
                # Also where one unit is left: it was refused in company.
                return settled, [Refused(whole, request.answer)] if whole else []
            if whole:
                settled -= self._refused_alone(whole[0], request.answer)
        elif alone := _alone_as_now(members, absent, rows):
            said = one.words if one.is_refused else NOT_TAKEN
            settled -= self._refused_alone(alone, Answer(one.refused, text=said))
        else:
            self.refused_before |= {doubt.place for doubt in absent}
        if one.is_accepted:
            self._learn(one, findings[one.place])
        return settled, []

    def _learn(self, probe: Doubt, finding: Finding) -> None:
        """Keep what *probe*, that an earlier run sent, shows of the account by now."""
        had_points = probe.before is not None and any(probe.before.worth.values())
        if finding is Finding.PRESENT and had_points:
            self._writer.ledger.learn_resends("replace")  # else they would have been added
        elif finding is Finding.ABSENT and refused_again(self._writer.ledger) > 1:
            self._writer.ledger.learn_resends("refuse")

    def take_apart(self, refused: Refused) -> set[str]:
        """
        Send *refused* again in parts until each record of it has its verdict.

        Returns the places to be judged again: a part was never answered, and has not arrived.
        """
        flow, spent, lost = isolate(refused), 0, set[str]()
        parts = next(flow, None)
        while parts:
            for part in parts:
                if spent >= _BUDGET or isolated_within_hour(self._writer.ledger) >= self._limits.isolation_per_hour:
                    self._park(part)
                    continue
                spent += 1
                crash_point("taking_apart")
                self._send(one_request(part, 0), Purpose.ISOLATION)
            settled, again = self.settle(()) if self._doubtful else (set(), [])
            lost |= settled - {record.place for one in again for unit in one.units for record in unit}
            try:
                parts = flow.send(again)
            except StopIteration:
                break
        return lost

    def _refused_alone(self, unit: Unit, refusal: Answer) -> set[str]:
        """
        Convict *unit*, which was refused by itself and is proved not to have been taken; what may
        still arrive convicts nobody, and is tried again by a later run. Returns its places.
        """
        places = {record.place for record in unit}
        if self.strays.isdisjoint(places):
            self._convict(unit, None, refusal)
        else:
            self._park([unit])
        return places

    def _find(self, doubts: Sequence[Doubt]) -> dict[str, Finding]:
        if not doubts:
            return {}
        self._log.info("reading back %d records in doubt", len(doubts))
        harmless = {doubt.place: Finding.ABSENT for doubt in doubts if self._replaces and doubt.is_refused}
        findings = harmless | self._settler.settle([doubt for doubt in doubts if doubt.place not in harmless])
        crash_point("settling")
        return findings

    def _whole(self, records: Sequence[Record], absent: set[str], doubts: Sequence[Doubt]) -> list[Unit]:
        """
        Return the units of *records* that are *absent* as a whole.

        Of transactions the API takes a customer's once, so what is left of a set that it took in
        part is held.
        """
        others = {doubt.customer for doubt in doubts if doubt.place not in absent}
        if self._entity is not Entity.TRANSACTIONS or not others:
            return units_of(records)
        parts = [record.place for record in records if record.customer in others]
        self._writer.hold(parts, State.HELD, "transactions_already_migrated")
        return units_of([record for record in records if record.customer not in others])

    def _send(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> bool:
        """Send *batch* and judge what can be judged at once; return whether it was accepted."""
        if self._breaker.is_open:
            # Nothing shows that these are worse than all others.
            self._writer.acquit(self._breaker.accused)
            raise Stopped(str(self._breaker))
        number, answer = self._sending.send(batch, purpose)
        judged = verdict(answer)
        if judged is Verdict.IN_DOUBT:
            self._is_accepting = False
            self._doubtful += batch.records
            self._doubts_in_a_row += 1
            if self._doubts_in_a_row >= _DOUBTS_IN_A_ROW:
                msg = (
                    f"{_DOUBTS_IN_A_ROW} answers in a row prove nothing (last: {answer}); the rest waits for the API to"
                    " recover"
                )
                raise TryAgainLater(msg)
            return False
        self._doubts_in_a_row = 0
        if judged is Verdict.REFUSED:
            self._refused(batch, number, answer)
        else:
            self._is_accepting = True
            self._breaker.accepted()
            self._doubtful += self._unproven
            self._unproven = []
        return judged is Verdict.ACCEPTED

    def _refused(self, batch: Batch, number: int, answer: Answer) -> None:
        units = units_of(batch.records)
        if len(units) == 1:
            self._breaker.refused_alone(units[0], answer)
        else:
            self._is_accepting = False
        if len(batch.records) == 1 and batch.records[0].place not in self.strays:
            self._convict(units[0], number, answer)
            return
        self._refusals[number] = Refused(units, answer)
        self._doubtful += batch.records

    def _convict(self, unit: Unit, number: int | None, refusal: Answer) -> None:
        reason = "too_large" if is_too_large(refusal) else "refused"
        self._writer.convict(unit, number, reason, words(refusal), judged_as(unit))

    def _park(self, units: Sequence[Unit]) -> None:
        """Leave *units* to a later run, which sends them apart."""
        places = [record.place for unit in units for record in unit]
        self._writer.hold(places, State.QUARANTINED, REFUSED_IN_COMPANY)


def _alone_as_now(members: Sequence[Doubt], absent: Sequence[Doubt], rows: Mapping[str, Row]) -> Unit:
    """
    Return the unit that was refused by itself, all of it *absent*, where its *rows* still say what
    was sent; else nothing, because what they say now the API has not judged.
    """
    now = [rows.get(doubt.place) for doubt in members]
    same = [
        row
        for row, doubt in zip(now, members, strict=True)
        if isinstance(row, Record) and row.content_hash == doubt.content and row.customer == doubt.customer
    ]
    is_whole = members[0].is_answered and members[0].is_alone and len(absent) == len(members) == len(same)
    return same if is_whole else []
