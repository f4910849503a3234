"""
Random schedules: a seed decides how the API behaves, what it does wrong and where workers die.

What is promised has conditions, and the dice keep them: a request takes effect before
`settle_after_s` is over (or never), the queue works in order, and an address for customers or
events leaves the same of every batch that it refuses with one status.
"""

from __future__ import annotations

import random
from typing import Any

from masivo_engine import crash_points
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Filing, Leaves, Naming, Refusal, Telling
from tests.databases.proof import CUSTOMERS, EVENTS, TRANSACTIONS, Truth, going
from tests.proof.rig import Schedule


# What each costs in time decides how often it is played: those that wait for the deadline are rare.
_NOT_SENT = ("401", "429", "429_s", "429_past", "429_neg", "429_bad", "503_s")
_UNCLEAR = (
    "500",
    "502",
    "503",
    "408_but_accepted",
    "500_but_accepted",
    "503_but_accepted",
    "504_but_accepted",
    "rst_before",
    "rst_after_accept",
    "close_after_accept",
    "garbage",
)
_ACCEPTED = ("truncated", "bad_gzip", "huge_header", "ok_html_body", "idle_close", "stale_reset")
_REFUSED = ("422_opaque", "422_empty")
# By others than the door, which refuses with another status: nothing of it says what the door does.
_REFUSED_BY_OTHERS = ("413", "413_page", "413_text", "400")
_STOPPED = ("403", "404", "200", "200_html", "202", "204", "301", "422_html")
_SLOW = ("hang_before", "hang_after_accept", "slowloris")
_IN_QUEUE = ("drop_in_queue", "duplicate_in_queue")

_PATHS = ("/customers/migrate*", "/customers/migrate", "/customers/migrate/events", "/customers/migrate/transactions")


def schedule(seed: int, truth: Truth) -> Schedule:
    """Return the schedule of *seed*; the same for the same seed and shop."""
    dice = random.Random(seed)
    options = _api(dice, truth)
    is_plain = {options["leaves"][entity] for entity in (CUSTOMERS, EVENTS)} == {Leaves.NOTHING}
    rules = tuple(_rule(dice, is_plain=is_plain) for _ in range(dice.choice((0, 1, 1, 2, 2, 3))))
    kills = tuple(_kill(dice) for _ in range(dice.choice((0, 0, 1, 1, 2, 3))))
    spoils = frozenset({EVENTS} if any(set(rule.faults) & set(_IN_QUEUE) for rule in rules) else ())
    return Schedule(
        seed=seed,
        options=options,
        faults=Script(rules=rules, seed=seed),
        kills=kills,
        new_runs=dice.random() < 0.5,
        spoils=spoils,
    )


def _api(dice: random.Random, truth: Truth) -> dict[str, Any]:
    poison: set[str] = set()
    if dice.random() < 0.5:
        rows = [key for entity in truth for key, _ in going(truth, entity)]
        poison |= set(dice.sample(rows, dice.choice((1, 1, 2, 4))))
    leaves = {entity: Leaves.NOTHING if dice.random() < 0.6 else dice.choice(list(Leaves)) for entity in truth}
    if leaves[TRANSACTIONS] is Leaves.BEFORE:
        # A part of a set does not add up, so the queue would drop it; that is told elsewhere
        # (tests/scenarios).
        poison = {key for key in poison if key not in truth[TRANSACTIONS] or key.endswith("-00")}
    outages = ()
    if dice.random() < 0.3:
        start = dice.uniform(0.05, 0.5)
        outages = ((start, start + dice.uniform(0.1, 0.6)),)
    return {
        "leaves": leaves,
        "filed_by": dice.choice(list(Filing)),
        "telling": dice.choice(list(Telling)),
        "naming": dice.choice(list(Naming)),
        "delay_s": dice.choice((0.0, 0.0, 0.01, 0.04)),
        "outages": outages,
        # At once would hide a second sending behind a refusal.
        "duplicates": Refusal.IN_QUEUE,
        "second_transactions": Refusal.IN_QUEUE,
        "unknown_customers": dice.choice((Refusal.IN_QUEUE, Refusal.AT_ONCE)),
        "poison": frozenset(poison),
    }


def _rule(dice: random.Random, *, is_plain: bool) -> Rule:
    kind = dice.random()
    path = dice.choice(_PATHS)
    nth = tuple(sorted(dice.sample(range(1, 9), dice.choice((1, 1, 2)))))
    if kind < 0.45:
        return Rule(faults=tuple(dice.sample(_UNCLEAR, 2)), path=path, rate=dice.choice((0.1, 0.3, 0.6)), times=4)
    if kind < 0.6:
        return Rule(faults=tuple(dice.sample(_NOT_SENT, 2)), path=path, rate=dice.choice((0.2, 0.5)), times=5)
    if kind < 0.7:
        return Rule(faults=tuple(dice.sample(_ACCEPTED, 2)), path=path, rate=0.5, times=4)
    if kind < 0.8:
        # Of one status, an API that refuses in part is not also one that refuses as a whole.
        refusals = _REFUSED_BY_OTHERS + (_REFUSED if is_plain or path == _PATHS[3] else ())
        return Rule(faults=(dice.choice(refusals),), path=path, nth=nth)
    if kind < 0.87:
        return Rule(faults=(dice.choice(_STOPPED),), path=path, nth=nth[:1])
    if kind < 0.95:
        return Rule(faults=(dice.choice(_SLOW),), path=path, nth=nth[:1])
    return Rule(faults=(dice.choice(_IN_QUEUE),), path=_PATHS[2], nth=nth[:1])


def _kill(dice: random.Random) -> str:
    return f"{dice.choice(crash_points.POINTS)}:{dice.choice((1, 1, 2, 3, 5, 8))}"
