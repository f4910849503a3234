"""
Letting a ledger know its account under another name: a new `account_id`, another address, a token
that says something else.

Which account it is shows in what the account has: customers that the ledger delivered last are
asked for, and their e-mail addresses are compared with what was sent. An id alone proves nothing,
because two accounts may both have a customer 17.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from uuid import uuid4

from sqlalchemy import func, insert, select, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.encoding import kept
from masivo_engine.ledger.rows import rows_of_emails
from masivo_engine.ledger.verification.read_budget import Reads, usual_reads
from masivo_engine.model import ledger_capacity
from masivo_engine.model.errors import LedgerError, TryAgainLater
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Reader, is_visible, shown_email
from masivo_engine.readback.spread import some_of


_ASKED = 24
_NEWEST = 8_000  # those who are asked for are spread over so many
_LEAST_SHOWN = 0.5


class Sight(StrEnum):
    """What the API showed of a customer that the ledger says it has."""

    SAME = "there as they were sent"
    OTHER = "there with another e-mail address"
    MISSING = "not there"
    UNANSWERED = "without an answer that says anything"


@dataclass(frozen=True, slots=True)
class Found:
    """
    What the account shows: of so many customers each `Sight`; *has_sent* whether the ledger has
    ever sent or adopted anything.
    """

    sights: Counter[Sight]
    has_sent: bool

    @property
    def asked(self) -> int:
        """How many customers were asked for."""
        return self.sights.total()

    @property
    def unlike(self) -> int:
        """How many are known not to be there as they were sent."""
        return self.sights[Sight.OTHER] + self.sights[Sight.MISSING]

    def __str__(self) -> str:
        if not self.asked:
            return "the ledger has delivered no customer" + ("" if self.has_sent else ", and never sent anything")
        counts = ", ".join(f"{self.sights[sight]:,} {sight}" for sight in Sight if self.sights[sight])
        return f"of {self.asked:,} customers among those delivered last: {counts}"

    def refusal(self, *, unlike: int = 0) -> str:
        """
        Say why this is not to be taken for the ledger's account, empty where it may be. *unlike* is
        how many a person knows to be otherwise.

        Raises `TryAgainLater` where nothing can be said.
        """
        if not self.asked:
            if not self.has_sent:
                return ""
            return (
                "the ledger has sent something and delivered no customer, so nothing can show whose it is: settle that"
                " with the connection as it was"
            )
        answered = self.asked - self.sights[Sight.UNANSWERED]
        if answered < self.asked * _LEAST_SHOWN:
            msg = (
                f"cannot say whose account this is: the API answered for {answered:,} of {self.asked:,} customers; try"
                " again later"
            )
            raise TryAgainLater(msg)
        if not self.sights[Sight.SAME]:
            return (
                "none of the customers that the ledger delivered last is there as it was sent: this is another account"
                " than the ledger's"
            )
        if self.sights[Sight.SAME] < answered * _LEAST_SHOWN:
            return (
                "most of the customers that the ledger delivered last are not there as they were sent: this is another"
                " account, or an older state of it"
            )
        if self.unlike != unlike:
            return (
                f"{self.unlike:,} of the customers that the ledger delivered last are not there as they were sent: this"
                " may be another account, or an older state of it. If you know that Masivo's side changed these, say"
                f" so with --unlike {self.unlike}"
            )
        return ""


def look(ledger: Ledger, reader: Reader, limits: Limits) -> Found:
    """
    Ask the API for customers that *ledger* delivered last. Raises `LedgerError` where it shows
    customers who cannot be, `TryAgainLater`.
    """
    keys = some_of(_newest(ledger), _ASKED)
    reads = Reads(ledger, usual_reads(limits.per_hour))
    nobody = f"masivo-nobody-{uuid4()}"
    if keys and is_visible(reader.get_customer(nobody), nobody) is True:
        msg = (
            "the API shows a customer whom nobody has, so what it shows proves nothing: look at the address of the"
            " connection masivo_api"
        )
        raise LedgerError(msg)
    sights = Counter(_sight(ledger, reader, key) if reads.take() else Sight.UNANSWERED for key in keys)
    return Found(sights, _has_sent(ledger))


def tie(ledger: Ledger, account: str, *, called: str, found: Found, by: str) -> None:
    """
    Write down that *ledger* is that of *account*, which people know as *called*, and who said so.
    Raises `LedgerError`.
    """
    table = schema.ledger
    with ledger.engine.begin() as connection:
        mine = update(table).where(table.c.account == ledger.account).values(account=account)
        if connection.execute(mine).rowcount != 1:
            msg = "somebody else has changed whose ledger this is at this moment; look again"
            raise LedgerError(msg)
        newest = connection.execute(select(func.max(schema.run.c.id))).scalar()
        if newest is not None:  # a ledger without a run has nothing that it could be wrong about
            decided = {
                "run": newest,
                "action": "tie",
                "about": kept(f"{called}; {found}", ledger_capacity.SENTENCE),
                "records": found.sights[Sight.SAME],
            }
            connection.execute(
                insert(schema.release).values(
                    **decided, released_by=kept(by, ledger_capacity.PERSON), released_at=now()
                )
            )
    ledger.account = account


def _sight(ledger: Ledger, reader: Reader, key: str) -> Sight:
    reading = reader.get_customer(key)
    visible = is_visible(reading, key)
    if visible is None:
        return Sight.UNANSWERED
    if not visible:
        return Sight.MISSING
    digest = ledger.digest(shown_email(reading, key).lower())
    theirs = {row.key for row in rows_of_emails(ledger, [digest]) if digest in (row.has_email, row.out_email)}
    return Sight.SAME if key in theirs else Sight.OTHER


def _newest(ledger: Ledger) -> list[str]:
    """
    Return the keys of the customers that the API got last, as the ledger has it, the newest first.
    """
    record = schema.record
    statement = (
        select(record.c.key)
        .where(record.c.entity == Entity.CUSTOMERS, schema.has_arrived)
        .order_by(func.coalesce(record.c.has_batch, 0).desc(), record.c.home.desc())
        .limit(_NEWEST)
    )
    with ledger.reading() as connection:
        return list(connection.execute(statement).scalars())


def _has_sent(ledger: Ledger) -> bool:
    record, batch = schema.record, schema.batch
    adopted = (record.c.entity.in_(list(Entity)), schema.is_open, schema.has_arrived, record.c.has_batch.is_(None))
    with ledger.reading() as connection:
        sent = connection.execute(select(batch.c.id).where(batch.c.requests > 0).limit(1)).first()
        return (
            sent is not None or connection.execute(select(record.c.place).where(*adopted).limit(1)).first() is not None
        )
