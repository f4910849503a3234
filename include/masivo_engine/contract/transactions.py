"""
``POST /customers/migrate/transactions``: seed 003, and masivo_api.md 3.3 and U1, U2 for what the seed leaves open.

A customer's transactions go once and together, and must sum to the balance that was migrated.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from masivo_engine.contract.fields import LEFT_OUT, Id, Instant, Kind, Money, Payload, Points, Text, Uuid, at_most_1000
from masivo_engine.contract.orders import Order


TransactionType = Annotated[
    Literal["ACCUMULATION", "REDEMPTION", "EXPIRATION", "MIGRATION", "TRANSFER", "REVERSAL"], Kind.CHOICE
]


class TransactionEvent(Payload):
    """What triggered the transaction; *order* in case of a PURCHASE."""

    type: Text
    order: Order = LEFT_OUT


class Transaction(Payload):
    """
    Points earned (positive *amount*) or spent (negative).

    *details* is the only free text that the API gives back, so the legacy key travels in it (masivo_api.md U25).
    """

    reward_id: Uuid
    details: Text
    type: TransactionType
    issued_at: Instant
    resolved_at: Instant
    amount: Points
    brand_id: Text | None = LEFT_OUT
    cost: Money = LEFT_OUT
    store_id: Text = LEFT_OUT
    channel_id: Text = LEFT_OUT
    event: TransactionEvent = LEFT_OUT
    funded_by: Text = LEFT_OUT


class CustomerWithTransactions(Payload):
    """A customer and all of its transactions."""

    id: Id
    transactions: list[Transaction] = Field(min_length=1)


class TransactionsRequest(Payload):
    """The whole body: 1..1000 customers and, to be safe, at most 1000 transactions over all of them (U1)."""

    customers: list[CustomerWithTransactions] = Field(min_length=1, max_length=1000)

    @model_validator(mode="after")
    def _at_most_1000_transactions(self) -> Self:
        at_most_1000("transactions", (len(customer.transactions) for customer in self.customers))
        return self
