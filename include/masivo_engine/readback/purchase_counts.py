"""
What a customer's number of purchases, and their sum, prove about events, which no address of the
API shows (docs/api-facts.md#f-events-unseen).

Metrics are the migrated ones until the first event is worked off, and are counted from then on
(2.1, fact 9). The ledger knows both: with which metrics the customer was sent, and which purchases
went in which request. So everything that may have happened is gone through, request by request:

=====================  =============================================================================
a request that was     is
=====================  =============================================================================
accepted               counted, or waits in the queue
never answered, or     counted as a whole or in part, or waits in the queue, or has never arrived
refused
any of them, and a     no longer in the queue
control is counted
=====================  =============================================================================

What holds in every course of events that fits what the API shows is proved; if several fit and
disagree, nothing is. Legacy metrics usually equal the events that are migrated, so that often a
number that fits proves nothing. The sum decides only where the number leaves both open, and
*absent* by the sum takes a control that the sum shows, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import combinations, islice
from typing import NamedTuple

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Known, Rows, rows_where
from masivo_engine.ledger.schema import record
from masivo_engine.ledger.writing.handles import as_handle
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Counted


_CENT = Decimal("0.01")
_MOST_COURSES = 5_000
_MOST_APART = 8  # purchases of one request of which each part is told from each other


Sent = tuple[int, str]  # the batch and the place of an event: it may have gone in several batches


class Purchase(NamedTuple):
    """An event that counts: what was *paid*, and what it was *worth* before discounts."""

    sent: Sent
    paid: Decimal
    worth: Decimal


@dataclass(frozen=True, slots=True)
class Request:
    """What of one customer's purchases went in *batch*; *is_accepted* if the answer was 201."""

    batch: int
    purchases: tuple[Purchase, ...]
    is_accepted: bool


@dataclass(frozen=True, slots=True)
class Passed:
    """
    The newest batch of events that the queue is known to have worked off, by a control that a
    *number* showed, and by one that a *sum* showed. 0 is none.
    """

    number: int = 0
    sum: int = 0

    def at_least(self, other: Passed) -> Passed:
        """Return the newer of each."""
        return Passed(max(self.number, other.number), max(self.sum, other.sum))


NOT_PASSED = Passed()


class _Course(NamedTuple):
    """
    One way in which things may have gone with a request, or with all of them: so many purchases are
    *counted*, just those *inside*, and to those *open* anything may still happen.

    The *sums* are those before discounts and after, empty where it is not known which of several
    purchases are counted.
    """

    counted: int
    sums: tuple[Decimal, ...]
    inside: frozenset[Sent]
    open: frozenset[Sent]


@dataclass(frozen=True, slots=True)
class Purchases:
    """
    One customer's purchases in the order of their requests, and the metrics it was sent with.

    *is_sent_again*: the customer itself was sent after one of them, so that its metrics may be the
    migrated ones once more.
    """

    requests: tuple[Request, ...]
    migrated: Counted
    is_sent_again: bool = False

    def told(self, shown: Counted, passed: Passed = NOT_PASSED) -> dict[Sent, bool]:
        """
        Return which purchases are counted, and which have not arrived, where the API has *shown*
        this and the queue has *passed* so far. What is not proved is left out.
        """
        by_number = self._agreed(shown, passed.number, by_sum=False)
        by_sum = {} if shown.spent is None else self._agreed(shown, passed.sum, by_sum=True)
        return by_sum | by_number

    def if_queued(self) -> Purchases:
        """Return the same where a 201 does not count for a proof that the queue took something."""
        return replace(self, requests=tuple(replace(one, is_accepted=False) for one in self.requests))

    def all_of(self) -> list[Purchase]:
        """Return every purchase that was sent."""
        return [purchase for one in self.requests for purchase in one.purchases]

    def can_tell(self, batch: int) -> bool:
        """Whether it shows at all if what *batch* carried is counted."""
        rest = _plain(*(one.purchases for one in self.requests if one.batch != batch and one.is_accepted))
        whole = _plain(*(one.purchases for one in self.requests if one.batch == batch or one.is_accepted))
        everything = Passed(self.requests[-1].batch, self.requests[-1].batch)
        shown = [Counted(one.counted, one.sums[0]) if one.counted else self.migrated for one in (rest, whole)]
        return any(number == batch for one in shown for number, _ in self.told(one, everything))

    @property
    def last_accepted(self) -> int:
        """The newest batch that was accepted, 0 if none was."""
        return max((one.batch for one in self.requests if one.is_accepted), default=0)

    def showing(self, shown: Counted, batch: int) -> Passed:
        """Return whether what is *shown* says that the accepted *batch* is counted."""
        mine = [one.sent for request in self.requests if request.batch == batch for one in request.purchases]
        by_number, by_sum = (self._agreed(shown, 0, by_sum=is_sum) for is_sum in (False, True))
        is_sum = shown.spent is not None and all(by_sum.get(sent) for sent in mine)
        return Passed(batch if all(by_number.get(sent) for sent in mine) else 0, batch if is_sum else 0)

    def _agreed(self, shown: Counted, passed: int, *, by_sum: bool) -> dict[Sent, bool]:
        """Return what all courses have in common that fit what is *shown*."""
        may_be_migrated = shown.number == self.migrated.number
        if may_be_migrated and self.is_sent_again and not by_sum:
            return {}
        numbers = {shown.number} | ({0} if may_be_migrated else set())
        if may_be_migrated and self.is_sent_again:
            numbers = set(range(len(self.all_of()) + 1))
        courses = list(islice(self._courses(passed, numbers), _MOST_COURSES + 1))
        fitting = [one for one in courses if self._fits(one, shown, by_sum=by_sum)]
        if not fitting or len(courses) > _MOST_COURSES:
            return {}
        is_counted = frozenset.intersection(*(one.inside for one in fitting))
        may_be = frozenset[Sent]().union(*(one.inside | one.open for one in fitting))
        every = [purchase.sent for purchase in self.all_of()]
        return dict.fromkeys(is_counted, True) | {sent: False for sent in every if sent not in may_be}

    def _fits(self, course: _Course, shown: Counted, *, by_sum: bool) -> bool:
        migrated = () if self.migrated.spent is None else (self.migrated.spent,)
        pictures = [(course.counted, course.sums)] if course.counted else []
        if not course.counted or self.is_sent_again:
            pictures.append((self.migrated.number, migrated))
        return any(
            number == shown.number and (not by_sum or not sums or any(is_same(one, shown.spent) for one in sums))
            for number, sums in pictures
        )

    def _courses(self, passed: int, numbers: Collection[int]) -> Iterator[_Course]:
        """Yield the courses of all requests together in which one of *numbers* is counted."""
        ways = [list(_ways(one, passed)) for one in self.requests]
        most = [max(one.counted for one in some) for some in ways]
        for number in sorted(numbers):
            yield from map(_together, _of_number(ways, most, number))


def _of_number(ways: Sequence[Sequence[_Course]], most: Sequence[int], number: int) -> Iterator[tuple[_Course, ...]]:
    """Yield a way for each request so that *number* are counted in all; *most* are so in each."""
    if not ways:
        if not number:
            yield ()
        return
    rest = sum(most[1:])
    for one in ways[0]:
        if number - rest <= one.counted <= number:
            for others in _of_number(ways[1:], most[1:], number - one.counted):
                yield (one, *others)


def _ways(request: Request, passed: int) -> Iterator[_Course]:
    """Yield how things may have gone with *request*."""
    every = frozenset(one.sent for one in request.purchases)
    yield _plain(request.purchases)
    if request.batch > passed:
        yield _plain()._replace(open=every)
    if request.is_accepted:
        return
    yield _plain()
    for number in range(1, len(every)):
        if len(every) > _MOST_APART:
            yield _Course(number, (), frozenset(), every)
        else:
            for some in combinations(request.purchases, number):
                part = _plain(some)
                yield part if request.batch <= passed else part._replace(open=every - part.inside)


def _plain(*groups: Sequence[Purchase]) -> _Course:
    counted = [one for group in groups for one in group]
    paid, worth = (sum(some, Decimal(0)) for some in ((one.paid for one in counted), (one.worth for one in counted)))
    return _Course(len(counted), (paid, worth), frozenset(one.sent for one in counted), frozenset())


def _together(parts: Sequence[_Course]) -> _Course:
    are_known = all(one.sums for one in parts)
    return _Course(
        sum(one.counted for one in parts),
        tuple(sum(some, Decimal(0)) for some in zip(*(one.sums for one in parts), strict=True)) if are_known else (),
        frozenset[Sent]().union(*(one.inside for one in parts)),
        frozenset[Sent]().union(*(one.open for one in parts)),
    )


def is_same(one: Decimal, other: Decimal | None) -> bool:
    """Whether two sums are the same to the cent; what is not shown says nothing against it."""
    return other is None or abs(one - other) < _CENT


def purchases_of(ledger: Ledger, customers: Collection[str]) -> dict[str, Purchases]:
    """
    Return the purchases of *customers* as they were sent. Those are missing of whom more may be
    there than the ledger sent: events that were given up, or that a person stated, or a customer of
    whom it is not known with which metrics the API has it.
    """
    events = Rows(ledger).of_customers(Entity.EVENTS, customers)
    migrated = _migrated(ledger, customers)
    found: dict[str, Purchases] = {}
    for name, rows in events.items():
        requests = _requests(name, rows)
        if name in migrated and requests:
            batch, metrics = migrated[name]
            found[name] = Purchases(requests, metrics, is_sent_again=batch > requests[0].batch)
    return found


def _requests(customer: str, rows: Sequence[Known]) -> tuple[Request, ...]:
    """Return the requests by batch; none where something is there that no request tells of."""
    by_batch: dict[tuple[int, bool], list[Purchase]] = {}
    for row in rows:
        if row.strays or (row.has_arrived and row.has_customer == customer and row.has_batch is None):
            return ()
        if row.has_arrived and row.has_customer == customer:
            sent = row.has_batch or 0, row.place
            by_batch.setdefault((sent[0], True), []).extend(_purchase(sent, row.has_handle))
        if row.is_out and row.out_customer == customer:
            sent = row.out_batch or 0, row.place
            by_batch.setdefault((sent[0], False), []).extend(_purchase(sent, row.out_handle))
    return tuple(
        Request(batch, tuple(some), is_accepted) for (batch, is_accepted), some in sorted(by_batch.items()) if some
    )


def _purchase(sent: Sent, handle: str | None) -> Iterator[Purchase]:
    kept = as_handle(handle)
    if kept.get("p"):
        paid = Decimal(kept.get("v") or 0)
        yield Purchase(sent, paid, Decimal(kept.get("w") or paid))


def _migrated(ledger: Ledger, customers: Collection[str]) -> dict[str, tuple[int, Counted]]:
    found: dict[str, tuple[int, Counted]] = {}
    for row in rows_where(ledger, Entity.CUSTOMERS, record.c.key, customers):
        if row.has_arrived and row.has_batch is not None and not row.is_out and not row.strays:
            number, spent = as_handle(row.has_handle).get("m", (0, None))
            found[row.key] = row.has_batch, Counted(number, None if spent is None else Decimal(spent))
    return found
