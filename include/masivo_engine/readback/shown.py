"""
What the API shows of a customer, and what it does not say.

Only an answer of the documented shape says anything: a captive portal answers 200 with a page, a
wrong address 404 with one (docs/api-facts.md#f-errors and docs/api-facts.md#f-reading). *None*
means that nothing can be concluded.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple, Protocol

from masivo_engine.ledger.verification.read_budget import Reads
from masivo_engine.model.answers import Answer, Verdict, retry_after_s, verdict
from masivo_engine.model.errors import Stopped, TryAgainLater


class Reading(Protocol):
    """What a GET brought."""

    @property
    def answer(self) -> Answer:
        """The answer."""

    @property
    def json(self) -> Any:
        """Its body, None where it is no whole JSON."""


class Reader(Protocol):
    """Whoever can read back; the hook does."""

    def get_customer(self, customer: str) -> Reading:
        """Read one customer."""

    def get_transactions(self, customer: str, *, year: int | None = None) -> Reading:
        """Read a customer's transactions of one year."""


def is_visible(reading: Reading, asked: str) -> bool | None:
    """Whether the customer *asked* for is there."""
    if reading.answer.is_page:
        return None
    if reading.answer.status == 404:
        return False
    return True if _customer(reading, asked) is not None else None


def shown_email(reading: Reading, asked: str) -> str:
    """Return the e-mail address of the customer *asked* for, empty where there is none."""
    found = _customer(reading, asked) or {}
    return str(found.get("email") or "")


class Counted(NamedTuple):
    """
    What metrics say of a customer: a *number* of purchases, and what was *spent*, None if they do
    not say.
    """

    number: int
    spent: Decimal | None


def purchases(reading: Reading, asked: str) -> Counted | None:
    """
    Return what the API counts of the customer *asked* for, of all time; None where it says nothing.
    """
    shown = shown_customer(reading, asked)
    return None if shown is None else counted(shown)


def counted(shown: Shown) -> Counted | None:
    """Return what the metrics of a customer count; None where that is no number of purchases."""
    lifetime = shown.metrics.get("lifetime")
    lifetime = lifetime if isinstance(lifetime, dict) else {}
    count = number(lifetime.get("number_of_purchases")) or Decimal(0)
    return Counted(int(count), number(lifetime.get("spend_total"))) if count == int(count) else None


def movements(reading: Reading) -> list[Movement] | None:
    """Return the transactions that an answer shows; None where it says nothing."""
    rows = _rows(reading)
    return None if rows is None else [_movement(row) for row in rows]


def shown_customer(reading: Reading, asked: str) -> Shown | None:
    """Return the customer *asked* for as the API shows it; None where it shows none."""
    return _shown(reading.json["data"]) if _customer(reading, asked) is not None else None


def _customer(reading: Reading, asked: str) -> Mapping[str, Any] | None:
    """
    Return the customer *asked* for; an answer about another one, as of a server that reads a path
    otherwise, says nothing.
    """
    if reading.answer.status != 200 or reading.answer.is_page or not isinstance(reading.json, dict):
        return None
    data = reading.json.get("data")
    customer = data.get("customer") if isinstance(data, dict) else None
    if not isinstance(customer, dict):
        return None
    shown = customer.get("id")
    return customer if shown is None or str(shown).strip() == asked.strip() else None


def moment(text: object) -> datetime | None:
    """Read a date of the API or of a payload as aware UTC; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


FIRST_YEAR_SHOWN = 2020


_MOST_UNANSWERED = 5  # in a row
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a wallet."""

    reward: str
    amount: Decimal
    issued_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Shown:
    """
    A customer as the API shows it: its fields, what it has of each reward, and the lines of its
    wallet.
    """

    fields: Mapping[str, Any]
    balance: Mapping[str, Decimal]
    lines: Sequence[Line]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Purchases and spending by period."""
        found = self.fields.get("metrics")
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class Movement:
    """
    A transaction as the API shows it; *text* is its ``details``, *told* their digest where somebody
    has asked for it.
    """

    number: str
    text: str
    reward: str
    amount: Decimal
    issued_at: datetime | None
    told: str = ""


class NoReadsLeft(Exception):  # not an error of the migration, but the end of a budget
    """The account's reads of the day are used up."""


class Api:
    """
    Reads customers through *reader*, as long as *reads* are left. It is a `Reader` itself: what is
    read as a control counts, too.
    """

    def __init__(self, reader: Reader, reads: Reads) -> None:
        self._reader = reader
        self._reads = reads
        self._unanswered = 0

    def get_customer(self, customer: str) -> Reading:
        """Read one customer. Raises `NoReadsLeft`."""
        self._take_one()
        return self._reader.get_customer(customer)

    def get_transactions(self, customer: str, *, year: int | None = None) -> Reading:
        """Read a customer's transactions of one year. Raises `NoReadsLeft`."""
        self._take_one()
        return self._reader.get_transactions(customer, year=year)

    def customer(self, customer: str) -> Shown | bool | None:
        """
        Return *customer*; False where the API does not know it, None where its answer says nothing.
        Raises `NoReadsLeft`.
        """
        reading = self.get_customer(customer)
        visible = is_visible(reading, customer)
        if visible is None:
            self._puzzled(reading)
            return None
        self._unanswered = 0
        return _shown(reading.json["data"]) if visible else False

    def transactions(self, customer: str, years: Collection[int]) -> list[Movement] | None:
        """
        Return the transactions of *customer* in *years*; None where an answer says nothing. Raises
        `NoReadsLeft`.
        """
        found: dict[str, Movement] = {}
        for year in sorted(years):
            reading = self.get_transactions(customer, year=year)
            rows = _rows(reading)
            if rows is None:
                self._puzzled(reading)
                return None
            self._unanswered = 0
            for row in rows:
                movement = _movement(row)
                # Without a number, two that look the same are two.
                found[movement.number or f"#{len(found)}"] = movement
        return list(found.values())

    def _take_one(self) -> None:
        if not self._reads.take():
            raise NoReadsLeft

    def _puzzled(self, reading: Reading) -> None:
        """Go on after a few answers that say nothing, and no longer."""
        answer = reading.answer
        self._unanswered += 1
        is_clear = answer.status in (403, 429)
        if not is_clear and self._unanswered < _MOST_UNANSWERED:
            return
        if verdict(answer) is Verdict.STOP:
            raise Stopped(f"the API does not let customers be read: it answered {answer}; look at the connection")
        wait_s = retry_after_s(answer, default=_WAIT_S)
        raise TryAgainLater(f"the API could not be read: it answered {answer}", wait_s)


def _shown(data: Mapping[str, Any]) -> Shown:
    wallet = data.get("wallet")
    wallet = wallet if isinstance(wallet, dict) else {}
    lines = [
        Line(
            str(line.get("reward_id") or "").lower(),
            number(line.get("amount")) or Decimal(0),
            moment(line.get("issued_at")),
            moment(line.get("expiration_date")),
        )
        for line in _dicts(wallet.get("lines"))
    ]
    balance: dict[str, Decimal] = {}
    totals = [(total.get("reward_id"), number(total.get("total"))) for total in _dicts(wallet.get("totals"))]
    # A reward may have several totals, by date of expiry.
    for reward, amount in totals or [(line.reward, line.amount) for line in lines]:
        name = str(reward or "").lower()
        balance[name] = balance.get(name, Decimal(0)) + (amount or Decimal(0))
    return Shown(data["customer"], balance, lines)


def _movement(row: Mapping[str, Any]) -> Movement:
    return Movement(
        str(row.get("id") or ""),
        str(row.get("details") or ""),
        str(row.get("reward_id") or "").lower(),
        number(row.get("amount")) or Decimal(0),
        moment(row.get("issued_at")),
    )


def _rows(reading: Reading) -> list[dict[str, Any]] | None:
    if reading.answer.status != 200 or reading.answer.is_page:
        return None
    found = reading.json.get("data") if isinstance(reading.json, dict) else reading.json
    if isinstance(found, dict):
        found = found.get("transactions")
    return _dicts(found) if isinstance(found, list) else None


def _dicts(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def number(value: Any) -> Decimal | None:
    """Read a number of JSON with the digits that were written; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        return None
    try:
        found = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
