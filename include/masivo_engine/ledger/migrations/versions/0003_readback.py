"""
What each read-back set out to read, and what it came to.

Written out and frozen, like every migration.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


revision = "0003"
down_revision = "0002"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create the table and its index, unless an upgrade that died half-way did."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table("masivo_readback"):
        op.create_table(
            "masivo_readback",
            sa.Column("id", _ID, primary_key=True),
            sa.Column("run", _ID, sa.ForeignKey("masivo_run.id"), nullable=False),
            sa.Column("read_by", sa.String(250), nullable=False),
            sa.Column("customers", sa.Integer, nullable=False),
            sa.Column("chosen", sa.Integer, nullable=False),
            sa.Column("drawn", sa.Integer, nullable=False),
            sa.Column("chosen_at", _TIME, nullable=False),
            sa.Column("judged_at", _TIME),
            sa.Column("outcome", sa.String(250), nullable=False),
            **_MYSQL,
        )
    indexes = {found["name"] for found in sa.inspect(op.get_bind()).get_indexes("masivo_readback")}
    if "masivo_readback_of_run" not in indexes:
        op.create_index("masivo_readback_of_run", "masivo_readback", ["run"])


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)
