"""
Writing the ledger: runs, slices, batches and entries, in the order in which a slice is worked off.

`Ledger.claim` -> `enter` (rows that are not sent) and `pack` (a batch) -> `sending`, committed
before the POST -> `receive`, the receipt -> `finish`. Every write of a slice names its `Lease`; a
try whose slice was claimed anew gets `Fenced` and must stop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Update, and_, bindparam, delete, func, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now
from masivo_engine.ledger.dialects import MANY_ROWS, clock, stamp
from masivo_engine.ledger.writing import email_claims
from masivo_engine.ledger.writing import table_rows as rows
from masivo_engine.ledger.writing.bulk_insert import Same, add, at
from masivo_engine.ledger.writing.leases import Lease, has_other_runs, is_my_turn
from masivo_engine.ledger.runs.runs import Runs
from masivo_engine.ledger.writing.sealed_payloads import keep
from masivo_engine.ledger.writing.table_rows import move
from masivo_engine.ledger.writing.takeover import held_or_in_doubt, note_settled, settle_dead, take_over
from masivo_engine.model import ledger_capacity
from masivo_engine.model.batches import Batch, BatchState, Purpose, Receipt
from masivo_engine.model.errors import Fenced, Moved
from masivo_engine.model.rows import Entity, Entry, Record, Rejection, State
from masivo_engine.sql import at_once, one_of


class Ledger(Runs):
    """
    The ledger of one account.

    *account* is the fingerprint of the API account that the ledger is about; another account's is
    refused.
    """

    def claim(self, run: int, entity: Entity, number: int, *, lease_s: float = 0.0) -> Lease | None:
        """
        Take a slice for this try; None where another run, silent for less than *lease_s*, works on
        the entity.

        What a dead try left as *being sent* becomes in doubt. Everything of the slice that was not
        sent is forgotten, to be read and judged again; what was sent stays, and is skipped. Tries
        of other runs that count as dead are fenced as well: if one lives all the same, it can
        neither send nor write any more.
        """
        table = schema.part
        this = (table.c.run == run, table.c.entity == entity, table.c.number == number)
        with self.engine.begin() as connection:
            if not is_my_turn(connection, run, entity, lease_s=lease_s):
                return None
            connection.execute(
                update(table)
                .where(*this)
                .values(
                    fence=table.c.fence + 1,
                    started_at=stamp(connection),  # compared with when batches of other workers were settled
                    finished_at=None,
                    read_rows=None,
                    renewed_at=clock(connection.dialect.name),
                )
            )
            fence = connection.execute(select(table.c.fence).where(*this)).scalar_one()
            take_over(connection, run, entity, number, at=now())
            entry = schema.entry
            mine = (entry.c.run == run, entry.c.entity == entity, entry.c.slice == number)
            kept = connection.execute(select(func.count()).select_from(entry).where(*mine)).scalar_one()
            is_first_load = fence == 1 and not kept and not has_other_runs(connection, run, entity)
        return Lease(run, entity, number, fence, kept, is_first_load)

    def settle_dead(self, run: int, entity: Entity, *, lease_s: float) -> None:
        """
        Settle what tries of *entity*, of runs other than *run*, left behind that have been silent
        for *lease_s*.
        """
        with self.engine.begin() as connection:
            settle_dead(connection, run, entity, at=now(), lease_s=lease_s)

    def enter(self, lease: Lease, entries: Sequence[Entry], outdated: Sequence[int] = ()) -> None:
        """
        Write *entries*, rows that are not sent now, and supersede those of earlier runs that are
        *outdated* by them.
        """
        with self.engine.execution_options(**{MANY_ROWS: True}).begin() as connection:
            self._hold(connection, lease)
            self._supersede(connection, outdated)
            add(connection, _at(lease) | rows.of_unsent(sorted(entries, key=_key_of_entry)))
            self._keep(connection, lease, (one.row for one in entries if one.state is State.QUARANTINED))

    def pack(
        self,
        lease: Lease,
        batch: Batch,
        again: Collection[str] = (),
        *,
        unproven: Collection[str] = (),
        outdated: Sequence[int] = (),
        purpose: Purpose = Purpose.DELIVERY,
    ) -> int:
        """
        Write *batch* and its entries, before its turn on the lane; return its id.

        Raises `Moved` where another slice of the run has one of the records. Keys in *again* have
        an entry of this slice already, in a batch that was refused or never arrived: it moves to
        this one. Those in *unproven* may have arrived before: their entries say so, and stay in
        doubt if the batch is not sent; the batch supersedes the *outdated* entries of earlier runs.
        """
        return self.pack_together(lease, [batch], again, unproven=unproven, outdated=outdated, purpose=purpose)[0]

    def pack_together(
        self,
        lease: Lease,
        batches: Sequence[Batch],
        again: Collection[str] = (),
        *,
        unproven: Collection[str] = (),
        outdated: Sequence[int] = (),
        purpose: Purpose = Purpose.DELIVERY,
    ) -> list[int]:
        """
        Do what `pack` does with several *batches* in one transaction: all are written, or none is;
        return their ids.

        Keys come in no order, so every commit changes another page of their index for nearly each
        of its rows; many batches share them, and are written in the order of their keys.
        """
        ids = []
        with self.engine.execution_options(**{MANY_ROWS: True}).begin() as connection:
            self._hold(connection, lease)
            self._supersede(connection, outdated)
            # Until they are sent again, the moment before which they may have been.
            sent_at = stamp(connection) if unproven else None
            self._refuse_moved(connection, lease, [record.key for batch in batches for record in batch.records])
            new: list[tuple[str, int, Record]] = []
            for batch in batches:
                packed = rows.of_packed(lease, batch, purpose, at=now(), sent_at=sent_at)
                made = connection.execute(_PACKING, packed)
                batch_id = int((made.inserted_primary_key or (0,))[0])
                ids.append(batch_id)
                new += [(record.key, batch_id, record) for record in batch.records if record.key not in again]
                moved = [record for record in batch.records if record.key in again] if again else []
                if moved:
                    anew = rows.of_batch(moved, batch_id, unproven)
                    move(connection, _place(lease), [at(anew, position) for position in range(len(moved))])
            # By their keys, as `enter` does it too: neighbours in the index are written one after
            # the other.
            new.sort(key=itemgetter(0))
            entries = rows.of_batch([record for _, _, record in new], [number for _, number, _ in new], unproven)
            add(connection, _at(lease) | entries)
        return ids

    def unpack(self, lease: Lease, batch_ids: Sequence[int]) -> None:
        """
        Take back packed batches that are not to be sent as they are: what they carry is packed
        again, as sent before (`pack`, *again*).
        """
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._give_back(connection, batch_ids)

    def sending(self, lease: Lease, batch_id: int) -> None:
        """Commit that the batch is being sent: the last write before its POST. Raises `Fenced`."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            # By the one clock of all workers: what was sent later can prove something of what was
            # sent before.
            at = stamp(connection)
            self._move(connection, lease, batch_id, BatchState.PACKED, state=BatchState.SENDING, sent_at=at)

    def not_sent(self, lease: Lease, batch_id: int, *, status: int, words: str) -> None:
        """Note that the request was provably not accepted: the batch may be sent again."""
        values = {"state": BatchState.PACKED, "status": status, "words": rows.kept(words, ledger_capacity.WORDS)}
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._move(connection, lease, batch_id, BatchState.SENDING, **values)

    def receive(self, lease: Lease, batch_id: int, receipt: Receipt, records: Sequence[Record] = ()) -> None:
        """
        Enter the receipt, and with it what every record of the batch has become.

        Records of a batch that was delivered or is in doubt have the batch's state; those of a
        refused one wait for their own. Customers among *records*, those of the batch, let go what
        they claimed and do not have any more, if it was delivered.
        """
        with self.engine.begin() as connection:
            # Before the stamp, which others compare with the moment when this is committed: the
            # lock may be waited for.
            self._hold(connection, lease)
            self._move(
                connection,
                lease,
                batch_id,
                BatchState.SENDING,
                state=receipt.state,
                reason=receipt.reason,
                status=receipt.status,
                seconds=receipt.seconds,
                words=rows.kept(receipt.words, ledger_capacity.WORDS),
                settled_at=stamp(connection),
            )
            if receipt.state is BatchState.DELIVERED:
                self._let_go(connection, lease, records)

    def release(self, lease: Lease, delivered: Sequence[Record]) -> None:
        """
        Let customers who were proved to be *delivered* go of the addresses that they had claimed
        before.
        """
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._let_go(connection, lease, delivered)

    def judge(
        self,
        lease: Lease,
        keys: Sequence[str],
        state: State,
        reason: str = "",
        shape: str = "",
        *,
        records: Sequence[Record] = (),
    ) -> None:
        """
        Give the sent records of *keys* a state of their own, whatever their batch's is; *records*
        are they themselves.
        """
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._change(
                connection, lease, keys, state=state, reason=reason, shape=rows.kept(shape, ledger_capacity.SHAPE)
            )
            self._keep(connection, lease, records if state is State.QUARANTINED else ())

    def settle(self, lease: Lease, entries: Sequence[int], state: State, reason: str | None = None) -> None:
        """
        Give *entries*, of whatever run, the *state* that a read-back has proved, and with it a
        *reason*, or the one they have.
        """
        values = {"state": state} if reason is None else {"state": state, "reason": reason}
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            for some in at_once(entries, connection.dialect.name):
                these = schema.entry.c.id.in_(some)
                connection.execute(update(schema.entry).where(these).values(values))
                if state is State.DELIVERED:
                    note_settled(connection, these)

    @property
    def refusals(self) -> dict[tuple[Entity, int], str]:
        """
        What was learned of the API's refusals, by entity and status: ``atomic`` or ``partial``; of
        transactions nothing ever is.
        """
        with self.reading() as connection:
            rows = connection.execute(select(schema.refusal)).all()
            return {(Entity(entity), status): leaves for entity, status, leaves in rows}

    def learn(self, entity: Entity, status: int, leaves: str) -> None:
        """Write down what a read-back has proved of refusals of *entity* with *status*."""
        this = {"entity": entity, "status": status}
        with self.engine.begin() as connection:
            connection.execute(select(schema.ledger.c.id).with_for_update())  # another slice may learn as well
            connection.execute(delete(schema.refusal).filter_by(**this))
            connection.execute(insert(schema.refusal).values(leaves=leaves, **this))

    def give_back(self, lease: Lease, batch_ids: Sequence[int], reason: str) -> None:
        """
        Hold the records of packed batches that cannot be sent now; the next try of the slice judges
        them again.

        One of *batch_ids* that is being sent, or was, stays as it is; what may have arrived before
        is in doubt as before.
        """
        entry, batch = schema.entry, schema.batch
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._give_back(connection, batch_ids)
            unsent = select(batch.c.id).where(batch.c.id.in_(list(batch_ids)), batch.c.state == BatchState.GIVEN_BACK)
            connection.execute(
                update(entry).where(*_of_slice(lease), entry.c.batch.in_(unsent)).values(held_or_in_doubt(reason))
            )

    def finish(self, lease: Lease, read_rows: int, outdated: Sequence[int] = ()) -> None:
        """
        Enter how many rows the slice read, counted where they came out of the database.

        Supersedes the *outdated* entries of earlier runs, whose rows waited; they wait again if a
        later try forgets what followed them.
        """
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._supersede(connection, outdated)
            connection.execute(update(schema.part).where(*_this(lease)).values(read_rows=read_rows, finished_at=now()))

    def _give_back(self, connection: Connection, batch_ids: Sequence[int]) -> None:
        batch = schema.batch
        connection.execute(
            update(batch)
            .where(batch.c.id.in_(list(batch_ids)), batch.c.state == BatchState.PACKED)
            .values(state=BatchState.GIVEN_BACK, settled_at=now())
        )

    def _keep(self, connection: Connection, lease: Lease, quarantined: Iterable[Record | Rejection]) -> None:
        records = [row for row in quarantined if isinstance(row, Record)] if self._seal else []
        if self._seal and records:
            keep(connection, self._seal, _place(lease), records)

    def _supersede(self, connection: Connection, outdated: Sequence[int]) -> None:
        for some in at_once(outdated, connection.dialect.name):
            connection.execute(update(schema.entry).where(schema.entry.c.id.in_(some)).values(state=State.SUPERSEDED))

    def _let_go(self, connection: Connection, lease: Lease, records: Sequence[Record]) -> None:
        kept = {record.key: self.digest(record.email) for record in records if record.email}
        email_claims.release(connection, kept, run=lease.run, is_first_try=lease.fence == 1)

    def _change(self, connection: Connection, lease: Lease, keys: Sequence[str], **values: Any) -> None:
        entry = schema.entry
        beside = and_(schema.run_beside_key == lease.run, entry.c.entity == lease.entity, entry.c.slice == lease.slice)
        for some in at_once(keys, connection.dialect.name):
            these = and_(beside, entry.c.key.in_(some), entry.c.batch.is_not(None))
            connection.execute(update(entry).where(these).values(**values))
            if values["state"] is State.DELIVERED:
                note_settled(connection, these)

    def _move(self, connection: Connection, lease: Lease, batch_id: int, expected: BatchState, **values: Any) -> None:
        """
        Change a batch of the slice that is held (`_hold`) and in the *expected* state. Raises
        `Fenced`.
        """
        this = {"of_batch": batch_id, "of_state": expected}
        new = {f"new_{name}": value for name, value in values.items()}
        if connection.execute(_moving(tuple(values)), this | new).rowcount != 1:
            raise Fenced(_lost(lease))

    def _hold(self, connection: Connection, lease: Lease) -> None:
        """
        Lock the slice for this transaction, if it is still ours, and show that its try lives.
        Raises `Fenced`.
        """
        # Locking, not only looking: under READ COMMITTED a claim could slip in between a look and
        # the write.
        mine = {"of_run": lease.run, "of_entity": lease.entity, "of_slice": lease.slice, "of_fence": lease.fence}
        if connection.execute(_holding(connection.dialect.name), mine).rowcount != 1:
            raise Fenced(_lost(lease))

    def _refuse_moved(self, connection: Connection, lease: Lease, keys: Sequence[str]) -> None:
        """
        Refuse *keys* where another slice of the run sends one of them: the row got another customer
        between two readings.

        Of a first load, whose keys nobody has looked for before (`FirstLoad`), also where another
        slice only has read it.
        """
        entry = schema.entry
        connection.execute(select(schema.run.c.id).where(schema.run.c.id == lease.run).with_for_update())
        dialect = connection.dialect.name
        for some in at_once(keys, dialect):
            moved = (
                select(entry.c.key)
                .where(
                    entry.c.entity == lease.entity,
                    one_of(entry.c.key, some, dialect),
                    schema.run_beside_key == lease.run,
                    entry.c.slice != lease.slice,
                    *([] if lease.is_first_load else [entry.c.batch.is_not(None)]),
                )
                .limit(1)
            )
            if connection.execute(moved).first() is not None:
                what = (
                    "has the key of another slice's"
                    if lease.is_first_load
                    else "moved to another customer while it was read"
                )
                raise Moved(f"a row of {lease.entity} {what}; the slice is read again")


# These are run for every batch. Making them takes six times as long as running them, so each is
# made once.


@cache
def _holding(dialect: str) -> Update:
    """Return the statement that shows that the try of a slice lives, if the slice is its own."""
    part = schema.part
    return (
        update(part)
        .where(part.c.run == bindparam("of_run"), part.c.entity == bindparam("of_entity"))
        .where(part.c.number == bindparam("of_slice"), part.c.fence == bindparam("of_fence"))
        .values(renewed_at=clock(dialect))
    )


@cache
def _moving(names: tuple[str, ...]) -> Update:
    """
    Return the statement that changes the columns *names* of a batch that is in a certain state;
    with ``sent_at`` it counts the request.
    """
    batch = schema.batch
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    if "sent_at" in values:
        values["requests"] = batch.c.requests + 1
    return (
        update(batch).where(batch.c.id == bindparam("of_batch"), batch.c.state == bindparam("of_state")).values(values)
    )


_PACKING = insert(schema.batch)


def _key_of_entry(one: Entry) -> str:
    return one.row.key


def _this(lease: Lease) -> tuple[Any, ...]:
    table = schema.part
    return (table.c.run == lease.run, table.c.entity == lease.entity, table.c.number == lease.slice)


def _of_slice(lease: Lease) -> tuple[Any, ...]:
    entry = schema.entry
    return (entry.c.run == lease.run, entry.c.entity == lease.entity, entry.c.slice == lease.slice)


def _lost(lease: Lease) -> str:
    return f"slice {lease.slice} of {lease.entity} was taken over by another try; this one stops and sends nothing more"


def _at(lease: Lease) -> dict[str, Sequence[Any] | Same]:
    return {name: Same(value) for name, value in _place(lease).items()}


def _place(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "entity": lease.entity, "slice": lease.slice}
