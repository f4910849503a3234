"""
What each read-back set out to read of a run, and what it came to: one row for each run that it is
about.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, delete, func, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import kept
from masivo_engine.ledger.verification.pending import AT_RANDOM, EVERYBODY, WAITING, to_be_confirmed
from masivo_engine.model import ledger_capacity


@dataclass(frozen=True, slots=True)
class ReadBack:
    """
    One read-back of one run; times are UTC without a zone.

    Of *customers* who had something to confirm, so many were *chosen*, of whom so many were *drawn*
    at random. *judged_at* is None until it has ended; *outcome* says why it was red, empty where it
    was not.
    """

    read_by: str
    customers: int
    chosen: int
    drawn: int
    chosen_at: datetime
    judged_at: datetime | None
    outcome: str


def begin(ledger: Ledger, read_by: str, runs: Collection[int]) -> None:
    """
    Enter that the Airflow run *read_by* has chosen who waits now of *runs*; what an earlier try of
    it entered is replaced.
    """
    table, finding = schema.readback, schema.finding
    with ledger.engine.begin() as connection:
        confirmable = to_be_confirmed(runs).subquery()
        counted = select(confirmable.c.run, func.count().label("customers")).group_by(confirmable.c.run)
        there = {row.run: row.customers for row in connection.execute(counted)}
        waiting = connection.execute(
            select(
                finding.c.run,
                func.count().label("chosen"),
                func.sum(case((finding.c.expected.in_((AT_RANDOM, EVERYBODY)), 1), else_=0)).label("drawn"),
            )
            .where(finding.c.run.in_(list(runs)), finding.c.bucket == WAITING)
            .group_by(finding.c.run)
        ).all()
        connection.execute(delete(table).where(table.c.read_by == read_by[: ledger_capacity.NAME_OF_RUN]))
        if waiting:
            connection.execute(
                insert(table),
                [
                    {
                        "run": row.run,
                        "read_by": read_by[: ledger_capacity.NAME_OF_RUN],
                        # Who differed before may have nothing left to confirm, and is chosen all
                        # the same.
                        "customers": max(there.get(row.run, 0), int(row.chosen)),
                        "chosen": int(row.chosen),
                        "drawn": int(row.drawn),
                        "chosen_at": now(),
                    }
                    for row in waiting
                ],
            )


def judge(ledger: Ledger, read_by: str, outcome: str) -> None:
    """Enter what the read-back of the Airflow run *read_by* came to."""
    table = schema.readback
    with ledger.engine.begin() as connection:
        connection.execute(
            update(table)
            .where(table.c.read_by == read_by[: ledger_capacity.NAME_OF_RUN])
            .values(judged_at=now(), outcome=kept(outcome, ledger_capacity.SENTENCE))
        )


def of_run(ledger: Ledger, run: int) -> list[ReadBack]:
    """Return the read-backs of *run*, oldest first."""
    table = schema.readback
    with ledger.reading() as connection:
        rows = connection.execute(select(table).where(table.c.run == run).order_by(table.c.id)).all()
    return [
        ReadBack(row.read_by, row.customers, row.chosen, row.drawn, row.chosen_at, row.judged_at, row.outcome)
        for row in rows
    ]


def runs_of(ledger: Ledger, read_by: str) -> list[str]:
    """
    Return what Airflow calls the runs that its run *read_by* set out to read back, oldest first.
    """
    table, run = schema.readback, schema.run
    with ledger.reading() as connection:
        mine = (
            select(run.c.run_id)
            .join(table, table.c.run == run.c.id)
            .where(table.c.read_by == read_by[: ledger_capacity.NAME_OF_RUN])
        )
        return list(connection.execute(mine.order_by(run.c.id)).scalars())
