"""What a person decided: every release, override and choice, with who and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import kept
from masivo_engine.model import ledger_capacity
from masivo_engine.model.rows import Entity


@dataclass(frozen=True, slots=True)
class Release:
    """
    One decision: what was done (*action*), with which rows (*about*, *records*), by whom, when (UTC
    without a zone).
    """

    run: int
    action: str
    entity: str
    about: str
    records: int
    released_by: str
    released_at: datetime


def enter(
    ledger: Ledger, run: int, action: str, by: str, *, entity: str = "", about: str = "", records: int = 0
) -> None:
    """Enter a decision, unless an earlier try of the same run did."""
    table = schema.release
    values = {"run": run, "action": action, "entity": entity, "about": kept(about, ledger_capacity.SENTENCE)}
    with ledger.engine.begin() as connection:
        same = select(table.c.id).where(*(table.c[name] == value for name, value in values.items()))
        if connection.execute(same).first() is None:
            decided = {"records": records, "released_by": kept(by, ledger_capacity.PERSON), "released_at": now()}
            connection.execute(insert(table).values(values | decided))


def released_count(ledger: Ledger, action: str, entity: Entity) -> int:
    """
    Return of how many rows the last decision about *action* and *entity* was, 0 where there was
    none.
    """
    table = schema.release
    with ledger.reading() as connection:
        found = connection.execute(
            select(table.c.records)
            .where(table.c.action == action, table.c.entity == entity)
            .order_by(table.c.id.desc())
            .limit(1)
        ).scalar()
    return int(found or 0)


def of_run(ledger: Ledger, run: int) -> Iterator[Release]:
    """Yield what was decided for *run*, in order."""
    table = schema.release
    with ledger.reading() as connection:
        rows = connection.execute(select(table).where(table.c.run == run).order_by(table.c.id)).all()
    for row in rows:
        yield Release(row.run, row.action, row.entity, row.about, row.records, row.released_by, row.released_at)
