"""
The payloads as they would be sent, for people: made by the very stations that a sync uses, and sent
nowhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from masivo_engine.mapping.aliases import Query
from masivo_engine.mapping.lineage import expressions
from masivo_engine.mapping.loader import Mapping
from masivo_engine.mapping.values import shape
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, Record, Rejection
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of
from masivo_engine.source.reader import Source


_LONGEST = 88  # characters of an expression; the file has the rest


def preview(legacy: Source, *, limit: int, key: str = "") -> Iterator[str]:
    """
    Yield the first *limit* payloads of *legacy*, or those of *key* alone, as text.

    Rows that cannot go are shown where they stand among them, at most *limit* of them too: they
    must not hide what can.
    """
    maker = maker_of(legacy)
    origin = expressions(legacy.query)
    left = {Record: limit, Rejection: limit}
    for page in legacy.pages(_everything(legacy.entity), Window(), key=key):
        for row in map(maker.make, page):
            if not left[Record]:
                return
            if left[type(row)] and (not key or row.key == key):
                left[type(row)] -= 1
                yield _shown(row, origin)


def origins(mapping: Mapping, entity: Entity) -> Iterator[str]:
    """
    Yield lines that say where each value of *entity* comes from: ``order.value <- events.sql:
    total``.
    """
    yield "where each value comes from"
    found = [(path, query, alias, expression) for path, query in _files(mapping, entity) for alias, expression in
             expressions(query).items() if alias not in query.reserved]  # fmt: skip
    if not found:
        yield f"  {entity}.sql does not name its columns one by one"
        return
    names = [f"{path}{alias.replace('__', '.')}" for path, _, alias, _ in found]
    width = min(max(map(len, names)), 44)
    for name, (_, query, _, expression) in zip(names, found, strict=True):
        short = expression if len(expression) <= _LONGEST else f"{expression[: _LONGEST - 3]}..."
        yield f"  {name:<{width}} <- {query.file_name}: {short}"


def statements(legacy: Source, *, key: str = "") -> Iterator[str]:
    """
    Yield the SQL that `preview` runs, as the database gets it, with its parameters; texts are shown
    by their shape alone.
    """
    for query, sql, parameters in legacy.statements(_everything(legacy.entity), Window(), key=key):
        given = ", ".join(f"{name} = {_parameter(value)}" for name, value in parameters.items())
        if query.path and not key:
            given = "the keys of a page"
        yield f"-- {query.file_name}{f', with {given}' if given else ''}\n{sql}"


def _everything(entity: Entity) -> Slice:
    return Slice.everything(entity)


def _files(mapping: Mapping, entity: Entity) -> Iterator[tuple[str, Query]]:
    yield "", mapping.queries[entity]
    for path, query in mapping.lists[entity].items():
        yield f"{path.replace('__', '.')}[].", query


def _parameter(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_parameter, value))})"
    return str(value) if isinstance(value, int | float | Decimal | date) or value is None else f"<{shape(value)}>"


def _shown(row: Record | Rejection, origin: dict[str, str]) -> str:
    if isinstance(row, Record):
        owner = "" if row.key == row.customer else f" of customer {row.customer}"
        return f"{row.entity} {row.key}{owner}\n{json.dumps(orjson.loads(row.body), indent=2, ensure_ascii=False)}"
    reason = REASONS[row.reason]
    column = f", column {row.column}" if row.column else ""
    shown = f" ({row.shape})" if row.shape else ""
    expression = origin.get(row.column, "")
    behind = f"\n  {row.column} <- {expression[:_LONGEST]}" if expression else ""
    return (
        f"{row.entity} {row.key or '(no key)'}: {reason.state}, {row.reason}{column}{shown}: {reason.means};"
        f" {reason.do}{behind}"
    )
