"""
What a refusal leaves behind, by entity and status: what was learned of one says nothing of another.

Written out and frozen, like every migration. What ``masivo_ledger.refusals`` says is not taken
over: nobody knows what it was learned from.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op


revision = "0005"
down_revision = "0004"

_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create the table, unless an upgrade that died half-way did."""
    if not sa.inspect(op.get_bind()).has_table("masivo_refusal"):
        op.create_table(
            "masivo_refusal",
            sa.Column("entity", sa.String(12), primary_key=True),
            sa.Column("status", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("leaves", sa.String(12), nullable=False),
            **_MYSQL,
        )


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)
