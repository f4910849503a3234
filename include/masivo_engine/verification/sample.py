"""
Whom to read: everybody, or a sample that looks where things go wrong and draws the rest at random.

====================  ==============================================================================
found before          whoever differed in the last read-back of these runs, or was not read to the
                      end
every reason          two customers for each reason for which one of their rows was not sent
top balances          a tenth of the sample: the most points
every tier            two customers of each tier, among two thousand drawn at random
edges of the batches  a fifth of the sample: the first and last customer of each batch
random                the rest; only of these anything can be said about all
====================  ==============================================================================
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import orjson

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.verification import candidates
from masivo_engine.ledger.verification.pending import AT_RANDOM, choose, choose_all, waiting_ids
from masivo_engine.model.rows import Entity, Record
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of
from masivo_engine.source.reader import Source
from masivo_engine.verification.rounds import Part


_PARTS = 50
_LEAST_OF_A_PART = 500
_DRAWN_FOR_TIERS = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Choice:
    """
    Of *all* customers with something to confirm, so many were *chosen*, of which so many at
    *random*.
    """

    runs: tuple[int, ...]
    all: int
    chosen: int
    random: int
    is_named: bool = False

    def __str__(self) -> str:
        of = f"{self.chosen:,} of {self.all:,} customers of run {', '.join(map(str, self.runs))}"
        if self.is_named or not self.chosen:
            return of
        if self.chosen >= self.all:
            return f"all {self.chosen:,} customers of run {', '.join(map(str, self.runs))}"
        return (
            f"{of}, {self.random:,} of them drawn at random: at 95 % confidence at most"
            f" {100 * most_wrong(self.random):.2g} % of those not looked for are wrong if none of the {self.random:,}"
            " is found wrong"
        )


def most_wrong(drawn: int) -> float:
    """
    Return the largest share that can be wrong, at 95 % confidence, where none of *drawn* at random
    is.
    """
    return 1.0 if drawn <= 0 else float(1 - (1 - _CONFIDENCE) ** (1 / drawn))


class Chooser:
    """
    Chooses customers of *runs*, the same for the same *seed*, to be read *settle_after_s* after the
    last delivery.
    """

    def __init__(
        self, ledger: Ledger, runs: Sequence[int], people: Source | None, *, settle_after_s: float, seed: str
    ) -> None:
        self._ledger = ledger
        self._runs = tuple(runs)
        self._people = people
        self._settle_after_s = settle_after_s
        self._dice = random.Random(seed)  # noqa: S311 - a sample, not a secret

    def choose(self, *, size: int | None, customers: Sequence[str] = ()) -> tuple[Choice, list[Part]]:
        """
        Let the chosen customers wait in the ledger, and return who they are in parts for the tasks
        that read.

        *size* None is everybody; *customers* are read whatever the size, whichever run delivered to
        them last, and nobody else is.
        """
        named = candidates.runs_of(self._ledger, customers)
        self._runs = tuple(sorted({*named.values()})) or self._runs
        due = candidates.due(self._ledger, self._runs, settle_after_s=self._settle_after_s)
        everybody = candidates.count(self._ledger, self._runs)
        if customers:
            choose(self._ledger, self._runs, {name: (run, "named") for name, run in named.items()}, due)
            return self._made(everybody, len(named), 0, is_named=True)
        if size is None or size >= everybody:
            choose_all(self._ledger, self._runs, due)
            return self._made(everybody, everybody, everybody)
        wanted: dict[str, str] = {}
        for why, most, found in self._purposes(size):
            for name in found(most):
                if len(wanted) < size:
                    wanted.setdefault(name, why)
        by_purpose = len(wanted)
        drawn = self._drawn(size - by_purpose, besides=set(wanted))
        wanted |= dict.fromkeys(drawn, AT_RANDOM)
        known = candidates.runs_of(self._ledger, list(wanted), among=self._runs)
        chosen = {name: (known[name], why) for name, why in wanted.items() if name in known}
        choose(self._ledger, self._runs, chosen, due)
        return self._made(everybody, len(chosen), len(drawn))

    def _made(self, everybody: int, chosen: int, drawn: int, *, is_named: bool = False) -> tuple[Choice, list[Part]]:
        made = Choice(self._runs, everybody, chosen, drawn, is_named)
        return made, list(_parts(waiting_ids(self._ledger, self._runs)))

    def _purposes(self, size: int) -> list[tuple[str, int, Callable[[int], Sequence[str]]]]:
        tenth = max(2, size // 10)
        ledger, runs = self._ledger, self._runs
        return [
            ("found before", size, lambda most: candidates.found_before(ledger, runs, most)),
            ("every reason", size, lambda most: candidates.of_every_reason(ledger, runs)[:most]),
            ("top balance", tenth, lambda most: candidates.top_balances(ledger, runs, most)),
            ("every tier", size, lambda most: self._of_every_tier()[:most]),
            ("edge of a batch", 2 * tenth, lambda most: candidates.edges(ledger, runs, most)),
        ]

    def _drawn(self, count: int, *, besides: set[str]) -> list[str]:
        """Draw *count* by reservoir, so that not everybody is in memory at once."""
        drawn: list[str] = []
        seen = 0
        if count <= 0:
            return drawn
        for name in candidates.everybody(self._ledger, self._runs):
            if name in besides:
                continue
            seen += 1
            if len(drawn) < count:
                drawn.append(name)
            elif (place := self._dice.randrange(seen)) < count:
                drawn[place] = name
        return drawn

    def _of_every_tier(self) -> list[str]:
        if self._people is None:
            return []
        drawn = self._drawn(_DRAWN_FOR_TIERS, besides=set())
        by_tier: dict[str, list[str]] = {}
        for name, tier in _tiers(self._people, drawn) if drawn else ():
            of_tier = by_tier.setdefault(tier, [])
            if len(of_tier) < 2:
                of_tier.append(name)
        return [name for names in by_tier.values() for name in names]


def _tiers(people: Source, customers: Sequence[str]) -> Iterator[tuple[str, str]]:
    maker, everything = maker_of(people), Slice.everything(Entity.CUSTOMERS)
    for page in people.pages(everything, Window(customers=tuple(customers))):
        for row in map(maker.make, page):
            if isinstance(row, Record):
                metrics = orjson.loads(row.body).get("metrics") or {}
                yield row.key, str((metrics.get("lifetime") or {}).get("tier_id", ""))


def _parts(ids: Sequence[int]) -> Iterator[Part]:
    """
    Cut the rows that wait into parts for tasks: not too small to be worth one, and not too many.
    """
    size = max(_LEAST_OF_A_PART, -(-len(ids) // _PARTS))
    for first in range(0, len(ids), size):
        part = ids[first : first + size]
        yield Part(part[0], part[-1])
