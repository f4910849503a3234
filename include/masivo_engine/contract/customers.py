"""
``POST /customers/migrate``: seed 001, and masivo_api.md 3.1 for what is required and what is newer.

Required are id, name, email, registration_date and balance; the seed itself does not say.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import MISSING, Field

from masivo_engine.contract.fields import (
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

    *from* and *to* are calendar bounds of the account's own time zone, written in UTC, the end inclusive at .999 (masivo_api.md 2.2).
    """

    from_: Instant | MISSING = Field(default=MISSING, alias="from")
    to: Instant | MISSING = MISSING
    tier_id: Uuid | MISSING = MISSING
    last_visit: Instant | MISSING = MISSING
    last_session: Annotated[Instant | MISSING, Newer()] = MISSING
    spend_total: Money | MISSING = MISSING
    number_of_purchases: Quantity | MISSING = MISSING


class Metrics(Payload):
    """The nine periods; the tier of a customer travels inside them. Event migration recalculates all of it."""

    lifetime: Period | MISSING = MISSING
    last_year: Period | MISSING = MISSING
    this_year: Period | MISSING = MISSING
    last_month: Period | MISSING = MISSING
    this_month: Period | MISSING = MISSING
    last_quarter: Period | MISSING = MISSING
    this_quarter: Period | MISSING = MISSING
    last_semester: Period | MISSING = MISSING
    this_semester: Period | MISSING = MISSING
    updated_at: Instant | MISSING = MISSING


class BalanceLine(Payload):
    """Points of one reward that a customer owns, usually one line per expiry."""

    reward_id: Uuid
    amount: Points
    expiration_date: Instant | MISSING = MISSING
    brand_id: Text | MISSING = MISSING
    channel_id: Text | MISSING = MISSING
    store_id: Text | MISSING = MISSING
    issued_at: Instant | MISSING = MISSING
    funded_by: Text | MISSING = MISSING


class DeviceInfo(Payload):
    """What kind of device it is."""

    platform: Text | MISSING = MISSING
    model: Text | MISSING = MISSING
    osVersion: Text | MISSING = MISSING  # noqa: N815 (the API's spelling)


class Device(Payload):
    """A device for push messages."""

    device_token: Text
    device_info: DeviceInfo | MISSING = MISSING
    expires_at: Instant | MISSING = MISSING
    created_at: Instant | MISSING = MISSING


class Customer(Payload):
    """One customer; *balance* is an empty list where there are no points (masivo_api.md U15)."""

    id: Id
    name: Text
    email: Email
    registration_date: Instant
    balance: list[BalanceLine]
    gender: Annotated[Literal["MALE", "FEMALE"], Kind.CHOICE] | MISSING = MISSING
    dob: Day | MISSING = MISSING
    document_type: Annotated[Text | MISSING, Newer()] = MISSING
    document_number: Annotated[Text | MISSING, Newer()] = MISSING
    country: Annotated[Text | MISSING, Newer()] = MISSING
    metrics: Metrics | MISSING = MISSING
    devices: list[Device] | MISSING = MISSING
    status: Annotated[Literal["ACTIVE", "INACTIVE"], Kind.CHOICE] | MISSING = MISSING
    metadata: Free | MISSING = MISSING


class CustomersRequest(Payload):
    """The whole body: 1..1000 customers."""

    customers: list[Customer] = Field(min_length=1, max_length=1000)
