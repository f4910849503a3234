"""
The charts of a pack as numbers: where each bar begins and how long it is. The templates draw them
as inline SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise


WIDE, HIGH = 1000.0, 100.0
_SLIVER = 4.0  # what is there at all is to be seen
_MOST_MONTHS = 240


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar that is `WIDE`: what it stands for, where it begins, how long it is."""

    name: str
    value: Decimal
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a chart that is `WIDE` and `HIGH`: from *y* downwards *height*, at *x*."""

    name: str
    value: Decimal
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns over a line at *zero*; *least* and *most* are the ends of the scale."""

    columns: tuple[Column, ...]
    zero: float
    least: Decimal
    most: Decimal


def bar(states: Mapping[str, Decimal]) -> tuple[Piece, ...]:
    """
    Return *states* side by side, nothing where one is negative.

    The thinnest are widened so that they can be seen, at the cost of the others.
    """
    whole = sum(states.values(), Decimal(0))
    if not whole or min(states.values()) < 0:
        return ()
    widths = {name: max(_SLIVER, float(value / whole) * WIDE) for name, value in states.items() if value}
    scale = WIDE / sum(widths.values())
    pieces, x = [], 0.0
    for name, width in widths.items():
        pieces.append(Piece(name, states[name], round(x, 2), round(width * scale, 2)))
        x += width * scale
    return tuple(pieces)


def part_of(value: Decimal, most: Decimal) -> float:
    """Return how long a bar of *value* is where one of *most* is `WIDE`."""
    return round(float(abs(value) / most) * WIDE, 2) if most else 0.0


def months(amounts: Mapping[str, Decimal]) -> Columns | None:
    """
    Return *amounts* by month (``2026-01``) as columns, months without any included; None where
    there is nothing to see.
    """
    by_month = _without_gaps({month: amount for month, amount in amounts.items() if _number(month) is not None})
    if len(by_month) < 2:
        return None
    most = max(Decimal(0), *by_month.values())
    least = min(Decimal(0), *by_month.values())
    if most == least:
        return None
    per_unit = HIGH / float(most - least)
    zero = float(most) * per_unit
    step = WIDE / len(by_month)
    columns = []
    for number, (month, amount) in enumerate(by_month.items()):
        height = abs(float(amount)) * per_unit
        y = zero - height if amount > 0 else zero
        columns.append(
            Column(month, amount, round((number + 0.1) * step, 2), round(y, 2), round(step * 0.8, 2), round(height, 2))
        )
    return Columns(tuple(columns), round(zero, 2), least, most)


def _without_gaps(amounts: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """
    Put in the months that have nothing, unless one far away would make the rest too small to be
    seen.
    """
    known = sorted(amounts)
    if not known:
        return {}
    numbers = [number for number in map(_number, known) if number is not None]
    if numbers[-1] - numbers[0] > _MOST_MONTHS or any(later <= earlier for earlier, later in pairwise(numbers)):
        return {month: amounts[month] for month in known}
    every = [f"{number // 12:04}-{number % 12 + 1:02}" for number in range(numbers[0], numbers[-1] + 1)]
    return {month: amounts.get(month, Decimal(0)) for month in every}


def _number(month: str) -> int | None:
    year, _, of_year = month.partition("-")
    if len(year) == 4 and year.isdecimal() and of_year.isdecimal() and 1 <= int(of_year) <= 12:
        return int(year) * 12 + int(of_year) - 1
    return None
