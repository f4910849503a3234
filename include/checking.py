"""The mapping against the database and the contract, before anything is sent: one line per finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice

from include.errors import MigrationError
from include.journey import Entity, Rejection, Slice
from include.legacy import PAGE, Legacy
from include.mapping import Mapping
from include.reasons import REASONS
from include.selection import Window


_PAGES = 5


def check_mapping(mapping: Mapping, open_legacy: Callable[[Entity], Legacy]) -> Iterator[tuple[str, str]]:
    """
    Yield findings as (``blocker``, ``warning`` or ``note``, sentence).

    It opens every SQL file of *mapping* in the database, and makes records of the first pages of each entity.
    """
    for entity in Entity:
        if entity not in mapping.queries:
            yield "note", f"{entity}: the mapping has no {entity}.sql, so none are migrated"
            continue
        try:
            legacy = open_legacy(entity)
            yield from _sample(legacy)
        except MigrationError as error:
            yield "blocker", str(error)


def _sample(legacy: Legacy) -> Iterator[tuple[str, str]]:
    for column in legacy.shaper.left_out:
        yield "note", f"{legacy.entity}: {column} is left out until the connection's newer_fields is on"
    maker = legacy.maker()
    rows = 0
    faults: Counter[tuple[str, str]] = Counter()
    everything = Slice(legacy.entity, 1, 1, None, None, 0)
    for page in islice(legacy.pages(everything, Window()), _PAGES):
        rows += len(page)
        for made in map(maker.make, page):
            if isinstance(made, Rejection):
                faults[made.reason, made.column] += 1
    yield "note", f"{legacy.entity}: {rows - sum(faults.values()):,} of the first {rows:,} rows become records"
    for (reason, column), count in faults.most_common():
        where = f" (column {column})" if column else ""
        yield (
            "warning",
            f"{legacy.entity}: {count:,} times {reason}{where}: {REASONS[reason].means}; {REASONS[reason].do}",
        )
    if rows and sum(faults.values()) == rows:
        yield "blocker", f"{legacy.entity}: none of the first {PAGE * _PAGES:,} rows becomes a record"
