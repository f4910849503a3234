"""
What the API shows of a customer, and what it does not say.

Only an answer of the documented shape says anything: a captive portal answers 200 with a page, a wrong address 404 with one
(masivo_api.md 2.5 and 2.6). *None* means that nothing can be concluded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from masivo_engine.model.answers import Answer


class Reading(Protocol):
    """What a GET brought."""

    @property
    def answer(self) -> Answer:
        """The answer."""

    @property
    def json(self) -> Any:
        """Its body, None where it is no whole JSON."""


class Reader(Protocol):
    """Whoever can read back; the hook does."""

    def get_customer(self, customer: str) -> Reading:
        """Read one customer."""

    def get_transactions(self, customer: str, *, year: int | None = None) -> Reading:
        """Read a customer's transactions of one year."""


def is_visible(reading: Reading, asked: str) -> bool | None:
    """Whether the customer *asked* for is there."""
    if reading.answer.is_page:
        return None
    if reading.answer.status == 404:
        return False
    return True if _customer(reading, asked) is not None else None


def shown_email(reading: Reading, asked: str) -> str:
    """Return the e-mail address of the customer *asked* for, empty where there is none."""
    found = _customer(reading, asked) or {}
    return str(found.get("email") or "")


def purchases(reading: Reading, asked: str) -> int | None:
    """Return the lifetime number of purchases of the customer *asked* for: -1 where the customer has none such yet."""
    found: Any = _customer(reading, asked)
    if found is None:
        return None
    for step in ("metrics", "lifetime", "number_of_purchases"):
        found = found.get(step) if isinstance(found, dict) else None
    return int(found) if isinstance(found, int | float) else -1


def details(reading: Reading) -> set[str] | None:
    """Return the ``details`` of the customer's transactions, which name them (U25)."""
    if reading.answer.status != 200 or reading.answer.is_page:
        return None
    found = reading.json.get("data") if isinstance(reading.json, dict) else reading.json
    if isinstance(found, dict):
        found = found.get("transactions")
    if not isinstance(found, list):
        return None
    return {str(shown.get("details", "")) for shown in found if isinstance(shown, dict)}


def _customer(reading: Reading, asked: str) -> Mapping[str, Any] | None:
    """Return the customer *asked* for; an answer about another one, as of a server that reads a path otherwise, says nothing."""
    if reading.answer.status != 200 or reading.answer.is_page or not isinstance(reading.json, dict):
        return None
    data = reading.json.get("data")
    customer = data.get("customer") if isinstance(data, dict) else None
    if not isinstance(customer, dict):
        return None
    shown = customer.get("id")
    return customer if shown is None or str(shown).strip() == asked.strip() else None
