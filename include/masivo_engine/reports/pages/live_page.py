"""
What Airflow's UI shows of the ledger as it stands: all runs at a glance, and the account of one,
also while it is under way.

They are made for each look and kept nowhere; what is to be kept is the pack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.tallies import Tally
from masivo_engine.model.limits import Limits, hours, lane_hours
from masivo_engine.model.rows import State
from masivo_engine.model.runs import DRY_RUN
from masivo_engine.reports.account import account
from masivo_engine.reports.overview import RunLine, lane_state, newest_runs, open_rows
from masivo_engine.reports.pack.facts import Facts, facts
from masivo_engine.reports.pack.findings import proof
from masivo_engine.reports.pages import outcome, page
from masivo_engine.reports.pages.account_page import Request, equations, gone, points_of_all, request
from masivo_engine.reports.pages.charts import WIDE
from masivo_engine.reports.pages.figures import count
from masivo_engine.reports.pages.outcome import ADDS_UP, Headline, Tone
from masivo_engine.reports.pages.plan_page import plan_page


REFRESH_S = 10
_REFRESH_OF_LARGE_S, _LARGE = 60, 200  # requests: counting the rows of so many takes seconds
_MOST_RUNS = 50


@dataclass(frozen=True, slots=True)
class Progress:
    """
    How many of an entity's requests are made; *planned* is None where there is no plan, *width*
    that of its bar.
    """

    entity: str
    requests: int
    planned: int | None
    sent: int
    width: float


def runs_page(ledger: Ledger, limits: Limits, link: Callable[[str], str]) -> str:
    """Write the page of all runs; *link* gives the address of one by the ledger's name."""
    runs, left = newest_runs(ledger, _MOST_RUNS), open_rows(ledger)
    return page.render(
        "runs.html",
        headline=_headline(runs, left),
        under_way={one.number for one in _under_way(runs)},
        refresh_s=REFRESH_S,
        groups=outcome.groups(left, {}),
        lane=lane_state(ledger),
        limits=limits,
        runs=runs,
        most=_MOST_RUNS,
        link=link,
    )


def run_page(ledger: Ledger, name: str, limits: Limits, links: Mapping[str, str]) -> str:
    """
    Write the page of one run; *links* are the addresses of *all* runs and of its *plan*. Raises
    `LedgerError` where there is no such run.
    """
    known, made = facts(ledger, name), account(ledger, name, limits)
    found = proof(ledger, known.number, made)
    is_dry, is_finished = known.kind == DRY_RUN, known.finished_at is not None
    requests = [request(one, known.plan, limits) for one in made.entities]
    progress = [_progress(one) for one in requests]
    return page.render(
        "run.html",
        facts=known,
        headline=_of_dry_run(known) if is_dry else outcome.proved(outcome.headline(made), found),
        is_dry=is_dry,
        is_finished=is_finished,
        # Also while it is being read back.
        is_live=not is_finished or (found.last is not None and not found.is_judged),
        refresh_s=REFRESH_S if sum(one.requests for one in requests) <= _LARGE else _REFRESH_OF_LARGE_S,
        links={"all": links["all"], "plan": links["plan"] if known.plan else ""},
        progress=progress,
        left=_left(progress, limits),
        equations=equations(made),
        points=points_of_all(made),
        gone=gone(made),
        proof=found,
        groups=outcome.groups(made.troubles, {}),
        requests=requests,
        limits=limits,
    )


def plan_as_it_stands(ledger: Ledger, name: str) -> str:
    """
    Write the page of a run's plan, empty where it has none. Raises `LedgerError` where there is no
    such run.
    """
    known = facts(ledger, name)
    return plan_page(known, known.plan, has_account=False) if known.plan else ""


def message_page(sentence: str, all_runs: str) -> str:
    """Write a page that says why there is no other; *all_runs* is the address of all runs."""
    return page.render("message.html", headline=Headline(Tone.CARE, sentence), all_runs=all_runs)


def _headline(runs: Sequence[RunLine], left: Sequence[Tally]) -> Headline:
    held = sum(one.rows for one in left if one.state == State.HELD)
    needs = sum(one.rows for one in left) - held
    stayed = [
        *([f"{count(needs)} {'rows need' if needs != 1 else 'row needs'} a person"] if needs else []),
        *([f"{count(held)} {'rows wait' if held != 1 else 'row waits'}"] if held else []),
    ]
    waits = f"{' and '.join(stayed)}." if stayed else "Nothing stayed behind."
    more = tuple(f"Under way: {one.name}." for one in _under_way(runs))
    ended = next((one for one in runs if one.finished_at is not None), None)
    if not runs:
        return Headline(Tone.CARE, "No run has read anything yet.")
    if ended is not None and _is_red(ended):
        return Headline(Tone.BAD, f"The newest run that ended is red: {ended.outcome}.", (waits, *more))
    return Headline(Tone.CARE if stayed else Tone.GOOD, waits, more)


def _is_red(one: RunLine) -> bool:
    return one.outcome != ADDS_UP and not one.outcome.startswith("dry run")


def _under_way(runs: Sequence[RunLine]) -> list[RunLine]:
    """
    Return the runs that have not ended, but for those that a newer one of their kind follows: a
    person has ended them in Airflow.
    """
    newest = {one.kind: one for one in reversed(runs)}
    return [one for one in runs if one.finished_at is None and newest[one.kind] is one]


def _of_dry_run(known: Facts) -> Headline:
    if known.finished_at is None:
        return Headline(Tone.CARE, "This dry run is not finished; nothing will be sent.")
    if known.plan is None:
        return Headline(Tone.BAD, f"This dry run is red: {known.outcome}.")
    return Headline(Tone.GOOD, "This was a dry run: nothing was sent.")


def _progress(one: Request) -> Progress:
    width = min(1.0, one.requests / one.planned) * WIDE if one.planned else 0.0
    return Progress(one.entity, one.requests, one.planned, one.sent, round(width, 1))


def _left(progress: list[Progress], limits: Limits) -> str:
    if not progress or any(one.planned is None for one in progress):
        return "How much there is to send is not known yet: the plan is being made."
    left = sum(max(0, (one.planned or 0) - one.requests) for one in progress)
    if not left:
        return "No request that was planned is left."
    are = "request is left, which takes" if left == 1 else "requests are left, which take"
    return f"About {count(left)} {are} {hours(lane_hours(left, limits))} of the lane."
