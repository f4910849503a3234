"""
Do the numbers make sense: places that are rounded away, cents taken for pesos, signs, quantities,
lines that miss their total.

Nothing of this keeps a row from going; that is why somebody has to look.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from statistics import median
from typing import Any

import orjson

from masivo_engine.checks.finding import Finding, note, warning
from masivo_engine.mapping.values import decimal_of
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record


_FEW = 20
_MOST_SKUS = 100_000
_MOST_VALUES = 20_000
_CENT = Decimal("0.01")
_IN = frozenset({"ACCUMULATION"})
_OUT = frozenset({"REDEMPTION", "EXPIRATION"})


class Decimals:
    """
    Looks for values with more decimal places than are sent: *places* are column, position in a row,
    places kept.
    """

    def __init__(self, entity: Entity, places: Sequence[tuple[str, int, int]], *, path: str = "") -> None:
        self._entity = entity
        self._prefix = f"{path}[]." if path else ""
        self._places = places
        self._longer: Counter[str] = Counter()
        self._values: Counter[str] = Counter()
        self._kept = {name: kept for name, _, kept in places}

    def see(self, row: Sequence[Any]) -> None:
        """Look at one row of the file."""
        for name, index, kept in self._places:
            value = row[index]
            if isinstance(value, float | Decimal):
                self._values[name] += 1
                self._longer[name] += _places(value, kept) > kept

    def findings(self) -> Iterator[Finding]:
        """Yield what is rounded."""
        for name, count in self._longer.items():
            if count:
                matter = (
                    f"{self._prefix}{name} has more than {self._kept[name]} decimals in {count:,} of"
                    f" {self._values[name]:,} values"
                )
                do = "they are rounded half up; `places:` in mapping.yaml keeps more"
                yield note(str(self._entity), "more_decimals", matter, do, rows=count)


class Amounts:
    """Looks at the payloads of one entity."""

    def __init__(self, entity: Entity, limits: Limits) -> None:
        self._entity = entity
        self._limits = limits
        self._seen = 0
        self._of: Counter[str] = Counter()
        self._values: list[Decimal] = []
        self._skus: dict[str, set[str]] = {}

    def see(self, record: Record) -> None:
        """Look at one record."""
        self._seen += 1
        self._of["too_large"] += len(record.body) > self._limits.body_bytes
        body = orjson.loads(record.body)
        if self._entity is Entity.EVENTS:
            self._see_order(body["order"])
        elif self._entity is Entity.TRANSACTIONS:
            self._see_transaction(body)
        else:
            born = str(body.get("dob", ""))[:10]
            self._of["odd_birth_date"] += bool(born) and not "1905" <= born <= str(body["registration_date"])[:10]
            self._of["fractional_points"] += any(line["amount"] != int(line["amount"]) for line in body["balance"])

    def findings(self) -> Iterator[Finding]:
        """Yield what looks wrong."""
        where, of = str(self._entity), self._of
        for code, (severity, matter, do) in _SAYS.items():
            if of[code]:
                say = warning if severity == "warning" else note
                yield say(where, code, matter.format(rows=f"{of[code]:,}", seen=f"{self._seen:,}"), do, rows=of[code])
        if len(self._values) >= _FEW and all(value == value.to_integral_value() for value in self._values):
            middle = median(self._values)
            if middle >= 1000:
                matter = (
                    f"order.value is a whole number in all {len(self._values):,} orders, {middle:,.0f} in the middle"
                )
                yield warning(where, "money_in_cents", matter, "if the column holds cents, divide it by 100.0 in SQL")
        alike = sum(len(spellings) for spellings in self._skus.values() if len(spellings) > 1)
        if alike:
            matter = f"{alike:,} products differ from another only by letter case or blanks"
            yield note(where, "skus_alike", matter, "make them alike in SQL if they are one product", rows=alike)

    def _see_order(self, order: Mapping[str, Any]) -> None:
        value, discounted = Decimal(repr(order["value"])), Decimal(repr(order["discounted_value"]))
        if len(self._values) < _MOST_VALUES:
            self._values.append(value)
        self._of["negative_value"] += min(value, discounted) < 0
        self._of["zero_value"] += value == 0
        self._of["discount_negative"] += discounted > value
        lines = order["products"]
        amounts = [line["amount"] for line in lines]
        self._of["negative_quantity"] += any(amount < 0 for amount in amounts)
        self._of["zero_quantity"] += any(amount == 0 for amount in amounts)
        self._of["odd_quantity"] += any(
            line["amount"] >= 1000 and line["amount"] == int(line["amount"]) and line["value"] < line["amount"] / 10
            for line in lines
        )
        self._of["duplicate_line"] += len({orjson.dumps(line) for line in lines}) < len(lines)
        total = sum((Decimal(repr(line["value"])) for line in lines), Decimal(0))
        net = sum((Decimal(repr(line.get("discounted_value", line["value"]))) for line in lines), Decimal(0))
        shipping = Decimal(repr(order.get("shipping", {}).get("value", 0)))
        off = min(abs(known - found) for known in (value, value - shipping) for found in (total, net))
        if off > _CENT * len(lines):
            self._of["lines_do_not_sum"] += 1
        elif off:
            self._of["lines_round"] += 1
        for line in lines:
            if len(self._skus) < _MOST_SKUS:
                self._skus.setdefault(line["sku"].casefold().strip(), set()).add(line["sku"])

    def _see_transaction(self, body: Mapping[str, Any]) -> None:
        kind, amount = body["type"], body["amount"]
        self._of["sign_doubtful"] += (kind in _OUT and amount > 0) or (kind in _IN and amount < 0)
        self._of["zero_points"] += amount == 0
        self._of["fractional_points"] += amount != int(amount)


_SAYS = {
    "too_large": (
        "warning",
        "{rows} records are larger than a whole request may be",
        "shorten their free objects or lists: they are quarantined, too_large",
    ),
    "sign_doubtful": (
        "warning",
        "{rows} of {seen} amounts have the sign that their type does not: points spent or expired are negative",
        "turn the sign in SQL, as in CASE WHEN kind IN (...) THEN -points ELSE points END",
    ),
    "zero_points": ("note", "{rows} transactions are worth no points", "filter them out in SQL unless you want them"),
    "fractional_points": (
        "note",
        "points have decimals in {rows} rows",
        "see that the account's reward takes them, or round both balance and transactions in SQL, alike",
    ),
    "negative_value": (
        "warning",
        "{rows} of {seen} orders have a negative value: refunds as rows of their own, or coupons worth more than the price",
        "decide in SQL: leave them out, or net them with their order; the API may refuse them",
    ),
    "zero_value": ("note", "{rows} of {seen} orders are worth nothing", "leave them out in SQL unless they count as visits"),
    "discount_negative": (
        "warning",
        "{rows} orders cost more after discounts than before",
        "check which column is which: order.value is before discounts, order.discounted_value after",
    ),
    "negative_quantity": (
        "warning",
        "{rows} orders have lines with a negative quantity: returns",
        "decide in SQL: leave such lines out, or net them with the lines that they return",
    ),
    "zero_quantity": ("note", "{rows} orders have lines with quantity 0", "leave such lines out in SQL if they are remarks"),
    "odd_quantity": (
        "warning",
        "{rows} orders have a line with thousands of pieces for little money, as where fuel is counted in thousandths",
        "divide that unit in SQL",
    ),
    "duplicate_line": (
        "note",
        "{rows} orders have two lines that are alike in everything",
        "right for tills that scan one by one; else add DISTINCT or the line's number",
    ),
    "lines_do_not_sum": (
        "warning",
        "{rows} of {seen} orders are not the sum of their lines, neither before discounts nor after",
        "look for taxes, shipping or lines that the SQL leaves out",
    ),
    "lines_round": ("note", "{rows} of {seen} orders miss the sum of their lines by rounding alone", "nothing, if a cent does not matter"),
    "odd_birth_date": (
        "warning",
        "{rows} customers are born before 1905 or after they joined",
        "map such dates to NULL in SQL: the API may refuse them",
    ),
}  # fmt: skip


def _places(value: float | Decimal, kept: int) -> int:
    try:
        exact = decimal_of(value, kept) if isinstance(value, float) else value
        exponent = exact.normalize().as_tuple().exponent
    except InvalidOperation:
        return 0
    return -exponent if isinstance(exponent, int) else 0
