"""
Does the mapping fit at all: SQL that runs here, aliases that the contract knows, fields that it
cannot do without.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, Inspector, column, func, inspect, select, table
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.checks.finding import Finding, blocker, note, warning
from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.contract.tree import Node, nearest
from masivo_engine.mapping.aliases import Query, alias_faults, root_of
from masivo_engine.mapping.lineage import tables, words_of
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.source.database import Database
from masivo_engine.source.fitness import Fitness


def files(mapping: Mapping) -> Iterator[Query]:
    """Yield every SQL file of *mapping*, parents first."""
    for entity in mapping.entities:
        yield mapping.queries[entity]
        yield from mapping.lists[entity].values()


def opened(engine: Engine, mapping: Mapping) -> tuple[dict[Query, list[str]], list[Finding]]:
    """
    Return the aliases of every file that the database can run and the contract knows, and what is
    wrong with the others.
    """
    fitness = Fitness(Database(engine), mapping.settings)
    columns: dict[Query, list[str]] = {}
    findings: list[Finding] = []
    for query in files(mapping):
        where = str(query.entity)
        try:
            found = fitness.columns(query)
        except MappingError as error:
            stranger = _unknown_table(engine, query)
            remedy = stranger or f"{error.remedy} (the SQL is run as it stands, on {engine.dialect.name})"
            findings.append(blocker(where, "sql_fails", f"{query.file_name}: {error.problem}", remedy))
            continue
        faults = [
            blocker(where, _code(fault.problem), f"{query.file_name}: {fault.problem}", fault.remedy)
            for fault in alias_faults(query, found)
        ]
        if not faults:
            columns[query] = found
        findings += faults
        findings += _fields_missing(mapping, query, {name.lower() for name in found}) if not faults else ()
    return columns, findings


def _code(problem: str) -> str:
    if problem.startswith("unknown alias"):
        return "alias_unknown"
    return "alias_twice" if "twice" in problem else "key_column_missing"


def _fields_missing(mapping: Mapping, query: Query, columns: set[str]) -> Iterator[Finding]:
    lists = set() if query.path else set(mapping.lists[query.entity])
    where, thing = str(query.entity), query.file_name
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
    """
    Yield the paths that a payload must have and *given* lacks; an optional object is entered if
    part of it is given.
    """
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
    for name in dict.fromkeys(tables(query).values()):
        like = nearest(name.lower(), lowered)
        if name.lower() not in lowered and like:
            return f"this database has no table {name!r}; did you mean {lowered[like]!r}?"
    return ""


def entities_left_out(mapping: Mapping) -> Iterator[Entity]:
    """Yield what *mapping* does not migrate."""
    return (entity for entity in Entity if entity not in mapping.queries)


_ROWS = 20_000
_CLOCK = re.compile(
    r"\b(?:now|getdate|sysdate|curdate|unix_timestamp|utc_timestamp|utc_date|clock_timestamp)\s*\("
    r"|\b(?:current_date|current_timestamp|localtimestamp|sysdate|systimestamp)\b|'now'",
    re.IGNORECASE,
)
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Sign:
    """Columns by name that a mapping should have an answer to: *entities* empty is all."""

    code: str
    names: frozenset[str]
    means: str
    do: str
    is_warning: bool = False
    entities: tuple[Entity, ...] = ()


def _sign(code: str, names: str, means: str, do: str, *entities: Entity, is_warning: bool = False) -> _Sign:
    return _Sign(code, frozenset(names.split()), means, do, is_warning, entities)


_SIGNS = (
    _sign(
        "soft_delete_ignored",
        "deleted is_deleted deleted_at deleted_on date_deleted active is_active enabled archived is_archived disabled void "
        "voided is_void is_duplicate_of is_test",
        "marks rows that are no longer valid", "filter by it in SQL, or say in a comment why not", is_warning=True,
    ),
    _sign(
        "currency_ignored",
        "currency currency_code currency_id id_currency currency_value exchange_rate conversion_rate order_currency_code "
        "base_currency_code",
        "says in which currency the row is", "convert to one currency in SQL, or filter", Entity.EVENTS, is_warning=True,
    ),
    _sign(
        "brand_ignored", "shop_id id_shop store_id website_id site_id blog_id tenant_id company_id brand_id",
        "tells several shops or brands apart", "map it to brand_id or store_id, or filter by it",
    ),
    _sign(
        "merged_ignored", "merged_into merged_into_id merged_to merged_with duplicate_of replaced_by survivor_id master_id",
        "points from a merged customer to the survivor", "follow it in SQL wherever a customer is named", is_warning=True,
    ),
    _sign(
        "guest_ignored", "is_guest customer_is_guest guest_email", "marks guests",
        "leave guests out in SQL, or decide who owns what they bought",
    ),
    _sign(
        "status_ignored", "status order_status order_status_id state order_state current_state id_loyalty_state",
        "says how far the row has come", "filter out what was abandoned or cancelled, or map each state",
        Entity.EVENTS, Entity.TRANSACTIONS, is_warning=True,
    ),
    _sign(
        "refund_ignored", "total_refunded base_total_refunded amount_refunded refunded refunded_amount total_canceled parent_id",
        "holds what was given back", "subtract it from order.discounted_value, or decide that it does not count", Entity.EVENTS,
    ),
    _sign(
        "expiry_ignored",
        "expired is_expired expired_at expires_at expires_on expiration_date expiry_date expired_at_static expired_at_dynamic "
        "valid_until date_expired available_issued_points",
        "says that or when points expire", "derive their EXPIRATION as of a pinned day", Entity.CUSTOMERS, Entity.TRANSACTIONS,
        is_warning=True,
    ),
    _sign(
        "half_sign_ignored", "used debit points_out redeemed spent points_used points_spent",
        "holds points that went out beside those that came in", "make a row of each with UNION ALL", Entity.TRANSACTIONS,
        is_warning=True,
    ),
)  # fmt: skip


def unmentioned(asked: Asked) -> Iterator[Finding]:
    """Yield the columns that the SQL should have an answer to, and the files that ask the clock."""
    inspector = inspect(asked.engine)
    for query in files(asked.mapping):
        where, file = str(query.entity), query.file_name
        if _CLOCK.search(_COMMENT.sub(" ", query.sql)):
            matter = f"{file} asks the clock, so a row changes by itself and two reads of it differ"
            yield warning(where, "clock_in_sql", matter, "write down an as-of day in its place")
        if query in asked.columns:
            for name in dict.fromkeys(tables(query).values()):
                yield from _of_table(asked, inspector, query, name)


def _of_table(asked: Asked, inspector: Inspector, query: Query, name: str) -> Iterator[Finding]:
    try:
        columns = [found["name"] for found in inspector.get_columns(name)]
    except SQLAlchemyError:
        return
    mentioned = words_of(query)
    where, file = str(query.entity), query.file_name
    for found in columns:
        lower = found.lower()
        if lower in mentioned:
            continue
        for sign in _SIGNS:
            if (
                lower in sign.names
                and (not sign.entities or query.entity in sign.entities)
                and _differs(asked, name, found)
            ):
                say = warning if sign.is_warning else note
                yield say(where, sign.code, f"{name}.{found} {sign.means}, and {file} does not mention it", sign.do)
        local = re.sub(r"_(?:gmt|utc)$", "", lower)
        if local != lower and local in mentioned:
            matter = f"{file} uses {name}.{local}, and there is {name}.{found} beside it"
            yield warning(where, "utc_ignored", matter, f"select {found} and say `timezones: ...: UTC` in mapping.yaml")


def _differs(asked: Asked, name: str, found: str) -> bool:
    """Whether the first rows of a table have more than one value in a column; NULL is one."""
    some = select(column(found).label("v")).select_from(table(name)).limit(_ROWS).subquery("some")
    try:
        different, filled, every = asked.counts(
            select(func.count(some.c.v.distinct()), func.count(some.c.v), func.count())
        )
    except Unanswered:
        return False
    return different + (filled < every) > 1
