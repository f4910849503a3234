"""
A member's points at the invented retailer: what the ledger says, and what is left of it in lots.

One point per ten pesos paid, valid for 365 days; a stamp now and then, valid for ever. Redeemed
points come from the oldest lot. The entries of a member add up to its lots, purse by purse: that is
what planted faults break on purpose.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from random import Random
from typing import Any


Row = dict[str, Any]

# The club opened, and the points in the sample are as of, these naive local moments.
OPENED = datetime.fromisoformat("2021-01-01")
AS_OF = datetime.fromisoformat("2024-01-01")

_VALID = timedelta(days=365)
_REASONS = {"O": "saldo inicial", "E": "compra", "R": "canje en tienda", "X": "vencimiento", "V": "devolucion"}


def account(
    index: int, member_no: int, receipts: Iterable[Row], rng: Random, *, busy: bool, is_old: bool
) -> tuple[list[Row], list[Row]]:
    """
    Return ledger entries and lots of a member with *receipts*; one that *is_old* may bring an
    opening balance.
    """
    book = _Book(member_no, 50_000_000_000 + index * 100_000)
    if busy or (is_old and rng.random() < 0.5):
        book.grant("P", "O", rng.randrange(50, 1_500), OPENED, None)
    for receipt in sorted(receipts, key=lambda row: (row["sold_at"], row["receipt_no"])):
        book.expire(receipt["sold_at"].date())
        _visit(book, receipt, rng)
    book.expire(AS_OF.date())
    return book.entries, book.lots()


def entry(entry_no: int, member_no: int, kind: str, points: int, at: datetime, *, purse: str = "P") -> Row:
    """Return one ledger entry: *points* are unsigned, *kind* is O, E (in) or R, X, V (out)."""
    return {
        "entry_no": entry_no,
        "member_no": member_no,
        "purse": purse,
        "kind": kind,
        "points": points,
        "cost_cents": points if purse == "P" else 0,
        "receipt_no": None,
        "shop_no": None,
        "reason": _REASONS[kind],
        "booked_at": at,
        "effective_at": at + timedelta(minutes=5),
        "changed_at": at + timedelta(minutes=5),
    }


def lot(member_no: int, lot_no: int, purse: str, points: int, granted_at: datetime, expires_on: date | None) -> Row:
    """Return one lot: *points* of *purse* that are left of what was granted at once."""
    return {
        "member_no": member_no,
        "lot_no": lot_no,
        "purse": purse,
        "points": points,
        "granted_at": granted_at,
        "expires_on": expires_on,
    }


def _visit(book: _Book, receipt: Row, rng: Random) -> None:
    at = receipt["sold_at"]
    points = (receipt["total_cents"] - receipt["discount_cents"]) // 1_000
    if points:
        book.grant("P", "E", points, at, receipt)
        if rng.random() < 0.03:
            book.take_back(points, at + timedelta(hours=30))
    if rng.random() < 0.25:
        book.grant("S", "E", 1, at, receipt)
    if book.points >= 200 and rng.random() < 0.25:
        book.spend(50 * rng.randrange(1, 1 + book.points // 50), at + timedelta(minutes=1))


class _Book:
    """
    The lots of one member while its history is played, oldest first; a lot is [points, granted at,
    expires on].
    """

    def __init__(self, member_no: int, first_entry_no: int) -> None:
        self._member_no = member_no
        self._first_entry_no = first_entry_no
        self._open: deque[list[Any]] = deque()
        self._stamps: list[datetime] = []
        self.entries: list[Row] = []

    @property
    def points(self) -> int:
        return sum(points for points, _, _ in self._open)

    def grant(self, purse: str, kind: str, points: int, at: datetime, receipt: Row | None) -> None:
        made = self._write(kind, points, at, purse=purse)
        if receipt is not None:
            made.update(receipt_no=receipt["receipt_no"], shop_no=receipt["shop_no"])
        if purse == "P":
            self._open.append([points, at, at.date() + _VALID])
        else:
            self._stamps.append(at)

    def take_back(self, points: int, at: datetime) -> None:
        self._open.pop()
        self._write("V", points, at)

    def spend(self, points: int, at: datetime) -> None:
        self._write("R", points, at)
        while points:
            oldest = self._open[0]
            used = min(points, oldest[0])
            oldest[0] -= used
            points -= used
            if not oldest[0]:
                self._open.popleft()

    def expire(self, today: date) -> None:
        gone = 0
        last = today
        while self._open and self._open[0][2] <= today:
            points, _, last = self._open.popleft()
            gone += points
        if gone:
            self._write("X", gone, datetime.combine(last, time(3, 30)))

    def lots(self) -> list[Row]:
        left: list[tuple[str, int, datetime, date | None]] = [
            ("P", points, at, expiry) for points, at, expiry in self._open
        ]
        if self._stamps:
            left.append(("S", len(self._stamps), self._stamps[0], None))
        return [lot(self._member_no, lot_no, *what) for lot_no, what in enumerate(left, start=1)]

    def _write(self, kind: str, points: int, at: datetime, *, purse: str = "P") -> Row:
        made = entry(self._first_entry_no + len(self.entries), self._member_no, kind, points, at, purse=purse)
        self.entries.append(made)
        return made
