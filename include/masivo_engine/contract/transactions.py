"""
A transaction, as ``POST /customers/migrate/transactions`` takes it.

A customer's transactions go once and together, and must sum to the balance that was migrated.

Sources: docs/api-facts.md#f-transactions, docs/api-facts.md#f-transactions-once,
docs/api-facts.md#f-balance.
"""

from __future__ import annotations

from typing import Annotated, Literal

from masivo_engine.contract.fields import LEFT_OUT, Instant, Kind, Money, Payload, Points, Text, Uuid
from masivo_engine.contract.orders import Order


TransactionType = Annotated[
    Literal["ACCUMULATION", "REDEMPTION", "EXPIRATION", "MIGRATION", "TRANSFER", "REVERSAL"], Kind.CHOICE
]


class TransactionEvent(Payload):
    """What triggered the transaction."""

    type: Text
    order: Order = LEFT_OUT  #: of a PURCHASE


class Transaction(Payload):
    """Points that a customer earned or spent."""

    reward_id: Uuid
    details: Text  #: the only free text that the API gives back; it carries the legacy key (docs/api-facts.md#u25)
    type: TransactionType
    issued_at: Instant
    resolved_at: Instant
    amount: Points  #: negative where points were spent
    brand_id: Text | None = LEFT_OUT
    cost: Money = LEFT_OUT
    store_id: Text = LEFT_OUT
    channel_id: Text = LEFT_OUT
    event: TransactionEvent = LEFT_OUT
    funded_by: Text = LEFT_OUT
