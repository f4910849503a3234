"""
What a read-back asks of the ledger and writes there: what was sent to whom, what is confirmed, what
was found.

A customer who is chosen and not yet read to the end has a row of its own among the findings, its
bucket ``waiting``: *found_at* is when it is to be read next, *found* how often it was read,
*expected* why it was chosen. So a read-back goes on where it was, whatever died.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, insert, literal, or_, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import as_balance
from masivo_engine.ledger.history.states import ADOPTED, ARRIVED, OUT
from masivo_engine.model.batches import BatchState
from masivo_engine.model.reasons import NOT_SHOWN
from masivo_engine.model.rows import Entity, State


WAITING = "waiting"

# Why a customer was chosen, where that is not a purpose: everybody was, or chance did it.
EVERYBODY, AT_RANDOM = "all", "random"

_PORTION = 5000


@dataclass(frozen=True, slots=True)
class Sent:
    """An entry of the ledger whose record the API has, or may have."""

    entry: int
    run: int
    entity: Entity
    key: str
    customer: str
    state: str
    arrived: bool
    content_hash: bytes | None
    points: Decimal
    balance: Mapping[str, Decimal]
    reward: str
    is_not_shown: bool = False


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
    entry, state = schema.entry, schema.state_of_entry
    found: list[Sent] = []
    names = list(customers)
    with ledger.reading() as connection:
        for first in range(0, len(names), _PORTION):
            rows = connection.execute(
                select(entry, state.label("is_state"), schema.reason_of_entry.label("is_reason"))
                .select_from(schema.entry_and_batch)
                .where(
                    entry.c.customer.in_(names[first : first + _PORTION]),
                    or_(state.in_([*ARRIVED, *OUT]), entry.c.reason == ADOPTED),
                )
                .order_by(entry.c.id)
            )
            found += [
                Sent(
                    row.id,
                    row.run,
                    Entity(row.entity),
                    row.key,
                    row.customer,
                    row.is_state,
                    row.is_state in ARRIVED or row.is_reason == ADOPTED,
                    None if row.content_hash is None else bytes(row.content_hash),
                    Decimal(str(row.points)),
                    as_balance(row.balance),
                    row.reward,
                    row.is_reason == NOT_SHOWN,
                )
                for row in rows
            ]
    return found


def last_run_that_delivered(ledger: Ledger) -> int | None:
    """Return the number of the newest run of which the API accepted something."""
    batch = schema.batch
    with ledger.reading() as connection:
        found = connection.execute(select(func.max(batch.c.run)).where(batch.c.state == BatchState.DELIVERED)).scalar()
    return None if found is None else int(found)


def delivered_in(ledger: Ledger, run: int) -> int:
    """Return how many records the API accepted of *run*."""
    with ledger.reading() as connection:
        return int(
            connection.execute(
                select(func.count()).select_from(schema.entry_and_batch).where(*_delivered([run]))
            ).scalar_one()
        )


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
    entry = schema.entry
    return (
        select(entry.c.customer.label("customer"), func.max(entry.c.run).label("run"))
        .select_from(schema.entry_and_batch)
        .where(*_delivered(runs))
        .group_by(entry.c.customer)
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
        columns = ["run", "entity", "key", "customer", "bucket", "reward", "expected", "found", "found_at"]
        connection.execute(
            insert(finding).from_select(
                columns,
                select(
                    everybody.c.run,
                    literal(Entity.CUSTOMERS.value),
                    everybody.c.customer,
                    everybody.c.customer,
                    literal(WAITING),
                    literal(""),
                    literal(EVERYBODY),
                    literal("0"),
                    literal(due, finding.c.found_at.type),
                ),
            )
        )
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
            connection.execute(insert(finding), [_waiting(*_run_first(chosen[name], name), due) for name in some])


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
    confirmed: Iterable[int],
    found: Sequence[Mapping[str, Any]],
    read: Sequence[int],
    *,
    not_shown: Iterable[int] = (),
) -> None:
    """
    Confirm entries, enter what was *found*, and let the customers who were *read* to the end wait
    no more: in one transaction.

    *not_shown* are entries of which the API shows none: they stay delivered, with that for a
    reason.
    """
    entry, finding = schema.entry, schema.finding
    # Only what is still delivered: a run may have superseded it meanwhile.
    this = entry.c.id == bindparam("this"), or_(entry.c.state.is_(None), entry.c.state == State.DELIVERED)
    with ledger.engine.begin() as connection:
        if ids := [{"this": number} for number in confirmed]:
            connection.execute(update(entry).where(*this).values(state=State.CONFIRMED), ids)
        if ids := [{"this": number} for number in not_shown]:
            connection.execute(update(entry).where(*this, entry.c.reason == "").values(reason=NOT_SHOWN), ids)
        if found:
            # Before the deletion: `found_since` counts on growing ids, and SQLite takes up again
            # those that were deleted last.
            connection.execute(insert(finding), [{**row, "found_at": now()} for row in found])
        if read:
            connection.execute(delete(finding).where(finding.c.id == bindparam("row")), [{"row": one} for one in read])


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
    entry, state = schema.entry, schema.state_of_entry
    with ledger.reading() as connection:
        rows = connection.execute(
            select(entry.c.entity, state.label("is_state"), func.count().label("rows"))
            .select_from(schema.entry_and_batch)
            .where(entry.c.run.in_(list(runs)), state.in_(ARRIVED))
            .group_by(entry.c.entity, state)
        )
        return {(Entity(row.entity), row.is_state): row.rows for row in rows}


def not_shown_of(ledger: Ledger, runs: Collection[int]) -> dict[Entity, int]:
    """Count what *runs* delivered and the API cannot show, by entity."""
    entry = schema.entry
    with ledger.reading() as connection:
        rows = connection.execute(
            select(entry.c.entity, func.count().label("rows"))
            .select_from(schema.entry_and_batch)
            .where(
                entry.c.run.in_(list(runs)),
                entry.c.reason == NOT_SHOWN,
                schema.state_of_entry == State.DELIVERED.value,
            )
            .group_by(entry.c.entity)
        )
        return {Entity(row.entity): row.rows for row in rows}


def later_by(moment: datetime, seconds: float) -> datetime:
    """Return *moment* and *seconds*."""
    return moment + timedelta(seconds=seconds)


def _delivered(runs: Collection[int]) -> tuple[ColumnElement[bool], ...]:
    entry = schema.entry
    return entry.c.run.in_(list(runs)), schema.state_of_entry == State.DELIVERED.value, entry.c.reason != NOT_SHOWN


def _waiting(run: int, customer: str, why: str, due: datetime) -> dict[str, Any]:
    return {
        "run": run,
        "entity": Entity.CUSTOMERS,
        "key": customer,
        "customer": customer,
        "bucket": WAITING,
        "reward": "",
        "expected": why,
        "found": "0",
        "found_at": due,
    }


def _run_first(chosen: tuple[int, str], name: str) -> tuple[int, str, str]:
    run, why = chosen
    return run, name, why
