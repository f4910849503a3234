"""
The high-water mark: how far a ledger had come, remembered outside of it.

What an older copy has forgotten it would send a second time, and nothing inside it can tell that it
is one. So a mark is raised after every commit that comes before a request, and never lowered; a
ledger that is behind its mark is refused. Copies of one ledger share the mark.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Protocol, Self

from sqlalchemy import Connection, func, select

from masivo_engine.ledger import schema


class Memory(Protocol):
    """
    Where marks are kept; Airflow Variables are. Both methods raise `TryAgainLater` where that
    cannot be done now.
    """

    def read(self, name: str) -> str | None:
        """Return the text that is kept under *name*, None where it is known that there is none."""

    def write(self, name: str, text: str) -> None:
        """Keep *text* under *name*, in the place of what was there."""


@dataclass(frozen=True, slots=True)
class Mark:
    """
    The newest run and batch of a ledger, and how many requests it has begun.

    Batches are written down long before they are sent, so only the requests tell a copy that was
    made in between.
    """

    run: int = 0
    batch: int = 0
    requests: int = 0

    @classmethod
    def of(cls, connection: Connection) -> Self:
        """
        Return how far the ledger has come. None of the three ever falls: neither rows of runs nor
        of batches are deleted.
        """
        run, batch = schema.run, schema.batch
        found = connection.execute(
            select(
                select(func.coalesce(func.max(run.c.id), 0)).scalar_subquery(),
                select(func.coalesce(func.max(batch.c.id), 0)).scalar_subquery(),
                select(func.coalesce(func.sum(batch.c.requests), 0)).scalar_subquery(),
            )
        ).one()
        return cls(*map(int, found))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read a mark as `as_text` writes it; raises `ValueError`."""
        found = json.loads(text)
        try:
            return cls(*(int(found[name]) for name in ("run", "batch", "requests")))
        except (KeyError, TypeError) as error:
            raise ValueError(text) from error

    def as_text(self) -> str:
        """Write it as JSON."""
        return json.dumps(asdict(self))

    def is_behind(self, other: Mark) -> bool:
        """Whether something that *other* has seen is missing here."""
        return self.run < other.run or self.batch < other.batch or self.requests < other.requests

    def __str__(self) -> str:
        return f"run {self.run}, batch {self.batch}, {self.requests:,} requests"
