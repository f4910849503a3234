"""
What the ledger will know when a run is over: what it knows now, and on top what the plan expects of
the rows that it has judged.

It answers the questions that judging asks, and writes nothing to the ledger. What it expects is
kept in a temporary file, so that a plan of millions of rows takes no more memory than a page of
them.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from masivo_engine.ledger.encoding import balance_text
from masivo_engine.ledger.history.entries import Knowledge, Known, Parent, claimed_by
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.rows import Entity, Record, State


_TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE judged (entity TEXT, key TEXT, PRIMARY KEY (entity, key)) WITHOUT ROWID;
CREATE TABLE customer (key TEXT PRIMARY KEY, state TEXT NOT NULL, balance TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE email (digest BLOB PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
"""
_JUDGED = "judged"  # as the state of a row that this plan has met before
_MOST = 10_000


class Foresight(Knowledge):
    """Knowledge of what *run* will have done; open it with `foreseen`."""

    def __init__(self, ledger: Ledger, run: int, scratch: sqlite3.Connection) -> None:
        super().__init__(ledger)
        self._run = run
        self._scratch = scratch
        scratch.executescript(_TABLES)
        scratch.execute("BEGIN")  # never committed: nobody else reads it

    def known(self, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return what is known of *keys*, and that this plan has met them, where it has."""
        found = super().known(entity, keys)
        for entries in found.values():
            # What an earlier try of the run did is over; as the run's own it would be taken for a
            # second row of the key.
            entries[:] = [entry._replace(run=0) if entry.run == self._run else entry for entry in entries]
        for key in self._among("SELECT key FROM judged WHERE entity = ? AND key IN ", keys, entity.value):
            met = Known(0, self._run, 0, "", 0, _JUDGED, "", None, None, None, None, None)
            found.setdefault(key, []).append(met)
        return found

    def parents(self, customers: Collection[str]) -> dict[str, Parent]:
        """Return what will be known of *customers* when their own turn is over."""
        found = super().parents(customers)
        for key, state, balance in self._rows("SELECT key, state, balance FROM customer WHERE key IN ", customers):
            if state == State.DELIVERED or key not in found or not found[key].arrived:
                found[key] = Parent(state, balance)
        return found

    def owners(self, emails: Sequence[tuple[str, str]]) -> list[str]:
        """Return whose each address will be; the first to want it has it."""
        digests = [self._ledger.digest(email) for email, _ in emails]
        taken = claimed_by(self._ledger, "email", digests)
        for digest, key in self._rows("SELECT digest, key FROM email WHERE digest IN ", digests):
            taken.setdefault(digest, key)
        fresh: dict[bytes, str] = {}
        owners = []
        for digest, (_, key) in zip(digests, emails, strict=True):
            owners.append(taken.get(digest) or fresh.setdefault(digest, key))
        self._scratch.executemany("INSERT OR IGNORE INTO email VALUES (?, ?)", fresh.items())
        return owners

    def note(self, entity: Entity, keys: Iterable[str]) -> None:
        """Note that rows of *keys* were judged."""
        rows = ((entity.value, key) for key in keys if key)
        self._scratch.executemany("INSERT OR IGNORE INTO judged VALUES (?, ?)", rows)

    def expect(self, customers: Iterable[tuple[str, str, Record | None]]) -> None:
        """
        Note in which state customers will be: key, state, and the record that is delivered then.
        """
        rows = ((key, state, balance_text(record.balance if record else {})) for key, state, record in customers if key)
        self._scratch.executemany("INSERT OR REPLACE INTO customer VALUES (?, ?, ?)", rows)

    def will_arrive(self, customers: Collection[str]) -> set[str]:
        """Return those *customers* that this run is expected to deliver."""
        rows = self._rows("SELECT key, state FROM customer WHERE key IN ", customers)
        return {key for key, state in rows if state == State.DELIVERED}

    def _among(self, statement: str, values: Collection[str], *first: str) -> Iterator[str]:
        for row in self._rows(statement, values, *first):
            yield row[0]

    def _rows(self, statement: str, values: Collection[str] | Collection[bytes], *first: str) -> Iterator[tuple]:  # type: ignore[type-arg]
        remaining = list(values)
        for start in range(0, len(remaining), _MOST):
            some = remaining[start : start + _MOST]
            marks = ",".join("?" * len(some))
            yield from self._scratch.execute(f"{statement}({marks})", (*first, *some)).fetchall()

    @classmethod
    @contextmanager
    def of(cls, ledger: Ledger, run: int) -> Iterator[Self]:
        """Open the foresight of *run*; its file is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="masivo-plan-") as folder:
            scratch = sqlite3.connect(Path(folder) / "scratch.sqlite", isolation_level=None)
            try:
                yield cls(ledger, run, scratch)
            finally:
                scratch.close()
