"""
One member of the invented retailer, with everything that hangs on it: contacts, receipts, lines,
payments, points.

A member depends on the seed and its own number only, so a database of any size is made a few
members at a time and its first part is the same whatever its size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from masivo_engine.samples.retailer.points import AS_OF, OPENED, account


Row = dict[str, Any]

TIERS = (("BRO", "Bronce", 0), ("SIL", "Plata", 500), ("GOL", "Oro", 2_000), ("PLA", "Platino", 6_000))
SHOPS = tuple(
    (f"{number:04d}", "CN" if number % 3 else "EX", name)
    for number, name in ((1, "Centro"), (3, "Roma"), (7, "Coyoacan"), (12, "Satelite"), (45, "Puebla"), (208, "Merida"))
)
WEB_SHOP = ("0900", "CN", "Tienda en linea")

_FIRST = (
    "Ana", "María José", "Lucía", "Sofía", "Guadalupe", "Ximena", "Renata", "Begoña", "Inés", "Zoé",
    "José", "Juan Pablo", "Andrés", "Íñigo", "Raúl", "Héctor", "Ulises", "Martín", "Tomás", "Óscar",
)  # fmt: skip
_LAST = (
    "García", "Hernández", "Muñoz", "Peña", "Núñez", "López", "Pérez", "Ávila", "Ibáñez", "Ortiz", "O'Farrill",
    "de la Cruz", "Zúñiga", "Sánchez", "Ramírez", "Güemes", "Vázquez", "Castro", "Treviño", "Solís",
)  # fmt: skip
_MAIL = ("correo.example", "mail.example", "buzon.example")
_PLAIN = str.maketrans("áéíóúüñÁÉÍÓÚÜÑ", "aeiouunAEIOUUN", " '")
_METHODS = ("C", "C", "D", "D", "E", "E", "E", "T", "9")
_SEGMENTS = ("familia", "joven", "gourmet", "ahorro")
_FOUNDED = datetime.fromisoformat("2015-01-01")


@dataclass(slots=True)
class Person:
    """
    One member's rows, each a column name to a value; faults are planted by changing them.

    *neighbour_email* is the address of a faultless member with a smaller number, for whoever is to
    share one.
    """

    number: int
    member: Row
    contacts: list[Row]
    receipts: list[Row] = field(default_factory=list)
    lines: list[Row] = field(default_factory=list)
    payments: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    lots: list[Row] = field(default_factory=list)
    neighbour_email: str = ""

    @property
    def nobody(self) -> int:
        """A member number just behind this one that no member has."""
        return self.number + 1

    def lines_of(self, receipt: Row) -> list[Row]:
        """Return the lines of *receipt*."""
        return [line for line in self.lines if line["receipt_no"] == receipt["receipt_no"]]


def member_number(index: int) -> int:
    """Return the number of the member at *index*; numbers have gaps, which orphans refer to."""
    return 100_003 + 3 * index


def email_of(index: int, seed: int) -> str:
    """Return the address that the member at *index* has unless something else was planted."""
    return _identity(index, seed)[2]


def person(index: int, seed: int, *, busy: bool = False) -> Person:
    """
    Make the member at *index*; one that is *busy* has at least two receipts and an opening balance
    of points.
    """
    first, last, email = _identity(index, seed)
    rng = Random(f"{seed}/{index}/life")  # noqa: S311 (reproducible, not secret)
    number = member_number(index)
    joined = _in_opening_hours(_FOUNDED + timedelta(seconds=rng.randrange(3_100 * 86_400)), rng)

    made = Person(number, _member(number, first, last, joined, rng), _contacts(number, email, rng))
    count = max(int(rng.lognormvariate(1.3, 0.9)), 2 if busy else 0)
    for order_no, at in enumerate(_visits(max(joined, OPENED), count, rng)):
        _shop(made, 20_000_000_000 + index * 10_000 + order_no, at, rng)
    made.entries, made.lots = account(index, number, made.receipts, rng, busy=busy, is_old=joined < OPENED)
    _sum_up(made, rng)
    return made


def _identity(index: int, seed: int) -> tuple[str, str, str]:
    rng = Random(f"{seed}/{index}/name")  # noqa: S311 (reproducible, not secret)
    first, last = rng.choice(_FIRST), f"{rng.choice(_LAST)} {rng.choice(_LAST)}"
    local = f"{first}.{last}".translate(_PLAIN).lower()
    return first, last, f"{local}.{member_number(index)}@{rng.choice(_MAIL)}"


def _member(number: int, first: str, last: str, joined: datetime, rng: Random) -> Row:
    birth = f"{rng.randrange(1935, 2005)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
    extra = f'{{"segment": "{rng.choice(_SEGMENTS)}", "newsletter": {rng.choice(("true", "false"))}}}'
    return {
        "member_no": number,
        "first_name": first,
        "last_name": last,
        "gender_code": rng.choice((0, 1, 1, 1, 2, 2, 2, 2, None)),
        "birth_date": birth if rng.random() < 0.8 else None,
        "status": "A" if rng.random() < 0.93 else "I",
        "tier_code": "BRO",
        "home_shop_no": rng.choice(SHOPS)[0],
        "joined_at": joined,
        "club_since": max(joined, OPENED),
        "last_visit_at": None,
        "visit_count": 0,
        "spend_cents": 0,
        "extra_json": extra if rng.random() < 0.6 else None,
        "changed_at": joined,
    }


def _contacts(number: int, email: str, rng: Random) -> list[Row]:
    values = [("E", email, 1)]
    if rng.random() < 0.2:
        values.append(("E", f"antes.{email}", 0))
    if rng.random() < 0.7:
        values.append(("M", f"+52 55 {rng.randrange(10_000_000, 100_000_000)}", 1))
    if rng.random() < 0.5:
        # A postal code with a leading zero, as the south of Mexico City has them.
        values.append(
            ("P", f"Calle {rng.randrange(1, 90)} No. {rng.randrange(1, 400)}, 0{rng.randrange(1000, 9999)} CDMX", 1)
        )
    return [
        {
            "contact_no": number * 10 + place,
            "member_no": number,
            "kind": kind,
            "contact_value": value,
            "is_primary": primary,
        }
        for place, (kind, value, primary) in enumerate(values)
    ]


def _visits(since: datetime, count: int, rng: Random) -> list[datetime]:
    room = max(int((AS_OF - since).total_seconds()) - 2 * 86_400, 86_400)
    return [since + timedelta(seconds=rng.randrange(room)) for _ in range(count)]


def _shop(made: Person, receipt_no: int, at: datetime, rng: Random) -> None:
    is_web = rng.random() < 0.25
    at = at if is_web else _in_opening_hours(at, rng)
    total = discounts = 0
    for line_no in range(1, 1 + min(1 + int(rng.expovariate(0.5)), 40)):
        line = _line(receipt_no, line_no, rng)
        total, discounts = total + line["gross_cents"], discounts + line["discount_cents"]
        made.lines.append(line)
    settled = at + timedelta(seconds=rng.randrange(60, 90_000)) if is_web else at
    made.receipts.append(
        {
            "receipt_no": receipt_no,
            "member_no": made.number,
            "shop_no": WEB_SHOP[0] if is_web else rng.choice(SHOPS)[0],
            "channel": "W" if is_web else "S",
            "sold_at": at,
            "settled_at": None if is_web and rng.random() < 0.05 else settled,
            "total_cents": total,
            "discount_cents": discounts,
            "changed_at": settled + timedelta(seconds=rng.randrange(600)),
        }
    )
    paid = total - discounts
    made.payments.append(
        {"receipt_no": receipt_no, "seq_no": 1, "method_code": rng.choice(_METHODS), "paid_cents": paid}
    )
    if paid > 100_000 and rng.random() < 0.3:
        made.payments[-1]["paid_cents"] = paid - 50_000
        made.payments.append({"receipt_no": receipt_no, "seq_no": 2, "method_code": "E", "paid_cents": 50_000})


def _line(receipt_no: int, line_no: int, rng: Random) -> Row:
    item = rng.randrange(400)
    unit_cents = 1_500 + item * 7_919 % 24_500
    is_weighed = item % 10 == 0
    thousandths = rng.randrange(100, 3_000) if is_weighed else 1_000 * (1 + int(rng.expovariate(1.2)))
    gross = (unit_cents * thousandths + 500) // 1_000
    return {
        "receipt_no": receipt_no,
        "line_no": line_no,
        "sku": f"{item:05d}-{'KG' if is_weighed else 'PZ'}",
        "item_name": f"Artículo {item}",
        "quantity": thousandths / 1_000,
        "gross_cents": gross,
        "discount_cents": gross * rng.randrange(5, 31) // 100 if rng.random() < 0.15 else 0,
    }


def _sum_up(made: Person, rng: Random) -> None:
    sold = [receipt["sold_at"] for receipt in made.receipts]
    earned = sum(entry["points"] for entry in made.entries if entry["kind"] in "EO")
    changes = [row["changed_at"] for row in (*made.receipts, *made.entries)]
    made.member.update(
        last_visit_at=max(sold, default=None),
        visit_count=len(sold),
        spend_cents=sum(receipt["total_cents"] - receipt["discount_cents"] for receipt in made.receipts),
        tier_code=[code for code, _, entry in TIERS if earned >= entry][-1],
        changed_at=max((*changes, made.member["joined_at"])) + timedelta(seconds=rng.randrange(3_600)),
    )


def _in_opening_hours(at: datetime, rng: Random) -> datetime:
    return at.replace(hour=9 + math.floor(rng.random() * 12))
