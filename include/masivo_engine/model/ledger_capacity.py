"""
What the ledger can hold: one table of limits, by which its columns are made, and records and texts
are measured.

A row of the legacy database that needs more is rejected, and named; a text that is only for people
is cut. Lengths count characters.
"""

from __future__ import annotations

from decimal import Decimal


# Of a row. A key of so many characters can be indexed by every database in four-byte UTF-8; what
# goes past it is no identity.
KEY = 191
PLACE = 220  # a key of any type with what tells its type, and a further row of it
CHANGED = 40
REWARD = 64
ENTITY = STATE = KIND = 12
REASON = 40
COLUMN_NAME = 190
SHAPE = 250

# Points, of one row or of all of a customer's balance: every whole number below this one, and its
# fractions.
POINTS_DIGITS, POINTS_PLACES = 20, 6
POINTS_END = Decimal(10) ** (POINTS_DIGITS - POINTS_PLACES)
# The points of many rows together.
TALLY_DIGITS = 38

# Of a batch and of a run.
WORDS = 500
NAME_OF_RUN = 250  # and of a run id in Airflow
MAPPING = 120
DIGEST = 64
PERSON = 120
ACTION = 20
SENTENCE = 250


def holds(points: Decimal) -> bool:
    """Whether so many *points* can be written down."""
    return abs(points) < POINTS_END
