"""
The API's own reads: what has become visible of a customer (docs/api-facts.md#f-reading).

Metrics are the migrated ones until an event arrives; from then on Masivo recalculates them (fact 9
of 2.1). The sandbox does so for the lifetime and for every period that the customer was migrated
with, from PURCHASE events after discounts.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import NAMESPACE_URL, uuid5
from zoneinfo import ZoneInfo

from masivo_engine.sandbox.options import Filing
from masivo_engine.sandbox.state.store import Store, balance


_DAYS_OF_A_MONTH = 31
_ACCOUNTS_ZONE = ZoneInfo("America/Bogota")
_SHOWN = ("id", "name", "email", "registration_date")
_SHOWN_IF_KNOWN = ("gender", "dob", "document_type", "document_number", "country")
_LINE = ("brand_id", "issued_at", "expiration_date")
_TRANSACTION = (
    "brand_id",
    "channel_id",
    "store_id",
    "funded_by",
    "reward_id",
    "amount",
    "cost",
    "details",
    "type",
    "issued_at",
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which transactions are asked for; empty is any. *months* back from now, unless there is a
    *year*, which is counted as *filed_by* says.
    """

    year: str = ""
    reward_id: str = ""
    brand_id: str = ""
    type: str = ""
    months: int = 0
    filed_by: Filing = Filing.UTC


def customer_document(store: Store, account: str, customer_id: str, *, adds_up: bool) -> dict[str, Any] | None:
    """
    ``{"customer": ..., "wallet": ...}`` of a visible customer, else ``None``; whether each
    migration *adds_up* is the balance's matter.
    """
    with store.reading() as connection:
        body = _visible_body(connection, account, customer_id)
        if body is None:
            return None
        metrics = _metrics(connection, account, customer_id, body.get("metrics", {}))
        lines = balance(connection, account, customer_id, adds_up=adds_up)

    customer = {field: body[field] for field in _SHOWN}
    customer |= {field: body[field] for field in _SHOWN_IF_KNOWN if field in body}
    customer["status"] = body.get("status", "ACTIVE")
    customer["tier_id"] = metrics.get("lifetime", {}).get("tier_id")
    customer["metrics"] = metrics
    customer["metadata"] = body.get("metadata", {})
    return {"customer": customer, "wallet": _wallet(account, customer_id, lines)}


def transactions_of(store: Store, account: str, customer_id: str, wanted: Wanted) -> list[dict[str, Any]] | None:
    """
    The visible transactions of a customer, oldest first, in the API's shape; ``None`` if there is
    no such customer.
    """
    with store.reading() as connection:
        if _visible_body(connection, account, customer_id) is None:
            return None
        rows = connection.execute(
            "SELECT id, body, applied,"
            " (SELECT accepted_at FROM request WHERE first <= record.id ORDER BY sequence DESC LIMIT 1) FROM record"
            " WHERE account = ? AND entity = 'transactions' AND customer = ? AND applied > 0",
            (account, customer_id),
        ).fetchall()
    found = [
        (number, time, transaction)
        for number, body, times, taken_at in rows
        if _is_wanted(transaction := json.loads(body) | {"taken_at": taken_at}, wanted)
        for time in range(times)
    ]
    found.sort(key=lambda one: (_moment(one[2]["issued_at"]), one[0], one[1]))
    receiver = _internal_id(account, customer_id)
    return [
        _shown(f"{number}/{time}" if time else f"{number}", transaction, receiver)
        for number, time, transaction in found
    ]


def _visible_body(connection: sqlite3.Connection, account: str, customer_id: str) -> dict[str, Any] | None:
    row = connection.execute(
        "SELECT record.body FROM identity JOIN record ON record.id = identity.record"
        " WHERE identity.account = ? AND identity.id = ? AND visible = 1",
        (account, customer_id),
    ).fetchone()
    return None if row is None else json.loads(row[0])


def _metrics(
    connection: sqlite3.Connection, account: str, customer_id: str, migrated: Mapping[str, Any]
) -> dict[str, Any]:
    purchases = [
        (_moment(issued_at), times, Decimal(worth))
        for issued_at, times, worth in connection.execute(
            "SELECT json_extract(body, '$.issued_at'), applied, worth FROM record"
            " WHERE account = ? AND entity = 'events' AND customer = ? AND applied > 0 AND worth <> ''",
            (account, customer_id),
        )
    ]
    if not purchases:
        return dict(migrated)
    result = {"lifetime": {}, **migrated}
    for name, period in result.items():
        if name == "lifetime" or (isinstance(period, dict) and {"from", "to"} <= period.keys()):
            inside = [
                (times, worth)
                for moment, times, worth in purchases
                if name == "lifetime" or _moment(period["from"]) <= moment <= _moment(period["to"])
            ]
            spent = sum((times * worth for times, worth in inside), Decimal(0))
            counted = {"number_of_purchases": sum(times for times, _ in inside), "spend_total": _number(spent)}
            result[name] = {**period, **counted}
    return result


def _wallet(account: str, customer_id: str, held: list[dict[str, Any]]) -> dict[str, Any]:
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    lines = []
    for line in held:
        totals[line["reward_id"]] += Decimal(str(line["amount"]))
        lines.append(
            {
                "amount": line["amount"],
                "reward_id": line["reward_id"],
                "campaign_id": None,
                "reservation_expires_at": None,
                **{field: line.get(field) for field in _LINE},
            }
        )
    return {
        "id": str(uuid5(NAMESPACE_URL, f"wallet/{account}/{customer_id}")),
        "owner_id": _internal_id(account, customer_id),
        "lines": lines,
        "totals": [
            {"total": _number(total), "reward_id": reward_id, "expiration_date": None, "reward": {"id": reward_id}}
            for reward_id, total in totals.items()
        ],
    }


def _is_wanted(transaction: Mapping[str, Any], wanted: Wanted) -> bool:
    moment = _moment(transaction["issued_at"])
    if wanted.year:
        in_time = _year(transaction, moment, wanted.filed_by) == int(wanted.year)
    else:
        in_time = not wanted.months or moment >= datetime.now(UTC) - timedelta(days=wanted.months * _DAYS_OF_A_MONTH)
    asked = (("reward_id", wanted.reward_id), ("brand_id", wanted.brand_id), ("type", wanted.type))
    return in_time and all(not value or transaction.get(field) == value for field, value in asked)


def _year(transaction: Mapping[str, Any], issued_at: datetime, filed_by: Filing) -> int:
    if filed_by is Filing.CREATED:
        return datetime.fromtimestamp(transaction["taken_at"], UTC).year
    is_local = filed_by is Filing.LOCAL and issued_at > datetime.min.replace(tzinfo=UTC)
    return issued_at.astimezone(_ACCOUNTS_ZONE).year if is_local else issued_at.year


def _shown(number: str, transaction: Mapping[str, Any], receiver: str) -> dict[str, Any]:
    shown = {field: transaction.get(field) for field in _TRANSACTION}
    return {
        "id": str(uuid5(NAMESPACE_URL, f"transaction/{number}")),
        "receiver_id": receiver,
        "sender_id": None,
        "event_id": None,
        "event_type": transaction.get("event", {}).get("type"),
        "campaign_id": None,
        "reward_type": "POINTS",
        "created_at": transaction["issued_at"],
        "metadata": {},
        "attributes": {},
        **shown,
    }


def _internal_id(account: str, customer_id: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"customer/{account}/{customer_id}"))


def _moment(text: str) -> datetime:
    # The contract has checked the form; a leap second and the year 0 are dates to it and none to
    # Python.
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime.min.replace(tzinfo=UTC)


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)
