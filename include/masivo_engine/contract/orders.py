"""
An order: inside an event (seed 002, `Order`) and inside a transaction's event (seed 003).

Nothing here is nullable in the contract, so an empty column is left out, never sent as null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from masivo_engine.contract.fields import LEFT_OUT, Free, Id, Kind, Money, Payload, Points, Quantity, Text, Uuid


PaymentMethod = Annotated[Literal["CREDIT", "DEBIT", "CASH", "BANK_TRANSFER", "OTHER"], Kind.CHOICE]


class Redemption(Payload):
    """A reward to redeem (`RedemptionReward`). Leave it out for history: redeemed points travel as transactions."""

    id: Uuid = LEFT_OUT
    amount: Points = LEFT_OUT


class Product(Payload):
    """One line of an order (`OrderProduct`): *amount* is the quantity, *value* the line's total."""

    sku: Text
    amount: Quantity
    value: Money
    discounted_value: Money = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    tags: Free = LEFT_OUT
    metadata: Free = LEFT_OUT


class Shipping(Payload):
    """What delivery cost (`Shipping`)."""

    value: Money = LEFT_OUT
    discounted_value: Money = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    tags: Free = LEFT_OUT
    metadata: Free = LEFT_OUT


class Order(Payload):
    """A placed order; *discounted_value* equals *value* where there was no discount (masivo_api.md U22)."""

    purchase_id: Id
    value: Money
    discounted_value: Money
    products: list[Product] = Field(min_length=1)
    payment_method: PaymentMethod
    channel_id: Text = LEFT_OUT
    store_id: Text = LEFT_OUT
    shipping: Shipping = LEFT_OUT
    redeem: list[Redemption] = LEFT_OUT
    metadata: Free = LEFT_OUT
