"""The ledger opened: its tables made or brought forward, its owner checked, and how it is read."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from masivo_engine.ledger import dialects, schema
from masivo_engine.ledger.dialects import stamp
from masivo_engine.ledger.high_water import Mark, Memory
from masivo_engine.ledger.upgrade import cannot, check, empty, upgrade
from masivo_engine.model.errors import EmptyLedger, LedgerError


_log = logging.getLogger(__name__)


class Ledger:
    """
    The ledger of *account*, a fingerprint of the API account that it is about, in the database
    behind *engine*.

    Without an *account* it opens whosever it is. *seal*, where there is one, seals the payloads of
    quarantined records, which are kept then. *memory* keeps its high-water mark: without one
    nothing can be sent, and an older copy is not noticed.
    """

    def __init__(
        self,
        engine: Engine,
        account: str,
        *,
        seal: Callable[[bytes], bytes] | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.engine = engine
        self.seal = seal
        self._memory = memory
        self._marked = Mark()
        self.account = account
        dialects.prepare(engine)
        self._salt = b""

    def prepare(self) -> None:
        """
        Make the tables or bring them forward, and write down whose ledger it is. Raises
        `LedgerError`.
        """
        if not self.account:
            msg = (
                "nobody has said whose ledger this is: add extra `account_id` to the connection masivo_api; nothing was"
                " sent"
            )
            raise LedgerError(msg)
        upgrade(self.engine)
        try:
            with self.engine.begin() as connection:
                # Also where nothing changes: a ledger that cannot be written must be found out
                # before anything is sent.
                if not connection.execute(update(schema.ledger).values(id=schema.ledger.c.id)).rowcount:
                    mine = {"id": 1, "account": self.account, "salt": secrets.token_bytes(16)}
                    connection.execute(insert(schema.ledger).values(mine))
        except IntegrityError:
            pass  # another task wrote the row first
        except SQLAlchemyError as error:
            raise LedgerError(cannot("be written", self.engine, error)) from error
        self.open()

    def open(self) -> None:
        """Check schema, owner and high-water mark. Raises `LedgerError`."""
        check(self.engine)
        with self.reading() as connection:
            found = connection.execute(select(schema.ledger.c.account, schema.ledger.c.salt)).first()
        if found is None:
            raise EmptyLedger(empty(self.engine))
        if self.account:
            self._refuse_other(self.account, than=found.account)
        self.account = found.account
        self._salt = bytes(found.salt)
        self._refuse_older_copy()

    def belongs_to(self, account: str) -> None:
        """Make sure that this ledger is that of *account*. Raises `LedgerError`."""
        if not self._salt:
            self.open()
        self._refuse_other(account, than=self.account)

    @property
    def remembers(self) -> bool:
        """Whether its high-water mark is kept."""
        return self._memory is not None

    @property
    def name(self) -> str:
        """
        What this ledger and its copies are called outside of it, whatever the account is called; it
        gives nothing of the salt away.
        """
        if not self._salt:
            self.open()
        return hashlib.blake2b(b"name", digest_size=8, key=self._salt).hexdigest()

    def raise_high_water(self) -> None:
        """
        Remember outside how far this ledger has come: after the last commit before a request.

        Raises `LedgerError` where the ledger has fallen behind what was remembered, or has nowhere
        to remember it.
        """
        if self._memory is None:
            msg = (
                "this process has nowhere to keep the ledger's high-water mark, so it may not send; only a task of"
                " Airflow may"
            )
            raise LedgerError(msg)
        with self.reading() as connection:
            mark = Mark.of(connection)
        self._refuse_behind(mark, self._marked)
        if mark != self._marked:
            self._memory.write(self._mark_name, mark.as_text())
            self._marked = mark

    @property
    def resends(self) -> str:
        """
        What a customer that is sent again does to its points, as a probe has shown: ``replace``,
        ``add`` or ``refuse``; empty where nobody knows.
        """
        with self.reading() as connection:
            return connection.execute(select(schema.ledger.c.resends)).scalar() or ""

    def learn_resends(self, found: str) -> None:
        """Keep what a probe has shown."""
        with self.engine.begin() as connection:
            connection.execute(update(schema.ledger).values(resends=found))

    def reading(self) -> Connection:
        """
        Open a connection that only reads, so that SQLite's readers do not wait for its writer.
        """
        return self.engine.connect().execution_options(reads_only=True)

    def moment(self) -> datetime:
        """
        Return the time by the ledger database's clock, as its tables keep it: requests are stamped
        by it.
        """
        with self.reading() as connection:
            return stamp(connection)

    def digest(self, text: str) -> bytes:
        """
        Hash *text* with the ledger's own salt, so that personal data is compared and not kept.
        """
        return hashlib.blake2b(text.encode(), digest_size=16, key=self._salt).digest()

    @property
    def _mark_name(self) -> str:
        return f"masivo_high_water_{self.name}"

    def _refuse_other(self, account: str, *, than: str) -> None:
        if account != than:
            msg = (
                "if the key was rotated, the host renamed or `account_id` added or changed, `python -m masivo tie` lets"
                " the ledger know it; else the ledger belongs to another account than the connection masivo_api, and"
                " masivo_ledger must name this account's own database, not an empty one: AN EMPTY LEDGER SENDS"
                " EVERYTHING A SECOND TIME; nothing was sent"
            )
            raise LedgerError(msg)

    def _refuse_older_copy(self) -> None:
        """
        Compare the ledger with its mark. One that is not there stops nobody: it was never raised,
        or cleared with Airflow's database.
        """
        if self._memory is None:
            return
        text = self._memory.read(self._mark_name)
        # After the mark, which others may be raising: a ledger that is read first would look older
        # than it is.
        with self.reading() as connection:
            mark = Mark.of(connection)
        if text is None:
            if mark.requests:
                _log.warning(
                    "the ledger's high-water mark (Airflow Variable %s) is not there: it begins anew at %s, and an"
                    " older copy of the ledger would not have been noticed",
                    self._mark_name,
                    mark,
                )
            return
        try:
            self._marked = Mark.from_text(text)
        except ValueError:
            msg = (
                f"the ledger's high-water mark (Airflow Variable {self._mark_name}) is not what was written there:"
                " bring it back, or delete it if you are sure that the ledger is the newest copy; nothing was sent"
            )
            raise LedgerError(msg) from None
        self._refuse_behind(mark, self._marked)

    def _refuse_behind(self, mark: Mark, marked: Mark) -> None:
        if mark.is_behind(marked):
            msg = (
                f"the ledger ends with {mark}, but a newer copy of it has come to {marked} (Airflow Variable"
                f" {self._mark_name}): this one was restored from an older copy and would send a second time what was"
                " sent since; bring back the newest copy; nothing was sent"
            )
            raise LedgerError(msg)


def now() -> datetime:
    """Return the time for a stamp in the ledger: UTC without a zone. Nothing is decided by it."""
    return datetime.now(UTC).replace(tzinfo=None)
