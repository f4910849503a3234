"""
One lane for the account: the permission to send, in SQL, shared by every task, run and worker.

`Lane.turn` queues: it gives a place in time and waits until shortly before it. `Lane.start` is the
gate, passed right before the POST: whatever held its caller up since its turn, two requests are
never less than *interval* apart. Both take one short transaction on the database's own clock, and
hold no lock while they wait. The margin on top is for the way to the API; it grows when the API
answers 429 all the same, and shrinks slowly afterwards (docs/benchmarks.md). A 429 freezes the lane
for everybody.

Increments go before backfills: a backfill never queues behind others, so that an increment waits
for one of its requests at most, and takes one turn in five while increments want them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Engine, Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from masivo_engine.ledger import dialects, schema
from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.limits import HOUR_S, Limits


_MOST_MARGIN_S = 1.0
# A longer wait is waited for outside: a sleeping task would hold a worker's slot.
_LONGEST_WAIT_S = 600.0
# A batch that waits at the gate is *being sent*; whoever kills its task leaves it in doubt, so it
# steps back from a longer wait.
_LONGEST_AT_THE_GATE_S = 10.0
# The write-ahead takes milliseconds, and raising the ledger's mark, which is asked of Airflow's API
# server, about a tenth of a second; begun so much before their turn, at most a tenth of the
# interval, they take none of the lane.
_EARLY_S = 0.2
_STARTS_WRITTEN = 3  # where every commit is slow, the margin grows by the API's answers
_TURNS_BEFORE_BACKFILL = 4  # of increments, as long as they want them
_WANTED_FOR_TURNS = 3  # an increment that took a turn is taken to want more for so long


# What is run for every turn. Making a statement takes six times as long as running it, so each is
# made once.
_mine = schema.lane.c.account == bindparam("of_account")
_LOCKED = select(schema.lane).where(_mine).with_for_update()
_TAKEN = (
    update(schema.lane)
    .where(_mine)
    .values(
        next_at=bindparam("next"),
        margin_s=bindparam("margin"),
        turns_since_backfill=bindparam("turns"),
        increments_until=bindparam("wanted"),
    )
)
_STARTING = insert(schema.start)
_starts = schema.start.c.account == bindparam("of_account")
_STARTS = select(func.count(), func.min(schema.start.c.at)).where(_starts)
_STARTS_OVER = delete(schema.start).where(_starts, schema.start.c.at < bindparam("before"))


class Priority(StrEnum):
    """What a turn is for: news that people wait for, or the past, which can wait."""

    INCREMENT = "increment"
    BACKFILL = "backfill"


class Lane:
    """The lane of *account*; *sleep* is a parameter only so that tests need not wait."""

    def __init__(
        self,
        engine: Engine,
        account: str,
        limits: Limits,
        *,
        kind: Priority = Priority.INCREMENT,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        dialects.prepare(engine)
        self._engine = engine
        self._account = account
        self._limits = limits
        self._kind = kind
        self._sleep = sleep
        self._is_made = False
        self._mine = 0
        self._mine_at = 0.0

    def turn(self) -> float:
        """
        Wait until a turn is near and return the seconds waited; `start` waits for the rest.

        A lane that freezes meanwhile makes the waiter queue again, because its turn was given for a
        lane that ran. Raises `TryAgainLater` where the next turn is more than ten minutes away,
        which happens at the hourly cap and in a long freeze; no turn is used up then.
        """
        waited = 0.0
        self._made()
        while True:
            wait, at = self._take()
            if at is not None:
                self._mine_at = at
                wait -= min(_EARLY_S, self._limits.interval_s / 10)
            if wait > 0:
                self._sleep(wait)
                waited += wait
            if at is None:
                continue
            if wait <= 0 or self._is_open(at):
                return waited
            self._forget_turn()

    def start(self) -> bool:
        """
        Start at the turn, or as soon after it as the last start is long enough ago: to be called
        between the write-ahead and the POST.

        Committing the write-ahead takes a while, and never the same; without this, a slow one
        followed by a quick one would be too close. A start whose own commit took long is written
        again, because its POST comes later than it says. False where it takes too long for a batch
        that counts as being sent: it needs another turn.
        """
        for _ in range(_STARTS_WRITTEN):
            asked = time.monotonic()
            while (wait := self._pass()) > 0:
                if wait > _LONGEST_AT_THE_GATE_S + self._limits.interval_s:
                    self._forget_turn()
                    return False
                self._sleep(wait)
                asked = time.monotonic()
            if time.monotonic() - asked <= self._limits.margin_s / 2:
                break
        return True

    def freeze(self, seconds: float, *, too_fast: bool) -> None:
        """Let nobody send for *seconds*; widen the margin where the API found us *too_fast*."""
        table = schema.lane
        self._made()
        with self._engine.begin() as connection:
            row = self._locked(connection)
            until = max(row.frozen_until, dialects.now(connection) + seconds)
            margin = min(_MOST_MARGIN_S, max(row.margin_s, self._limits.margin_s) * 2) if too_fast else row.margin_s
            connection.execute(
                update(table).where(table.c.account == self._account).values(frozen_until=until, margin_s=margin)
            )

    def _take(self) -> tuple[float, float | None]:
        """
        Take the next free turn; return the seconds until it and its time on the database's clock,
        None if it is not ours to take.
        """
        with self._engine.begin() as connection:
            row = self._locked(connection)
            now = dialects.now(connection)
            free = self._hour_is_free(connection, now)
            at = max(now, row.next_at, row.frozen_until, free)
            if at - now > _LONGEST_WAIT_S:
                why = (
                    "the API asked everybody to wait" if row.frozen_until >= free else "the hour's requests are used up"
                )
                msg = (
                    f"{why}: the account's next request may start in {at - now:,.0f} s, and a later try sends the rest"
                )
                raise TryAgainLater(msg, at - now)
            margin = max(self._limits.margin_s, row.margin_s * 0.99) if self._limits.interval_s else 0.0
            apart = self._limits.interval_s + margin
            wait = self._to_let_others_pass(row, now, at, apart)
            if wait > 0:
                return wait, None
            is_increment = self._kind is Priority.INCREMENT
            values = {
                "of_account": self._account,
                "next": at + apart,
                "margin": margin,
                "turns": row.turns_since_backfill + 1 if is_increment else 0,
                "wanted": at + _WANTED_FOR_TURNS * apart if is_increment else row.increments_until,
            }
            connection.execute(_TAKEN, values)
            made = connection.execute(_STARTING, {"account": self._account, "at": at})
            self._mine = int((made.inserted_primary_key or (0,))[0])
        return at - now, at

    def _to_let_others_pass(self, row: Row[Any], now: float, at: float, apart: float) -> float:
        """
        Return the seconds until it makes sense for a backfill to ask again, 0 if it may take the
        turn *at*.
        """
        if self._kind is Priority.INCREMENT or not self._limits.interval_s:
            return 0.0
        if row.increments_until > now:
            return 0.0 if row.turns_since_backfill >= _TURNS_BEFORE_BACKFILL else apart
        return max(0.0, at - now - apart)

    def _pass(self) -> float:
        """
        Write down that the request starts now, and return 0, or the seconds to wait before asking
        again.
        """
        table, start = schema.lane, schema.start
        if not self._limits.interval_s:
            return 0.0
        with self._engine.begin() as connection:
            row = self._locked(connection)
            now = dialects.now(connection)
            others = (start.c.account == self._account, start.c.at <= now, start.c.id != self._mine)
            last = connection.execute(select(func.max(start.c.at)).where(*others)).scalar() or 0.0
            apart = self._limits.interval_s + row.margin_s
            free = max(last + apart, row.frozen_until, self._mine_at)
            if free > now:
                return float(free - now)
            connection.execute(update(start).where(start.c.id == self._mine).values(at=now))
            connection.execute(
                update(table)
                .where(table.c.account == self._account, table.c.next_at < now + apart)
                .values(next_at=now + apart)
            )
        return 0.0

    def _forget_turn(self) -> None:
        """Take back a turn that was not used: it must not count against the hour."""
        with self._engine.begin() as connection:
            connection.execute(delete(schema.start).where(schema.start.c.id == self._mine))

    def _hour_is_free(self, connection: Connection, now: float) -> float:
        """
        Return when one more start fits into the hourly cap, and forget starts older than an hour.
        """
        if not self._limits.per_hour:
            return now
        mine = {"of_account": self._account}
        hour_ago = now - HOUR_S - self._limits.margin_s
        count, oldest = connection.execute(_STARTS, mine).one()
        if count and oldest < hour_ago:
            connection.execute(_STARTS_OVER, mine | {"before": hour_ago})
            count, _ = connection.execute(_STARTS, mine).one()
        if count < self._limits.per_hour:
            return now
        recent = select(schema.start.c.at).where(schema.start.c.account == self._account)
        blocking = recent.order_by(schema.start.c.at.desc()).offset(self._limits.per_hour - 1).limit(1)
        return float(connection.execute(blocking).scalar_one()) + HOUR_S + self._limits.margin_s

    def _is_open(self, at: float) -> bool:
        table = schema.lane
        with self._engine.connect().execution_options(reads_only=True) as connection:
            frozen = connection.execute(
                select(table.c.frozen_until).where(table.c.account == self._account)
            ).scalar_one()
        return bool(frozen <= at)

    def _locked(self, connection: Connection) -> Row[Any]:
        return connection.execute(_LOCKED, {"of_account": self._account}).one()

    def _made(self) -> None:
        """
        Make the account's lane, if it is the first turn of all.

        In a transaction of its own: on MySQL two tasks that insert the same row and then lock it
        wait for each other.
        """
        if self._is_made:
            return
        table = schema.lane
        values = {"account": self._account, "next_at": 0.0, "frozen_until": 0.0, "margin_s": self._limits.margin_s}
        with self._engine.connect().execution_options(reads_only=True) as connection:
            self._is_made = (
                connection.execute(select(table).where(table.c.account == self._account)).first() is not None
            )
        if not self._is_made:
            with suppress(IntegrityError), self._engine.begin() as connection:
                connection.execute(insert(table).values(values))
            self._is_made = True
