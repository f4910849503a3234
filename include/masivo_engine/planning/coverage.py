"""
What a run covers: for each entity the window of change times that it works off, settled once, by the first task.

A scheduled run goes on where the ledger's coverage ends, whatever Airflow calls its interval: a scheduler that slept or a run that failed
leaves no gap. It ends a *lag* before the legacy database's own clock, because what was just written may still move, and counts as
covered only what is older by an *overlap*, for rows that are committed late: the next run reads the overlap again, whoever read it in
between. What it finds again is ``unchanged`` and costs no request.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from masivo_engine.mapping.settings import Windows
from masivo_engine.model.rows import Entity
from masivo_engine.source.statements import Window


class RunKind(StrEnum):
    """
    Why a run reads what it reads.

    ``increment``: from where coverage ends. ``window``, ``full``, ``customers``: what a person asked for. ``backfill``: exactly the
    interval that Airflow gives it. ``sweep``: everything, to find what no window can. ``replay``: what a person released.
    """

    INCREMENT = "increment"
    WINDOW = "window"
    FULL = "full"
    CUSTOMERS = "customers"
    BACKFILL = "backfill"
    SWEEP = "sweep"
    REPLAY = "replay"


class Mode(StrEnum):
    """
    What a run does with what it reads.

    ``send``: what is new or changed. ``from_now_on``: the mapping changed, and what it makes of delivered rows counts as delivered.
    ``adopt``: everything counts as delivered, by this tool or an earlier one, and nothing is sent. ``release``: a person has looked at
    these rows, and policies do not hold them any more; with ``release_more`` not even those about a customer's second transactions, and
    with ``release_lost`` a person knows that transactions in doubt have not arrived: they go if the API shows none, whatever was sent later.
    """

    SEND = "send"
    FROM_NOW_ON = "from_now_on"
    ADOPT = "adopt"
    RELEASE = "release"
    RELEASE_MORE = "release_more"
    RELEASE_LOST = "release_lost"


# A person who names rows means those and nothing else; these runs also take up what waited and is free now.
_TAKES_UP_WAITING = frozenset({RunKind.INCREMENT, RunKind.FULL, RunKind.SWEEP})
_COVERS = frozenset({RunKind.INCREMENT, RunKind.WINDOW, RunKind.FULL, RunKind.BACKFILL, RunKind.SWEEP})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked for: its *kind*, and for some kinds the ends of a window (aware UTC) or the customers."""

    kind: RunKind
    since: datetime | None = None
    until: datetime | None = None
    customers: tuple[str, ...] = ()

    @property
    def takes_up_waiting(self) -> bool:
        """Whether rows that waited for something are read as well, if they are free now."""
        return self.kind in _TAKES_UP_WAITING


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of change time that a run works off, or has; an open end is None."""

    since: datetime | None
    until: datetime | None


def window_of(
    asked: Asked,
    *,
    covered: datetime | None,
    now: datetime,
    windows: Windows,
    is_dated: bool,
    mode: Mode = Mode.SEND,
) -> Window:
    """
    Return what a run reads of one entity.

    *covered* is where its coverage ends, *now* the legacy database's time. Entities that are not *is_dated*, whose rows do not say when
    they changed, are read as a whole by runs that nobody gave a window. What a person adopts is what was there when the run was planned.
    """
    if mode in {Mode.ADOPT, Mode.FROM_NOW_ON} and is_dated:
        return Window(until=now)
    match asked.kind:
        case RunKind.FULL | RunKind.SWEEP:
            return Window()
        case RunKind.REPLAY:
            return Window(keys=())
        case RunKind.INCREMENT:
            if not is_dated:
                return Window()
            until = min(asked.until or now, now - timedelta(minutes=windows.lag))
            if covered is None:
                return Window(until=until)
            return Window(covered, max(until, covered))
        case _:
            return Window(asked.since, asked.until, asked.customers)


def span_of(asked: Asked, window: Window, *, now: datetime, windows: Windows) -> Span | None:
    """
    Return the change times that are worked off for good when a run has read *window*; None where that says nothing about a time.

    It may end before it begins: then whatever it read is read again.
    """
    if asked.kind not in _COVERS or window.customers or window.keys is not None:
        return None
    latest = now - timedelta(minutes=windows.lag + windows.overlap)  # after it, more may come
    return Span(window.since, min(window.until or latest, latest))


def covered_until(spans: Iterable[Span]) -> datetime | None:
    """Return where the coverage that *spans* make together ends, counted from the beginning without a gap; None where it has none."""
    end: datetime | None = None
    dated = [span for span in spans if span.until is not None]
    for span in sorted(dated, key=lambda span: (span.since is not None, span.since or span.until)):
        if span.since is None or (end is not None and span.since <= end):
            end = span.until if end is None or (span.until and span.until > end) else end
    return end


@dataclass(frozen=True, slots=True)
class Covers:
    """What a run covers, as the ledger keeps it: the kind of run, a window for each entity, and what it does with the rows."""

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
        # Named customers may be thousands, and are the same for all entities: the next one names the one that has them.
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
