"""
What can only be seen over all rows: one owner of very many, rows that do not say when they changed.

All of it is counted by the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import func, select

from masivo_engine.checks.finding import Finding, note, several, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import CHANGED
from masivo_engine.model.rows import Entity


_SHARE = 0.05
_FEW = 20


def totals(asked: Asked) -> Iterator[Finding]:
    """Yield what can only be counted over all rows."""
    owned = (entity for entity in (Entity.EVENTS, Entity.TRANSACTIONS) if asked.has(entity))
    checks: list[tuple[str, Any]] = [(f"customers with very many {one}", _crowds(asked, one)) for one in owned]
    checks += [(f"change times of {entity}", _changes(asked, entity)) for entity in Entity if asked.has(entity)]
    for what, findings in checks:
        try:
            yield from findings
        except Unanswered as why:
            yield note("mapping", "not_checked", f"{what}: {why}", "a smaller --rows may do, or an index")


def _crowds(asked: Asked, entity: Entity) -> Iterator[Finding]:
    """
    One customer with a share of everything is no person but a till, a guest account or a test.
    """
    _, owner = asked.customer(entity)
    per_owner = (
        select(owner.label("owner"), func.count().label("n")).where(owner.is_not(None)).group_by(owner).subquery()
    )
    rows, owners, most = asked.counts(select(func.sum(per_owner.c.n), func.count(), func.max(per_owner.c.n)))
    if owners and owners >= _FEW and most > max(_SHARE * rows, 20 * rows / owners):
        matter = f"one customer owns {most:,} of {rows:,} {entity}"
        do = "probably a shared or guest account: leave it out in SQL, or decide who owns them"
        yield warning(str(entity), "one_for_many", matter, do, rows=most)


def _changes(asked: Asked, entity: Entity) -> Iterator[Finding]:
    where = str(entity)
    if not asked.has(entity, CHANGED):
        matter = (
            f"{entity}.sql has no {CHANGED}, so nobody can tell what changed: no window can be read, and every run,"
            " scheduled ones too, reads and compares all rows"
        )
        do = (
            f"select the column that the legacy system writes at each change AS {CHANGED}; if it has none, the time of"
            " creation serves rows that never change, and a sweep finds the others"
        )
        yield warning(where, "no_change_column", matter, do)
        return
    query = asked.mapping.queries[entity]
    table = asked.table(query)
    changed = asked.column(table, query, CHANGED)
    (without,) = asked.counts(select(func.count()).select_from(table).where(changed.is_(None)))
    if without:
        matter = f"{several(without, 'row')} without {CHANGED}; every window reads them again"
        yield warning(where, "no_change_time", matter, "COALESCE it with the time of creation in SQL", rows=without)
    lists = asked.mapping.lists[entity]
    alone = [path for path in lists if path not in asked.mapping.settings.moves_with.get(where, ())]
    if alone and "max" not in query.sql.lower():
        matter = f"a change in {', '.join(alone)} alone is seen only if it moves {entity}.{CHANGED} as well"
        yield note(
            where,
            "lines_move_alone",
            matter,
            f"if it does not, select an updated_at of the lines and say `moves_with: {{{entity}: [{alone[0]}]}}` in"
            " mapping.yaml",
        )
