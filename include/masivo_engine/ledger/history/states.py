"""
What states of entries mean together: what the API has, what may have arrived, and what says nothing
new of a row.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_

from masivo_engine.ledger import schema
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import State


ARRIVED = frozenset({State.DELIVERED.value, State.CONFIRMED.value})
OUT = frozenset({State.IN_DOUBT.value, BatchState.SENDING.value})
ADOPTED = "adopted"
_NO_SIGHTINGS = tuple(state.value for state in State if state not in {State.UNCHANGED, State.SUPERSEDED})


def is_no_sighting() -> ColumnElement[bool]:
    """
    Whether an entry is more than unchanged or superseded; asked so that an index with state and
    reason answers it, on PostgreSQL too.
    """
    entry = schema.entry
    return or_(entry.c.state.is_(None), entry.c.state.in_(_NO_SIGHTINGS), entry.c.reason == ADOPTED)
