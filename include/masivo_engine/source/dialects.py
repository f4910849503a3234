"""A user's SQL verbatim, and texts compared exactly, on every database."""

from __future__ import annotations

from collections.abc import Mapping as Table
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    VARBINARY,
    BigInteger,
    ColumnElement,
    FromClause,
    LargeBinary,
    String,
    Text,
    TextClause,
    and_,
    cast,
    collate,
    column,
    func,
    or_,
)
from sqlalchemy.dialects import mssql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from masivo_engine.mapping.aliases import Query
from masivo_engine.model.ledger_capacity import KEY


# Oracle casts to no text without a length, and SQL Server takes 30 for none. No key is as long as
# this.
TEXT = String(4000)


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


@compiles(Exactly, "postgresql")
def _by_code_point(element: Exactly, compiler: SQLCompiler, **given: Any) -> str:
    (term,) = element.clauses
    return str(compiler.process(collate(cast(term, Text), "C"), **given))


@compiles(Exactly, "mssql")
def _in_bytes(element: Exactly, compiler: SQLCompiler, **given: Any) -> str:
    (term,) = element.clauses
    return str(compiler.process(cast(cast(term, mssql.NVARCHAR(4000)), VARBINARY(8000)), **given))


def unkept(term: ColumnElement[Any], like: Any, dialect: str) -> ColumnElement[bool]:
    """
    Return whether *term*, of which *like* is a value, may be a key that no ledger can keep.

    It is for every such key (see `masivo_engine.model.places`), and for some that are just shorter:
    bytes are counted, because no blank and no NUL hides from that.
    """
    if dialect == "sqlite":  # where each value has a type of its own
        length = func.length(cast(term, LargeBinary))
        long_bytes = and_(func.typeof(term) == "blob", length > KEY // 2)
        has_nul = and_(func.typeof(term) == "text", func.instr(term, func.char(0)) > 0)
        return or_(length > KEY, long_bytes, has_nul)
    octets = _OCTETS.get(dialect, func.octet_length)
    if isinstance(like, bytes | bytearray | memoryview):
        return and_(octets(term) > KEY // 2)
    if not isinstance(like, str):
        return and_(octets(cast(term, TEXT)) > KEY)
    return or_(octets(term) > KEY, *(has_nul(term) for has_nul in _HAS_NUL.get(dialect, ())))


# Each of a text or of bytes as it is stored: no database has a character in less than a byte.
_OCTETS: Table[str, Any] = {
    "mysql": func.length,
    "mariadb": func.length,
    "oracle": func.lengthb,
    "mssql": func.datalength,
}
# PostgreSQL has no NUL in a text.
_HAS_NUL: Table[str, Any] = {
    "mysql": [lambda term: func.instr(term, func.char(0)) > 0],
    "mariadb": [lambda term: func.instr(term, func.char(0)) > 0],
    "oracle": [lambda term: func.instr(term, func.chr(0)) > 0],
    "mssql": [lambda term: func.charindex(func.char(0), collate(term, "Latin1_General_BIN2")) > 0],
}
