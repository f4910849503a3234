"""
Does the mapping fit at all: SQL that runs here, aliases that the contract knows, fields that it cannot do without.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.checks.finding import Finding, blocker, warning
from masivo_engine.contract.tree import Node, nearest
from masivo_engine.mapping.lineage import tables
from masivo_engine.mapping.loader import Mapping, Query, alias_faults, root_of
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.source.database import Database


def files(mapping: Mapping) -> Iterator[Query]:
    """Yield every SQL file of *mapping*, parents first."""
    for entity in mapping.entities:
        yield mapping.queries[entity]
        yield from mapping.lists[entity].values()


def opened(engine: Engine, mapping: Mapping) -> tuple[dict[Query, list[str]], list[Finding]]:
    """Return the aliases of every file that the database can run and the contract knows, and what is wrong with the others."""
    database = Database(engine)
    columns: dict[Query, list[str]] = {}
    findings: list[Finding] = []
    for query in files(mapping):
        where = str(query.entity)
        try:
            found = database.columns(query)
        except MappingError as error:
            stranger = _unknown_table(engine, query)
            remedy = stranger or f"{error.remedy} (the SQL is run as it stands, on {engine.dialect.name})"
            findings.append(blocker(where, "sql_fails", f"{name_of(query)}: {error.problem}", remedy))
            continue
        faults = [
            blocker(where, _code(fault.problem), f"{name_of(query)}: {fault.problem}", fault.remedy)
            for fault in alias_faults(query, found)
        ]
        if not faults:
            columns[query] = found
        findings += faults
        findings += _fields_missing(mapping, query, {name.lower() for name in found}) if not faults else ()
    return columns, findings


def name_of(query: Query) -> str:
    """Return the file name of *query*."""
    return Path(query.where).name


def _code(problem: str) -> str:
    if problem.startswith("unknown alias"):
        return "alias_unknown"
    return "alias_twice" if "twice" in problem else "key_column_missing"


def _fields_missing(mapping: Mapping, query: Query, columns: set[str]) -> Iterator[Finding]:
    lists = set() if query.path else set(mapping.lists[query.entity])
    where, thing = str(query.entity), name_of(query)
    for path, node in _needed(root_of(query), columns | lists):
        if node.item is None:
            do = (
                f"select it AS {path}, as NULL where the API takes null"
                if node.null_is_sent
                else f"select it AS {path}"
            )
            yield blocker(where, "field_missing", f"{thing}: the API needs {path}, and no column has that alias", do)
        elif path == "balance":
            matter = "there is neither customers.balance.sql nor a column `balance`, so every balance is sent empty"
            yield warning(where, "list_missing", matter, "add the file, unless nobody owns points")
        else:
            matter = f"the API needs at least one of {path}, and neither a file nor a column fills it"
            yield blocker(where, "list_missing", matter, f"add {where}.{path}.sql")


def _needed(node: Node, given: Iterable[str], prefix: str = "") -> Iterator[tuple[str, Node]]:
    """Yield the paths that a payload must have and *given* lacks; an optional object is entered if part of it is given."""
    given = set(given)
    for name, child in node.children.items():
        path = f"{prefix}{name}"
        is_begun = any(column.startswith(f"{path.lower()}__") for column in given)
        if child.children:
            if child.required or is_begun:
                yield from _needed(child, given, f"{path}__")
        elif child.required and path.lower() not in given and not is_begun:
            yield path, child


def _unknown_table(engine: Engine, query: Query) -> str:
    """Name the table of *query* that the database lacks, with the one that looks most like it."""
    try:
        inspector = inspect(engine)
        there = {*inspector.get_table_names(), *inspector.get_view_names()}
    except SQLAlchemyError:
        return ""
    lowered = {name.lower(): name for name in there}
    for table in dict.fromkeys(tables(query).values()):
        like = nearest(table.lower(), lowered)
        if table.lower() not in lowered and like:
            return f"this database has no table {table!r}; did you mean {lowered[like]!r}?"
    return ""


def entities_left_out(mapping: Mapping) -> Iterator[Entity]:
    """Yield what *mapping* does not migrate."""
    return (entity for entity in Entity if entity not in mapping.queries)
