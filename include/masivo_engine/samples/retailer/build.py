"""
The invented retailer's database, built from a seed: any size, the same on every dialect, faults
planted and counted.

`retailer_tables` is its schema, `retailer_people` and `retailer_points` its plausible content,
`retailer_dirt` and `retailer_faults` what is wrong with it. By default about 5,000 members, 25,000
receipts with 64,000 lines and 45,000 ledger entries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from operator import itemgetter

from sqlalchemy import Connection, Engine, Table, text

from masivo_engine.model.rows import Entity
from masivo_engine.samples.bulk import fill, finish, renew
from masivo_engine.samples.planted import GOES, Kind, Planted
from masivo_engine.samples.retailer.dirt import KINDS, Dirt, victims
from masivo_engine.samples.retailer.people import SHOPS, TIERS, WEB_SHOP, Person, Row, email_of, person
from masivo_engine.samples.retailer.tables import (
    MEMBER,
    MEMBER_CONTACT,
    PAYMENT,
    POINTS_LEDGER,
    POINTS_LOT,
    RECEIPT,
    RECEIPT_LINE,
    RETAILER,
    SHOP,
    TIER,
)


DERIVED = "Everything in this database is invented: no person, shop or purchase in it exists."

_MEMBERS_AT_ONCE = 2_000


def build(engine: Engine, *, customers: int = 5_000, seed: int = 7) -> Planted:
    """
    Fill the database behind *engine* with a retailer of *customers* members, and say what was
    planted.

    An earlier build is replaced. Raises `masivo_engine.model.errors.LegacyError` if the database
    holds somebody else's tables, and `ValueError` for too few customers.
    """
    spoilt = victims(customers, seed)
    renew(engine, RETAILER, sample="retailer", derived=DERIVED)
    tally = _Tally(engine.dialect.name)
    with engine.begin() as connection:
        fill(connection, TIER, TIERS)
        fill(connection, SHOP, (*SHOPS, WEB_SHOP))
        people = _people(customers, seed, spoilt, tally)
        while some := list(islice(people, _MEMBERS_AT_ONCE)):
            _write(connection, some)
        _patch(connection, tally)
    finish(engine, RETAILER)
    return Planted(seed, customers, engine.dialect.name, tally.kinds(), tally.outcomes())


class _Tally:
    """Counts, member by member, what was planted and what must come of every row."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.keys: dict[Dirt, list[str]] = {kind: [] for kind in KINDS if dialect in kind.dialects}
        self._outcomes: dict[Entity, Counter[str]] = {entity: Counter() for entity in Entity}

    def add(self, made: Person, kind: Dirt | None, keys: Sequence[str]) -> None:
        rows = {Entity.CUSTOMERS: 1, Entity.EVENTS: len(made.receipts), Entity.TRANSACTIONS: len(made.entries)}
        others = dict.fromkeys(Entity, GOES)
        if kind is not None:
            self.keys[kind] += keys
            self._outcomes[kind.entity][kind.reason] += len(keys)
            rows[kind.entity] -= len(keys)
            if kind.entity is Entity.CUSTOMERS and kind.reason != GOES:
                others[Entity.EVENTS] = others[Entity.TRANSACTIONS] = "customer_quarantined"
            if kind.entity is Entity.TRANSACTIONS and not kind.spares_siblings:
                others[Entity.TRANSACTIONS] = "sibling_not_sendable"
        for entity, count in rows.items():
            self._outcomes[entity][others[entity]] += count

    def kinds(self) -> dict[str, Kind]:
        return {
            kind.name: Kind(kind.name, kind.entity, kind.reason, kind.column, kind.meaning, tuple(sorted(keys)))
            for kind, keys in self.keys.items()
            if keys
        }

    def outcomes(self) -> dict[Entity, dict[str, int]]:
        return {
            entity: {reason: count for reason, count in counter.items() if count}
            for entity, counter in self._outcomes.items()
        }


def _people(customers: int, seed: int, spoilt: dict[int, Dirt], tally: _Tally) -> Iterator[Person]:
    faultless = 0
    for index in range(customers):
        made = person(index, seed, busy=index in spoilt)
        kind = spoilt.get(index)
        if kind is None:
            faultless = index
        elif tally.dialect not in kind.dialects:
            kind = None
        made.neighbour_email = email_of(faultless, seed)
        tally.add(made, kind, [] if kind is None else kind.plant(made))
        yield made


def _write(connection: Connection, people: Sequence[Person]) -> None:
    _fill(connection, MEMBER, (made.member for made in people))
    _fill(connection, MEMBER_CONTACT, (row for made in people for row in made.contacts))
    _fill(connection, RECEIPT, (row for made in people for row in made.receipts))
    _fill(connection, RECEIPT_LINE, (row for made in people for row in made.lines))
    _fill(connection, PAYMENT, (row for made in people for row in made.payments))
    _fill(connection, POINTS_LEDGER, (row for made in people for row in made.entries))
    _fill(connection, POINTS_LOT, (row for made in people for row in made.lots))


def _fill(connection: Connection, table: Table, rows: Iterator[Row]) -> None:
    in_order = itemgetter(*(column.name for column in table.columns))
    fill(connection, table, map(in_order, rows))


def _patch(connection: Connection, tally: _Tally) -> None:
    """Write what no driver would: the values that make another driver refuse the row."""
    if connection.dialect.name in {"mysql", "mariadb"}:
        connection.execute(text("SET SESSION sql_mode = ''"))  # zero dates; a strict server takes none
    for kind, keys in tally.keys.items():
        statement = kind.patch.get(tally.dialect)
        if statement and keys:
            connection.execute(text(statement), [{"key": int(key)} for key in keys])
