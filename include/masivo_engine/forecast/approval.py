"""
Whether a plan is so large, or so bad, that a person should look at it before the first request:
what exceeds the bounds that were typed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from masivo_engine.model.limits import hours
from masivo_engine.model.rows import State


_DOES_NOT_GO = (State.QUARANTINED, State.HELD, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Bounds:
    """
    What a run may do unasked; None is any.

    *rows* that it sends, *quarantined* per cent of those read that had not been so before, *points*
    of rows that newly do not go,
    *adopted* rows that were never sent.
    """

    rows: int | None = None
    quarantined: float | None = None
    points: Decimal | None = None
    adopted: int | None = None


def exceeded(plan: Mapping[str, Any], bounds: Bounds) -> Iterator[str]:
    """Yield a sentence for each of *bounds* that *plan*, a forecast as JSON, exceeds."""
    entities = plan["entities"].values()
    sent = sum(entity["records"] for entity in entities)
    if bounds.rows is not None and sent > bounds.rows:
        yield f"{sent:,} records would be sent; above {bounds.rows:,} a person has to approve"
    read = sum(entity["rows"] for entity in entities)
    # What had ended so before is read again by every run, and was looked at then.
    quarantined = sum(why["new"] for why in plan["reasons"] if why["state"] == State.QUARANTINED)
    share = 100 * quarantined / read if read else 0.0
    if bounds.quarantined is not None and share > bounds.quarantined:
        yield (
            f"{share:.1f} % of {read:,} rows would be newly quarantined; above {bounds.quarantined:g} % a person has to"
            " approve"
        )
    left = (why for why in plan["reasons"] if why["state"] in _DOES_NOT_GO)
    points = sum((abs(Decimal(why["new_points"])) for why in left), Decimal(0))
    if bounds.points is not None and points > bounds.points:
        yield f"{points:,} points hang on rows that would newly not go; above {bounds.points:,} a person has to approve"
    never_sent = sum(entity["never_sent"] for entity in entities)
    if bounds.adopted is not None and never_sent > bounds.adopted:
        yield (
            f"{never_sent:,} rows that were never sent would count as delivered; above {bounds.adopted:,} a person has"
            " to approve"
        )


def as_markdown(plan: Mapping[str, Any]) -> str:
    """Write *plan* as a person who has to approve it wants to see it."""
    lines = [
        f"**{plan['covers']}** · {plan['requests']:,} requests, {hours(plan['hours'])} on the lane",
        "",
        "| | read | sent | of these in doubt | unchanged | of these never sent | quarantined | held |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, entity in plan["entities"].items():
        states = entity["states"]
        counts = [
            entity["rows"],
            entity["records"],
            entity["again"],
            states[State.UNCHANGED],
            entity["never_sent"],
            *(states[s] for s in (State.QUARANTINED, State.HELD)),
        ]
        lines.append(f"| {name} | " + " | ".join(f"{count:,}" for count in counts) + " |")
    left = [why for why in plan["reasons"] if why["state"] in _DOES_NOT_GO]
    lines += ["", "What would not go, most rows first:" if left else "Nothing would be left behind.", ""]
    for why in left[:20]:
        column = f" ({why['column']})" if why["column"] else ""
        lines.append(
            f"- {why['rows']:,} {why['entity']}: {why['state']}, {why['reason']}{column}, {why['points']} points"
        )
    return "\n".join(lines)
