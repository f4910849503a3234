"""What both pages of a pack are made of: the template engine, equations, and bars."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from masivo_engine.model.limits import hours
from masivo_engine.model.rows import State
from masivo_engine.reports.pages import charts, figures, outcome
from masivo_engine.reports.pages.charts import Columns, Piece


@dataclass(frozen=True, slots=True)
class Term:
    """One state of an equation and what it comes to, as text."""

    state: str
    value: str
    is_nothing: bool


@dataclass(frozen=True, slots=True)
class Equation:
    """
    ``whole = term + term ...`` of *what*; *fault* says why it does not hold, empty where it does.
    """

    what: str
    unit: str
    whole: str
    terms: tuple[Term, ...]
    pieces: tuple[Piece, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A named amount as a line of a table with a bar; *rows* are how many records it is of."""

    name: str
    value: Decimal
    width: float
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Months:
    """Amounts by month with their chart."""

    title: str
    chart: Columns
    amounts: tuple[tuple[str, Decimal], ...]


def render(template: str, **values: Any) -> str:
    """Fill *template*; every value is escaped, and one that is missing is an error."""
    return _environment().get_template(template).render(made_at=datetime.now(UTC).replace(tzinfo=None), **values)


def of_rows(what: str, whole: int, states: Mapping[str, int], *, fault: str = "") -> Equation:
    """Return the equation of *what* in records."""
    known = {state.value: states.get(state, 0) for state in State}
    terms = tuple(Term(state, figures.count(rows), is_nothing=not rows) for state, rows in known.items())
    pieces = charts.bar({state: Decimal(rows) for state, rows in known.items()})
    return Equation(what, "records", figures.count(whole), terms, pieces, fault)


def of_points(what: str, states: Mapping[str, Decimal]) -> Equation:
    """Return the equation of *what* in points."""
    known = {state.value: states.get(state, Decimal(0)) for state in State}
    terms = tuple(Term(state, figures.points(amount), is_nothing=not amount) for state, amount in known.items())
    return Equation(what, "points", figures.points(sum(known.values(), Decimal(0))), terms, charts.bar(known))


def bars(amounts: Mapping[str, tuple[int, Decimal]]) -> tuple[Bar, ...]:
    """Return *amounts*, each with how many records it is of, as bars, the longest first."""
    most = max((abs(amount) for _, amount in amounts.values()), default=Decimal(0))
    ordered = sorted(amounts.items(), key=lambda item: (-abs(item[1][1]), item[0]))
    return tuple(Bar(name, amount, charts.part_of(amount, most), rows) for name, (rows, amount) in ordered)


def worth(plan: Mapping[str, Any]) -> tuple[tuple[Bar, ...], tuple[Months, ...]]:
    """Return what a plan's records are worth: points by tier, and what there is by month."""
    known = plan["worth"]
    tiers = bars({tier: (one["customers"], Decimal(one["points"])) for tier, one in known["tiers"].items()})
    by_month = (
        ("Points of transactions, by the month of issue", known["points_by_month"]),
        ("Money of purchases, by month", known["money_by_month"]),
    )
    return tiers, tuple(made for title, amounts in by_month if (made := _months(title, amounts)))


def _months(title: str, written: Mapping[str, str]) -> Months | None:
    amounts = {month or "no month": Decimal(amount) for month, amount in sorted(written.items())}
    chart = charts.months(amounts)
    return Months(title, chart, tuple(amounts.items())) if chart else None


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "bound": figures.bound,
        "count": figures.count,
        "hours": hours,
        "took": figures.length,
        "moment": figures.moment,
        "off": figures.off,
        "points": figures.points,
        "share": figures.share,
        "size": figures.size,
        "state": outcome.name,
    }
    environment.globals |= {"MEANINGS": outcome.MEANINGS, "WIDE": charts.WIDE, "HIGH": charts.HIGH}
    return environment
