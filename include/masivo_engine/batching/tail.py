"""
The last request of an entity in a run: one clean record, or a customer's smallest set.

Whatever was sent before it can be proved by it (`masivo_engine.readback.evidence`), and if it is
lost itself, it is only one.
"""

from __future__ import annotations

from collections.abc import Collection

from masivo_engine.batching.units import Unit
from masivo_engine.model.rows import Entity


class Tail:
    """Keeps one unit of a slice back for its end, where *is_needed*."""

    def __init__(self, entity: Entity, *, is_needed: bool) -> None:
        self._is_set = entity is Entity.TRANSACTIONS
        self._is_needed = is_needed
        self._kept: Unit | None = None

    def keep_back(self, units: list[Unit], touched: Collection[str]) -> list[Unit]:
        """
        Return *units* without the one that is kept, unless there is one already.

        It must be one of whom the API has nothing, and may have nothing, so none of the places
        *touched*: then it can show how far the queue is. It is as small as can be: what is refused
        by itself is judged at once where it is one record, and waits for something later where it
        is more. So a smaller one that comes later takes its place.
        """
        if not self._is_needed:
            return units
        clean = [unit for unit in units if not any(record.place in touched for record in unit)]
        if not clean:
            return units
        smallest = min(reversed(clean), key=len)
        before = [] if self._kept is None else [self._kept]
        if self._kept is not None and len(smallest) >= len(self._kept):
            return units
        self._kept, rest = (smallest, []) if self._is_set else (smallest[-1:], smallest[:-1])
        self._is_needed = len(self._kept) > 1
        return before + [one for unit in units if (one := rest if unit is smallest else unit)]

    def take(self) -> Unit | None:
        """Return what was kept, if anything was; nothing is kept from then on."""
        kept, self._kept, self._is_needed = self._kept, None, False
        return kept
