"""
Bodies that keep the contract, as small as it allows; keyword arguments replace or add fields.
"""

from __future__ import annotations

from typing import Any


REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"
OTHER_REWARD = "5e0ad8a4-6a52-4b6c-9a54-0f7d5f1d2c11"
MOMENT = "2023-11-07T05:31:56Z"


def customer(number: int, **fields: Any) -> dict[str, Any]:
    """A customer without points."""
    return {
        "id": f"C{number}",
        "name": f"Customer {number}",
        "email": f"c{number}@example.invalid",
        "registration_date": MOMENT,
        "balance": [],
        **fields,
    }


def balance(amount: float, reward: str = REWARD) -> dict[str, Any]:
    """One line of a balance."""
    return {"reward_id": reward, "amount": amount}


def event(purchase: str, **fields: Any) -> dict[str, Any]:
    """A purchase of 20.95, 10.95 after discounts."""
    order = {
        "purchase_id": purchase,
        "value": 20.95,
        "discounted_value": 10.95,
        "products": [{"sku": "A-1", "amount": 1, "value": 20.95}],
        "payment_method": "CASH",
    }
    return {
        "type": "PURCHASE",
        "brand_id": None,
        "order": order,
        "fulfilled": True,
        "issued_at": MOMENT,
        "resolved_at": None,
        **fields,
    }


def transaction(details: str, amount: float = 5, **fields: Any) -> dict[str, Any]:
    """Points earned."""
    return {
        "reward_id": REWARD,
        "details": details,
        "type": "ACCUMULATION",
        "issued_at": MOMENT,
        "resolved_at": MOMENT,
        "amount": amount,
        **fields,
    }


def customers(*items: dict[str, Any]) -> dict[str, Any]:
    """A body for ``/customers/migrate``."""
    return {"customers": list(items)}


def events(**by_customer: list[dict[str, Any]]) -> dict[str, Any]:
    """A body for ``/customers/migrate/events``: customer id to events."""
    return {"customers": [{"id": key, "events": items} for key, items in by_customer.items()]}


def transactions(**by_customer: list[dict[str, Any]]) -> dict[str, Any]:
    """A body for ``/customers/migrate/transactions``: customer id to transactions."""
    return {"customers": [{"id": key, "transactions": items} for key, items in by_customer.items()]}


def lacking(record: dict[str, Any], field: str) -> dict[str, Any]:
    """*record* without *field*."""
    return {key: value for key, value in record.items() if key != field}
