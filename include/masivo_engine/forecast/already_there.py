"""
Whether the account has customers already that this ledger is about to bring there for the first
time.

An empty ledger knows of nothing that another one has sent, and would send all of it a second time.
So a plan that would bring more customers than the ledger has ever brought asks the API for a few of
them, spread over all; later runs ask nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import func, select

from masivo_engine.forecast.forecast import Forecast
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import rows_where
from masivo_engine.ledger.runs.decisions import released_count
from masivo_engine.ledger.verification.read_budget import Reads, usual_reads
from masivo_engine.model.batches import BatchState
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.planning.guards import Alarm, Guard
from masivo_engine.readback.shown import Reader, is_visible
from masivo_engine.readback.spread import some_of


_ASKED = 36
_LEAST_ANSWERED = 0.5  # of those asked for; one answer that says nothing is no reason to stop


def already_there(ledger: Ledger, made: Forecast, reader: Reader, limits: Limits) -> Iterator[Alarm]:
    """
    Yield an alarm where the account has some of those whom the forecast *made* would bring, or
    where that cannot be seen.
    """
    fresh = next((one.new for one in made.entities if one.entity is Entity.CUSTOMERS), None)
    if fresh is None or fresh.count <= _brought(ledger):
        return
    rows = rows_where(ledger, Entity.CUSTOMERS, schema.record.c.key, fresh.keys)
    was_sent = {row.key for row in rows if row.has_batch or row.out_batch or row.strays}
    asked = some_of([key for key in fresh.keys if key not in was_sent], _ASKED)
    reads = Reads(ledger, usual_reads(limits.per_hour))
    answers = [is_visible(reader.get_customer(key), key) if reads.take() else None for key in asked]
    there, answered = answers.count(True), len(answers) - answers.count(None)
    if there > released_count(ledger, Guard.ALREADY_THERE, Entity.CUSTOMERS):
        yield Alarm(
            Guard.ALREADY_THERE,
            Entity.CUSTOMERS,
            f"the account has {there:,} of {answered:,} customers already whom this ledger has never sent and is about"
            " to send: either another ledger has brought them there, which must then be used, because with this one"
            " everything goes a second time; or somebody else has, and mapping_change 'adopt' lets every row count as"
            " delivered",
            there,
        )
    elif answered < len(asked) * _LEAST_ANSWERED:
        yield Alarm(
            Guard.ALREADY_THERE,
            Entity.CUSTOMERS,
            "cannot look whether the account has the customers already whom this ledger would send for the first time:"
            f" the API answered for {answered:,} of {len(asked):,}, or the reads of the day are used up; try again"
            " later",
        )


def _brought(ledger: Ledger) -> int:
    """
    Return how many customers were delivered, counted by batch; who was delivered twice counts
    twice.
    """
    batch = schema.batch
    carried = select(func.coalesce(func.sum(batch.c.records), 0)).where(
        batch.c.entity == Entity.CUSTOMERS, batch.c.state == BatchState.DELIVERED
    )
    with ledger.reading() as connection:
        return int(connection.execute(carried).scalar_one())
