"""
An order, inside an event and inside a transaction's event. Source: docs/api-facts.md#f-events.

Nothing here may be null, so an empty column is left out.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from masivo_engine.contract.fields import LEFT_OUT, Free, Id, Kind, Money, Payload, Points, Quantity, Text, Uuid


PaymentMethod = Annotated[Literal["CREDIT", "DEBIT", "CASH", "BANK_TRANSFER", "OTHER"], Kind.CHOICE]


class Redemption(Payload):
    """
    A reward to redeem (the API's `RedemptionReward`).

    Leave it out for history: redeemed points travel as transactions.
    """

    id: Uuid = LEFT_OUT
    amount: Points = LEFT_OUT


class Product(Payload):
    """One line of an order (the API's `OrderProduct`)."""

    sku: Text
    amount: Quantity
    value: Money  #: total of the line
    discounted_value: Money = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    tags: Free = LEFT_OUT
    metadata: Free = LEFT_OUT


class Shipping(Payload):
    """What delivery cost (the API's `Shipping`)."""

    value: Money = LEFT_OUT
    discounted_value: Money = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    tags: Free = LEFT_OUT
    metadata: Free = LEFT_OUT


class Order(Payload):
    """A placed order."""

    purchase_id: Id
    value: Money
    discounted_value: Money  #: equals *value* where there was no discount (docs/api-facts.md#u22)
    products: list[Product] = Field(min_length=1)
    payment_method: PaymentMethod
    channel_id: Text = LEFT_OUT
    store_id: Text = LEFT_OUT
    shipping: Shipping = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    metadata: Free = LEFT_OUT
