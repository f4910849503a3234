"""
``index.html``: what became of every row of a run, for a person who reads it without the system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import Account, EntityAccount
from masivo_engine.reports.pack.facts import Facts
from masivo_engine.reports.pack.findings import FINDINGS, SUMMARY, Proof
from masivo_engine.reports.pack.tables import Counted, Hashes, file_of
from masivo_engine.reports.pages import outcome, page
from masivo_engine.reports.pages.outcome import NOT_FINISHED


_THERE = (State.DELIVERED, State.CONFIRMED, State.UNCHANGED)


@dataclass(frozen=True, slots=True)
class Request:
    """
    The requests of one entity; *planned* is what the plan foretold, None where there was no plan.
    """

    entity: str
    requests: int
    planned: int | None
    least: int
    sent: int
    fill: float


@dataclass(frozen=True, slots=True)
class Reward:
    """
    Points of one reward: in all, and those of rows that are delivered, confirmed or unchanged.
    """

    reward: str
    balances: Decimal
    balances_there: Decimal
    transactions: Decimal
    transactions_there: Decimal


@dataclass(frozen=True, slots=True)
class File:
    """A file beside the page; *rows* are None where it is no table."""

    name: str
    what: str
    rows: int | None
    bytes: int
    sha256: str


def account_page(
    known: Facts,
    made: Account,
    counted: Counted,
    hashes: Hashes,
    proof: Proof,
    sums: Mapping[str, Mapping[str, Any]],
    limits: Limits,
) -> str:
    """
    Write the page of the account *made*; *proof* is what read-backs found, *sums* are sizes and
    hashes of the other files.
    """
    tiers, months = page.worth(known.plan) if known.plan else ((), ())
    return page.render(
        "account.html",
        facts=known,
        headline=outcome.proved(outcome.headline(made), proof),
        proof=proof,
        is_finished=made.outcome != NOT_FINISHED,
        equations=equations(made),
        points=points_of_all(made),
        gone=gone(made),
        rewards=_rewards(counted),
        tiers=tiers,
        months=months,
        groups=outcome.groups(made.troubles, counted.shapes),
        requests=[request(one, known.plan, limits) for one in made.entities],
        limits=limits,
        differs=_differs(made, counted),
        files=_files(counted, hashes, sums),
        hashes=hashes,
        file_of=lambda entity, state: file_of(Entity(entity), state),
    )


def equations(made: Account) -> list[page.Equation]:
    """Return the equation of each entity in records."""
    return [page.of_rows(one.entity.value, one.read, one.states, fault=outcome.fault(one)) for one in made.entities]


def points_of_all(made: Account) -> list[page.Equation]:
    """Return the equations in points, of the balances and of the transactions."""
    return [page.of_points(_points_of(one), one.points) for one in made.entities if one.entity != Entity.EVENTS]


def gone(made: Account) -> list[EntityAccount]:
    """Return the entities of which Masivo has rows that the source has no more."""
    return [one for one in made.entities if one.gone]


def request(one: EntityAccount, plan: Mapping[str, Any] | None, limits: Limits) -> Request:
    """Return the requests of one entity beside what *plan* foretold."""
    planned = plan["entities"].get(one.entity.value) if plan else None
    fill = one.sent / (one.requests * limits.records) if one.requests else 0.0
    return Request(
        one.entity.value, one.requests, planned["requests"] if planned else None, one.least_requests, one.sent, fill
    )


def _points_of(one: EntityAccount) -> str:
    return "balances" if one.entity is Entity.CUSTOMERS else one.entity.value


def _rewards(counted: Counted) -> list[Reward]:
    sums: dict[str, dict[Entity, tuple[Decimal, Decimal]]] = {}
    for (entity, reward), states in counted.points.items():
        there = sum((states.get(state, Decimal(0)) for state in _THERE), Decimal(0))
        sums.setdefault(reward, {})[entity] = sum(states.values(), Decimal(0)), there
    nothing = Decimal(0), Decimal(0)
    made = [
        Reward(reward, *of.get(Entity.CUSTOMERS, nothing), *of.get(Entity.TRANSACTIONS, nothing))
        for reward, of in sums.items()
    ]
    return sorted(made, key=lambda one: (not one.reward, -abs(one.balances), one.reward))


def _differs(made: Account, counted: Counted) -> bool:
    """Whether the ledger moved between account and files, as it does while a run is under way."""
    expected: dict[str, int] = {}
    for one in made.entities:
        for state, rows in one.states.items():
            name = file_of(one.entity, state)
            expected[name] = expected.get(name, 0) + rows
    return {name: rows for name, rows in expected.items() if rows} != counted.rows


def _files(counted: Counted, hashes: Hashes, sums: Mapping[str, Mapping[str, Any]]) -> Sequence[File]:
    made = []
    for name, known in sums.items():
        rows: int | None = counted.rows.get(name)
        what = _WHAT.get(name, "")
        if rows is not None:
            entity, state, _ = name.split(".")
            what = f"{entity}, {outcome.name(state)}"
        elif name == "batches.csv":
            rows = hashes.count
        elif name == FINDINGS:
            rows = counted.findings
        made.append(File(name, what, rows, known["bytes"], known["sha256"]))
    return made


_WHAT = {
    "account.json": "the equation, for machines",
    "batches.csv": "every request: size, answer, times, hash of its body",
    FINDINGS: "what the read-back found other than delivered, a row each",
    SUMMARY: "what the read-back came to, for machines",
    "plan.html": "what was foretold before anything was sent",
    "plan.json": "the same, for machines",
}
