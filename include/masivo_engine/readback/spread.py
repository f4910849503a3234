"""A few of many keys, as far apart as they come: chosen in one pass, however many there are."""

from __future__ import annotations

from dataclasses import dataclass, field


_MOST = 72


@dataclass(slots=True)
class Spread:
    """
    Keeps every n-th of the *count* keys that it was given; n grows with their number, so that never
    more than 72 are kept.
    """

    count: int = 0
    _apart: int = 1
    _kept: list[str] = field(default_factory=list)

    def add(self, key: str) -> None:
        """Take *key*, and keep it or not."""
        if self.count % self._apart == 0:
            self._kept.append(key)
            if len(self._kept) > _MOST:
                del self._kept[1::2]
                self._apart *= 2
        self.count += 1

    @property
    def keys(self) -> list[str]:
        """The keys that were kept, in their order."""
        return list(self._kept)


def some_of(keys: list[str], most: int) -> list[str]:
    """Return at most *most* of *keys*, from the first to the last of them."""
    if len(keys) <= most:
        return keys
    return [keys[round(place * (len(keys) - 1) / (most - 1))] for place in range(most)]
