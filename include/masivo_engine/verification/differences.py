"""
What a read-back found other than expected, in buckets.

==================  ================================================================================
``missing``         it is not there, after the last round of reading
``doubled``         it is there twice
``off_by_one_row``  a balance is wrong by exactly one transaction, or one line of the balance
``sign``            an amount has the other sign, or a balance is wrong as if one transaction had
``expiry``          points that had expired are gone, or expire on another day
``time_zone``       a date is moved by whole hours (or quarters, for the zones that have them)
``metrics``         migrating events has replaced migrated metrics, as the API says it does:
                    explained, and not counted as wrong
``other``           everything else
==================  ================================================================================

Amounts and dates only; of names, addresses and birthdays no more than that they differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum

from masivo_engine.model.rows import Entity


class Bucket(StrEnum):
    """What is wrong with a record."""

    MISSING = "missing"
    DOUBLED = "doubled"
    OFF_BY_ONE_ROW = "off_by_one_row"
    SIGN = "sign"
    EXPIRY = "expiry"
    TIME_ZONE = "time_zone"
    METRICS = "metrics"
    OTHER = "other"

    @property
    def is_explained(self) -> bool:
        """Whether the API does this on purpose, and says so."""
        return self is Bucket.METRICS


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a bucket *means* to who reads it, *whose* move it is, and what to *do*."""

    means: str
    whose: str
    do: str


# In the order in which they are shown: worst first.
MEANINGS: Mapping[Bucket, Meaning] = {
    Bucket.MISSING: Meaning(
        "Masivo accepted it and does not show it, although it was asked again until its queue must have been done.",
        "whoever runs the migration",
        "Read these customers back once more, and send nothing again; what is missing a day later is for Masivo's"
        " support.",
    ),
    Bucket.DOUBLED: Meaning(
        "Masivo has it twice.", "Masivo's support", "Take one away, by this list; until then points may be spent twice."
    ),
    Bucket.OFF_BY_ONE_ROW: Meaning(
        "A balance is wrong by exactly one transaction, or one line of it.",
        "whoever runs the migration",
        "Compare this customer's transactions in both systems.",
    ),
    Bucket.SIGN: Meaning(
        "Points have the other sign: what was spent counts as earned, or the other way round.",
        "the owner of the mapping",
        "Correct the sign in its SQL, before anything else is sent.",
    ),
    Bucket.OTHER: Meaning(
        "A balance, a date or a field is another than was delivered, in a way that has no name.",
        "whoever runs the migration",
        "Look at the rows; what a customer has earned or spent in Masivo since is no fault.",
    ),
    Bucket.EXPIRY: Meaning(
        "Points that had expired are gone, or expire on another day.",
        "the owner of the loyalty programme",
        "Decide which day holds.",
    ),
    Bucket.TIME_ZONE: Meaning(
        "A date is moved by whole hours.",
        "the owner of the mapping",
        "Look at the time zone that it states, before anything else is sent.",
    ),
    Bucket.METRICS: Meaning(
        "Masivo has counted a customer's purchases anew when they arrived, as its guide says it does.",
        "nobody",
        "This is explained, and does not count as wrong.",
    ),
}
_TWICE = " twice"


def points_off(entity: Entity, expected: str, found: str) -> Decimal:
    """
    Return how many points more Masivo has than were delivered (below zero: fewer), by the texts of
    a finding; 0 where it is not about points.
    """
    if entity is Entity.EVENTS:
        return Decimal(0)
    try:
        owed = Decimal(expected)
        has = 2 * Decimal(found.removesuffix(_TWICE)) if found.endswith(_TWICE) else Decimal(found or 0)
    except InvalidOperation:
        return Decimal(0)
    return has - owed


@dataclass(frozen=True, slots=True)
class Difference:
    """
    One difference: of the record *key*, or of all that its customer has where no record can be
    named (*key* is the customer's then).
    """

    entity: Entity
    key: str
    bucket: Bucket
    reward: str = ""
    expected: str = ""
    found: str = ""


_SECOND = timedelta(seconds=1)
_QUARTER = timedelta(minutes=15)
_FARTHEST = timedelta(hours=26)  # from UTC-12 to UTC+14


def is_same_moment(one: datetime, other: datetime) -> bool:
    """Whether two dates are the same: an API may cut fractions of a second."""
    return abs(one - other) < _SECOND


def is_shifted(expected: datetime, found: datetime) -> bool:
    """Whether *found* is *expected* read in another time zone."""
    shift = found - expected
    rest = abs(shift) % _QUARTER
    return _SECOND <= abs(shift) <= _FARTHEST and min(rest, _QUARTER - rest) < _SECOND


def of_dates(expected: datetime, found: datetime) -> Bucket | None:
    """Return what is wrong with a date, None where nothing is."""
    if is_same_moment(expected, found):
        return None
    return Bucket.TIME_ZONE if is_shifted(expected, found) else Bucket.OTHER


def as_date(when: datetime | None) -> str:
    """Write *when* for a finding."""
    return "none" if when is None else f"{when:%Y-%m-%dT%H:%M:%SZ}"
