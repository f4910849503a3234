"""
Guards: what is so unusual about a source that a person should look before anything is sent.

Each stops the run with one sentence and has a name that a person types to go on all the same
(parameter ``override``). What was let through is in the ledger with who and when, and does not stop
the next run as long as it does not get worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as Types
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.counts import delivered_rows, newest_delivered
from masivo_engine.ledger.runs.coverage import Seen, is_begun, last_seen
from masivo_engine.ledger.runs.decisions import released_count
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits, hours, lane_hours
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Span, Window
from masivo_engine.planning.mapping_change import is_remapped
from masivo_engine.source.reader import Source


_MANY, _RUNS = 100, 3
_NEWEST = 40  # rows delivered last, by which a restored copy is known
_FEW, _SHARE = 10, 0.05  # of the rows that the API has, so many may differ, or be gone, unasked


class Guard(StrEnum):
    """The names that are typed to override a guard."""

    NO_ROWS = "no_rows"
    OLDER_SOURCE = "older_source"
    FUTURE_CHANGES = "future_changes"
    COLUMNS_CHANGED = "columns_changed"
    ALREADY_THERE = "already_there"
    FIRST_LOAD = "first_load"
    ROWS_DIFFER = "rows_differ"
    KEYS_CHANGED = "keys_changed"
    ROWS_GONE = "rows_gone"
    CUSTOMERS_MISSING = "customers_missing"


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
    mapping: Mapping,
    window: Window,
    span: Span | None,
    seen: Seen,
    *,
    now: datetime,
    future: timedelta,
    is_increment: bool,
) -> Iterator[Alarm]:
    """
    Yield what is unusual about *legacy*, of which this run's plan has *seen* so much in *window*,
    which works off *span*.

    *future* is how far ahead of *now* a change time may be.
    """
    entity = legacy.entity
    legacy.refuse_several_forms()
    history = last_seen(ledger, mapping.name, entity, runs=_RUNS)
    gone = list(_no_rows(legacy, window, span, seen, history, is_increment=is_increment))
    yield from gone
    has_other_files = is_remapped(ledger, mapping, entity)
    # Keys that other files make otherwise are told from a restored copy where everything is read.
    if not gone and not (has_other_files and window.since is None and not window.customers):
        yield from _older_source(ledger, legacy)
    later = legacy.later(now + future)
    if later > released_count(ledger, Guard.FUTURE_CHANGES, entity):
        yield Alarm(
            Guard.FUTURE_CHANGES,
            entity,
            f"{later:,} rows of {entity} changed after {_said(now + future)}, which is in the future; "
            "no window reaches them before that, only the sweep or a full run",
            later,
        )
    # That files changed is told by what they make of the rows.
    if history and not has_other_files and (moved := _differences(history[0][1].types, seen.types)):
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
    legacy: Source,
    window: Window,
    span: Span | None,
    seen: Seen,
    history: list[tuple[Span, Seen]],
    *,
    is_increment: bool,
) -> Iterator[Alarm]:
    if seen.count or span is None or not history:
        return
    entity = legacy.entity
    last = history[0][1]
    has_moved = is_increment and seen.newest is not None and last.newest is not None and seen.newest > last.newest
    if has_moved and window.since is not None and (window.until is None or seen.newest < window.until):  # type: ignore[operator]
        sentence = (
            f"the newest change of {entity} moved from {_said(last.newest)} to {_said(seen.newest)}, and {window} holds"
            " none of them: the change times are written in another zone or form than the mapping says"
        )
        yield Alarm(Guard.NO_ROWS, entity, sentence)
    elif (last.count or last.newest is not None) and legacy.is_empty():
        sentence = f"the mapping finds no {entity} at all any more, and the last run found some"
        yield Alarm(Guard.NO_ROWS, entity, sentence)
    elif len(history) == _RUNS and all(earlier.count >= _MANY for _, earlier in history) and _is_as_long(span, history):
        counts = ", ".join(f"{earlier.count:,}" for _, earlier in history)
        sentence = f"no {entity} changed in {window}, and the last {_RUNS} runs found {counts}"
        yield Alarm(Guard.NO_ROWS, entity, sentence)


def _older_source(ledger: Ledger, legacy: Source) -> Iterator[Alarm]:
    """A restored copy lacks many of the rows that were delivered last; a deleted order is one."""
    # That nothing at all is there is another guard's.
    newest = [] if legacy.is_empty() else newest_delivered(ledger, legacy.entity, most=_NEWEST)
    missing = len(newest) - len(legacy.there(newest))
    if missing > max(1, released_count(ledger, Guard.OLDER_SOURCE, legacy.entity)) and 2 * missing > len(newest):
        yield Alarm(
            Guard.OLDER_SOURCE,
            legacy.entity,
            f"of the {len(newest):,} {legacy.entity} that were delivered last the legacy database has {missing:,} no"
            " more: it looks restored from an older copy",
            missing,
        )


def after_forecast(  # noqa: PLR0913 (what the plan found)
    ledger: Ledger,
    entity: Entity,
    *,
    arrived: int,
    remade: int,
    new: int,
    is_everything: bool,
    is_remapped: bool,
    limits: Limits,
) -> Iterator[Alarm]:
    """
    Yield what is unusual about what the plan found of *entity*, whatever the cause.

    Of the rows that it read, the API has *arrived* ones; *remade* of these read otherwise although
    their change times stand, and *new* ones are there. Where it *is_everything*, delivered rows
    that were not met are gone. A mapping that is another one (*is_remapped*) explains each row that
    reads otherwise, so that none passes unasked; of keys it does from the share on, because
    business removes and adds rows meanwhile.
    """
    bound = 0 if is_remapped else max(_FEW, int(_SHARE * arrived))
    requests = least_requests(entity, [1] * remade, limits)
    if remade > bound:
        yield Alarm(
            Guard.ROWS_DIFFER,
            entity,
            f"{remade:,} of {arrived:,} {entity} that the API has read otherwise now although they did not change"
            f" (bound: {bound:,}), because "
            + ("the mapping changed" if is_remapped else "something in the mapping, the code or a driver did")
            + f"; sending them all takes {requests:,} requests, {hours(lane_hours(requests, limits))} on the lane."
            " Choose with mapping_change: 'send_all' treats them as changed, 'from_now_on' leaves what was delivered"
            " as it is",
            remade,
        )
    gone = max(0, delivered_rows(ledger, entity) - arrived) if is_everything else 0
    bound = max(0 if is_remapped else _FEW, int(_SHARE * (arrived + gone)))
    if min(gone, new) > bound:
        yield Alarm(
            Guard.KEYS_CHANGED,
            entity,
            f"{min(gone, new):,} {entity} have none of the delivered keys, while as many of those are gone (bound:"
            f" {bound:,}): keys seem to be made otherwise, and these would be sent a second time under another key",
            min(gone, new),
        )
    elif gone > max(_FEW, int(_SHARE * (arrived + gone)), released_count(ledger, Guard.ROWS_GONE, entity)):
        yield Alarm(
            Guard.ROWS_GONE,
            entity,
            f"{gone:,} of {arrived + gone:,} delivered {entity} are not there any more (bound:"
            f" {max(_FEW, int(_SHARE * (arrived + gone))):,})",
            gone,
        )


def most_without_customer(rows: int) -> int:
    """
    Return how many of *rows* may be without a customer, unasked: new ones come before their
    customer now and then, and a few are always wrong.
    """
    return max(_FEW, int(_SHARE * rows))


def without_customer(
    ledger: Ledger, entity: Entity, *, rows: int, missing: int, has_customers: bool
) -> Iterator[Alarm]:
    """
    Yield that *missing* of the *rows* that are to be sent have no customer, where these are many,
    or where the source *has no customers* at all: then it hides them, or its SQL does.
    """
    bound = most_without_customer(rows) if has_customers else 0
    if missing > max(bound, released_count(ledger, Guard.CUSTOMERS_MISSING, entity)):
        none = "" if has_customers else "customers.sql finds no rows, and "
        yield Alarm(
            Guard.CUSTOMERS_MISSING,
            entity,
            f"{none}{missing:,} of {rows:,} {entity} wait for customers that customers.sql does not have (bound:"
            f" {bound:,}): its conditions leave them out, or its user may not see them",
            missing,
        )


def _is_as_long(new: Span, history: list[tuple[Span, Seen]]) -> bool:
    """Whether the *new* span is at least as long as one of those that had many rows."""
    if new.since is None or new.until is None:
        return True
    length = new.until - new.since
    lengths = [span.until - span.since for span, _ in history if span.since and span.until]
    return bool(lengths) and length >= min(lengths)


def _differences(before: Types[str, str], after: Types[str, str]) -> str:
    words = [f"{name!r} is gone" for name in before if name not in after]
    words += [
        f"{name!r} was type {kind} and is {after[name]}"
        for name, kind in before.items()
        if name in after and kind and after[name] and after[name] != kind
    ]
    return ", ".join(words)


def _said(moment: datetime | None) -> str:
    return "nothing" if moment is None else moment.isoformat(timespec="seconds").replace("+00:00", "Z")
