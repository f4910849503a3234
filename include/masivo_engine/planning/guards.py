"""
Guards: what is so unusual about a source that a person should look before anything is sent.

Each stops the run with one sentence and has a name that a person types to go on all the same
(parameter ``override``). What was let through is in the ledger with who and when, and does not stop
the next run as long as it does not get worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from masivo_engine.ledger.runs.coverage import Seen, is_begun, last_seen, newest_seen
from masivo_engine.ledger.runs.decisions import released_count
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Span, Window
from masivo_engine.source.reader import Source


_MANY, _RUNS = 100, 3


class Guard(StrEnum):
    """The names that are typed to override a guard."""

    NO_ROWS = "no_rows"
    OLDER_SOURCE = "older_source"
    FUTURE_CHANGES = "future_changes"
    COLUMNS_CHANGED = "columns_changed"
    ALREADY_THERE = "already_there"
    FIRST_LOAD = "first_load"


@dataclass(frozen=True, slots=True)
class Alarm:
    """A guard that does not let a run pass, and why; *rows* where it is about a number of them."""

    guard: Guard
    entity: Entity
    sentence: str
    rows: int = 0


def alarms(  # noqa: PLR0913 (what is looked at, and by what)
    ledger: Ledger,
    legacy: Source,
    mapping: str,
    window: Window,
    span: Span | None,
    seen: Seen,
    *,
    now: datetime,
    future: timedelta,
) -> Iterator[Alarm]:
    """
    Yield what is unusual about *legacy*, of which this run's plan has *seen* so much in *window*,
    which works off *span*.

    *future* is how far ahead of *now* a change time may be.
    """
    entity = legacy.entity
    history = last_seen(ledger, mapping, entity, runs=_RUNS)
    gone = list(_no_rows(legacy, window, span, seen, history))
    yield from gone
    newest = newest_seen(ledger, mapping, entity)
    # The clocks of change times are the source's own, so what is compared is as exact as they are.
    if newest is not None and not gone and (seen.newest is None or seen.newest < newest):
        yield Alarm(
            Guard.OLDER_SOURCE,
            entity,
            f"the newest change of {entity} is {_said(seen.newest)}, but an earlier run saw {_said(newest)}: "
            "the legacy database looks restored from an older copy",
        )
    later = legacy.later(now + future)
    if later > released_count(ledger, Guard.FUTURE_CHANGES, entity):
        yield Alarm(
            Guard.FUTURE_CHANGES,
            entity,
            f"{later:,} rows of {entity} changed after {_said(now + future)}, which is in the future; "
            "no window reaches them before that, only the sweep or a full run",
            later,
        )
    if history and (moved := _differences(history[0][1].types, seen.types)):
        yield Alarm(Guard.COLUMNS_CHANGED, entity, f"columns of {entity} changed since the last run: {moved}")


def refuse(found: Collection[Alarm], overrides: Collection[str]) -> None:
    """Raise `Misconfigured` for the first of *found* that nobody overrides."""
    for alarm in found:
        if alarm.guard not in overrides:
            msg = (
                f"{alarm.sentence}; nothing was sent. If that is right, trigger again with override"
                f" {alarm.guard.value!r}"
            )
            raise Misconfigured(msg)


def refuse_first_load(ledger: Ledger, mapping: str, entities: Iterable[Entity], overrides: Collection[str]) -> None:
    """
    Raise `Misconfigured` where one of *entities* was never loaded from its beginning with
    *mapping*; for runs that no person started.

    Such a run would read, and send, all there is, and nobody has seen a plan of it: switching a DAG
    on must not do that. What a person tried with some customers, or for some days, is no load.
    """
    if Guard.FIRST_LOAD in overrides:
        return
    if new := [entity for entity in entities if not is_begun(ledger, mapping, entity)]:
        raise Misconfigured(
            f"nobody has started to load {', '.join(new)} with the mapping {mapping} yet, and a run that starts by"
            " itself sends no first load; nothing was read or sent. Look at the plan that masivo_plan makes, then"
            " trigger masivo_sync by hand"
        )


def _no_rows(
    legacy: Source, window: Window, span: Span | None, seen: Seen, history: list[tuple[Span, Seen]]
) -> Iterator[Alarm]:
    if seen.count or span is None or not history:
        return
    entity = legacy.entity
    last = history[0][1]
    if (last.count or last.newest is not None) and legacy.is_empty():
        sentence = f"the mapping finds no {entity} at all any more, and the last run found some"
        yield Alarm(Guard.NO_ROWS, entity, sentence)
    elif len(history) == _RUNS and all(earlier.count >= _MANY for _, earlier in history) and _is_as_long(span, history):
        counts = ", ".join(f"{earlier.count:,}" for _, earlier in history)
        sentence = f"no {entity} changed in {window}, and the last {_RUNS} runs found {counts}"
        yield Alarm(Guard.NO_ROWS, entity, sentence)


def _is_as_long(new: Span, history: list[tuple[Span, Seen]]) -> bool:
    """Whether the *new* span is at least as long as one of those that had many rows."""
    if new.since is None or new.until is None:
        return True
    length = new.until - new.since
    lengths = [span.until - span.since for span, _ in history if span.since and span.until]
    return bool(lengths) and length >= min(lengths)


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    words = [f"{name!r} is gone" for name in before if name not in after]
    words += [
        f"{name!r} was type {kind} and is {after[name]}"
        for name, kind in before.items()
        if name in after and kind and after[name] and after[name] != kind
    ]
    return ", ".join(words)


def _said(moment: datetime | None) -> str:
    return "nothing" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
