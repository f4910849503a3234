"""
The check, whole: the mapping against the database, the contract and, where there is one, the
account.

What is wrong with the files comes first, and keeps nobody from hearing what is wrong with the
others.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Engine

from masivo_engine.checks.account import Account, standing
from masivo_engine.checks.content.codes import strangers
from masivo_engine.checks.content.keys import keys
from masivo_engine.checks.content.rows import Rows
from masivo_engine.checks.content.totals import totals
from masivo_engine.checks.coverage import looked_at
from masivo_engine.checks.files import entities_left_out, opened, unmentioned
from masivo_engine.checks.finding import Finding, blocker, note, warning
from masivo_engine.checks.first_load import first_load
from masivo_engine.checks.indexes import missing
from masivo_engine.checks.left_out import leaves_out
from masivo_engine.checks.questions import Asked, Bounds, limited
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MappingError, MigrationError, TryAgainLater
from masivo_engine.model.limits import Limits
from masivo_engine.model.runs import Window
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
        now = asked.now()
        with first_load(limits) as load:
            for entity in mapping.entities:
                needed = {mapping.queries[entity], *mapping.lists[entity].values()}
                if not needed <= columns.keys():
                    continue  # it has been said why
                try:
                    legacy = Source(engine, mapping, entity, newer_fields=newer_fields)
                    yield from whole_owners(legacy)
                except MigrationError as error:
                    yield blocker(str(entity), "cannot_be_read", str(error))
                    continue
                yield from precision(legacy)
                values = {name: listed for query in needed for name, listed in strangers(asked, query).items()}
                rows = Rows(legacy, mapping, columns, load, now=now, most=bounds.rows, strangers=values)
                yield from rows.look()
                yield looked_at(asked, rows)
                yield from keys(asked, entity)
        yield from totals(asked)
        yield from unmentioned(asked)
        yield from missing(asked)
        yield from leaves_out(asked)
        if account is not None:
            yield from standing(asked, account)


def whole_owners(legacy: Source) -> Iterator[Finding]:
    """Yield why a plan could not count the rows of *legacy*, or tell their times apart."""
    try:
        legacy.refuse_several_forms()
        for _ in legacy.counts(Window()):
            pass
    except MappingError as error:
        yield blocker(str(legacy.entity), "written_two_ways", str(error))
    except TryAgainLater as error:
        yield note(str(legacy.entity), "not_checked", f"whether customers and times are written in one way: {error}")


def precision(legacy: Source) -> Iterator[Finding]:
    """Yield the numbers that the database keeps in single precision."""
    for query, names in legacy.single.items():
        for name in sorted(names):
            matter = f"{name} of {query.file_name} is a number in single precision, which keeps about seven digits"
            do = "what the database has of it is read exactly; make the column DECIMAL if more than 16,777,216 occurs"
            yield warning(str(legacy.entity), "single_precision", matter, do)
