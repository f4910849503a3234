"""
How much was looked at: of each file, a full pass or a sample, in rows and of how many.

Without that, a check that found nothing says nothing: it may have seen the first rows of a large
table only.
"""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import func, select

from masivo_engine.checks.content.rows import Rows
from masivo_engine.checks.finding import Finding, note
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import Query


FULL, SAMPLE = "full_pass", "sample"


def looked_at(asked: Asked, rows: Rows) -> Finding:
    """
    Say how many rows of an entity's own file and of its lists *rows* has looked at, of how many
    there are.
    """
    entity = rows.entity
    own = asked.mapping.queries[entity]
    total = rows.rows if rows.has_ended else _total(asked, own)
    parts = [_part(rows.rows, total, own)]
    for path, query in asked.mapping.lists[entity].items():
        parts.append(_part(rows.elements[path], _total(asked, query), query))
    is_full = total == rows.rows
    kind = "a full pass" if is_full else "a sample, the first rows in the order of their customers"
    do = "" if is_full else "--all looks at every row, --rows N at another number"
    return note(str(entity), FULL if is_full else SAMPLE, f"{kind}: {', '.join(parts)}", do, rows=rows.rows)


def summary(findings: Iterable[Finding]) -> str:
    """Sum up what `looked_at` has said of every entity."""
    said = [found for found in findings if found.code in (FULL, SAMPLE)]
    full = [f"{found.rows:,} {found.where}" for found in said if found.code == FULL]
    some = [f"{found.rows:,} {found.where}" for found in said if found.code == SAMPLE]
    parts = [f"all rows ({', '.join(full)})"] if full else []
    parts += [f"a sample (the first {', '.join(some)})"] if some else []
    return f"looked at {' and '.join(parts)}" if parts else "looked at no rows"


def _part(seen: int, total: int | None, query: Query) -> str:
    of = "of a number that the database does not tell in time" if total is None else f"of {total:,}"
    return f"{seen:,} {of} rows of {query.file_name}"


def _total(asked: Asked, query: Query) -> int | None:
    try:
        (found,) = asked.counts(select(func.count()).select_from(asked.table(query, sampled=False)))
    except Unanswered:
        return None
    return found
