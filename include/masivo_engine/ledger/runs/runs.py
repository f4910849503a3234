"""Runs and their slices in the ledger: what a run covers, and the parts that it was cut into."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import as_bound, as_text, kept
from masivo_engine.model import ledger_capacity
from masivo_engine.model.errors import LedgerError, UnknownRun
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice


@dataclass(frozen=True, slots=True)
class Run:
    """
    One run: *number* in the ledger, *run_id* in Airflow; *covers* is what
    `masivo_engine.model.runs.Covers` writes.
    """

    number: int
    run_id: str
    mapping: str
    mapping_hash: str
    covers: str


def begin_run(
    ledger: Ledger, run_id: str, *, mapping: str, mapping_hash: str, covers: str, kind: str = "", started_by: str = ""
) -> Run:
    """
    Enter a run, or find it where an earlier try of its first task did: what it covers must not
    move.

    *kind* is why it reads what it reads (`masivo_engine.model.runs.RunKind`), *started_by* the
    person who triggered it, if one did.
    """
    if not has_run(ledger, run_id):
        values = {"run_id": run_id, "mapping": mapping, "mapping_hash": mapping_hash, "covers": covers}
        values |= {"kind": kind, "started_by": kept(started_by, ledger_capacity.PERSON)}
        with suppress(IntegrityError), ledger.engine.begin() as connection:  # another try enters it at this moment
            connection.execute(insert(schema.run).values(started_at=now(), **values))
    if ledger.remembers:
        ledger.raise_high_water()
    return find_run(ledger, run_id)


def set_aside(ledger: Ledger, run_id: str) -> None:
    """
    Give *run_id* free where the run that has it has ended: Airflow cleared it, or a backfill
    reprocesses it, and it runs anew.

    The one that ended keeps its account under its own number. What it delivered counts as
    delivered by an earlier run.
    """
    table = schema.run
    with ledger.engine.begin() as connection:
        ended = select(table.c.id).where(table.c.run_id == run_id, table.c.finished_at.is_not(None))
        if number := connection.execute(ended).scalar():
            earlier = f"{run_id[:225]} (ended as run {number})"
            connection.execute(update(table).where(table.c.id == number).values(run_id=earlier))


def has_run(ledger: Ledger, run_id: str) -> bool:
    """Whether the run that Airflow calls *run_id* was entered."""
    with ledger.reading() as connection:
        return connection.execute(select(schema.run.c.id).where(schema.run.c.run_id == run_id)).first() is not None


def newest_run(ledger: Ledger) -> int:
    """Return the number of the newest run, 0 where there is none."""
    with ledger.reading() as connection:
        return int(connection.execute(select(func.max(schema.run.c.id))).scalar() or 0)


def find_run(ledger: Ledger, run_id: str) -> Run:
    """Return the run that Airflow calls *run_id*. Raises `LedgerError`."""
    with ledger.reading() as connection:
        found = connection.execute(select(schema.run).where(schema.run.c.run_id == run_id)).first()
    if found is None:
        msg = f"the ledger knows no run {run_id!r}"
        raise UnknownRun(msg)
    return Run(found.id, found.run_id, found.mapping, found.mapping_hash, found.covers)


def plan_of(ledger: Ledger, run: int) -> dict[str, Any]:
    """Return what the plan of *run* foretold. Raises `LedgerError` where it has none."""
    with ledger.reading() as connection:
        plan = connection.execute(select(schema.run.c.plan).where(schema.run.c.id == run)).scalar()
    if plan is None:
        msg = f"run {run} has no plan; clear its task plan"
        raise LedgerError(msg)
    found: dict[str, Any] = json.loads(plan)
    return found


def approve_run(ledger: Ledger, run: int, by: str) -> None:
    """Enter who approved of what *run* is to send."""
    with ledger.engine.begin() as connection:
        mine = update(schema.run).where(schema.run.c.id == run)
        connection.execute(mine.values(approved_by=kept(by, ledger_capacity.PERSON), approved_at=now()))


def keep_plan(ledger: Ledger, run: int, plan: str) -> None:
    """Keep what the plan of *run* foretold, as JSON."""
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.run).where(schema.run.c.id == run).values(plan=plan))


def slices_of(ledger: Ledger, run: int, entity: Entity) -> list[Slice]:
    """Return the slices of *entity* in *run*, in order."""
    table = schema.part
    with ledger.reading() as connection:
        found = connection.execute(
            select(table).where(table.c.run == run, table.c.entity == entity).order_by(table.c.number)
        ).all()
    return [
        Slice(
            entity,
            row.number,
            row.of,
            as_bound(row.lower_bound),
            as_bound(row.upper_bound),
            row.planned_rows,
            row.selects,
        )
        for row in found
    ]


def finish_run(ledger: Ledger, run: int, outcome: str) -> None:
    """Enter how the run ended, in a few words."""
    with ledger.engine.begin() as connection:
        connection.execute(
            update(schema.run)
            .where(schema.run.c.id == run)
            .values(finished_at=now(), outcome=kept(outcome, ledger_capacity.SENTENCE))
        )


def slice_row(part: Slice) -> dict[str, Any]:
    """Return the row of a slice that nobody has claimed."""
    return {
        "entity": part.entity,
        "number": part.number,
        "of": part.of,
        "lower_bound": as_text(part.lower),
        "upper_bound": as_text(part.upper),
        "planned_rows": part.rows,
        "selects": part.selects,
        "met_again": 0,
        "fence": 0,
    }
