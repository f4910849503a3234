"""
The codes that stand in the data and not in the contract: each once, with how often, so that a
mapping can name them.

Codes are no personal data. A column that holds too many or too long ones is none of codes, and its
values are not shown.
"""

from __future__ import annotations

import re
from typing import Any, get_args

from sqlalchemy import func, select

from masivo_engine.checks.questions import Asked, Unanswered
from masivo_engine.contract import customers, orders, transactions
from masivo_engine.contract.fields import Kind
from masivo_engine.mapping.aliases import Query, find
from masivo_engine.mapping.values import Unfit, text


MOST_SHOWN = 20
_TOO_MANY = 200
_LONGEST = 24
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _choices(annotation: Any) -> frozenset[str]:
    found: set[str] = set()
    for part in get_args(annotation):
        found |= {part} if isinstance(part, str) and part.isupper() else _choices(part)
    return frozenset(found)


KNOWN = {
    "gender": _choices(customers.Customer.model_fields["gender"].annotation),
    "status": _choices(customers.Customer.model_fields["status"].annotation),
    "payment_method": _choices(orders.PaymentMethod),
    "type": _choices(transactions.TransactionType),
}


def strangers(asked: Asked, query: Query) -> dict[str, str]:
    """
    Return, for people, the values that the contract does not know, for each column of codes or of
    Masivo's ids in *query*.

    Columns of a list are named ``path[].column``.
    """
    listed: dict[str, str] = {}
    for spelled in asked.columns[query]:
        alias = spelled.lower()
        node = find(query, alias)
        if node is None or node.kind not in (Kind.CHOICE, Kind.UUID):
            continue
        table = asked.table(query)
        column = asked.column(table, query, alias)
        statement = (
            select(column, func.count())
            .where(column.is_not(None))
            .group_by(column)
            .order_by(func.count().desc())
            .limit(_TOO_MANY)
        )
        try:
            found = asked.ask(statement)
        except Unanswered:
            continue  # the rows are looked at one by one as well
        known = KNOWN.get(alias.rpartition("__")[2], frozenset())
        unknown = [(value, count) for value, count in found if not _is_known(value, node.kind, known)]
        if unknown:
            listed[f"{query.path}[].{alias}" if query.path else alias] = _listed(unknown)
    return listed


def ids_in(asked: Asked, query: Query, alias: str) -> list[str]:
    """
    Return the different UUIDs in *alias* of *query*, in lower case; none where it cannot be asked.
    """
    if query not in asked.columns or alias not in {name.lower() for name in asked.columns[query]}:
        return []
    table = asked.table(query)
    column = asked.column(table, query, alias)
    try:
        found = asked.ask(select(column).where(column.is_not(None)).distinct().limit(_TOO_MANY))
    except Unanswered:
        return []
    return sorted({str(value).lower() for (value,) in found if _UUID.fullmatch(str(value))})


def _is_known(value: Any, kind: Kind, known: frozenset[str]) -> bool:
    try:
        read = text(value)
    except Unfit:
        return False
    if read is None:
        return True
    return read in known if kind is Kind.CHOICE else bool(_UUID.fullmatch(read))


def _listed(found: list[tuple[Any, int]]) -> str:
    if len(found) >= _TOO_MANY:
        return f"{_TOO_MANY} or more different ones, so this is no column of codes"
    shown = [f"{_shown(value)} x {count:,}" for value, count in found[:MOST_SHOWN]]
    more = f" and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
    return ", ".join(shown) + more


def _shown(value: Any) -> str:
    written = str(value)
    return repr(written) if len(written) <= _LONGEST and "@" not in written else f"text of {len(written)} characters"
