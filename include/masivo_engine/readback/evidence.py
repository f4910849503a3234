"""
What a read-back proves: the one place that decides it, for what is in doubt, for what was refused,
and for what was delivered (`masivo_engine.verification`).

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
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from urllib.parse import quote

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.counts import Delivered, delivered_after
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.writing.handles import as_handle
from masivo_engine.model.rows import Entity
from masivo_engine.readback.doubt import Content, Doubt, Finding
from masivo_engine.readback.purchase_counts import NOT_PASSED, Passed, Purchases, purchases_of
from masivo_engine.readback.shown import FIRST_YEAR_SHOWN, Reader, is_visible, movements, purchases, shown_customer


_LATER = 8  # customers of a later batch who are asked whether the queue has come to them

# What one look says: found as it was sent, found otherwise, not found, or nothing.
_Look = Finding | None


class Evidence:
    """Says what *reader* shows now of what *ledger* has sent."""

    def __init__(self, ledger: Ledger, reader: Reader) -> None:
        self._ledger = ledger
        self._reader = reader

    def looks(self, doubts: Sequence[Doubt], passed: Mapping[bool, Passed]) -> dict[str, _Look]:
        """
        Return what one look says of *doubts*, all of one batch, by place. *Not found* is no proof
        without one of `controls`; of events it takes how far the queue has *passed* to say it.
        """
        entity = doubts[0].entity
        if entity is Entity.CUSTOMERS:
            return {doubt.place: self._customer(doubt) for doubt in doubts}
        looks: dict[str, _Look] = {}
        by_customer = _by_customer(doubts)
        bought = purchases_of(self._ledger, by_customer) if entity is Entity.EVENTS else {}
        for customer, some in by_customer.items():
            if entity is Entity.EVENTS:
                looks |= self._events(some, bought.get(customer), passed.get(is_encoded(customer), NOT_PASSED))
            else:
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
        if self.is_shown(reading, doubt.key, doubt.sent):
            return Finding.PRESENT
        if doubt.before is not None and self.is_shown(reading, doubt.key, doubt.before):
            return Finding.ABSENT
        return Finding.DIFFERS

    def is_shown(self, reading: object, key: str, content: Content) -> bool:
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

    def _events(self, doubts: Sequence[Doubt], theirs: Purchases | None, passed: Passed) -> dict[str, _Look]:
        """Return what a customer's number and sum say of its events."""
        customer = doubts[0].customer
        if theirs is None or not theirs.can_tell(doubts[0].batch):
            return dict.fromkeys((doubt.place for doubt in doubts), None)
        shown = purchases(self._reader.get_customer(customer), customer)
        told = {} if shown is None else theirs.told(shown, passed)
        words = {True: Finding.PRESENT, False: Finding.ABSENT, None: None}
        return {doubt.place: words[told.get((doubt.batch, doubt.place))] for doubt in doubts}

    # What was sent later, and is there.

    def passed(self, batch: int, sent_at: datetime) -> dict[bool, Passed]:
        """
        Return how far the queue is known to have come, by the form of address that it was asked by:
        events that were sent after *batch*, at *sent_at*, are counted.
        """
        later = delivered_after(self._ledger, Entity.EVENTS, sent_at, batch)
        known = purchases_of(self._ledger, {one.customer for one in later})
        passed: dict[bool, Passed] = {}
        for form, some in groupby(sorted(known, key=is_encoded), key=is_encoded):
            batches = [(name, known[name], known[name].last_accepted) for name in some]
            telling = [one for one in batches if one[2] > batch and one[1].can_tell(one[2])]
            for name, theirs, later_batch in telling[:_LATER]:
                shown = purchases(self._reader.get_customer(name), name)
                if shown is not None:
                    passed[form] = theirs.showing(shown, later_batch).at_least(passed.get(form, NOT_PASSED))
        return passed

    def controls(self, entity: Entity, batch: int, sent_at: datetime, forms: Collection[bool]) -> set[bool]:
        """
        Say for which *forms* of address something of *entity* is visible that was sent after
        *batch*, at *sent_at*: True for customers' ids that have to be encoded in an address, False
        for others.
        """
        if entity is Entity.EVENTS:
            return {form for form, found in self.passed(batch, sent_at).items() if found != NOT_PASSED} & set(forms)
        later = delivered_after(self._ledger, entity, sent_at, batch)
        shown: set[bool] = set()
        for form in forms:
            asked: dict[str, list[Delivered]] = {}
            for one in later:
                if is_encoded(one.customer) == form:
                    asked.setdefault(one.customer, []).append(one)
            if any(self._has_come(entity, customer, asked[customer]) for customer in list(asked)[:_LATER]):
                shown.add(form)
        return shown

    def _has_come(self, entity: Entity, customer: str, later: Sequence[Delivered]) -> bool:
        if entity is Entity.CUSTOMERS:
            (one, *_) = later
            # Who had arrived before is visible whatever the queue does.
            if one.history is not None:
                return False
            content = Content(as_worth(one.worth), one.email, as_handle(one.handle))
            return self.is_shown(self._reader.get_customer(one.key), one.key, content)
        shown = self._movements(customer) or {}
        return any(as_handle(one.handle).get("d") in shown for one in later if as_handle(one.handle).get("t"))


def is_encoded(customer: str) -> bool:
    """Whether an id has to be encoded in an address."""
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
