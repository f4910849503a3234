"""
Whether a value is one of many: how a thousand keys are given to a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import BigInteger, ColumnElement, LargeBinary, String, any_, literal
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.types import TypeEngine


_Value = TypeVar("_Value")

# From 1,000 values on MariaDB makes a table of a list (in_predicate_conversion_threshold), and then works a grouped list out for all rows
# before it looks for them; Oracle takes no more than 1,000 in one list.
MOST_KEYS = 500

_ARRAYS: dict[frozenset[type], type[TypeEngine[Any]]] = {
    frozenset({str}): String,
    frozenset({int}): BigInteger,
    frozenset({bytes}): LargeBinary,
}


def one_of(term: ColumnElement[Any], values: Sequence[Any], dialect: str) -> ColumnElement[bool]:
    """
    Return whether *term* is one of *values*, as the database of *dialect* hands them out.

    PostgreSQL makes an array of such a list anyhow. As one parameter it need not be written out and taken apart every time.
    """
    kind = _ARRAYS.get(frozenset(map(type, values))) if dialect == "postgresql" else None
    return term.in_(values) if kind is None else term == any_(literal(list(values), ARRAY(kind)))


def portions(values: Sequence[_Value], *, most: int) -> Iterator[Sequence[_Value]]:
    """Cut *values* into parts of at most *most*."""
    for first in range(0, len(values), most):
        yield values[first : first + most]
