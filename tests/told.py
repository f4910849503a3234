"""What the ledger says of rows, by plain SQL: where each stands, and where it stood before."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from sqlalchemy import Engine, text

from masivo_engine.model.rows import Entity


class Told(NamedTuple):
    """Where one row stands; *run* has seen it last."""

    entity: str
    key: str
    customer: str
    state: str
    reason: str
    column: str
    run: int
    points: float


_NOW = text(
    "SELECT m.entity, m.key, m.customer, CASE WHEN state = 'delivered' AND confirmed_at IS NOT NULL THEN 'confirmed' ELSE"
    " state END AS state, reason, column_name, run, points FROM masivo_record m ORDER BY entity, home, place"
)
_BEFORE = text(
    "SELECT h.entity, r.key, h.customer, h.state, h.reason, h.column_name, h.run, h.points FROM masivo_history h"
    " JOIN masivo_record r ON r.entity = h.entity AND r.home = h.home AND r.place = h.place ORDER BY h.id"
)


def told(engine: Engine, run: int | None = None) -> list[Told]:
    """Return where all rows stand, or those that *run* has seen last."""
    with engine.connect().execution_options(reads_only=True) as connection:
        found = [Told._make(row) for row in connection.execute(_NOW)]
    return [one for one in found if run is None or one.run == run]


def before(engine: Engine) -> list[Told]:
    """Return where rows stood before they changed, in order."""
    with engine.connect().execution_options(reads_only=True) as connection:
        return [Told._make(row) for row in connection.execute(_BEFORE)]


def stand(engine: Engine, entity: Entity, key: str) -> list[str]:
    """Return where *key* stood, in order, and where it stands, as ``state reason``."""
    rows = [one for one in (*before(engine), *told(engine)) if (one.entity, one.key) == (entity, key)]
    return [f"{one.state} {one.reason}".strip() for one in rows]


def in_state(engine: Engine, state: str) -> set[tuple[str, str]]:
    """Return entity and key of the rows in *state*."""
    return {(one.entity, one.key) for one in told(engine) if one.state == state}


def counted(engine: Engine) -> Counter[tuple[int, str]]:
    """Count the rows in the account of each run, by run and entity."""
    with engine.connect().execution_options(reads_only=True) as connection:
        live = connection.execute(
            text(
                "SELECT m.run, m.entity, count(*) FROM masivo_record m JOIN masivo_run r ON r.id = m.run"
                " WHERE r.frozen_at IS NULL GROUP BY m.run, m.entity"
            )
        ).all()
        written = connection.execute(
            text(
                "SELECT t.run, t.entity, sum(t.rows) FROM masivo_tally t WHERE t.state <> 'gone' GROUP BY t.run, t.entity"
            )
        ).all()
    found: Counter[tuple[int, str]] = Counter()
    with engine.connect().execution_options(reads_only=True) as connection:
        left = connection.execute(text("SELECT run, entity, count(*) FROM masivo_left GROUP BY run, entity")).all()
    for run, entity, rows in (*live, *written, *left):
        found[run, entity] += int(rows)
    return found
