"""
What a customer's number of purchases proves about events, which no address of the API shows
(docs/api-facts.md#f-events-unseen).

Metrics are the migrated ones until the first event is worked off, and are counted from then on
(2.1, fact 9). Legacy metrics usually equal the events that are migrated, so **a number that fits
proves nothing: only a number that did not fit before does.**

=======  ===========================================================================================
present  it was another number once, and is now that of all delivered events and these
absent   it is the number that it was, and something that was sent later is counted already; where
         the customer had no event before, so that the number may be a migrated one, only if it was
         another one than that of these
=======  ===========================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.counts import delivered_events, open_events, stray_events
from masivo_engine.ledger.writing.handles import as_handle, handle_of
from masivo_engine.model.rows import Record
from masivo_engine.readback.doubt import Doubt
from masivo_engine.readback.shown import Reader, purchases


_WITNESSES = 8


@dataclass(frozen=True, slots=True)
class _Baseline:
    """
    A customer's number when it was *shown* first, which is not the one *expected* once these events
    are counted.
    """

    shown: int
    expected: int
    before: int
    records: int


class Purchases:
    """Watches the numbers of some customers of batches of events."""

    def __init__(self, ledger: Ledger, reader: Reader) -> None:
        self._ledger = ledger
        self._reader = reader
        self._baselines: dict[str, _Baseline] = {}

    @property
    def watched(self) -> frozenset[str]:
        """The customers whose number can prove something once it changes."""
        return frozenset(self._baselines)

    def note(self, records: Sequence[Record]) -> None:
        """
        Read what the API counts now for some customers of *records*, which are about to be sent.
        """
        bought = [(one.customer, bool(as_handle(handle_of(one, str.encode))["p"])) for one in records]
        names = list(dict.fromkeys(customer for customer, is_purchase in bought if is_purchase))
        if len(names) > _WITNESSES:
            # The first and last may have events in other requests, so that their number is more
            # likely to change.
            names = [*names[: _WITNESSES // 2], *names[-_WITNESSES // 2 :]]
        self._note(bought, names)

    def seen(self, doubts: Sequence[Doubt]) -> dict[str, bool | None]:
        """
        Return for each of *doubts*, the events of one batch, by place whether it is counted; what
        is known of one customer says nothing of others.
        """
        bought = [(doubt.customer, bool(doubt.sent.handle.get("p"))) for doubt in doubts]
        self._note(bought, list(dict.fromkeys(customer for customer, is_purchase in bought if is_purchase)))
        by_customer = Counter(customer for customer, _ in bought)
        watched = [customer for customer in by_customer if customer in self._baselines]
        before, still_open = delivered_events(self._ledger, watched), open_events(self._ledger, watched)
        said = {
            customer: self._says(customer, before.get(customer, 0), by_customer[customer])
            for customer in watched
            # Events of other requests whose fate is open could make up the same number.
            if still_open.get(customer, 0) <= by_customer[customer]
        }
        # Somebody's other events are not counted, so their fate is open.
        mute = {customer for customer, is_purchase in bought if not is_purchase}
        return {doubt.place: None if doubt.customer in mute else said.get(doubt.customer) for doubt in doubts}

    def show_later(self, customers: Collection[str]) -> bool | None:
        """
        Whether events of *customers*, all of them delivered, are counted; None where none of them
        can tell.
        """
        watched = [customer for customer in customers if customer in self._baselines]
        delivered = delivered_events(self._ledger, watched)
        told = False
        for customer in watched:
            baseline = self._baselines[customer]
            if delivered.get(customer, 0) == baseline.before + baseline.records:
                told = True
                if purchases(self._reader.get_customer(customer), customer) == baseline.expected:
                    return True
        return False if told else None

    def _note(self, bought: Iterable[tuple[str, bool]], names: Sequence[str]) -> None:
        """Keep the number of each of *names*; whose number fits already is no use."""
        bought = list(bought)
        events = Counter(customer for customer, _ in bought)
        counted = Counter(customer for customer, is_purchase in bought if is_purchase)
        names = [customer for customer in names if customer not in self._baselines]
        before = delivered_events(self._ledger, names)
        may_be_more = stray_events(self._ledger, names)
        for customer in names:
            if customer in may_be_more:
                continue
            shown = purchases(self._reader.get_customer(customer), customer)
            expected = before.get(customer, 0) + counted[customer]
            if shown is not None and shown != expected:
                self._baselines[customer] = _Baseline(shown, expected, before.get(customer, 0), events[customer])

    def _says(self, customer: str, before: int, records: int) -> bool | None:
        baseline = self._baselines[customer]
        if (before, records) != (baseline.before, baseline.records):
            return None  # other events came in between: too many numbers are possible
        shown = purchases(self._reader.get_customer(customer), customer)
        if shown == baseline.expected:
            return True
        if before:
            # They are counted, so the number is a count: exactly the delivered ones, and none of
            # these.
            return False if shown == before == baseline.shown else None
        if shown in range(1, records + 1):
            return None  # so many of them may have been taken and counted, even before the number was read first
        return False if shown == baseline.shown else None
