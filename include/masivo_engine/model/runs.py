"""
Runs: why they read, which windows and slices they cover, and what they do with what they read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from masivo_engine.model.rows import Entity


@dataclass(frozen=True, slots=True)
class Slice:
    """
    The part of an entity that one mapped task works off: a range of customers.

    The slices of an entity cover every row, whatever is inserted meanwhile, because the ends of the
    first and the last are open. Rows without a customer belong to the first.
    """

    entity: Entity
    number: int  #: from 1
    of: int  #: how many slices the entity has
    lower: Any  #: the first customer; None is an open end
    upper: Any  #: the first customer who is not in it; None is an open end
    rows: int  #: that the plan counted
    selects: str = "window"  #: or ``places``: the rows that the ledger asks for, filed between the two bounds

    @classmethod
    def everything(cls, entity: Entity) -> Self:
        """Return the one slice of all of *entity*."""
        return cls(entity, 1, 1, None, None, 0)


@dataclass(frozen=True, slots=True)
class Window:
    """What a run reads. A window in which nothing is given is everything."""

    since: datetime | None = None  #: rows that changed then or later; aware UTC
    until: datetime | None = None  #: and before then; aware UTC
    customers: tuple[str, ...] = ()  #: rows of these customers
    places: tuple[str, ...] | None = None  #: these rows (`masivo_engine.model.places`); of transactions: their owners

    @property
    def is_everything(self) -> bool:
        """Whether every row of the mapping is read."""
        return self.since is None and self.until is None and not self.customers and self.places is None

    def __str__(self) -> str:
        if self.is_everything:
            return "everything"
        if self.places is not None:
            return "what a person released"
        parts = []
        if self.since or self.until:
            start = self.since.isoformat(timespec="seconds") if self.since else "the beginning"
            parts.append(f"changed from {start} to {self.until.isoformat(timespec='seconds') if self.until else 'now'}")
        if self.customers:
            parts.append(f"of {len(self.customers)} named customers")
        return " ".join(parts)


class RunKind(StrEnum):
    """Why a run reads what it reads."""

    INCREMENT = "increment"  #: from where coverage ends
    WINDOW = "window"  #: a person named its ends
    FULL = "full"  #: a person asked for everything
    CUSTOMERS = "customers"  #: a person named them
    BACKFILL = "backfill"  #: exactly the interval that Airflow gives it
    SWEEP = "sweep"  #: everything, to find what no window can
    REPLAY = "replay"  #: what a person released


@dataclass(frozen=True, slots=True)
class RunPolicies:
    """
    What one run does otherwise than the mapping's policies say, because a person decided it.

    A run that has none of these sends what is new, and treats what changed as the mapping says.
    """

    #: Everything counts as delivered, by this tool or an earlier one; nothing is sent.
    adopts: bool = False
    #: The mapping changed: rows whose own change time did not move count as delivered as they are.
    adopts_remade: bool = False
    #: A person has looked at these rows: what changed goes again, and what the API refused is
    #: tried.
    releases: bool = False
    #: So do further transactions of customers whose transactions were migrated.
    takes_more: bool = False
    #: A person knows that transactions in doubt have not arrived: they go if the API shows none.
    is_said_lost: bool = False


AS_USUAL = RunPolicies()

# A person who names rows means those and nothing else; these runs also take up what is open.
_TAKES_UP_OPEN = frozenset({RunKind.INCREMENT, RunKind.FULL, RunKind.SWEEP})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked for."""

    kind: RunKind
    since: datetime | None = None  #: aware UTC
    until: datetime | None = None  #: aware UTC
    customers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of change time that a run works off, or has; an open end is None."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Covers:
    """What a run covers, as the ledger keeps it."""

    kind: RunKind
    windows: Mapping[Entity, Window]
    policies: RunPolicies = field(default_factory=RunPolicies)

    @property
    def takes_up_open(self) -> bool:
        """Whether rows that are open are read as well, whatever they wait for."""
        return self.kind in _TAKES_UP_OPEN

    @property
    def can_wait(self) -> bool:
        """Whether increments go first on the lane."""
        return self.kind in {RunKind.BACKFILL, RunKind.FULL, RunKind.SWEEP}

    def as_json(self) -> str:
        """Write it down, for the ledger."""
        windows = {str(name): _plain(window) for name, window in self.windows.items()}
        # Named customers may be thousands, and are the same for all entities: the next one names
        # the one that has them.
        first: dict[tuple[str, ...], str] = {}
        for name, window in self.windows.items():
            if window.customers and (alike := first.setdefault(window.customers, str(name))) != str(name):
                windows[str(name)]["customers"] = alike
        return json.dumps({"kind": self.kind, "policies": asdict(self.policies), "windows": windows})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `as_json` wrote."""
        written = json.loads(text)
        for window in (plain := written["windows"]).values():
            if isinstance(window["customers"], str):
                window["customers"] = plain[window["customers"]]["customers"]
        windows = {Entity(name): _window(window) for name, window in plain.items()}
        return cls(RunKind(written["kind"]), windows, RunPolicies(**written["policies"]))

    def __str__(self) -> str:
        by_words: dict[str, list[str]] = {}
        for entity, window in self.windows.items():
            by_words.setdefault(str(window), []).append(entity)
        if len(by_words) == 1:
            return f"{self.kind}: {next(iter(by_words))}"
        return f"{self.kind}: " + "; ".join(f"{', '.join(names)} {words}" for words, names in by_words.items())


def _plain(window: Window) -> dict[str, Any]:
    ends = [end.isoformat() if end else None for end in (window.since, window.until)]
    plain: dict[str, Any] = {"since": ends[0], "until": ends[1], "customers": window.customers}
    return plain if window.places is None else plain | {"places": window.places}


def _window(written: Mapping[str, Any]) -> Window:
    since, until = (datetime.fromisoformat(end) if end else None for end in (written["since"], written["until"]))
    places = written.get("places")
    return Window(since, until, tuple(written["customers"]), None if places is None else tuple(places))


DRY_RUN = "dry_run"  # as the kind of a run in the ledger
