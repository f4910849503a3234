"""What can be judged apart: a record, or a customer's transactions together."""

from __future__ import annotations

from itertools import groupby

from masivo_engine.model.batches import Batch
from masivo_engine.model.rows import Entity, Record


Unit = list[Record]


def units(batch: Batch) -> list[Unit]:
    """Return what can be judged apart: single records, but a customer's transactions together."""
    if batch.entity is Entity.TRANSACTIONS:
        return [list(group) for _, group in groupby(batch.records, key=lambda record: record.customer)]
    return [[record] for record in batch.records]
