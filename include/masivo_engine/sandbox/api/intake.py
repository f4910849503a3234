"""
What happens at the door: a body is taken, or refused with a sentence.

The contract first, then what the guide says beside it (docs/api-facts.md#f-caps): caps on records,
at least one event per customer, ids and e-mails unique in the account. One bad record refuses the
whole batch; with ``atomic`` off its good ones are taken all the same, or with ``leaves`` those
before it (docs/api-facts.md#u8: not documented, so all are played).
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from masivo_engine.sandbox.api.contract import Complaint, Entity, contract_of
from masivo_engine.sandbox.api.prose import prose
from masivo_engine.sandbox.options import Existing, Leaves, Options, Refusal
from masivo_engine.sandbox.state.store import Entry, Request, Store, claim, claim_emails, keep, owners_of, taken


@dataclass(frozen=True, slots=True)
class Judgement:
    """
    What the door says: *status*, prose for a refusal, and the (key, customer) of what was
    *accepted*.
    """

    status: int
    error: str = ""
    details: str = ""
    records: int = 0
    accepted: tuple[tuple[str, str], ...] = ()


class Intake:
    """The door to *store*. Thread-safe."""

    def __init__(self, store: Store, options: Options, started_at: float) -> None:
        self._store = store
        self._options = options
        self._started_at = started_at
        # The first request should not be slower than the others.
        for entity in Entity:
            contract_of(entity)

    def take(self, entity: Entity, account: str, raw: bytes, *, sequence: int, fate: str = "") -> Judgement:
        """Judge the body *raw* and keep what is accepted, durably, before returning."""
        try:
            body = orjson.loads(raw)  # refuses what is no JSON or no Unicode: NaN, broken UTF-8, half a surrogate pair
            complaints = list(contract_of(entity).complaints(body))
            if any(complaint.customer is None for complaint in complaints):
                return self._refusal(entity, body, complaints)
            entries = list(_entries(entity, body["customers"], _spoilt(entity, complaints)))
        except ValueError:
            return Judgement(400, "Bad Request", "The body is no JSON text")
        records = _count(entity, body["customers"])
        complaints += self._beside_the_contract(entity, body["customers"], entries, records)

        now = time.time()
        request = Request(
            sequence, account, entity, hashlib.sha256(raw).hexdigest(), len(raw), now, self._visible_at(now), fate
        )
        with self._store.writing() as connection:
            complaints += self._against_what_is_held(connection, entity, account, entries)
            kept = self._left_of(entity, entries, complaints) if complaints else entries
            if kept:
                first, last = keep(connection, request, kept)
                if entity is Entity.CUSTOMERS and self._options.duplicates is Refusal.AT_ONCE:
                    claim(connection, account, first, last)
                    if self._options.existing is not Existing.REFUSE:
                        claim_emails(connection, account, first, last)

        accepted = tuple((entry.key, entry.customer) for entry in kept)
        if complaints:
            return self._refusal(entity, body, complaints, records, accepted)
        return Judgement(201, records=records, accepted=accepted)

    def is_poison(self, key: str) -> bool:
        """Whether the record with *key* is refused although it keeps the contract."""
        if not self._options.poison_rate:
            return key in self._options.poison
        share = int.from_bytes(hashlib.sha256(f"{self._options.seed}/{key}".encode()).digest()[:8]) / 2**64
        return share < self._options.poison_rate or key in self._options.poison

    def _visible_at(self, now: float) -> float:
        visible_at = now + self._options.real_s(self._options.delay_s)
        for start_s, end_s in self._options.outages:
            start, end = (self._started_at + self._options.real_s(moment) for moment in (start_s, end_s))
            if start <= visible_at < end:
                visible_at = end
        return visible_at

    def _beside_the_contract(
        self, entity: Entity, customers: Sequence[Any], entries: Sequence[Entry], records: int
    ) -> Iterator[Complaint]:
        if records > self._options.record_limit:
            yield Complaint(None, None, "", f"holds more than {self._options.record_limit} {entity}")
        if entity is not Entity.CUSTOMERS:
            for number, customer in enumerate(customers):
                if isinstance(customer, dict) and customer.get(entity) == []:
                    yield Complaint(number, None, str(entity), "is empty")
        for entry in entries:
            if not entry.customer or not entry.key:
                yield Complaint(*entry.place, "", "has an empty id")
            elif self.is_poison(entry.key):
                yield Complaint(*entry.place, "", "is not acceptable")

    def _against_what_is_held(
        self, connection: sqlite3.Connection, entity: Entity, account: str, entries: Sequence[Entry]
    ) -> Iterator[Complaint]:
        if entity is Entity.CUSTOMERS:
            if self._options.duplicates is Refusal.AT_ONCE:
                yield from _not_unique(
                    connection, account, entries, refuses_known=self._options.existing is Existing.REFUSE
                )
            return
        if self._options.unknown_customers is Refusal.AT_ONCE:
            known = taken(connection, account, (entry.customer for entry in entries), visible=True)
            for entry in entries:
                if entry.customer not in known:
                    yield Complaint(*entry.place, "", "belongs to an unknown customer")
        if entity is Entity.TRANSACTIONS:
            yield from _named_twice(entries)
            if self._options.second_transactions is Refusal.AT_ONCE:
                before = _with_transactions(connection, account, {entry.customer for entry in entries})
                for entry in entries:
                    if entry.customer in before:
                        yield Complaint(*entry.place, "", "had its transactions migrated before")

    def _left_of(self, entity: Entity, entries: Sequence[Entry], complaints: Sequence[Complaint]) -> Sequence[Entry]:
        """What is taken of a batch that is refused because of *complaints*."""
        leaves = self._options.left_by_a_refusal(entity)
        if leaves is Leaves.NOTHING or any(complaint.customer is None for complaint in complaints):
            return []
        if leaves is Leaves.BEFORE:
            stop = min(_in_order((complaint.customer or 0, complaint.item)) for complaint in complaints)
            return [entry for entry in entries if _in_order(entry.place) < stop]
        spoilt = _spoilt(entity, complaints)
        return [entry for entry in entries if not _is_spoilt(entry.place, spoilt)]

    def _refusal(
        self,
        entity: Entity,
        body: Any,
        complaints: Sequence[Complaint],
        records: int = 0,
        accepted: tuple[tuple[str, str], ...] = (),
    ) -> Judgement:
        details = prose(entity, body, complaints, self._options.telling, self._options.naming)
        return Judgement(422, "Unprocessable Entity", details, records, accepted)


def _entries(entity: Entity, customers: Sequence[Any], spoilt: frozenset[tuple[int, int | None]]) -> Iterator[Entry]:
    for number, customer in enumerate(customers):
        if entity is Entity.CUSTOMERS:
            if (number, None) not in spoilt:
                key = customer["id"]
                yield Entry((number, None), key, key, _canonical(customer), email=customer["email"].strip().casefold())
            continue
        for item, record in enumerate(customer.get(entity, ()) if (number, None) not in spoilt else ()):
            place = (number, item)
            if _is_spoilt(place, spoilt):
                continue
            if entity is Entity.EVENTS:
                order = record["order"]
                worth = str(order["discounted_value"]) if record["type"] == "PURCHASE" else ""
                yield Entry(place, customer["id"], order["purchase_id"], _canonical(record), worth=worth)
            else:
                worth = str(record["amount"])
                yield Entry(place, customer["id"], record["details"], _canonical(record), worth=worth)


def _spoilt(entity: Entity, complaints: Iterable[Complaint]) -> frozenset[tuple[int, int | None]]:
    """
    The places that are not taken. A customer's transactions go together, so one spoils them all.
    """
    return frozenset(
        (complaint.customer, None if entity is Entity.TRANSACTIONS else complaint.item)
        for complaint in complaints
        if complaint.customer is not None
    )


def _in_order(place: tuple[int, int | None]) -> tuple[int, int]:
    customer, item = place
    return customer, -1 if item is None else item


def _is_spoilt(place: tuple[int, int | None], spoilt: frozenset[tuple[int, int | None]]) -> bool:
    return place in spoilt or (place[0], None) in spoilt


def _count(entity: Entity, customers: Sequence[Any]) -> int:
    if entity is Entity.CUSTOMERS:
        return len(customers)
    lists = (customer.get(entity) if isinstance(customer, dict) else None for customer in customers)
    return sum(len(items) for items in lists if isinstance(items, list))


def _not_unique(
    connection: sqlite3.Connection, account: str, entries: Sequence[Entry], *, refuses_known: bool
) -> Iterator[Complaint]:
    ids = taken(connection, account, (entry.customer for entry in entries)) if refuses_known else set()
    owners = owners_of(connection, account, (entry.email for entry in entries))
    for entry in entries:
        if entry.customer in ids:
            yield Complaint(*entry.place, "id", "is not unique")
        if owners.setdefault(entry.email, entry.customer) != entry.customer:
            yield Complaint(*entry.place, "email", "is not unique")
        ids.add(entry.customer)


def _named_twice(entries: Sequence[Entry]) -> Iterator[Complaint]:
    """
    A customer's transactions are taken once, so a second list of them in one batch is one too many.
    """
    lists: dict[str, int] = {}
    for entry in entries:
        if lists.setdefault(entry.customer, entry.place[0]) != entry.place[0]:
            yield Complaint(*entry.place, "", "is named twice in the batch")


def _with_transactions(connection: sqlite3.Connection, account: str, customers: set[str]) -> set[str]:
    rows = connection.execute(
        "SELECT DISTINCT customer FROM record WHERE account = ? AND entity = 'transactions' AND failure = ''"
        " AND customer IN (SELECT value FROM json_each(?))",
        (account, json.dumps(list(customers))),
    )
    return {row[0] for row in rows}


def _canonical(record: Any) -> str:
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode()
