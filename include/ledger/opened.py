"""The ledger opened: its tables made or brought forward, its owner checked, and how it is read."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from include.errors import EmptyLedger, LedgerError
from include.ledger import schema, sqlite
from include.ledger.clock import stamp
from include.ledger.upgrade import cannot, check, empty, upgrade


class Opened:
    """
    The ledger of *account*, a fingerprint of the API account that it is about, in the database behind *engine*.

    *seal*, where there is one, seals the payloads of quarantined records, which are kept then.
    """

    def __init__(self, engine: Engine, account: str, *, seal: Callable[[bytes], bytes] | None = None) -> None:
        self.engine = engine
        self._seal = seal
        self.account = account
        sqlite.prepare(engine)
        self._salt = b""

    def prepare(self) -> None:
        """Make the tables or bring them forward, and write down whose ledger it is. Raises `LedgerError`."""
        upgrade(self.engine)
        try:
            with self.engine.begin() as connection:
                # Also where nothing changes: a ledger that cannot be written must be found out before anything is sent.
                if not connection.execute(update(schema.ledger).values(id=schema.ledger.c.id)).rowcount:
                    connection.execute(
                        insert(schema.ledger).values(
                            id=1, account=self.account, salt=secrets.token_bytes(16), created_at=now()
                        )
                    )
        except IntegrityError:
            pass  # another task wrote the row first
        except SQLAlchemyError as error:
            raise LedgerError(cannot("be written", self.engine, error)) from error
        self.open()

    def open(self) -> None:
        """Check schema and owner. Raises `LedgerError`."""
        check(self.engine)
        with self.reading() as connection:
            found = connection.execute(select(schema.ledger.c.account, schema.ledger.c.salt)).first()
        if found is None:
            raise EmptyLedger(empty(self.engine))
        if self.account and found.account != self.account:
            msg = (
                "the ledger belongs to another account than the connection masivo_api: "
                "point masivo_ledger at this account's own database; nothing was sent"
            )
            raise LedgerError(msg)
        self.account = found.account
        self._salt = bytes(found.salt)

    def reading(self) -> Connection:
        """Open a connection that only reads, so that SQLite's readers do not wait for its writer."""
        return self.engine.connect().execution_options(reads_only=True)

    def moment(self) -> datetime:
        """Return the time by the ledger database's clock, as its tables keep it: requests are stamped by it."""
        with self.reading() as connection:
            return stamp(connection)

    def digest(self, text: str) -> bytes:
        """Hash *text* with the ledger's own salt, so that personal data is compared and not kept."""
        return hashlib.blake2b(text.encode(), digest_size=16, key=self._salt).digest()


def now() -> datetime:
    """Return the time for a stamp in the ledger: UTC without a zone. Nothing is decided by it."""
    return datetime.now(UTC).replace(tzinfo=None)
