"""
Indexes that answer alone: the account of a run, and what is known of a key or a customer, without
the rows that found nothing new.

Written out and frozen, like every migration. The new indexes have new names, so that an upgrade
that died half-way is done again.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


revision = "0004"
down_revision = "0003"

_OPEN: dict[str, Any] = {
    f"{dialect}_where": sa.text("state NOT IN ('unchanged', 'superseded')") for dialect in ("sqlite", "postgresql")
}


def upgrade() -> None:
    """
    Replace the indexes of the entries; the new one first, because MySQL keeps an index for each
    foreign key, and so the one by batch.
    """
    _replace("masivo_entry_by_key", "masivo_entry_of_key", ["key", "entity", "state", "reason"])
    _replace("masivo_entry_by_customer", "masivo_entry_of_customer", ["customer", "state", "reason"])
    _replace(
        "masivo_entry_of_run",
        "masivo_entry_in_run",
        ["run", "entity", "slice", "batch", "state", "reason", "points"],
    )
    _replace("masivo_entry_waiting", "masivo_entry_open", ["entity", "state", "reason"], **_OPEN)
    if op.get_bind().dialect.name not in {"mysql", "mariadb"}:
        _drop("masivo_entry_of_batch")


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)


def _replace(old: str, new: str, columns: list[str], **only: Any) -> None:
    """Make the index *new* and drop the *old* one, unless an upgrade that died half-way did."""
    if new not in _there():
        op.create_index(new, "masivo_entry", columns, **only)
    _drop(old)


def _drop(old: str) -> None:
    if old in _there():
        op.drop_index(old, "masivo_entry")


def _there() -> set[str | None]:
    return {found["name"] for found in sa.inspect(op.get_bind()).get_indexes("masivo_entry")}
