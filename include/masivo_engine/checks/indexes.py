"""
Indexes that are missing: what a window, a key and a list's parents are looked up by, as the
database itself plans it.

A planner scans a small table although there is an index, so it is asked what it *could* use. An
index is suggested only where the alias is a plain column: on an expression it would not help, or is
made in another way on each database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Inspector, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.checks.files import files
from masivo_engine.checks.finding import Finding, note, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.mapping.aliases import CHANGED, CUSTOMER, KEY, PARENT_KEY, Query
from masivo_engine.mapping.lineage import column_behind, tables
from masivo_engine.model.rows import Entity


_SCAN = re.compile(r"SCAN (?:TABLE )?(\S+)(?: AS (\S+))?")
_EXPLAIN = {
    "sqlite": "EXPLAIN QUERY PLAN",
    "postgresql": "EXPLAIN (FORMAT JSON)",
    "mysql": "EXPLAIN",
    "mariadb": "EXPLAIN",
}


def missing(asked: Asked) -> Iterator[Finding]:
    """Yield the look-ups for which the database must read a whole table."""
    if asked.dialect not in _EXPLAIN:
        yield note("mapping", "not_checked", f"indexes: not known how {asked.dialect} explains its plans")
        return
    suggested: set[str] = set()
    inspector = inspect(asked.engine)
    for query in files(asked.mapping):
        if query not in asked.columns:
            continue
        for alias, what in _looked_up_by(query):
            if alias not in {name.lower() for name in asked.columns[query]}:
                continue
            try:
                scanned = _scanned(asked, query, alias)
            except Unanswered as why:
                yield note(str(query.entity), "not_checked", f"an index for {alias} of {query.file_name}: {why}")
                continue
            if scanned:
                yield from _suggested(asked, inspector, query, alias, what, scanned, suggested)


def _looked_up_by(query: Query) -> Iterator[tuple[str, str]]:
    if query.path:
        yield PARENT_KEY[query.entity], "each page looks its lines up"
        return
    yield KEY[query.entity], "each page continues behind a key"
    if query.entity is not Entity.CUSTOMERS:
        yield CUSTOMER[query.entity], "slices are cut by customer"
    yield CHANGED, "every window looks for it"


def _scanned(asked: Asked, query: Query, alias: str) -> set[str]:
    """Return the tables that are read whole to find a value of *alias*, in lower case."""
    rows = asked.table(query, sampled=False)
    column = asked.column(rows, query, alias)
    found = asked.ask(select(column).where(column.is_not(None)).limit(1))
    if not found:
        return set()
    value = found[0][0]
    condition = column > value if alias == CHANGED else column.in_([value])
    try:
        with asked.engine.connect() as connection:
            if asked.dialect == "postgresql":
                connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            # Values stand in the SQL: behind EXPLAIN not every driver takes parameters.
            sql = select(rows).where(condition).compile(asked.engine, compile_kwargs={"literal_binds": True})
            plan = connection.exec_driver_sql(f"{_EXPLAIN[asked.dialect]} {sql}").mappings().all()
    except SQLAlchemyError as error:
        raise Unanswered(f"the database does not explain it ({type(error).__name__})") from None
    called = {name: table.lower() for name, table in tables(query).items()}
    return {called.get(name.lower(), name.lower()) for name in _scans(asked.dialect, plan)}


def _scans(dialect: str, plan: Any) -> Iterator[str]:
    if dialect == "sqlite":
        for row in plan:
            match = _SCAN.match(row["detail"])
            if match and "USING INDEX" not in row["detail"]:
                yield match[2] or match[1]
        return
    if dialect == "postgresql":
        written = next(iter(plan[0].values()))
        yield from _sequential((json.loads(written) if isinstance(written, str) else written)[0]["Plan"])
        return
    for row in plan:
        if row["type"] == "ALL" and not row["possible_keys"] and not str(row["table"]).startswith("<"):
            yield row["table"]


def _sequential(node: dict[str, Any]) -> Iterator[str]:
    if node["Node Type"] == "Seq Scan":
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _sequential(child)


def _suggested(
    asked: Asked, inspector: Inspector, query: Query, alias: str, what: str, scanned: set[str], suggested: set[str]
) -> Iterator[Finding]:
    behind = column_behind(query, alias)
    where, file = str(query.entity), query.file_name
    if behind is None:
        matter = (
            f"{alias} of {file} is no plain column, and finding one value reads all of {', '.join(sorted(scanned))}:"
            f" {what}"
        )
        yield note(where, "index_impossible", matter, "select a plain column, or index the expression")
        return
    table, column = behind
    if table.lower() not in scanned or _is_indexed(inspector, table, column):
        return
    quote = asked.engine.dialect.identifier_preparer.quote
    statement = f"CREATE INDEX {quote(f'{table}_by_{column}'[:60])} ON {quote(table)} ({quote(column)})"
    if statement not in suggested:
        suggested.add(statement)
        yield warning(where, "index_missing", f"{alias} of {file} needs a full scan of {table}: {what}", statement)


def _is_indexed(inspector: Inspector, table: str, column: str) -> bool:
    """Whether an index of *table* begins with *column*; a view has none."""
    try:
        leading = [index["column_names"][0] for index in inspector.get_indexes(table) if index["column_names"]]
        leading += inspector.get_pk_constraint(table)["constrained_columns"][:1]
    except SQLAlchemyError:
        return True
    return column.lower() in {str(name).lower() for name in leading}
