"""
The outcome of a run as a person reads it first: one sentence, how good it is, and the troubles,
worst first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from masivo_engine.ledger.runs.tallies import Tally
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import Account, EntityAccount, is_trouble
from masivo_engine.reports.pack.findings import Proof
from masivo_engine.reports.pages.figures import count, points


class Tone(StrEnum):
    """How good the news is."""

    GOOD = "good"
    CARE = "care"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Headline:
    """The first thing that is read: a *sentence*, and what else belongs to it."""

    tone: Tone
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that did not go, by state; *means* says what the state is, *rows* how many they are."""

    state: str
    means: str
    rows: int
    points: Decimal
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """
    Rows of one entity that did not go for one reason; *shapes* are a few of the values, described
    without being shown.
    """

    entity: str
    reason: str
    column: str
    rows: int
    new: int
    points: Decimal
    means: str
    do: str
    shapes: tuple[str, ...] = ()


# What each state is, and whose move is next, in the order of the equation.
MEANINGS: Mapping[str, str] = {
    State.DELIVERED: "Masivo accepted the request that carried it.",
    State.CONFIRMED: "Read back from Masivo after it had worked off its queue.",
    State.UNCHANGED: "Delivered before with the same content; nothing was sent.",
    State.QUARANTINED: "Invalid, or refused by Masivo. The owner of the data or of the mapping corrects it.",
    State.HELD: (
        "Waits for something that is named: its customer, a policy, a limit. It frees itself when that changes."
    ),
    State.IN_DOUBT: "Sent, and the answer never came or proves nothing. A read-back settles it, or a person.",
}
_WORST_FIRST = (State.IN_DOUBT, State.QUARANTINED, State.HELD)
ADDS_UP = "adds up"
NOT_FINISHED = "not finished"


def name(state: str) -> str:
    """Return *state* as words."""
    return state.replace("_", " ")


def headline(made: Account) -> Headline:
    """Say how the run of *made* ended."""
    read = sum(entity.read for entity in made.entities)
    if made.outcome == NOT_FINISHED and not (made.adds_up and read):
        return Headline(Tone.CARE, f"This run is not finished: {count(read)} rows are read so far.")
    if not made.adds_up:
        first, *more = _faults(made.entities)
        return Headline(Tone.BAD, f"The account does not add up: {first}.", tuple(f"Also: {fault}." for fault in more))
    if not read and made.outcome not in {ADDS_UP, NOT_FINISHED}:
        return Headline(Tone.BAD, f"This run is red: {made.outcome}.")
    gone = (_gone(made.gone),) if made.gone else ()
    if not read:
        tone = Tone.CARE if gone else Tone.GOOD
        return Headline(tone, "There was nothing to read: no row was in what this run covers.", gone)
    states = total(made.entities)
    needs = states[State.QUARANTINED] + states[State.IN_DOUBT]
    waits = states[State.HELD]
    verdict = made.outcome not in {ADDS_UP, NOT_FINISHED}
    tone = Tone.BAD if verdict else Tone.CARE if needs or waits or gone else Tone.GOOD
    more = [
        *_points(made.entities),
        *(["None of what needs a person is new in this run."] if needs and not made.newly else []),
        *gone,
        *([f"The run is red: {made.outcome}."] if verdict else []),
    ]
    if states[State.UNCHANGED] == read:
        return Headline(tone, f"Nothing had to be sent: all {count(read)} rows were delivered before, unchanged.", gone)
    parts = [
        _part(states[State.DELIVERED], "delivered"),
        _part(states[State.CONFIRMED], "confirmed"),
        _part(states[State.UNCHANGED], "unchanged"),
        _part(needs, "need a person" if needs != 1 else "needs a person"),
        _part(waits, "wait" if waits != 1 else "waits"),
    ]
    return Headline(tone, f"All {count(read)} rows are accounted for: {_listed(parts)}.", tuple(more))


def proved(said: Headline, proof: Proof) -> Headline:
    """Add to the headline what read-backs have found, and make it as bad as that."""
    last = proof.last
    if last is None:
        return said
    if last.judged_at is None:
        return replace(said, more=(*said.more, "A read-back is under way."))
    of = f"{count(last.chosen)} of {count(last.customers)} customers"
    if proof.wrong:
        several = "differences were" if proof.wrong != 1 else "difference was"
        sentence = f"Read back from Masivo: {of}; {count(proof.wrong)} {several} found."
        tone = Tone.BAD if last.outcome or said.tone is Tone.BAD else Tone.CARE
        return replace(said, tone=tone, more=(*said.more, sentence))
    if proof.waiting:
        sentence = (
            f"Read back from Masivo: {of} were chosen, and {count(proof.waiting)} of them could not be read to the end."
        )
        return replace(said, tone=Tone.CARE if said.tone is Tone.GOOD else said.tone, more=(*said.more, sentence))
    return replace(said, more=(*said.more, f"Read back from Masivo: {of}; nothing differs."))


def total(entities: Sequence[EntityAccount]) -> dict[str, int]:
    """Return the rows of all *entities* by state, every state named."""
    return {state.value: sum(entity.states.get(state, 0) for entity in entities) for state in State}


def groups(troubles: Sequence[Tally], shapes: Mapping[tuple[str, str, str, str], Sequence[str]]) -> tuple[Group, ...]:
    """
    Return *troubles* worst first: in doubt before quarantined before held, what counts against the
    tolerance first, then most rows.
    """
    ordered = sorted(
        troubles, key=lambda one: (not is_trouble(one), -one.rows, one.entity.value, one.reason, one.column)
    )
    return _grouped(
        (one.state, _line(one, tuple(shapes.get((one.entity.value, one.state, one.reason, one.column), ()))))
        for one in ordered
    )


def foretold(reasons: Sequence[Mapping[str, Any]]) -> tuple[Group, ...]:
    """Return the same of a plan's *reasons*."""
    lines = [
        Tally(Entity(one["entity"]), one["state"], one["reason"], one["column"], one["rows"], Decimal(one["points"]), 0)
        for one in reasons
    ]
    return groups(lines, {})


def fault(one: EntityAccount) -> str:
    """Say why the equation of an entity does not hold, or nothing where it does."""
    if one.unfinished:
        return f"{count(one.unfinished)} of {count(one.slices)} slices of {one.entity} were not read to their end"
    if one.on_the_way:
        return f"{count(one.on_the_way)} {one.entity} are still on the way"
    if one.read > one.total:
        return f"{count(one.read - one.total)} {one.entity} that were read are not in the ledger"
    if one.read < one.total:
        return f"the ledger has {count(one.total - one.read)} {one.entity} more than were read"
    return ""


def _grouped(found: Iterable[tuple[str, Line]]) -> tuple[Group, ...]:
    lines, made = list(found), []
    for state in _WORST_FIRST:
        mine = tuple(line for its, line in lines if its == state)
        if mine:
            amount = sum((line.points for line in mine), Decimal(0))
            made.append(Group(state.value, MEANINGS[state], sum(line.rows for line in mine), amount, mine))
    return tuple(made)


def _line(one: Tally, shapes: tuple[str, ...]) -> Line:
    reason = REASONS.get(one.reason)
    means, do = (reason.means, reason.do) if reason else ("", "")
    return Line(one.entity.value, one.reason, one.column, one.rows, one.new, one.points, means, do, shapes)


def _faults(entities: Sequence[EntityAccount]) -> list[str]:
    return [fault(one) for one in entities if not one.adds_up]


def _points(entities: Sequence[EntityAccount]) -> list[str]:
    """Say how much of the balances is with Masivo."""
    for one in entities:
        whole = sum(one.points.values(), Decimal(0))
        if one.entity is Entity.CUSTOMERS and whole:
            there = sum(
                (one.points.get(state, Decimal(0)) for state in (State.DELIVERED, State.CONFIRMED, State.UNCHANGED)),
                Decimal(0),
            )
            missing = "" if there == whole else f"; {points(whole - there)} did not go"
            return [f"Balances: {points(there)} of {points(whole)} points are delivered{missing}."]
    return []


def _gone(rows: int) -> str:
    are = "rows that Masivo has are" if rows != 1 else "row that Masivo has is"
    return f"{count(rows)} {are} gone from the legacy database."


def _part(rows: int, words: str) -> str:
    return f"{count(rows)} {words}" if rows else ""


def _listed(parts: Sequence[str]) -> str:
    said = [part for part in parts if part]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
