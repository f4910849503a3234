"""
What the ledger knows of one customer: every row of it that any run read, and where each ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger


def trail(ledger: Ledger, customer: str, unseal: Callable[[bytes], str] | None = None) -> Iterator[str]:
    """
    Yield a line per row of *customer*, oldest first: run, entity, key, state, reason, receipt; with
    *unseal* what the ledger kept of it, too.
    """
    entry, batch, run, payload = schema.entry, schema.batch, schema.run, schema.payload
    statement = (
        select(
            run.c.run_id,
            entry.c.entity,
            entry.c.key,
            entry.c.column_name,
            entry.c.points,
            schema.state_of_entry.label("state"),
            schema.reason_of_entry.label("reason"),
            batch.c.id.label("batch"),
            batch.c.status,
            schema.sent_at_of_batch,
            payload.c.sealed,
        )
        .select_from(
            schema.entry_and_batch.join(run, run.c.id == entry.c.run).outerjoin(payload, payload.c.entry == entry.c.id)
        )
        .where(entry.c.customer == customer)
        .order_by(entry.c.id)
    )
    with ledger.reading() as connection:
        for row in connection.execute(statement):
            why = f" {row.reason}" if row.reason else ""
            where = f" ({row.column_name})" if row.column_name else ""
            receipt = f", batch {row.batch}" if row.batch else ""
            receipt += (
                f" sent {row.sent_at:%Y-%m-%d %H:%M:%S} UTC, answered {row.status or 'nothing'}" if row.sent_at else ""
            )
            points = f", {row.points:,.2f} points".replace(".00 ", " ") if row.points else ""
            yield f"{row.run_id}  {row.entity:<12} {row.key:<24} {row.state}{why}{where}{points}{receipt}"
            if unseal is not None and row.sealed is not None:
                yield f"    {unseal(bytes(row.sealed))}"
