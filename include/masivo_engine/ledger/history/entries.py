"""Reading the ledger: what is known of a key, of a customer, and of the account's last hour."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from sqlalchemy import Select, exists, func, or_, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.dialects import stamp
from masivo_engine.ledger.encoding import as_balance
from masivo_engine.ledger.history.states import ADOPTED, ARRIVED, OUT, is_no_sighting
from masivo_engine.ledger.history.transaction_sets import points_of, transactions_waiting
from masivo_engine.ledger.writing.email_claims import claim
from masivo_engine.model.batches import BatchState, Purpose
from masivo_engine.model.reasons import RESENT_UNPROVEN
from masivo_engine.model.rows import Entity, State
from masivo_engine.sql import at_once, one_of


class Known(NamedTuple):
    """One entry about a key, of this run or an earlier one."""

    id: int
    run: int
    slice: int
    customer: str
    occurrence: int
    state: str
    reason: str
    content_hash: bytes | None
    balance: str | None
    batch: int | None
    fence: int | None
    sent_at: datetime | None
    batch_state: str | None = None
    status: int | None = None

    @property
    def arrived(self) -> bool:
        """Whether the API accepted it, or a person said that it has it."""
        return self.state in ARRIVED or self.reason == ADOPTED

    @property
    def is_out(self) -> bool:
        """Whether it was sent and nobody knows what became of it."""
        return self.state in OUT

    @property
    def is_refused(self) -> bool:
        """Whether the API refused the last request that carried it, alone or with others."""
        return self.batch_state == BatchState.REFUSED

    @property
    def is_resent(self) -> bool:
        """
        Whether it was sent again although nothing was proved of an earlier request: the answer to
        one says nothing of the other.
        """
        return self.reason == RESENT_UNPROVEN

    @property
    def waits(self) -> bool:
        """Whether it was read and not sent."""
        return self.state in {State.HELD.value, State.QUARANTINED.value}


class Parent(NamedTuple):
    """
    What is known of a customer: its *state*, empty if it was never read, and its delivered points
    as `balances` writes them.

    *is_adopted* where it was never sent, and a person stated that the API has it.
    """

    state: str
    points: str | None = None
    is_adopted: bool = False

    @property
    def balance(self) -> Mapping[str, Decimal]:
        """Its delivered points by reward."""
        return as_balance(self.points)

    @property
    def arrived(self) -> bool:
        """Whether children may be sent."""
        return self.state in ARRIVED


class Knowledge:
    """
    What the judging of rows asks about earlier ones; the plan asks the same of what has not
    happened yet (`masivo_engine.forecast.projection`).
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def known(self, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return what is known of *keys*, oldest first."""
        return known(self._ledger, entity, keys)

    def parents(self, customers: Collection[str]) -> dict[str, Parent]:
        """Return what is known of *customers*; whoever was never read is missing."""
        return parents(self._ledger, customers)

    def sent_of(self, entity: Entity, customers: Collection[str]) -> dict[str, bool]:
        """
        Return the *customers* of whom a record of *entity* was ever sent: True where one may still
        be out.
        """
        return sent_of(self._ledger, entity, customers)

    def points_of(self, customers: Collection[str]) -> dict[str, dict[str, Decimal]]:
        """
        Return the points of the transactions that the API has of *customers*, by reward, whether or
        not their rows are still there.
        """
        return points_of(self._ledger, customers)

    def transactions_waiting(self, customers: Collection[str], reason: str) -> dict[str, dict[int, int]]:
        """
        Return the transactions of *customers* that wait for *reason*, by customer: the run of each
        entry.
        """
        return transactions_waiting(self._ledger, customers, reason)

    def owners(self, emails: Sequence[tuple[str, str]]) -> list[str]:
        """
        Claim e-mail addresses, given with the key of a customer each, and return the key of each
        one's owner.
        """
        digests = [self._ledger.digest(email) for email, _ in emails]
        wanted = [(digest, key) for digest, (_, key) in zip(digests, emails, strict=True)]
        owners = claim(self._ledger.engine, "email", wanted)
        return [owners[digest] for digest in digests]


class FirstLoad(Knowledge):
    """
    What is known in a slice while its entity is loaded for the first time (`Lease.is_first_load`).

    Looking for every key costs more the more there are, to find nothing. Only what this slice reads
    a second time is looked for; what another slice has read is found when it is packed (`Moved`),
    and then everything is looked for (`masivo_engine.migrate`).
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self._read: set[str] = set()

    def known(self, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
        """Return what is known of those *keys* that were asked about before, oldest first."""
        again = self._read.intersection(keys)
        self._read.update(keys)
        return super().known(entity, again) if again else {}


def known(ledger: Ledger, entity: Entity, keys: Collection[str]) -> dict[str, list[Known]]:
    """
    Return what the ledger knows of *keys*, oldest first, without mere sightings (unchanged,
    superseded).
    """
    found: dict[str, list[Known]] = {}
    with ledger.reading() as connection:
        for some in at_once(list(keys), connection.dialect.name):
            for key, *entry in connection.execute(_entries_of(entity, some, connection.dialect.name)).all():
                if key in keys:  # MySQL's comparison ignores blanks at the end
                    found.setdefault(key, []).append(Known._make(entry))
    return found


def sent_of(ledger: Ledger, entity: Entity, customers: Collection[str]) -> dict[str, bool]:
    """
    Return the *customers* of whom a record of *entity* was ever sent: True where one may still be
    out, False where all arrived.
    """
    entry = schema.entry
    sent: dict[str, bool] = {}
    with ledger.reading() as connection:
        for some in at_once(list(customers), connection.dialect.name):
            rows = connection.execute(
                select(entry.c.customer, schema.state_of_entry.label("is_state"))
                .select_from(schema.entry_and_batch)
                .where(
                    entry.c.entity == entity,
                    one_of(entry.c.customer, some, connection.dialect.name),
                    is_no_sighting(),
                    or_(schema.state_of_entry.in_([*ARRIVED, *OUT]), entry.c.reason == ADOPTED),
                )
                .distinct()
            )
            for row in rows:
                sent[row.customer] = sent.get(row.customer, False) or row.is_state in OUT
    return sent


def parents(ledger: Ledger, customers: Collection[str]) -> dict[str, Parent]:
    """Return what is known of *customers*; whoever was never read is missing."""
    found: dict[str, Parent] = {}
    with ledger.reading() as connection:
        for some in at_once(list(customers), connection.dialect.name):
            for row in connection.execute(_states_of_customers(some, connection.dialect.name)).all():
                if row.key in customers:  # MySQL's comparison ignores blanks at the end
                    found[row.key] = _after(found.get(row.key), *row[1:])
    return found


def claimed_by(ledger: Ledger, kind: str, digests: Collection[bytes]) -> dict[bytes, str]:
    """Return the owners of those *digests* that somebody has claimed."""
    table = schema.claim
    found: dict[bytes, str] = {}
    with ledger.reading() as connection:
        for some in at_once(list(digests), connection.dialect.name):
            rows = connection.execute(
                select(table.c.digest, table.c.key).where(
                    table.c.kind == kind, one_of(table.c.digest, some, connection.dialect.name)
                )
            )
            found.update((bytes(row.digest), row.key) for row in rows)
    return found


def last_delivered(ledger: Ledger, run: int, entity: Entity, *, batches: int) -> list[str]:
    """Return a key of each of the last *batches* batches of *entity* that *run* delivered."""
    entry, batch = schema.entry, schema.batch
    latest = (
        select(batch.c.id)
        .where(batch.c.run == run, batch.c.entity == entity, batch.c.state == BatchState.DELIVERED)
        .order_by(batch.c.sent_at.desc(), batch.c.id.desc())
        .limit(batches)
    )
    with ledger.reading() as connection:
        ids = list(connection.execute(latest).scalars())
        last = (
            select(func.max(entry.c.id))
            .select_from(batch.join(entry, schema.of_its_batch))
            .where(batch.c.id.in_(ids))
            .group_by(batch.c.id)
        )
        last_ids = list(connection.execute(last).scalars())
        return list(connection.execute(select(entry.c.key).where(entry.c.id.in_(last_ids))).scalars())


def delivered_keys(ledger: Ledger, entity: Entity) -> int:
    """Count the keys of *entity* that the API has, over all runs."""
    entry = schema.entry
    counted = (
        select(func.count(entry.c.key.distinct()))
        .select_from(schema.entry_and_batch)
        .where(entry.c.entity == entity, or_(schema.state_of_entry.in_(ARRIVED), entry.c.reason == ADOPTED))
    )
    with ledger.reading() as connection:
        return int(connection.execute(counted).scalar_one())


def delivered_events(ledger: Ledger, customers: Collection[str]) -> dict[str, int]:
    """Count the events of *customers* that the API accepted, over all runs."""
    return _count_events(ledger, customers, ARRIVED)


def open_events(ledger: Ledger, customers: Collection[str]) -> dict[str, int]:
    """Count the events of *customers* that were sent and may have arrived, over all runs."""
    return _count_events(ledger, customers, {*OUT, BatchState.REFUSED.value})


def delivered_after(
    ledger: Ledger, entity: Entity, moment: datetime, batch: int, *, batches: int = 3
) -> list[tuple[str, str]]:
    """
    Return keys and customers of the first *batches* of *entity* that were accepted, and packed and
    sent after *batch* at *moment*.

    Both, because stamps were once of workers' clocks, which may differ; batches have always been
    numbered by the database.
    """
    entry, table = schema.entry, schema.batch
    # What a read-back has confirmed since is as good a witness, and often the only one that is
    # left.
    arrived = or_(entry.c.state.is_(None), entry.c.state == State.CONFIRMED)
    first = (
        select(table.c.id)
        .where(
            table.c.entity == entity,
            table.c.state == BatchState.DELIVERED,
            table.c.sent_at > moment,
            table.c.id > batch,
            exists(select(entry.c.id).where(schema.of_its_batch, arrived).correlate(table)),
        )
        .order_by(table.c.sent_at)
        .limit(batches)
    )
    with ledger.reading() as connection:
        later = list(connection.execute(first).scalars())
        rows = connection.execute(
            select(entry.c.key, entry.c.customer)
            .select_from(table.join(entry, schema.of_its_batch))
            .where(table.c.id.in_(later), arrived)
            .order_by(entry.c.id)
        )
        return [(row.key, row.customer) for row in rows]


def _states_of_customers(customers: Sequence[str], dialect: str) -> Select[Any]:
    entry = schema.entry
    return (
        select(
            entry.c.key,
            schema.state_of_entry.label("is_state"),
            schema.reason_of_entry.label("is_reason"),
            entry.c.balance,
        )
        .select_from(schema.entry_and_batch)
        .where(entry.c.entity == Entity.CUSTOMERS, one_of(entry.c.key, customers, dialect), is_no_sighting())
        .order_by(entry.c.id)
    )


def _entries_of(entity: Entity, keys: Sequence[str], dialect: str) -> Select[Any]:
    entry = schema.entry
    return (
        select(
            entry.c.key,
            # as `Known` has them
            entry.c.id,
            entry.c.run,
            entry.c.slice,
            entry.c.customer,
            entry.c.occurrence,
            schema.state_of_entry.label("is_state"),
            schema.reason_of_entry.label("is_reason"),
            entry.c.content_hash,
            entry.c.balance,
            entry.c.batch,
            schema.batch.c.fence,
            schema.batch.c.sent_at,
            schema.batch.c.state.label("batch_state"),
            schema.batch.c.status,
        )
        .select_from(schema.entry_and_batch)
        .where(
            entry.c.entity == entity,
            one_of(entry.c.key, keys, dialect),
            is_no_sighting(),
        )
        .order_by(entry.c.id)
    )


def resent_events(ledger: Ledger, customers: Collection[str]) -> set[str]:
    """
    Return the *customers* of whom an event was sent again unproven, so that the API may count more
    than the ledger.
    """
    entry = schema.entry
    statement = (
        select(entry.c.customer)
        .where(
            entry.c.entity == Entity.EVENTS,
            entry.c.customer.in_(list(customers)),
            entry.c.reason == RESENT_UNPROVEN,
        )
        .distinct()
    )
    with ledger.reading() as connection:
        return set(connection.execute(statement).scalars())


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


def _count_events(ledger: Ledger, customers: Collection[str], states: Collection[str]) -> dict[str, int]:
    entry = schema.entry
    statement = (
        select(entry.c.customer, func.count().label("records"))
        .select_from(schema.entry_and_batch)
        .where(
            entry.c.entity == Entity.EVENTS,
            entry.c.customer.in_(list(customers)),
            schema.state_of_entry.in_(list(states)),
        )
        .group_by(entry.c.customer)
    )
    with ledger.reading() as connection:
        return {row.customer: row.records for row in connection.execute(statement)}


def _after(before: Parent | None, state: str, reason: str, points: str | None) -> Parent:
    """
    Return what is known of a customer with one more entry: the last that arrived, else one that may
    have, else the last.
    """
    if reason == ADOPTED:
        # The API has the balance that it got, whatever the row says since.
        was_sent = before is not None and before.state == State.DELIVERED and not before.is_adopted
        return before if before is not None and was_sent else Parent(State.DELIVERED, points, is_adopted=True)
    if state in ARRIVED:
        return Parent(State.DELIVERED, points)
    if before is not None and before.state in {State.DELIVERED, State.IN_DOUBT}:
        return before
    return Parent(State.IN_DOUBT if state in OUT else state)
