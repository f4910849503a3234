"""
The audit pack as the tasks write it: a page that cannot be written never changes how a run ends.

The ledger has everything that is in a pack, so one that is missing is written again with ``python
-m masivo pack``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from masivo.services import Services
from masivo_engine.model.errors import MigrationError
from masivo_engine.reports.account import Account, account
from masivo_engine.reports.pack.pack import write_pack, write_plan


def keep_plan(services: Services, run_id: str, log: Any) -> None:
    """Write the plan's page and log where it is, or in one warning why not."""
    _kept(lambda: write_plan(services.ledger, run_id, services.packs, services.hook.limits), "the plan as a page", log)


def keep_pack(services: Services, made: Account, log: Any) -> None:
    """Write the whole pack and log where it is, or in one warning why not."""
    _kept(lambda: write_pack(services.ledger, made, services.packs, services.hook.limits), "the audit pack", log)


def keep_pack_of(services: Services, run: int, log: Any) -> None:
    """
    Write the whole pack of the run with that number again, from the ledger, and log where it is, or
    in one warning why not.
    """

    def write() -> Path:
        made = account(services.ledger, str(run), services.hook.limits)
        return write_pack(services.ledger, made, services.packs, services.hook.limits)

    _kept(write, "the audit pack", log)


def _kept(write: Callable[[], Path], what: str, log: Any) -> None:
    try:
        log.info("%s: %s", what, write())
    except Exception as error:  # noqa: BLE001 (whatever fails here, the account in the ledger stands)
        log.warning(
            "%s was not written (%s); the ledger has it all: `python -m masivo pack` writes it again", what, _why(error)
        )


def _why(error: Exception) -> str:
    """Name the error without the words of a library, which might quote a row."""
    if isinstance(error, MigrationError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return type(error).__name__
