"""
What the ledger knows of legacy rows: by place, by key, by customer, by e-mail address.

Every question is answered from ``masivo_record``; nothing is folded together from several rows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

from sqlalchemy import Column, ColumnElement, and_, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import at_once, one_of


class Known(NamedTuple):
    """A row of ``masivo_record``: *now*, *out* and *has* of one legacy row."""

    home: str
    place: str
    key: str
    customer: str
    owner: str
    changed: str
    hash: bytes | None
    points: Decimal
    email: bytes | None
    state: str
    reason: str
    column_name: str
    since_run: int
    out_batch: int | None
    out_hash: bytes | None
    out_customer: str | None
    out_worth: str | None
    out_email: bytes | None
    out_handle: str | None
    has_batch: int | None
    has_hash: bytes | None
    has_customer: str | None
    has_points: Decimal | None
    has_worth: str | None
    has_email: bytes | None
    has_handle: str | None
    has_run: int | None
    strays: int
    stray_hash: bytes | None
    judged: bytes | None
    run: int
    slice: int
    gone_run: int | None

    @property
    def is_out(self) -> bool:
        """Whether it was sent, and nobody knows what became of it."""
        return self.out_batch is not None

    @property
    def has_arrived(self) -> bool:
        """Whether the API has it, or a person said so."""
        return self.has_hash is not None

    def is_called(self, name: str) -> bool:
        """Whether a customer has arrived, or is out, under *name*."""
        return name in {self.has_customer, self.out_customer}

    @property
    def is_gone(self) -> bool:
        """Whether the source has it no more."""
        return self.gone_run is not None


class Parent(NamedTuple):
    """
    What children ask of their customer: whether it has *arrived*, its *state*, its delivered
    points.
    """

    has_arrived: bool
    state: str = ""
    worth: str | None = None

    @property
    def balance(self) -> dict[str, Decimal]:
        """Its delivered points by reward."""
        return as_worth(self.worth)


class SentEvent(NamedTuple):
    """An event that the API has: as little of it as tells whether another one is the same."""

    customer: str
    handle: str
    key: str
    place: str
    hash: bytes


NOBODY = Parent(has_arrived=False)

_COLUMNS = [schema.record.c[name] for name in Known._fields]


class Rows:
    """
    What judging asks of the ledger; the plan asks the same of what has not happened yet
    (`masivo_engine.forecast.projection`).
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def at(self, entity: Entity, places: Collection[str]) -> dict[str, Known]:
        """Return what is known of the rows at *places*."""
        return {row.place: row for row in rows_where(self._ledger, entity, schema.record.c.place, places)}

    def of_keys(self, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return the rows that have one of the API's *keys*, by key."""
        found: dict[str, list[Known]] = {}
        for row in rows_where(self._ledger, entity, schema.record.c.key, keys):
            found.setdefault(row.key, []).append(row)
        return found

    def of_customers(self, entity: Entity, customers: Collection[str]) -> dict[str, list[Known]]:
        """
        Return the rows of *entity* that name one of *customers*, by customer: by what they say now,
        by what is out, or by what has arrived.
        """
        record, wanted = schema.record, set(customers)
        found: dict[str, dict[str, Known]] = {}
        columns = (
            (record.c.customer, None),
            (record.c.has_customer, record.c.has_customer != record.c.customer),
            (record.c.out_customer, record.c.out_customer != record.c.customer),
        )
        with self._ledger.reading() as connection:
            for some in at_once(sorted(wanted), connection.dialect.name):
                for column, is_other in columns:
                    among = one_of(column, some, connection.dialect.name)
                    conditions = [record.c.entity == entity, among, *([] if is_other is None else [is_other])]
                    for row in map(Known._make, connection.execute(select(*_COLUMNS).where(*conditions))):
                        for name in {row.customer, row.has_customer, row.out_customer} & wanted:
                            found.setdefault(name or "", {})[row.place] = row
        return {name: list(rows.values()) for name, rows in found.items()}

    def of_emails(self, digests: Collection[bytes]) -> list[Known]:
        """Return the customers that have one of the addresses of *digests*, now, out or arrived."""
        return rows_of_emails(self._ledger, digests)

    def sent_events(self, customers: Collection[str], *, run: int) -> Iterator[SentEvent]:
        """Yield the events of *customers* that the API has, but for those that *run* has seen."""
        record, wanted = schema.record, set(customers)
        columns = [record.c[name] for name in ("has_customer", "has_handle", "key", "place", "has_hash")]
        which = (record.c.entity == Entity.EVENTS, record.c.run != run, schema.has_arrived)
        with self._ledger.reading() as connection:
            for some in at_once(sorted(wanted), connection.dialect.name):
                among = one_of(record.c.customer, some, connection.dialect.name)
                for row in connection.execute(select(*columns).where(*which, among)):
                    if row.has_customer in wanted:
                        yield SentEvent(*row)

    def parents(self, customers: Collection[str]) -> dict[str, Parent]:
        """Return what is known of *customers*; whoever was never read is missing."""
        record, found = schema.record, dict[str, Parent]()
        wanted = set(customers)
        names = (record.c.key, record.c.has_hash, record.c.out_batch, record.c.state, record.c.has_worth)
        with self._ledger.reading() as connection:
            for some in at_once(sorted(wanted), connection.dialect.name):
                both = has_key(some, connection.dialect.name)
                statements = [select(*names).where(record.c.entity == Entity.CUSTOMERS, among) for among in both]
                rows = chain.from_iterable(connection.execute(one).all() for one in statements)
                for key, has_hash, out_batch, state, worth in rows:
                    if key not in wanted or (key in found and found[key].has_arrived):
                        continue
                    is_there = has_hash is not None
                    found[key] = Parent(
                        is_there, state if out_batch is None else State.IN_DOUBT, worth if is_there else None
                    )
        return found

    def digest(self, email: str) -> bytes:
        """Return an e-mail address as the ledger keeps it."""
        return self._ledger.digest(email)


def rows_where(ledger: Ledger, entity: Entity, column: Column[Any], values: Collection[Any]) -> Iterator[Known]:
    """Yield the rows of *entity* whose *column* has one of *values*."""
    wanted, index = set(values), Known._fields.index(column.name)
    with ledger.reading() as connection:
        for some in at_once(sorted(wanted), connection.dialect.name):
            dialect = connection.dialect.name
            by_key = column is schema.record.c.key
            for among in has_key(some, dialect) if by_key else (one_of(column, some, dialect),):
                statement = select(*_COLUMNS).where(schema.record.c.entity == entity, among)
                for row in connection.execute(statement).all():
                    if row[index] in wanted:  # MySQL's comparison ignores blanks at the end
                        yield Known._make(row)


def rows_of_emails(ledger: Ledger, digests: Collection[bytes]) -> list[Known]:
    """Return the customers that have one of the addresses of *digests*, now, out or arrived."""
    record = schema.record
    found: dict[str, Known] = {}
    with ledger.reading() as connection:
        dialect = connection.dialect.name
        for some in at_once(sorted(set(digests)), dialect):
            for condition in has_email(some, dialect):
                statement = select(*_COLUMNS).where(record.c.entity == Entity.CUSTOMERS, condition)
                found |= {row.place: row for row in map(Known._make, connection.execute(statement))}
    return list(found.values())


def has_key(keys: Sequence[str], dialect: str) -> Iterator[ColumnElement[bool]]:
    """
    Yield the conditions, each with an index of its own, of which exactly one holds for a row that
    has one of the API's *keys*.
    """
    record = schema.record
    yield and_(one_of(record.c.place, [f"t{key}" for key in keys], dialect), schema.is_placed_by_key)
    yield and_(one_of(record.c.key, keys, dialect), ~schema.is_placed_by_key)


def has_email(digests: Sequence[bytes], dialect: str) -> Iterator[ColumnElement[bool]]:
    """
    Yield the conditions, each with an index of its own, of which one holds for a customer who has
    one of the addresses of *digests*: now, arrived or out.
    """
    record = schema.record
    yield one_of(record.c.email, digests, dialect)
    for column in (record.c.has_email, record.c.out_email):
        is_another = and_(column.is_not(None), or_(record.c.email.is_(None), column != record.c.email))
        yield and_(one_of(column, digests, dialect), is_another)
