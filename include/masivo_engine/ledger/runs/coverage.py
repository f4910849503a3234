"""
Coverage: which spans of change time are completely worked off, by mapping and entity.

A span is written with the slices of the run that is to work it off, and counts once all of them are
finished: nothing has to be entered when a run ends, and a run that failed has covered nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import exists, func, insert, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import slice_row
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Span


@dataclass(frozen=True, slots=True)
class Seen:
    """
    What the plan of a run saw of one entity in the legacy database.

    *newest* is the newest change time (aware UTC), *count* the rows in the window, *types* the
    columns with the driver's types.
    """

    newest: datetime | None
    count: int
    types: Mapping[str, str]


def plan_slices(
    ledger: Ledger, run: int, mapping: str, entity: Entity, slices: Sequence[Slice], *, span: Span | None, seen: Seen
) -> None:
    """
    Enter what *run* is to work off of *entity*, unless an earlier try of the plan did: it must not
    move any more.
    """
    part, coverage = schema.part, schema.coverage
    with ledger.engine.begin() as connection:
        planned = select(part.c.number).where(part.c.run == run, part.c.entity == entity)
        if connection.execute(planned).first() is not None:
            return
        if slices:
            connection.execute(insert(part), [{"run": run} | slice_row(one) for one in slices])
        known = select(coverage.c.run).where(coverage.c.run == run, coverage.c.entity == entity)
        if span is not None and connection.execute(known).first() is None:
            connection.execute(
                insert(coverage).values(
                    run=run,
                    entity=entity,
                    mapping=mapping,
                    since=_plain(span.since),
                    until=_plain(span.until),
                    newest=_plain(seen.newest),
                    rows=seen.count,
                    signature=json.dumps(dict(seen.types), sort_keys=True),
                )
            )


def covered(ledger: Ledger, mapping: str, mapping_hash: str, entity: Entity) -> list[Span]:
    """
    Return the spans of *entity* that runs have worked off with the mapping of that name and
    content: another content may make records of rows that were none.
    """
    table, run = schema.coverage, schema.run
    with ledger.reading() as connection:
        found = connection.execute(
            select(table.c.since, table.c.until)
            .join(run, run.c.id == table.c.run)
            .where(
                table.c.mapping == mapping,
                table.c.entity == entity,
                run.c.mapping_hash == mapping_hash,
                *_is_worked_off(table),
            )
            .order_by(table.c.run)
        ).all()
    return [Span(_aware(row.since), _aware(row.until)) for row in found]


def last_seen(ledger: Ledger, mapping: str, entity: Entity, *, runs: int) -> list[tuple[Span, Seen]]:
    """Return what the last *runs* finished runs with *mapping* saw of *entity*, newest first."""
    table = schema.coverage
    with ledger.reading() as connection:
        found = connection.execute(
            select(table)
            .where(table.c.mapping == mapping, table.c.entity == entity, *_is_worked_off(table))
            .order_by(table.c.run.desc())
            .limit(runs)
        ).all()
    return [
        (
            Span(_aware(row.since), _aware(row.until)),
            Seen(_aware(row.newest), row.rows, json.loads(row.signature)),
        )
        for row in found
    ]


def is_known(ledger: Ledger, mapping: str, entity: Entity) -> bool:
    """
    Whether a run with a mapping of that name has worked off a span of *entity*. What was planned
    only, or refused then, has not.
    """
    table = schema.coverage
    mine = (table.c.mapping == mapping, table.c.entity == entity)
    with ledger.reading() as connection:
        return connection.execute(select(table.c.run).where(*mine, *_is_worked_off(table)).limit(1)).first() is not None


def is_begun(ledger: Ledger, mapping: str, entity: Entity) -> bool:
    """
    Whether a run with *mapping* has begun to work off *entity* from its beginning on. What was
    planned only, or refused then, has not.
    """
    table, part = schema.coverage, schema.part
    begun = exists().where(part.c.run == table.c.run, part.c.entity == table.c.entity, part.c.started_at.is_not(None))
    one = select(table.c.run).where(
        table.c.mapping == mapping,
        table.c.entity == entity,
        table.c.since.is_(None),
        or_(begun, *_is_worked_off(table)),
    )
    with ledger.reading() as connection:
        return connection.execute(one.limit(1)).first() is not None


def hashes_since(ledger: Ledger, mapping: str, entity: Entity) -> set[str]:
    """
    Return the mapping's content hashes of the last run that worked off a span of *entity*, and of
    those that began to since.

    Of a mapping of that name; where there was none yet, of any: a copy under another name makes
    records of the same rows.
    """
    table, run = schema.coverage, schema.run
    of_any: tuple[Any, ...] = (table.c.entity == entity,)
    mine = (table.c.mapping == mapping, *of_any) if is_known(ledger, mapping, entity) else of_any
    last = select(func.coalesce(func.max(table.c.run), 0)).where(*mine, *_is_worked_off(table)).scalar_subquery()
    with ledger.reading() as connection:
        found = connection.execute(
            select(run.c.mapping_hash).join(table, table.c.run == run.c.id).where(*mine, run.c.id >= last).distinct()
        )
        return set(found.scalars())


def _is_worked_off(table: Any) -> tuple[Any, ...]:
    part = schema.part
    open_slices = exists().where(
        part.c.run == table.c.run, part.c.entity == table.c.entity, part.c.finished_at.is_(None)
    )
    return (~open_slices,)


def _plain(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC).replace(tzinfo=None)


def _aware(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
