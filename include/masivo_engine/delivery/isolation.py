"""
A refused batch taken apart, until every record has a verdict of its own, in as few requests as can
be.

The API refuses a whole batch for one bad record and says why in prose (docs/api-facts.md#f-errors).
So the records that the prose names are left out; else the part is tested that is as likely good as
bad. A part that is accepted is delivered by that very request, and proves the rest bad without one.
What nothing is known of any more goes back to be packed with the next batches, so that it costs no
request of its own either.

All this is for refusals that take nothing. Where one may have taken a part, each refused request
has to be read back before any of it goes again, and waits for the queue: so there are few rounds,
each in as many parts as the next one will have records in a part.

A record is ``refused`` only if the API refused it alone, or named it and took all the others, and
it cannot have arrived before. Budgets keep isolation from eating the lane: past them the smallest
part that is known to be bad is parked (``refused_in_company``) and taken up by a later run.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.crash_points import crash_point
from masivo_engine.delivery.refusal_text import Named, culprits, names, sentences
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.answers import Answer, Verdict, verdict, words
from masivo_engine.model.batches import Batch
from masivo_engine.model.errors import Stopped
from masivo_engine.model.rows import State


# Sends a batch and returns its answer; the ledger has the receipt by then.
Send = Callable[[Batch], Answer]

# Requests that one refused batch may cost, and after which what is unknown of it is left to other
# batches: what is known to be bad is found with the rest, any single record in 11.
_BUDGET, _LEAVE = 128, 96
# So many records refused one by one, with nothing accepted in between, are no bad rows but one bad
# mapping; if nothing was ever accepted, and else, because bad rows come in clusters.
_ALIKE, _ALIKE_LATER = 3, 20
# After so many refusals in a row, which is more than the way to a single record takes, a record is
# tried alone.
_PROBE_AFTER = 12
# What is believed of a record before the first answer: one in a thousand is bad, as if twenty had
# been seen.
_BAD_SEEN, _SEEN = 0.02, 20.0
# So few units are sent one by one, where each round is a wait for the queue.
_FEW = 8
_TOO_LARGE = re.compile(
    r"\b(?:payload|body|request|request entity|batch)[^\w\n]+(?:\w+[^\w\n]+){0,2}(?:too (?:large|big)|exceeds|over the"
    r" limit)"
    r"|\b(?:body|size|payload) limit\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Suspects:
    """
    Units that hold a bad one, and the *refusal* of the smallest request that held them all.

    *is_sent* where they were exactly that request, so that its prose is about them; *is_proven*
    where one unit's verdict stands; *is_named* where they are suspects because prose named them.
    """

    units: Sequence[Unit]
    refusal: Answer
    is_sent: bool = False
    is_proven: bool = False
    is_named: bool = False


@dataclass(slots=True)
class _Case:
    """
    One refused batch: what is known to be bad, what is to be tested next, what nothing is known of,
    requests *spent*.
    """

    number: int
    size: int
    suspects: list[_Suspects]
    groups: list[Sequence[Unit]] = field(default_factory=list)
    unknown: list[Unit] = field(default_factory=list)
    spent: int = 0

    @property
    def is_open(self) -> bool:
        return bool(self.suspects or self.groups or self.unknown)


class Isolation:
    """
    Takes the refused batches of one slice apart, by *send*.

    *spent* counts what the account's last hour has seen of such requests, in whatever slice,
    *per_hour* is how many there may be. *but_for_doubtful* is given what would be quarantined: it
    leaves in doubt what may have arrived before, and returns the rest.
    """

    def __init__(
        self,
        ledger: Ledger,
        lease: Lease,
        send: Send,
        *,
        spent: Callable[[], int],
        per_hour: int,
        but_for_doubtful: Callable[[Sequence[Unit]], list[Unit]],
    ) -> None:
        self._ledger = ledger
        self._lease = lease
        self._send = send
        self._spent = spent
        self._per_hour = per_hour
        self._but_for_doubtful = but_for_doubtful
        self._alone: list[str] = []
        self._said = ""
        self._in_a_row = 0
        self._good = 0
        self._bad = 0

    def accepted(self, count: int) -> None:
        """
        Note that a request with *count* units was accepted: what is refused now is not refused
        because all is.
        """
        self._alone.clear()
        self._in_a_row = 0
        self._good += count

    def beware(self) -> None:
        """
        To be called before anything more is sent: raises `Stopped` where all refusals look like one
        cause.
        """
        enough = _ALIKE_LATER if self._good else _ALIKE
        if len(self._alone) >= enough and len(set(self._alone[-enough:])) == 1:
            raise Stopped(
                f"the API refused {enough} {self._lease.entity} in a row one by one, with the same words and nothing"
                f" accepted in between: {self._said[:200]!r}; this looks like the mapping, not like bad rows; nothing"
                " more was sent"
            )

    def take_apart(self, batch: Batch, answer: Answer) -> list[Unit]:
        """
        Find the bad records of *batch*, which the API refused with *answer*, and quarantine each.

        Returns what nothing is known of, to be packed again.
        """
        whole = units_of(batch.records)
        case = _Case(batch.number, len(whole), [_refused(whole, answer)])
        while case.is_open:
            if case.suspects:
                self._pursue(case, case.suspects.pop())
            elif case.groups:
                self._test(case, case.groups.pop())
            elif self._is_worth_going_on(case):
                size = self._likely_clean()
                case.groups.append(case.unknown[:size])
                del case.unknown[:size]
            else:
                break
        return case.unknown

    def send_in_parts(
        self, absent: Sequence[Unit], refusal: Answer, *, is_first: bool
    ) -> tuple[list[Unit], list[Unit]]:
        """
        Send *absent* again in parts: they are proved not to have been taken by a request that was
        refused with *refusal*.

        What is refused of a part is in doubt once more, unless it is known that nothing of it was
        taken. *is_first* where they are not a part themselves. Returns what nothing is known of, to
        be packed again, and what was not sent because the budget is spent.
        """
        spent = 0
        left: list[Unit] = []
        unsent: list[Unit] = []
        for part in _parts(absent, refusal, is_first=is_first):
            if spent >= _BUDGET or not self._has_budget():
                unsent += part
                continue
            spent += 1
            crash_point("taking_apart")
            answer = self._send(one_request(part, 0))
            if verdict(answer) is Verdict.ACCEPTED:
                self.accepted(len(part))
            elif verdict(answer) is Verdict.REFUSED:
                left += self.take_apart(one_request(part, 0), answer)
        return left, unsent

    def was_refused_alone(self, unit: Unit, refusal: Answer) -> None:
        """
        Note that the API refused *unit* by itself, also where it may have taken a part of it: too
        many of them are one cause.
        """
        self._said = words(refusal)
        self._alone.append("too large" if _is_too_large(refusal) else _cause(self._said, unit))

    def _pursue(self, case: _Case, part: _Suspects) -> None:
        """Take the next step towards the bad ones among *part*."""
        if part.is_proven:
            self.refuse(part.units[0], part.refusal, is_telling=part.is_sent and not part.is_named)
        elif case.spent >= _BUDGET or not self._has_budget():
            self.park(part.units)
        elif len(part.units) == 1:
            self._test(case, part.units, is_named=part.is_named)
        elif part.is_sent and _is_too_large(part.refusal):
            # Nothing is wrong with the records; each half is as unknown as the whole was.
            case.groups += _halves_by_bytes(part.units)
        elif not self._good or self._in_a_row >= _PROBE_AFTER:
            # If the API refuses everything, single records show it soonest. The last one, so that
            # all places stay right.
            self._divide(case, part, part.units[-1:], part.units[:-1])
        elif part.is_sent and (named := culprits(part.refusal.text, part.units)).parts:
            self._leave_out(case, part, named)
        else:
            middle = self._likely_half(len(part.units))
            self._divide(case, replace(part, is_sent=False), part.units[:middle], part.units[middle:])

    def _divide(self, case: _Case, part: _Suspects, tested: Sequence[Unit], rest: Sequence[Unit]) -> None:
        """
        Test some of *part*: if they are good, the *rest* is bad, and else nothing is known of it
        any more.
        """
        if self._test(case, tested) is Verdict.ACCEPTED:
            case.suspects.append(replace(part, units=rest))
        else:
            case.unknown += rest

    def _leave_out(self, case: _Case, part: _Suspects, named: Named) -> None:
        """
        Test *part* without those whom its refusal names; they are bad if the others are accepted,
        and else only accused.
        """
        out = {id(unit) for unit in named.units}
        place = len(case.suspects)
        is_accepted = self._test(case, [unit for unit in part.units if id(unit) not in out]) is Verdict.ACCEPTED
        is_certain = is_accepted and (named.is_plain or len(named.parts) == 1)
        # After the others: if those are accepted in the end, bad rows are scattered among good
        # ones.
        case.suspects[place:place] = [
            _Suspects(accused, part.refusal, is_proven=is_certain and len(accused) == 1, is_named=True)
            for accused in named.parts
        ]

    def _test(self, case: _Case, tested: Sequence[Unit], *, is_named: bool = False) -> Verdict:
        """Send *tested*; if it is refused, it is what to pursue next."""
        case.spent += 1
        crash_point("taking_apart")
        answer = self._send(one_request(tested, case.number))
        judged = verdict(answer)
        if judged is Verdict.ACCEPTED:
            self.accepted(len(tested))
        elif judged is Verdict.REFUSED:
            # That those who were named are refused says nothing about the others.
            self._in_a_row += not is_named
            case.suspects.append(replace(_refused(tested, answer), is_named=is_named))
        return judged

    def _likely_half(self, count: int) -> int:
        """
        Return how many of *count* units, one of which at least is bad, are as likely all good as
        not.
        """
        good = 1 - self._share_of_bad()
        return max(1, min(count // 2, int(math.log((1 + good**count) / 2) / math.log(good))))

    def _likely_clean(self) -> int:
        """Return how many units of which nothing is known are as likely all good as not."""
        return max(1, round(math.log(0.5) / math.log(1 - self._share_of_bad())))

    def _share_of_bad(self) -> float:
        return (self._bad + _BAD_SEEN) / (self._bad + self._good + _SEEN)

    def _is_worth_going_on(self, case: _Case) -> bool:
        """
        Whether what is unknown is better tested here, in smaller parts, than in full batches that
        would be refused again.
        """
        return self._likely_clean() * 2 < case.size and case.spent < _LEAVE and self._has_budget()

    def _has_budget(self) -> bool:
        return self._spent() < self._per_hour

    def refuse(self, unit: Unit, refusal: Answer, *, is_telling: bool) -> None:
        """
        Quarantine *unit*, of which *refusal* is the verdict; *is_telling* where it was alone, and
        its words are one of several causes.
        """
        if not self._but_for_doubtful([unit]):
            return
        is_large = _is_too_large(refusal)
        self._said = words(refusal)
        keys, reason = [record.key for record in unit], "too_large" if is_large else "refused"
        self._ledger.judge(self._lease, keys, State.QUARANTINED, reason, self._said, records=unit)
        self._bad += not is_large
        if is_telling:
            self.was_refused_alone(unit, refusal)

    def park(self, bad: Sequence[Unit]) -> None:
        """Leave *bad* to a later run, which sends them apart."""
        records = [record for unit in self._but_for_doubtful(bad) for record in unit]
        if not records:
            return
        keys = [record.key for record in records]
        self._ledger.judge(self._lease, keys, State.QUARANTINED, "refused_in_company", records=records)


def _refused(sent: Sequence[Unit], refusal: Answer) -> _Suspects:
    return _Suspects(sent, refusal, is_sent=True, is_proven=len(sent) == 1)


def _parts(absent: Sequence[Unit], refusal: Answer, *, is_first: bool) -> list[Sequence[Unit]]:
    """
    Return *absent* in parts: halves by bytes of what was too large, those who are named alone, else
    as many parts as each has units.
    """
    if len(absent) > 1 and _is_too_large(refusal):
        return list(_halves_by_bytes(absent))
    if len(absent) <= _FEW:
        return [[unit] for unit in absent]
    named = {id(unit) for unit in culprits(refusal.text, absent).units}
    others = [unit for unit in absent if id(unit) not in named]
    size = len(others) if named and is_first else max(1, math.isqrt(len(others)))
    alone = [[unit] for unit in absent if id(unit) in named]
    return [*alone, *(others[first : first + size] for first in range(0, len(others), max(size, 1)))]


def _halves_by_bytes(large: Sequence[Unit]) -> tuple[Sequence[Unit], Sequence[Unit]]:
    sizes = [sum(len(record.body) for record in unit) for unit in large]
    middle, size = 1, sizes[0]
    while middle < len(large) - 1 and size + sizes[middle] <= sum(sizes) / 2:
        size += sizes[middle]
        middle += 1
    return large[middle:], large[:middle]


def _is_too_large(refusal: Answer) -> bool:
    return refusal.status == 413 or bool(refusal.status == 422 and _TOO_LARGE.search(sentences(refusal.text)))


def _cause(said: str, unit: Unit) -> str:
    """Return *said* without what differs from record to record."""
    for name in sorted(names(unit), key=len, reverse=True):
        said = said.replace(name, "")
    return re.sub(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\d+|\S*@\S*", "", said)
