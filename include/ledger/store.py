"""
Writing the ledger: runs, slices, batches and entries, in the order in which a slice is worked off.

`Ledger.claim` -> `enter` (rows that are not sent) and `pack` (a batch) -> `sending`, committed before the POST -> `receive`,
the receipt -> `finish`. Every write of a slice names its `Lease`; a try whose slice was claimed anew gets `Fenced` and must stop.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from include.errors import Fenced, LedgerError, TryAgainLater
from include.journey import Batch, BatchState, Entity, Record, Rejection, Slice, State
from include.ledger import rows, schema, sqlite
from include.ledger.bounds import as_bound
from include.ledger.clock import clock
from include.ledger.takeover import take_over
from include.ledger.turns import is_my_turn
from include.ledger.upgrade import cannot, check, empty, upgrade


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one try to work off one slice; *fence* grows with every try. *kept* are rows that earlier tries sent."""

    run: int
    entity: Entity
    slice: int
    fence: int
    kept: int = 0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the API's answer made of a batch. *status* is 0 where no status line came; *words* are fit to be kept."""

    state: BatchState
    status: int
    seconds: float
    words: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run: *number* in the ledger, *run_id* in Airflow; *covers* is the window as `include.selection` writes it."""

    number: int
    run_id: str
    mapping: str
    mapping_hash: str
    covers: str


@dataclass(frozen=True, slots=True)
class Entry:
    """Where one row ended, other than in a batch."""

    row: Record | Rejection
    state: State
    reason: str = ""
    column: str = ""
    shape: str = ""


class Ledger:
    """
    The ledger of one account.

    *account* is the fingerprint of the API account that the ledger is about; another account's is refused.
    """

    def __init__(self, engine: Engine, account: str) -> None:
        self.engine = engine
        self.account = account
        sqlite.prepare(engine)
        self._salt = b""

    def prepare(self) -> None:
        """Make the tables or bring them forward, and write down whose ledger it is. Raises `LedgerError`."""
        upgrade(self.engine)
        try:
            with self.engine.begin() as connection:
                # Also where nothing changes: a ledger that cannot be written must be found out before anything is sent.
                if not connection.execute(update(schema.ledger).values(id=schema.ledger.c.id)).rowcount:
                    connection.execute(
                        insert(schema.ledger).values(
                            id=1, account=self.account, salt=secrets.token_bytes(16), created_at=now()
                        )
                    )
        except IntegrityError:
            pass  # another task wrote the row first
        except SQLAlchemyError as error:
            raise LedgerError(cannot("be written", self.engine, error)) from error
        self.open()

    def open(self) -> None:
        """Check schema and owner. Raises `LedgerError`."""
        check(self.engine)
        with self.reading() as connection:
            found = connection.execute(select(schema.ledger.c.account, schema.ledger.c.salt)).first()
        if found is None:
            raise LedgerError(empty(self.engine))
        if self.account and found.account != self.account:
            msg = (
                "the ledger belongs to another account than the connection masivo_api: "
                "point masivo_ledger at this account's own database; nothing was sent"
            )
            raise LedgerError(msg)
        self.account = found.account
        self._salt = bytes(found.salt)

    def reading(self) -> Connection:
        """Open a connection that only reads, so that SQLite's readers do not wait for its writer."""
        return self.engine.connect().execution_options(reads_only=True)

    def digest(self, text: str) -> bytes:
        """Hash *text* with the ledger's own salt, so that personal data is compared and not kept."""
        return hashlib.blake2b(text.encode(), digest_size=16, key=self._salt).digest()

    def begin_run(
        self, run_id: str, *, mapping: str, mapping_hash: str, covers: str, kind: str = "", started_by: str = ""
    ) -> Run:
        """
        Enter a run, or find it where an earlier try of its first task did: what it covers must not move.

        *kind* is why it reads what it reads (`include.windows.RunKind`), *started_by* the person who triggered it, if one did.
        """
        with self.engine.begin() as connection:
            known = connection.execute(select(schema.run.c.id).where(schema.run.c.run_id == run_id)).first()
            if known is None:
                values = {"run_id": run_id, "mapping": mapping, "mapping_hash": mapping_hash, "covers": covers}
                values |= {"kind": kind, "started_by": started_by[:120]}
                connection.execute(insert(schema.run).values(started_at=now(), **values))
        return self.run(run_id)

    def has_run(self, run_id: str) -> bool:
        """Whether the run that Airflow calls *run_id* was entered."""
        with self.reading() as connection:
            return connection.execute(select(schema.run.c.id).where(schema.run.c.run_id == run_id)).first() is not None

    def newest_run(self) -> int:
        """Return the number of the newest run, 0 where there is none."""
        with self.reading() as connection:
            return int(connection.execute(select(func.max(schema.run.c.id))).scalar() or 0)

    def run(self, run_id: str) -> Run:
        """Return the run that Airflow calls *run_id*. Raises `LedgerError`."""
        with self.reading() as connection:
            found = connection.execute(select(schema.run).where(schema.run.c.run_id == run_id)).first()
        if found is None:
            msg = f"the ledger knows no run {run_id!r}"
            raise LedgerError(msg)
        return Run(found.id, found.run_id, found.mapping, found.mapping_hash, found.covers)

    def keep_plan(self, run: int, plan: str) -> None:
        """Keep what the plan of *run* foretold, as JSON."""
        with self.engine.begin() as connection:
            connection.execute(update(schema.run).where(schema.run.c.id == run).values(plan=plan))

    def slices(self, run: int, entity: Entity) -> list[Slice]:
        """Return the slices of *entity* in *run*, in order."""
        table = schema.part
        with self.reading() as connection:
            found = connection.execute(
                select(table).where(table.c.run == run, table.c.entity == entity).order_by(table.c.number)
            ).all()
        return [
            Slice(
                entity,
                row.number,
                row.of,
                as_bound(row.lower_bound),
                as_bound(row.upper_bound),
                row.planned_rows,
                row.selects,
            )
            for row in found
        ]

    def claim(self, run: int, entity: Entity, number: int, *, lease_s: float = 0.0) -> Lease | None:
        """
        Take a slice for this try; None where another run, silent for less than *lease_s*, works on the entity.

        What a dead try left as *being sent* becomes in doubt. Everything of the slice that was not sent is forgotten, to be read
        and judged again; what was sent stays, and is skipped. Tries of other runs that count as dead are fenced as well: if one lives
        all the same, it can neither send nor write any more.
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
                    started_at=now(),
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
        return Lease(run, entity, number, fence, kept)

    def enter(self, lease: Lease, entries: Sequence[Entry], outdated: Sequence[int] = ()) -> None:
        """Write *entries*, rows that are not sent now, and supersede the *outdated* entries of earlier runs."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._supersede(connection, outdated)
            if entries:
                connection.execute(
                    insert(schema.entry),
                    [
                        _place(lease) | rows.of_unsent(entry.row, entry.state, entry.reason, entry.column, entry.shape)
                        for entry in entries
                    ],
                )

    def pack(self, lease: Lease, batch: Batch, again: Collection[str] = ()) -> int:
        """
        Write *batch* and its entries, before its turn on the lane; return its id.

        Raises `TryAgainLater` where another slice of the run has one of the records. Keys in *again* have an entry of this slice already, in a batch that was refused or never arrived: it moves to this one.
        """
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._refuse_moved(connection, lease, batch)
            made = connection.execute(
                insert(schema.batch).values(
                    run=lease.run,
                    entity=lease.entity,
                    slice=lease.slice,
                    fence=lease.fence,
                    number=batch.number,
                    state=BatchState.PACKED,
                    records=len(batch.records),
                    customers=batch.customers,
                    bytes=len(batch.body),
                    body_hash=hashlib.blake2b(batch.body, digest_size=16).digest(),
                    packed_at=now(),
                )
            )
            batch_id = int((made.inserted_primary_key or (0,))[0])
            fresh = [record for record in batch.records if record.key not in again]
            if fresh:
                connection.execute(
                    insert(schema.entry), [_place(lease) | rows.of_batch(record, batch_id) for record in fresh]
                )
            moved = [record for record in batch.records if record.key in again]
            if moved:
                self._resend(connection, lease, moved, batch_id)
        return batch_id

    def sending(self, lease: Lease, batch_id: int) -> None:
        """Commit that the batch is being sent: the last write before its POST. Raises `Fenced`."""
        values = {"state": BatchState.SENDING, "sent_at": now(), "requests": schema.batch.c.requests + 1}
        with self.engine.begin() as connection:
            self._move(connection, lease, batch_id, BatchState.PACKED, **values)

    def not_sent(self, lease: Lease, batch_id: int, *, status: int, words: str) -> None:
        """Note that the request was provably not accepted: the batch may be sent again."""
        values = {"state": BatchState.PACKED, "status": status, "words": rows.kept(words, 500)}
        with self.engine.begin() as connection:
            self._move(connection, lease, batch_id, BatchState.SENDING, **values)

    def receive(self, lease: Lease, batch_id: int, receipt: Receipt) -> None:
        """
        Enter the receipt, and with it what every record of the batch has become.

        Records of a batch that was delivered or is in doubt have the batch's state; those of a refused one wait for their own.
        """
        with self.engine.begin() as connection:
            self._move(
                connection,
                lease,
                batch_id,
                BatchState.SENDING,
                state=receipt.state,
                reason=receipt.reason,
                status=receipt.status,
                seconds=receipt.seconds,
                words=rows.kept(receipt.words, 500),
                settled_at=now(),
            )

    def judge(self, lease: Lease, keys: Sequence[str], state: State, reason: str = "", shape: str = "") -> None:
        """Give the sent records of *keys* a state of their own, whatever their batch's is."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            self._change(connection, lease, keys, state=state, reason=reason, shape=rows.kept(shape, 250))

    def settle(self, lease: Lease, entries: Sequence[int], state: State) -> None:
        """Give *entries*, of whatever run, the state that a read-back has proved."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            connection.execute(update(schema.entry).where(schema.entry.c.id.in_(list(entries))).values(state=state))

    @property
    def refusals(self) -> str:
        """What was learned of the API's refusals: ``atomic``, ``partial``, or nothing yet."""
        with self.reading() as connection:
            return str(connection.execute(select(schema.ledger.c.refusals)).scalar_one())

    def learn(self, refusals: str) -> None:
        """Write down what a read-back has proved of the API's refusals, once for all."""
        with self.engine.begin() as connection:
            connection.execute(update(schema.ledger).values(refusals=refusals))

    def give_back(self, lease: Lease, batch_id: int, reason: str) -> None:
        """Hold the records of a packed batch that cannot be sent now; the next try of the slice judges them again."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            connection.execute(
                update(schema.batch)
                .where(schema.batch.c.id == batch_id, schema.batch.c.state == BatchState.PACKED)
                .values(state=BatchState.GIVEN_BACK, settled_at=now())
            )
            connection.execute(
                update(schema.entry).where(schema.entry.c.batch == batch_id).values(state=State.HELD, reason=reason)
            )

    def finish(self, lease: Lease, read_rows: int) -> None:
        """Enter how many rows the slice read, counted where they came out of the database."""
        with self.engine.begin() as connection:
            self._hold(connection, lease)
            connection.execute(update(schema.part).where(*_this(lease)).values(read_rows=read_rows, finished_at=now()))

    def finish_run(self, run: int, outcome: str) -> None:
        """Enter how the run ended, in a few words."""
        with self.engine.begin() as connection:
            connection.execute(
                update(schema.run).where(schema.run.c.id == run).values(finished_at=now(), outcome=outcome[:250])
            )

    def _supersede(self, connection: Connection, outdated: Iterable[int]) -> None:
        # One by one rather than by a list: a database takes only so many parameters in one statement.
        ids = [{"outdated": number} for number in outdated]
        if ids:
            this = schema.entry.c.id == bindparam("outdated")
            connection.execute(update(schema.entry).where(this).values(state=State.SUPERSEDED), ids)

    def _resend(self, connection: Connection, lease: Lease, records: Sequence[Record], batch_id: int) -> None:
        """Move the entries of *records* to another batch, with what is sent now: the row may have changed since."""
        entry = schema.entry
        mine = (entry.c.run == lease.run, entry.c.entity == lease.entity, entry.c.slice == lease.slice)
        this = (*mine, entry.c.key == bindparam("moved"), entry.c.batch.is_not(None))
        changed = ("batch", "state", "reason", "content_hash", "points", "balance")
        anew = [rows.of_batch(record, batch_id) for record in records]
        connection.execute(
            update(entry).where(*this).values({name: bindparam(f"new_{name}") for name in changed}),
            [{"moved": row["key"]} | {f"new_{name}": row[name] for name in changed} for row in anew],
        )

    def _change(self, connection: Connection, lease: Lease, keys: Sequence[str], **values: Any) -> None:
        entry = schema.entry
        mine = (entry.c.run == lease.run, entry.c.entity == lease.entity, entry.c.slice == lease.slice)
        connection.execute(
            update(entry).where(*mine, entry.c.key.in_(list(keys)), entry.c.batch.is_not(None)).values(**values)
        )

    def _move(self, connection: Connection, lease: Lease, batch_id: int, expected: BatchState, **values: Any) -> None:
        """Change a batch that is in the *expected* state and whose slice is still ours. Raises `Fenced`."""
        # Locking, not only looking: under READ COMMITTED a claim could slip in between a look and the write.
        self._hold(connection, lease)
        mine = (schema.batch.c.id == batch_id, schema.batch.c.state == expected)
        if connection.execute(update(schema.batch).where(*mine).values(**values)).rowcount != 1:
            raise Fenced(_lost(lease))

    def _hold(self, connection: Connection, lease: Lease) -> None:
        """Lock the slice for this transaction, if it is still ours, and show that its try lives."""
        mine = update(schema.part).where(*_this(lease), schema.part.c.fence == lease.fence)
        if connection.execute(mine.values(renewed_at=clock(connection.dialect.name))).rowcount != 1:
            raise Fenced(_lost(lease))

    def _refuse_moved(self, connection: Connection, lease: Lease, batch: Batch) -> None:
        """Refuse *batch* where another slice of the run sends one of its keys: the row got another customer between two readings."""
        entry = schema.entry
        connection.execute(select(schema.run.c.id).where(schema.run.c.id == lease.run).with_for_update())
        moved = connection.execute(
            select(entry.c.key)
            .where(
                entry.c.entity == lease.entity,
                entry.c.key.in_([record.key for record in batch.records]),
                entry.c.run == lease.run,
                entry.c.slice != lease.slice,
                entry.c.batch.is_not(None),
            )
            .limit(1)
        ).first()
        if moved is not None:
            raise TryAgainLater(
                f"a row of {lease.entity} moved to another customer while it was read; the slice is read again"
            )


def now() -> datetime:
    """Return the time for a stamp in the ledger: UTC without a zone. Nothing is decided by it."""
    return datetime.now(UTC).replace(tzinfo=None)


def _this(lease: Lease) -> tuple[Any, ...]:
    table = schema.part
    return (table.c.run == lease.run, table.c.entity == lease.entity, table.c.number == lease.slice)


def _lost(lease: Lease) -> str:
    return f"slice {lease.slice} of {lease.entity} was taken over by another try; this one stops and sends nothing more"


def _place(lease: Lease) -> dict[str, Any]:
    return {"run": lease.run, "entity": lease.entity, "slice": lease.slice}
