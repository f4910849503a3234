"""
Are the keys what they must be: one row each, and no two that the database or the reading takes for
one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, String, cast, func, select

from masivo_engine.checks.finding import Finding, note, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import KEY
from masivo_engine.model.rows import Entity


_FEW = 100  # keys of which gaps say nothing
_LONGEST = 24


def keys(asked: Asked, entity: Entity) -> Iterator[Finding]:
    """Yield what is wrong with the keys of *entity*, apart from those that several rows have."""
    _, _, key = asked.key(entity)
    where = str(entity)
    try:
        sample = asked.ask(select(key).where(key.is_not(None)).limit(1))
        if not sample:
            return
        if isinstance(sample[0][0], str):
            yield from _alike(asked, where, KEY[entity], key)
        elif isinstance(sample[0][0], int):
            yield from _gaps(asked, where, KEY[entity], key)
    except Unanswered as why:
        yield note(where, "not_checked", f"whether the keys are unique: {why}")


def mask(value: str) -> str:
    """Show the shape of a key and nothing of it: letters as a or A, digits as 9, a blank as _."""
    written = "".join(
        "_" if sign.isspace() else "9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign
        for sign in value[:_LONGEST]
    )
    return f"{written}..." if len(value) > _LONGEST else written


def _alike(asked: Asked, where: str, alias: str, key: ColumnElement[Any]) -> Iterator[Finding]:
    """
    Two spellings are alike if the database's collation says so, or if only blanks and letter case
    tell them apart.
    """
    exact = asked.exactly(key)
    trimmed = func.trim(cast(key, String))
    asks = (
        ("keys_alike", key, "the database's own comparison takes for one (letter case, accents, trailing blanks)"),
        ("keys_padded", trimmed, "only blanks around them tell apart, and blanks are dropped"),
        ("keys_by_case", func.lower(trimmed), "only letter case tells apart"),
    )
    told = 0
    for code, folded, because in asks:
        alike = (
            select(func.count(exact.distinct()).label("n"), func.min(key).label("one"), func.max(key).label("other"))
            .where(key.is_not(None))
            .group_by(folded)
            .having(func.count(exact.distinct()) > 1)
            .subquery()
        )
        groups, spellings = asked.counts(select(func.count(), func.sum(alike.c.n)))
        if not groups or spellings <= told:
            continue
        told = spellings
        one, other = asked.one(select(alike.c.one, alike.c.other).limit(1))
        shapes = f"of the shape {mask(str(one))}" + (
            f" and {mask(str(other))}" if mask(str(one)) != mask(str(other)) else ""
        )
        matter = f"{spellings:,} values of {alias} are only {groups:,} keys, e.g. {shapes}: {because}"
        if code == "keys_by_case":
            yield note(where, code, matter, "they go as different ones; the API may see it otherwise", rows=spellings)
        else:
            do = "make them one in SQL, or cast the key to a binary collation; children of one may go to the other"
            yield warning(where, code, matter, do, rows=spellings)


def _gaps(asked: Asked, where: str, alias: str, key: ColumnElement[Any]) -> Iterator[Finding]:
    lowest, highest, there = asked.one(select(func.min(key), func.max(key), func.count(key.distinct())))
    if not (isinstance(lowest, int) and isinstance(highest, int)):
        return  # SQLite lets one column hold numbers and text
    span = highest - lowest + 1
    if there >= _FEW and there < span <= 2 * there:
        matter = f"{span - there:,} of {span:,} numbers between the lowest and the highest {alias} have no row"
        do = "rows that were deleted are seen by no window: compare all keys (full) before cut-over"
        yield note(where, "key_gaps", matter, do)
