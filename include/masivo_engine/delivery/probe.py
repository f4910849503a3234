"""
The first customer that an account gets a second time: a probe of one, read back.

What a second sending does to a customer's points is not documented (docs/api-facts.md#u5): it may
put the new balance in the place of the old one, add it, or be refused. So one customer is sent
again, with a balance above zero and something changed that can be read, and its wallet is read
right before and after. What that teaches is kept with the ledger; until then the others are held.

A 201 does not say that the queue takes it, so a probe is in doubt until it is read back. A run
sends one, whichever slice has it, and none while an earlier one is in doubt. One that is refused,
or that the queue did not take, may be so for what it says: that teaches something only where
another customer was refused as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from masivo_engine.batching.units import Unit, judged_as
from masivo_engine.ledger.counts import has_probe, refused_again
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.rows import Known
from masivo_engine.ledger.writing.handles import as_handle, handle_of
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.model.limits import Log, Patience
from masivo_engine.model.rows import Record
from masivo_engine.readback.doubt import NOT_TAKEN, Finding, doubts_at
from masivo_engine.readback.settler import Settler
from masivo_engine.readback.shown import Reader, Shown, shown_customer


class Probe:
    """Chooses the customer, watches it, and says what was learned."""

    def __init__(
        self,
        writer: SliceLedger,
        reader: Reader,
        settler: Settler,
        patience: Patience,
        *,
        run: int,
        log: Log,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._writer = writer
        self._ledger = writer.ledger
        self._reader = reader
        self._settler = settler
        self._patience = patience
        self._run = run
        self._log = log
        self._sleep = sleep
        self._held: dict[str, Record] = {}
        self._chosen: Record | None = None
        self._candidates: list[Record] = []
        self._before: Shown | None = None

    def take(self, held: Sequence[Record], known: Mapping[str, Known]) -> None:
        """Take changed customers that wait for a probe, with what is *known* of them."""
        self._held |= {record.place: record for record in held}
        points = [record for record in held if record.points > 0]
        telling = [record for record in points if self._can_tell(record, known[record.place])]
        self._candidates = [*telling, *self._candidates, *(record for record in points if record not in telling)]

    def candidate(self) -> Iterator[Unit]:
        """
        Yield the customer that is to be sent alone, if one can tell, and no other slice has learned
        it or tries it; read what the API shows of it before.
        """
        if not self._candidates or self._ledger.resends or has_probe(self._ledger, self._run):
            return
        for record in self._candidates:
            before = shown_customer(self._reader.get_customer(record.key), record.key)
            if before is not None and sum(before.balance.values(), Decimal(0)) > 0:
                self._chosen, self._before = record, before
                self._log.info("one changed customer is sent again by itself, to see what that does to its points")
                yield [record]
                return

    def learned(self) -> list[Record]:
        """
        Read the probe back, keep what it shows, and return the others that may go now: those that
        were held for it, where another slice has learned it, too.
        """
        if not self._held:
            return []
        chosen = self._chosen
        found = self._found(chosen, self._before) if chosen and self._before else ""
        if found:
            self._ledger.learn_resends(found)
            self._log.info("a customer that is sent again: %s", found)
        known = self._ledger.resends
        rest = [record for record in self._held.values() if record is not chosen or found == "refuse"]
        self._held, self._candidates, self._chosen = {}, [], None
        return rest if known else []

    def _found(self, record: Record, before: Shown) -> str:
        doubts = doubts_at(self._ledger, record.entity, [record.place])
        if not doubts:
            return self._refused()
        found, place, batch = self._shown(record, before), [record.place], doubts[0].batch
        if found:
            self._writer.arrived(place, batch)
        elif doubts[0].is_accepted and self._settler.settle(doubts)[record.place] is Finding.ABSENT:
            self._writer.convict([record], batch, "refused", NOT_TAKEN, judged_as([record]))
            return self._refused()
        return found

    def _refused(self) -> str:
        return "refuse" if refused_again(self._ledger) > 1 else ""

    def _shown(self, record: Record, before: Shown) -> str:
        """Return what the wallet shows, empty where it shows nothing."""
        for number in range(self._patience.reads):
            self._sleep(self._patience.settle_after_s / (1 if number == 0 else self._patience.reads))
            shown = shown_customer(self._reader.get_customer(record.key), record.key)
            if shown is None:
                continue
            wanted = {reward: amount for reward, amount in record.balance.items() if amount}
            there = {reward: amount for reward, amount in shown.balance.items() if amount}
            had = {reward: amount for reward, amount in before.balance.items() if amount}
            added = {reward: had.get(reward, Decimal(0)) + wanted.get(reward, Decimal(0)) for reward in {*had, *wanted}}
            if there == added:
                return "add"
            # A balance that was the same before proves nothing by itself.
            has_come = there != had or _shown_fields(shown) != _shown_fields(before)
            if there == wanted and has_come:
                return "replace"
        return ""

    def _can_tell(self, record: Record, known: Known) -> bool:
        """Whether something that can be read differs from what the API has."""
        digest = self._ledger.digest
        has_other_name = as_handle(known.has_handle).get("n") != as_handle(handle_of(record, digest)).get("n")
        has_other_balance = as_worth(known.has_worth) != dict(record.balance)
        return has_other_name or has_other_balance or known.has_email != digest(record.email)


def _shown_fields(shown: Shown) -> dict[str, Any]:
    """Return the fields of a customer that only we change: what is counted moves by itself."""
    return {name: value for name, value in shown.fields.items() if name not in ("metrics", "updated_at")}
