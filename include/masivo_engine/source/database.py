"""The legacy database: connections, snapshots, streams, its clock, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Engine, Select, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from masivo_engine.mapping.aliases import Query
from masivo_engine.model.errors import LegacyError, MappingError, TryAgainLater
from masivo_engine.source.dialects import subquery
from masivo_engine.sql import REFUSALS, is_passing, kind_of, reason_of


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
        """Open a connection that sees one snapshot of the database, where the dialect can."""
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
        Open a connection for reading while *connection* streams.

        It is the same one, with the same snapshot, where that is possible. MySQL's drivers run one
        statement at a time on a connection, and so does SQL Server's without MARS.
        """
        if self.dialect not in {"mysql", "mariadb", "mssql"}:
            yield connection
            return
        with self.reading() as another:
            yield another

    def columns(self, query: Query) -> list[str]:
        """
        Return the aliases of *query* as the database spells them.

        Raises `MappingError` if the database cannot run it.
        """
        return [name for name, _ in self.types(query)]

    def types(self, query: Query) -> list[tuple[str, str]]:
        """Return the aliases of *query*, each with what its driver calls the type, or empty."""
        statement = select(text("*")).select_from(subquery(query)).where(text("1 = 0"))
        try:
            with self.reading() as connection:
                result = connection.execute(statement)
                described = result.cursor.description if result.cursor is not None else ()
                return [(name, _type(column[1])) for name, column in zip(result.keys(), described, strict=True)]
        except SQLAlchemyError as error:
            raise MappingError(query.where, f"the database cannot run it: {reason_of(error)}", "correct it") from None

    def now(self) -> datetime:
        """
        Return the time by the database's own clock, aware UTC.

        If the database shows that a transaction which wrote something is still open, return when
        the oldest of them began.
        """
        statement = _CLOCKS.get(self.dialect, "SELECT CURRENT_TIMESTAMP")
        with self.reading() as connection:
            now = _as_utc(connection.exec_driver_sql(statement).scalar())
        with suppress(SQLAlchemyError), self._connected() as connection:
            # Most users may not see other people's transactions. Then overlap and sweep find late
            # commits.
            if horizon := _HORIZONS.get(self.dialect):
                oldest = connection.exec_driver_sql(horizon).scalar()
                return now if oldest is None else min(now, _as_utc(oldest))
        return now

    def sample(self, statement: Select[Any]) -> Any:
        """Return the first value that *statement* finds, or the error why it cannot be read."""
        try:
            with self.reading() as connection:
                return connection.execute(statement).scalar()
        except REFUSALS as refusal:
            return refusal

    def compiled(self, statement: Select[Any]) -> tuple[str, dict[str, Any]]:
        """Return *statement* as this database gets it, with its parameters by name."""
        made = statement.compile(self._engine, compile_kwargs={"render_postcompile": True})
        return str(made), dict(made.params)

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


# What the clock shows now, not when the transaction began, and without the session's time zone.
_CLOCKS = {
    "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
    # A standby's data ends at what it has replayed, whatever its clock shows.
    "postgresql": (
        "SELECT CASE WHEN pg_is_in_recovery() THEN LEAST(clock_timestamp(), COALESCE(pg_last_xact_replay_timestamp(),"
        " (SELECT checkpoint_time FROM pg_control_checkpoint()))) ELSE clock_timestamp() END AT TIME ZONE 'UTC'"
    ),
    "mysql": "SELECT utc_timestamp(6)",
    "mariadb": "SELECT utc_timestamp(6)",
    "mssql": "SELECT sysutcdatetime()",
    "oracle": "SELECT sys_extract_utc(systimestamp) FROM dual",
}
# When the oldest transaction began that has written something and is still open. What it wrote has
# change times from then on.
_HORIZONS = {
    "postgresql": (
        "SELECT min(xact_start) AT TIME ZONE 'UTC' FROM pg_stat_activity "
        "WHERE datname = current_database() AND backend_xid IS NOT NULL"
    ),
    "mysql": (
        "SELECT utc_timestamp(6) - INTERVAL max(timestampdiff(SECOND, trx_started, now()) + 1) SECOND "
        "FROM information_schema.innodb_trx WHERE trx_rows_modified > 0"
    ),
}
_HORIZONS["mariadb"] = _HORIZONS["mysql"]


def _as_utc(found: Any) -> datetime:
    moment = found if isinstance(found, datetime) else datetime.fromisoformat(str(found))
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _type(said: Any) -> str:
    """Write what a driver says of a column's type."""
    return "" if said is None else getattr(said, "__name__", str(said))


def streamed(connection: Connection, statement: Select[Any], size: int) -> Iterator[Sequence[Sequence[Any]]]:
    """
    Yield the rows of *statement* in parts of *size*, of which only the last is shorter.

    No more than one part is held.
    """
    with connection.execute(statement, execution_options={"stream_results": True}) as result:
        yield from result.partitions(size)


def zone_names(zone: str) -> tuple[str, ...]:
    """
    Return what a session of MySQL's may be told so that it shows times as clocks in *zone* do: the
    name, which the server may not know, and the offset of a zone that has had just one since 2000.
    """
    clock = ZoneInfo(zone)
    offsets = {datetime(year, month, 1, tzinfo=clock).utcoffset() for year in range(2000, 2038) for month in (1, 7)}
    minutes = {int(offset.total_seconds()) // 60 for offset in offsets if offset is not None}
    if len(minutes) > 1:
        return (zone,)
    (one,) = minutes
    return zone, f"{'-' if one < 0 else '+'}{abs(one) // 60:02}:{abs(one) % 60:02}"
