"""
Settling doubt: did what was sent without a usable answer arrive?

Three rules decide.

1. *Not there* counts only with a control: the very same question about something else that was sent
   later showed that, at the same time. It must need the same form of address, and the queue must
   have had `Patience.settle_after_s`. Time alone proves nothing.
2. *There* is equality with what was sent, not the existence of an id. What is there and not equal
   *differs*: it is neither sent again nor counted as delivered, and a person decides.
3. What is said of one request says nothing of another one.

============  ==========================================  ==========================================
entity        read                                        equal when
============  ==========================================  ==========================================
customers     ``GET /customers/{id}``                     the e-mail address and the points of each
                                                          reward are those that were sent; where the
                                                          API had both before, the name too
transactions  ``GET /customers/{id}/transactions`` of     one has the ``details``, the points and
              all years from 2020 on (before that the     the reward that were sent; of what was
              API shows none: docs/api-facts.md#u23)      never answered, all of a customer's are
                                                          there or none
events        ``number_of_purchases``,                    see
              ``spend_total``                             `masivo_engine.readback.purchase_counts`
============  ==========================================  ==========================================

What was sent is looked for as it was sent, and at the customer that it was sent for, whatever the
row says now: the ledger keeps what that takes (`masivo_engine.ledger.writing.handles`). That the
queue is worked off in order is an assumption; it is the one that a control rests on.

Transactions of which a person says that they have not arrived need no control: the last ones of all
have nothing behind them. They are read in all years all the same, after `Patience.certain_after_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from urllib.parse import quote

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.counts import Delivered, delivered_after
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.writing.handles import as_handle
from masivo_engine.model.limits import Patience
from masivo_engine.model.rows import Entity
from masivo_engine.readback.doubt import Content, Doubt, Finding
from masivo_engine.readback.purchase_counts import NOT_PASSED, Passed, purchases_of
from masivo_engine.readback.shown import FIRST_YEAR_SHOWN, Reader, is_visible, movements, purchases, shown_customer


_LATER = 8  # customers of a later batch who are asked whether the queue has come to them

# What one look says: found as it was sent, found otherwise, not found, or nothing.
_Look = Finding | None


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
        self._reader = reader
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
        if self._entity is Entity.EVENTS:
            return self._events(doubts, is_last=is_last)
        # Before the records themselves: what is visible afterwards may have come in between.
        controls = self._controls(doubts) if is_last else set()
        looks = self._looks(doubts)
        findings: dict[str, Finding] = {}
        for doubt in doubts:
            look = looks[doubt.place]
            is_final = look is Finding.PRESENT or (look is Finding.DIFFERS and is_last)
            if look is not None and (is_final or (look is Finding.ABSENT and _needs_encoding(doubt) in controls)):
                findings[doubt.place] = look
        return findings

    def _looks(self, doubts: Sequence[Doubt]) -> dict[str, _Look]:
        if self._entity is Entity.CUSTOMERS:
            return {doubt.place: self._customer(doubt) for doubt in doubts}
        looks: dict[str, _Look] = {}
        for customer, some in _by_customer(doubts).items():
            looks |= self._transactions(customer, some)
        return looks

    def _customer(self, doubt: Doubt) -> _Look:
        reading = self._reader.get_customer(doubt.key)
        visible = is_visible(reading, doubt.key)
        if not visible:
            # Whom the API had before it shows, whatever became of this request.
            return Finding.ABSENT if visible is False and doubt.before is None else None
        if doubt.before is not None and _alike(doubt.sent, doubt.before):
            return None  # what came before looks the same
        if self._is_shown(reading, doubt.key, doubt.sent):
            return Finding.PRESENT
        if doubt.before is not None and self._is_shown(reading, doubt.key, doubt.before):
            return Finding.ABSENT
        return Finding.DIFFERS

    def _is_shown(self, reading: object, key: str, content: Content) -> bool:
        shown = shown_customer(reading, key)  # type: ignore[arg-type]
        if shown is None or not _same_points(content.worth, shown.balance):
            return False
        digest = self._ledger.digest
        email, name = str(shown.fields.get("email") or "").lower(), str(shown.fields.get("name") or "")
        if content.email is not None and digest(email) != content.email:
            return False
        return "n" not in content.handle or not name or digest(name).hex() == content.handle["n"]

    def _transactions(self, customer: str, doubts: Sequence[Doubt]) -> dict[str, _Look]:
        """
        Look for a customer's transactions: all are there or none, or else nothing is said of those
        that are missing. Only of what was refused a part may have been taken.
        """
        shown = self._movements(customer)
        if shown is None:
            return dict.fromkeys((doubt.place for doubt in doubts), None)
        looks = {doubt.place: self._transaction(doubt, shown) for doubt in doubts}
        told = {look for look in looks.values() if look is not None}
        if doubts[0].is_refused or told != {Finding.PRESENT, Finding.ABSENT}:
            is_all = told == {Finding.PRESENT} and not doubts[0].is_refused
            return {place: Finding.PRESENT if is_all else look for place, look in looks.items()}
        return {place: None if look is Finding.ABSENT else look for place, look in looks.items()}

    def _transaction(self, doubt: Doubt, shown: Mapping[str, list[Mapping[str, Decimal]]]) -> _Look:
        handle = doubt.sent.handle
        if not handle.get("t"):
            return None  # several have this text, so it proves none of them
        found = shown.get(handle["d"])
        if found:
            return Finding.PRESENT if dict(doubt.sent.worth) in found else Finding.DIFFERS
        # Whichever zone it counts years by.
        return Finding.ABSENT if handle.get("y", "") > f"{FIRST_YEAR_SHOWN}-01-01" else None

    def _movements(self, customer: str) -> dict[str, list[Mapping[str, Decimal]]] | None:
        """
        Return what the API shows of a customer's transactions, by the digest of their details.
        """
        found: dict[str, list[Mapping[str, Decimal]]] = {}
        for year in range(datetime.now(UTC).year, FIRST_YEAR_SHOWN - 1, -1):
            shown = movements(self._reader.get_transactions(customer, year=year))
            if shown is None:
                return None
            for one in shown:
                found.setdefault(self._ledger.digest(one.text).hex(), []).append({one.reward: one.amount})
        return found

    def _events(self, doubts: Sequence[Doubt], *, is_last: bool) -> dict[str, Finding]:
        """Return what the customers' numbers and sums say of *doubts*, all of one batch."""
        first = doubts[0]
        passed = self._passed(first) if is_last else {}
        known = purchases_of(self._ledger, {doubt.customer for doubt in doubts})
        findings: dict[str, Finding] = {}
        for customer, some in _by_customer(doubts).items():
            theirs = known.get(customer)
            if theirs is None or not theirs.can_tell(first.batch):
                continue
            shown = purchases(self._reader.get_customer(customer), customer)
            told = {} if shown is None else theirs.told(shown, passed.get(_needs_encoding(some[0]), NOT_PASSED))
            words = {True: Finding.PRESENT, False: Finding.ABSENT}
            sent = {doubt.place: told.get((doubt.batch, doubt.place)) for doubt in some}
            findings |= {place: words[is_counted] for place, is_counted in sent.items() if is_counted is not None}
        return findings

    def _passed(self, doubt: Doubt) -> dict[bool, Passed]:
        """
        Return how far the queue is known to have come, by the form of address that it was asked by:
        events that were sent after *doubt* are counted.
        """
        later = delivered_after(self._ledger, self._entity, doubt.sent_at, doubt.batch)
        known = purchases_of(self._ledger, {one.customer for one in later})
        passed: dict[bool, Passed] = {}
        for is_encoded, some in groupby(sorted(known, key=_is_encoded), key=_is_encoded):
            batches = [(name, known[name], known[name].last_accepted) for name in some]
            telling = [one for one in batches if one[2] > doubt.batch and one[1].can_tell(one[2])]
            for name, theirs, batch in telling[:_LATER]:
                shown = purchases(self._reader.get_customer(name), name)
                if shown is not None:
                    passed[is_encoded] = theirs.showing(shown, batch).at_least(passed.get(is_encoded, NOT_PASSED))
        return passed

    # What was sent later, and is there.

    def _controls(self, doubts: Sequence[Doubt]) -> set[bool]:
        """
        Say for which forms of address something is visible that was sent after *doubts*, all of one
        batch: True for customers' ids that have to be encoded in an address, False for others.
        """
        first = doubts[0]
        if self._is_said_lost and self._age_s(first.sent_at) >= self._patience.certain_after_s:
            return {True, False}
        later = delivered_after(self._ledger, self._entity, first.sent_at, first.batch)
        shown: set[bool] = set()
        for form in {_needs_encoding(doubt) for doubt in doubts}:
            asked: dict[str, list[Delivered]] = {}
            for one in later:
                if _is_encoded(one.customer) == form:
                    asked.setdefault(one.customer, []).append(one)
            if any(self._has_come(customer, asked[customer]) for customer in list(asked)[:_LATER]):
                shown.add(form)
        return shown

    def _has_come(self, customer: str, later: Sequence[Delivered]) -> bool:
        if self._entity is Entity.CUSTOMERS:
            (one, *_) = later
            # Who had arrived before is visible whatever the queue does.
            if one.history is not None:
                return False
            content = Content(as_worth(one.worth), one.email, as_handle(one.handle))
            return self._is_shown(self._reader.get_customer(one.key), one.key, content)
        shown = self._movements(customer) or {}
        return any(as_handle(one.handle).get("d") in shown for one in later if as_handle(one.handle).get("t"))


def _needs_encoding(doubt: Doubt) -> bool:
    return _is_encoded(doubt.customer)


def _is_encoded(customer: str) -> bool:
    return quote(customer, safe="") != customer


def _same_points(sent: Mapping[str, Decimal], shown: Mapping[str, Decimal]) -> bool:
    return all(sent.get(reward, Decimal(0)) == shown.get(reward, Decimal(0)) for reward in {*sent, *shown})


def _alike(one: Content, other: Content) -> bool:
    """Whether two contents cannot be told apart by what the API shows."""
    return (
        _same_points(one.worth, other.worth)
        and one.email == other.email
        and one.handle.get("n") == other.handle.get("n")
    )


def _by_customer(doubts: Iterable[Doubt]) -> dict[str, list[Doubt]]:
    found: dict[str, list[Doubt]] = {}
    for doubt in doubts:
        found.setdefault(doubt.customer, []).append(doubt)
    return found


def _by_batch(doubts: Iterable[Doubt]) -> list[list[Doubt]]:
    def of(doubt: Doubt) -> tuple[int, datetime]:
        return doubt.batch, doubt.sent_at

    return [list(members) for _, members in groupby(sorted(doubts, key=of), key=of)]
