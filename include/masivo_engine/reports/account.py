"""
The account of a run: the equation of the promise, by SQL from the ledger, in records and in points.

``read = delivered + confirmed + unchanged + quarantined + held + in_doubt + superseded``

*read* is what the slices counted where rows came out of the database; the states are counted from
the entries, and of old runs from the tally of those that were forgotten. So the equation can fail,
and a run whose account fails is red.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, exists, func, or_, select

from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.errors import LedgerError, UnknownRun
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import NOT_SHOWN, RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Covers
from masivo_engine.sql import MOST_KEYS, one_of, portions


@dataclass(frozen=True, slots=True)
class Trouble:
    """
    Rows of one entity in one state for one reason, and the column where that is named; *new* were
    not so before.
    """

    entity: Entity
    state: str
    reason: str
    column: str
    rows: int
    points: Decimal
    new: int


@dataclass(frozen=True, slots=True)
class EntityAccount:
    """The equation of one entity. *unfinished* are slices that were not read to their end."""

    entity: Entity
    read: int
    states: dict[str, int]
    points: dict[str, Decimal]
    slices: int
    unfinished: int
    requests: int
    sent: int
    least_requests: int

    @property
    def total(self) -> int:
        """How many rows the ledger has, in whatever state."""
        return sum(self.states.values())

    @property
    def on_the_way(self) -> int:
        """How many rows are in no final state."""
        return sum(count for state, count in self.states.items() if state not in set(State))

    @property
    def adds_up(self) -> bool:
        """Whether the promise holds for this entity."""
        return self.read == self.total and not self.on_the_way and not self.unfinished


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one run."""

    run_id: str
    mapping: str
    covers: str
    outcome: str
    entities: tuple[EntityAccount, ...]
    troubles: tuple[Trouble, ...]

    @property
    def adds_up(self) -> bool:
        """Whether the promise holds for every entity."""
        return all(entity.adds_up for entity in self.entities)

    @property
    def is_begun(self) -> bool:
        """Whether the run came as far as its first slice."""
        return any(entity.read or entity.total or entity.unfinished < entity.slices for entity in self.entities)

    @property
    def trouble(self) -> int:
        """
        Rows that count against the tolerance: newly quarantined, held by an error, or in doubt.
        """
        return sum(trouble.new for trouble in self.troubles if is_trouble(trouble))

    def verdict(self, tolerance: int) -> str:
        """Say in one sentence why the run must be red, or nothing where it may be green."""
        if not self.adds_up and not self.is_begun:
            return (
                "no slice was begun and nothing was sent, because an earlier task failed or was refused; its log"
                " says why"
            )
        if not self.adds_up:
            failing = ", ".join(entity.entity for entity in self.entities if not entity.adds_up)
            return f"the account does not add up: {failing}"
        if self.trouble > tolerance:
            return (
                f"{self.trouble:,} rows are newly quarantined, held by an error or in doubt, "
                f"and the run tolerates {tolerance:,}; see the account, or trigger with a higher tolerance"
            )
        return ""

    @property
    def sent(self) -> int:
        """How many records this run sent."""
        return sum(entity.sent for entity in self.entities)


# The states in which a row waits for somebody or something.
OPEN = (State.QUARANTINED, State.HELD, State.IN_DOUBT)
# Held for these reasons is held by an error; other holds wait for a customer or a policy, as they
# should.
_HELD_BY_ERROR = frozenset({"api_unavailable", "run_stopped"})


def is_trouble(trouble: Trouble) -> bool:
    """Whether rows like these make a run red beyond the tolerance."""
    if trouble.state == State.HELD:
        return trouble.reason in _HELD_BY_ERROR
    return trouble.state in {State.QUARANTINED, State.IN_DOUBT}


def account(ledger: Ledger, run_id: str | None = None, limits: Limits | None = None) -> Account:
    """
    Make the account of the run that Airflow calls *run_id*, or of the latest. Raises `LedgerError`.
    """
    limits = limits or Limits()
    with ledger.reading() as connection:
        run = connection.execute(_run(run_id)).first()
        if run is None:
            return _nothing(run_id)
        entities = tuple(_entity(connection, run.id, entity, limits) for entity in _entities(connection, run.id))
        troubles = tuple(_troubles(connection, run.id))
    return Account(
        run.run_id, run.mapping, str(Covers.from_json(run.covers)), run.outcome or "not finished", entities, troubles
    )


def _run(run_id: str | None) -> Any:
    table = schema.run
    statement = select(table)
    if run_id is None:
        return statement.order_by(table.c.id.desc()).limit(1)
    number = int(run_id) if run_id.isdecimal() else -1
    # A name that is a number all over comes first where it is one.
    by_name = case((table.c.run_id == run_id, 0), else_=1)
    return statement.where((table.c.run_id == run_id) | (table.c.id == number)).order_by(by_name).limit(1)


def _nothing(run_id: str | None) -> Account:
    if run_id is None:
        raise LedgerError("the ledger has no run yet")
    raise UnknownRun(f"the ledger knows no run {run_id!r}")


def _entities(connection: Connection, run: int) -> list[Entity]:
    table = schema.part
    found = {
        Entity(row.entity) for row in connection.execute(select(table.c.entity).where(table.c.run == run).distinct())
    }
    return [entity for entity in Entity if entity in found]


def _entity(connection: Connection, run: int, entity: Entity, limits: Limits) -> EntityAccount:
    part, batch, tally = schema.part, schema.batch, schema.tally
    slices = connection.execute(
        select(
            func.count().label("slices"),
            func.count(part.c.finished_at).label("finished"),
            func.coalesce(func.sum(part.c.read_rows), 0).label("read"),
        ).where(part.c.run == run, part.c.entity == entity)
    ).one()
    counted = connection.execute(_counted(run, entity)).all()
    folded = connection.execute(
        select(tally.c.state, func.sum(tally.c.rows).label("rows"), func.sum(tally.c.points).label("points"))
        .where(tally.c.run == run, tally.c.entity == entity)
        .group_by(tally.c.state)
    ).all()
    states: Counter[str] = Counter()
    points: dict[str, Decimal] = {}
    for row in (*counted, *folded):
        states[row.state] += int(row.rows)
        points[row.state] = points.get(row.state, Decimal(0)) + Decimal(str(row.points or 0))
    carried = sum(int(row.carried) for row in counted)
    requests, sent = connection.execute(
        select(
            func.coalesce(func.sum(batch.c.requests), 0),
            func.coalesce(func.sum(case((batch.c.requests > 0, batch.c.records), else_=0)), 0),
        ).where(batch.c.run == run, batch.c.entity == entity)
    ).one()
    return EntityAccount(
        entity,
        int(slices.read),
        dict(states),
        points,
        slices.slices,
        slices.slices - slices.finished,
        int(requests),
        int(sent),
        least_requests(entity, _sent_by_customer(connection, run, entity, carried, limits), limits),
    )


def _counted(run: int, entity: Entity) -> Select[Any]:
    """
    Count entries and points by state, and those that requests carried.

    First by batch and own state, in the order of an index that has it all, then with the state of a
    thousand entries' batch at once.
    """
    entry, batch = schema.entry, schema.batch
    alike = (
        select(entry.c.batch, entry.c.state, func.count().label("rows"), func.sum(entry.c.points).label("points"))
        .where(entry.c.run == run, entry.c.entity == entity)
        .group_by(entry.c.slice, entry.c.batch, entry.c.state)
        .subquery()
    )
    state = func.coalesce(alike.c.state, batch.c.state)
    return (
        select(
            state.label("state"),
            func.sum(alike.c.rows).label("rows"),
            func.sum(alike.c.points).label("points"),
            func.sum(case((batch.c.requests > 0, alike.c.rows), else_=0)).label("carried"),
        )
        .select_from(alike.outerjoin(batch, alike.c.batch == batch.c.id))
        .group_by(state)
    )


def _sent_by_customer(connection: Connection, run: int, entity: Entity, carried: int, limits: Limits) -> Iterator[int]:
    """
    Yield, for every customer of whom something was sent, how many records; grouped by SQL so that
    little is fetched.

    Not of events, of which *carried* records were sent, where a request takes as many customers as
    records: one for each asks for as much.
    """
    if entity is Entity.EVENTS and limits.customers >= limits.records:
        yield from repeat(1, carried)
        return
    entry, batch = schema.entry, schema.batch
    by_customer = (
        select(func.count().label("records"))
        .select_from(schema.entry_and_batch)
        .where(entry.c.run == run, entry.c.entity == entity, batch.c.requests > 0)
        # Not by the column itself: SQLite would read every run's entries in its order, rather than
        # sort this one's.
        .group_by(func.coalesce(entry.c.key if entity is Entity.CUSTOMERS else entry.c.customer, ""))
        .subquery()
    )
    sizes = select(by_customer.c.records, func.count()).group_by(by_customer.c.records)
    for records, customers in connection.execute(sizes):
        yield from repeat(records, customers)


def _may_be_trouble(connection: Connection, run: int) -> ColumnElement[bool]:
    """
    Whether an entry may be in trouble or have been sent again unproven; what an index knows tells
    it from the thousands that are not.
    """
    entry, batch = schema.entry, schema.batch
    # Asked first: most runs have none, and PostgreSQL takes an index for a list but not for a
    # question within the question.
    troubled = select(batch.c.id).where(batch.c.run == run, batch.c.state.in_(OPEN))
    batches = list(connection.execute(troubled).scalars())
    theirs = [one_of(entry.c.batch, some, connection.dialect.name) for some in portions(batches, most=MOST_KEYS)]
    return or_(entry.c.state.in_(OPEN), entry.c.reason.in_([RESENT_UNPROVEN, NOT_SHOWN]), *theirs)


def _troubles(connection: Connection, run: int) -> list[Trouble]:
    entry = schema.entry
    earlier = entry.alias("earlier")
    state, reason = schema.state_of_entry, schema.reason_of_entry
    # What a later run finds again it supersedes, so an entry is old news if a superseded one had
    # its key and its reason.
    was_known = exists().where(
        earlier.c.entity == entry.c.entity,
        earlier.c.key == entry.c.key,
        earlier.c.run < entry.c.run,
        earlier.c.reason == entry.c.reason,
        earlier.c.state == State.SUPERSEDED,
        entry.c.key != "",
    )
    rows = connection.execute(
        select(
            entry.c.entity,
            state.label("state"),
            reason.label("reason"),
            entry.c.column_name,
            func.count().label("rows"),
            func.sum(entry.c.points).label("points"),
            func.sum(case((was_known, 0), else_=1)).label("new"),
        )
        .select_from(schema.entry_and_batch)
        .where(
            entry.c.run == run,
            _may_be_trouble(connection, run),
            state.in_(OPEN)
            | (state.in_([State.DELIVERED, State.CONFIRMED]) & entry.c.reason.in_([RESENT_UNPROVEN, NOT_SHOWN])),
        )
        .group_by(entry.c.entity, state, reason, entry.c.column_name)
    ).all()
    return [
        Trouble(Entity(r.entity), r.state, r.reason, r.column_name, r.rows, Decimal(str(r.points or 0)), int(r.new))
        for r in rows
    ]
