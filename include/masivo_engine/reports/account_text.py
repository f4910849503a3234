"""An account as text, for people, and as JSON, for machines."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import Account, EntityAccount


def as_json(made: Account) -> dict[str, Any]:
    """Return *made* as plain JSON values; points are text, so that no digit is lost."""
    return {
        "run": made.run_id,
        "mapping": made.mapping,
        "covers": made.covers,
        "outcome": made.outcome,
        "adds_up": made.adds_up,
        "entities": {
            entity.entity.value: {
                "read": entity.read,
                **{state.value: entity.states.get(state, 0) for state in State},
                "on_the_way": entity.on_the_way,
                "gone": entity.gone,
                "gone_points": str(entity.gone_points),
                "adds_up": entity.adds_up,
                "points": {state: str(points) for state, points in entity.points.items()},
                "slices": entity.slices,
                "unfinished_slices": entity.unfinished,
                "requests": entity.requests,
                "least_requests": entity.least_requests,
                "sent": entity.sent,
            }
            for entity in made.entities
        },
        "reasons": [
            {
                "entity": trouble.entity.value,
                "state": trouble.state,
                "reason": trouble.reason,
                "column": trouble.column,
                "rows": trouble.rows,
                "new": trouble.new,
                "points": str(trouble.points),
            }
            for trouble in made.troubles
        ],
        "left_out": [{**one._asdict(), "entity": one.entity.value} for one in made.left_out],
    }


def as_text(made: Account) -> str:
    """Write *made* for people."""
    lines = [f"run {made.run_id} · mapping {made.mapping} · {made.covers} · {made.outcome}", ""]
    states = [state.value for state in State]
    lines.append(_row("records", ["read", *states, ""]))
    for entity in made.entities:
        counts = [entity.read, *(entity.states.get(state, 0) for state in states)]
        verdict = "adds up" if entity.adds_up else _what_fails(entity)
        lines.append(_row(entity.entity, [*(f"{count:,}" for count in counts), verdict]))
    lines += ["", _row("points", ["", *states, ""])]
    for entity in made.entities:
        if entity.entity is not Entity.EVENTS:
            points = [entity.points.get(state, Decimal(0)) for state in states]
            lines.append(_row(entity.entity, ["", *map(_amount, points), ""]))
    lines += ["", *_request_lines(made), *_gone_lines(made), "", *_reason_lines(made), *_left_out_lines(made)]
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


def _row(name: str, cells: Iterable[str]) -> str:
    return f"{name:<13}" + "".join(f"{cell:>12}" for cell in cells)


def _what_fails(entity: EntityAccount) -> str:
    if entity.unfinished:
        return f"  DOES NOT ADD UP: {entity.unfinished} of {entity.slices} slices are not finished"
    return f"  DOES NOT ADD UP: {entity.total:,} in the ledger, {entity.on_the_way:,} of them on the way"


def _request_lines(made: Account) -> list[str]:
    requests, least = sum(e.requests for e in made.entities), sum(e.least_requests for e in made.entities)
    if made.is_plan:
        return [f"a plan: all of this would become of the rows, in {requests:,} requests (least possible {least:,})"]
    if not requests:
        return ["nothing was sent: no request was made"]
    parts = ", ".join(f"{e.entity} {e.requests:,} of {e.least_requests:,}" for e in made.entities if e.requests)
    times = f" ({requests / least:.3f} times the least possible)" if least else ""
    return [f"requests {requests:,}, least possible {least:,}{times}: {parts}"]


def _gone_lines(made: Account) -> list[str]:
    gone = [
        f"{e.entity} {e.gone:,}" + (f" ({_amount(e.gone_points)} points)" if e.gone_points else "")
        for e in made.entities
        if e.gone
    ]
    return [f"gone from the legacy database, and Masivo has them: {', '.join(gone)}"] if gone else []


def _left_out_lines(made: Account) -> list[str]:
    lines = [f"  {one.rows:>8,}  {one.entity:<13}{one.reason}" for one in made.left_out]
    return ["left out by the mapping, of the whole database when the plan was made", *lines] if lines else []


def _amount(points: Decimal) -> str:
    return f"{points:,.2f}".removesuffix(".00")


def _reason_lines(made: Account) -> list[str]:
    lines = []
    for state in (State.QUARANTINED, State.HELD, State.IN_DOUBT, State.DELIVERED):
        troubles = sorted((t for t in made.troubles if t.state == state), key=lambda t: (-t.rows, t.entity, t.reason))
        if troubles:
            lines += [f"{state}, by reason"]
        for trouble in troubles:
            reason = REASONS.get(trouble.reason)
            column = f" ({trouble.column})" if trouble.column else ""
            said = f"{reason.means}; {reason.do}" if reason else ""
            lines.append(f"  {trouble.rows:>8,}  {trouble.entity:<13}{trouble.reason}{column}: {said}".rstrip(": "))
    return lines
