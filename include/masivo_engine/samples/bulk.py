"""
The tables of a sample database: made afresh, filled fast, and never in place of somebody else's.

A table ``sample_origin`` says which sample a database holds and what in it is derived. A database
that has tables of the same names without saying so belongs to somebody, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, Text, insert, inspect, select, text

from masivo_engine.model.errors import LegacyError


CHUNK = 20_000

# Byte-wise comparison, so that the same SQL gives the same rows as on the other dialects; InnoDB,
# because a build may be cut short.
MYSQL_OPTIONS: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

_origin = Table(
    "sample_origin",
    MetaData(),
    Column("sample_name", String(40), primary_key=True),
    Column("derived", Text, nullable=False),
    **MYSQL_OPTIONS,
)


def renew(engine: Engine, metadata: MetaData, *, sample: str, derived: str) -> None:
    """
    Make the tables of *metadata*, empty; *derived* tells whoever reads the database what was
    invented.

    Tables that an earlier build of the same *sample* left are replaced. Raises `LegacyError` if the
    database holds tables of these names that are not ours.
    """
    with engine.begin() as connection:
        present = set(inspect(connection).get_table_names())
        owner = connection.execute(select(_origin.c.sample_name)).scalar() if _origin.name in present else None
        taken = sorted(present & set(metadata.tables))
        if owner not in (None, sample) or (owner is None and taken):
            holds = f"the sample {owner!r}" if owner else f"a table {taken[0]!r} that no sample made"
            where = f"the database for the sample {sample!r} ({engine.dialect.name})"
            raise LegacyError(f"{where} already holds {holds}; give it an empty one")
        if owner is None:
            _origin.create(connection, checkfirst=True)
            connection.execute(insert(_origin).values(sample_name=sample, derived=derived))
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)


def fill(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
    """
    Insert *rows*, each a value per column in the table's order, and return how many.

    By COPY where the driver is psycopg, else by one statement run with `CHUNK` rows at a time,
    which is what is in memory.
    """
    rows = _bound(connection, table, rows)
    if connection.dialect.driver == "psycopg":
        return _copy(connection, table, rows)
    names = ", ".join(column.name for column in table.columns)
    places = ", ".join(["?" if connection.dialect.paramstyle == "qmark" else "%s"] * len(table.columns))
    statement = f"INSERT INTO {table.name} ({names}) VALUES ({places})"  # noqa: S608 (names of our own tables)
    count = 0
    for chunk in _chunks(rows):
        connection.exec_driver_sql(statement, chunk)
        count += len(chunk)
    return count


def finish(engine: Engine, metadata: MetaData) -> None:
    """
    Gather the statistics that planners choose indexes by; a database does so by itself only minutes
    later.
    """
    with engine.begin() as connection:
        if connection.dialect.name in {"mysql", "mariadb"}:
            connection.execute(text(f"ANALYZE TABLE {', '.join(metadata.tables)}"))
        else:
            connection.execute(text("ANALYZE"))


def _bound(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> Iterable[tuple[Any, ...]]:
    """
    Write times the way SQLAlchemy does where the database has no type for them, so that they
    compare as text.
    """
    binders: dict[int, Callable[[Any], Any]] = {}
    for index, column in enumerate(table.columns):
        binder = column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        if binder is not None and issubclass(column.type.python_type, date):  # a datetime is one too
            binders[index] = binder
    return _written(rows, binders) if binders else rows


def _written(rows: Iterable[tuple[Any, ...]], binders: dict[int, Callable[[Any], Any]]) -> Iterator[tuple[Any, ...]]:
    for row in rows:
        bound = list(row)
        for index, binder in binders.items():
            bound[index] = binder(bound[index])
        yield tuple(bound)


def _copy(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> int:
    columns = ", ".join(column.name for column in table.columns)
    count = 0
    cursor: Any = connection.connection.cursor()
    with cursor, cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
            count += 1
    return count


def _chunks(rows: Iterable[tuple[Any, ...]]) -> Iterator[list[Any]]:
    source = iter(rows)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
