"""
The records of a slice until each has its verdict: what was refused is taken apart, what is in doubt
is read back.

Batches go out one after the other (`masivo_engine.delivery.sender`). What a refusal leaves behind
is not documented (docs/api-facts.md#u8): nothing, the good records, or those before the bad one. So
a refused batch is in doubt; what a read-back finds is delivered, and what it proves absent is sent
again in parts. A record that was refused alone is refused.

For customers and events that is learned, by address and status, and never for transactions: points
that are sent twice count twice.

============  ==========================================  ==========================================
refusals are  known to be so when                         a refused batch
============  ==========================================  ==========================================
``atomic``    the first record of one is proved absent,   was not accepted: it is taken apart
              and accepted later on: it stood before the  (`isolation`)
              bad one
``partial``   a record of one is proved present           is in doubt
not known     nothing is proved yet                       is in doubt
============  ==========================================  ==========================================

Doubts are settled when the slice has been sent, because proof takes something that was sent later.
Where nothing can be proved, the mapping says (``policies.unproven``) whether they wait, or are sent
again, which no transaction ever is, nor what the API refused. What was sent again so and is refused
then stays in doubt: a refusal may come of its having arrived before.

While the last answer proves nothing, or refuses a batch, records go one by one until one is
accepted: an API that is down, or refuses all, is met with as little as can be, and what is accepted
then shows later how far the queue is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.crash_points import crash_point
from masivo_engine.delivery.isolation import Isolation
from masivo_engine.delivery.resend import whole_sets
from masivo_engine.delivery.sender import Sending
from masivo_engine.ledger.history.entries import doubts_in_a_row, isolated_within_hour, known
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.answers import Answer, Verdict, verdict
from masivo_engine.model.batches import Batch, Purpose
from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.limits import Limits, Log
from masivo_engine.model.reasons import RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, Entry, Record, State
from masivo_engine.readback.doubt import Doubt, Finding, doubt_about
from masivo_engine.readback.settler import Settler


# After so many doubts in a row the API is down, and every further batch would only be one more.
_DOUBTS_IN_A_ROW = 3
# Units of a refused batch that are read back, and may be sent alone, to learn whether the API took
# part of it.
_SAMPLE = 20
# Fresh units that are sent alone while nothing else is accepted: if the API refuses everything,
# that shows soonest.
_PROBES = 5


class Found(NamedTuple):
    """
    Doubts after a read-back: *resend* are unproven as well, but the mapping wants them sent again.
    """

    present: list[Doubt]
    absent: list[Doubt]
    unproven: list[Doubt]
    resend: list[Doubt]


@dataclass(slots=True)
class _PutOff:
    """
    A refused *batch* and its *answer*, until it is known what that leaves behind; *was_begun* where
    some of it has been sent again.
    """

    batch: Batch
    answer: Answer
    was_begun: bool = False


class Delivery:
    """
    Delivers the batches of one slice. *doubts* are what it sent and knows no fate of; whoever has
    others, which this is to settle in the end, says so (*has_earlier_doubts*), so that what is sent
    meanwhile can prove something of them.

    With *resends_unproven*, a doubt of which nothing can be proved is sent again, once in a run;
    never for transactions.
    """

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        sending: Sending,
        settler: Settler,
        limits: Limits,
        *,
        log: Log,
        resends_unproven: bool = False,
    ) -> None:
        self._ledger = ledger
        self._lease = lease
        self._sending = sending
        self._settler = settler
        self._log = log
        self._isolation = Isolation(
            ledger,
            lease,
            self._send_apart,
            spent=lambda: isolated_within_hour(ledger),
            per_hour=limits.isolation_per_hour,
            but_for_doubtful=self._but_for_doubtful,
        )
        # Whatever the mapping says: points that are sent twice count twice.
        self._resends_unproven = resends_unproven and lease.entity is not Entity.TRANSACTIONS
        # What may have arrived before, and what this run has sent again for that reason.
        self._resent: set[str] = set()
        self._has_resent: set[str] = set()
        self._outdated: dict[str, int] = {}
        self._again: set[str] = set()
        # An API that was down for an earlier try is asked once, not with as many records as if
        # nothing were known.
        self._doubts_in_a_row = doubts_in_a_row(ledger, lease.entity, most=_DOUBTS_IN_A_ROW - 1)
        self._put_off: list[_PutOff] = []
        self._has_tried_to_learn = False
        self._is_accepting = not self._doubts_in_a_row
        # By batch of the ledger: what the API said of those whose records it may have taken, and of
        # single units.
        self._said: dict[int, Answer] = {}
        self._alone: set[int] = set()
        self._in_parts: set[str] = set()
        self.doubts: list[Doubt] = []
        self.has_earlier_doubts = False

    def pack(self, batches: Sequence[Batch]) -> None:
        """
        Write *batches*, which are to be delivered in this order, into the ledger before their
        turns.

        Not where records are sent again unproven: those that are written down and not sent count as
        sent again all the same.
        """
        if not self._resent:
            outdated = [number for batch in batches for number in self._outdated_by(batch)]
            self._sending.pack(batches, self._again, outdated=outdated)

    def deliver(self, batch: Batch) -> list[Unit]:
        """
        Send *batch* and judge its records; return those that are to be packed again, because
        nothing is known of them.
        """
        left: list[Unit] = []
        if not self._is_accepting:
            rest = units_of(batch.records)
            for _ in range(min(_PROBES, len(rest))):
                if self._is_alone_accepted(rest.pop(0), batch.number):
                    break
            if not rest:
                return left
            batch = one_request(rest, batch.number)
        if self._put_off and self._is_accepting and not self._has_tried_to_learn:
            left = self._learn()
        return left + self._deliver(batch)

    def settle(self, doubts: Sequence[Doubt]) -> list[Unit]:
        """
        Read back *doubts* of this slice, its own or those of a try that died; return what is to be
        sent (again).

        What is proved to have arrived is delivered; the rest stays in doubt.
        """
        left = self._learn() if self._put_off else []
        put_off, self._put_off = self._put_off, []
        for one in put_off:
            self._doubt(one.batch, one.answer)
        doubts, self.doubts = [*doubts, *self.doubts], []
        resent = {doubt.record.key for doubt in doubts if doubt.is_resent}
        self._resent |= resent
        self._has_resent |= resent
        return left + self._settle(doubts) if doubts else left

    def read_back(self, doubts: Sequence[Doubt]) -> Found:
        """Ask the API about *doubts*, of whatever run, and say what it showed."""
        self._log.info("reading back %d records in doubt", len(doubts))
        findings = self._settler.settle(doubts)
        crash_point("settling")
        found = Found([], [], [], [])
        for doubt in doubts:
            match findings[doubt.record.key]:
                case Finding.PRESENT:
                    found.present.append(doubt)
                case Finding.ABSENT:
                    found.absent.append(doubt)
                case Finding.UNPROVEN:
                    (found.resend if self._may_resend(doubt) else found.unproven).append(doubt)
        again = {doubt.record.key for doubt in found.resend}
        self._resent -= {doubt.record.key for doubt in found.absent}
        self._resent |= again
        self._has_resent |= again
        self._log.info(
            "read back: %d arrived, %d did not, %d stay in doubt, %d are in doubt and sent again because the mapping"
            " says so",
            *map(len, found),
        )
        return found

    def _may_resend(self, doubt: Doubt) -> bool:
        # What the API refused would be refused again; and one more doubt in the same run shows that
        # the API is not well.
        return self._resends_unproven and not doubt.is_refused and doubt.record.key not in self._has_resent

    def outdate(self, doubts: Iterable[Doubt]) -> None:
        """
        Supersede *doubts* of earlier runs, whose records are sent again, when that is written down
        and not before.
        """
        self._outdated |= {doubt.record.key: doubt.entry for doubt in doubts}

    def send_in_parts(self, absent: Sequence[Unit], refusal: Answer | None = None) -> list[Unit]:
        """
        Send *absent* again, which were refused, with *refusal*, and are proved not to have been
        taken; return what is to be packed again.

        Together they would only be refused again.
        """
        is_first = self._in_parts.isdisjoint(record.key for unit in absent for record in unit)
        self._in_parts |= {record.key for unit in absent for record in unit}
        left, unsent = self._isolation.send_in_parts(absent, refusal or Answer(), is_first=is_first)
        self._isolation.park([unit for unit in unsent if unit[0].key not in self._outdated])
        # Of these this run has nothing yet.
        others = [record for unit in unsent for record in unit if record.key in self._outdated]
        parked = [Entry(record, State.QUARANTINED, "refused_in_company") for record in others]
        if parked:
            self._ledger.enter(self._lease, parked, [self._outdated.pop(record.key) for record in others])
        return left

    def _deliver(self, batch: Batch) -> list[Unit]:
        answer = self._send(batch)
        judged = verdict(answer)
        if judged is Verdict.ACCEPTED:
            self._accepted(len(units_of(batch.records)))
        if judged is not Verdict.REFUSED:
            return []
        if self._leaves_nothing(batch, answer):
            return self._take_apart(batch, answer)
        self._is_accepting = False
        self._call_in_doubt(batch, answer)
        return []

    def _leaves(self, answer: Answer) -> str:
        """
        Return what is known of what such a refusal leaves behind; another slice may have learned
        it. Of transactions nothing ever is.
        """
        entity = self._lease.entity
        return "" if entity is Entity.TRANSACTIONS else self._ledger.refusals.get((entity, answer.status), "")

    def _leaves_nothing(self, batch: Batch, refusal: Answer) -> bool:
        """
        Whether nothing of *batch* can have been taken: of a single record, or where that is known.
        """
        return len(batch.records) == 1 or self._leaves(refusal) == "atomic"

    def _settle(self, doubts: Sequence[Doubt]) -> list[Unit]:
        found = self.read_back(doubts)
        # What was sent again unproven may be there from before.
        for status in {one.refused for one in found.present if one.is_refused and one.record.key not in self._resent}:
            self._know(status, "partial")
        self._judge((doubt for doubt in found.present if doubt.record.key not in self._resent), State.DELIVERED)
        resent = [doubt for doubt in found.present if doubt.record.key in self._resent]
        self._judge(resent, State.DELIVERED, RESENT_UNPROVEN)
        # Where the row has changed since, what was sent is not what the record says.
        self._ledger.release(self._lease, [doubt.record for doubt in found.present if not doubt.is_changed])
        absent, parts = whole_sets(self._ledger, self._lease, found.absent, doubts)
        self._judge(parts, State.HELD, "earlier_in_doubt")
        self._again |= {doubt.record.key for doubt in (*absent, *found.resend)}
        refused = self._but_for_judged([one for one in absent if one.is_refused], found.present)
        left: list[Unit] = []
        for number, some in groupby(refused, key=lambda doubt: doubt.batch):
            left += self.send_in_parts(units_of([doubt.record for doubt in some]), self._said.get(number))
        rest = [*(doubt for doubt in absent if not doubt.is_refused), *found.resend]
        return left + units_of([doubt.record for doubt in rest])

    def _but_for_judged(self, absent: Sequence[Doubt], present: Sequence[Doubt]) -> list[Doubt]:
        """
        Quarantine those *absent* that the API has judged: it refused them alone, or took one that
        stood behind them; return the others.
        """
        last: dict[int, int] = {}
        for doubt in present:
            if doubt.was_refused_first and not doubt.arrived_before:
                last[doubt.batch] = max(doubt.entry, last.get(doubt.batch, 0))
        alone = [one for one in absent if one.batch in self._alone]
        for number, some in groupby(alone, key=lambda doubt: doubt.batch):
            self._isolation.refuse([one.record for one in some], self._said[number], is_telling=False)
        passed = [one for one in absent if one not in alone and one.entry < last.get(one.batch, 0)]
        self._judge(passed, State.QUARANTINED, "refused", "not taken with the rest of its batch")
        judged = {one.record.key for one in (*alone, *passed)}
        return sorted(
            (one for one in absent if one.record.key not in judged), key=lambda doubt: (doubt.batch, doubt.entry)
        )

    def _send_apart(self, batch: Batch) -> Answer:
        answer = self._send(batch, Purpose.ISOLATION)
        if verdict(answer) is not Verdict.REFUSED:
            return answer
        self._again |= {record.key for record in batch.records}
        if self._leaves_nothing(batch, answer):
            return answer
        self._call_in_doubt(batch, answer)
        return Answer(failure="refused, and perhaps taken in part")

    def _send(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> Answer:
        self._isolation.beware()
        if self.doubts or self._put_off or self.has_earlier_doubts:
            self._settler.note_baseline(batch.records)
        unproven = self._resent & {record.key for record in batch.records} if self._resent else set()
        outdated = self._outdated_by(batch)
        answer = self._sending.send(batch, self._again, unproven=unproven, outdated=outdated, purpose=purpose)
        if verdict(answer) is Verdict.IN_DOUBT:
            self.doubts += self._doubts_of(batch.records)
            self._is_accepting = False
            self._doubts_in_a_row += 1
            if self._doubts_in_a_row >= _DOUBTS_IN_A_ROW:
                msg = (
                    f"{_DOUBTS_IN_A_ROW} answers in a row prove nothing (last: {answer}); the rest waits for the API to"
                    " recover"
                )
                raise TryAgainLater(msg)
        else:
            self._doubts_in_a_row = 0
        return answer

    def _outdated_by(self, batch: Batch) -> list[int]:
        """Return, once, the entries of earlier runs that *batch* supersedes."""
        if not self._outdated:
            return []
        return [self._outdated.pop(one.key) for one in batch.records if one.key in self._outdated]

    def _is_alone_accepted(self, unit: Unit, number: int) -> bool:
        """Send *unit* alone, which gives it its verdict, whatever is known of refusals."""
        batch = one_request([unit], number)
        answer = self._send_apart(batch)
        if verdict(answer) is Verdict.ACCEPTED:
            self._accepted(1)
        if verdict(answer) is Verdict.REFUSED:
            self._take_apart(batch, answer)
        return verdict(answer) is Verdict.ACCEPTED

    def _accepted(self, count: int) -> None:
        self._is_accepting = True
        self._isolation.accepted(count)

    def _take_apart(self, batch: Batch, answer: Answer) -> list[Unit]:
        self._again |= {record.key for record in batch.records}
        return self._isolation.take_apart(batch, answer)

    def _learn(self) -> list[Unit]:
        """
        Find out whether a refusal leaves anything behind, of one status for all slices; return what
        may be sent again then.

        A record that is proved absent may be sent again in any case. If it was the first of its
        batch and is accepted now, it was good all the time, no bad one stood before it, and it was
        not taken: then nothing was. Of any other the place says nothing.
        """
        one = next((one for one in self._put_off if not one.was_begun and self._telling(one.batch)), None)
        if one is None:
            return self._after_learning()
        self._has_tried_to_learn = True
        telling, first = self._telling(one.batch), units_of(one.batch.records)[0]
        sample = telling[:: max(1, -(-len(telling) // _SAMPLE))]
        self._log.info("reading back what the API took of a batch that it refused (%s)", one.answer)
        findings = self._settler.settle(self._doubts_of([record for unit in sample for record in unit]))
        if Finding.PRESENT in findings.values():
            self._know(one.answer.status, "partial")
        elif first in sample and all(findings[record.key] is Finding.ABSENT for record in first):
            self._again |= {record.key for record in first}
            one.was_begun = True
            # The rest of the batch may be good or bad now: its refusal was about other company.
            rest = units_of(one.batch.records)[1:]
            self._put_off = [other for other in self._put_off if other is not one]
            if rest:
                one.batch = one_request(rest, one.batch.number)
                self._put_off.append(one)
            if self._is_alone_accepted(first, one.batch.number):
                self._know(one.answer.status, "atomic")
        return self._after_learning()

    def _telling(self, batch: Batch) -> list[Unit]:
        """
        Return what of a refused batch can tell what the refusal left: what was sent again unproven
        may be there from before.
        """
        return [unit for unit in units_of(batch.records) if self._resent.isdisjoint(record.key for record in unit)]

    def _after_learning(self) -> list[Unit]:
        """
        Do with the batches that were put off what can be done with those whose refusals are
        understood now.
        """
        left: list[Unit] = []
        put_off, self._put_off = self._put_off, []
        for one in put_off:
            leaves = self._leaves(one.answer)
            if leaves == "partial":
                self._doubt(one.batch, one.answer)
            elif leaves == "atomic" and one.was_begun:
                # Some of it has its verdict already, so that nothing is known of the others.
                self._again |= {record.key for record in one.batch.records}
                left += units_of(one.batch.records)
            elif leaves == "atomic":
                left += self._take_apart(one.batch, one.answer)
            else:
                self._put_off.append(one)
        return left

    def _know(self, status: int, leaves: str) -> None:
        entity = self._lease.entity
        if entity is not Entity.TRANSACTIONS and self._ledger.refusals.get((entity, status)) != leaves:
            self._ledger.learn(entity, status, leaves)
            self._log.info("the API's refusals of %s (%d) are %s", entity, status, leaves)

    def quarantine(self, records: Sequence[Record], reason: str) -> None:
        """
        Quarantine *records* that were to be sent again, for a *reason* of their own; what may have
        arrived before stays in doubt.
        """
        absent = [record for record in records if record.key not in self._resent]
        self._ledger.judge(self._lease, [one.key for one in absent], State.QUARANTINED, reason, records=absent)

    def _but_for_doubtful(self, refused: Sequence[Unit]) -> list[Unit]:
        """
        Leave in doubt what of *refused* was sent before, because a refusal may come of its having
        arrived; return the rest.
        """
        doubtful = [record for unit in refused for record in unit if record.key in self._resent]
        if not doubtful:
            return list(refused)
        self._ledger.judge(self._lease, [record.key for record in doubtful], State.IN_DOUBT, RESENT_UNPROVEN)
        self.doubts += self._doubts_of(doubtful)
        return [unit for unit in refused if self._resent.isdisjoint(record.key for record in unit)]

    def _call_in_doubt(self, batch: Batch, refusal: Answer) -> None:
        """
        Let *batch* be in doubt, of which its *refusal* may have left a part; it is read back, or
        put off until more is known.
        """
        keys = {record.key for record in batch.records}
        self._ledger.judge(self._lease, sorted(keys - self._resent), State.IN_DOUBT, "refusal_unproven")
        if resent := keys & self._resent:  # by the API's verdict on this request nothing is proved of the one before
            self._ledger.judge(self._lease, sorted(resent), State.IN_DOUBT, RESENT_UNPROVEN)
        if len(units_of(batch.records)) == 1:
            self._isolation.was_refused_alone(units_of(batch.records)[0], refusal)
        if self._lease.entity is Entity.TRANSACTIONS or self._leaves(refusal):
            self._doubt(batch, refusal)
        else:
            self._log.info("the API has refused a batch; whether it took part of it will be read back")
            self._put_off.append(_PutOff(batch, refusal))

    def _doubt(self, batch: Batch, refusal: Answer) -> None:
        doubts = self._doubts_of(batch.records)
        for number in {doubt.batch for doubt in doubts}:
            self._said[number] = refusal
            if len(units_of(batch.records)) == 1:
                self._alone.add(number)
        self.doubts += doubts

    def _doubts_of(self, records: Sequence[Record]) -> list[Doubt]:
        """Return the doubts about *records*, which were just sent."""
        self._settler.note_baseline(records)
        doubts: list[Doubt] = []
        history = known(self._ledger, self._lease.entity, {record.key for record in records})
        for record in records:
            entries = history[record.key]
            before = any(entry.arrived for entry in entries)
            latest = next(entry for entry in reversed(entries) if entry.batch)
            doubts += doubt_about(record, latest, arrived_before=before)
        return doubts

    def _judge(self, doubts: Iterable[Doubt], state: State, reason: str = "", shape: str = "") -> None:
        records = [doubt.record for doubt in doubts]
        if records:
            keys = [record.key for record in records]
            self._ledger.judge(self._lease, keys, state, reason, shape, records=records)
