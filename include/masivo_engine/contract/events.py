"""An event, as ``POST /customers/migrate/events`` takes it. Source: docs/api-facts.md#f-events."""

from __future__ import annotations

from masivo_engine.contract.fields import LEFT_OUT, Flag, Instant, Payload, Text
from masivo_engine.contract.orders import Order


class Event(Payload):
    """
    One migrated event (the API's `MigratedEvent`).

    *brand_id* and *resolved_at* are required **and** nullable: their keys are always sent, with
    null if need be.
    """

    type: Text
    brand_id: Text | None
    order: Order
    fulfilled: Flag
    issued_at: Instant
    resolved_at: Instant | None
    channel_id: Text | None = LEFT_OUT
    store_id: Text | None = LEFT_OUT
