"""
What the ledger knows of a run besides its account: who, when, with what, what a person decided,
what the API said.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs import decisions as releases
from masivo_engine.ledger.runs.decisions import Release
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import UnknownRun
from masivo_engine.model.runs import Covers


_MOST_SAID = 8
_SAID = 200


@dataclass(frozen=True, slots=True)
class Said:
    """
    An answer that was no yes: *status* (0 where no status line came), the API's *words*, and how
    many batches and records got it.
    """

    entity: str
    status: int
    words: str
    batches: int
    records: int


@dataclass(frozen=True, slots=True)
class Facts:
    """
    One run; times are UTC without a zone, *plan* is what `Forecast.as_json` made, None where there
    was none.
    """

    number: int
    run_id: str
    kind: str
    covers: str
    mapping: str
    mapping_hash: str
    account: str
    outcome: str
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    approved_by: str
    approved_at: datetime | None
    first_sent: datetime | None
    last_settled: datetime | None
    plan: dict[str, Any] | None
    releases: tuple[Release, ...]
    said: tuple[Said, ...]

    @property
    def took(self) -> timedelta | None:
        """How long the run was under way, None while it is."""
        return self.finished_at - self.started_at if self.finished_at else None


def facts(ledger: Ledger, run_id: str) -> Facts:
    """Read what is known of the run that Airflow calls *run_id*. Raises `UnknownRun`."""
    batch = schema.batch
    with ledger.reading() as connection:
        run = connection.execute(select(schema.run).where(schema.run.c.run_id == run_id)).first()
        if run is None:
            msg = f"the ledger knows no run {run_id!r}"
            raise UnknownRun(msg)
        times = connection.execute(
            select(func.min(batch.c.sent_at).label("first"), func.max(batch.c.settled_at).label("last")).where(
                batch.c.run == run.id, batch.c.requests > 0
            )
        ).one()
        answers = connection.execute(
            select(
                batch.c.entity,
                func.coalesce(batch.c.status, 0).label("status"),
                batch.c.words,
                func.count().label("batches"),
                func.sum(batch.c.records).label("records"),
            )
            .where(batch.c.run == run.id, batch.c.words != "", batch.c.state != BatchState.DELIVERED)
            .group_by(batch.c.entity, batch.c.status, batch.c.words)
            .order_by(func.sum(batch.c.records).desc(), batch.c.words)
            .limit(_MOST_SAID)
        ).all()
    return Facts(
        number=run.id,
        run_id=run.run_id,
        kind=run.kind,
        covers=str(Covers.from_json(run.covers)),
        mapping=run.mapping,
        mapping_hash=run.mapping_hash,
        account=ledger.account,
        outcome=run.outcome or "",
        started_by=run.started_by,
        started_at=run.started_at,
        finished_at=run.finished_at,
        approved_by=run.approved_by,
        approved_at=run.approved_at,
        first_sent=times.first,
        last_settled=times.last,
        plan=json.loads(run.plan) if run.plan else None,
        releases=tuple(releases.of_run(ledger, run.id)),
        said=tuple(
            Said(row.entity, row.status, _cut(row.words), int(row.batches), int(row.records)) for row in answers
        ),
    )


def _cut(words: str) -> str:
    return words if len(words) <= _SAID else words[: _SAID - 1] + "…"
