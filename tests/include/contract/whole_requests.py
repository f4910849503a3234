"""The whole bodies of the migrate endpoints, which only tests check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from pydantic import Field, model_validator

from masivo_engine.contract.customers import Customer
from masivo_engine.contract.events import Event
from masivo_engine.contract.fields import Id, Payload
from masivo_engine.contract.transactions import Transaction


def at_most_1000(name: str, counts: Iterable[int]) -> None:
    """Refuse a request whose customers have more than 1000 children called *name* between them."""
    count = sum(counts)
    if count > 1000:
        raise ValueError(f"{count} {name} in one request, 1000 are the limit")


class CustomersRequest(Payload):
    customers: list[Customer] = Field(min_length=1, max_length=1000)


class CustomerWithEvents(Payload):
    """A customer and at least one event (docs/api-facts.md#f-caps)."""

    id: Id
    events: list[Event] = Field(min_length=1)


class EventsRequest(Payload):
    customers: list[CustomerWithEvents] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _at_most_1000_events(self) -> Self:
        at_most_1000("events", (len(customer.events) for customer in self.customers))
        return self


class CustomerWithTransactions(Payload):
    id: Id
    transactions: list[Transaction] = Field(min_length=1)


class TransactionsRequest(Payload):
    """By docs/api-facts.md#u1 as many transactions as events."""

    customers: list[CustomerWithTransactions] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _at_most_1000_transactions(self) -> Self:
        at_most_1000("transactions", (len(customer.transactions) for customer in self.customers))
        return self
