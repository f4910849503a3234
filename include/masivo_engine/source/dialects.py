"""A user's SQL verbatim, and texts compared exactly, on every database."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from typing import Any

from sqlalchemy import VARBINARY, BigInteger, FromClause, String, TextClause, cast, column, func
from sqlalchemy.dialects import mssql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from masivo_engine.mapping.aliases import Query


def subquery(query: Query, columns: Sequence[str] = (), stored: Table[str, Any] | None = None) -> FromClause:
    """
    Return *query*'s SQL as a table of *columns*, which are spelled as the database spells them.

    *stored*: a value of some of the columns. Whole numbers are compared as 64-bit ones, because
    SQLAlchemy would take the width of a page's first key for that of all.
    """
    wide = {name for name, value in (stored or {}).items() if isinstance(value, int)}
    typed = (column(name, BigInteger()) if name in wide else column(name) for name in columns)
    return _Verbatim(query.sql).columns(*typed).subquery("legacy")


class _Verbatim(TextClause):
    """
    A user's SQL, letter for letter.

    `sqlalchemy.text` would take a colon before a word for a parameter.
    """

    inherit_cache = True

    def __init__(self, sql: str) -> None:
        super().__init__("")
        self.text = sql


@compiles(_Verbatim)
def _as_written(element: _Verbatim, compiler: SQLCompiler, **_: Any) -> str:
    sql: str = compiler.post_process_text(element.text)  # type: ignore[no-untyped-call]
    return f"{sql}\n"  # the last line may be a comment


class Exactly(FunctionElement[str]):
    """A term that only the very same text equals: no case, accent or padding is overlooked."""

    name = "exactly"
    inherit_cache = True


@compiles(Exactly)
def _in_hex(element: Exactly, compiler: SQLCompiler, **given: Any) -> str:
    (term,) = element.clauses
    return str(compiler.process(func.hex(cast(term, String)), **given))


@compiles(Exactly, "mssql")
def _in_bytes(element: Exactly, compiler: SQLCompiler, **given: Any) -> str:
    (term,) = element.clauses
    return str(compiler.process(cast(cast(term, mssql.NVARCHAR(4000)), VARBINARY(8000)), **given))
