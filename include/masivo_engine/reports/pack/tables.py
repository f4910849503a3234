"""
The CSV files of a pack: every row of a run by entity and state, and every batch with the hash of
what was sent.

They are streamed from the ledger, so memory does not grow with it; what the page says of points by
reward is counted on the way. No name, e-mail address or payload is in them: the ledger has none. A
spreadsheet takes a cell that begins with = + - or @ for a formula, so such text gets an apostrophe
in front; amounts are numbers and stay as they are.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, select

from masivo_engine.ledger import encoding, schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.pack.folder import Folder
from masivo_engine.reports.pages.figures import plain, stamp


ON_THE_WAY = "on_the_way"
BATCHES = "batches.csv"

_PART = 2_000
_MOST_SHAPES = 3
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_COLUMNS = (
    "key",
    "customer",
    "state",
    "reason",
    "column",
    "shape",
    "points",
    "reward",
    "slice",
    "batch",
    "request_status",
    "sent_at",
    "settled_at",
)
_BATCH_COLUMNS = (
    "batch",
    "entity",
    "slice",
    "state",
    "reason",
    "records",
    "customers",
    "bytes",
    "body_hash",
    "requests",
    "request_status",
    "seconds",
    "packed_at",
    "sent_at",
    "settled_at",
)

Trouble = tuple[str, str, str, str]


@dataclass(slots=True)
class Counted:
    """
    What the rows came to while they were written.

    *rows* by file, and those of the *findings*; *points* by entity, reward and state, those of rows
    whose reward is not known under an empty one; *shapes* are a few of the values that made
    trouble, by entity, state, reason and column.
    """

    rows: dict[str, int] = field(default_factory=dict)
    points: dict[tuple[Entity, str], dict[str, Decimal]] = field(default_factory=dict)
    shapes: dict[Trouble, list[str]] = field(default_factory=dict)
    findings: int = 0

    def add(self, entity: Entity, row: Row[Any]) -> None:
        """Count *row*."""
        amounts = encoding.as_balance(row.balance) or ({row.reward: row.points} if row.points else {})
        for reward, amount in amounts.items():
            by_state = self.points.setdefault((entity, reward), {})
            by_state[row.is_state] = by_state.get(row.is_state, Decimal(0)) + amount
        if row.shape:
            shapes = self.shapes.setdefault((entity.value, row.is_state, row.is_reason, row.column_name), [])
            if len(shapes) < _MOST_SHAPES and row.shape not in shapes:
                shapes.append(row.shape)


@dataclass(frozen=True, slots=True)
class Hashes:
    """
    How many batches a run has, and the SHA-256 of their body hashes, each as hex on a line of its
    own, in the order of the file.
    """

    count: int
    sha256: str


def file_of(entity: Entity, state: str) -> str:
    """Return the name of the file that has the rows of *entity* in *state*."""
    return f"{entity.value}.{state if state in set(State) else ON_THE_WAY}.csv"


def write_rows(ledger: Ledger, run: int, folder: Folder) -> Counted:
    """
    Write every entry of *run* to the file of its entity and state; a state without rows has no
    file.
    """
    counted = Counted()
    for entity in Entity:
        with ExitStack() as files:
            writers: dict[str, Any] = {}
            for row in streamed(ledger, _entries(run, entity)):
                name = file_of(entity, row.is_state)
                if name not in writers:
                    writers[name] = csv.writer(files.enter_context(folder.text(name)))
                    writers[name].writerow(_COLUMNS)
                writers[name].writerow(_cells(row))
                counted.rows[name] = counted.rows.get(name, 0) + 1
                counted.add(entity, row)
    return counted


def write_batches(ledger: Ledger, run: int, folder: Folder) -> Hashes:
    """Write every batch of *run*, and return what proves that none was changed."""
    count, digest = 0, hashlib.sha256()
    with folder.text(BATCHES) as file:
        writer = csv.writer(file)
        writer.writerow(_BATCH_COLUMNS)
        for row in streamed(ledger, _batches(run)):
            body = bytes(row.body_hash).hex()
            digest.update(f"{body}\n".encode())
            count += 1
            writer.writerow(_batch_cells(row, body))
    return Hashes(count, digest.hexdigest())


def safe(text: str) -> str:
    """Return *text* as a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(row: Row[Any]) -> Sequence[Any]:
    return (
        safe(row.key),
        safe(row.customer),
        row.is_state,
        row.is_reason,
        safe(row.column_name),
        safe(row.shape),
        plain(row.points),
        safe(row.reward),
        row.slice,
        row.batch,
        row.status,
        stamp(row.sent_at),
        stamp(row.settled_at),
    )


def _batch_cells(row: Row[Any], body: str) -> Sequence[Any]:
    return (
        row.id,
        row.entity,
        row.slice,
        row.state,
        row.reason,
        row.records,
        row.customers,
        row.bytes,
        body,
        row.requests,
        row.status,
        row.seconds,
        stamp(row.packed_at),
        stamp(row.sent_at if row.requests else None),
        stamp(row.settled_at),
    )


def _entries(run: int, entity: Entity) -> Select[Any]:
    entry, batch = schema.entry, schema.batch
    return (
        select(
            entry.c.key,
            entry.c.customer,
            schema.state_of_entry.label("is_state"),
            schema.reason_of_entry.label("is_reason"),
            entry.c.column_name,
            entry.c.shape,
            entry.c.points,
            entry.c.balance,
            entry.c.reward,
            entry.c.slice,
            entry.c.batch,
            batch.c.status,
            schema.sent_at_of_batch,
            batch.c.settled_at,
        )
        .select_from(schema.entry_and_batch)
        .where(entry.c.run == run, entry.c.entity == entity)
        .order_by(entry.c.slice, entry.c.id)
    )


def _batches(run: int) -> Select[Any]:
    return select(schema.batch).where(schema.batch.c.run == run).order_by(schema.batch.c.id)


def streamed(ledger: Ledger, statement: Select[Any]) -> Iterator[Row[Any]]:
    """Yield the rows of *statement*, some at a time."""
    with ledger.reading() as connection:
        options = {"stream_results": True, "max_row_buffer": _PART}
        for rows in connection.execute(statement, execution_options=options).partitions(_PART):
            yield from rows
