"""
Coverage, selections by key, a person's decisions, read-back, sealed payloads, and what is kept of
forgotten entries.

Written out and frozen, like every migration.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql


revision = "0002"
down_revision = "0001"

_ID = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_KEY = sa.String(191).with_variant(mysql.VARCHAR(191, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_POINTS = sa.Numeric(20, 6)
_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def upgrade() -> None:
    """Widen the first tables, then create the new ones."""
    _widen()
    _create_tables_of_a_run()
    _create_tables_of_people()
    _create_tables_of_keeping()


def downgrade() -> None:
    """Ledgers only go forward: an older code must not write to what it does not know."""
    msg = "a ledger is never taken back; restore a copy made before the upgrade"
    raise RuntimeError(msg)


def _widen() -> None:
    _add("masivo_run", sa.Column("kind", sa.String(12), nullable=False, server_default=""))
    _add("masivo_run", sa.Column("started_by", sa.String(120), nullable=False, server_default=""))
    _add("masivo_run", sa.Column("plan", sa.Text))
    _add("masivo_run", sa.Column("approved_by", sa.String(120), nullable=False, server_default=""))
    _add("masivo_run", sa.Column("approved_at", _TIME))
    _add("masivo_slice", sa.Column("selects", sa.String(12), nullable=False, server_default="window"))
    _add("masivo_slice", sa.Column("renewed_at", sa.Double))
    # Whoever was at work with the older code is not any more: the next run settles what it left.
    op.execute("UPDATE masivo_slice SET renewed_at = 0 WHERE started_at IS NOT NULL AND finished_at IS NULL")
    _add("masivo_batch", sa.Column("purpose", sa.String(12), nullable=False, server_default=""))
    _add("masivo_entry", sa.Column("reward", sa.String(64), nullable=False, server_default=""))

    _index("masivo_entry", "masivo_entry_waiting", ["entity", "state", "reason"])


def _add(table: str, column: sa.Column[Any]) -> None:
    """
    Add *column* unless it is there: MySQL commits at every statement, so an upgrade that died
    half-way is done again.
    """
    there = {found["name"] for found in sa.inspect(op.get_bind()).get_columns(table)}
    if column.name not in there:
        op.add_column(table, column)


def _create(table: str, *parts: Any, index: tuple[str, list[str]] | None = None) -> None:
    """Create *table* and its *index*, unless an upgrade that died half-way did."""
    inspector = sa.inspect(op.get_bind())
    if not inspector.has_table(table):
        op.create_table(table, *parts, **_MYSQL)
    if index:
        _index(table, *index)


def _index(table: str, name: str, columns: list[str]) -> None:
    if name not in {found["name"] for found in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)


def _run_key(*, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column("run", _ID, sa.ForeignKey("masivo_run.id"), nullable=False, primary_key=primary_key)


def _create_tables_of_a_run() -> None:
    _create(
        "masivo_queue",
        sa.Column("entity", sa.String(12), primary_key=True),
        _run_key(primary_key=True),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("asked_at", sa.Double, nullable=False),
    )
    _create(
        "masivo_coverage",
        _run_key(primary_key=True),
        sa.Column("entity", sa.String(12), primary_key=True),
        sa.Column("mapping", sa.String(120), nullable=False),
        sa.Column("since", _TIME),
        sa.Column("until", _TIME),
        sa.Column("newest", _TIME),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("signature", sa.Text, nullable=False),
        index=("masivo_coverage_of_mapping", ["mapping", "entity"]),
    )
    _create(
        "masivo_selected",
        sa.Column("id", _ID, primary_key=True),
        _run_key(),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("slice", sa.Integer, nullable=False),
        sa.Column("key", _KEY, nullable=False),
        index=("masivo_selected_by_slice", ["run", "entity", "slice", "key"]),
    )


def _create_tables_of_people() -> None:
    _create(
        "masivo_release",
        sa.Column("id", _ID, primary_key=True),
        _run_key(),
        sa.Column("action", sa.String(20), nullable=False),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("about", sa.String(250), nullable=False),
        sa.Column("records", sa.Integer, nullable=False),
        sa.Column("released_by", sa.String(120), nullable=False),
        sa.Column("released_at", _TIME, nullable=False),
        index=("masivo_release_of_run", ["run"]),
    )
    _create(
        "masivo_finding",
        sa.Column("id", _ID, primary_key=True),
        _run_key(),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("key", _KEY, nullable=False),
        sa.Column("customer", _KEY, nullable=False),
        sa.Column("bucket", sa.String(40), nullable=False),
        sa.Column("reward", sa.String(64), nullable=False),
        sa.Column("expected", sa.String(250), nullable=False),
        sa.Column("found", sa.String(250), nullable=False),
        sa.Column("found_at", _TIME, nullable=False),
        index=("masivo_finding_of_run", ["run", "entity"]),
    )


def _create_tables_of_keeping() -> None:
    _create(
        "masivo_payload",
        sa.Column("entry", _ID, sa.ForeignKey("masivo_entry.id"), primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=False),
    )
    _create(
        "masivo_tally",
        sa.Column("id", _ID, primary_key=True),
        _run_key(),
        sa.Column("entity", sa.String(12), nullable=False),
        sa.Column("state", sa.String(12), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
        sa.Column("rows", sa.Integer, nullable=False),
        sa.Column("points", _POINTS, nullable=False),
        index=("masivo_tally_of_run", ["run", "entity"]),
    )
