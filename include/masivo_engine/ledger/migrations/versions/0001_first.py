"""
The first schema, as it was when the first ledger was made: written out, because the tables that
today's code uses (`masivo_engine.ledger.schema`) may be others.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    String,
    Text,
    text,
)
from sqlalchemy.dialects import mysql


revision = "0001"
down_revision = None

_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _exact(length: int) -> Any:
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


_Id = BigInteger().with_variant(Integer, "sqlite")
_Key, _Place = _exact(191), _exact(220)
_Text = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_Digest = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_Sealed = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_Time = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_Points = Numeric(20, 6)
_Sum = Numeric(38, 6).with_variant(_Points, "sqlite")

# SQLite gathers no statistics by itself. Without any it takes an entity or a run for a few rows,
# and reads all of it to find one. So many rows there are, and so many have the same first columns.
_STATISTICS = {
    "masivo_record": "1000000 300000 3 1",  # the primary key
    # Of an entity by itself the table is read, which is in its order, and no index beside it.
    "masivo_record_of_place": "1000000 1000000 1",
    "masivo_record_of_key": "10000 10000 1",
    "masivo_record_of_customer": "1000000 1000000 3",
    "masivo_record_in_run": "1000000 50000 20000 10000",
    "masivo_record_open": "10000 5000 2000 1000",
    "masivo_record_out": "10000 1000",
    "masivo_record_arrived": "1000000 50000 1000",
    "masivo_record_of_batch": "1000000 1000",
    "masivo_record_asked": "10000 10000 5000",
    "masivo_record_gone": "1000 100",
    "masivo_record_of_email": "300000 1",
    "masivo_record_had_email": "1000 1",
    "masivo_record_out_email": "1000 1",
    "masivo_record_had_customer": "1000 1",
    "masivo_record_out_customer": "1000 1",
}


def _some(condition: str) -> dict[str, Any]:
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "masivo_history",
        Column("id", _Id, primary_key=True),
        Column("entity", String(12), nullable=False),
        Column("home", _Place, nullable=False),
        Column("place", _Place, nullable=False),
        Column("customer", _Key, nullable=False),
        Column("run", _Id, nullable=False),
        Column("state", String(12), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("column_name", String(190), nullable=False),
        Column("points", _Points, nullable=False),
        Column("batch", _Id),
        Column("until_run", _Id, nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_history_of_place", "masivo_history", ["entity", "home", "place"])
    op.create_index("masivo_history_of_customer", "masivo_history", ["customer"])
    op.create_table(
        "masivo_lane",
        Column("account", String(64), primary_key=True),
        Column("next_at", Double(), nullable=False),
        Column("frozen_until", Double(), nullable=False),
        Column("margin_s", Double(), nullable=False),
        Column("increments_until", Double(), nullable=False),
        Column("turns_since_backfill", Integer(), nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_ledger",
        Column("id", Integer(), primary_key=True, autoincrement=False),
        Column("account", String(64), nullable=False),
        Column("salt", _Digest, nullable=False),
        Column("resends", String(12), nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_payload",
        Column("entity", String(12), primary_key=True),
        Column("place", _Place, primary_key=True),
        Column("sealed", _Sealed, nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_record",
        Column("entity", String(12), primary_key=True),
        Column("home", _Place, primary_key=True),
        Column("place", _Place, primary_key=True),
        Column("key", _Key, nullable=False),
        Column("customer", _Key, nullable=False),
        Column("owner", _Place, nullable=False),
        Column("changed", String(40), nullable=False),
        Column("hash", _Digest),
        Column("points", _Points, nullable=False),
        Column("worth", _Text),
        Column("email", _Digest),
        Column("handle", _Text),
        Column("state", String(12), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("column_name", String(190), nullable=False),
        Column("shape", String(250), nullable=False),
        Column("since_run", _Id, nullable=False),
        Column("out_batch", _Id),
        Column("out_hash", _Digest),
        Column("out_customer", _Key),
        Column("out_points", _Points),
        Column("out_worth", _Text),
        Column("out_email", _Digest),
        Column("out_handle", _Text),
        Column("has_batch", _Id),
        Column("has_hash", _Digest),
        Column("has_customer", _Key),
        Column("has_points", _Points),
        Column("has_worth", _Text),
        Column("has_email", _Digest),
        Column("has_handle", _Text),
        Column("has_run", _Id),
        Column("confirmed_at", _Time),
        Column("strays", SmallInteger(), nullable=False),
        Column("stray_hash", _Digest),
        Column("judged", _Digest),
        Column("run", _Id, nullable=False),
        Column("slice", Integer(), nullable=False),
        Column("fence", Integer(), nullable=False),
        Column("asked_run", _Id),
        Column("gone_run", _Id),
        sqlite_with_rowid=False,
        **_MYSQL,
    )
    op.create_index("masivo_record_of_place", "masivo_record", ["entity", "place"], unique=True)
    op.create_index("masivo_record_of_key", "masivo_record", ["entity", "key"], **_some("place <> 't' || key"))
    op.create_index("masivo_record_of_customer", "masivo_record", ["entity", "customer"])
    op.create_index("masivo_record_in_run", "masivo_record", ["run", "entity", "slice"])
    op.create_index(
        "masivo_record_open", "masivo_record", ["entity", "state", "reason"], **_some("state <> 'delivered'")
    )
    op.create_index("masivo_record_out", "masivo_record", ["out_batch"], **_some("out_batch IS NOT NULL"))
    op.create_index("masivo_record_arrived", "masivo_record", ["has_run", "has_batch"], **_some("has_run IS NOT NULL"))
    op.create_index("masivo_record_asked", "masivo_record", ["asked_run", "entity"], **_some("asked_run IS NOT NULL"))
    op.create_index("masivo_record_gone", "masivo_record", ["gone_run"], **_some("gone_run IS NOT NULL"))
    op.create_index("masivo_record_of_batch", "masivo_record", ["has_batch"], **_some("has_batch IS NOT NULL"))
    op.create_index("masivo_record_of_email", "masivo_record", ["email"], **_some("email IS NOT NULL"))
    op.create_index(
        "masivo_record_had_email",
        "masivo_record",
        ["has_email"],
        **_some("has_email IS NOT NULL AND (email IS NULL OR has_email <> email)"),
    )
    op.create_index(
        "masivo_record_out_email",
        "masivo_record",
        ["out_email"],
        **_some("out_email IS NOT NULL AND (email IS NULL OR out_email <> email)"),
    )
    op.create_index(
        "masivo_record_had_customer", "masivo_record", ["has_customer"], **_some("has_customer <> customer")
    )
    op.create_index(
        "masivo_record_out_customer", "masivo_record", ["out_customer"], **_some("out_customer <> customer")
    )
    op.create_table(
        "masivo_run",
        Column("id", _Id, primary_key=True),
        Column("run_id", String(250), unique=True, nullable=False),
        Column("mapping", String(120), nullable=False),
        Column("mapping_hash", String(64), nullable=False),
        Column("covers", _Text, nullable=False),
        Column("started_at", _Time, nullable=False),
        Column("finished_at", _Time),
        Column("outcome", String(250)),
        Column("kind", String(12), nullable=False),
        Column("started_by", String(120), nullable=False),
        Column("plan", _Text),
        Column("approved_by", String(120), nullable=False),
        Column("approved_at", _Time),
        Column("frozen_at", _Time),
        **_MYSQL,
    )
    op.create_table(
        "masivo_start",
        Column("id", _Id, primary_key=True),
        Column("account", String(64), nullable=False),
        Column("at", Double(), nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_start_by_time", "masivo_start", ["account", "at"])
    op.create_table(
        "masivo_batch",
        Column("id", _Id, primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), nullable=False),
        Column("entity", String(12), nullable=False),
        Column("slice", Integer(), nullable=False),
        Column("number", Integer(), nullable=False),
        Column("state", String(12), nullable=False),
        Column("records", Integer(), nullable=False),
        Column("customers", Integer(), nullable=False),
        Column("bytes", Integer(), nullable=False),
        Column("body_hash", _Digest, nullable=False),
        Column("requests", Integer(), nullable=False),
        Column("status", Integer()),
        Column("reason", String(40), nullable=False),
        Column("words", String(500)),
        Column("seconds", Double()),
        Column("packed_at", _Time, nullable=False),
        Column("sent_at", _Time),
        Column("settled_at", _Time),
        Column("purpose", String(12), nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_batch_of_slice", "masivo_batch", ["run", "entity", "slice"])
    op.create_table(
        "masivo_coverage",
        Column("run", _Id, ForeignKey("masivo_run.id"), primary_key=True),
        Column("entity", String(12), primary_key=True),
        Column("mapping", String(120), nullable=False),
        Column("since", _Time),
        Column("until", _Time),
        Column("newest", _Time),
        Column("rows", Integer(), nullable=False),
        Column("signature", _Text, nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_coverage_of_mapping", "masivo_coverage", ["mapping", "entity"])
    op.create_table(
        "masivo_finding",
        Column("id", _Id, primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), nullable=False),
        Column("entity", String(12), nullable=False),
        Column("key", _Key, nullable=False),
        Column("customer", _Key, nullable=False),
        Column("bucket", String(40), nullable=False),
        Column("reward", String(64), nullable=False),
        Column("expected", String(250), nullable=False),
        Column("found", String(250), nullable=False),
        Column("found_at", _Time, nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_finding_of_run", "masivo_finding", ["run", "entity"])
    op.create_table(
        "masivo_left",
        Column("run", _Id, ForeignKey("masivo_run.id"), primary_key=True),
        Column("entity", String(12), primary_key=True),
        Column("place", _Place, primary_key=True),
        Column("slice", Integer(), nullable=False),
        Column("state", String(12), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("column_name", String(190), nullable=False),
        Column("points", _Points, nullable=False),
        Column("new", Integer(), nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_queue",
        Column("entity", String(12), primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), primary_key=True),
        Column("kind", String(12), nullable=False),
        Column("asked_at", Double(), nullable=False),
        **_MYSQL,
    )
    op.create_table(
        "masivo_readback",
        Column("id", _Id, primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), nullable=False),
        Column("read_by", String(250), nullable=False),
        Column("customers", Integer(), nullable=False),
        Column("chosen", Integer(), nullable=False),
        Column("drawn", Integer(), nullable=False),
        Column("chosen_at", _Time, nullable=False),
        Column("judged_at", _Time),
        Column("outcome", String(250), nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_readback_of_run", "masivo_readback", ["run"])
    op.create_table(
        "masivo_release",
        Column("id", _Id, primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), nullable=False),
        Column("action", String(20), nullable=False),
        Column("entity", String(12), nullable=False),
        Column("about", String(250), nullable=False),
        Column("records", Integer(), nullable=False),
        Column("released_by", String(120), nullable=False),
        Column("released_at", _Time, nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_release_of_run", "masivo_release", ["run"])
    op.create_table(
        "masivo_slice",
        Column("run", _Id, ForeignKey("masivo_run.id"), primary_key=True),
        Column("entity", String(12), primary_key=True),
        Column("number", Integer(), primary_key=True, autoincrement=False),
        Column("of", Integer(), nullable=False),
        Column("lower_bound", _Text),
        Column("upper_bound", _Text),
        Column("planned_rows", Integer(), nullable=False),
        Column("read_rows", Integer()),
        Column("met_again", Integer(), nullable=False),
        Column("fence", Integer(), nullable=False),
        Column("started_at", _Time),
        Column("finished_at", _Time),
        Column("selects", String(12), nullable=False),
        Column("renewed_at", Double()),
        **_MYSQL,
    )
    op.create_table(
        "masivo_tally",
        Column("id", _Id, primary_key=True),
        Column("run", _Id, ForeignKey("masivo_run.id"), nullable=False),
        Column("entity", String(12), nullable=False),
        Column("state", String(12), nullable=False),
        Column("reason", String(40), nullable=False),
        Column("column_name", String(190), nullable=False),
        Column("rows", Integer(), nullable=False),
        Column("points", _Sum, nullable=False),
        Column("new", Integer(), nullable=False),
        **_MYSQL,
    )
    op.create_index("masivo_tally_of_run", "masivo_tally", ["run", "entity"])
    op.create_table(
        "masivo_twin",
        Column("run", _Id, ForeignKey("masivo_run.id"), primary_key=True),
        Column("entity", String(12), primary_key=True),
        Column("place", _Place, primary_key=True),
        Column("rows", Integer(), nullable=False),
        **_MYSQL,
    )
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        _write_statistics(connection)


def downgrade() -> None:
    """Drop every table."""
    for table in (
        "masivo_twin",
        "masivo_tally",
        "masivo_slice",
        "masivo_release",
        "masivo_readback",
        "masivo_queue",
        "masivo_left",
        "masivo_finding",
        "masivo_coverage",
        "masivo_batch",
        "masivo_start",
        "masivo_run",
        "masivo_record",
        "masivo_payload",
        "masivo_ledger",
        "masivo_lane",
        "masivo_history",
    ):
        op.drop_table(table)


def _write_statistics(connection: Connection) -> None:
    connection.execute(text("ANALYZE"))  # makes the table of them
    line = text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('masivo_record', :index, :rows)")
    connection.execute(line, [{"index": index, "rows": rows} for index, rows in _STATISTICS.items()])
    connection.execute(text("ANALYZE sqlite_schema"))  # reads them
