"""
The leaves of a payload: what kind of value each is, and what the contract allows.

A leaf's `Kind` tells `masivo_engine.records.payload` how a legacy value becomes a JSON value. The
models then check it. They see JSON values only (text, numbers, booleans), in strict mode: what
passes them is, byte for byte, what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from masivo_engine.model import ledger_capacity


class Kind(StrEnum):
    """How the legacy value of a leaf is to be read."""

    TEXT = "text"
    EMAIL = "email"
    UUID = "uuid"
    INSTANT = "instant"  # a point in time; naive values are in the mapping's time zone
    DAY = "day"  # a calendar day: no time zone moves it
    MONEY = "money"
    POINTS = "points"
    QUANTITY = "quantity"
    FLAG = "flag"
    CHOICE = "choice"
    FREE = "free"  # an object of any keys


@dataclass(frozen=True, slots=True)
class Newer:
    """Marks a field that only newer documentation has: left out until a connection asks for it."""


# The default of a field that may be left out. It is not None, because most of them may not be null,
# and not pydantic's own MISSING, which only versions from 2.14 on have. The models check payloads
# and are never written out, so nobody meets it.
LEFT_OUT: Any = object()


class Payload(BaseModel):
    """
    Base of all payload models: no unknown keys, no conversions.

    ``| None``: the field may be null. ``= LEFT_OUT``: it may be left out. Most optional fields may
    only be left out.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# The one form that we send (docs/api-facts.md#f-times). Not \d, which takes the digits of any
# script.
_INSTANT = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z$"
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
# What browsers accept in an e-mail field, plus a dot in the domain.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = rf"^[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})+$"

# The bound stands on the float alone. On the union, pydantic would check it in Python, four times
# for each line of an order.
_Number = int | Annotated[float, Field(allow_inf_nan=False)]

LONGEST_KEY = ledger_capacity.KEY

Id = Annotated[str, Kind.TEXT, Field(min_length=1, max_length=LONGEST_KEY)]
Text = Annotated[str, Kind.TEXT, Field(min_length=1)]
Email = Annotated[str, Kind.EMAIL, Field(pattern=_EMAIL, max_length=254)]
Uuid = Annotated[str, Kind.UUID, Field(pattern=_UUID)]
Instant = Annotated[str, Kind.INSTANT, Field(pattern=_INSTANT)]
Day = Annotated[str, Kind.DAY, Field(pattern=_INSTANT)]
Money = Annotated[_Number, Kind.MONEY]
Points = Annotated[_Number, Kind.POINTS]
Quantity = Annotated[_Number, Kind.QUANTITY]
Flag = Annotated[bool, Kind.FLAG]
Free = Annotated[dict[str, Any], Kind.FREE]
