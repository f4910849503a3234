"""
The ledger at a glance, for anyone who has not chosen a run: the newest runs, what
stayed behind, the lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import case, func, select

from masivo_engine.ledger import dialects, schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.tallies import OPEN, Tally
from masivo_engine.model.judged import NOT_YET_SENT
from masivo_engine.model.limits import HOUR_S
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Covers


@dataclass(frozen=True, slots=True)
class RunLine:
    """
    One run in a list, by the ledger's *name*; times are UTC without a zone. *requests* were made,
    with *sent* records in them.
    """

    number: int
    name: str
    kind: str
    covers: str
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    requests: int
    sent: int

    @property
    def took(self) -> timedelta | None:
        """How long it was under way, None while it is."""
        return self.finished_at - self.started_at if self.finished_at else None


@dataclass(frozen=True, slots=True)
class LaneState:
    """
    The account's lane now: requests in the *last_hour*, the seconds for which it stands still, and
    the margin in seconds.
    """

    last_hour: int
    frozen_s: float
    margin_s: float


def newest_runs(ledger: Ledger, most: int) -> list[RunLine]:
    """Return the newest runs, the newest first."""
    run, batch = schema.run, schema.batch
    newest = select(run).order_by(run.c.id.desc()).limit(most).subquery()
    carried = case((batch.c.requests > 0, batch.c.records), else_=0)
    made = (
        select(batch.c.run, func.sum(batch.c.requests).label("requests"), func.sum(carried).label("sent"))
        .where(batch.c.run.in_(select(newest.c.id)))
        .group_by(batch.c.run)
        .subquery()
    )
    with ledger.reading() as connection:
        rows = connection.execute(
            select(newest, made.c.requests, made.c.sent)
            .select_from(newest.outerjoin(made, made.c.run == newest.c.id))
            .order_by(newest.c.id.desc())
        ).all()
    return [
        RunLine(
            row.id,
            row.run_id,
            row.kind,
            str(Covers.from_json(row.covers)),
            row.started_by,
            row.started_at,
            row.finished_at,
            row.outcome or "",
            int(row.requests or 0),
            int(row.sent or 0),
        )
        for row in rows
    ]


def open_rows(ledger: Ledger) -> list[Tally]:
    """
    Return the rows that wait for somebody or something, over all runs; what is gone from the source
    does not, nor what is on its way.
    """
    record = schema.record
    kinds = (record.c.entity, record.c.state, record.c.reason, record.c.column_name)
    waits = (
        # All entities are named, or SQLite would read the whole table.
        record.c.entity.in_(list(Entity)),
        schema.is_waiting(*OPEN),
        record.c.reason != NOT_YET_SENT,
        record.c.gone_run.is_(None),
    )
    counted = select(*kinds, func.count().label("rows"), func.sum(record.c.points).label("points"))
    with ledger.reading() as connection:
        return [
            Tally(Entity(entity), state, reason, column, int(rows), Decimal(str(points or 0)), 0)
            for entity, state, reason, column, rows, points in connection.execute(
                counted.where(*waits).group_by(*kinds)
            )
        ]


def lane_state(ledger: Ledger) -> LaneState:
    """Return how the lane is by the ledger's own clock; one that nobody has used yet is open."""
    lane, start = schema.lane, schema.start
    with ledger.reading() as connection:
        now = dialects.now(connection)
        row = connection.execute(select(lane).where(lane.c.account == ledger.account)).first()
        recent = (start.c.account == ledger.account, start.c.at > now - HOUR_S, start.c.at <= now)
        count = connection.execute(select(func.count()).select_from(start).where(*recent)).scalar_one()
    if row is None:
        return LaneState(0, 0.0, 0.0)
    return LaneState(int(count), max(0.0, row.frozen_until - now), row.margin_s)
