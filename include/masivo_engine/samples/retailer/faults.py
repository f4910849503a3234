"""
The faults themselves: a `Plant` spoils the rows of one member in one way and returns the keys of
the spoilt rows.

It is given a *busy* member: at least two receipts, each with a line and a payment, and at least one
ledger entry.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from masivo_engine.samples.retailer.people import Person, Row
from masivo_engine.samples.retailer.points import AS_OF, OPENED, entry, lot


Plant = Callable[[Person], list[str]]

_MALFORMED = (
    "sin correo",
    "ana@",
    "@correo.example",
    "ana lopez@correo.example",
    "ana@@correo.example",
    "ana.correo.example",
)


def member(**values: Any) -> Plant:
    """Give the member other *values*; none, where SQL spoils the row once it is inserted."""

    def plant(person: Person) -> list[str]:
        person.member.update(values)
        return _key(person)

    return plant


def last_order(**values: Any) -> Plant:
    """Give the last receipt other *values*; none, where SQL spoils the row once it is inserted."""

    def plant(person: Person) -> list[str]:
        person.receipts[-1].update(values)
        return [_number(person.receipts[-1])]

    return plant


def first_line(**values: Any) -> Plant:
    """Give the first line of the last receipt other *values*."""

    def plant(person: Person) -> list[str]:
        person.lines_of(person.receipts[-1])[0].update(values)
        return [_number(person.receipts[-1])]

    return plant


def last_grant(**values: Any) -> Plant:
    """Give the last ledger entry that brought points other *values*."""

    def plant(person: Person) -> list[str]:
        spoilt = _last_grant(person)
        spoilt.update(values)
        return [_entry_number(spoilt)]

    return plant


def no_email(person: Person) -> list[str]:
    person.contacts = [row for row in person.contacts if row["kind"] != "E"]
    return _key(person)


def bad_email(person: Person) -> list[str]:
    _email(person)["contact_value"] = _MALFORMED[person.number // 3 % len(_MALFORMED)]
    return _key(person)


def shared_email(person: Person) -> list[str]:
    # Every other one in capitals: the same address to whoever reads it, another text to a database.
    shared = person.neighbour_email
    _email(person)["contact_value"] = shared.upper() if person.number % 2 else shared
    return _key(person)


def loud_email(person: Person) -> list[str]:
    _email(person)["contact_value"] = f" {_email(person)['contact_value'].upper()} "
    return _key(person)


def no_name(person: Person) -> list[str]:
    person.member["first_name"] = person.member["last_name"] = None if person.number % 2 else ""
    return _key(person)


def nul_in_name(person: Person) -> list[str]:
    person.member["first_name"] += "\x00"
    return _key(person)


def below_zero(person: Person) -> list[str]:
    """Redeem more than there is; the entries still add up to the balance, which is the fault."""
    left = sum(row["points"] for row in person.lots if row["purse"] == "P")
    person.entries.append(entry(_next_entry(person), person.number, "R", left + 150, AS_OF - timedelta(hours=1)))
    stamps = [row for row in person.lots if row["purse"] == "S"]
    person.lots = [*stamps, lot(person.number, 90, "P", -150, AS_OF - timedelta(hours=1), None)]
    return _key(person)


def no_lines(person: Person) -> list[str]:
    spoilt = person.receipts[-1]
    person.lines = [line for line in person.lines if line["receipt_no"] != spoilt["receipt_no"]]
    return [_number(spoilt)]


def orphan_order(person: Person) -> list[str]:
    spoilt = _further_order(person)
    spoilt["member_no"] = person.nobody
    return [_number(spoilt)]


def guest_order(person: Person) -> list[str]:
    spoilt = _further_order(person)
    spoilt["member_no"] = None
    return [_number(spoilt)]


def keyless_order(person: Person) -> list[str]:
    person.receipts.append({**person.receipts[-1], "receipt_no": None})
    return [""]


def order_twice(person: Person) -> list[str]:
    first = person.receipts[-1]
    person.receipts.append({**first, "shop_no": "0001", "total_cents": first["total_cents"] + 100})
    return [_number(first)] * 2


def order_copy(person: Person) -> list[str]:
    person.receipts.append({**person.receipts[-1]})
    return [_number(person.receipts[-1])]


def payment_q(person: Person) -> list[str]:
    spoilt = person.receipts[-1]
    for payment in person.payments:
        if payment["receipt_no"] == spoilt["receipt_no"] and payment["seq_no"] == 1:
            payment["method_code"] = "Q"
    return [_number(spoilt)]


def entry_twice(person: Person) -> list[str]:
    first = _last_grant(person)
    person.entries.append({**first, "points": first["points"] + 10})
    return [_entry_number(first)] * 2


def entry_copy(person: Person) -> list[str]:
    first = _last_grant(person)
    person.entries.append({**first})
    return [_entry_number(first)]


def orphan_entry(person: Person) -> list[str]:
    spoilt = entry(_next_entry(person), person.nobody, "E", 40, OPENED)
    person.entries.append(spoilt)
    return [_entry_number(spoilt)]


def guest_entry(person: Person) -> list[str]:
    spoilt = {**entry(_next_entry(person), person.number, "E", 40, OPENED), "member_no": None}
    person.entries.append(spoilt)
    return [_entry_number(spoilt)]


def lot_too_many(person: Person) -> list[str]:
    person.lots.append(lot(person.number, 90, "P", 25, OPENED, None))
    return [_entry_number(row) for row in person.entries]


def stamp_collector(person: Person) -> list[str]:
    """
    Give 1,100 stamps, one by one, and a lot that holds them: all is right, but too much for one
    request.
    """
    for hours in range(1_100):
        at = OPENED + timedelta(hours=hours)
        person.entries.append(entry(_next_entry(person), person.number, "E", 1, at, purse="S"))
    person.lots.append(lot(person.number, 90, "S", 1_100, OPENED, None))
    return [_entry_number(row) for row in person.entries]


def _key(person: Person) -> list[str]:
    return [str(person.number)]


def _number(receipt: Row) -> str:
    return str(receipt["receipt_no"])


def _entry_number(row: Row) -> str:
    return "" if row["entry_no"] is None else str(row["entry_no"])


def _email(person: Person) -> Row:
    return next(row for row in person.contacts if row["kind"] == "E" and row["is_primary"])


def _last_grant(person: Person) -> Row:
    return next(row for row in reversed(person.entries) if row["kind"] in "EO")


def _next_entry(person: Person) -> int:
    return 1 + max(int(row["entry_no"]) for row in person.entries)


def _further_order(person: Person) -> Row:
    """
    Append a copy of the last order, with lines and payment, under a number of its own, and return
    it.
    """
    last = person.receipts[-1]
    number = last["receipt_no"] + 1
    person.lines += [{**line, "receipt_no": number} for line in person.lines_of(last)]
    person.payments += [
        {**row, "receipt_no": number} for row in person.payments if row["receipt_no"] == last["receipt_no"]
    ]
    person.receipts.append({**last, "receipt_no": number})
    return person.receipts[-1]
