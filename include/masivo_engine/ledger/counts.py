"""Numbers of records and requests that the ledger knows, over all runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import stamp
from masivo_engine.model.batches import BatchState, Purpose
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import one_of


_RECORD = schema.record


class Delivered(NamedTuple):
    """A record that the API has, as it was sent."""

    key: str
    customer: str
    worth: str | None
    email: bytes | None
    handle: str | None
    history: int | None  #: batches that carried it before, None where there were none


def delivered_rows(ledger: Ledger, entity: Entity) -> int:
    """Count the rows of *entity* that the API has, but for those that are known to be gone."""
    counted = select(func.count()).where(_RECORD.c.entity == entity, schema.has_arrived, _RECORD.c.gone_run.is_(None))
    with ledger.reading() as connection:
        return int(connection.execute(counted).scalar_one())


def newest_delivered(ledger: Ledger, entity: Entity, *, most: int) -> list[str]:
    """Return the places of *most* of the rows of *entity* that the API got last."""
    batches = _last_batches(schema.batch.c.entity == entity, most=3)
    with ledger.reading() as connection:
        ids = connection.execute(batches).scalars().all()
        theirs = select(_RECORD.c.place).where(
            _RECORD.c.has_batch.in_(ids), _RECORD.c.entity == entity, _RECORD.c.gone_run.is_(None)
        )
        return list(connection.execute(theirs.limit(most)).scalars())


def delivered_after(
    ledger: Ledger, entity: Entity, moment: datetime, batch: int, *, batches: int = 3
) -> list[Delivered]:
    """
    Return what the first *batches* of *entity* carried that were accepted, and packed and sent
    after *batch* at *moment*, as far as the API still has just that. What was given up before, and
    may have arrived then, was not sent later. Of customers only batches with a new one count.
    """
    table = schema.batch
    had = (
        select(func.max(schema.history.c.batch))
        .where(
            schema.history.c.entity == _RECORD.c.entity,
            schema.history.c.home == _RECORD.c.home,
            schema.history.c.place == _RECORD.c.place,
            schema.history.c.batch < _RECORD.c.has_batch,
        )
        .correlate(_RECORD)
        .scalar_subquery()
    )
    # Who was there before does not show that the queue has come to its batch.
    new = (_RECORD.c.has_batch == table.c.id, _RECORD.c.entity == entity, _RECORD.c.strays == 0, had.is_(None))
    shows = (select(_RECORD.c.place).where(*new).exists(),) if entity is Entity.CUSTOMERS else ()
    first = (
        select(table.c.id)
        .where(
            table.c.entity == entity,
            table.c.state == BatchState.DELIVERED,
            table.c.sent_at > moment,
            table.c.id > batch,
            *shows,
        )
        .order_by(table.c.sent_at)
        .limit(batches)
    )
    columns = [_RECORD.c[f"has_{name}"] for name in ("customer", "worth", "email", "handle")]
    with ledger.reading() as connection:
        later = connection.execute(first).scalars().all()
        rows = connection.execute(
            select(_RECORD.c.key, *columns, had)
            .join(table, table.c.id == _RECORD.c.has_batch)
            .where(table.c.id.in_(later), _RECORD.c.strays == 0)
            .order_by(_RECORD.c.home, _RECORD.c.place)
        )
        return [Delivered._make(row) for row in rows]


def batch_sent_at(ledger: Ledger, batch: int) -> datetime:
    """
    Return when *batch* was sent last, or packed if it was not (UTC, no zone); long ago where there
    is no such batch.
    """
    table = schema.batch
    when = select(func.coalesce(table.c.sent_at, table.c.packed_at)).where(table.c.id == batch)
    with ledger.reading() as connection:
        found: datetime | None = connection.execute(when).scalar()
    return found or datetime(1970, 1, 1)  # noqa: DTZ001 (as all times of the ledger)


def last_delivered(ledger: Ledger, run: int, entity: Entity, *, batches: int) -> list[str]:
    """Return a key of each of the last *batches* batches of *entity* that *run* delivered."""
    latest = _last_batches(schema.batch.c.run == run, schema.batch.c.entity == entity, most=batches)
    with ledger.reading() as connection:
        ids = connection.execute(latest).scalars().all()
        last = select(func.max(_RECORD.c.key)).where(_RECORD.c.has_batch.in_(ids)).group_by(_RECORD.c.has_batch)
        return list(connection.execute(last).scalars())


def doubts_in_a_row(ledger: Ledger, entity: Entity, *, most: int) -> int:
    """
    Return how many of the newest answers to requests of *entity* prove nothing, one after the
    other; *most* is enough.
    """
    batch = schema.batch
    decided = [BatchState.DELIVERED, BatchState.REFUSED, BatchState.IN_DOUBT]
    newest = (
        select(batch.c.state, batch.c.reason)
        .where(batch.c.entity == entity, batch.c.state.in_(decided))
        .order_by(batch.c.id.desc())
        .limit(most)
    )
    with ledger.reading() as connection:
        rows = connection.execute(newest).all()
    # A task that died says nothing of the API.
    proves_nothing = [row.state == BatchState.IN_DOUBT and row.reason != "task_died" for row in rows]
    return [*proves_nothing, False].index(False)


def isolated_within_hour(ledger: Ledger) -> int:
    """
    Return the requests of the account's last hour that took refused batches apart, whichever slice
    or run sent them.

    By the ledger's clock, as they are stamped. A stamp from the future counts, so that a clock that
    was set back cannot open the budget.
    """
    batch = schema.batch
    with ledger.reading() as connection:
        spent = select(func.coalesce(func.sum(batch.c.requests), 0)).where(
            batch.c.purpose == Purpose.ISOLATION, batch.c.sent_at > stamp(connection) - timedelta(hours=1)
        )
        return int(connection.execute(spent).scalar_one())


def has_probe(ledger: Ledger, run: int) -> bool:
    """
    Whether *run* has a batch that is a probe, or an earlier run one of which something is out.
    """
    with ledger.reading() as connection:
        return connection.execute(probes(run)).first() is not None


def probes(run: int) -> Select[Any]:
    """Select a batch by which `has_probe` holds, to be asked in any transaction."""
    batch = schema.batch
    is_out = select(_RECORD.c.place).where(_RECORD.c.entity == batch.c.entity, _RECORD.c.out_batch == batch.c.id)
    is_mine = (batch.c.run == run) & (batch.c.state != BatchState.GIVEN_BACK)
    return select(batch.c.id).where(batch.c.purpose == Purpose.PROBE, is_mine | is_out.exists()).limit(1)


def refused_again(ledger: Ledger) -> int:
    """Count the customers that the API has, and of which it refused a change by itself."""
    refused = (
        _RECORD.c.entity == Entity.CUSTOMERS,
        _RECORD.c.state == State.QUARANTINED,
        _RECORD.c.reason == "refused",
    )
    with ledger.reading() as connection:
        counted = select(func.count()).where(*refused, schema.has_arrived, _RECORD.c.judged.is_not(None))
        return int(connection.execute(counted).scalar_one())


def is_of(whose: ColumnElement[Any], customers: Sequence[str], dialect: str) -> ColumnElement[bool]:
    """
    Whether a record was sent to one of *customers*, by *whose*: ``out_customer`` or
    ``has_customer``.

    It is asked so that indexes answer it: hardly any is another one than the row's customer today.
    """
    today = _RECORD.c.customer
    return or_(
        and_(one_of(today, customers, dialect), whose == today),
        and_(one_of(whose, customers, dialect), whose != today),
    )


def _last_batches(*which: ColumnElement[bool], most: int) -> Select[Any]:
    """Select the *most* batches, of *which*, that the API accepted last."""
    batch = schema.batch
    accepted = select(batch.c.id).where(*which, batch.c.state == BatchState.DELIVERED)
    return accepted.order_by(batch.c.sent_at.desc(), batch.c.id.desc()).limit(most)
