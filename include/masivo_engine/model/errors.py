"""
What can go wrong, and whose move it is.

* MigrationError
  x Misconfigured    a mapping, a connection or the ledger is not usable -> fix it; nothing was sent
    x Misused        what was typed names nothing, or makes no sense -> type something else
    x MappingError   the mapping folder -> fix the file that is named
    x LedgerError    the ledger -> fix the database that is named
      x EmptyLedger  nothing was ever written to it -> nobody; run something first
      x UnknownRun   it has no run of that name -> name another
    x LegacyError    the legacy database -> fix the database that is named
  x Stopped          the API said no to all of it -> fix key or address; the rest is given back
  x TryAgainLater    the API or a database may say yes later -> Airflow tries the task again
    x Moved          a row was read with two customers -> the slice reads again
  x DatabaseFailed   a database failed in a way that no time heals -> read which
  x Fenced           another try owns the slice now -> nobody; this try must stop
  x DoesNotAddUp     the account of a run does not hold -> read the account

A row that cannot become a record is no exception: it is a `Rejection`, and its page goes on.
"""

from __future__ import annotations

from typing import ClassVar


class MigrationError(Exception):
    """
    Base of all errors that this project raises on purpose; the sentence is for people.

    *exit_code* is what a command ends with: 3 for a set-up that is missing or wrong, which most of
    them are; 1 is for data, 2 for usage.
    """

    exit_code: ClassVar[int] = 3


class Misconfigured(MigrationError):
    """Something a person set up cannot be used; nothing was sent."""


class Misused(Misconfigured):
    """What somebody typed names nothing, or makes no sense."""

    exit_code = 2


class MappingError(Misconfigured):
    """
    A mapping folder is not usable: *where* names the file, *problem* the fault and *remedy* what to
    do.
    """

    def __init__(self, where: str, problem: str, remedy: str = "") -> None:
        super().__init__(where, problem, remedy)
        self.where = where
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" + (f"; {self.remedy}" if self.remedy else "")


class LedgerError(Misconfigured):
    """The ledger cannot be opened, written or trusted."""


class EmptyLedger(LedgerError):
    """No run has written to the ledger yet."""


class UnknownRun(LedgerError):
    """The ledger has no run of the name or number that was asked for."""

    exit_code = 2


class LegacyError(Misconfigured):
    """The legacy database cannot be reached or read."""


class Stopped(MigrationError):
    """The API refuses to work with us at all, so no further request makes sense."""


class TryAgainLater(MigrationError):
    """Not now: *wait_s* is the earliest sensible moment in seconds, 0 where nothing is known."""

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem, wait_s)
        self.problem = problem
        self.wait_s = wait_s

    def __str__(self) -> str:
        return self.problem


class DatabaseFailed(MigrationError):
    """
    A database failed, and not for a moment; the sentence names the error without its words, which
    may quote a row.
    """


class Moved(TryAgainLater):
    """
    Another slice of the run has a row that this one was about to send; nothing of its transaction
    is written.
    """


class Fenced(MigrationError):
    """This try lost its slice to a newer one and may neither send nor write any more."""


class DoesNotAddUp(MigrationError):
    """A run's account does not hold, or holds more trouble than the operator tolerates."""

    exit_code = 1
