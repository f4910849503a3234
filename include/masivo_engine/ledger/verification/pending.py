"""
What a read-back asks of the ledger and writes there: what was sent to whom, what is confirmed, what
was found.

A customer who is chosen and not yet read to the end has a row of its own among the findings, its
bucket ``waiting``: *found_at* is when it is to be read next, *found* how often it was read,
*expected* why it was chosen. So a read-back goes on where it was, whatever died.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.rows import Known, Rows
from masivo_engine.ledger.runs import tallies
from masivo_engine.model.batches import BatchState
from masivo_engine.model.reasons import NOT_SHOWN
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import at_once, one_of


WAITING = "waiting"

# Why a customer was chosen, where that is not a purpose: everybody was, or chance did it.
EVERYBODY, AT_RANDOM = "all", "random"

_PORTION = 5000
ADOPTED = "adopted"
_MARKED = ("place", "run", "state", "reason", "has_run", "has_batch", "has_hash", "has_points")


@dataclass(frozen=True, slots=True)
class Sent:
    """
    A record as it was sent: *arrived* where the API has it, else it may have it.

    The row is known by *entity*, *home* and *place*; what is said of it holds for its *batch* only.
    """

    entity: Entity
    home: str
    place: str
    key: str
    customer: str
    arrived: bool
    batch: int | None  #: None where a person stated that the API has it
    content_hash: bytes | None
    worth: Mapping[str, Decimal]  #: a customer's balance by reward, or a transaction's points
    handle: str | None
    is_not_shown: bool = False

    @property
    def points(self) -> Decimal:
        """What it is worth in all."""
        return sum(self.worth.values(), Decimal(0))

    @property
    def reward(self) -> str:
        """Of what a transaction is; empty for others."""
        return next(iter(self.worth), "") if self.entity is Entity.TRANSACTIONS else ""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A customer who is to be read at *due* (UTC, no zone); *reads* is how often it was already."""

    id: int
    run: int
    customer: str
    reads: int
    due: datetime


def sent_to(ledger: Ledger, customers: Collection[str]) -> list[Sent]:
    """Return what was sent to *customers* in all runs and may be there, oldest first."""
    found: list[Sent] = []
    for entity in Entity:
        for name, rows in Rows(ledger).of_customers(entity, customers).items():
            found += [one for row in rows for one in _sent(entity, row) if one.customer == name]
    return sorted(found, key=lambda one: (one.batch or 0, one.home, one.place))


def _sent(entity: Entity, row: Known) -> Iterator[Sent]:
    for group, is_there in (("has", row.has_arrived), ("out", row.is_out)):
        if is_there:
            batch, content, customer, worth, handle = (
                getattr(row, f"{group}_{name}") for name in ("batch", "hash", "customer", "worth", "handle")
            )
            yield Sent(
                entity,
                row.home,
                row.place,
                row.key,
                customer or "",
                arrived=group == "has",
                batch=batch,
                content_hash=content,
                worth=as_worth(worth),
                handle=handle,
                is_not_shown=row.reason == NOT_SHOWN,
            )


def last_run_that_delivered(ledger: Ledger) -> int | None:
    """Return the number of the newest run of which the API accepted something."""
    batch = schema.batch
    with ledger.reading() as connection:
        found = connection.execute(select(func.max(batch.c.run)).where(batch.c.state == BatchState.DELIVERED)).scalar()
    return None if found is None else int(found)


def delivered_in(ledger: Ledger, run: int) -> int:
    """Return how many records the API accepted of *run*."""
    batch = schema.batch
    accepted = select(func.coalesce(func.sum(batch.c.records), 0)).where(
        batch.c.run == run, batch.c.state == BatchState.DELIVERED
    )
    with ledger.reading() as connection:
        return int(connection.execute(accepted).scalar_one())


def last_delivery(ledger: Ledger, runs: Collection[int]) -> datetime | None:
    """Return when *runs* were last answered 201 (UTC, no zone)."""
    batch = schema.batch
    with ledger.reading() as connection:
        found: datetime | None = connection.execute(
            select(func.max(batch.c.settled_at)).where(
                batch.c.run.in_(list(runs)), batch.c.state == BatchState.DELIVERED
            )
        ).scalar()
    return found


def to_be_confirmed(runs: Collection[int]) -> Select[Any]:
    """
    Select each customer of whom *runs* delivered what is not confirmed and could be, with the
    newest of those runs.
    """
    record = schema.record
    return (
        select(record.c.has_customer.label("customer"), func.max(record.c.has_run).label("run"))
        .where(brought_by(runs), is_unconfirmed())
        .group_by(record.c.has_customer)
    )


def choose_all(ledger: Ledger, runs: Collection[int], due: datetime) -> None:
    """
    Let every customer of *runs* wait to be read at *due*; what was found of them earlier is
    forgotten, to be found anew.
    """
    finding = schema.finding
    everybody = to_be_confirmed(runs).subquery()
    with ledger.engine.begin() as connection:
        before = select(finding.c.customer.label("customer"), func.max(finding.c.run).label("run")).where(
            finding.c.run.in_(list(runs)), finding.c.customer.not_in(select(everybody.c.customer))
        )
        known = connection.execute(before.group_by(finding.c.customer)).all()
        connection.execute(delete(finding).where(finding.c.run.in_(list(runs))))
        new = _waiting(everybody.c.run, everybody.c.customer, EVERYBODY, due)
        values = [
            value if isinstance(value, ColumnElement) else literal(value, finding.c[name].type)
            for name, value in new.items()
        ]
        connection.execute(insert(finding).from_select(list(new), select(*values)))
        if known:
            connection.execute(insert(finding), [_waiting(row.run, row.customer, "found before", due) for row in known])


def choose(ledger: Ledger, runs: Collection[int], chosen: Mapping[str, tuple[int, str]], due: datetime) -> None:
    """
    Let *chosen* customers, each with a run and the reason why, wait to be read at *due*; who else
    waited of *runs* does so no more.
    """
    finding = schema.finding
    names = list(chosen)
    with ledger.engine.begin() as connection:
        of_runs = finding.c.run.in_(list(runs))
        connection.execute(delete(finding).where(of_runs, finding.c.bucket == WAITING))
        for first in range(0, len(names), _PORTION):
            some = names[first : first + _PORTION]
            connection.execute(delete(finding).where(of_runs, finding.c.customer.in_(some)))
            connection.execute(
                insert(finding), [_waiting(chosen[name][0], name, chosen[name][1], due) for name in some]
            )


def waiting_ids(ledger: Ledger, runs: Collection[int]) -> list[int]:
    """
    Return the rows of the customers of *runs* who wait to be read, in the order in which they were
    chosen.
    """
    finding = schema.finding
    with ledger.reading() as connection:
        return list(
            connection.execute(
                select(finding.c.id)
                .where(finding.c.run.in_(list(runs)), finding.c.bucket == WAITING)
                .order_by(finding.c.id)
            ).scalars()
        )


def waiting_in(ledger: Ledger, first: int, last: int) -> list[Waiting]:
    """Return the customers who wait among the rows from *first* to *last*."""
    finding = schema.finding
    with ledger.reading() as connection:
        rows = connection.execute(
            select(finding).where(finding.c.id.between(first, last), finding.c.bucket == WAITING).order_by(finding.c.id)
        )
        return [Waiting(row.id, row.run, row.customer, int(row.found or 0), row.found_at) for row in rows]


def wait_on(ledger: Ledger, ids: Sequence[int], due: datetime) -> None:
    """Let customers who were read wait for another reading at *due*."""
    if ids:
        finding = schema.finding
        with ledger.engine.begin() as connection:
            rows = connection.execute(select(finding.c.id, finding.c.found).where(finding.c.id.in_(list(ids)))).all()
            connection.execute(
                update(finding)
                .where(finding.c.id == bindparam("this"))
                .values(found=bindparam("reads"), found_at=bindparam("due")),
                [{"this": row.id, "reads": str(int(row.found or 0) + 1), "due": due} for row in rows],
            )


def settle(
    ledger: Ledger,
    confirmed: Iterable[Sent],
    found: Sequence[Mapping[str, Any]],
    read: Sequence[int],
    *,
    not_shown: Iterable[Sent] = (),
) -> None:
    """
    Confirm records, enter what was *found*, and let the customers who were *read* to the end wait
    no more: in one transaction.

    *not_shown* are records of which the API shows none: they stay delivered, with that for a
    reason. What was sent again since it was asked about stays as it is.
    """
    finding = schema.finding
    with ledger.engine.begin() as connection:
        unconfirmed = schema.record.c.confirmed_at.is_(None)
        _mark(connection, list(confirmed), unconfirmed, {"confirmed_at": now()}, State.CONFIRMED)
        plain = and_(schema.is_delivered, schema.record.c.reason == "")
        _mark(connection, list(not_shown), plain, {"reason": NOT_SHOWN}, State.DELIVERED)
        if found:
            # Before the deletion: `found_since` counts on growing ids, and SQLite takes up again
            # those that were deleted last.
            connection.execute(insert(finding), [{**row, "found_at": now()} for row in found])
        if read:
            connection.execute(delete(finding).where(finding.c.id == bindparam("row")), [{"row": one} for one in read])


def _mark(
    connection: Connection, asked: Sequence[Sent], which: ColumnElement[bool], values: Mapping[str, Any], state: State
) -> None:
    """
    Change *values* of *which* rows are still as they were *asked* about, and let them be in *state*
    in the accounts that are written down already.
    """
    record, dialect = schema.record, connection.dialect.name
    columns = [record.c[name] for name in _MARKED]
    marked: list[tuple[Entity, Row[Any]]] = []
    for entity in Entity:
        sent = {one.place: (one.batch, one.content_hash) for one in asked if one.entity is entity}
        for places in at_once(sorted(sent), dialect):
            mine = (record.c.entity == entity, one_of(record.c.place, places, dialect))
            rows = connection.execute(select(*columns).where(*mine, which).with_for_update()).all()
            same = [row for row in rows if sent.get(row.place) == (row.has_batch, row.has_hash)]
            if same:
                these = (record.c.entity == entity, one_of(record.c.place, [row.place for row in same], dialect))
                connection.execute(update(record).where(*these).values(values))
                marked += [(entity, row) for row in same]
    _tell_accounts(connection, marked, state, values.get("reason"))


def _tell_accounts(
    connection: Connection, marked: Sequence[tuple[Entity, Row[Any]]], state: State, reason: str | None
) -> None:
    """
    Let what was *marked* be in *state*, and for *reason* where there is one, in the accounts of the
    runs that delivered it. What a run that is under way saw last is counted by the rows themselves.
    """
    frozen = tallies.frozen(connection, {row.has_run for _, row in marked if row.has_run})
    moved: dict[tuple[int, Entity, str], tuple[int, Decimal]] = {}
    left: dict[tuple[int, Entity], list[str]] = {}
    for entity, row in marked:
        if row.has_batch is None or row.reason == ADOPTED:
            continue  # no run has delivered what a person stated
        if row.has_run in frozen:
            # A row that waits by now was delivered without a reason.
            kind = row.has_run, entity, row.reason if row.state == State.DELIVERED else ""
            count, points = moved.get(kind, (0, Decimal(0)))
            moved[kind] = count + 1, points + Decimal(str(row.has_points or 0))
        elif row.has_run != row.run:
            left.setdefault((row.has_run, entity), []).append(row.place)
    for (run, entity, before), (count, points) in moved.items():
        if tallies.rows_of(connection, run, entity, State.DELIVERED, before) < count:
            continue  # it came by a read-back, or a person said so: that run has not counted it
        tallies.add(connection, run, entity, State.DELIVERED, before, "", -count, -points, 0)
        tallies.add(connection, run, entity, state, before if reason is None else reason, "", count, points, 0)
    table, new = schema.left, {"state": state} | ({} if reason is None else {"reason": reason})
    for (run, entity), places in left.items():
        for some in at_once(places, connection.dialect.name):
            mine = one_of(table.c.place, some, connection.dialect.name)
            these = (table.c.run == run, table.c.entity == entity, mine, table.c.state == State.DELIVERED)
            connection.execute(update(table).where(*these).values(new))


def found_since(ledger: Ledger, runs: Collection[int], first: int) -> dict[tuple[Entity, str], int]:
    """
    Count what was found of *runs* since row *first* was written, by entity and bucket; who still
    waits has a bucket too.
    """
    finding = schema.finding
    with ledger.reading() as connection:
        rows = connection.execute(
            select(finding.c.entity, finding.c.bucket, func.count().label("rows"))
            .where(finding.c.run.in_(list(runs)), finding.c.id >= first)
            .group_by(finding.c.entity, finding.c.bucket)
        )
        return {(Entity(row.entity), row.bucket): row.rows for row in rows}


def states_of(ledger: Ledger, runs: Collection[int]) -> dict[tuple[Entity, str], int]:
    """Count what *runs* delivered, by entity and whether it is confirmed."""
    found: dict[tuple[Entity, str], int] = {}
    with ledger.reading() as connection:
        for one in _delivered(connection, runs):
            found[one.entity, one.state] = found.get((one.entity, one.state), 0) + one.rows
    return found


def not_shown_of(ledger: Ledger, runs: Collection[int]) -> dict[Entity, int]:
    """Count what *runs* delivered and the API cannot show, by entity."""
    found: dict[Entity, int] = {}
    with ledger.reading() as connection:
        for one in _delivered(connection, runs):
            if (one.state, one.reason) == (State.DELIVERED, NOT_SHOWN):
                found[one.entity] = found.get(one.entity, 0) + one.rows
    return found


def _delivered(connection: Connection, runs: Collection[int]) -> Iterator[tallies.Tally]:
    for run in runs:
        for one in tallies.count(connection, run):
            if one.state in (State.DELIVERED, State.CONFIRMED):
                yield one


def later_by(moment: datetime, seconds: float) -> datetime:
    """Return *moment* and *seconds*."""
    return moment + timedelta(seconds=seconds)


def brought_by(runs: Collection[int]) -> ColumnElement[bool]:
    """Whether what the API has of a row is there because one of *runs* sent it, or read it back."""
    record = schema.record
    is_sent = and_(record.c.has_batch.is_not(None), record.c.reason != ADOPTED)
    return and_(record.c.has_run.in_(list(runs)), is_sent)


def is_unconfirmed() -> ColumnElement[bool]:
    """Whether what the API has of a row was not read back yet, and could be."""
    record = schema.record
    return and_(record.c.confirmed_at.is_(None), record.c.reason != NOT_SHOWN)


def _waiting(run: Any, customer: Any, why: str, due: datetime) -> dict[str, Any]:
    return {
        "run": run,
        "entity": Entity.CUSTOMERS.value,
        "key": customer,
        "customer": customer,
        "bucket": WAITING,
        "reward": "",
        "expected": why,
        "found": "0",
        "found_at": due,
    }
