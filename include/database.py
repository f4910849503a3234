"""
The legacy database as a place to read from: streams, snapshots, and errors that say whose move it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from include.errors import LegacyError, MappingError, TryAgainLater
from include.mapping import Query
from include.refusals import REFUSALS, is_passing, kind_of, reason_of
from include.selection import subquery


class Database:
    """
    What is behind *engine*.

    Raises `LegacyError` if it cannot be reached at first, `TryAgainLater` if it goes away later.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.dialect = engine.dialect.name
        with self._connected():
            pass

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a connection that sees one snapshot of the database throughout, where the dialect can."""
        try:
            with self._connected() as connection:
                if self.dialect == "postgresql":
                    connection.execution_options(isolation_level="REPEATABLE READ")
                yield connection
        except DBAPIError as error:
            if is_passing(error, self.dialect):
                problem = f"the legacy database ({self.dialect}) gave up while it was read: {kind_of(error)}"
                raise TryAgainLater(problem) from None
            raise
        except LegacyError as error:
            # It could be reached when this was made.
            raise TryAgainLater(str(error)) from None

    @contextmanager
    def beside(self, connection: Connection) -> Iterator[Connection]:
        """
        Open what can be read with while *connection* streams: the same one, and so the same snapshot, where that is possible.

        MySQL's drivers run one statement at a time on a connection.
        """
        if self.dialect not in {"mysql", "mariadb"}:
            yield connection
            return
        with self.reading() as another:
            yield another

    def columns(self, query: Query) -> list[str]:
        """Return the aliases of *query* as the database spells them. Raises `MappingError` if it cannot run it."""
        statement = select(text("*")).select_from(subquery(query)).where(text("1 = 0"))
        try:
            with self.reading() as connection:
                return list(connection.execute(statement).keys())
        except SQLAlchemyError as error:
            raise MappingError(query.where, f"the database cannot run it: {reason_of(error)}", "correct it") from None

    def sample(self, statement: Select[Any]) -> Any:
        """Return the first value that *statement* finds; one that cannot be read is stood for by its refusal."""
        try:
            with self.reading() as connection:
                return connection.execute(statement).scalar()
        except REFUSALS as refusal:
            return refusal

    def can_read(self, statement: Select[Any]) -> bool:
        """Whether the driver hands out what *statement* finds."""
        try:
            with self.reading() as connection:
                connection.execute(statement).all()
        except REFUSALS:
            return False
        return True

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            connection = self._engine.connect()
        except DBAPIError as error:
            problem = f"the legacy database ({self.dialect}) cannot be reached: {reason_of(error)}"
            raise LegacyError(problem) from None
        with connection:
            yield connection


def streamed(connection: Connection, statement: Select[Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield the rows of *statement* in parts of *size*, of which only the last is shorter; no more than one is held."""
    with connection.execute(statement, execution_options={"stream_results": True}) as result:
        yield from result.partitions(size)
