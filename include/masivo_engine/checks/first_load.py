"""
What a first load would make of the rows that are looked at: judged by the stations that judge them
in a run, against a ledger that knows nothing yet.

So the check cannot call sound what the run leaves, or the other way round: there is one judge.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from masivo_engine.forecast.projection import Projection
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import AS_USUAL
from masivo_engine.source.reader import Source
from masivo_engine.triage.triage import Decisions, Triage


_RUN = 1


@dataclass(slots=True)
class FirstLoad:
    """
    The judges of a first load, entity by entity, parents first.

    *end* is the first customer whose rows are not looked at, None where all are. *owners* are the
    customers who will have points, and of whom no transaction has been met.
    """

    projection: Projection
    limits: Limits
    end: Any = None
    owners: set[str] = field(default_factory=set)

    def triage(self, source: Source, twins: Mapping[str, int]) -> Triage:
        """Return the judge of the rows of *source*, of which *twins* are places of several rows."""
        decided = Decisions.of(source.entity, source.policies, AS_USUAL, "replace")
        return Triage(source.entity, self.projection, source, self.limits, decided, run=_RUN, number=1, twins=twins)

    def reaches(self, source: Source) -> bool:
        """Whether the rows of *source* can be cut where those of the customers were."""
        return self.end is None or source.entity is Entity.CUSTOMERS or type(source.an_owner) is type(self.end)


@contextmanager
def first_load(limits: Limits) -> Iterator[FirstLoad]:
    """Open a ledger that knows nothing; it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="masivo-check-") as folder:
        engine = create_engine(f"sqlite:///{Path(folder) / 'ledger.sqlite'}")
        try:
            ledger = Ledger(engine, "the check")
            ledger.prepare()
            with Projection.of(ledger, _RUN) as projection:
                yield FirstLoad(projection, limits)
        finally:
            engine.dispose()
