"""
What the ledger forgets: what nobody decides by any more.

==============  ================================================================================
sealed payload  of a row that is no longer quarantined
former state    that no batch belongs to (``masivo_history``), of a run that ended long ago
count of a key  that several rows had (``masivo_twin``), of such a run
==============  ================================================================================

Of a row that was ever sent nothing is forgotten, and the account of a run stays (``masivo_tally``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Table, delete, exists, select, tuple_

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import State
from masivo_engine.sql import MOST_KEYS, portions


AT_ONCE = 5_000  # rows of one transaction: a task that waits for the ledger waits no longer than that


@dataclass(frozen=True, slots=True)
class Pruned:
    """
    What was forgotten: sealed *payloads*, former *states* of rows, counts of *keys* that several
    rows had.
    """

    payloads: int
    states: int
    keys: int

    def __str__(self) -> str:
        return (
            f"{self.payloads:,} payloads of rows that are no longer quarantined, {self.states:,} former states of rows"
            f" and {self.keys:,} counts of keys are gone"
        )


def prune(ledger: Ledger, *, keep_days: int) -> Pruned:
    """
    Forget what is older than *keep_days*, a bounded transaction at a time; safe to be done again.

    Raises `Misconfigured` where *keep_days* is below 1.
    """
    if keep_days < 1:
        raise Misconfigured(f"keep-days {keep_days} would forget the run that is under way; give a number from 1")
    payload, history, twin, record = schema.payload, schema.history, schema.twin, schema.record
    is_needed = exists().where(
        record.c.entity == payload.c.entity, record.c.place == payload.c.place, record.c.state == State.QUARANTINED
    )
    return Pruned(
        _forget(ledger, payload, ~is_needed),
        _forget(ledger, history, history.c.batch.is_(None) & _is_old(history.c.until_run, keep_days)),
        _forget(ledger, twin, _is_old(twin.c.run, keep_days)),
    )


def _is_old(number: ColumnElement[int], keep_days: int) -> ColumnElement[bool]:
    """Whether the run *number* ended so long ago, and nothing of it is left to be worked off."""
    run, part = schema.run, schema.part
    unfinished = exists().where(part.c.run == run.c.id, part.c.finished_at.is_(None))
    ended = run.c.finished_at < now() - timedelta(days=keep_days)
    return number.in_(select(run.c.id).where(ended, ~unfinished))


def _forget(ledger: Ledger, table: Table, is_over: ColumnElement[bool]) -> int:
    """Delete the rows of *table* of which *is_over* is true, and return how many."""
    key = tuple(table.primary_key.columns)
    gone = 0
    with ledger.reading() as connection:
        options = {"stream_results": True, "max_row_buffer": AT_ONCE}
        for page in connection.execute(select(*key).where(is_over), execution_options=options).partitions(AT_ONCE):
            with ledger.engine.begin() as writing:
                for some in portions(page, most=MOST_KEYS):
                    mine = tuple_(*key).in_([tuple(row) for row in some])
                    gone += writing.execute(delete(table).where(mine, is_over)).rowcount
    return gone
