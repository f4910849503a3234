"""
The first schema.

Written out and frozen: a migration that reads `masivo_engine.ledger.schema` would make another
schema tomorrow.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KEY = sa.String(191).with_variant(mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_DIGEST = sa.LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_POINTS = sa.Numeric(20, 6)
_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Create every table, parents first."""
    _create_account_tables()
    _create_run_tables()
    _create_batch()
    _create_entry()


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)


def _create_account_tables() -> None:
    op.create_table(
        "masivo_ledger",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("salt", _DIGEST, nullable=False),
        sa.Column("refusals", sa.String(12), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_claim",
        sa.Column("kind", sa.String(12), primary_key=True),
        sa.Column("digest", _DIGEST, primary_key=True),
        sa.Column("key", _KEY, nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_lane",
        sa.Column("account", sa.String(64), primary_key=True),
        sa.Column("next_at", sa.Double, nullable=False),
        sa.Column("frozen_until", sa.Double, nullable=False),
        sa.Column("margin_s", sa.Double, nullable=False),
        sa.Column("increments_until", sa.Double, nullable=False),
        sa.Column("turns_since_backfill", sa.Integer, nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_start",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_start_by_time", "masivo_start", ["account", "at"])


def _create_run_tables() -> None:
    op.create_table(
        "masivo_run",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("run_id", sa.String(250), nullable=False, unique=True),
        sa.Column("mapping", sa.String(120), nullable=False),
        sa.Column("mapping_hash", sa.String(64), nullable=False),
        sa.Column("covers", sa.Text, nullable=False),
        sa.Column("started_at", _TIME, nullable=False),
        sa.Column("finished_at", _TIME),
        sa.Column("outcome", sa.String(250)),
        **_MYSQL,
    )
    op.create_table(
        "masivo_slice",
        sa.Column("run", _ID, sa.ForeignKey("masivo_run.id"), primary_key=True),
        sa.Column("entity", sa.String(12), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("of", sa.Integer, nullable=False),
        sa.Column("lower_bound", sa.Text),
        sa.Column("upper_bound", sa.Text),
        sa.Column("planned_rows", sa.Integer, nullable=False),
        sa.Column("read_rows", sa.Integer),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("started_at", _TIME),
        sa.Column("finished_at", _TIME),
        **_MYSQL,
    )


def _create_batch() -> None:
    op.create_table(
        "masivo_batch",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("run", _ID, sa.ForeignKey("masivo_run.id"), nullable=False),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("slice", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("customers", sa.Integer, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("body_hash", _DIGEST, nullable=False),
        sa.Column("requests", sa.Integer, nullable=False),
        sa.Column("status", sa.Integer),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("words", sa.String(500)),
        sa.Column("seconds", sa.Double),
        sa.Column("packed_at", _TIME, nullable=False),
        sa.Column("sent_at", _TIME),
        sa.Column("settled_at", _TIME),
        **_MYSQL,
    )
    op.create_index("masivo_batch_of_slice", "masivo_batch", ["run", "entity", "slice"])


def _create_entry() -> None:
    op.create_table(
        "masivo_entry",
        sa.Column("id", _ID, primary_key=True),
        sa.Column("run", _ID, sa.ForeignKey("masivo_run.id"), nullable=False),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("slice", sa.Integer, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("customer", _KEY, nullable=False),
        sa.Column("occurrence", sa.Integer, nullable=False),
        sa.Column("content_hash", _DIGEST),
        sa.Column("state", sa.String(12)),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("column_name", sa.String(190), nullable=False),
        sa.Column("shape", sa.String(250), nullable=False),
        sa.Column("batch", _ID, sa.ForeignKey("masivo_batch.id")),
        sa.Column("points", _POINTS, nullable=False),
        sa.Column("balance", sa.Text),
        **_MYSQL,
    )
    op.create_index("masivo_entry_by_key", "masivo_entry", ["entity", "key"])
    op.create_index("masivo_entry_by_customer", "masivo_entry", ["customer"])
    op.create_index("masivo_entry_of_run", "masivo_entry", ["run", "entity", "slice"])
    op.create_index("masivo_entry_of_batch", "masivo_entry", ["batch"])
