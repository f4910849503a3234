"""
Settling doubt: did what was sent without a usable answer arrive?

Only a read-back can tell, and only after the API's queue had time. *Present* is proved by one read.
*Absent* takes more: several reads apart, after `Patience.settle_after_s`, and something of the same
kind that was sent later and is visible already, because the queue is worked off in order.
Everything else stays in doubt.

============  ==========================================  ==========================================
entity        read                                        present, or not visible
============  ==========================================  ==========================================
customers     ``GET /customers/{id}``                     200, or 404; proves nothing of one that
                                                          had arrived before
transactions  ``GET /customers/{id}/transactions`` of     its ``details``, which must hold its key,
              all years from 2020 on                      are there, or none of the customer's
                                                          (before 2020 the API shows none:
                                                          docs/api-facts.md#u23); of a row that has
                                                          changed since, no more than that it is
                                                          there
events        ``number_of_purchases``                     see
                                                          `masivo_engine.readback.purchase_counts`;
                                                          rarely anything
============  ==========================================  ==========================================

What was sent is looked for at the customer that it was sent for, whoever the row belongs to now. It
is asked for by the same questions as what was sent later: an account may file transactions by a
local year, or by that of their arrival (docs/api-facts.md#u24), so one year that shows none proves
nothing.

A refusal may have left a part behind, of a customer's transactions too (docs/api-facts.md#u8): so a
part is looked for after it.

Where nothing was sent later, `Patience.certain_after_s` must have passed, and that is enough only
for events that the API refused, and for customers, whose ids it keeps unique: a queue that stands
still for long would else make us send points twice. It is also enough for transactions of which a
person says that they have not arrived: the last ones of all have nothing behind them.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby

import orjson

from masivo_engine.ledger.history.entries import delivered_after, known
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.limits import Patience
from masivo_engine.model.rows import Entity, Record
from masivo_engine.readback.doubt import Doubt, Finding
from masivo_engine.readback.purchase_counts import Purchases
from masivo_engine.readback.shown import Reader, details, is_visible


_FIRST_YEAR_SHOWN = 2020
# No zone is further from UTC, so what is this far from a year's end is in the same year everywhere.
_ZONES = timedelta(hours=14)
_LATER = 8  # customers of a later batch who are asked whether the queue has come to them


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
        self._is_said_lost = is_said_lost
        self._ledger = ledger
        self._reader = reader
        self._entity = entity
        self._patience = patience
        self._sleep = sleep
        self._purchases = Purchases(ledger, reader)

    def note_baseline(self, records: Sequence[Record]) -> None:
        """
        Note what the API shows now of some customers of a batch of events, for it may change or
        not: either can prove something later.
        """
        if self._entity is Entity.EVENTS:
            self._purchases.note(records)

    def settle(self, doubts: Sequence[Doubt]) -> dict[str, Finding]:
        """Return what can be proved of each of *doubts*, by key. Waits for the queue first."""
        findings = {doubt.record.key: Finding.UNPROVEN for doubt in doubts}
        refusals = self._ledger.refusals
        findings |= {
            doubt.record.key: Finding.ABSENT
            for doubt in doubts
            if doubt.was_refused_first and refusals.get((self._entity, doubt.refused)) == "atomic"
        }
        open_batches = _by_batch(doubt for doubt in doubts if findings[doubt.record.key] is Finding.UNPROVEN)
        if self._entity is Entity.EVENTS:
            for members in open_batches:
                self._events_seen(members)
        for number in range(self._patience.reads if open_batches else 0):
            self._sleep(
                self._wait_s(open_batches) if number == 0 else self._patience.settle_after_s / self._patience.reads
            )
            is_last = number == self._patience.reads - 1
            for members in open_batches:
                findings |= self._read(members, is_last=is_last)
            open_batches = _by_batch(
                doubt for members in open_batches for doubt in members if findings[doubt.record.key] is Finding.UNPROVEN
            )
            if not open_batches:
                break
        return findings

    def _wait_s(self, batches: Iterable[Sequence[Doubt]]) -> float:
        youngest = max((members[0].sent_at for members in batches), default=None)
        return 0.0 if youngest is None else max(0.0, self._patience.settle_after_s - self._age_s(youngest))

    def _read(self, doubts: Sequence[Doubt], *, is_last: bool) -> dict[str, Finding]:
        """
        Read the records of one batch; nothing that is not visible is called absent before the last
        read.
        """
        # Before the records themselves: what is visible afterwards may have come in between.
        is_worked_off = is_last and self._is_worked_off(doubts[0])
        seen = self._events_seen(doubts) if self._entity is Entity.EVENTS else self._seen(doubts, is_last=is_last)
        findings = {key: Finding.PRESENT for key, visible in seen.items() if visible}
        if is_worked_off:
            findings |= {key: Finding.ABSENT for key, visible in seen.items() if visible is False}
        return findings

    def _seen(self, doubts: Sequence[Doubt], *, is_last: bool) -> dict[str, bool | None]:
        if self._entity is Entity.CUSTOMERS:
            return {
                doubt.record.key: None
                if doubt.arrived_before
                else is_visible(self._reader.get_customer(doubt.record.key), doubt.record.key)
                for doubt in doubts
            }
        sets: dict[str, list[Doubt]] = {}
        for doubt in doubts:
            sets.setdefault(doubt.customer, []).append(doubt)
        seen: dict[str, bool | None] = {}
        for customer, some in sets.items():
            seen |= self._transactions_seen(customer, some, is_last=is_last)
        return seen

    def _transactions_seen(self, customer: str, doubts: Sequence[Doubt], *, is_last: bool) -> dict[str, bool | None]:
        """
        Look for a customer's transactions: all are there or none, or else nothing is said of those
        that are missing.

        Only of what was refused a part may have been taken. Where others than its own may show one,
        the last look finds it: that one is missing is believed of that look alone.
        """
        bodies = {doubt.record.key: orjson.loads(doubt.record.body) for doubt in doubts}
        moments = {key: _moment(body["issued_at"]) for key, body in bodies.items()}
        is_everything_shown = True
        shown: set[str] = set()
        for year in sorted(_years_asked(moments.values(), is_last=is_last)):
            found = details(self._reader.get_transactions(customer, year=year))
            is_everything_shown = is_everything_shown and found is not None
            shown |= found or set()
        changed = {doubt.record.key for doubt in doubts if doubt.is_changed}
        told: dict[str, bool] = {}
        for key, body in bodies.items():
            # What has changed may have been sent with another text, and with a date whose year is
            # not shown.
            may_be_missed = key in changed or not _is_shown(moments[key]) or not is_everything_shown
            is_there = body["details"] in shown
            if _tells(body["details"], key, shown) and (is_there or not may_be_missed):
                told[key] = is_there
        if doubts[0].is_refused:
            return {key: told.get(key) for key in bodies}
        if len(set(told.values())) == 1:
            return dict.fromkeys(bodies, next(iter(told.values())))
        return {key: told.get(key) or None for key in bodies}

    def _events_seen(self, doubts: Sequence[Doubt]) -> dict[str, bool | None]:
        return self._purchases.seen([doubt.record._replace(customer=doubt.customer) for doubt in doubts])

    def _is_worked_off(self, doubt: Doubt) -> bool:
        """
        Whether the queue has passed what was sent with *doubt*, by something sent later that is
        visible.
        """
        later = delivered_after(self._ledger, self._entity, doubt.sent_at, doubt.batch)
        is_visible_later = self._is_visible_later(later) if later else None
        if is_visible_later is not None:
            return is_visible_later
        is_refused_event = self._entity is Entity.EVENTS and doubt.was_refused_first
        is_said_lost = self._is_said_lost and self._entity is Entity.TRANSACTIONS
        is_enough = is_refused_event or is_said_lost or self._entity is Entity.CUSTOMERS
        return is_enough and self._age_s(doubt.sent_at) >= self._patience.certain_after_s

    def _age_s(self, moment: datetime) -> float:
        return (self._ledger.moment() - moment).total_seconds()

    def _is_visible_later(self, later: Sequence[tuple[str, str]]) -> bool | None:
        """Whether the records of a *later* batch are visible; None where they cannot show it."""
        if self._entity is Entity.EVENTS:
            return self._purchases.show_later({customer for _, customer in later})
        if self._entity is Entity.CUSTOMERS:
            history = known(self._ledger, self._entity, {key for key, _ in later})
            # Who had arrived before is visible whatever the queue does.
            new = [key for key, _ in later if sum(entry.arrived for entry in history.get(key, ())) == 1]
            return any(is_visible(self._reader.get_customer(key), key) for key in new[:_LATER]) if new else None
        keys: dict[str, list[str]] = {}
        for key, customer in later:
            keys.setdefault(customer, []).append(key)
        return any(
            _names(text, key)
            for customer in list(keys)[:_LATER]
            for year in _years_shown()
            for text in details(self._reader.get_transactions(customer, year=year)) or ()
            for key in keys[customer]
        )


def _years_shown() -> range:
    """Return the years of which the API shows transactions, the newest first."""
    return range(datetime.now(UTC).year, _FIRST_YEAR_SHOWN - 1, -1)


def _years_asked(moments: Iterable[datetime], *, is_last: bool) -> set[int]:
    """
    Return the years in which to look for what was issued at *moments*: where it is likely, and at
    *last* all those that the API shows.
    """
    likely = {year for moment in moments for year in _years_around(moment) if year >= _FIRST_YEAR_SHOWN}
    return likely.union(_years_shown()) if is_last else likely


def _is_shown(moment: datetime) -> bool:
    """Whether the API shows the year of *moment*, whichever zone it counts years by."""
    return min(_years_around(moment)) >= _FIRST_YEAR_SHOWN


def _years_around(moment: datetime) -> set[int]:
    try:
        return {(moment - _ZONES).year, moment.year, (moment + _ZONES).year}
    except OverflowError:
        return {moment.year}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _by_batch(doubts: Iterable[Doubt]) -> list[list[Doubt]]:
    def of(doubt: Doubt) -> tuple[int, datetime]:
        return doubt.batch, doubt.sent_at

    return [list(members) for _, members in groupby(sorted(doubts, key=of), key=of)]


def _tells(text: str, key: str, shown: Collection[str]) -> bool:
    """
    Whether *text*, the details that were sent or would be now, can be looked for: nothing else that
    is *shown* holds the key.
    """
    return _names(text, key) and (text in shown or not any(_names(other, key) for other in shown))


def _names(text: str, key: str) -> bool:
    """
    Whether *text* holds *key* as a word of its own; a text that several transactions have proves
    none of them.
    """
    return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text) is not None
