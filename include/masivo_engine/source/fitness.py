"""
Whether a file's SQL means on this database what its author meant: asked before a row is read, by
the check and by every task alike.

A database may run the SQL and make something else of it without a word. MySQL takes ``||`` for OR,
hands a FLOAT out with six digits, and shows a TIMESTAMP in the zone of the session.
"""

from __future__ import annotations

import re
from functools import cached_property

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.contract.fields import Kind
from masivo_engine.mapping.aliases import Query, find
from masivo_engine.mapping.settings import Settings
from masivo_engine.model.errors import MappingError
from masivo_engine.source.database import Database, zone_names


NUMBERS = frozenset({Kind.MONEY, Kind.POINTS, Kind.QUANTITY})

_MYSQL = frozenset({"mysql", "mariadb"})
# What the drivers call the types: PyMySQL and mysqlclient by the protocol's number, psycopg by oid.
_SINGLE = {"mysql": "4", "mariadb": "4", "postgresql": "700"}
_TIMESTAMP = "7"
# Comments, texts and quoted names, in which `||` is no operator.
_QUOTED = re.compile(r"--[^\n]*|#[^\n]*|/\*.*?\*/|'(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|`[^`]*`", re.DOTALL)


class Fitness:
    """What *database* makes of the files of a mapping with these *settings*."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._is_mysql = database.dialect in _MYSQL
        self._asked_types: dict[Query, list[tuple[str, str]]] = {}

    def columns(self, query: Query) -> list[str]:
        """
        Return the aliases of *query* as the database spells them.

        Raises `MappingError` if the database cannot run it, or takes it for something else.
        """
        types = self._types(query)
        if self._is_mysql:
            self._refuse_pipes(query)
            for name, kind in types:
                if kind == _TIMESTAMP:
                    self._refuse_other_zone(query, name)
        return [name for name, _ in types]

    def single(self, query: Query) -> frozenset[str]:
        """
        Return the aliases of *query*, as they are spelled, of numbers in single precision: a FLOAT
        of MySQL, a real of PostgreSQL.
        """
        kind = _SINGLE.get(self._database.dialect)
        return frozenset(name for name, told in self._types(query) if told == kind)

    def rounded(self, query: Query) -> frozenset[str]:
        """Return those of `single` that the database hands out rounded, where numbers are meant."""
        if not self._is_mysql:
            return frozenset()
        nodes = ((name, find(query, name.lower())) for name in self.single(query))
        return frozenset(name for name, node in nodes if node is not None and node.kind in NUMBERS)

    def _types(self, query: Query) -> list[tuple[str, str]]:
        if query not in self._asked_types:
            self._asked_types[query] = self._database.types(query)
        return self._asked_types[query]

    def _refuse_pipes(self, query: Query) -> None:
        if "||" in _QUOTED.sub(" ", query.sql) and self._pipes_are_or:
            raise MappingError(
                query.where,
                "joins texts with ||, which this database takes for OR: the column would hold 0 or 1 in every row",
                "write CONCAT(a, b); or let the session read || as other databases do: extra `init_command` of"
                " connection legacy_db, \"SET SESSION sql_mode = CONCAT(@@sql_mode, ',PIPES_AS_CONCAT')\"",
            )

    def _refuse_other_zone(self, query: Query, name: str) -> None:
        node = find(query, name.lower())
        if node is not None and node.kind not in (Kind.INSTANT, Kind.DAY):
            return
        zone = self._settings.zone_of(name.lower()).key
        if zone != self._settings.timezone:
            raise MappingError(
                query.where,
                f"{name!r} is a TIMESTAMP, which is shown in the session's zone {self._settings.timezone}, and"
                f" `timezones:` says {zone}",
                f"take {name} out of `timezones:` in mapping.yaml",
            )
        if self._session_zone not in zone_names(zone):
            raise MappingError(
                query.where,
                f"{name!r} is a TIMESTAMP, which this session shows in the zone {self._session_zone!r} and not in"
                f" {zone}",
                "load the server's time zones (mysql_tzinfo_to_sql), so that sessions can have the mapping's",
            )

    @cached_property
    def _pipes_are_or(self) -> bool:
        return self._asked("SELECT 'a' || 'b' = 'ab'") != "1"

    @cached_property
    def _session_zone(self) -> str:
        return self._asked("SELECT @@session.time_zone")

    def _asked(self, statement: str) -> str:
        try:
            with self._database.reading() as connection:
                return str(connection.execute(text(statement)).scalar())
        except SQLAlchemyError:
            return ""
