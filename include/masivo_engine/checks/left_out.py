"""
What a mapping leaves out on purpose: counted by reason, and whether that and what is read are all
that there is.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import ColumnElement, FromClause, column, func, not_, or_, select, table

from masivo_engine.checks.finding import Finding, blocker, note, several, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import KEY, Columns, Query
from masivo_engine.mapping.lineage import column_behind
from masivo_engine.model.errors import MappingError, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.source.database import Database
from masivo_engine.source.left_out import left_out, rows_of


def leaves_out(asked: Asked) -> Iterator[Finding]:
    """Yield, for each file of rows that are left out, what it says of which rows."""
    database = Database(asked.engine)
    for entity, query in asked.mapping.left_out.items():
        try:
            found = left_out(database, query)
        except MappingError as error:
            yield blocker(entity, "sql_fails", f"{query.file_name}: {error.problem}", error.remedy)
            continue
        except TryAgainLater as error:
            yield note(entity, "not_checked", f"how many rows are left out: {error}")
            continue
        for reason, rows in found.items():
            if not reason:
                yield warning(entity, "left_out", f"{several(rows, 'row')} without a reason", "say why", rows=rows)
            else:
                yield note(entity, "left_out", f"{several(rows, 'row')}: {reason}", rows=rows)
        if asked.has(entity):
            try:
                yield from _against_what_is_read(asked, database, entity, query)
            except Unanswered as why:
                yield note(entity, "not_checked", f"whether all rows are read or left out: {why}")


def _against_what_is_read(asked: Asked, database: Database, entity: Entity, query: Query) -> Iterator[Finding]:
    own, alias = asked.mapping.queries[entity], KEY[entity]
    left = rows_of(query, database.columns(query))
    left_key = left.c[Columns(database.columns(query)).spelled(alias)]
    read = asked.table(own, sampled=False)
    read_key = asked.column(read, own, alias)
    (both,) = asked.counts(select(func.count()).select_from(left).where(_is_in(left_key, read, read_key)))
    if both:
        yield warning(
            entity,
            "read_and_left_out",
            f"{several(both, 'row')} that {query.file_name} leaves out are read by {own.file_name} all the same",
            "let the two say the opposite of each other",
            rows=both,
        )
    behind = column_behind(own, alias)
    if behind is None:
        return
    source = table(behind[0])
    key: ColumnElement[object] = column(behind[1], _selectable=source)
    neither = not_(or_(_is_in(key, read, read_key), _is_in(key, left, left_key)))
    (missed,) = asked.counts(select(func.count()).select_from(source).where(neither))
    if missed:
        yield warning(
            entity,
            "neither_read_nor_left_out",
            f"{several(missed, 'row')} of {behind[0]} are neither in {own.file_name} nor in {query.file_name}",
            "read them, or say in the second file why not",
            rows=missed,
        )


def _is_in(key: ColumnElement[object], rows: FromClause, other: ColumnElement[object]) -> ColumnElement[bool]:
    return key.in_(select(other).select_from(rows).where(other.is_not(None)))
