"""
The account of a run: the equation of the promise, by SQL from the ledger, in records and in points.

``read = delivered + confirmed + unchanged + quarantined + held + in_doubt``

*read* is what the slices counted where rows came out of the database; the states are what the
ledger has of them (`masivo_engine.ledger.runs.tallies`). So the equation can fail, and a run whose
account fails is red. Beside it stand the rows that Masivo has, and the source has no more: *gone*.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import repeat
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, case, func, select

from masivo_engine.batching.lower_bound import least_with_tail
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs import tallies
from masivo_engine.ledger.runs.tallies import GONE, OPEN, Tally
from masivo_engine.ledger.verification.pending import brought_by
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError, UnknownRun
from masivo_engine.model.judged import NOT_YET_SENT
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import NOT_SHOWN, SENT_AGAIN
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import DRY_RUN, Covers


@dataclass(frozen=True, slots=True)
class EntityAccount:
    """
    The equation of one entity.

    *unfinished* are slices that were not read to their end, *on_the_way* rows that are held until
    their request is answered, *gone* rows that Masivo has and the source has no more.
    """

    entity: Entity
    read: int
    states: dict[str, int]
    points: dict[str, Decimal]
    slices: int
    unfinished: int
    requests: int
    sent: int
    least_requests: int
    on_the_way: int
    gone: int
    gone_points: Decimal

    @property
    def total(self) -> int:
        """How many rows the ledger has, in whatever state."""
        return sum(self.states.values())

    @property
    def adds_up(self) -> bool:
        """Whether the promise holds for this entity."""
        return self.read == self.total and not self.on_the_way and not self.unfinished


class LeftOut(NamedTuple):
    """
    Rows that the mapping does not read, and its *reason*; of the whole database, as the plan of the
    run counted them.
    """

    entity: Entity
    reason: str
    rows: int


@dataclass(frozen=True, slots=True)
class Account:
    """The account of one run; of a dry run it *is a plan*, of what would become of each row."""

    run_id: str
    mapping: str
    covers: str
    outcome: str
    entities: tuple[EntityAccount, ...]
    troubles: tuple[Tally, ...]
    left_out: tuple[LeftOut, ...] = ()
    is_plan: bool = False

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
        Rows that count against the tolerance: newly quarantined, held by an error, in doubt, or
        gone.
        """
        return self.newly + self.gone

    @property
    def newly(self) -> int:
        """Rows that are newly quarantined, held by an error, or in doubt."""
        return sum(trouble.new for trouble in self.troubles if is_trouble(trouble))

    @property
    def gone(self) -> int:
        """Rows that Masivo has, and that this run did not find in the source any more."""
        return sum(entity.gone for entity in self.entities)

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
            parts = [
                *([f"{self.newly:,} rows are newly quarantined, held by an error or in doubt"] if self.newly else []),
                *([f"{self.gone:,} rows that Masivo has are gone from the legacy database"] if self.gone else []),
            ]
            return (
                f"{', '.join(parts)}, and the run tolerates {tolerance:,}; see the account, or trigger with a higher"
                " tolerance"
            )
        return ""

    @property
    def sent(self) -> int:
        """How many records this run sent."""
        return sum(entity.sent for entity in self.entities)


# Held for these reasons is held by an error; other holds wait for a customer or a policy, as they
# should.
_HELD_BY_ERROR = frozenset({"api_unavailable", "run_stopped", NOT_YET_SENT})


def is_trouble(trouble: Tally) -> bool:
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
        if run is None and run_id is None:
            raise LedgerError("the ledger has no run yet")
        if run is None:
            raise UnknownRun(f"the ledger knows no run {run_id!r}")
        if run.kind == DRY_RUN and run.plan:
            return _planned(run, json.loads(run.plan))
        counted = tallies.count(connection, run.id)
        slices = {row.entity: row for row in connection.execute(_slices(run.id))}
        entities = tuple(
            _entity(connection, run.id, slices[entity], [one for one in counted if one.entity is entity], limits)
            for entity in Entity
            if entity in slices
        )
    troubles = tuple(_troubles(counted, has_ended=run.frozen_at is not None))
    covers, outcome = str(Covers.from_json(run.covers)), run.outcome or "not finished"
    return Account(run.run_id, run.mapping, covers, outcome, entities, troubles, tuple(_left_out(run.plan)))


def _left_out(plan: str | None) -> Iterator[LeftOut]:
    for one in json.loads(plan or "{}").get("left_out", []):
        yield LeftOut(Entity(one["entity"]), one["reason"], one["rows"])


def _planned(run: Any, plan: Mapping[str, Any]) -> Account:
    """Return what the *plan* of a dry *run* expects of every row, as an account of it."""
    worth = plan["worth"]
    goes = {Entity.CUSTOMERS: worth["balances"], Entity.TRANSACTIONS: worth["transactions"]}
    troubles = tuple(
        Tally(
            Entity(line["entity"]),
            line["state"],
            line["reason"],
            line["column"],
            line["rows"],
            Decimal(line["points"]),
            line["new"],
        )
        for line in plan["reasons"]
    )
    entities = []
    for entity in (entity for entity in Entity if entity.value in plan["entities"]):
        expected = plan["entities"][entity.value]
        points = {State.DELIVERED.value: sum(map(Decimal, goes.get(entity, {}).values()), Decimal(0))}
        for one in troubles:
            if one.entity is entity:
                points[one.state] = points.get(one.state, Decimal(0)) + one.points
        states = {state: rows for state, rows in expected["states"].items() if rows}
        counts = (0, 0, expected["requests"], 0, expected["least_requests"], 0, 0, Decimal(0))
        entities.append(EntityAccount(entity, expected["rows"], states, points, *counts))
    covers = str(Covers.from_json(run.covers))
    shown = tuple(one for one in troubles if one.state in OPEN)
    outcome, left_out = run.outcome or "not finished", tuple(_left_out(run.plan))
    return Account(run.run_id, run.mapping, covers, outcome, tuple(entities), shown, left_out, is_plan=True)


def _run(run_id: str | None) -> Any:
    table = schema.run
    statement = select(table)
    if run_id is None:
        return statement.order_by(table.c.id.desc()).limit(1)
    number = int(run_id) if run_id.isdecimal() else -1
    # A name that is a number all over comes first where it is one.
    by_name = case((table.c.run_id == run_id, 0), else_=1)
    return statement.where((table.c.run_id == run_id) | (table.c.id == number)).order_by(by_name).limit(1)


def _slices(run: int) -> Select[Any]:
    part = schema.part
    return (
        select(
            part.c.entity,
            func.count().label("slices"),
            func.count(part.c.finished_at).label("finished"),
            func.coalesce(func.sum(part.c.read_rows - part.c.met_again), 0).label("read"),
        )
        .where(part.c.run == run)
        .group_by(part.c.entity)
    )


def _entity(
    connection: Connection, run: int, slices: Row[Any], counted: Sequence[Tally], limits: Limits
) -> EntityAccount:
    entity, batch = Entity(slices.entity), schema.batch
    states: dict[str, int] = {}
    points: dict[str, Decimal] = {}
    for one in counted:
        states[one.state] = states.get(one.state, 0) + one.rows
        points[one.state] = points.get(one.state, Decimal(0)) + one.points
    requests, sent = connection.execute(
        select(
            func.coalesce(func.sum(batch.c.requests), 0),
            func.coalesce(func.sum(case((batch.c.requests > 0, batch.c.records), else_=0)), 0),
        ).where(batch.c.run == run, batch.c.entity == entity)
    ).one()
    return EntityAccount(
        entity,
        int(slices.read),
        {state: rows for state, rows in states.items() if state != GONE},
        {state: amount for state, amount in points.items() if state != GONE},
        slices.slices,
        slices.slices - slices.finished,
        int(requests),
        int(sent),
        least_with_tail(entity, _sent_by_customer(connection, run, entity, limits), limits),
        sum(one.rows for one in counted if one.reason == NOT_YET_SENT),
        states.get(GONE, 0),
        points.get(GONE, Decimal(0)),
    )


def _sent_by_customer(connection: Connection, run: int, entity: Entity, limits: Limits) -> Iterator[int]:
    """
    Yield, for every customer of whom something was sent, how many records the API has or may have;
    grouped by SQL so that little is fetched.

    What the batches carried says it all of customers, and of events where a request takes as many
    customers as records: one for each asks for as much.
    """
    record, batch = schema.record, schema.batch
    sent = (
        batch.c.run == run,
        batch.c.entity == entity,
        batch.c.requests > 0,
        batch.c.state.not_in([BatchState.REFUSED, BatchState.GIVEN_BACK]),
    )
    if entity is Entity.CUSTOMERS or (entity is Entity.EVENTS and limits.customers >= limits.records):
        carried = connection.execute(select(func.coalesce(func.sum(batch.c.records), 0)).where(*sent)).scalar_one()
        yield from repeat(1, int(carried))
        return
    there = select(record.c.has_customer.label("customer")).where(record.c.entity == entity, brought_by([run]))
    out = select(record.c.out_customer.label("customer")).join_from(batch, record, record.c.out_batch == batch.c.id)
    both = there.union_all(out.where(*sent)).subquery()
    by_customer = select(func.count().label("records")).select_from(both).group_by(both.c.customer).subquery()
    sizes = select(by_customer.c.records, func.count()).group_by(by_customer.c.records)
    for records, customers in connection.execute(sizes):
        yield from repeat(records, customers)


def _troubles(counted: Sequence[Tally], *, has_ended: bool) -> Iterator[Tally]:
    """
    Yield what did not go, and what no read-back can confirm; of a run under way not what is going.
    """
    for one in counted:
        is_going = one.reason == NOT_YET_SENT and not has_ended
        if (one.state in OPEN and not is_going) or (
            one.state == State.DELIVERED and one.reason in {NOT_SHOWN, SENT_AGAIN}
        ):
            yield one
