"""How numbers and moments are written on the pages and in the files of a pack."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal


def count(value: int) -> str:
    """Write *value* with thousands separators."""
    return f"{value:,}"


def points(value: Decimal | str | int) -> str:
    """
    Write an amount with thousands separators and every digit that it has, but for zeros at its end.
    """
    return f"{_without_zeros(value):,f}"


def off(too_many: Decimal, too_few: Decimal) -> str:
    """Write how many points there are too many, and how many too few."""
    parts = [
        f"{points(value)} points {what}" for value, what in ((too_many, "too many"), (too_few, "too few")) if value
    ]
    return ", ".join(parts) or "the points agree"


def plain(value: Decimal | str | int) -> str:
    """Write an amount for a machine: the same digits, no separators."""
    return f"{_without_zeros(value):f}"


def share(part: float) -> str:
    """Write a part of 1 as a percentage; only everything is 100 %."""
    return "100 %" if part == 1 else f"{min(part, 0.999) * 100:.1f} %"


def bound(part: float) -> str:
    """Write a part of 1 that is an upper bound, to two digits that count."""
    return f"{part * 100:.2g} %"


def moment(value: datetime | None) -> str:
    """Write a time of the ledger (UTC without a zone), to the second."""
    return "" if value is None else f"{value:%Y-%m-%d %H:%M:%S} UTC"


def stamp(value: datetime | None) -> str:
    """Write a time of the ledger for a machine."""
    return "" if value is None else f"{value.isoformat(timespec='milliseconds')}Z"


def length(value: timedelta | None) -> str:
    """Write how long something took."""
    if value is None:
        return ""
    seconds = round(value.total_seconds())
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02} min"


def size(value: int) -> str:
    """Write *value* bytes."""
    if value < 1_000:
        return f"{value} bytes"
    return f"{value / 1e3:,.1f} kB" if value < 1_000_000 else f"{value / 1e6:,.1f} MB"


def _without_zeros(value: Decimal | str | int) -> Decimal:
    amount = Decimal(value)
    return amount.quantize(Decimal(1)) if amount == amount.to_integral_value() else amount.normalize()
