"""
What becomes of each row that was read: sent, or left with a state and a reason.

The order of the questions matters and is the same for all: is the row itself sound, was it sent
before, is its customer there, and, for transactions, may its customer's set go as a whole. A row's
own fault is named before anybody else's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import groupby

from masivo_engine.batching.capacity import fit_by_far, fits_alone
from masivo_engine.batching.units import by_customer
from masivo_engine.ledger.history.entries import Knowledge, Known, Parent
from masivo_engine.ledger.history.states import ADOPTED
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.mapping.settings import Policies
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Entry, Record, Rejection, State
from masivo_engine.model.runs import Mode
from masivo_engine.readback.doubt import Doubt, doubt_about, is_same


Row = Record | Rejection

_PARENT_REASONS = {
    "": "customer_missing",
    State.QUARANTINED: "customer_quarantined",
    State.IN_DOUBT: "customer_in_doubt",
    "sending": "customer_in_doubt",
}
# The API judged exactly this content by itself, so sending it again costs a request and a batch.
_REFUSED_ALONE = "refused"
_RELEASES = frozenset({Mode.RELEASE, Mode.RELEASE_MORE, Mode.RELEASE_LOST})
_REFUSED_IN_COMPANY = "refused_in_company"
_DUPLICATE_KEY = "duplicate_key"
_CHANGED = "changed_after_delivery"


@dataclass(slots=True)
class Judgement:
    """
    What is to be done with a page.

    *entries* to write, *groups* to send, *suspects* to send apart from the others, older entries
    that are *outdated* now, and what is in doubt: *doubts* of an earlier try of this slice,
    *earlier* ones of another run. *never_sent* counts those of *entries* that are adopted and were
    never sent.
    """

    entries: list[Entry] = field(default_factory=list)
    groups: list[list[Record]] = field(default_factory=list)
    suspects: list[list[Record]] = field(default_factory=list)
    outdated: list[int] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    earlier: list[Doubt] = field(default_factory=list)
    never_sent: int = 0


class Triage:
    """
    Judges the rows of one slice by page; the rows of a key, for transactions of a customer, must be
    in one page.
    """

    def __init__(
        self,
        knowledge: Knowledge,
        lease: Lease,
        limits: Limits,
        policies: Policies | None = None,
        mode: Mode = Mode.SEND,
    ) -> None:
        self._policies = policies or Policies()
        self._mode = mode
        self._takes_more = self._policies.new_transactions == "send" or mode is Mode.RELEASE_MORE
        self._knowledge = knowledge
        self._lease = lease
        self._limits = limits
        self._entity = lease.entity
        self.seen_again = 0
        self._on_the_way: set[str] = set()
        self._incomplete: set[str] = set()
        self._migrated: set[str] = set()
        self._in_doubt: set[str] = set()
        self._suspected: set[str] = set()
        self.resent: set[str] = set()

    def judge(self, rows: Sequence[Row]) -> Judgement:
        """Judge one page."""
        judged = Judgement()
        history = self._knowledge.known(self._entity, {row.key for row in rows if row.key})
        for entries in history.values():
            judged.outdated += [entry.id for entry in entries if entry.run != self._lease.run and entry.waits]
        sendable = self._plain(rows) if not history and self._mode is not Mode.ADOPT else None
        if sendable is None:
            sendable = list(self._unsent(list(self._sound(rows, history, judged)), history, judged))
        if self._mode is Mode.ADOPT and self._entity is Entity.CUSTOMERS:
            self._owners([entry.row for entry in judged.entries if isinstance(entry.row, Record)])
        if self._entity is Entity.CUSTOMERS:
            sendable, shared = self.of_own_email(sendable)
            judged.entries += shared
            judged.groups = [[record] for record in sendable]
        else:
            family = self._knowledge.parents({record.customer for record in sendable})
            with_parent = list(self._with_parent(sendable, family, judged))
            if self._entity is Entity.TRANSACTIONS:
                judged.groups = list(self._whole_sets(with_parent, family, judged))
            else:
                judged.groups = [list(group) for _, group in groupby(with_parent, key=lambda record: record.customer)]
        self._on_the_way |= {record.key for group in judged.groups for record in group}
        judged.groups, judged.suspects = self._apart(judged.groups)
        return judged

    def _apart(self, groups: Iterable[list[Record]]) -> tuple[list[list[Record]], list[list[Record]]]:
        """
        Tell the groups that nobody suspects from those with a record that is odd, or was refused in
        company.
        """
        clean: list[list[Record]] = []
        suspects: list[list[Record]] = []
        for group in groups:
            is_suspect = any(record.is_outlier or record.key in self._suspected for record in group)
            (suspects if is_suspect else clean).append(group)
        return clean, suspects

    def entered(self, batch: Batch) -> None:
        """Forget the records of *batch*: the ledger knows them now."""
        keys = {record.key for record in batch.records}
        self._on_the_way -= keys
        self.resent -= keys

    def _sound(self, rows: Sequence[Row], history: Mapping[str, list[Known]], judged: Judgement) -> Iterator[Record]:
        """Yield the records that are valid and the only ones of their key; enter the others."""
        twins: dict[str, list[Row]] = {}
        for row in rows:
            twins.setdefault(row.key, []).append(row)
        all_fit = fit_by_far([row for row in rows if isinstance(row, Record)], self._limits)
        for key, alike in twins.items():
            here = self._of_this_run(history.get(key, ()))
            for occurrence, plain in enumerate(alike):
                row = plain._replace(occurrence=occurrence) if occurrence else plain
                sent = [entry for entry in here if self._is_of_dead_try(entry, row)]
                if sent:
                    self._sent_by_dead_try(row, sent[-1], history[key], judged)
                    continue
                if isinstance(row, Rejection):
                    if not key:
                        self._incomplete.add(row.customer)  # such rows come before all others
                    judged.entries.append(Entry(row, State.QUARANTINED, row.reason, row.column, row.shape))
                elif occurrence and _same(alike):
                    judged.entries.append(Entry(row, State.QUARANTINED, "duplicate_row"))
                elif not _same(alike) or here or key in self._on_the_way:
                    judged.entries.append(Entry(row, State.QUARANTINED, _DUPLICATE_KEY))
                elif not all_fit and not fits_alone([row], self._limits):
                    judged.entries.append(Entry(row, State.QUARANTINED, "too_large", shape=f"{len(row.body)} bytes"))
                else:
                    yield row

    def _of_this_run(self, entries: Sequence[Known]) -> list[Known]:
        """
        Return those of *entries* that this run has; without the one row that another slice gave up
        because of a row of this slice.
        """
        here = [entry for entry in entries if entry.run == self._lease.run]
        if not here:
            return here
        given_up = [
            entry
            for entry in here
            if entry.slice != self._lease.slice and entry.reason == _DUPLICATE_KEY and not entry.batch
        ]
        # Two are the rows of one key that the other slice has read together: of them nobody knows
        # which is right.
        return [entry for entry in here if entry is not given_up[0]] if len(given_up) == 1 else here

    def _plain(self, rows: Sequence[Row]) -> list[Record] | None:
        """
        Return *rows*, of which the ledger knows nothing, if they are sound records of different
        keys, None otherwise.

        Most pages of a first load are so; then nothing has to be asked of each row.
        """
        records = [row for row in rows if isinstance(row, Record)]
        keys = {record.key for record in records}
        is_each_alone = len(keys) == len(rows) and self._on_the_way.isdisjoint(keys)
        return records if is_each_alone and fit_by_far(records, self._limits) else None

    def _is_of_dead_try(self, entry: Known, row: Row) -> bool:
        """
        Whether an earlier try of this slice sent *row*; what this try has sent or entered is
        another row of the same key.
        """
        this = (self._lease.slice, row.customer, row.occurrence)
        is_earlier = entry.fence is not None and entry.fence < self._lease.fence
        return is_earlier and (entry.slice, entry.customer, entry.occurrence) == this

    def _sent_by_dead_try(self, row: Row, entry: Known, history: Sequence[Known], judged: Judgement) -> None:
        """
        Leave a row alone that an earlier try of this slice sent, but have it read back where nobody
        knows its fate.
        """
        self.seen_again += 1
        self._migrated.add(row.customer)
        if entry.is_out and isinstance(row, Record):
            judged.doubts += doubt_about(row, entry, arrived_before=any(other.arrived for other in history))

    def _unsent(
        self, records: Iterable[Record], history: Mapping[str, list[Known]], judged: Judgement
    ) -> Iterator[Record]:
        """Yield the records whose content was not sent yet and may be; enter the others."""
        records = list(records)
        refused = self._refused_for_good(records, history)
        for record in records:
            entries = history.get(record.key, ())
            arrived = [entry for entry in entries if entry.arrived]
            out = [entry for entry in entries if entry.is_out]
            if out and (doubts := doubt_about(record, out[-1], arrived_before=bool(arrived))):
                judged.earlier += doubts
            elif arrived and is_same(arrived[-1], record):
                judged.entries.append(Entry(record, State.UNCHANGED))
            elif arrived and (entry := self.of_changed(record, was_held=_is_held_as_changed(entries))):
                judged.entries.append(entry)
                judged.never_sent += entry.reason == ADOPTED and all(one.reason == ADOPTED for one in arrived)
            elif self._mode is Mode.ADOPT:
                judged.entries.append(Entry(record, State.UNCHANGED, ADOPTED))
                judged.never_sent += 1
            elif record.key in refused:
                judged.entries.append(Entry(record, State.QUARANTINED, _REFUSED_ALONE))
            else:
                if entries and entries[-1].reason == _REFUSED_IN_COMPANY:
                    self._suspected.add(record.key)
                if arrived:
                    self.resent.add(record.key)
                yield record

    def of_changed(self, record: Record, *, was_held: bool = False) -> Entry | None:
        """
        Return how *record* ends, whose key was delivered with other content; None where it is sent
        again.

        If it *was_held* for that already, another mapping does not settle it.
        """
        policy = getattr(self._policies.changed, self._entity.value)
        if was_held and self._mode is Mode.FROM_NOW_ON:
            return Entry(record, State.HELD, _CHANGED)
        if self._mode in {Mode.ADOPT, Mode.FROM_NOW_ON}:
            return Entry(record, State.UNCHANGED, ADOPTED)
        if self._mode in _RELEASES and self._entity is not Entity.TRANSACTIONS:
            return None
        if policy == "ignore":
            return Entry(record, State.UNCHANGED, "change_ignored")
        return None if policy == "resend" else Entry(record, State.HELD, _CHANGED)

    def _refused_for_good(self, records: Sequence[Record], history: Mapping[str, list[Known]]) -> set[str]:
        """
        Return the keys of *records* of which the API judged exactly this content, or set, by
        itself, and nobody asks it to do so again.
        """
        if self._mode in _RELEASES:
            return set()
        refused: dict[str, Known] = {}
        for record in records:
            entries = history.get(record.key, ())
            if entries and entries[-1].reason == _REFUSED_ALONE and is_same(entries[-1], record):
                refused[record.key] = entries[-1]
        if self._entity is not Entity.TRANSACTIONS or not refused:
            return set(refused)
        # Of a customer's it refused all for one that was bad: with another one, or without it, it
        # is another set.
        others = [record for record in records if record.key not in refused]
        changed = {one.customer for one in others if not any(entry.arrived for entry in history.get(one.key, ()))}
        read = {entry.id for entry in refused.values()}
        judged = self._knowledge.transactions_waiting({entry.customer for entry in refused.values()}, _REFUSED_ALONE)
        for customer, runs in judged.items():
            last = max((run for entry, run in runs.items() if entry in read), default=0)
            if any(run >= last for entry, run in runs.items() if entry not in read):
                changed.add(customer)
        return {key for key, entry in refused.items() if entry.customer not in changed}

    def _owners(self, records: Sequence[Record]) -> list[str]:
        """Claim the e-mail addresses of *records* and return whose each is."""
        return self._knowledge.owners([(record.email, record.key) for record in records])

    def of_own_email(self, records: Sequence[Record]) -> tuple[list[Record], list[Entry]]:
        """
        Claim the addresses of customers who are to be sent, and return those who have them alone;
        and how the others end.
        """
        kept, shared = [], []
        for record, owner in zip(records, self._owners(records), strict=True):
            if owner == record.key:
                kept.append(record)
            else:
                shared.append(Entry(record, State.QUARANTINED, "email_shared", "email", "as another customer's"))
        return kept, shared

    def _with_parent(
        self, records: Iterable[Record], family: Mapping[str, Parent], judged: Judgement
    ) -> Iterator[Record]:
        nobody = Parent("")
        for record in records:
            parent = family.get(record.customer, nobody)
            if parent.arrived:
                yield record
            else:
                judged.entries.append(Entry(record, State.HELD, _PARENT_REASONS.get(parent.state, "customer_held")))

    def _whole_sets(
        self, records: Sequence[Record], family: Mapping[str, Parent], judged: Judgement
    ) -> Iterator[list[Record]]:
        """
        Yield the customers' sets that may go as a whole: complete, new, few enough, and equal to
        the balance.
        """
        sendable = by_customer(records)
        others: dict[str, list[Entry]] = {}
        for entry in judged.entries:
            has_gone = self._takes_more and entry.state is State.UNCHANGED and isinstance(entry.row, Record)
            if not has_gone and entry.reason != "duplicate_row":
                others.setdefault(entry.row.customer, []).append(entry)
        # As the API has them, not as their rows are now: one may be gone, changed or renamed since.
        gone_before = self._knowledge.points_of(sendable) if self._takes_more else {}
        self._in_doubt = {doubt.record.customer for doubt in (*judged.doubts, *judged.earlier)}
        # Rows that were sent once and are no longer there count as well: the API takes a customer's
        # transactions once.
        for customer, is_out in self._knowledge.sent_of(self._entity, sendable).items():
            (self._in_doubt if is_out else self._migrated).add(customer)
        for customer, group in sendable.items():
            before = gone_before.get(customer, {})
            state, reason, shape = self._verdict(customer, group, others.get(customer, ()), before, family[customer])
            if not reason:
                yield group
            judged.entries += [Entry(record, state, reason, shape=shape) for record in group if reason]

    def _verdict(
        self,
        customer: str,
        group: list[Record],
        others: Sequence[Entry],
        before: Mapping[str, Decimal],
        parent: Parent,
    ) -> tuple[State, str, str]:
        if customer in self._in_doubt:
            return State.HELD, "earlier_in_doubt", ""
        if customer in self._migrated and not self._takes_more:
            return State.HELD, "transactions_already_migrated", ""
        if others or customer in self._incomplete:
            return State.HELD, "sibling_not_sendable", ""
        if len(group) > self._limits.records or not fits_alone(group, self._limits):
            return State.HELD, "too_many_transactions", f"{len(group)} transactions"
        sums = dict(before)
        for record in group:
            sums[record.reward] = sums.get(record.reward, Decimal(0)) + record.points
        for reward in sorted({*sums, *parent.balance}):
            total, balance = sums.get(reward, Decimal(0)), parent.balance.get(reward, Decimal(0))
            if total != balance:
                return (
                    State.QUARANTINED,
                    "points_do_not_sum",
                    f"transactions {total}, balance {balance}, off by {total - balance}",
                )
        return State.DELIVERED, "", ""


def _is_held_as_changed(entries: Sequence[Known]) -> bool:
    return any(entry.waits and entry.reason == _CHANGED for entry in entries)


def _same(rows: Sequence[Row]) -> bool:
    """Whether *rows*, all of one key, are copies of one row."""
    first = rows[0]
    if len(rows) == 1:
        return True
    return isinstance(first, Record) and all(
        isinstance(row, Record) and (row.customer, row.content_hash) == (first.customer, first.content_hash)
        for row in rows
    )


# Suspects wait in memory; where there are so many, they are the rule here and not odd.
MOST_SUSPECTS = 10_000
