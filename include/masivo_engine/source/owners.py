"""
Which customer a row belongs to, where the database takes two spellings for one: by its own
comparison, and by no rule of ours.

Such a database accepts ``ab100`` as a reference to ``AB100``, joins the two, and hands them out as
they are written. A reader that matches keys itself would find no customer for the first. So the
owners of a page are looked up among the customers; those who are not there as they are written are
joined by the database, and the row goes to the customer that it finds.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from sqlalchemy import Select, String, func, literal, select, text

from masivo_engine.mapping.aliases import CUSTOMER, KEY, Columns, Query
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import LegacyError, MappingError, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.source.database import Database
from masivo_engine.source.dialects import Exactly, subquery
from masivo_engine.sql import MOST_KEYS, REFUSALS, one_of, portions


# All of their usual collations overlook something.
_BLIND = frozenset({"mysql", "mariadb", "mssql"})
_BLIND_ON_POSTGRESQL = (
    "SELECT pg_typeof(k)::text LIKE '%citext' OR EXISTS (SELECT FROM pg_collation c WHERE NOT c.collisdeterministic"
    ' AND pg_collation_for(k) COLLATE "C" IN (quote_ident(c.collname),'
    " quote_ident(c.collnamespace::regnamespace::text) || '.' || quote_ident(c.collname)))"
)


class Owners:
    """
    The owners of the rows of one file among the customers of its mapping.

    *query* and *columns* are the rows' own, *customers* and *names* those of the customers.
    """

    def __init__(
        self, database: Database, query: Query, columns: Collection[str], customers: Query, names: Collection[str]
    ) -> None:
        self._database = database
        self._query, self._columns = query, tuple(columns)
        self._customers, self._names = customers, tuple(names)
        self._owner = Columns(self._columns).spelled(CUSTOMER[query.entity])
        self._key = Columns(self._names).spelled(KEY[Entity.CUSTOMERS])

    @classmethod
    def of(
        cls, database: Database, mapping: Mapping, entity: Entity, columns: Collection[str], *, like: Any
    ) -> Owners | NoOwners:
        """
        Return the owners of *entity*'s rows, of which *like* is one; none are looked up where the
        database tells any two spellings apart.
        """
        customers = mapping.queries.get(Entity.CUSTOMERS)
        if customers is None or not entity.has_parent or not isinstance(like, str):
            return NoOwners()
        try:
            found = cls(database, mapping.queries[entity], columns, customers, database.columns(customers))
            return found if found._is_blind(like) else NoOwners()
        except (MappingError, KeyError):
            return NoOwners()  # that the customers cannot be read is said where they are

    def meant_by(self, owners: Iterable[Any]) -> dict[Any, Any]:
        """
        Return, for those of *owners* who are spelled otherwise than their customer, the key of that
        customer as the database hands it out.

        Owners without a customer are left out, and those who might be several.
        """
        asked = {owner for owner in owners if isinstance(owner, str)}
        found: dict[Any, Any] = {}
        try:
            with self._database.reading() as connection:
                strangers = set(asked)
                for some in portions(sorted(asked), most=MOST_KEYS):
                    strangers.difference_update(connection.execute(self._as_written(some)).scalars())
                for some in portions(sorted(strangers), most=MOST_KEYS):
                    customers: dict[Any, set[Any]] = {}
                    for owner, key in connection.execute(self._joined(some)):
                        if owner in strangers:
                            customers.setdefault(owner, set()).add(key)
                    found |= {owner: keys.pop() for owner, keys in customers.items() if len(keys) == 1}
        except (TryAgainLater, LegacyError):
            raise
        except REFUSALS:
            return {}  # two collations that do not mix: the database itself would join nothing
        return found

    def _as_written(self, owners: Collection[str]) -> Select[Any]:
        key = subquery(self._customers, self._names).c[self._key]
        return select(key).where(one_of(key, list(owners), self._database.dialect))

    def _joined(self, owners: Collection[str]) -> Select[Any]:
        rows = subquery(self._query, self._columns).alias("child")
        customers = subquery(self._customers, self._names).alias("customer")
        owner, key = rows.c[self._owner], customers.c[self._key]
        mine = select(func.min(owner).label("owner")).where(one_of(owner, list(owners), self._database.dialect))
        asked = mine.group_by(Exactly(owner)).subquery("asked")
        return select(asked.c.owner, key).join_from(asked, customers, asked.c.owner == key)

    def _is_blind(self, like: str) -> bool:
        if self._database.dialect in _BLIND:
            return True
        owner = subquery(self._query, self._columns).c[self._owner]
        one = select(owner.label("k")).where(owner.is_not(None)).limit(1).subquery("one")
        if self._database.dialect == "postgresql":
            asked: Select[Any] = select(text(f"({_BLIND_ON_POSTGRESQL})")).select_from(one)
        elif self._database.dialect == "sqlite":
            asked = select(one.c.k == literal(like.swapcase(), String))
            if like == like.swapcase():
                return True
        else:
            return False
        found = self._database.sample(asked)
        return bool(found) and not isinstance(found, BaseException)


class NoOwners:
    """Where every owner is spelled as its customer, or is somebody else."""

    def meant_by(self, owners: Iterable[Any]) -> dict[Any, Any]:
        """Return nothing: there is nothing to look up."""
        del owners
        return {}
