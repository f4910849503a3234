"""``plan.html``: what a run will do, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from masivo_engine.model.limits import hours
from masivo_engine.model.rows import State
from masivo_engine.reports.pack.facts import Facts
from masivo_engine.reports.pages import outcome, page
from masivo_engine.reports.pages.figures import count
from masivo_engine.reports.pages.outcome import Headline, Tone


@dataclass(frozen=True, slots=True)
class Reward:
    """
    What will be sent of one reward: points of balances, and of the transactions that made them.
    """

    reward: str
    balances: Decimal
    transactions: Decimal


def plan_page(known: Facts, plan: Mapping[str, Any], *, has_account: bool) -> str:
    """Write the page of *plan*; it names the page of the account where there is one."""
    entities: Mapping[str, Any] = plan["entities"]
    tiers, months = page.worth(plan)
    return page.render(
        "plan.html",
        facts=known,
        headline=_headline(plan),
        equations=[_equation(name, one) for name, one in entities.items()],
        rewards=_rewards(plan["worth"]),
        tiers=tiers,
        months=months,
        groups=outcome.foretold(plan["reasons"]),
        requests=entities,
        time=hours(plan["hours"]),
        token_refreshes=plan["token_refreshes"],
        has_account=has_account,
    )


def _equation(name: str, one: Mapping[str, Any]) -> page.Equation:
    states = one["states"]
    told = sum(states.values())
    return page.of_rows(name, one["rows"], states, fault="" if told == one["rows"] else f"{count(told)} have a state")


def _headline(plan: Mapping[str, Any]) -> Headline:
    entities = plan["entities"].values()
    rows = sum(one["rows"] for one in entities)
    states = {state: sum(one["states"].get(state, 0) for one in entities) for state in State}
    stay = states[State.QUARANTINED] + states[State.HELD] + states[State.IN_DOUBT]
    if not rows:
        return Headline(Tone.GOOD, "There is nothing to read: no row is in what this run covers.")
    if not plan["requests"]:
        left = f", and {count(stay)} cannot go" if stay else ""
        return Headline(Tone.CARE if stay else Tone.GOOD, f"Nothing has to be sent: {count(rows)} rows are read{left}.")
    records = sum(one["records"] for one in entities)
    requests = count(plan["requests"]) + (" requests" if plan["requests"] != 1 else " request")
    cannot = f" {count(stay)} cannot go now." if stay else " Every row can go."
    sentence = f"{count(records)} of {count(rows)} rows will go, in {requests} and {hours(plan['hours'])}."
    again = sum(one["again"] for one in entities)
    doubtful = (
        f" {count(again)} of them are in doubt, and go only if Masivo is shown not to have them." if again else ""
    )
    return Headline(Tone.CARE if stay else Tone.GOOD, sentence + doubtful + cannot)


def _rewards(worth: Mapping[str, Any]) -> list[Reward]:
    balances, transactions = worth["balances"], worth["transactions"]
    made = [
        Reward(reward, Decimal(balances.get(reward, 0)), Decimal(transactions.get(reward, 0)))
        for reward in {**balances, **transactions}
    ]
    return sorted(made, key=lambda one: (-abs(one.balances), one.reward))
