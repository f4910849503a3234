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
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import worth_text
from masivo_engine.ledger.rows import Known, Parent, Rows
from masivo_engine.model.judged import Judged
from masivo_engine.model.rows import Entity, Record, State


_TABLES = """
PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
CREATE TABLE met (entity TEXT, place TEXT, key TEXT, state TEXT, PRIMARY KEY (entity, place)) WITHOUT ROWID;
CREATE INDEX met_key ON met (entity, key);
CREATE TABLE customer (key TEXT PRIMARY KEY, state TEXT NOT NULL, worth TEXT) WITHOUT ROWID;
CREATE TABLE email (digest BLOB, place TEXT, PRIMARY KEY (digest, place)) WITHOUT ROWID;
"""
_MOST = 10_000
_ELSEWHERE = -1  # the number of a slice that the plan has judged before


class Projection(Rows):
    """What *run* will have made of the ledger; open it with `of`."""

    def __init__(self, ledger: Ledger, run: int, scratch: sqlite3.Connection) -> None:
        super().__init__(ledger)
        self._run = run
        self._scratch = scratch
        scratch.executescript(_TABLES)
        scratch.execute("BEGIN")  # never committed: nobody else reads it

    def at(self, entity: Entity, places: Collection[str]) -> dict[str, Known]:
        """
        Return what is known of the rows at *places*, and that this plan has met them, where it has.
        """
        # What an earlier try of the run saw is judged anew.
        found = {place: row._replace(run=0) for place, row in super().at(entity, places).items()}
        for place, key, state in self._rows(_MET + "place IN ", places, entity.value):
            met = found.get(place) or _unknown(place, key, state)
            found[place] = met._replace(run=self._run, slice=_ELSEWHERE)
        return found

    def of_keys(self, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return the rows that have one of *keys*, or were met with it."""
        found = {key: [row._replace(run=0) for row in rows] for key, rows in super().of_keys(entity, keys).items()}
        for place, key, state in self._rows(_MET + "key IN ", keys, entity.value):
            if all(row.place != place for row in found.get(key, ())):
                found.setdefault(key, []).append(_unknown(place, key, state)._replace(run=self._run))
        return found

    def of_emails(self, digests: Collection[bytes]) -> list[Known]:
        """Return the customers that have one of the addresses, or will have."""
        found = super().of_emails(digests)
        there = {row.place for row in found}
        for digest, place in self._rows("SELECT digest, place FROM email WHERE digest IN ", digests):
            if place not in there:
                new = _unknown(place, "", State.HELD.value)
                found.append(new._replace(email=digest, out_email=digest, out_batch=0))
        return found

    def parents(self, customers: Collection[str]) -> dict[str, Parent]:
        """Return what will be known of *customers* when their own turn is over."""
        found = super().parents(customers)
        for key, state, worth in self._rows("SELECT key, state, worth FROM customer WHERE key IN ", customers):
            if state == State.DELIVERED or key not in found or not found[key].has_arrived:
                found[key] = Parent(state == State.DELIVERED, state, worth)
            else:
                found[key] = found[key]._replace(state=state)
        return found

    def note(self, entity: Entity, judged: Iterable[Judged]) -> None:
        """Note that rows were judged, and what will become of them."""
        judged = list(judged)
        met = [(entity.value, one.place, one.row.key, one.verdict.state.value) for one in judged]
        self._scratch.executemany("INSERT OR IGNORE INTO met VALUES (?, ?, ?, ?)", met)
        if entity is not Entity.CUSTOMERS:
            return
        sent = [one for one in judged if one.verdict.is_sent and isinstance(one.row, Record)]
        emails = [(self.digest(one.row.email), one.place) for one in sent if isinstance(one.row, Record)]
        self._scratch.executemany("INSERT OR IGNORE INTO email VALUES (?, ?)", emails)
        expected = [
            (one.row.key, State.DELIVERED.value, worth_text(one.row.balance))
            for one in judged
            if isinstance(one.row, Record) and (one.verdict.is_sent or one.verdict.has_it)
        ]
        left = {State.QUARANTINED, State.HELD}
        expected += [
            (one.row.key, one.verdict.state.value, None)
            for one in judged
            if one.row.key and one.verdict.state in left and not one.verdict.is_sent and one.place == one.row.place
        ]
        self._scratch.executemany("INSERT OR REPLACE INTO customer VALUES (?, ?, ?)", expected)

    def _rows(
        self, statement: str, values: Collection[str] | Collection[bytes], *first: str
    ) -> Iterator[tuple[Any, ...]]:
        remaining = list(values)
        for start in range(0, len(remaining), _MOST):
            some = remaining[start : start + _MOST]
            marks = ",".join("?" * len(some))
            yield from self._scratch.execute(f"{statement}({marks})", (*first, *some)).fetchall()

    @classmethod
    @contextmanager
    def of(cls, ledger: Ledger, run: int) -> Iterator[Self]:
        """Open the projection of *run*; its file is gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="masivo-plan-") as folder:
            scratch = sqlite3.connect(Path(folder) / "scratch.sqlite", isolation_level=None)
            try:
                yield cls(ledger, run, scratch)
            finally:
                scratch.close()


_MET = "SELECT place, key, state FROM met WHERE entity = ? AND "


def _unknown(place: str, key: str, state: str) -> Known:
    """Return a row of which the ledger knows nothing yet."""
    nothing: dict[str, Any] = dict.fromkeys(Known._fields)
    return Known(**nothing | {"place": place, "key": key, "state": state, "reason": "", "run": 0, "slice": 0})
