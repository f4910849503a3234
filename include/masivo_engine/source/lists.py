"""The elements of a mapping's lists: what fills ``balance[]``, ``order.products[]`` and others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, select

from masivo_engine.mapping.aliases import CHANGED, PARENT_KEY, Columns, Query, check_aliases
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.source.dialects import subquery
from masivo_engine.source.fitness import Fitness
from masivo_engine.source.statements import ListWithChangeTime, elements
from masivo_engine.sql import at_once


Rows = Sequence[Sequence[Any]]


class ListReader:
    """
    Reads the list files of *entity*.

    *fitness*: what the database makes of its files.
    """

    def __init__(self, mapping: Mapping, entity: Entity, fitness: Fitness, *, newer_fields: bool) -> None:
        self._queries = mapping.lists[entity]
        self._parent = PARENT_KEY[entity]
        self._columns = {path: Columns(fitness.columns(query)) for path, query in self._queries.items()}
        self._single = {path: fitness.rounded(query) for path, query in self._queries.items()}
        for path, query in self._queries.items():
            check_aliases(query, self._columns[path].names, newer_fields=newer_fields)

    @property
    def files(self) -> dict[str, tuple[Query, Columns]]:
        """The list files by path, each with its columns."""
        return {path: (query, self._columns[path]) for path, query in self._queries.items()}

    def __bool__(self) -> bool:
        return bool(self._queries)

    def samples(self) -> Iterable[tuple[Query, Any]]:
        """Yield each list's query, with the statement that reads one of its parent keys."""
        for path, query in self._queries.items():
            columns = self._columns[path]
            parent = subquery(query, columns.names).c[columns.spelled(self._parent)]
            yield query, select(parent).where(parent.is_not(None)).limit(1)

    def moving(self, entity: Entity, mapping: Mapping, sample: Callable[[Any], Any]) -> Iterator[ListWithChangeTime]:
        """
        Yield the lists whose change times count as their parents' (``moves_with``).

        Raises `MappingError` for a list that has no change times.
        """
        for path in mapping.settings.moves_with.get(entity, ()):
            query, columns = self._queries[path], self._columns[path]
            if not columns.has(CHANGED):
                remedy = "select it as updated_at, or take the list out of moves_with"
                raise MappingError(query.where, f"has no column {CHANGED!r}, which moves_with needs", remedy)
            rows = subquery(query, columns.names)
            parent, changed = rows.c[columns.spelled(self._parent)], rows.c[columns.spelled(CHANGED)]
            like = sample(select(changed).where(changed.is_not(None)).limit(1))
            yield ListWithChangeTime(parent, changed, like, query.where)

    def statements(self, parent: Any) -> Iterable[tuple[Query, Select[Any]]]:
        """Yield each list's query, with the statement that reads the elements of one *parent*."""
        for path, query in self._queries.items():
            yield query, elements(query, self._columns[path].names, [parent], single=self._single[path])

    def of(
        self, connection: Connection, keys: Sequence[Any], known: Callable[[list[Any]], set[Any]]
    ) -> dict[str, dict[Any, Rows]]:
        """
        Read the elements of *keys*, by list and key.

        Some databases match keys that differ in case or padding. *known* returns which of the
        spellings that come back are keys in their own right. Elements with any other spelling
        belong to the key that they resemble.
        """
        return {path: self._read(connection, path, keys, known) for path in self._queries}

    def unreadable(self, is_readable: Callable[[Any], bool], key: Any) -> str:
        """Return the first column of a list that cannot be read for *key*, as ``path[].column``."""
        for path, query in self._queries.items():
            columns = self._columns[path]
            for name in columns.lowered:
                if not is_readable(elements(query, columns.names, [key], name, single=self._single[path])):
                    return f"{path}[].{name}"
        return ""

    def _read(
        self, connection: Connection, path: str, keys: Sequence[Any], known: Callable[[list[Any]], set[Any]]
    ) -> dict[Any, Rows]:
        parent = self._columns[path].index(self._parent)
        found: defaultdict[Any, list[Sequence[Any]]] = defaultdict(list)
        dialect = connection.dialect.name
        to_come, done = set(keys), set[Any]()
        for some in at_once(_in_order(keys), dialect):
            to_come.difference_update(some)
            # A database that matches a key of this part with one of another gives the elements
            # twice.
            elsewhere = to_come | done
            names, single = self._columns[path].names, self._single[path]
            statement = elements(self._queries[path], names, some, dialect=dialect, single=single)
            for row in connection.execute(statement).all():
                if row[parent] not in elsewhere:
                    found[row[parent]].append(row)
            done.update(some, found)
        strangers = found.keys() - set(keys)
        if strangers:
            alike = {_folded(key): key for key in keys}
            for stranger in strangers - known(list(strangers)):
                if _folded(stranger) not in alike:
                    problem = f"has a {self._parent!r} that the database takes for a key which is written otherwise"
                    raise MappingError(self._queries[path].where, problem, "cast both to the same type and collation")
                found[alike[_folded(stranger)]] += found.pop(stranger)
        return found  # type: ignore[return-value]


def _in_order(keys: Sequence[Any]) -> Sequence[Any]:
    """Sort *keys* if possible: neighbours in an index are found in less time than strangers."""
    try:
        return sorted(keys)
    except TypeError:
        return keys


def _folded(key: Any) -> Any:
    return key.casefold().strip() if isinstance(key, str) else key
