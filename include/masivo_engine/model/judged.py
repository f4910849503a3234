"""What judging makes of a row: where it ends, or that it is to be sent."""

from __future__ import annotations

from typing import NamedTuple

from masivo_engine.model.rows import Record, Rejection, State


#: Why a row is held between the moment when it was read and the one when it is packed.
NOT_YET_SENT = "not_yet_sent"
#: Why a row is quarantined whose batch was refused, until it is sent in smaller company.
REFUSED_IN_COMPANY = "refused_in_company"


class Verdict(NamedTuple):
    """
    Where a row has ended. A row that *is_sent* ends when its batch does.

    *has_it*: a person stated that the API has what the row says.
    """

    state: State
    reason: str = ""
    column: str = ""
    shape: str = ""
    is_sent: bool = False
    has_it: bool = False


SENT = Verdict(State.HELD, NOT_YET_SENT, is_sent=True)
UNCHANGED = Verdict(State.UNCHANGED)


class Judged(NamedTuple):
    """
    One *row* with its *verdict*. *place* is where it stands, also where it is a further row of a
    place.
    """

    row: Record | Rejection
    verdict: Verdict
    place: str
