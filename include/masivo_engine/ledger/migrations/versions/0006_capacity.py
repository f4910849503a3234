"""
Texts that end nowhere, also on MySQL, whose TEXT holds 64 KB, and sums of many rows' points that
have room.

Written out and frozen, like every migration. What is done already is done again without harm, so an
upgrade that died half-way is repeated.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


revision = "0006"
down_revision = "0005"

# Table, column, whether it may be NULL.
_TEXTS = (
    ("masivo_run", "covers", False),
    ("masivo_run", "plan", True),
    ("masivo_slice", "lower_bound", True),
    ("masivo_slice", "upper_bound", True),
    ("masivo_coverage", "signature", False),
    ("masivo_entry", "balance", True),
)


def upgrade() -> None:
    """Widen the columns; SQLite's have no width."""
    dialect = op.get_bind().dialect.name
    if dialect in {"mysql", "mariadb"}:
        for table, column, nullable in _TEXTS:
            text = mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")
            op.alter_column(table, column, existing_type=sa.Text(), type_=text, existing_nullable=nullable)
    if dialect != "sqlite":
        op.alter_column(
            "masivo_tally",
            "points",
            existing_type=sa.Numeric(20, 6),
            type_=sa.Numeric(38, 6),
            existing_nullable=False,
        )


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)
