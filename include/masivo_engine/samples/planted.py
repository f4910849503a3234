"""
What was planted in a sample database, and the exact account that a correct migration must give of
it.

Every row of the three entities has one expected outcome: the code of `masivo_engine.model.reasons`
that it must end with, or `GOES` for a row that must be sent. A test demands that a run's account
equals `Planted.outcomes`, row for row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity


GOES = ""


@dataclass(frozen=True, slots=True)
class Kind:
    """
    One kind of planted row: *keys* are those of the rows concerned, in key order, with an empty
    text for a missing key.

    *reason* is the code that each of them must end with, `GOES` for an oddity that is no fault;
    *column* is the alias that the rejection must name, empty where no single column is at fault.
    """

    name: str
    entity: Entity
    reason: str
    column: str
    meaning: str
    keys: tuple[str, ...]

    @property
    def rows(self) -> int:
        """How many rows of this kind there are."""
        return len(self.keys)


@dataclass(frozen=True, slots=True)
class Planted:
    """
    The faults in a database of *customers* members built from *seed* on *dialect*, and what must
    come of every row.

    *outcomes* is by entity and reason code, `GOES` for the rows that must be sent; per entity it
    adds up to all rows.
    """

    seed: int
    customers: int
    dialect: str
    kinds: Mapping[str, Kind]
    outcomes: Mapping[Entity, Mapping[str, int]]

    def rows(self, entity: Entity) -> int:
        """How many rows of *entity* the mapping `sample` reads."""
        return sum(self.outcomes[entity].values())

    def describe(self) -> list[str]:
        """Say what was planted and what must come of it, in lines for people."""
        lines = [f"planted in {self.customers:,} members (seed {self.seed}, {self.dialect}):"]
        for kind in self.kinds.values():
            fate = "goes" if kind.reason == GOES else f"{REASONS[kind.reason].state}, {kind.reason}"
            where = f" ({kind.column})" if kind.column else ""
            lines.append(f"  {kind.rows:>6,} {kind.entity:<12}  {kind.meaning}: {fate}{where}")
        lines.append("so the account must say:")
        for entity, outcomes in self.outcomes.items():
            lines.append(f"  {self.rows(entity):>6,} {entity:<12}  of which {outcomes.get(GOES, 0):,} go")
            lines += [
                f"  {count:>6,} {'':<12}  {reason}" for reason, count in sorted(outcomes.items()) if reason != GOES
            ]
        return lines
