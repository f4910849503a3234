"""
The queue behind the 201: works off what was accepted, once it is due, in the order in which it
came.

What fails here fails silently, as behind the real API (docs/api-facts.md#u9,
docs/api-facts.md#u11): no answer, no list, only its absence. The sandbox keeps the reason for
people and tests. Rules: docs/api-facts.md#f-queue, docs/api-facts.md#u3 and docs/api-facts.md#u5.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby

from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.options import Existing
from masivo_engine.sandbox.state.store import Store, balance, claim, release, replace, taken


@dataclass(frozen=True, slots=True)
class Work:
    """One accepted request that waits in the queue; *first* to *last* are its records."""

    sequence: int
    account: str
    entity: Entity
    fate: str
    first: int
    last: int


class Backlog:
    """
    The queue of *store*. `settle_due` may be called by anybody at any time; a thread of its own
    calls it when work is due.
    """

    def __init__(self, store: Store, existing: Existing) -> None:
        self._store = store
        self._existing = existing
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="sandbox-queue", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """Stop after the piece of work in hand."""
        self._closing = True
        self._wake.set()
        self._thread.join()

    def notice(self) -> None:
        """Say that something was accepted."""
        self._wake.set()

    def settle_due(self) -> None:
        """
        Work off everything that is due by now. Readers call it, so that what is due is there
        whatever the thread does.
        """
        while self._settle_one():
            pass

    def _work(self) -> None:
        while not self._closing:
            self.settle_due()
            self._wake.wait(self._seconds_to_next())
            self._wake.clear()

    def _seconds_to_next(self) -> float | None:
        with self._store.reading() as connection:
            next_at = connection.execute("SELECT min(visible_at) FROM request WHERE settled = 0").fetchone()[0]
        return None if next_at is None else max(0.0, next_at - time.time())

    def _settle_one(self) -> bool:
        with self._store.reading() as connection:
            row = connection.execute(
                "SELECT sequence, account, entity, fate, first, last FROM request"
                " WHERE settled = 0 AND visible_at <= ? ORDER BY visible_at, sequence LIMIT 1",
                (time.time(),),
            ).fetchone()
            if row is None:
                return False
            sequence, account, entity, fate, first, last = row
            with self._store.writing():
                settle(connection, Work(sequence, account, Entity(entity), fate, first, last), self._existing)
                connection.execute("UPDATE request SET settled = 1 WHERE sequence = ?", (sequence,))
            return True


def settle(connection: sqlite3.Connection, work: Work, existing: Existing) -> None:
    """Apply *work*, or note why its records fail."""
    if work.fate == "drop":
        if work.entity is Entity.CUSTOMERS:
            release(connection, work.account, work.first, work.last)
        _fail(connection, work, "lost in the queue")
    elif work.entity is Entity.CUSTOMERS:
        _settle_customers(connection, work, existing)
    elif work.entity is Entity.EVENTS:
        _settle_events(connection, work)
    else:
        _settle_transactions(connection, work, adds_up=existing is Existing.DOUBLE)


def _settle_customers(connection: sqlite3.Connection, work: Work, existing: Existing) -> None:
    span = (work.first, work.last)
    claim(connection, work.account, *span)
    if existing is not Existing.REFUSE:
        replace(connection, work.account, *span)
    connection.execute("UPDATE identity SET visible = 1 WHERE record BETWEEN ? AND ?", span)
    connection.execute(
        "UPDATE record SET applied = 1 WHERE id BETWEEN ? AND ?"
        " AND id IN (SELECT record FROM identity WHERE record BETWEEN ? AND ?)",
        (*span, *span),
    )
    _fail(connection, work, "id or email is not unique")


def _settle_events(connection: sqlite3.Connection, work: Work) -> None:
    times = 2 if work.fate == "duplicate" else 1  # events know no once: what comes twice counts twice
    connection.execute(
        "UPDATE record SET applied = ? WHERE id BETWEEN ? AND ?"
        " AND customer IN (SELECT id FROM identity WHERE account = ? AND visible = 1)",
        (times, work.first, work.last, work.account),
    )
    _fail(connection, work, "unknown customer")


def _settle_transactions(connection: sqlite3.Connection, work: Work, *, adds_up: bool) -> None:
    rows = connection.execute(
        "SELECT customer, id, json_extract(body, '$.reward_id'), worth FROM record WHERE id BETWEEN ? AND ?"
        " ORDER BY customer, id",
        (work.first, work.last),
    ).fetchall()
    for customer, group in groupby(rows, key=lambda row: str(row[0])):
        ids: list[tuple[int]] = []
        sums: defaultdict[str, Decimal] = defaultdict(Decimal)
        for _, record_id, reward, worth in group:
            ids.append((record_id,))
            sums[reward.lower()] += Decimal(worth)
        failure = _failure_of_transactions(connection, work, customer, sums, adds_up=adds_up)
        if failure:
            connection.executemany("UPDATE record SET failure = ? WHERE id = ?", ((failure, *number) for number in ids))
        else:
            connection.executemany("UPDATE record SET applied = 1 WHERE id = ?", ids)


def _failure_of_transactions(
    connection: sqlite3.Connection, work: Work, customer: str, sums: Mapping[str, Decimal], *, adds_up: bool
) -> str:
    if not taken(connection, work.account, (customer,), visible=True):
        return "unknown customer"
    if connection.execute(
        "SELECT 1 FROM record WHERE account = ? AND entity = 'transactions' AND customer = ? AND applied > 0 LIMIT 1",
        (work.account, customer),
    ).fetchone():
        return "transactions were migrated before"
    held: defaultdict[str, Decimal] = defaultdict(Decimal)
    for line in balance(connection, work.account, customer, adds_up=adds_up):
        held[line["reward_id"].lower()] += Decimal(str(line["amount"]))
    if any(held.get(reward, 0) != sums.get(reward, 0) for reward in held.keys() | sums.keys()):
        return "transactions do not match the balance"
    return ""


def _fail(connection: sqlite3.Connection, work: Work, failure: str) -> None:
    connection.execute(
        "UPDATE record SET failure = ? WHERE id BETWEEN ? AND ? AND applied = 0", (failure, work.first, work.last)
    )
