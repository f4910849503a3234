"""
A mapping that changed: what it makes of rows that were delivered, and what the operator wants done
about it.

A change of the SQL can change every record, and only a person knows whether the old ones were
wrong. A run with another mapping than the entity was worked off with reads everything once. Its
plan counts the rows that the API has and that read otherwise now although they did not change, and
keys that are others now (`masivo_engine.planning.guards`); where there are any it stops, and the
operator chooses.
"""

from __future__ import annotations

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.coverage import hashes_since
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import RunPolicies


ASK, SEND_ALL, FROM_NOW_ON, ADOPT = "ask", "send_all", "from_now_on", "adopt"
CHOICES = (ASK, SEND_ALL, FROM_NOW_ON, ADOPT)
SETTLES = frozenset({FROM_NOW_ON, ADOPT})  # without sending: they are typed a second time, into confirm


def policies_of(choice: str) -> RunPolicies:
    """Return what one run does otherwise because a person made that *choice*."""
    return RunPolicies(adopts=choice == ADOPT, adopts_remade=choice == FROM_NOW_ON)


def is_remapped(ledger: Ledger, mapping: Mapping, entity: Entity) -> bool:
    """
    Whether *entity* was last worked off with other files than *mapping* has now, under its name or,
    where that is new, any.

    A run that was planned with these and did not get through has decided nothing: what it left
    would go on by another rule.
    """
    return bool(hashes_since(ledger, mapping.name, entity) - {mapping.content_hash})
