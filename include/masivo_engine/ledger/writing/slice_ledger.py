"""
The ledger as the try that holds a slice may write it, in the order in which a slice is worked off.

``claim`` -> ``see`` (what the rows of a page say now, and where they have ended) -> ``pack`` (a
batch, and what of its records is out) -> ``mark_sending``, committed before the POST ->
``enter_receipt``, which moves what is out to what the API has -> ``finish``. Every write names the
lease; a try whose slice was claimed anew gets `Fenced` and must stop.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Update,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.counts import is_of, probes
from masivo_engine.ledger.dialects import MANY_ROWS, clock, stamp
from masivo_engine.ledger.encoding import kept, worth_of
from masivo_engine.ledger.rows import Known, Rows, has_email, has_key
from masivo_engine.ledger.runs import tallies
from masivo_engine.ledger.runs.doubts import GIVEN_UP, SHOWN, arriving, changing, new_state
from masivo_engine.ledger.writing.bulk_insert import Same, add
from masivo_engine.ledger.writing.handles import handle_of
from masivo_engine.ledger.writing.leases import Lease, hold, is_my_turn
from masivo_engine.ledger.writing.sealed_payloads import keep
from masivo_engine.ledger.writing.takeover import take_over
from masivo_engine.model import ledger_capacity
from masivo_engine.model.batches import Batch, BatchState, Purpose, Receipt
from masivo_engine.model.errors import Fenced, Moved
from masivo_engine.model.judged import NOT_YET_SENT, REFUSED_IN_COMPANY, Judged
from masivo_engine.model.reasons import SENT_AGAIN
from masivo_engine.model.rows import Entity, Record, State
from masivo_engine.sql import at_once, one_of


_RECORD = schema.record
# Why a row is delivered that was not, as far as is known, before.
_SENT_AGAIN = case((_RECORD.c.strays > 0, SENT_AGAIN), else_="")


def claim(ledger: Ledger, run: int, entity: Entity, number: int, *, lease_s: float = 0.0) -> SliceLedger | None:
    """
    Take a slice for this try; None where another run, silent for less than *lease_s*, works on the
    entity.

    What a dead try left as *being sent* becomes in doubt; what it packed was not sent. Tries of
    other runs that count as dead are fenced as well: if one lives all the same, it can neither send
    nor write any more.
    """
    table = schema.part
    this = (table.c.run == run, table.c.entity == entity, table.c.number == number)
    with ledger.engine.begin() as connection:
        if not is_my_turn(connection, run, entity, lease_s=lease_s):
            return None
        tallies.reopen(connection, run, entity)
        connection.execute(
            update(table)
            .where(*this)
            .values(
                fence=table.c.fence + 1,
                started_at=stamp(connection),
                finished_at=None,
                read_rows=None,
                met_again=0,
                renewed_at=clock(connection.dialect.name),
            )
        )
        fence = connection.execute(select(table.c.fence).where(*this)).scalar_one()
        take_over(connection, run, entity, number)
        newest = connection.execute(select(func.max(schema.batch.c.id))).scalar() or 0
    return SliceLedger(ledger, Lease(run, entity, number, fence), newest)


class SliceLedger:
    """
    The ledger, as the holder of *lease* may write it. Every write raises `Fenced` once it is lost.

    *newest_batch*: there was none after it when the slice was claimed.
    """

    def __init__(self, ledger: Ledger, lease: Lease, newest_batch: int = 0) -> None:
        self.ledger = ledger
        self.lease = lease
        self._newest_batch = newest_batch
        self._entity = lease.entity

    def see(self, judged: Sequence[Judged], known: Mapping[str, Known]) -> None:
        """
        Write down what rows say now and where they have ended, and that this try has seen them.

        *known* is what the judging found of them in the ledger, by place. Raises `Moved` where
        another slice has written one of them since.
        """
        fresh: list[Judged] = []
        same: list[Known] = []
        changed: list[tuple[Judged, Known]] = []
        for one in judged:
            row = known.get(one.place)
            if row is None:
                fresh.append(one)
            elif self._is_same(one, row):
                same.append(row)
            else:
                changed.append((one, row))
        old = [*same, *(row for _, row in changed)]
        try:
            with self._held(many_rows=True) as connection:
                self._leave_to_their_runs(connection, old)
                if self._mark(connection, same) + self._rewrite(connection, changed) != len(old):
                    raise Moved(f"a row of {self._entity} was read by two slices at this moment")
                if fresh:
                    add(connection, _RECORD, self._columns(sorted(fresh, key=_where)))
                adopted = [one.place for one in judged if one.verdict.has_it]
                self._change(connection, adopted, self._adopted())
                self._keep_payloads(connection, judged)
        except IntegrityError:
            new = [one.place for one in fresh] + [one.place for one, row in changed if one.place != row.place]
            if not Rows(self.ledger).at(self._entity, new):
                raise  # the ledger refuses them for another reason, and will do so again
            raise Moved(f"a row of {self._entity} was read by two slices at this moment") from None

    def met_again(self, rows: int) -> None:
        """
        Note that *rows* came out of the cursors that another slice of the run has seen before.
        """
        table = schema.part
        with self._held() as connection:
            connection.execute(update(table).where(*self._this()).values(met_again=table.c.met_again + rows))

    def pack(self, batch: Batch, purpose: Purpose = Purpose.DELIVERY) -> int:
        """
        Write *batch* down, and that its records are out; return its id.

        All or nothing: each must be as this try has seen it, with nothing of it out. Raises `Moved`
        where one is not, or where its name for the API, its customer's transactions or its e-mail
        address are another row's meanwhile, or where a probe is under way already.
        """
        places = [record.place for record in batch.records]
        with self._held(many_rows=True) as connection:
            self._refuse_taken(connection, batch.records)
            if purpose is Purpose.PROBE and connection.execute(probes(self.lease.run)).first() is not None:
                raise Moved("another slice sends a changed customer again already, and one shows it for all")
            made = connection.execute(insert(schema.batch), self._packed(batch, purpose))
            batch_id = int((made.inserted_primary_key or (0,))[0])
            mine = (
                _RECORD.c.run == self.lease.run,
                _RECORD.c.slice == self.lease.slice,
                _RECORD.c.fence == self.lease.fence,
                _RECORD.c.out_batch.is_(None),
                _RECORD.c.hash.is_not(None),
            )
            values: dict[str, Any] = {"out_batch": batch_id} | {
                f"out_{name}": _RECORD.c[name] for name in schema.CONTENT
            }
            values |= {"state": State.HELD, "reason": NOT_YET_SENT}
            if self._change(connection, places, values, *mine) != len(places):
                raise Moved(f"a row of {self._entity} changed between reading and packing")
        return batch_id

    def mark_sending(self, batch_id: int) -> None:
        """Commit that the batch is being sent: the last write before its POST."""
        with self._held() as connection:
            # By the one clock of all workers: what was sent later can prove something of what was
            # sent before.
            at = stamp(connection)
            self._move(connection, batch_id, BatchState.PACKED, state=BatchState.SENDING, sent_at=at)

    def mark_not_sent(self, batch_id: int, *, status: int, words: str) -> None:
        """Note that the request was provably not accepted: the batch may be sent again."""
        values = {"state": BatchState.PACKED, "status": status, "words": kept(words, ledger_capacity.WORDS)}
        with self._held() as connection:
            self._move(connection, batch_id, BatchState.SENDING, **values)

    def enter_receipt(self, batch_id: int, receipt: Receipt) -> None:
        """
        Enter the receipt, and with it what every record of the batch has become.

        What was delivered is no longer out: the API has it. Of everything else nothing is proved
        yet, so it is in doubt: also where the API refused the request, and what it accepted where
        the receipt gives a *reason* to doubt that.
        """
        with self._held() as connection:
            self._move(
                connection,
                batch_id,
                BatchState.SENDING,
                state=receipt.state,
                reason=receipt.reason,
                status=receipt.status,
                seconds=receipt.seconds,
                words=kept(receipt.words, ledger_capacity.WORDS),
                settled_at=stamp(connection),
            )
            if receipt.state is BatchState.DELIVERED and not receipt.reason:
                statement = arriving(self.lease.run, _SENT_AGAIN, NOT_YET_SENT)
            else:
                reason = "refusal_unproven" if receipt.state is BatchState.REFUSED else receipt.reason
                statement = changing(new_state(self.lease.run, State.IN_DOUBT, reason))
            connection.execute(statement.where(_RECORD.c.out_batch == batch_id))

    def arrived(self, places: Sequence[str], batch_id: int) -> None:
        """Enter that a read-back has shown what *batch_id* carried of *places*, as it was sent."""
        with self._held() as connection:
            statement = arriving(self.lease.run, _SENT_AGAIN, NOT_YET_SENT, SHOWN)
            self._execute(connection, statement, places, _RECORD.c.out_batch == batch_id)

    def absent(self, places: Sequence[str], batch_id: int, *, was_refused: bool) -> None:
        """
        Enter that what *batch_id* carried of *places* has not arrived, so that it may be sent
        again.

        The API's own refusal and a read-back together settle that; until it has a verdict of its
        own it was refused in company, also if this try dies now. A request that was never answered
        may still come: it stays a stray.
        """
        state = (State.QUARANTINED, REFUSED_IN_COMPANY) if was_refused else (State.HELD, NOT_YET_SENT)
        settled = schema.NOTHING_OUT if was_refused else GIVEN_UP
        with self._held() as connection:
            values = settled | new_state(self.lease.run, *state)
            self._change(connection, places, values, _RECORD.c.out_batch == batch_id)

    def convict(self, records: Sequence[Record], batch_id: int | None, reason: str, shape: str, judged: bytes) -> None:
        """
        Quarantine *records*, which the API refused by themselves, and remember what it *judged*:
        their content, or that of their set. They are out in *batch_id*, or not any more.
        """
        state = new_state(self.lease.run, State.QUARANTINED, reason, shape=shape)
        with self._held() as connection:
            places = [record.place for record in records]
            is_it = _RECORD.c.out_batch.is_(None) if batch_id is None else _RECORD.c.out_batch == batch_id
            self._change(connection, places, schema.NOTHING_OUT | state | {"judged": judged}, is_it)
            if self.ledger.seal:
                keep(connection, self.ledger.seal, self._entity, records)

    def acquit(self, places: Sequence[str]) -> None:
        """
        Let rows be judged again that were convicted, because nothing shows that the fault is
        theirs.
        """
        with self._held() as connection:
            values = new_state(self.lease.run, State.HELD, "run_stopped") | {"judged": None}
            self._change(connection, places, values, _RECORD.c.state == State.QUARANTINED)

    def hold(self, places: Sequence[str], state: State, reason: str) -> None:
        """Give rows that are not out another *state*: they were to be sent, and are not."""
        with self._held() as connection:
            self._change(connection, places, new_state(self.lease.run, state, reason), _RECORD.c.out_batch.is_(None))

    def doubt(self, places: Sequence[str], reason: str) -> None:
        """Say of rows that are out why they stay in doubt."""
        with self._held() as connection:
            self._change(connection, places, new_state(self.lease.run, State.IN_DOUBT, reason), schema.is_out)

    def give_back(self, batch_id: int, reason: str) -> None:
        """
        Hold the records of a packed batch that cannot be sent now; one that was sent stays as it
        is.
        """
        table = schema.batch
        with self._held() as connection:
            this = (table.c.id == batch_id, table.c.state == BatchState.PACKED)
            values = {"state": BatchState.GIVEN_BACK, "settled_at": now()}
            if connection.execute(update(table).where(*this).values(values)).rowcount:
                values = schema.NOTHING_OUT | new_state(self.lease.run, State.HELD, reason)
                connection.execute(changing(values).where(_RECORD.c.out_batch == batch_id))

    def finish(self, rows: int) -> None:
        """
        Enter how many rows the slice read: *rows* that this try counted where they came out of the
        database, and those that only an earlier try met, whoever has seen them since.
        """
        part = schema.part
        with self._held() as connection:
            earlier = select(func.count()).where(
                _RECORD.c.run == self.lease.run,
                _RECORD.c.entity == self._entity,
                _RECORD.c.slice == self.lease.slice,
                _RECORD.c.fence < self.lease.fence,
            )
            left = select(func.count()).where(
                schema.left.c.run == self.lease.run,
                schema.left.c.entity == self._entity,
                schema.left.c.slice == self.lease.slice,
            )
            read = rows + sum(int(connection.execute(one).scalar_one()) for one in (earlier, left))
            connection.execute(update(part).where(*self._this()).values(read_rows=read, finished_at=now()))

    # What a row becomes.

    def _is_same(self, one: Judged, row: Known) -> bool:
        is_as_read = (
            one.place == row.place
            and _hash(one.row) == row.hash
            and one.row.customer == row.customer
            and one.row.key == row.key
            and one.row.owner == row.owner
            and one.row.changed == row.changed
            and (row.hash is not None or one.row.points == row.points)
        )
        return is_as_read and not one.verdict.has_it and not row.is_gone and self._is_as_judged(one, row)

    def _columns(self, judged: Sequence[Judged]) -> dict[str, Sequence[Any] | Same]:
        run = self.lease.run
        columns: dict[str, Sequence[Any] | Same] = {
            "entity": Same(self._entity),
            "home": [one.row.owner for one in judged],
            "place": [one.place for one in judged],
            "since_run": Same(run),
            "run": Same(run),
            "slice": Same(self.lease.slice),
            "fence": Same(self.lease.fence),
            "strays": Same(0),
        }
        return columns | self._now(judged)

    def _now(self, judged: Sequence[Judged]) -> dict[str, list[Any]]:
        """Return what rows say now and where they have ended, as columns."""
        records = [one.row if isinstance(one.row, Record) else None for one in judged]
        digest = self.ledger.digest
        return {
            "key": [one.row.key for one in judged],
            "customer": [one.row.customer for one in judged],
            "owner": [one.row.owner for one in judged],
            "changed": [one.row.changed for one in judged],
            "hash": [record and record.content_hash for record in records],
            "points": [one.row.points for one in judged],
            "worth": [record and worth_of(record) for record in records],
            "email": [digest(record.email) if record and record.email else None for record in records],
            "handle": [record and handle_of(record, digest) for record in records],
            "state": [_stored(one) for one in judged],
            "reason": [one.verdict.reason for one in judged],
            "column_name": [kept(one.verdict.column, ledger_capacity.COLUMN_NAME) for one in judged],
            "shape": [kept(one.verdict.shape, ledger_capacity.SHAPE) for one in judged],
        }

    def _mark(self, connection: Connection, rows: Sequence[Known]) -> int:
        """
        Note that rows were seen that are as they were; return how many, without those that another
        slice of the run has seen.
        """
        places = [row.place for row in rows]
        is_free = (_RECORD.c.run != self.lease.run) | (_RECORD.c.slice == self.lease.slice)
        return self._change(connection, places, self._seen(), is_free)

    def _rewrite(self, connection: Connection, changed: Sequence[tuple[Judged, Known]]) -> int:
        """Write rows anew, and what they were into their history; return how many, likewise."""
        if not changed:
            return 0
        self._remember(connection, [row for one, row in changed if self._is_news(one, row)])
        columns = self._now([one for one, _ in changed])
        run = self.lease.run
        rows = [
            {
                "this_home": row.home,
                "this_place": row.place,
                "this_run": run,
                "this_slice": self.lease.slice,
                "new_place": one.place,
                "new_since": row.since_run if self._is_as_judged(one, row) else run,
            }
            | {f"new_{name}": values[index] for name, values in columns.items()}
            | ({"new_reason": row.reason} if _stored(one) == row.state == State.DELIVERED else {})
            for index, (one, row) in enumerate(changed)
        ]
        return connection.execute(_rewriting(self._entity, tuple(columns)).values(self._seen()), rows).rowcount

    def _is_as_judged(self, one: Judged, row: Known) -> bool:
        is_still_there = _stored(one) == row.state == State.DELIVERED  # what is said of the delivery stays
        return is_still_there or (_stored(one), one.verdict.reason, one.verdict.column) == (
            row.state,
            row.reason,
            row.column_name,
        )

    def _is_news(self, one: Judged, row: Known) -> bool:
        is_other_content = (_hash(one.row), one.row.customer) != (row.hash, row.customer)
        return row.run != self.lease.run and (is_other_content or not self._is_as_judged(one, row))

    def _remember(self, connection: Connection, rows: Sequence[Known]) -> None:
        table = schema.history
        if rows:
            former = [
                {
                    "entity": self._entity,
                    "home": row.home,
                    "place": row.place,
                    "customer": row.customer,
                    "run": row.run,
                    "state": row.state,
                    "reason": row.reason,
                    "column_name": row.column_name,
                    "points": row.points,
                    "batch": row.out_batch or row.has_batch,
                    "until_run": self.lease.run,
                }
                for row in rows
            ]
            connection.execute(insert(table), former)

    def _leave_to_their_runs(self, connection: Connection, rows: Sequence[Known]) -> None:
        """
        Leave rows that this run sees now in the account of other runs that are under way, and take
        back those that others had from this one.
        """
        left, run, table, dialect = schema.left, self.lease.run, schema.run, connection.dialect.name
        others = {row.run for row in rows} - {run}
        if not others:
            return
        open_runs = select(table.c.id).where(table.c.id.in_(others), table.c.frozen_at.is_(None)).with_for_update()
        unfrozen = list(connection.execute(open_runs).scalars())
        mine = (left.c.run == run, left.c.entity == self._entity)
        has_left = connection.execute(select(left.c.run).where(*mine).limit(1)).first() is not None
        for some in at_once([row.place for row in rows if row.run != run], dialect):
            if has_left:
                connection.execute(delete(left).where(*mine, one_of(left.c.place, some, dialect)))
            if unfrozen:
                theirs = tallies.as_left().where(_RECORD.c.entity == self._entity, _RECORD.c.run.in_(unfrozen))
                these = theirs.where(one_of(_RECORD.c.place, some, dialect))
                connection.execute(insert(left).from_select(list(left.c.keys()), these))

    def _adopted(self) -> dict[str, Any]:
        values: dict[str, Any] = {f"has_{name}": _RECORD.c[name] for name in ("hash", "customer", "email")}
        # What was delivered before is what the API has of points, whatever the row says since.
        for name in ("points", "worth", "handle"):
            values[f"has_{name}"] = case(
                (_RECORD.c.has_batch.is_(None), _RECORD.c[name]), else_=_RECORD.c[f"has_{name}"]
            )
        return values | {"has_run": self.lease.run, "confirmed_at": None} | schema.NOTHING_OUT

    def _seen(self) -> dict[str, Any]:
        lease = self.lease
        return {"run": lease.run, "slice": lease.slice, "fence": lease.fence, "gone_run": None}

    def _packed(self, batch: Batch, purpose: Purpose) -> dict[str, Any]:
        lease = self.lease
        return {
            "run": lease.run,
            "entity": lease.entity,
            "slice": lease.slice,
            "number": batch.number,
            "state": BatchState.PACKED,
            "records": len(batch.records),
            "customers": batch.customers,
            "bytes": len(batch.body),
            "body_hash": hashlib.blake2b(batch.body, digest_size=16).digest(),
            "packed_at": now(),
            "purpose": purpose,
        }

    def _refuse_taken(self, connection: Connection, records: Sequence[Record]) -> None:
        """
        Refuse a batch where names, the customers' transactions, or their e-mail addresses are
        another row's since they were judged.

        The lock lets packers go one after the other.
        """
        connection.execute(select(schema.ledger.c.id).with_for_update())
        mine = {record.place for record in records}
        dialect = connection.dialect.name
        self._refuse_taken_names(connection, mine, {record.key for record in records})
        if self._entity is Entity.EVENTS:
            return
        if self._entity is Entity.CUSTOMERS:
            wanted: set[Any] = {self.ledger.digest(record.email) for record in records if record.email}
            # Whoever has an address already keeps it, also where others were said to have it as
            # well.
            own = one_of(_RECORD.c.place, sorted(mine), dialect) & (_RECORD.c.has_email == _RECORD.c.email)
            kept_ones = select(_RECORD.c.has_email).where(_RECORD.c.entity == self._entity, own)
            wanted -= {bytes(email) for email in connection.execute(kept_ones).scalars()}
            columns: list[Any] = [_RECORD.c.has_email, _RECORD.c.out_email]
            theirs: Iterable[ColumnElement[bool]] = has_email(sorted(wanted), dialect)
        else:
            wanted = {record.customer for record in records}
            named = one_of(_RECORD.c.customer, sorted(wanted), dialect)
            # What this slice itself has sent, and what others had sent before, its judging has
            # seen.
            is_since = (_RECORD.c.has_run == self.lease.run) & (_RECORD.c.has_batch > self._newest_batch)
            columns = [_RECORD.c.customer, _RECORD.c.out_customer]
            theirs = (
                is_of(_RECORD.c.out_customer, sorted(wanted), dialect) & schema.is_out,
                named & is_since & (_RECORD.c.slice != self.lease.slice),
            )
        for condition in theirs:
            found = select(_RECORD.c.place, *columns).where(_RECORD.c.entity == self._entity, condition)
            for place, *values in connection.execute(found):
                if place not in mine and not wanted.isdisjoint(values):
                    raise Moved(f"what a batch of {self._entity} was to carry is another row's meanwhile")

    def _refuse_taken_names(self, connection: Connection, mine: set[str], names: set[str]) -> None:
        dialect = connection.dialect.name
        for some in at_once(sorted(names), dialect):
            there = (_RECORD.c.entity == self._entity, schema.has_arrived | schema.is_out)
            columns = (_RECORD.c.place, _RECORD.c.key, _RECORD.c.has_customer, _RECORD.c.out_customer)
            found = [select(*columns).where(*there, these) for these in has_key(some, dialect)]
            # A customer that was sent under another name has none of these.
            had = [
                (place in mine and (self._entity is not Entity.CUSTOMERS or key in called), key)
                for one in found
                for place, key, *called in connection.execute(one)
            ]
            own, theirs = ({key for is_mine, key in had if is_mine is whose} for whose in (True, False))
            if not names.isdisjoint(theirs - own):
                raise Moved(f"the name of a row of {self._entity} is another row's meanwhile")

    def _keep_payloads(self, connection: Connection, judged: Sequence[Judged]) -> None:
        if self.ledger.seal:
            bad = [one.row for one in judged if one.verdict.state is State.QUARANTINED and isinstance(one.row, Record)]
            keep(connection, self.ledger.seal, self._entity, bad)

    # How it is written.

    @contextmanager
    def _held(self, *, many_rows: bool = False) -> Iterator[Connection]:
        """
        Open a transaction that has locked the slice, and shows that its try lives.

        It locks before anything else, and does not only look: under READ COMMITTED a claim could
        slip in between a look and the write.
        """
        engine = self.ledger.engine.execution_options(**{MANY_ROWS: True}) if many_rows else self.ledger.engine
        with engine.begin() as connection:
            if not hold(connection, self.lease):
                raise Fenced(self._lost())
            yield connection

    def _change(
        self,
        connection: Connection,
        places: Collection[str],
        values: Mapping[str, Any],
        *conditions: ColumnElement[bool],
    ) -> int:
        """Set *values* of the rows at *places* where *conditions* hold; return how many."""
        return self._execute(connection, changing(values), places, *conditions)

    def _execute(
        self, connection: Connection, statement: Update, places: Collection[str], *conditions: ColumnElement[bool]
    ) -> int:
        changed = 0
        for some in at_once(list(places), connection.dialect.name):
            these = one_of(_RECORD.c.place, some, connection.dialect.name)
            changed += connection.execute(
                statement.where(_RECORD.c.entity == self._entity, these, *conditions)
            ).rowcount
        return changed

    def _move(self, connection: Connection, batch_id: int, expected: BatchState, **values: Any) -> None:
        """Change a batch of the slice, which is held, and in the *expected* state."""
        this = {"of_batch": batch_id, "of_state": expected}
        new = {f"new_{name}": value for name, value in values.items()}
        if connection.execute(_moving(tuple(values)), this | new).rowcount != 1:
            raise Fenced(self._lost())

    def _this(self) -> tuple[Any, ...]:
        table, lease = schema.part, self.lease
        return (table.c.run == lease.run, table.c.entity == lease.entity, table.c.number == lease.slice)

    def _lost(self) -> str:
        return (
            f"slice {self.lease.slice} of {self._entity} was taken over by another try; this one stops and sends"
            " nothing more"
        )


def _hash(row: Any) -> bytes | None:
    return row.content_hash if isinstance(row, Record) else None


def _stored(one: Judged) -> str:
    """Return the state as it is written down: what is unchanged is what was delivered."""
    verdict = one.verdict
    return State.DELIVERED.value if verdict.state is State.UNCHANGED and not verdict.reason else verdict.state.value


def _where(one: Judged) -> tuple[str, str]:
    return one.row.owner, one.place


# These are run for every page or batch. Making them takes longer than running them, so each is made
# once.


@cache
def _rewriting(entity: str, names: tuple[str, ...]) -> Update:
    this = (
        _RECORD.c.entity == entity,
        _RECORD.c.home == bindparam("this_home"),
        _RECORD.c.place == bindparam("this_place"),
        (_RECORD.c.run != bindparam("this_run")) | (_RECORD.c.slice == bindparam("this_slice")),
    )
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in names}
    values |= {"place": bindparam("new_place"), "since_run": bindparam("new_since")}
    return update(_RECORD).where(*this).values(values)


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
