"""
What waits in the ledger and is free now: held and doubtful rows that the next run reads again,
whatever window it has.

=============================================  =====================================================
waits because                                  is free when
=============================================  =====================================================
the run stopped, or an earlier version is out  at once
a person said that it did not arrive           at once
it is in doubt                                 at once, for a day: after that a person has to settle
                                               it
its batch was refused in its company           at once: in a later run it is sent apart
its customer was not there                     its customer is delivered
its customer's points did not add up           its customer was delivered since its slice began, or
                                               was in doubt, and is settled as delivered
a policy held it                               the mapping's policy says otherwise now
=============================================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now
from masivo_engine.ledger.history.states import ADOPTED, ARRIVED
from masivo_engine.ledger.writing.slice_ledger import Ledger
from masivo_engine.mapping.settings import Policies
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State


_PART = 5_000

_SETTLES_ITSELF_WITHIN = timedelta(days=1)
_AT_ONCE = ("run_stopped", "released", "api_unavailable", "earlier_in_doubt", "refused_in_company")
_FOR_CUSTOMER = ("customer_missing", "customer_quarantined", "customer_held", "customer_in_doubt")
_FOR_POINTS = ("points_do_not_sum", "sibling_not_sendable")
_BY_POLICY = ("changed_after_delivery", "transactions_already_migrated")


def waiting(ledger: Ledger, entity: Entity, policies: Policies, *, before: int) -> list[str]:
    """
    Return the keys of *entity* (of transactions: the customers) that waited in runs before the run
    *before* and are free now, in order.
    """
    found: set[str | None] = set()
    statements = (_by_own_state(entity, policies, before), _in_doubt(entity, before), _by_batch(entity, before))
    for statement in statements:
        with ledger.reading() as connection:
            found.update(connection.execute(statement).scalars())
    return sorted(key for key in found if key)


def waiting_for(ledger: Ledger, entity: Entity, *, before: int) -> Iterator[list[tuple[str, str]]]:
    """
    Yield, in parts, what is read of children that wait for their customer to arrive (key, or
    customer), and the customer.
    """
    entry = schema.entry
    statement = select(_what_is_read(entity), entry.c.customer).where(
        entry.c.entity == entity,
        entry.c.run < before,
        entry.c.state.in_([State.HELD, State.QUARANTINED]),
        schema.is_open,
        entry.c.reason.in_((*_FOR_CUSTOMER, *_FOR_POINTS)),
    )
    with ledger.reading() as connection:
        result = connection.execute(statement, execution_options={"stream_results": True})
        for rows in result.partitions(_PART):
            yield [(row[0], row[1]) for row in rows]


def _by_own_state(entity: Entity, policies: Policies, before: int) -> Select[Any]:
    entry = schema.entry
    reasons: list[ColumnElement[bool]] = [entry.c.reason.in_(_AT_ONCE)]
    if entity.has_parent:
        reasons.append(and_(entry.c.reason.in_(_FOR_CUSTOMER), _customer_arrived()))
    if entity is Entity.TRANSACTIONS:
        reasons.append(and_(entry.c.reason.in_(_FOR_POINTS), _customer_arrived(since=True)))
        if policies.new_transactions == "send":
            reasons.append(entry.c.reason == "transactions_already_migrated")
    if getattr(policies.changed, entity.value) != "hold":
        reasons.append(entry.c.reason == "changed_after_delivery")
    # Not distinct in SQL, where it would be bought by reading every entry in the order of its key;
    # and all reasons named, for the index.
    return select(_what_is_read(entity)).where(
        entry.c.entity == entity,
        entry.c.run < before,
        entry.c.state.in_([State.HELD, State.QUARANTINED]),
        schema.is_open,
        entry.c.reason.in_((*_AT_ONCE, *_FOR_CUSTOMER, *_FOR_POINTS, *_BY_POLICY)),
        or_(*reasons),
    )


def _in_doubt(entity: Entity, before: int) -> Select[Any]:
    """Of entries with a state of their own, those in doubt that may still settle themselves."""
    entry, batch = schema.entry, schema.batch
    return (
        select(_what_is_read(entity))
        .select_from(entry.join(batch, entry.c.batch == batch.c.id))
        .where(
            entry.c.entity == entity,
            entry.c.run < before,
            entry.c.state == State.IN_DOUBT,
            schema.is_open,
            batch.c.sent_at > now() - _SETTLES_ITSELF_WITHIN,
        )
    )


def _by_batch(entity: Entity, before: int) -> Select[Any]:
    """Of entries without a state of their own, those whose batch is in doubt."""
    batch = schema.batch
    return (
        select(_what_is_read(entity))
        .select_from(schema.batch_and_its_entries)
        .where(
            batch.c.entity == entity,
            batch.c.run < before,
            batch.c.state == BatchState.IN_DOUBT,
            batch.c.sent_at > now() - _SETTLES_ITSELF_WITHIN,
        )
    )


def _what_is_read(entity: Entity) -> ColumnElement[Any]:
    return schema.entry.c.customer if entity is Entity.TRANSACTIONS else schema.entry.c.key


def _customer_arrived(*, since: bool = False) -> ColumnElement[bool]:
    """
    Whether the entry's customer was delivered, if *since* after the entry was judged, or while its
    slice was worked off.
    """
    entry, part = schema.entry, schema.part
    owner, carried = entry.alias("owner"), schema.batch.alias("carried")
    state = or_(
        owner.c.state.in_(ARRIVED),
        and_(owner.c.state.is_(None), carried.c.state == BatchState.DELIVERED),
        and_(owner.c.state == State.UNCHANGED, owner.c.reason == ADOPTED),
    )
    conditions = [owner.c.entity == Entity.CUSTOMERS, owner.c.key == entry.c.customer, state]
    if since:
        # A customer may have been written down before, and have waited for its turn, or have been
        # in doubt (`note_settled`).
        judging = (part.c.run == entry.c.run, part.c.entity == entry.c.entity, part.c.number == entry.c.slice)
        began = select(part.c.started_at).where(*judging).correlate(entry).scalar_subquery()
        conditions.append(or_(owner.c.id > entry.c.id, carried.c.settled_at >= began))
    joined = owner.outerjoin(carried, owner.c.batch == carried.c.id)
    return exists(select(owner.c.id).select_from(joined).where(*conditions).correlate(entry))
