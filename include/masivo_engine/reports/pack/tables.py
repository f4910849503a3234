"""
The CSV files of a pack: every row of a run by entity and state, and every batch with the hash of
what was sent. The rows of a run are those that it has seen last, and those that it delivered; of
others a later run has its own.

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
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, case, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.verification.pending import brought_by
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.pack.folder import Folder
from masivo_engine.reports.pages.figures import plain, stamp


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
        amounts = as_worth(row.worth) or ({"": row.points} if row.points else {})
        for reward, amount in amounts.items():
            by_state = self.points.setdefault((entity, reward), {})
            by_state[row.ended] = by_state.get(row.ended, Decimal(0)) + amount
        if row.shape:
            shapes = self.shapes.setdefault((entity.value, row.ended, row.reason, row.column_name), [])
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
    return f"{entity.value}.{state}.csv"


def write_rows(ledger: Ledger, run: int, folder: Folder) -> Counted:
    """
    Write every row of *run* to the file of its entity and state; a state without rows has no file.
    """
    counted = Counted()
    for entity in Entity:
        with ExitStack() as files:
            writers: dict[str, Any] = {}
            for row in streamed(ledger, _rows(run, entity)):
                name = file_of(entity, row.ended)
                if name not in writers:
                    writers[name] = csv.writer(files.enter_context(folder.text(name)))
                    writers[name].writerow(_COLUMNS)
                writers[name].writerow(_cells(entity, row))
                counted.rows[name] = counted.rows.get(name, 0) + 1
                counted.add(entity, row)
    return counted


def write_batches(ledger: Ledger, run: int, folder: Folder) -> Hashes:
    """Write every batch of *run*, and return what proves that none was changed."""
    count, digest = 0, hashlib.sha256()
    with folder.text(BATCHES) as file:
        writer = csv.writer(file)
        statement = _batches(run)
        writer.writerow(statement.selected_columns.keys())
        for row in streamed(ledger, statement):
            digest.update(f"{bytes(row.body_hash).hex()}\n".encode())
            count += 1
            writer.writerow(map(_cell, row))
    return Hashes(count, digest.hexdigest())


def safe(text: str) -> str:
    """Return *text* as a spreadsheet shows it and does not run it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(entity: Entity, row: Row[Any]) -> Sequence[Any]:
    reward = next(iter(as_worth(row.worth)), "") if entity is Entity.TRANSACTIONS else ""
    return (
        safe(row.key),
        safe(row.customer),
        row.ended,
        row.reason,
        safe(row.column_name),
        safe(row.shape),
        plain(row.points),
        safe(reward),
        row.slice,
        row.batch,
        row.status,
        stamp(row.sent_at),
        stamp(row.settled_at),
    )


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return stamp(value)
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def _rows(run: int, entity: Entity) -> Select[Any]:
    record, batch = schema.record, schema.batch
    is_seen, is_there = record.c.run == run, brought_by([run])

    def said(name: str) -> ColumnElement[Any]:
        """As the run has read it, or else as it has delivered it."""
        return case((is_seen, record.c[name]), else_=record.c[f"has_{name}"]).label(name)

    ended = case(
        (is_seen, schema.state_in(run)),
        (record.c.confirmed_at.is_not(None), State.CONFIRMED.value),
        else_=State.DELIVERED.value,
    )
    carried = case((is_seen & schema.is_out, record.c.out_batch), (is_there, record.c.has_batch))
    seen = (
        select(
            record.c.home,
            record.c.place,
            record.c.key,
            *map(said, ("customer", "points", "worth")),
            ended.label("ended"),
            *(case((is_seen, record.c[name]), else_="").label(name) for name in ("reason", "column_name", "shape")),
            case((is_seen, record.c.slice)).label("slice"),
            carried.label("batch"),
        )
        .where(record.c.entity == entity, or_(is_seen, is_there))
        .subquery()
    )
    return (
        select(seen, batch.c.status, case((batch.c.requests > 0, batch.c.sent_at)).label("sent_at"), batch.c.settled_at)
        .select_from(seen.outerjoin(batch, batch.c.id == seen.c.batch))
        .order_by(seen.c.slice, seen.c.home, seen.c.place)
    )


def _batches(run: int) -> Select[Any]:
    batch = schema.batch.c
    columns = (
        batch.id.label("batch"),
        *(batch.entity, batch.slice, batch.state, batch.reason, batch.records, batch.customers, batch.bytes),
        *(batch.body_hash, batch.requests, batch.status.label("request_status"), batch.seconds, batch.packed_at),
        case((batch.requests > 0, batch.sent_at)).label("sent_at"),
        batch.settled_at,
    )
    return select(*columns).where(batch.run == run).order_by(batch.id)


def streamed(ledger: Ledger, statement: Select[Any]) -> Iterator[Row[Any]]:
    """Yield the rows of *statement*, some at a time."""
    with ledger.reading() as connection:
        options = {"stream_results": True, "max_row_buffer": _PART}
        for rows in connection.execute(statement, execution_options=options).partitions(_PART):
            yield from rows
