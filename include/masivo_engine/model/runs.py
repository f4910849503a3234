"""
Runs: why they read, which windows and slices they cover, and what they do with what they read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    selects: str = "window"  #: or ``keys``: only the rows that the ledger names for this slice

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
    keys: tuple[str, ...] | None = None  #: these rows, as the ledger writes them; of transactions: their customers
    besides: Window | None = None  #: with *keys*: not what lies in this window, which is read anyhow

    @property
    def is_everything(self) -> bool:
        """Whether every row of the mapping is read."""
        return self.since is None and self.until is None and not self.customers and self.keys is None

    def named(self, keys: Iterable[str]) -> Window:
        """Return the window of *keys* that this one does not read."""
        return Window(keys=tuple(keys), besides=self if self.keys is None else None)

    def __str__(self) -> str:
        if self.is_everything:
            return "everything"
        if self.keys is not None:
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


class Mode(StrEnum):
    """What a run does with what it reads."""

    SEND = "send"  #: sends what is new or changed
    FROM_NOW_ON = "from_now_on"  #: the mapping changed; what it makes of delivered rows counts as delivered
    ADOPT = "adopt"  #: everything counts as delivered, by this tool or an earlier one; sends nothing
    RELEASE = "release"  #: a person has looked at these rows; policies do not hold them any more
    RELEASE_MORE = "release_more"  #: nor do those about a customer's second transactions
    #: A person knows that transactions in doubt have not arrived. They go if the API shows none of
    #: them, whatever was sent later.
    RELEASE_LOST = "release_lost"


# A person who names rows means those and nothing else; these runs also take up what waited and is
# free now.
_TAKES_UP_WAITING = frozenset({RunKind.INCREMENT, RunKind.FULL, RunKind.SWEEP})


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
    mode: Mode = Mode.SEND

    @property
    def takes_up_waiting(self) -> bool:
        """Whether rows that waited for something are read as well."""
        return self.kind in _TAKES_UP_WAITING

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
        return json.dumps({"kind": self.kind, "mode": self.mode, "windows": windows})

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what `as_json` wrote, and what the first schema's runs have: one window for all."""
        written = json.loads(text)
        if "windows" not in written:
            everywhere = _window(written)
            kind = RunKind.FULL if everywhere.is_everything else RunKind.WINDOW
            return cls(kind, dict.fromkeys(Entity, everywhere))
        for window in (plain := written["windows"]).values():
            if isinstance(window["customers"], str):
                window["customers"] = plain[window["customers"]]["customers"]
        windows = {Entity(name): _window(window) for name, window in plain.items()}
        return cls(RunKind(written["kind"]), windows, Mode(written["mode"]))

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
    return plain if window.keys is None else plain | {"keys": window.keys}


def _window(written: Mapping[str, Any]) -> Window:
    since, until = (datetime.fromisoformat(end) if end else None for end in (written["since"], written["until"]))
    keys = written.get("keys")
    return Window(since, until, tuple(written["customers"]), None if keys is None else tuple(keys))


DRY_RUN = "dry_run"  # as the kind of a run in the ledger
