"""
The plan: what a run covers, what it will read, in which slices, and what that costs on the lane.

It settles the window of each entity once, lets the guards look at the source, counts rows by
customer in one pass per entity and writes the slices to the ledger, where the tasks find them. What
is open is added when its entity's turn comes, because customers of the run may have settled it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs import decisions
from masivo_engine.ledger.runs.asked import ask_open, plan_asked
from masivo_engine.ledger.runs.coverage import Seen, covered, plan_slices
from masivo_engine.ledger.runs.runs import Run
from masivo_engine.ledger.runs.twins import keep_twins
from masivo_engine.ledger.writing.takeover import settle_dead
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import AS_USUAL, Asked, Covers, RunKind, RunPolicies, Slice, Span
from masivo_engine.planning import guards
from masivo_engine.planning.coverage import covered_until, span_of, window_of
from masivo_engine.planning.slices import rows_per_slice, slices
from masivo_engine.source.reader import Source


@dataclass(frozen=True, slots=True)
class Planned:
    """
    What a run will read of one entity, in which slices, and the *requests* that it takes at least
    if all of it goes.
    """

    entity: Entity
    rows: int
    slices: tuple[Slice, ...]
    requests: int

    def __str__(self) -> str:
        return (
            f"{self.entity}: {self.rows:,} rows in {len(self.slices)} slices, at least {self.requests:,} requests "
            "if all of them go"
        )


def settle(
    ledger: Ledger,
    mapping: Mapping,
    legacies: Sequence[Source],
    asked: Asked,
    policies: RunPolicies = AS_USUAL,
) -> Covers:
    """
    Settle what a run covers of each entity, from what it was asked for and what the ledger has
    covered.
    """
    windows = {
        legacy.entity: window_of(
            asked,
            covered=covered_until(covered(ledger, mapping.name, mapping.content_hash, legacy.entity)),
            now=legacy.now(),
            windows=mapping.settings.windows,
            is_dated=legacy.has_change_time,
            policies=policies,
        )
        for legacy in legacies
    }
    return Covers(asked.kind, windows, policies)


class Planning:
    """
    Plans the entities of one *run*; *overrides* are guards that *by* lets through.

    In a *dry_run* nothing is written: no slice is there to be worked off.
    """

    def __init__(
        self,
        ledger: Ledger,
        mapping: Mapping,
        run: Run,
        limits: Limits,
        *,
        overrides: Sequence[str] = (),
        by: str = "",
        dry_run: bool = False,
    ) -> None:
        self._ledger = ledger
        self._mapping = mapping
        self._run = run
        self._limits = limits
        self._covers = Covers.from_json(run.covers)
        self._overrides = overrides
        self._by = by
        self._dry_run = dry_run
        #: Places of several rows that `plan` has counted, with their number.
        self.twins: dict[Entity, dict[str, int]] = {}
        #: Entities of which this run reads every row.
        self.read_whole: set[Entity] = set()
        self._planned: list[_Counted] = []

    def plan(self, legacies: Iterable[Source]) -> list[Planned]:
        """
        Count all of *legacies* and let the guards look. Raises `Misconfigured`.

        Nothing is written before `enter`: what a guard stops has covered nothing.
        """
        self._planned = [self._counted(legacy) for legacy in legacies if legacy.entity in self._covers.windows]
        self.let_pass(alarm for one in self._planned for alarm in one.alarms)
        return [self._as_planned(one) for one in self._planned]

    def enter(self) -> None:
        """Write what was planned: the slices, and the time that they cover once they are done."""
        for one in () if self._dry_run else self._planned:
            keep_twins(self._ledger, self._run.number, one.entity, self.twins[one.entity].items())
            plan_slices(
                self._ledger, self._run.number, self._mapping.name, one.entity, one.slices, span=one.span, seen=one.seen
            )

    def let_pass(self, found: Iterable[guards.Alarm]) -> None:
        """Enter who let the alarms *found* pass. Raises `Misconfigured` where nobody did."""
        found = list(found)
        guards.refuse(found, self._overrides)
        for alarm in () if self._dry_run else found:
            decisions.enter(
                self._ledger,
                self._run.number,
                alarm.guard,
                self._by,
                entity=alarm.entity,
                about=alarm.sentence,
                records=alarm.rows,
            )

    def _counted(self, legacy: Source) -> _Counted:
        window = self._covers.windows[legacy.entity]
        settings, now = self._mapping.settings.windows, legacy.now()
        by_size: Counter[int] = Counter()
        cut = slices(legacy.entity, _noted(legacy.counts(window), by_size), self._limits)
        future = timedelta(minutes=settings.future)
        seen = Seen(legacy.newest(until=now + future), sum(part.rows for part in cut), legacy.types())
        # A legacy clock that was ahead for a while would else cover a time that has not come yet,
        # and nobody would read what is written in it.
        sure = min(now, self._ledger.moment().replace(tzinfo=UTC))
        span = span_of(Asked(self._covers.kind), window, now=sure, windows=settings)
        is_increment = self._covers.kind is RunKind.INCREMENT
        found = guards.alarms(
            self._ledger, legacy, self._mapping, window, span, seen, now=now, future=future, is_increment=is_increment
        )
        self.twins[legacy.entity] = dict(legacy.twins(window))
        if window.since is None and not window.customers and window.places is None:
            self.read_whole.add(legacy.entity)
        return _Counted(legacy.entity, span, cut, by_size, seen, list(found))

    def _as_planned(self, one: _Counted) -> Planned:
        requests = least_requests(one.entity, one.by_size.elements(), self._limits)
        return Planned(one.entity, one.seen.count, tuple(one.slices), requests)


@dataclass(frozen=True, slots=True)
class _Counted:
    """One entity as the plan found it."""

    entity: Entity
    span: Span | None
    slices: list[Slice]
    by_size: Counter[int]
    seen: Seen
    alarms: list[guards.Alarm]


def add_open(ledger: Ledger, run: Run, entity: Entity, limits: Limits) -> int:
    """
    Add slices for the rows of *entity* that are open, whatever they wait for, and lie outside of
    the run's window; return how many rows.
    """
    covers = Covers.from_json(run.covers)
    if not covers.takes_up_open or entity not in covers.windows or covers.windows[entity].is_everything:
        return 0
    settle_dead(ledger, run.number, entity, lease_s=limits.lease_s)
    ask_open(ledger, run.number, entity)
    return plan_asked(ledger, run.number, entity, most=rows_per_slice(entity, limits))


def _noted(counts: Iterable[tuple[Any, int]], by_size: Counter[int]) -> Iterator[tuple[Any, int]]:
    """Pass *counts* on and note in *by_size* how many customers have how many rows."""
    for customer, count in counts:
        if customer is not None:
            by_size[count] += 1
        yield customer, count
