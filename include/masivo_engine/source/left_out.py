"""
The rows that a mapping leaves out on purpose, by reason: what ``<entity>.left_out.sql`` finds.

They are counted over the whole database, whatever a run reads, and never read as records.
"""

from __future__ import annotations

from sqlalchemy import FromClause, func, select
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.mapping.aliases import REASON, Columns, Query, alias_faults
from masivo_engine.model.errors import MappingError
from masivo_engine.source.database import Database
from masivo_engine.source.dialects import subquery
from masivo_engine.sql import reason_of


def left_out(database: Database, query: Query) -> dict[str, int]:
    """
    Return how many rows *query* leaves out for each reason, most first; a reason that is NULL is
    empty.

    Raises `MappingError` where the database cannot run it, or its aliases are others than the key
    and the reason.
    """
    columns = database.columns(query)
    for fault in alias_faults(query, columns):
        raise fault
    rows, spelled = rows_of(query, columns), Columns(columns).spelled
    reason = rows.c[spelled(REASON)]
    statement = select(reason, func.count()).group_by(reason)
    try:
        with database.reading() as connection:
            found = connection.execute(statement).all()
    except SQLAlchemyError as error:
        raise MappingError(query.where, f"the database cannot run it: {reason_of(error)}", "correct it") from None
    counts: dict[str, int] = {}
    for said, rows_found in sorted(found, key=lambda one: (-int(one[1]), str(one[0]))):
        name = str(said or "").strip()
        counts[name] = counts.get(name, 0) + int(rows_found)
    return counts


def rows_of(query: Query, columns: list[str]) -> FromClause:
    """Return what *query* finds as a table."""
    return subquery(query, columns).alias("left_out")
