"""Keys that several rows of the source have, as the plan of a run counted them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, insert, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.rows import Entity


def keep_twins(ledger: Ledger, run: int, entity: Entity, twins: Iterable[tuple[str, int]]) -> None:
    """Keep *twins*, places with their number of rows, in the place of what an earlier try kept."""
    table = schema.twin
    rows = [{"run": run, "entity": entity, "place": place, "rows": count} for place, count in twins]
    with ledger.engine.begin() as connection:
        connection.execute(delete(table).where(table.c.run == run, table.c.entity == entity))
        if rows:
            connection.execute(insert(table), rows)


def twins_of(ledger: Ledger, run: int, entity: Entity) -> dict[str, int]:
    """Return the places of *entity* that several rows have, with their number."""
    table = schema.twin
    with ledger.reading() as connection:
        found = connection.execute(
            select(table.c.place, table.c.rows).where(table.c.run == run, table.c.entity == entity)
        )
        return dict(row for row in found)
