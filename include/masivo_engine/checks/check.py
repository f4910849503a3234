"""
The check, whole: the mapping against the database, the contract and, where there is one, the
account.

What is wrong with the files comes first, and keeps nobody from hearing what is wrong with the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, func, select, text

from masivo_engine.checks.account import Account, standing
from masivo_engine.checks.content.codes import strangers
from masivo_engine.checks.content.keys import keys
from masivo_engine.checks.content.rows import Rows
from masivo_engine.checks.content.totals import totals
from masivo_engine.checks.coverage import looked_at
from masivo_engine.checks.files import entities_left_out, opened, unmentioned
from masivo_engine.checks.finding import Finding, blocker, note
from masivo_engine.checks.indexes import missing
from masivo_engine.checks.left_out import leaves_out
from masivo_engine.checks.questions import Asked, Bounds, Unanswered, limited
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.limits import Limits
from masivo_engine.source.reader import Source


def check(
    mapping: Mapping,
    engine: Engine,
    *,
    limits: Limits,
    bounds: Bounds | None = None,
    newer_fields: bool = False,
    account: Account | None = None,
) -> Iterator[Finding]:
    """
    Yield what is found, as it is found; `masivo_engine.checks.finding.worst_first` puts it in
    order.

    Nothing is written and nothing sent. Raises `LegacyError` if the database cannot be reached at
    all.
    """
    bounds = bounds or Bounds()
    with limited(engine, bounds.seconds):
        columns, findings = opened(engine, mapping)
        yield from findings
        asked = Asked(engine, mapping, columns, bounds)
        for entity in entities_left_out(mapping):
            yield note(str(entity), "no_file", f"the mapping has no {entity}.sql, so none are migrated")
        now = database_clock(asked)
        for entity in mapping.entities:
            needed = {mapping.queries[entity], *mapping.lists[entity].values()}
            if not needed <= columns.keys():
                continue  # it has been said why
            try:
                legacy = Source(engine, mapping, entity, newer_fields=newer_fields)
            except MigrationError as error:
                yield blocker(str(entity), "cannot_be_read", str(error))
                continue
            values = {name: listed for query in needed for name, listed in strangers(asked, query).items()}
            rows = Rows(legacy, mapping, columns, now=now, limits=limits, most=bounds.rows, strangers=values)
            yield from rows.look()
            yield looked_at(asked, rows)
            yield from keys(asked, entity, are_counted=rows.is_whole)
        yield from totals(asked, limits)
        yield from unmentioned(asked)
        yield from missing(asked)
        yield from leaves_out(asked)
        if account is not None:
            yield from standing(asked, account)


def database_clock(asked: Asked) -> datetime:
    """Return the database's own clock, or this machine's where it cannot be asked."""
    statements: dict[str, Any] = {
        "sqlite": select(text("CURRENT_TIMESTAMP")),
        "mysql": select(func.utc_timestamp()),
        "mariadb": select(func.utc_timestamp()),
        "postgresql": select(func.now()),
    }
    try:
        (found,) = asked.one(statements[asked.dialect])
    except (Unanswered, KeyError):
        return datetime.now(UTC)
    moment = datetime.fromisoformat(str(found))
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
