"""
What a run covers: for each entity the window of change times that it works off, settled once, by
the first task.

A scheduled run goes on where the ledger's coverage ends, whatever Airflow calls its interval: a
scheduler that slept or a run that failed leaves no gap. It ends a *lag* before the legacy
database's own clock, because what was just written may still move, and counts as covered only what
is older by an *overlap*, for rows that are committed late: the next run reads the overlap again,
whoever read it in between. What it finds again is ``unchanged`` and costs no request.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from masivo_engine.mapping.settings import Windows
from masivo_engine.model.runs import AS_USUAL, Asked, RunKind, RunPolicies, Span, Window


_COVERS = frozenset({RunKind.INCREMENT, RunKind.WINDOW, RunKind.FULL, RunKind.BACKFILL, RunKind.SWEEP})


def window_of(
    asked: Asked,
    *,
    covered: datetime | None,
    now: datetime,
    windows: Windows,
    is_dated: bool,
    policies: RunPolicies = AS_USUAL,
) -> Window:
    """
    Return what a run reads of one entity.

    *covered* is where its coverage ends, *now* the legacy database's time. Entities that are not
    *is_dated*, whose rows do not say when they changed, are read as a whole by runs that nobody
    gave a window. What a person adopts is what was there when the run was planned.
    """
    if (policies.adopts or policies.adopts_remade) and is_dated:
        return Window(until=now)
    match asked.kind:
        case RunKind.FULL | RunKind.SWEEP:
            return Window()
        case RunKind.REPLAY:
            return Window(places=())
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
    Return the change times that are worked off for good when a run has read *window*; None where
    that says nothing about a time.

    It may end before it begins: then whatever it read is read again.
    """
    if asked.kind not in _COVERS or window.customers or window.places is not None:
        return None
    latest = now - timedelta(minutes=windows.lag + windows.overlap)  # after it, more may come
    return Span(window.since, min(window.until or latest, latest))


def covered_until(spans: Iterable[Span]) -> datetime | None:
    """
    Return where the coverage that *spans* make together ends, counted from the beginning without a
    gap; None where it has none.
    """
    end: datetime | None = None
    dated = [span for span in spans if span.until is not None]
    for span in sorted(dated, key=lambda span: (span.since is not None, span.since or span.until)):
        if span.since is None or (end is not None and span.since <= end):
            end = span.until if end is None or (span.until and span.until > end) else end
    return end
