"""
What a person releases: rows that wait in the ledger, chosen by reason, key, run or customer, are
read again from the source and judged anew.

The newest row counts, and the old entry becomes ``superseded``. Rows that were adopted do not wait:
released by that reason, and the word typed again, they count as not delivered, wait from then on,
and are sent. Rows in doubt are another matter: the API may have them, so a person must say, and
type it again, that they arrived (nothing is sent) or that they did not (they wait from then on, and
are sent again). Points that are sent twice count twice, so transactions are read back even then,
and stay in doubt unless the API shows none of them in any year. Every release is in the ledger with
who and when.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.history.states import ADOPTED, ARRIVED, OUT
from masivo_engine.ledger.runs import decisions
from masivo_engine.ledger.runs.coverage import add_selected
from masivo_engine.ledger.runs.runs import Run
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.writing.takeover import note_settled
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Covers, Mode, RunKind, Window
from masivo_engine.planning.slices import rows_per_slice
from masivo_engine.sql import portions


LEAVE, DELIVERED, SEND_AGAIN = "leave", "delivered", "send_again"
IN_DOUBT = (LEAVE, DELIVERED, SEND_AGAIN)
_WAITS = (State.HELD.value, State.QUARANTINED.value)
RELEASABLE = tuple(
    code
    for code, reason in REASONS.items()
    if reason.state in {State.QUARANTINED, State.HELD, State.IN_DOUBT} or code == ADOPTED
)
_TAKES_MORE = "transactions_already_migrated"


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    What a person chose to release; each of the filters narrows, an empty one does not. *run* is a
    run's number in the ledger.
    """

    entities: tuple[Entity, ...]
    reasons: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    run: int | None = None
    in_doubt: str = LEAVE

    def __str__(self) -> str:
        parts = [
            f"reasons {', '.join(self.reasons)}" if self.reasons else "",
            f"{len(self.keys)} named keys" if self.keys else "",
            f"{len(self.customers)} named customers" if self.customers else "",
            f"run {self.run}" if self.run is not None else "",
            f"in doubt: {self.in_doubt}" if self.in_doubt != LEAVE else "",
        ]
        return "; ".join(filter(None, parts))

    def covers(self) -> Covers:
        """Return what the run covers: what is chosen, with policies out of the way."""
        mode = Mode.RELEASE_MORE if _TAKES_MORE in self.reasons else Mode.RELEASE
        if self.in_doubt == SEND_AGAIN and Entity.TRANSACTIONS in self.entities:
            mode = Mode.RELEASE_LOST
        return Covers(RunKind.REPLAY, dict.fromkeys(self.entities, Window(keys=())), mode)

    def refuse_nonsense(self, confirmed: str) -> None:
        """
        Raise `Misconfigured` where nothing is chosen, or where what may be there already was not
        *confirmed* or is not allowed.
        """
        if not (self.reasons or self.keys or self.customers or self.run is not None):
            raise Misconfigured(
                "nothing is chosen: name reasons, keys, customer_ids or a run; the account lists what waits and why"
            )
        unknown = [reason for reason in self.reasons if reason not in REASONS]
        if unknown:
            raise Misconfigured(f"there is no reason {unknown[0]!r}; the account lists those that there are")
        typed = confirmed.replace(",", " ").split()
        if ADOPTED in self.reasons and ADOPTED not in typed:
            raise Misconfigured(
                f"type {ADOPTED!r} into confirm as well: a person stated that the API has these rows, and points that"
                " it has are there twice once they are sent; nothing was sent"
            )
        if self.in_doubt == LEAVE:
            return
        if self.in_doubt not in typed:
            raise Misconfigured(f"type {self.in_doubt!r} into confirm as well: what is in doubt may have arrived")
        if self.in_doubt == SEND_AGAIN and Entity.TRANSACTIONS in self.entities and _TAKES_MORE in self.reasons:
            raise Misconfigured(
                f"send_again for transactions in doubt does not go together with {_TAKES_MORE}: make two runs of it"
            )


@dataclass(frozen=True, slots=True)
class Released:
    """
    What was released of one entity: *settled* entries in doubt, and *rows* (of transactions:
    customers) that are read again.
    """

    entity: Entity
    settled: int
    rows: int

    def __str__(self) -> str:
        return f"{self.entity}: {self.settled:,} in doubt settled, {self.rows:,} to be read again"


def release(ledger: Ledger, run: Run, chosen: Chosen, limits: Limits, *, by: str) -> list[Released]:
    """
    Settle and select what is *chosen* for *run*, and enter who released it; safe to be done again.
    """
    made = []
    for entity in chosen.entities:
        doubtful = _in_doubt(ledger, run.number, entity, chosen) if chosen.in_doubt != LEAVE else []
        keys = {row[1] for row in doubtful} if chosen.in_doubt == SEND_AGAIN else set()
        keys |= _waiting(ledger, run.number, entity, chosen)
        adopted = _adopted(ledger, run.number, entity, chosen) if ADOPTED in chosen.reasons else []
        keys |= {row[1] for row in adopted}
        keys.discard("")
        most = rows_per_slice(entity, limits)
        # Before the doubts are settled: a try that dies in between finds the selection, and settles
        # again.
        add_selected(ledger, run.number, entity, [(some, len(some)) for some in portions(sorted(keys), most=most)])
        _give_up(ledger, [row[0] for row in adopted])
        if not (entity is Entity.TRANSACTIONS and chosen.in_doubt == SEND_AGAIN):  # the slice reads those back first
            _settle(ledger, [row[0] for row in doubtful], chosen.in_doubt)
        if doubtful or keys:
            about, records = str(chosen), max(len(doubtful), len(keys))
            action = "release" if chosen.in_doubt == LEAVE else chosen.in_doubt
            decisions.enter(ledger, run.number, action, by, entity=entity, about=about, records=records)
        made.append(Released(entity, len(doubtful), len(keys)))
    return made


def _waiting(ledger: Ledger, before: int, entity: Entity, chosen: Chosen) -> set[str]:
    entry = schema.entry
    read = entry.c.customer if entity is Entity.TRANSACTIONS else entry.c.key
    found: set[str] = set()
    for some in _narrowed(chosen):
        waits = (entry.c.state.in_(_WAITS), schema.is_open)
        statement = select(read).where(entry.c.entity == entity, entry.c.run < before, *waits, *some)
        if chosen.reasons:
            statement = statement.where(entry.c.reason.in_(chosen.reasons))
        with ledger.reading() as connection:
            found.update(connection.execute(statement).scalars())  # a set anyhow; DISTINCT would cost the index
    return found


def _adopted(ledger: Ledger, before: int, entity: Entity, chosen: Chosen) -> list[tuple[int, str]]:
    """
    Return the entries that are *chosen* and adopted, each with what is read of it; not what has
    been sent since.
    """
    entry, since, carried = schema.entry, schema.entry.alias("since"), schema.batch.alias("carried")
    read = entry.c.customer if entity is Entity.TRANSACTIONS else entry.c.key
    went = func.coalesce(since.c.state, carried.c.state).in_([*ARRIVED, *OUT])
    sent_since = (
        select(since.c.id)
        .select_from(since.outerjoin(carried, since.c.batch == carried.c.id))
        .where(since.c.entity == entity, since.c.key == entry.c.key, since.c.id > entry.c.id, went)
        .correlate(entry)
    )
    found: list[tuple[int, str]] = []
    for some in _narrowed(chosen):
        statement = select(entry.c.id, read.label("read")).where(
            entry.c.entity == entity,
            entry.c.run < before,
            entry.c.state == State.UNCHANGED,
            entry.c.reason == ADOPTED,
            ~exists(sent_since),
            *some,
        )
        with ledger.reading() as connection:
            found += [(row.id, row.read) for row in connection.execute(statement)]
    return found


def _give_up(ledger: Ledger, entries: Sequence[int]) -> None:
    """
    Let adopted *entries* count as not delivered: they wait until they are sent, whatever becomes of
    this run.
    """
    entry = schema.entry
    with ledger.engine.begin() as connection:
        for some in portions(entries, most=10_000):
            mine = (entry.c.id.in_(some), entry.c.state == State.UNCHANGED, entry.c.reason == ADOPTED)
            connection.execute(update(entry).where(*mine).values(state=State.HELD, reason="released"))


def _in_doubt(ledger: Ledger, before: int, entity: Entity, chosen: Chosen) -> list[tuple[int, str]]:
    entry, batch = schema.entry, schema.batch
    asked = select(entry.c.id, entry.c.customer if entity is Entity.TRANSACTIONS else entry.c.key.label("key"))
    by_own_state = asked.select_from(schema.entry_and_batch).where(
        entry.c.entity == entity, entry.c.run < before, entry.c.state == State.IN_DOUBT, schema.is_open
    )
    by_batch = asked.select_from(schema.batch_and_its_entries).where(
        batch.c.entity == entity, batch.c.run < before, batch.c.state == BatchState.IN_DOUBT
    )
    found: list[tuple[int, str]] = []
    for some in _narrowed(chosen):
        for doubtful in (by_own_state, by_batch):
            statement = doubtful.where(*some)
            if chosen.reasons:
                statement = statement.where(schema.reason_of_entry.in_(chosen.reasons))
            with ledger.reading() as connection:
                found += [(row[0], row[1]) for row in connection.execute(statement) if row[0] is not None]
    return found


def _narrowed(chosen: Chosen) -> list[list[ColumnElement[bool]]]:
    """Return the conditions for each portion of names, as many as a statement may have."""
    entry = schema.entry
    conditions: list[ColumnElement[bool]] = [] if chosen.run is None else [entry.c.run == chosen.run]
    named: list[list[ColumnElement[bool]]] = [conditions]
    for column, names in ((entry.c.key, chosen.keys), (entry.c.customer, chosen.customers)):
        if names:
            named = [[*some, column.in_(part)] for some in named for part in portions(names, most=10_000)]
    return named


def _settle(ledger: Ledger, entries: Sequence[int], how: str) -> None:
    entry, batch = schema.entry, schema.batch
    # What was said not to have arrived waits until it is sent, whatever becomes of this run.
    values: dict[str, Any] = (
        {"state": State.DELIVERED, "reason": "settled_by_person"}
        if how == DELIVERED
        else {"state": State.HELD, "reason": "released"}
    )
    doubtful = select(batch.c.id).where(batch.c.state == BatchState.IN_DOUBT)
    # A run may have read one back since it was looked for.
    is_in_doubt = or_(entry.c.state == State.IN_DOUBT, and_(entry.c.state.is_(None), entry.c.batch.in_(doubtful)))
    with ledger.engine.begin() as connection:
        for some in portions(entries, most=10_000):
            mine = entry.c.id.in_(some)
            connection.execute(update(entry).where(mine, is_in_doubt).values(values))
            if how == DELIVERED:
                note_settled(connection, mine)
