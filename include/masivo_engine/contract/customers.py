"""
A customer, as ``POST /customers/migrate`` takes it.

Source: docs/api-facts.md#f-customers, also for what is required and what is newer.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from masivo_engine.contract.fields import (
    LEFT_OUT,
    Day,
    Email,
    Free,
    Id,
    Instant,
    Kind,
    Money,
    Newer,
    Payload,
    Points,
    Quantity,
    Text,
    Uuid,
)


class Period(Payload):
    """
    What a customer did in one period of `Metrics`.

    Its bounds are those of the calendar in the account's own time zone, written in UTC. The end is
    inclusive, at .999 (docs/api-facts.md#f-periods).
    """

    from_: Instant = Field(default=LEFT_OUT, alias="from")
    to: Instant = LEFT_OUT
    tier_id: Uuid = LEFT_OUT
    last_visit: Instant = LEFT_OUT
    last_session: Annotated[Instant, Newer()] = LEFT_OUT
    spend_total: Money = LEFT_OUT
    number_of_purchases: Quantity = LEFT_OUT


class Metrics(Payload):
    """The nine periods. A customer's tier travels inside them. Migrated events recalculate them."""

    lifetime: Period = LEFT_OUT
    last_year: Period = LEFT_OUT
    this_year: Period = LEFT_OUT
    last_month: Period = LEFT_OUT
    this_month: Period = LEFT_OUT
    last_quarter: Period = LEFT_OUT
    this_quarter: Period = LEFT_OUT
    last_semester: Period = LEFT_OUT
    this_semester: Period = LEFT_OUT
    updated_at: Instant = LEFT_OUT


class BalanceLine(Payload):
    """Points of one reward that a customer owns, usually one line per expiry."""

    reward_id: Uuid
    amount: Points
    expiration_date: Instant = LEFT_OUT
    brand_id: Text = LEFT_OUT
    channel_id: Text = LEFT_OUT
    store_id: Text = LEFT_OUT
    issued_at: Instant = LEFT_OUT
    funded_by: Text = LEFT_OUT


class DeviceInfo(Payload):
    """What kind of device it is."""

    platform: Text = LEFT_OUT
    model: Text = LEFT_OUT
    osVersion: Text = LEFT_OUT  # noqa: N815 (the API's spelling)


class Device(Payload):
    """A device for push messages."""

    device_token: Text
    device_info: DeviceInfo = LEFT_OUT
    expires_at: Instant = LEFT_OUT
    created_at: Instant = LEFT_OUT


class Customer(Payload):
    """One customer."""

    id: Id
    name: Text
    email: Email
    registration_date: Instant
    balance: list[BalanceLine]  #: empty where there are no points (docs/api-facts.md#u15)
    gender: Annotated[Literal["MALE", "FEMALE"], Kind.CHOICE] = LEFT_OUT
    dob: Day = LEFT_OUT
    document_type: Annotated[Text, Newer()] = LEFT_OUT
    document_number: Annotated[Text, Newer()] = LEFT_OUT
    country: Annotated[Text, Newer()] = LEFT_OUT
    metrics: Metrics = LEFT_OUT
    devices: list[Device] = LEFT_OUT
    status: Annotated[Literal["ACTIVE", "INACTIVE"], Kind.CHOICE] = LEFT_OUT
    metadata: Free = LEFT_OUT
