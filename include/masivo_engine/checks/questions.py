"""
Questions to the legacy database that are bounded: in rows by a sample, in time by a limit for each
statement.

A question that takes too long, or that the database cannot answer, is no failure of the check: it
becomes a note.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Executable,
    FromClause,
    String,
    cast,
    event,
    func,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.mapping.aliases import CUSTOMER, KEY, Query
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import LegacyError, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.source.database import Database
from masivo_engine.source.dialects import subquery
from masivo_engine.sql import REFUSALS, kind_of


ROWS = 50_000
SECONDS = 60.0

_EVERY = 10_000  # instructions of SQLite's machine between two looks at the clock


class Unanswered(Exception):
    """The database did not answer; the text says why, without showing a row."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    How much is looked at: the first *rows* of each file and *seconds* for each statement; None is
    no bound.
    """

    rows: int | None = ROWS
    seconds: float | None = SECONDS


class Asked:
    """
    The files of *mapping* whose SQL runs, as tables that can be asked.

    *columns* are the aliases of each file, as the database spells them.
    """

    def __init__(self, engine: Engine, mapping: Mapping, columns: dict[Query, list[str]], bounds: Bounds) -> None:
        self.engine = engine
        self.mapping = mapping
        self.columns = columns
        self.bounds = bounds
        self.dialect = engine.dialect.name
        self._database = Database(engine)

    def now(self) -> datetime:
        """Return the time by the database's own clock, as a run has it."""
        return self._database.now()

    def has(self, entity: Entity, *aliases: str) -> bool:
        """Whether *entity*'s own file runs and has all *aliases*."""
        query = self.mapping.queries.get(entity)
        return query in self.columns and {*aliases} <= {name.lower() for name in self.columns[query]}

    def table(self, query: Query, *, sampled: bool = True) -> FromClause:
        """
        Return the rows of *query* as a table: the first of them, as far as the bounds go, or all.
        """
        rows = subquery(query, self.columns[query])
        if not sampled or self.bounds.rows is None:
            return rows.alias(f"all_{query.entity}")
        return select(rows).limit(self.bounds.rows).subquery("sample")

    def column(self, table: FromClause, query: Query, alias: str) -> ColumnElement[Any]:
        """Return the column *alias* of *table*, however the database spells it."""
        spelled = next(name for name in self.columns[query] if name.lower() == alias)
        return table.c[spelled]

    def key(self, entity: Entity) -> tuple[Query, FromClause, ColumnElement[Any]]:
        """Return *entity*'s file, the sample of its rows, and their key."""
        query = self.mapping.queries[entity]
        table = self.table(query)
        return query, table, self.column(table, query, KEY[entity])

    def customer(self, entity: Entity, *, sampled: bool = True) -> tuple[FromClause, ColumnElement[Any]]:
        """Return the rows of *entity* and whose they are."""
        query = self.mapping.queries[entity]
        table = self.table(query, sampled=sampled)
        return table, self.column(table, query, CUSTOMER[entity])

    def ask(self, statement: Executable) -> Sequence[Any]:
        """Return the rows of *statement*, which must be few. Raises `Unanswered`."""
        try:
            with self._database.reading() as connection:
                return connection.execute(statement).all()
        except (TryAgainLater, LegacyError) as error:
            limit = f" within {self.bounds.seconds:g} s" if self.bounds.seconds else ""
            raise Unanswered(f"the database did not answer{limit} ({str(error).rpartition(': ')[2]})") from None
        except REFUSALS as error:
            raise Unanswered(f"the database cannot answer ({kind_of(error)})") from None
        except SQLAlchemyError as error:
            raise Unanswered(f"this cannot be asked in {self.dialect} ({type(error).__name__})") from None

    def one(self, statement: Executable) -> Any:
        """Return the only row of *statement*. Raises `Unanswered`."""
        found = self.ask(statement)
        if not found:
            raise Unanswered("the rows changed between two questions")
        return found[0]

    def counts(self, statement: Executable) -> tuple[int, ...]:
        """
        Return the only row of *statement*, all of whose columns count something; nothing at all is
        0. Raises `Unanswered`.

        A sum of counts is an int here, a Decimal there: with that no question reckons.
        """
        return tuple(int(found or 0) for found in self.one(statement))

    def exactly(self, term: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return *term* as something that only the very same text equals."""
        text = cast(term, String)
        return text if self.dialect == "postgresql" else func.hex(text)


@contextmanager
def limited(engine: Engine, seconds: float | None) -> Iterator[None]:
    """Let no statement on *engine* run for more than *seconds*, until the block ends."""
    limit = None if seconds is None else _limiter(engine, seconds)
    if limit is None:
        yield
        return
    event.listen(engine, "begin", limit)
    try:
        yield
    finally:
        event.remove(engine, "begin", limit)
        engine.dispose()  # with them go the sessions that were told


def _limiter(engine: Engine, seconds: float) -> Callable[[Connection], None] | None:
    milliseconds = max(1, int(seconds * 1000))

    def on_postgresql(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")

    def on_mysql(connection: Connection) -> None:
        is_mariadb = bool(getattr(connection.dialect, "is_mariadb", False))
        told = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {milliseconds}"
        connection.exec_driver_sql(f"SET SESSION {told}")

    def on_sqlite(connection: Connection) -> None:
        deadline = time.monotonic() + seconds
        driver: Any = connection.connection.dbapi_connection
        driver.set_progress_handler(lambda: time.monotonic() > deadline, _EVERY)

    known = {"postgresql": on_postgresql, "mysql": on_mysql, "mariadb": on_mysql, "sqlite": on_sqlite}
    return known.get(engine.dialect.name)
