"""``POST /customers/migrate/events``: seed 002, and the migration guide for the cap on all events of a request."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from masivo_engine.contract.fields import LEFT_OUT, Flag, Id, Instant, Payload, Text, at_most_1000
from masivo_engine.contract.orders import Order


class Event(Payload):
    """
    One migrated event (`MigratedEvent`).

    *brand_id* and *resolved_at* are required **and** nullable: the key is always sent, if need be with null.
    """

    type: Text
    brand_id: Text | None
    order: Order
    fulfilled: Flag
    issued_at: Instant
    resolved_at: Instant | None
    channel_id: Text | None = LEFT_OUT
    store_id: Text | None = LEFT_OUT


class CustomerWithEvents(Payload):
    """A customer and at least one event (guide; the seed allows an empty list)."""

    id: Id
    events: list[Event] = Field(min_length=1)


class EventsRequest(Payload):
    """The whole body: 1..1000 customers and, by the guide, at most 1000 events over all of them."""

    customers: list[CustomerWithEvents] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _at_most_1000_events(self) -> Self:
        at_most_1000("events", (len(customer.events) for customer in self.customers))
        return self
