"""
What a read-back found, in a pack: ``findings.csv`` with a row for each difference, and
``readback.json`` with what it came to.

Customers who wait to be read are in the ledger beside the findings; they are no finding, and are
counted apart.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, func, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.verification import outcomes
from masivo_engine.ledger.verification.outcomes import ReadBack
from masivo_engine.ledger.verification.pending import WAITING
from masivo_engine.model.reasons import NOT_SHOWN
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import Account
from masivo_engine.reports.pack.folder import Folder
from masivo_engine.reports.pack.tables import safe, streamed
from masivo_engine.reports.pages.figures import plain, stamp
from masivo_engine.verification.differences import MEANINGS, Bucket, Meaning, points_off
from masivo_engine.verification.sample import most_wrong


FINDINGS, SUMMARY = "findings.csv", "readback.json"

_COLUMNS = ("entity", "key", "customer", "bucket", "reward", "delivered", "found", "points_off", "found_at")


@dataclass(frozen=True, slots=True)
class Line:
    """
    Findings of one entity in one bucket; of points Masivo has *too_many* in some and *too_few* in
    others, which are never set off.
    """

    entity: str
    bucket: str
    rows: int
    too_many: Decimal
    too_few: Decimal
    meaning: Meaning
    is_explained: bool


@dataclass(frozen=True, slots=True)
class Confirmation:
    """How far one entity of the run is proved, in records and in points (None for events)."""

    entity: str
    accepted: int
    confirmed: int
    not_shown: int
    points: Decimal | None
    points_confirmed: Decimal | None

    @property
    def open(self) -> int:
        """How many are neither confirmed nor of a kind that the API cannot show."""
        return self.accepted - self.confirmed - self.not_shown


@dataclass(frozen=True, slots=True)
class Proof:
    """
    All that read-backs have found out about a run; *waiting* are customers who were chosen and not
    yet read to the end.
    """

    reads: tuple[ReadBack, ...]
    confirmations: tuple[Confirmation, ...]
    lines: tuple[Line, ...]
    waiting: int

    @property
    def last(self) -> ReadBack | None:
        """The latest read-back, if there was one."""
        return self.reads[-1] if self.reads else None

    @property
    def is_judged(self) -> bool:
        """Whether the latest read-back has ended."""
        return self.last is not None and self.last.judged_at is not None

    @property
    def wrong(self) -> int:
        """How many differences are not explained."""
        return sum(line.rows for line in self.lines if not line.is_explained)

    @property
    def not_shown(self) -> int:
        """How many records no read-back can confirm."""
        return sum(one.not_shown for one in self.confirmations)

    @property
    def confidence(self) -> float | None:
        """
        The largest share of the customers who were not looked for that can be wrong, at 95 %
        confidence.

        None where nothing can be said: everybody was read, nobody was drawn at random, somebody is
        not read yet, or something differs.
        """
        last = self.last
        if last is None or not last.drawn or last.chosen >= last.customers or self.waiting or self.wrong:
            return None
        return most_wrong(last.drawn)

    def as_json(self) -> dict[str, Any]:
        """Return it as plain JSON values; points are text, so that no digit is lost."""
        return {
            "read_backs": [
                {
                    "run": one.read_by,
                    "customers": one.customers,
                    "chosen": one.chosen,
                    "drawn_at_random": one.drawn,
                    "chosen_at": stamp(one.chosen_at),
                    "judged_at": stamp(one.judged_at),
                    "outcome": one.outcome,
                }
                for one in self.reads
            ],
            "confidence": None
            if self.confidence is None
            else {"at": 0.95, "most_of_the_others_wrong": round(self.confidence, 6)},
            "customers_not_visible_yet": self.waiting,
            "wrong": self.wrong,
            "entities": {
                one.entity: {
                    "accepted": one.accepted,
                    "confirmed": one.confirmed,
                    "cannot_be_shown": one.not_shown,
                    "not_confirmed": one.open,
                    "points_accepted": None if one.points is None else plain(one.points),
                    "points_confirmed": None if one.points_confirmed is None else plain(one.points_confirmed),
                }
                for one in self.confirmations
            },
            "findings": [
                {
                    "entity": line.entity,
                    "bucket": line.bucket,
                    "rows": line.rows,
                    "points_too_many": plain(line.too_many),
                    "points_too_few": plain(line.too_few),
                    "is_explained": line.is_explained,
                    **asdict(line.meaning),
                }
                for line in self.lines
            ],
        }


@dataclass(slots=True)
class _Count:
    rows: int = 0
    too_many: Decimal = Decimal(0)
    too_few: Decimal = Decimal(0)

    def add(self, off: Decimal) -> None:
        self.rows += 1
        self.too_many += max(off, Decimal(0))
        self.too_few += max(-off, Decimal(0))


_Counts = dict[tuple[Entity, Bucket], _Count]


def write_findings(ledger: Ledger, run: int, made: Account, folder: Folder) -> tuple[Proof, int]:
    """
    Write what was found of *run*, of which *made* is the account; return it, and how many rows the
    file has. No read-back, no files.
    """
    reads = outcomes.of_run(ledger, run)
    counts: _Counts = {}
    if reads:
        _write_rows(_found(ledger, run, counts), folder)
    found = _proof(ledger, run, made, reads, counts)
    if reads:
        folder.put_json(SUMMARY, found.as_json())
    return found, sum(one.rows for one in counts.values())


def proof(ledger: Ledger, run: int, made: Account) -> Proof:
    """Return what was found of *run*, of which *made* is the account."""
    reads = outcomes.of_run(ledger, run)
    counts: _Counts = {}
    for _ in _found(ledger, run, counts) if reads else ():
        pass
    return _proof(ledger, run, made, reads, counts)


def _proof(ledger: Ledger, run: int, made: Account, reads: Sequence[ReadBack], counts: _Counts) -> Proof:
    return Proof(tuple(reads), _confirmations(made), _lines(counts), _waiting(ledger, run))


def _found(ledger: Ledger, run: int, counts: _Counts) -> Iterator[tuple[Row[Any], Decimal]]:
    """Yield each finding with the points that it is off by, and add it to *counts*."""
    finding = schema.finding
    statement = select(finding).where(finding.c.run == run, finding.c.bucket != WAITING).order_by(finding.c.id)
    for row in streamed(ledger, statement):
        entity, bucket = Entity(row.entity), Bucket(row.bucket)
        off = points_off(entity, row.expected, row.found)
        counts.setdefault((entity, bucket), _Count()).add(off)
        yield row, off


def _write_rows(found: Iterable[tuple[Row[Any], Decimal]], folder: Folder) -> None:
    with folder.text(FINDINGS) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row, off in found:
            writer.writerow(
                (
                    row.entity,
                    safe(row.key),
                    safe(row.customer),
                    row.bucket,
                    safe(row.reward),
                    _cell(row.expected),
                    _cell(row.found),
                    plain(off),
                    stamp(row.found_at),
                )
            )


def _cell(text: str) -> str:
    """An amount stays a number, below zero too; any other text is made safe."""
    return text if text.lstrip("-").replace(".", "", 1).isdecimal() else safe(text)


def _lines(counts: _Counts) -> tuple[Line, ...]:
    return tuple(
        Line(entity.value, bucket.value, one.rows, one.too_many, one.too_few, meaning, bucket.is_explained)
        for bucket, meaning in MEANINGS.items()
        for entity in Entity
        if (one := counts.get((entity, bucket))) is not None
    )


def _confirmations(made: Account) -> tuple[Confirmation, ...]:
    hidden = {one.entity: one.rows for one in made.troubles if one.reason == NOT_SHOWN and one.state == State.DELIVERED}
    found = []
    for one in made.entities:
        confirmed, waits = (one.states.get(state, 0) for state in (State.CONFIRMED, State.DELIVERED))
        points: Sequence[Decimal | None] = (None, None)
        if one.entity is not Entity.EVENTS:
            sure, rest = (one.points.get(state, Decimal(0)) for state in (State.CONFIRMED, State.DELIVERED))
            points = sure + rest, sure
        found.append(
            Confirmation(
                one.entity.value, confirmed + waits, confirmed, hidden.get(one.entity, 0), points[0], points[1]
            )
        )
    return tuple(one for one in found if one.accepted)


def _waiting(ledger: Ledger, run: int) -> int:
    finding = schema.finding
    with ledger.reading() as connection:
        return int(
            connection.execute(
                select(func.count()).where(finding.c.run == run, finding.c.bucket == WAITING)
            ).scalar_one()
        )
