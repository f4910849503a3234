"""
What becomes of each row that was read: sent, or left with a state and a reason.

`verdict_on` says it of one row, and is a pure function of what the row says **now**, what of it is
**out**, what the API **has**, its customer, and the policies of the run. The first line that fits
counts:

==================================  ============================================================
out, has and now                    verdict
==================================  ============================================================
something is out                    in doubt: it is read back before anything else; where the run
                                    adopts, a person says that it is there
now is no record                    quarantined, with its fault
now is one of several rows          quarantined: ``duplicate_key``, ``duplicate_row``
has equals now, no other stray      unchanged; ``adopted`` where a person said so
has equals now, another stray       in doubt: ``stray``; the other content may have arrived since
has differs, the run adopts         unchanged: ``adopted``
has differs, only the mapping did   unchanged: ``adopted``, where the run adopts what was remade
has differs                         as the policy says: sent again, unless the API refused just
                                    this; held; or unchanged and ignored
nothing there, the run adopts       unchanged: ``adopted``
the API refused just this           quarantined: ``refused``, unless a person released it
its customer is not there           held for its customer
else                                sent
==================================  ============================================================

What concerns several rows comes after it: an e-mail address that another customer has, and the
transactions of a customer, which go together or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple, Protocol

from masivo_engine.batching.capacity import fit_by_far, fits_alone
from masivo_engine.batching.units import Unit, by_customer, set_digest
from masivo_engine.ledger.encoding import as_worth, worth_of
from masivo_engine.ledger.rows import NOBODY, Known, Parent, Rows
from masivo_engine.ledger.writing.handles import handle_of
from masivo_engine.mapping.settings import Policies
from masivo_engine.model.judged import REFUSED_IN_COMPANY, SENT, UNCHANGED, Judged, Verdict
from masivo_engine.model.limits import Limits
from masivo_engine.model.places import copy_of, first_of, is_copy
from masivo_engine.model.rows import Entity, Record, Rejection, State
from masivo_engine.model.runs import AS_USUAL, RunPolicies
from masivo_engine.records.json_text import canonical, content_hash


Row = Record | Rejection

# Suspects wait in memory; where there are so many, they are the rule here and not odd.
MOST_SUSPECTS = 10_000

_FOR_CUSTOMER = {
    "": "customer_missing",
    State.QUARANTINED.value: "customer_quarantined",
    State.IN_DOUBT.value: "customer_in_doubt",
}
_WAITING = (State.HELD, State.QUARANTINED, State.IN_DOUBT)
_REFUSED = ("refused", "too_large")


class Decisions(NamedTuple):
    """
    What was decided beforehand for one entity of one run: by the mapping (*changed*,
    *new_transactions*), by a person for this *run*, and by what is known of the account
    (*resends*).
    """

    changed: str = "hold"
    takes_more: bool = False
    run: RunPolicies = AS_USUAL
    resends: str = "replace"

    @classmethod
    def of(cls, entity: Entity, policies: Policies, run: RunPolicies, resends: str) -> Decisions:
        """Gather them for *entity*."""
        takes_more = policies.new_transactions == "send" or run.takes_more
        return cls(getattr(policies.changed, entity.value), takes_more, run, resends)


def verdict_on(  # noqa: PLR0911 (a return for each line of the table)
    row: Row, known: Known | None, parent: Parent | None, decided: Decisions
) -> Verdict:
    """
    Return what becomes of *row*, of which the ledger knows *known*; *parent* is its customer, None
    for a customer. See the table of this module.
    """
    if known is not None and known.is_out and not decided.run.adopts:
        return Verdict(State.IN_DOUBT, known.reason, known.column_name)
    if isinstance(row, Rejection):
        return Verdict(State.QUARANTINED, row.reason, row.column, row.shape)
    if known is not None and known.has_arrived and not known.is_out:
        if (known.has_hash, known.has_customer) != (row.content_hash, row.customer):
            return _on_changed(row, known, decided)
        if known.strays and known.stray_hash != row.content_hash:
            return Verdict(State.IN_DOUBT, "stray")
        # However often it is adopted, and whatever it said in between: a person can take that back.
        if known.has_batch is None or known.reason == "adopted":
            return Verdict(State.UNCHANGED, "adopted")
        is_kept = known.reason == "change_ignored" and not decided.run.adopts
        return Verdict(State.UNCHANGED, known.reason) if is_kept else UNCHANGED
    if decided.run.adopts:
        return Verdict(State.UNCHANGED, "adopted", has_it=True)
    if known is not None and known.judged == row.content_hash and not decided.run.releases:
        return Verdict(State.QUARANTINED, known.reason if known.reason in _REFUSED else "refused")
    if parent is not None and not parent.has_arrived:
        return Verdict(State.HELD, _FOR_CUSTOMER.get(parent.state, "customer_held"))
    return SENT


def _on_changed(row: Record, known: Known, decided: Decisions) -> Verdict:
    """Return what becomes of *row*, of which the API has another content."""
    is_remade = row.changed == known.changed and (known.hash, known.customer) == (known.has_hash, known.has_customer)
    if decided.run.adopts or (decided.run.adopts_remade and is_remade):
        return Verdict(State.UNCHANGED, "adopted", has_it=True)
    if decided.run.releases and row.entity is not Entity.TRANSACTIONS:
        return SENT
    if decided.changed == "ignore":
        return Verdict(State.UNCHANGED, "change_ignored")
    if decided.changed == "hold":
        return Verdict(State.HELD, "changed_after_delivery")
    has_points = row.entity is Entity.CUSTOMERS and bool(known.has_worth)
    if has_points and decided.resends not in {"", "replace"}:
        return Verdict(State.HELD, "resend_unsafe")
    if known.judged == row.content_hash:
        return Verdict(State.QUARANTINED, "refused")
    return Verdict(State.HELD, "awaits_probe") if has_points and not decided.resends else SENT


@dataclass(slots=True)
class Judgement:
    """
    What is to be done with a page.

    *judged* are all its rows, *known* what the ledger had of them. *units* are to be sent,
    *suspects* apart from the others. *unsettled* are rows that are judged again once what is in
    doubt of them is settled, of transactions with all others of their customers; *probes* those
    that wait for a probe. *met_again* counts rows that another slice of the run has seen before,
    *never_sent* those that count as delivered and were never sent.
    """

    judged: list[Judged] = field(default_factory=list)
    known: dict[str, Known] = field(default_factory=dict)
    units: list[Unit] = field(default_factory=list)
    suspects: list[Unit] = field(default_factory=list)
    unsettled: list[Row] = field(default_factory=list)
    probes: list[Record] = field(default_factory=list)
    met_again: int = 0
    never_sent: int = 0


class Source(Protocol):
    """What judging asks of the legacy database."""

    def rows_at(self, places: Collection[str]) -> Mapping[str, int]:
        """Return how many rows stand at each of *places*; those without one are missing."""


class Sets(Protocol):
    """The transactions that stand beside customers, as the source has them now."""

    def pages(self, owners: Collection[str]) -> Iterable[Sequence[Row]]:
        """Yield the transactions of *owners*, all of a customer on one page."""

    def judge(self, page: Sequence[Row], family: Mapping[str, Parent]) -> Judgement:
        """Judge them as if *family* were what the API has of their customers."""


class Triage:
    """
    Judges the rows of slice *number* of *run* by page; the rows of a key, for transactions of a
    customer, must be in one page.

    *twins*: places that several rows of the source have, with their number. *sets*: of customers,
    where the mapping has transactions.
    """

    def __init__(  # noqa: PLR0913 (what judging depends on)
        self,
        entity: Entity,
        rows: Rows,
        source: Source,
        limits: Limits,
        decided: Decisions,
        *,
        run: int,
        number: int,
        twins: Mapping[str, int] | None = None,
        sets: Sets | None = None,
    ) -> None:
        self._entity = entity
        self._rows = rows
        self._source = source
        self._limits = limits
        self.decided = decided
        self._run = run
        self._number = number
        self._twins = dict(twins or {})
        self._sets = sets

    def judge(self, page: Sequence[Row], family: Mapping[str, Parent] | None = None) -> Judgement:
        """
        Judge the rows of one page; *family* are their customers, by default as the ledger has them.
        """
        made = Judgement()
        placed, named = self._placed(page, made)
        faults = self._faults(placed, made.known, named)
        is_child = self._entity.has_parent
        if family is None:
            family = self._rows.parents({row.customer for row, _ in placed}) if is_child else {}
        verdicts: dict[str, Verdict] = {}
        for row, place in placed:
            known = made.known.get(place)
            parent = family.get(row.customer, NOBODY) if is_child else None
            is_settled = known is not None and known.is_out
            verdicts[place] = (None if is_settled else faults.get(place)) or verdict_on(
                row, known, parent, self.decided
            )
        if self._entity is Entity.CUSTOMERS:
            self._with_balance(placed, made.known, verdicts)
            self._one_address_each(placed, made.known, verdicts)
        if self._entity is Entity.TRANSACTIONS:
            self._whole_sets(placed, made, verdicts, family)
        made.judged = [Judged(row, verdicts[place], place) for row, place in placed]
        self._sort(made)
        return made

    def _sort(self, made: Judgement) -> None:
        """Fill in what is to be done from what was judged."""
        sendable = [one.row for one in made.judged if one.verdict.is_sent and isinstance(one.row, Record)]
        in_company = {place for place, row in made.known.items() if row.reason == REFUSED_IN_COMPANY}
        for unit in by_customer(sendable).values():
            is_suspect = any(record.is_outlier or record.place in in_company for record in unit)
            (made.suspects if is_suspect else made.units).append(unit)
        # Of most rows there is no more to say.
        waits = [one for one in made.judged if one.verdict is not UNCHANGED and not one.verdict.is_sent]
        doubtful = [one for one in waits if one.verdict.state is State.IN_DOUBT]
        if self._entity is Entity.TRANSACTIONS and waits:
            waiting = [one for one in waits if one.verdict.reason == "earlier_in_doubt"]
            names = {one.row.customer for one in (*doubtful, *waiting)}
            doubtful = [one for one in made.judged if one.row.customer in names]
        made.unsettled = [one.row for one in doubtful]
        made.probes = [one.row for one in waits if one.verdict.reason == "awaits_probe" and isinstance(one.row, Record)]
        made.never_sent = sum(
            one.verdict.has_it and (one.place not in made.known or made.known[one.place].has_batch is None)
            for one in waits
        )

    # Which row is which.

    def _placed(self, page: Sequence[Row], made: Judgement) -> tuple[list[tuple[Row, str]], dict[str, list[Known]]]:
        """
        Return each row with the place where it is written down, and what the ledger has under the
        names of those that are new, by name.

        Further rows of a place have one of their own. Rows that another slice of the run has seen
        are only counted.
        """
        alike: dict[str, list[Row]] = {}
        for row in page:
            alike.setdefault(row.place, []).append(row)
        known = self._rows.at(self._entity, alike)
        fresh = {rows[0].key: place for place, rows in alike.items() if place not in known and rows[0].key}
        named = self._of_names(fresh)
        known |= self._retyped(fresh, named)
        known |= self._renamed(alike, known)
        self._count(alike, known)
        placed: list[tuple[Row, str]] = []
        for place, rows in alike.items():
            found = known.get(place)
            is_anothers = found is not None and self._is_anothers(found)
            if is_anothers and place not in self._twins:
                made.met_again += len(rows)
                continue
            counts: dict[bytes, int] = {}
            first = self._first_of(rows, place, found)
            for index, row in enumerate(rows):
                if index == first:
                    placed.append((row, place))
                    continue
                content = row.content_hash if isinstance(row, Record) else _content_of(row)
                counts[content] = number = counts.get(content, 0) + 1
                placed.append((row, copy_of(place, content, number)))
        copies = [place for row, place in placed if place != row.place]
        known |= self._rows.at(self._entity, copies) if copies else {}
        made.known = known
        mine = [one for one in placed if one[1] not in known or not self._is_anothers(known[one[1]])]
        made.met_again += len(placed) - len(mine)
        return mine, named

    def _of_names(self, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return what the ledger has under each of *keys*, names for the API."""
        found = self._rows.of_keys(self._entity, keys) if keys else {}
        return {key: found.get(key, []) for key in keys}

    def _count(self, alike: Mapping[str, Sequence[Row]], known: Mapping[str, Known]) -> None:
        """
        Ask how many rows the source has at each place that is open, or has moved: the plan counted
        those of its window only, and the others of a place may be on another page.
        """
        asked = [
            place
            for place, rows in alike.items()
            if (one := known.get(place)) is not None
            and (not (one.has_arrived or one.is_out) or any(row.owner != one.owner for row in rows))
        ]
        if asked:
            self._twins |= {place: rows for place, rows in self._source.rows_at(asked).items() if rows > 1}

    def _first_of(self, rows: Sequence[Row], place: str, found: Known | None) -> int | None:
        """
        Return which of *rows* stands at *place*, of which the ledger knows *found*: the one that is
        as it was. None where that is a row of its own, and all of these are further ones.
        """
        if found is None:
            return 0
        as_it_was = (found.hash, found.owner)
        for index, row in enumerate(rows):
            if (getattr(row, "content_hash", None), row.owner) == as_it_was:
                return index
        is_here = found.owner in {row.owner for row in rows} and not self._is_anothers(found)
        return 0 if is_here or len(rows) >= self._twins.get(place, 1) else None

    def _is_anothers(self, known: Known) -> bool:
        """Whether another slice of this run has seen a row already."""
        return known.run == self._run and known.slice != self._number

    def _retyped(self, fresh: Mapping[str, str], others: Mapping[str, Sequence[Known]]) -> dict[str, Known]:
        """
        Return what is known of rows whose key is written otherwise than before: of the same name
        for the API, at a place that the source has no more. *fresh* are places by name, *others*
        what the ledger has under these names.
        """
        asked = {one.place for rows in others.values() for one in rows if not one.is_gone and one.run != self._run}
        there = self._source.rows_at(asked) if asked else {}
        found: dict[str, Known] = {}
        for key, rows in others.items():
            left = [one for one in rows if one.place not in there and one.run != self._run]
            if len(left) == 1 == len(rows) and (left[0].has_arrived or left[0].is_out):
                found[fresh[key]] = left[0]
        return found

    def _renamed(self, places: Mapping[str, Sequence[Row]], known: Mapping[str, Known]) -> dict[str, Known]:
        """
        Return what is known of events that have another key than before: under the old one each
        would be what was sent to its customer, and the source has that no more.

        Of customers the address tells it, of transactions that a customer's go once.
        """
        if self._entity is not Entity.EVENTS:
            return {}
        fresh: dict[str, list[Record]] = {}
        for place, (row, *others) in places.items():
            if place not in known and isinstance(row, Record) and not others:
                fresh.setdefault(row.customer, []).append(row)
        handles: dict[str, str] = {}
        sent: dict[str, list[str]] = {}
        for one in self._rows.sent_events(fresh, run=self._run) if fresh else ():
            for row in fresh[one.customer]:
                if row.place not in handles:
                    handles[row.place] = handle_of(row, self._rows.digest)
                if handles[row.place] == one.handle and _hash_under(one.key, row) == one.hash:
                    sent.setdefault(row.place, []).append(one.place)
        asked = {place for olds in sent.values() for place in olds}
        left = asked.difference(self._source.rows_at(asked), places) if asked else set()
        found: dict[str, str] = {}
        for place in sorted(sent):
            if old := min(left.intersection(sent[place]), default=""):
                left.discard(old)
                found[place] = old
        olds = self._rows.at(self._entity, found.values()) if found else {}
        return {place: olds[old] for place, old in found.items()}

    def _faults(
        self, placed: Sequence[tuple[Row, str]], known: Mapping[str, Known], named: Mapping[str, list[Known]]
    ) -> dict[str, Verdict]:
        """Return the rows that are not the only ones of their key, or too large, by place."""
        faults: dict[str, Verdict] = {}
        by_place: dict[str, list[tuple[Row, str]]] = {}
        for row, place in placed:
            by_place.setdefault(row.place, []).append((row, place))
        for place, rows in by_place.items():
            number = max(self._twins.get(place, 1), len(rows))
            if number == 1:
                continue
            is_copied = len(rows) == number and _are_copies([row for row, _ in rows])
            for index, (row, at) in enumerate(rows):
                if isinstance(row, Rejection):
                    continue
                if not is_copied:
                    faults[at] = Verdict(State.QUARANTINED, "duplicate_key")
                elif index:
                    faults[at] = Verdict(State.QUARANTINED, "duplicate_row")
        faults |= self._same_names(placed, known, faults, named)
        return self._too_large(placed) | faults

    def _too_large(self, placed: Sequence[tuple[Row, str]]) -> dict[str, Verdict]:
        """Return the records that do not fit into a request even alone, by place."""
        records = [(row, place) for row, place in placed if isinstance(row, Record)]
        if fit_by_far([row for row, _ in records], self._limits):
            return {}
        return {
            place: Verdict(State.QUARANTINED, "too_large", shape=f"{len(row.body)} bytes")
            for row, place in records
            if not fits_alone([row], self._limits)
        }

    def _same_names(
        self,
        placed: Sequence[tuple[Row, str]],
        known: Mapping[str, Known],
        faults: Mapping[str, Verdict],
        named: Mapping[str, list[Known]],
    ) -> dict[str, Verdict]:
        """
        Return the rows whose name for the API is that of another place.

        A name belongs to whoever has it at the API, or has it out; else to whoever was seen first
        of those that are there and can go. That is asked of every row that may still go, in every
        run: a row that once was a duplicate is open, and read again.
        """
        mine: dict[str, list[str]] = {}
        for row, place in placed:
            if isinstance(row, Record) and place not in faults:
                mine.setdefault(row.key, []).append(place)
        own = {place for place, one in known.items() if one.has_arrived or one.is_out}
        if self._entity is Entity.CUSTOMERS:
            # Under another name that row is another customer's, or nobody's.
            own = {place for row, place in placed if place in own and known[place].is_called(row.key)}
        asked = {key for key, places in mine.items() if not own.issuperset(places)}
        others = {**named, **self._of_names(asked - named.keys())}
        here = {*(place for _, place in placed), *(one.place for one in known.values())}
        found: dict[str, Verdict] = {}
        for key in asked:
            places = mine[key]
            alike = {*places, *(known[place].place for place in places if place in known)}
            is_taken = any(
                one.has_arrived or one.is_out or (one.place not in here and _is_sendable(one) and not one.is_gone)
                for one in others.get(key, ())
                if one.place not in alike
            )
            first = own.intersection(places) or (set() if is_taken else {min(places)})
            found |= {place: Verdict(State.QUARANTINED, "duplicate_key") for place in places if place not in first}
        return found

    # What concerns several rows.

    def _with_balance(
        self, placed: Sequence[tuple[Row, str]], known: Mapping[str, Known], verdicts: dict[str, Verdict]
    ) -> None:
        """
        Hold customers whose balance changed where the transactions that explain it cannot go.

        These are judged beforehand, as if the new balance were there: also what moved here from
        another customer, where the API has it still. Where it has none of them, the balance goes.
        """
        if self.decided.run.releases or self._sets is None:
            return
        changed = {
            row.customer: (row, place)
            for row, place in placed
            if _may_go(verdicts[place])
            and place in known
            and known[place].has_arrived
            and isinstance(row, Record)
            and as_worth(known[place].has_worth) != dict(row.balance)
        }
        if not changed:
            return
        earlier = self._rows.of_customers(Entity.TRANSACTIONS, changed)
        owners = {one.owner for rows in earlier.values() for one in rows} | {row.owner for row, _ in changed.values()}
        family = {name: Parent(has_arrived=True, worth=worth_of(row)) for name, (row, _) in changed.items()}
        left: set[str] = set()
        sent: dict[str, list[Record]] = {}
        known_of: dict[str, dict[str, Known]] = {
            name: {one.place: one for one in rows} for name, rows in earlier.items()
        }
        for page in self._sets.pages(owners):
            made = self._sets.judge(page, family)
            for one in made.judged:
                name, verdict = one.row.customer, one.verdict
                if one.place in made.known:
                    known_of.setdefault(name, {})[one.place] = made.known[one.place]
                if verdict.is_sent and isinstance(one.row, Record):
                    sent.setdefault(name, []).append(one.row)
                elif verdict.state is not State.UNCHANGED and verdict.reason != "duplicate_row":
                    left.add(name)
        for name, (_, place) in changed.items():
            rows = known_of.get(name, {}).values()
            there = [one for one in rows if one.has_arrived and one.has_customer == name]
            if any(one.has_arrived or one.is_out for one in rows) and (
                name in left or _on_points(sent.get(name, ()), there, family[name])
            ):
                verdicts[place] = Verdict(State.HELD, "balance_waits", "balance")

    def _one_address_each(
        self, placed: Sequence[tuple[Row, str]], known: Mapping[str, Known], verdicts: dict[str, Verdict]
    ) -> None:
        """
        Quarantine customers who are to be sent with the address of another one.

        An address belongs to whoever has it at the API; else to whom it is out for; else to the
        lowest place of those that are there and can go.
        """
        digest = self._rows.digest
        wanted = {
            place: digest(row.email)
            for row, place in placed
            if isinstance(row, Record) and row.email and (_may_go(verdicts[place]) or verdicts[place].has_it)
        }
        if not wanted:
            return
        others: dict[bytes, list[Known]] = {}
        for one in self._rows.of_emails(wanted.values()):
            for address in {one.email, one.has_email, one.out_email} - {None}:
                others.setdefault(address or b"", []).append(one)
        by_address: dict[bytes, list[str]] = {}
        for place, address in wanted.items():
            by_address.setdefault(address, []).append(place)
        for address, places in by_address.items():
            rows = others.get(address, ())
            has = [one for one in rows if one.has_arrived and one.has_email == address]
            out = [one for one in rows if one.is_out and one.out_email == address]
            waits = [
                one.place
                for one in rows
                if one.email == address and one.place not in verdicts and not one.is_gone and _is_sendable(one)
            ]
            owner = next(iter([*has, *out]), None)
            first = owner.place if owner else min([*waits, *places])
            for place in places:
                if place not in {first, *(one.place for one in has)} and not verdicts[place].has_it:
                    had = known[place].has_email if place in known else None
                    wants = None if owner is None else wanted.get(owner.place, owner.email)
                    is_swap = owner is not None and had is not None and wants == had != owner.has_email
                    reason = "email_swapped" if is_swap else "email_shared"
                    verdicts[place] = Verdict(State.QUARANTINED, reason, "email", "as another customer's")

    def _whole_sets(
        self,
        placed: Sequence[tuple[Row, str]],
        made: Judgement,
        verdicts: dict[str, Verdict],
        family: Mapping[str, Parent],
    ) -> None:
        """
        Let a customer's transactions go together, complete and equal to the balance, or not at all.
        """
        sets: dict[str, list[tuple[Record, str]]] = {}
        rest: dict[str, list[str]] = {}
        for row, place in placed:
            if verdicts[place].is_sent and isinstance(row, Record):
                sets.setdefault(row.customer, []).append((row, place))
            elif verdicts[place].reason != "duplicate_row" and verdicts[place].state is not State.UNCHANGED:
                rest.setdefault(row.customer, []).append(place)
        earlier = self._rows.of_customers(self._entity, sets) if sets else {}
        here = {place for _, place in placed}
        apart = self._apart(earlier, here)
        for customer, members in sets.items():
            verdict = self._on_set(
                customer,
                [record for record, _ in members],
                bool(rest.get(customer)) or customer in apart,
                earlier.get(customer, ()),
                family.get(customer, NOBODY),
                [made.known.get(place) for _, place in members],
            )
            if verdict is not None:
                verdicts.update((place, verdict) for _, place in members)

    def _apart(self, earlier: Mapping[str, Sequence[Known]], here: Collection[str]) -> set[str]:
        """
        Return the customers with a transaction that waits and was not read with the others: the
        source has it all the same, or another slice of the run has met it.
        """
        waiting = {
            customer: [
                one
                for one in rows
                if one.customer == customer
                and one.place not in here
                and not (one.has_arrived or one.is_gone or one.reason == "duplicate_row")
            ]
            for customer, rows in earlier.items()
        }
        asked = {first_of(one.place) for rows in waiting.values() for one in rows if one.run != self._run}
        there = self._source.rows_at(asked) if asked else {}
        return {
            customer
            for customer, rows in waiting.items()
            if any(one.run == self._run or there.get(first_of(one.place), 0) > is_copy(one.place) for one in rows)
        }

    def _on_set(
        self,
        customer: str,
        records: Sequence[Record],
        is_incomplete: bool,  # noqa: FBT001
        earlier: Sequence[Known],
        parent: Parent,
        known: Sequence[Known | None],
    ) -> Verdict | None:
        """Return what keeps a customer's transactions back; None where they may go."""
        if any(one.is_out and one.out_customer == customer for one in earlier):
            return Verdict(State.HELD, "earlier_in_doubt")
        there = [one for one in earlier if one.has_arrived and one.has_customer == customer]
        if there and not self.decided.takes_more:
            return Verdict(State.HELD, "transactions_already_migrated")
        if is_incomplete:
            return Verdict(State.HELD, "sibling_not_sendable")
        if len(records) > self._limits.records or not fits_alone(records, self._limits):
            return Verdict(State.HELD, "too_many_transactions", shape=f"{len(records)} transactions")
        judged = set_digest(records)
        if not self.decided.run.releases and all(one is not None and one.judged == judged for one in known):
            return Verdict(State.QUARANTINED, "refused")
        return _on_points(records, there, parent)


def _on_points(records: Sequence[Record], there: Sequence[Known], parent: Parent) -> Verdict | None:
    """Compare the points of *records*, and of those that are *there*, with the balance."""
    sums: dict[str, Decimal] = {}
    for one in there:
        for reward, amount in as_worth(one.has_worth).items():
            sums[reward] = sums.get(reward, Decimal(0)) + amount
    for record in records:
        sums[record.reward] = sums.get(record.reward, Decimal(0)) + record.points
    for reward in sorted({*sums, *parent.balance}):
        total, balance = sums.get(reward, Decimal(0)), parent.balance.get(reward, Decimal(0))
        if total != balance:
            if parent.state in _WAITING:  # so that its balance is not what the row says
                return Verdict(State.HELD, _FOR_CUSTOMER.get(parent.state, "customer_held"))
            said = f"transactions {total}, balance {balance}, off by {total - balance}"
            return Verdict(State.QUARANTINED, "points_do_not_sum", shape=said)
    return None


def _is_sendable(known: Known) -> bool:
    """Whether a row may still go: what was refused in company has no verdict of its own yet."""
    return known.state != State.QUARANTINED or known.reason == REFUSED_IN_COMPANY


def _may_go(verdict: Verdict) -> bool:
    """Whether a customer is sent, or may be chosen as the probe."""
    return verdict.is_sent or verdict.reason == "awaits_probe"


def _are_copies(rows: Sequence[Row]) -> bool:
    """Whether *rows*, all of one key, are copies of one row."""
    first = rows[0]
    return isinstance(first, Record) and all(
        isinstance(row, Record) and (row.customer, row.content_hash) == (first.customer, first.content_hash)
        for row in rows
    )


def _hash_under(key: str, record: Record) -> bytes:
    """Return the hash that *record* would have if *key* were its key."""
    return content_hash(record.body.replace(canonical(record.key), canonical(key)))


def _content_of(row: Rejection) -> bytes:
    text = f"{row.owner} {row.reason} {row.column} {row.shape} {row.points}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
