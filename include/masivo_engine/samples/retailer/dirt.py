"""
The faults of the invented retailer's data, and the rows that each of them spoils.

Each fault is planted in members of its own, so no row has two, and what follows for the member's
other rows is known:

========================  ==========================================================================
a fault in the customer   all its events and transactions are held, ``customer_quarantined``
a fault in an event       that event alone
a fault in a transaction  its siblings are held, ``sibling_not_sendable``, unless the fault *spares*
                          them
========================  ==========================================================================

Kinds that only some databases can hold are planted there only; their members are left clean
elsewhere, so that the same seed gives the same members everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from random import Random

from masivo_engine.model.rows import Entity
from masivo_engine.samples.planted import GOES
from masivo_engine.samples.retailer import faults
from masivo_engine.samples.retailer.faults import Plant, first_line, last_grant, last_order, member


_MARIADB = frozenset({"mysql", "mariadb"})
_POSTGRES = frozenset({"postgresql"})
_SQLITE = frozenset({"sqlite"})

_END_OF_TIME = datetime.fromisoformat("9999-12-31 23:59:59")
# America/Mexico_City: 02:00 to 03:00 did not exist on the first day, 01:00 to 02:00 came twice on
# the second.
_SKIPPED = datetime.fromisoformat("2022-04-03 02:30")
_REPEATED = datetime.fromisoformat("2022-10-30 01:30")


@dataclass(frozen=True, slots=True)
class Dirt:
    """
    One kind of fault. *plant* spoils a member's rows and returns the keys of those that must end
    with *reason*.

    *patch* is the SQL by dialect that spoils a row after it was inserted, given its ``:key``, where
    no driver would insert such a value. *column* is the alias that the rejection must name.
    """

    entity: Entity
    name: str
    per_10_000: int
    reason: str
    column: str
    meaning: str
    plant: Plant
    dialects: frozenset[str] = _SQLITE | _POSTGRES | _MARIADB
    patch: Mapping[str, str] = field(default_factory=dict, hash=False)
    spares_siblings: bool = False
    least_customers: int = 0


_customer = partial(Dirt, Entity.CUSTOMERS)
_order = partial(Dirt, Entity.EVENTS)
_entry = partial(Dirt, Entity.TRANSACTIONS)

_JOINED, _AMOUNT, _VALUE = "registration_date", "order__products[].amount", "order__products[].value"
_MARIADB_JOINED = dict.fromkeys(_MARIADB, "UPDATE member SET joined_at = '0000-00-00' WHERE member_no = :key")
_MARIADB_SOLD = dict.fromkeys(_MARIADB, "UPDATE receipt SET sold_at = '0000-00-00' WHERE receipt_no = :key")
_POSTGRES_JOINED = {"postgresql": "UPDATE member SET joined_at = 'infinity' WHERE member_no = :key"}
_POSTGRES_SOLD = {"postgresql": "UPDATE receipt SET sold_at = '20000-01-01' WHERE receipt_no = :key"}
_SQLITE_NAME = {"sqlite": "UPDATE member SET first_name = CAST(X'4E75F161' AS TEXT) WHERE member_no = :key"}

KINDS = (
    _customer("missing_email", 80, "missing_value", "email", "no e-mail at all", faults.no_email),
    _customer("malformed_email", 40, "email_malformed", "email", "an e-mail that is none", faults.bad_email),
    _customer("shared_email", 40, "email_shared", "email", "the e-mail of an earlier member", faults.shared_email),
    _customer("missing_name", 30, "missing_value", "name", "no name", faults.no_name),
    _customer("unknown_gender", 20, "unknown_code", "gender", "gender code 9", member(gender_code=9)),
    _customer("unknown_status", 10, "unknown_code", "status", "status Z", member(status="Z")),
    _customer("unknown_tier", 10, "not_a_uuid", "metrics__lifetime__tier_id", "an old tier", member(tier_code="VIP")),
    _customer("zero_birth_date", 20, "not_a_date", "dob", "born on 0000-00-00", member(birth_date="0000-00-00")),
    _customer("odd_birth_date", 20, "not_a_date", "dob", "born on a 31st of February", member(birth_date="1980-02-31")),
    _customer("joined_in_9999", 10, "not_a_date", _JOINED, "joined in the year 9999", member(joined_at=_END_OF_TIME)),
    _customer("broken_json", 20, "not_json", "metadata", "attributes cut off", member(extra_json='{"segment": "fam')),
    _customer("negative_balance", 20, "negative_balance", "balance", "a balance below zero", faults.below_zero),
    _customer(
        "nul_in_name", 6, "invalid_text", "name", "a name with a NUL", faults.nul_in_name, _SQLITE | _MARIADB
    ),
    _customer(
        "name_not_utf8", 6, "unreadable_row", "name", "a name in Latin-1", member(), _SQLITE, _SQLITE_NAME
    ),
    _customer(
        "joined_at_infinity", 6, "unreadable_row", _JOINED, "joined at infinity", member(), _POSTGRES, _POSTGRES_JOINED
    ),
    _customer(
        "joined_on_zero_date", 6, "not_a_date", _JOINED, "joined on a zero date", member(), _MARIADB, _MARIADB_JOINED
    ),
    _customer("email_in_capitals", 20, GOES, "", "an e-mail in capitals and blanks", faults.loud_email),
    _order("order_without_lines", 60, "empty_list", "order__products", "an order without lines", faults.no_lines),
    _order("order_of_nobody", 60, "customer_missing", "", "an order of no known member", faults.orphan_order),
    _order("order_without_key", 20, "missing_key", "order__purchase_id", "no order number", faults.keyless_order),
    _order("order_without_member", 40, "missing_value", "customer_id", "an order without a member", faults.guest_order),
    _order("order_key_twice", 30, "duplicate_key", "", "two orders of one number", faults.order_twice),
    _order("order_copied", 40, "duplicate_row", "", "an exact copy of an order", faults.order_copy),
    _order("unknown_payment", 40, "unknown_code", "order__payment_method", "payment code Q", faults.payment_q),
    _order(
        "line_without_value", 20, "missing_value", _VALUE, "a line without money", first_line(gross_cents=None)
    ),
    _order("line_without_amount", 20, "missing_value", _AMOUNT, "a line without quantity", first_line(quantity=None)),
    _order(
        # Infinity rather than NaN, which SQLite stores as NULL.
        "line_not_a_number", 10, "not_a_number", _AMOUNT, "an infinite quantity", first_line(quantity=float("inf")),
        _SQLITE | _POSTGRES,
    ),
    _order("sold_in_9999", 20, "not_a_date", "issued_at", "sold in the year 9999", last_order(sold_at=_END_OF_TIME)),
    _order(
        "sold_in_20000", 6, "unreadable_row", "issued_at", "sold in 20000", last_order(), _POSTGRES, _POSTGRES_SOLD
    ),
    _order(
        "sold_on_zero_date", 6, "not_a_date", "issued_at", "sold on a zero date", last_order(), _MARIADB, _MARIADB_SOLD
    ),
    _order("sold_in_clock_gap", 10, GOES, "", "sold in an hour the clocks skipped", last_order(sold_at=_SKIPPED)),
    _order("sold_in_clock_fold", 10, GOES, "", "sold in an hour the clocks repeated", last_order(sold_at=_REPEATED)),
    _entry("unknown_kind", 30, "unknown_code", "type", "an entry of kind Q", last_grant(kind="Q")),
    _entry("unknown_purse", 10, "not_a_uuid", "reward_id", "an entry in purse Z", last_grant(purse="Z")),
    _entry("entry_without_points", 20, "missing_value", "amount", "an entry without points", last_grant(points=None)),
    _entry("booked_in_9999", 10, "not_a_date", "issued_at", "booked in 9999", last_grant(booked_at=_END_OF_TIME)),
    _entry("entry_without_key", 10, "missing_key", "transaction_id", "no entry number", last_grant(entry_no=None)),
    _entry("entry_key_twice", 20, "duplicate_key", "", "two entries of one number", faults.entry_twice),
    _entry(
        "entry_copied", 20, "duplicate_row", "", "an exact copy of an entry", faults.entry_copy, spares_siblings=True
    ),
    _entry(
        "entry_of_nobody", 30, "customer_missing", "", "an entry of no known member", faults.orphan_entry,
        spares_siblings=True,
    ),
    _entry(
        "entry_without_member", 20, "missing_value", "customer_id", "an entry without a member", faults.guest_entry,
        spares_siblings=True,
    ),
    _entry("points_do_not_sum", 40, "points_do_not_sum", "", "entries that miss the balance", faults.lot_too_many),
    _entry(
        "too_many_transactions", 0, "too_many_transactions", "", "over 1,000 entries", faults.stamp_collector,
        least_customers=2_000,
    ),
)  # fmt: skip

LEAST_CUSTOMERS = len(KINDS) + 10


def victims(customers: int, seed: int) -> dict[int, Dirt]:
    """
    Choose the members that are spoilt, and how: a share of *customers* for each kind, at least one.

    The first member is spared, so that there is an e-mail for the others to share. Raises
    `ValueError` for fewer than `LEAST_CUSTOMERS` customers.
    """
    if customers < LEAST_CUSTOMERS:
        raise ValueError(
            f"{customers} customers are too few to plant every kind of fault; ask for {LEAST_CUSTOMERS} or more"
        )
    wanted = [
        kind
        for kind in KINDS
        if customers >= kind.least_customers
        for _ in range(max(1, customers * kind.per_10_000 // 10_000))
    ]
    chosen = Random(f"{seed}/dirt").sample(range(1, customers), len(wanted))  # noqa: S311 (reproducible, not secret)
    return dict(zip(chosen, wanted, strict=True))
