"""
Rows that the API has, or that wait, and that the source has no more.

A run that has read everything knows which places it did not meet. They are asked for once more,
because a row may have been written behind the reading; what is not there is gone. A customer who
was merged into another one, or deleted, is found so, and is a line of the account.
"""

from __future__ import annotations

from sqlalchemy import select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.runs import Covers
from masivo_engine.source.reader import Source
from masivo_engine.sql import at_once, one_of, portions


_RECORD = schema.record
_PORTION = 5_000


def find_gone(ledger: Ledger, run: int, covers: Covers, source: Source) -> int:
    """
    Note which rows of the entity of *source* are gone, if *run* has read all of it; return how
    many.
    """
    entity = source.entity
    if entity not in covers.windows or not covers.windows[entity].is_everything or not _is_read(ledger, run, entity):
        return 0
    unmet = select(_RECORD.c.place).where(
        _RECORD.c.entity == entity, _RECORD.c.run != run, _RECORD.c.gone_run.is_(None)
    )
    with ledger.reading() as connection:
        places = list(connection.execute(unmet).scalars())
    found = 0
    for some in portions(places, most=_PORTION):
        gone = sorted(set(some) - source.there(some))
        with ledger.engine.begin() as connection:
            for part in at_once(gone, connection.dialect.name):
                these = one_of(_RECORD.c.place, part, connection.dialect.name)
                mine = (_RECORD.c.entity == entity, _RECORD.c.run != run, these)
                found += connection.execute(update(_RECORD).where(*mine).values(gone_run=run)).rowcount
    return found


def _is_read(ledger: Ledger, run: int, entity: str) -> bool:
    part = schema.part
    with ledger.reading() as connection:
        mine = connection.execute(
            select(part.c.finished_at).where(part.c.run == run, part.c.entity == entity)
        ).scalars()
        return all(finished is not None for finished in mine)
