"""
What a customer's number of purchases proves about events, which no address of the API shows
(docs/api-facts.md#f-events-unseen).

Metrics are the migrated ones until the first event is worked off, and are counted from then on
(2.1, fact 9). Legacy metrics usually equal the events that are migrated, so **a number that fits
proves nothing: only a number that did not fit before does.**

=======  ===========================================================================================
present  it was another number once, and is now that of all delivered events and these
absent   nothing was delivered to the customer before, and it is the number that it was, although
         something that was sent later is counted already
=======  ===========================================================================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import orjson

from masivo_engine.ledger.history.entries import delivered_events, open_events, resent_events
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.rows import Record
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

    def note(self, records: Sequence[Record], *, everybody: bool = False) -> None:
        """
        Read what the API counts now for some customers of *records*, or for *everybody*; whose
        number fits already is no use.
        """
        events = Counter(record.customer for record in records)
        bought = Counter(record.customer for record in records if is_purchase(record))
        names = [customer for customer in events if bought[customer] and customer not in self._baselines]
        if not everybody and len(names) > _WITNESSES:
            # The first and last may have events in other requests, so that their number is more
            # likely to change.
            names = [*names[: _WITNESSES // 2], *names[-_WITNESSES // 2 :]]
        before = delivered_events(self._ledger, names)
        doubled = resent_events(self._ledger, names)
        for customer in names:
            if customer in doubled:
                continue  # what was sent twice may be counted twice
            shown = purchases(self._reader.get_customer(customer), customer)
            expected = before.get(customer, 0) + bought[customer]
            if shown is not None and shown != expected:
                self._baselines[customer] = _Baseline(shown, expected, before.get(customer, 0), events[customer])

    def seen(self, records: Sequence[Record]) -> dict[str, bool | None]:
        """
        Return for each of *records*, the events of one batch, by key whether it is counted; what is
        known of one customer says nothing of others.
        """
        self.note(records, everybody=True)
        by_customer: dict[str, list[Record]] = {}
        for record in records:
            by_customer.setdefault(record.customer, []).append(record)
        watched = [customer for customer in by_customer if customer in self._baselines]
        before, still_open = delivered_events(self._ledger, watched), open_events(self._ledger, watched)
        said = {
            customer: self._says(customer, before.get(customer, 0), len(by_customer[customer]))
            for customer in watched
            # Events of other requests whose fate is open could make up the same number.
            if still_open.get(customer, 0) <= len(by_customer[customer])
        }
        # Somebody's other events are not counted, so their fate is open.
        mute = {record.customer for record in records if not is_purchase(record)}
        return {record.key: None if record.customer in mute else said.get(record.customer) for record in records}

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

    def _says(self, customer: str, before: int, records: int) -> bool | None:
        baseline = self._baselines[customer]
        if (before, records) != (baseline.before, baseline.records):
            return None  # other events came in between: too many numbers are possible
        shown = purchases(self._reader.get_customer(customer), customer)
        if shown == baseline.expected:
            return True
        if shown in range(1, records + 1):
            return None  # so many of them may have been taken and counted, even before the number was read first
        return False if not before and shown == baseline.shown else None


def is_purchase(record: Record) -> bool:
    """Whether the API counts the event *record*."""
    return bool(orjson.loads(record.body).get("type") == "PURCHASE")
