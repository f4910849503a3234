"""Runs and their slices in the ledger: what a run covers, and the parts that it was cut into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Opened, now
from masivo_engine.ledger.encoding import as_bound
from masivo_engine.ledger.writing import table_rows
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


class Runs(Opened):
    """The part of the ledger that is about runs."""

    def begin_run(
        self, run_id: str, *, mapping: str, mapping_hash: str, covers: str, kind: str = "", started_by: str = ""
    ) -> Run:
        """
        Enter a run, or find it where an earlier try of its first task did: what it covers must not
        move.

        *kind* is why it reads what it reads (`masivo_engine.model.runs.RunKind`), *started_by* the
        person who triggered it, if one did.
        """
        with self.engine.begin() as connection:
            known = connection.execute(select(schema.run.c.id).where(schema.run.c.run_id == run_id)).first()
            if known is None:
                values = {"run_id": run_id, "mapping": mapping, "mapping_hash": mapping_hash, "covers": covers}
                values |= {"kind": kind, "started_by": table_rows.kept(started_by, ledger_capacity.PERSON)}
                connection.execute(insert(schema.run).values(started_at=now(), **values))
        if self._memory is not None:
            self.raise_high_water()
        return self.run(run_id)

    def set_aside(self, run_id: str) -> None:
        """
        Give *run_id* free where the run that has it has ended: Airflow cleared it, or a backfill
        reprocesses it, and it runs anew.

        The one that ended keeps its account under its own number. What it delivered counts as
        delivered by an earlier run.
        """
        table = schema.run
        with self.engine.begin() as connection:
            ended = select(table.c.id).where(table.c.run_id == run_id, table.c.finished_at.is_not(None))
            if number := connection.execute(ended).scalar():
                earlier = f"{run_id[:225]} (ended as run {number})"
                connection.execute(update(table).where(table.c.id == number).values(run_id=earlier))

    def has_run(self, run_id: str) -> bool:
        """Whether the run that Airflow calls *run_id* was entered."""
        with self.reading() as connection:
            return connection.execute(select(schema.run.c.id).where(schema.run.c.run_id == run_id)).first() is not None

    def newest_run(self) -> int:
        """Return the number of the newest run, 0 where there is none."""
        with self.reading() as connection:
            return int(connection.execute(select(func.max(schema.run.c.id))).scalar() or 0)

    def run(self, run_id: str) -> Run:
        """Return the run that Airflow calls *run_id*. Raises `LedgerError`."""
        with self.reading() as connection:
            found = connection.execute(select(schema.run).where(schema.run.c.run_id == run_id)).first()
        if found is None:
            msg = f"the ledger knows no run {run_id!r}"
            raise UnknownRun(msg)
        return Run(found.id, found.run_id, found.mapping, found.mapping_hash, found.covers)

    def plan_of(self, run: int) -> dict[str, Any]:
        """Return what the plan of *run* foretold. Raises `LedgerError` where it has none."""
        with self.reading() as connection:
            plan = connection.execute(select(schema.run.c.plan).where(schema.run.c.id == run)).scalar()
        if plan is None:
            msg = f"run {run} has no plan; clear its task plan"
            raise LedgerError(msg)
        found: dict[str, Any] = json.loads(plan)
        return found

    def approve(self, run: int, by: str) -> None:
        """Enter who approved of what *run* is to send."""
        with self.engine.begin() as connection:
            mine = update(schema.run).where(schema.run.c.id == run)
            connection.execute(mine.values(approved_by=table_rows.kept(by, ledger_capacity.PERSON), approved_at=now()))

    def keep_plan(self, run: int, plan: str) -> None:
        """Keep what the plan of *run* foretold, as JSON."""
        with self.engine.begin() as connection:
            connection.execute(update(schema.run).where(schema.run.c.id == run).values(plan=plan))

    def slices(self, run: int, entity: Entity) -> list[Slice]:
        """Return the slices of *entity* in *run*, in order."""
        table = schema.part
        with self.reading() as connection:
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

    def finish_run(self, run: int, outcome: str) -> None:
        """Enter how the run ended, in a few words."""
        with self.engine.begin() as connection:
            connection.execute(
                update(schema.run)
                .where(schema.run.c.id == run)
                .values(finished_at=now(), outcome=table_rows.kept(outcome, ledger_capacity.SENTENCE))
            )
