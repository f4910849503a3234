"""
What the sandbox holds: one SQLite database, in a file or in memory.

``request`` is what was accepted, in order, with the moment from which it is visible; ``record`` is
each of its records with its content; ``identity`` says whose id and e-mail are taken. A record has
been *applied* as often as the queue worked it off with success, or has a *failure*. Everything else
that can be asked is worked out from these three.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from masivo_engine.sandbox.api.contract import Entity


_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS request (
    sequence INTEGER PRIMARY KEY, account TEXT NOT NULL, entity TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    accepted_at REAL NOT NULL, visible_at REAL NOT NULL, fate TEXT NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL, settled INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS request_waiting ON request (visible_at, sequence) WHERE settled = 0;
CREATE TABLE IF NOT EXISTS record (
    id INTEGER PRIMARY KEY, account TEXT NOT NULL, entity TEXT NOT NULL, customer TEXT NOT NULL, key TEXT NOT NULL,
    email TEXT NOT NULL, worth TEXT NOT NULL, body TEXT NOT NULL,
    applied INTEGER NOT NULL DEFAULT 0, failure TEXT NOT NULL DEFAULT ''
);
CREATE INDEX IF NOT EXISTS record_by_customer ON record (account, entity, customer, key);
CREATE TABLE IF NOT EXISTS identity (
    account TEXT NOT NULL, id TEXT NOT NULL, email TEXT NOT NULL, record INTEGER NOT NULL, visible INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (account, id), UNIQUE (account, email)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS identity_by_record ON identity (record);
"""


# An id that is twice in a request counts where it comes first.
_FIRST_OF_EACH = "SELECT min(id) AS record, customer, email FROM record WHERE id BETWEEN ? AND ? GROUP BY customer"


@dataclass(frozen=True, slots=True)
class Request:
    """
    One accepted request; *fate* is what the queue does with it: nothing special, ``drop`` or
    ``duplicate``.
    """

    sequence: int
    account: str
    entity: Entity
    sha256: str
    size: int
    accepted_at: float
    visible_at: float
    fate: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One record of a body.

    *place* is where it stands in the body; *email* is folded for comparison, *worth* the amount of
    a transaction or what a purchase cost, as decimal text, *body* its JSON with sorted keys.
    """

    place: tuple[int, int | None]
    customer: str
    key: str
    body: str
    email: str = ""
    worth: str = ""


class Store:
    """
    The database. One connection behind one lock: SQLite has one writer anyway.

    A commit is on the disk when it returns (WAL with ``synchronous=FULL``), so what was answered
    with 201 survives ``kill -9``.

    :raises OSError: *path* cannot be used; the sentence says why.
    """

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.RLock()
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                _make(path)
            self._connection = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.executescript(_TABLES)
        except (OSError, sqlite3.Error) as problem:
            raise OSError(errno.EIO, f"the store {path} cannot be used ({problem}); give another file") from problem

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for as long as the block runs."""
        with self._lock:
            yield self._connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The connection within one transaction, which an exception undoes."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def fixed(self, name: str, value: str) -> str:
        """The value kept under *name*; *value* becomes it the first time."""
        with self.writing() as connection:
            connection.execute("INSERT OR IGNORE INTO meta VALUES (?, ?)", (name, value))
            return str(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])

    def accepted_beside(self, sequences: AbstractSet[int]) -> Iterator[tuple[Request, list[tuple[str, str]]]]:
        """
        The accepted requests whose numbers are not in *sequences*, each with its records' (key,
        customer).
        """
        with self.reading() as connection:
            rows = connection.execute(
                "SELECT sequence, account, entity, sha256, size, accepted_at, visible_at, fate, first, last FROM"
                " request ORDER BY sequence"
            ).fetchall()
            for number, account, entity, *rest, first, last in rows:
                if number not in sequences:
                    query = "SELECT key, customer FROM record WHERE id BETWEEN ? AND ?"
                    keys = connection.execute(query, (first, last)).fetchall()
                    yield Request(number, account, Entity(entity), *rest), keys

    def close(self) -> None:
        """Close the database; whatever is asked afterwards fails."""
        with self._lock:
            self._connection.close()


def _make(path: Path) -> None:
    """
    Make the file, which holds names and addresses, readable by nobody else, unless it is there.

    What is there is not opened by hand: closing it would drop the locks of every connection that
    this process has to it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def keep(connection: sqlite3.Connection, request: Request, entries: Sequence[Entry]) -> tuple[int, int]:
    """
    Keep an accepted *request* with its *entries*, within the caller's transaction; the ids of the
    first and the last.
    """
    first = int(connection.execute("SELECT coalesce(max(id), 0) FROM record").fetchone()[0]) + 1
    last = first + len(entries) - 1
    connection.executemany(
        "INSERT INTO record (id, account, entity, customer, key, email, worth, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (number, request.account, request.entity, entry.customer, entry.key, entry.email, entry.worth, entry.body)
            for number, entry in enumerate(entries, first)
        ),
    )
    connection.execute(
        "INSERT INTO request (sequence, account, entity, sha256, size, accepted_at, visible_at, fate, first, last)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            request.sequence, request.account, request.entity, request.sha256, request.size,
            request.accepted_at, request.visible_at, request.fate, first, last,
        ),
    )  # fmt: skip
    return first, last


def claim(connection: sqlite3.Connection, account: str, first: int, last: int) -> None:
    """
    Take the ids and e-mails of the customers from record *first* to *last* that nobody has taken
    yet.
    """
    connection.execute(
        "INSERT OR IGNORE INTO identity (account, id, email, record)"
        " SELECT account, customer, email, id FROM record WHERE account = ? AND id BETWEEN ? AND ? ORDER BY id",
        (account, first, last),
    )


def claim_emails(connection: sqlite3.Connection, account: str, first: int, last: int) -> None:
    """
    Give those who have an id already the e-mails of record *first* to *last*, where nobody else has
    them.
    """
    connection.execute(
        f"UPDATE OR IGNORE identity SET email = latest.email FROM ({_FIRST_OF_EACH}) AS latest"  # noqa: S608
        " WHERE identity.account = ? AND identity.id = latest.customer",
        (first, last, account),
    )


def replace(connection: sqlite3.Connection, account: str, first: int, last: int) -> None:
    """
    Put the customers from record *first* to *last* in the place of those with the same id, unless
    somebody else has the e-mail.
    """
    connection.execute(
        "UPDATE OR IGNORE identity SET record = latest.record, email = latest.email"  # noqa: S608
        f" FROM ({_FIRST_OF_EACH}) AS latest WHERE identity.account = ? AND identity.id = latest.customer",
        (first, last, account),
    )


def release(connection: sqlite3.Connection, account: str, first: int, last: int) -> None:
    """
    Give back what the customers from record *first* to *last* had claimed; whoever was there before
    has the old e-mail again.
    """
    connection.execute("DELETE FROM identity WHERE record BETWEEN ? AND ?", (first, last))
    connection.execute(
        "UPDATE OR IGNORE identity SET email = (SELECT email FROM record WHERE record.id = identity.record)"
        " WHERE account = ? AND id IN (SELECT customer FROM record WHERE id BETWEEN ? AND ?)",
        (account, first, last),
    )


def balance(connection: sqlite3.Connection, account: str, customer: str, *, adds_up: bool) -> list[dict[str, Any]]:
    """
    The lines of a visible customer's balance: of the latest content, or with *adds_up* of all that
    were worked off.

    What the queue worked off twice is there twice.
    """
    kept = "applied > 0" if adds_up else "id = (SELECT record FROM identity WHERE account = ?1 AND id = ?2)"
    rows = connection.execute(
        "SELECT body, applied FROM record "  # noqa: S608
        f"WHERE account = ?1 AND entity = 'customers' AND customer = ?2 AND {kept} ORDER BY id",
        (account, customer),
    )
    return [line for body, times in rows for line in json.loads(body)["balance"] * times]


def owners_of(connection: sqlite3.Connection, account: str, emails: Iterable[str]) -> dict[str, str]:
    """The ids of the customers who have one of *emails*, by e-mail."""
    query = "SELECT email, id FROM identity WHERE account = ? AND email IN (SELECT value FROM json_each(?))"
    return dict(connection.execute(query, (account, json.dumps(list(emails)))).fetchall())


def taken(connection: sqlite3.Connection, account: str, ids: Iterable[str], *, visible: bool = False) -> set[str]:
    """Which of *ids* are taken in the account, or even *visible*."""
    query = "SELECT id FROM identity WHERE account = ? AND id IN (SELECT value FROM json_each(?)) AND visible >= ?"
    return {row[0] for row in connection.execute(query, (account, json.dumps(list(ids)), visible))}
