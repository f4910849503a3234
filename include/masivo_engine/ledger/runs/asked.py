"""
Rows that a run reads again by their place, whatever window it has: all that are open, or what a
person released.

Nobody asks why a row waits: whatever keeps it may have changed, in the database, in the mapping, or
at the API, and judging it again costs no request.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, true, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import slice_row
from masivo_engine.ledger.runs.tallies import OPEN
from masivo_engine.model.places import first_of
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice


_RECORD = schema.record


def ask_open(ledger: Ledger, run: int, entity: Entity) -> int:
    """
    Let *run* read again what is open of *entity* and was not read by it; return how many rows.
    """
    return ask(ledger, run, entity, *_is_waiting(), _RECORD.c.run != run)


def open_places(ledger: Ledger, entity: Entity, *, most: int) -> Iterator[list[str]]:
    """Yield the places that a run would ask for, as `asked_places` does it."""
    yield from _places(ledger, entity, [_RECORD.c.entity == entity, *_is_waiting()], most=most)


def _is_waiting() -> tuple[ColumnElement[bool], ...]:
    return schema.is_waiting(*OPEN), _RECORD.c.gone_run.is_(None)


def ask(ledger: Ledger, run: int, entity: Entity, *which: ColumnElement[bool]) -> int:
    """Let *run* read the rows of *entity* again for which *which* holds; return how many."""
    with ledger.engine.begin() as connection:
        statement = update(_RECORD).where(_RECORD.c.entity == entity, *which).values(asked_run=run)
        return int(connection.execute(statement).rowcount)


def plan_asked(ledger: Ledger, run: int, entity: Entity, *, most: int) -> int:
    """
    Enter slices of at most *most* of the rows that *run* is to read by their place, behind those
    that are there; return how many rows. Nothing where an earlier try entered them.
    """
    part = schema.part
    this = (part.c.run == run, part.c.entity == entity)
    with ledger.engine.begin() as connection:
        there = connection.execute(select(part.c.number, part.c.selects).where(*this)).all()
        if any(row.selects == "places" for row in there):
            return 0
        homes = connection.execute(
            select(_RECORD.c.home, func.count())
            .where(*_is_asked(run, entity))
            .group_by(_RECORD.c.home)
            .order_by(_RECORD.c.home)
        ).all()
        cuts: list[tuple[str | None, int]] = []
        for home, count in homes:
            if not cuts or cuts[-1][1] + count > most:
                cuts.append((home, 0))
            cuts[-1] = cuts[-1][0], cuts[-1][1] + count
        last = max((row.number for row in there), default=0)
        for number, (lower, count) in enumerate(cuts, start=1):
            upper = cuts[number][0] if number < len(cuts) else None
            new = Slice(entity, last + number, last + len(cuts), lower, upper, count, selects="places")
            connection.execute(insert(part), {"run": run} | slice_row(new))
        connection.execute(part.update().where(*this).values(of=last + len(cuts)))
    return sum(count for _, count in cuts)


def asked_places(ledger: Ledger, run: int, part: Slice, *, most: int) -> Iterator[list[str]]:
    """
    Yield the places that *part* of *run* reads, *most* at a time; of transactions those of their
    owners, because a customer's are judged together.
    """
    # Those of a window that was read before have been judged by this run.
    is_mine = or_(_RECORD.c.run != run, _RECORD.c.slice == part.number)
    yield from _places(ledger, part.entity, [*_is_asked(run, part.entity, part), is_mine], most=most)


def _places(ledger: Ledger, entity: Entity, which: Sequence[ColumnElement[bool]], *, most: int) -> Iterator[list[str]]:
    read = [_RECORD.c.home, _RECORD.c.place, _RECORD.c.owner]
    behind: tuple[str, str] | None = None
    seen: set[str] = set()
    while True:
        statement = select(*read).where(*which, _after(behind) if behind else true())
        with ledger.reading() as connection:
            rows = connection.execute(statement.order_by(_RECORD.c.home, _RECORD.c.place).limit(most)).all()
        if not rows:
            return
        behind = rows[-1].home, rows[-1].place
        is_set = entity is Entity.TRANSACTIONS
        places = dict.fromkeys(row.owner if is_set else first_of(row.place) for row in rows)
        new = [place for place in places if place not in seen]
        seen.update(new)
        if new:
            yield new


def unmet_places(ledger: Ledger, run: int, part: Slice) -> list[str]:
    """Return what *part* asked for and has not met."""
    unmet = select(_RECORD.c.place).where(*_is_asked(run, part.entity, part), _RECORD.c.run != run)
    with ledger.reading() as connection:
        return list(connection.execute(unmet).scalars())


def close_asked(ledger: Ledger, run: int, part: Slice) -> None:
    """
    Note that *part* has been read to its end: what it asked for and did not meet is gone from the
    source.
    """
    with ledger.engine.begin() as connection:
        asked = _is_asked(run, part.entity, part)
        connection.execute(update(_RECORD).where(*asked, _RECORD.c.run != run).values(gone_run=run))
        connection.execute(update(_RECORD).where(*asked).values(asked_run=None))


def _is_asked(run: int, entity: Entity, part: Slice | None = None) -> list[ColumnElement[bool]]:
    conditions = [_RECORD.c.entity == entity, _RECORD.c.asked_run == run]
    if part is not None and part.lower is not None:
        conditions.append(_RECORD.c.home >= part.lower)
    if part is not None and part.upper is not None:
        conditions.append(_RECORD.c.home < part.upper)
    return conditions


def _after(behind: tuple[str, str]) -> ColumnElement[bool]:
    home, place = behind
    return or_(_RECORD.c.home > home, and_(_RECORD.c.home == home, _RECORD.c.place > place))
