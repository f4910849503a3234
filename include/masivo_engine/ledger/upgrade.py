"""
The ledger's schema: made, brought forward by Alembic, and refused where it is newer than this code.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.model.errors import EmptyLedger, LedgerError


def upgrade(engine: Engine) -> None:
    """Bring the ledger behind *engine* to this code's schema. Raises `LedgerError`."""
    try:
        with engine.begin() as connection, _alone(connection):
            if _version(connection) == _newest():
                return
            _refuse_newer(connection)
            command.upgrade(_config(connection), "head")
    except SQLAlchemyError as error:
        raise LedgerError(cannot("be written", engine, error)) from error


def check(engine: Engine) -> None:
    """Refuse a ledger whose schema is not this code's. Raises `LedgerError`."""
    try:
        with engine.connect().execution_options(reads_only=True) as connection:
            version = _version(connection)
            if version is None:
                raise EmptyLedger(empty(engine))
            if version != (newest := _newest()):
                _refuse_newer(connection)
                msg = f"the ledger's schema is {version}, this code's is {newest}: the next run brings it forward"
                raise LedgerError(msg)
    except SQLAlchemyError as error:
        raise LedgerError(cannot("be read", engine, error)) from error


def empty(engine: Engine) -> str:
    """Say that nothing has been written to the ledger."""
    return f"the ledger in {place(engine)} is empty: no run has written to it yet"


def place(engine: Engine) -> str:
    """Say where the ledger is, without user or password."""
    url = engine.url
    return (
        f"{url.get_backend_name()} {url.host or ''}{f':{url.port}' if url.port else ''} {url.database or ''}".replace(
            "  ", " "
        )
    )


def cannot(do: str, engine: Engine, error: BaseException) -> str:
    """Make one sentence of a database error: where, and the driver's first line."""
    original = getattr(error, "orig", None) or error
    words = (str(original).strip().splitlines() or [type(original).__name__])[0][:200]
    return f"the ledger in {place(engine)} cannot {do}: {words}; nothing was sent"


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


@cache
def _scripts() -> ScriptDirectory:
    """
    Return the migrations; reading them compiles each of them, and every task asks for the newest
    several times.
    """
    return ScriptDirectory.from_config(_config())


def _newest() -> str:
    newest = _scripts().get_current_head()
    if newest is None:
        msg = "the ledger's migrations are missing from this installation"
        raise LedgerError(msg)
    return newest


def _version(connection: Connection) -> str | None:
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells every opening of the ledger in two lines
    context = MigrationContext.configure(connection, opts={"version_table": "masivo_alembic_version"})
    return context.get_current_revision()


@contextmanager
def _alone(connection: Connection) -> Iterator[None]:
    """Let two first runs make the tables one after the other; SQLite's writers are alone anyhow."""
    match connection.dialect.name:
        case "postgresql":
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('masivo_ledger'))")
            yield
        case "mysql" | "mariadb":
            # Not a transaction's lock, because MySQL commits at every CREATE TABLE.
            connection.exec_driver_sql("DO GET_LOCK(CONCAT('masivo_ledger.', DATABASE()), 60)")
            try:
                yield
            finally:
                connection.exec_driver_sql("DO RELEASE_LOCK(CONCAT('masivo_ledger.', DATABASE()))")
        case _:
            yield


def _refuse_newer(connection: Connection) -> None:
    version = _version(connection)
    known = {script.revision for script in _scripts().walk_revisions()}
    if version is not None and version not in known:
        msg = f"the ledger's schema {version} is newer than this code: upgrade the code; nothing was sent"
        raise LedgerError(msg)
