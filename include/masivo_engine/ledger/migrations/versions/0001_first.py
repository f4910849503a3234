"""The first schema."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Connection, text

from masivo_engine.ledger.schema import metadata


revision = "0001"
down_revision = None

# SQLite gathers no statistics by itself. Without any it takes an entity or a run for a few rows,
# and reads all of it to find one. So many rows there are, and so many have the same first columns.
_STATISTICS = {
    "masivo_record": "1000000 300000 3 1",  # the primary key
    "masivo_record_of_place": "1000000 300000 1",
    "masivo_record_of_key": "1000000 300000 1",
    "masivo_record_of_customer": "1000000 300000 3",
    "masivo_record_in_run": "1000000 50000 20000 10000",
    "masivo_record_open": "10000 5000 2000 1000",
    "masivo_record_out": "10000 1000",
    "masivo_record_arrived": "1000000 50000 1000",
    "masivo_record_of_batch": "1000000 1000",
    "masivo_record_gone": "1000 100",
    "masivo_record_of_email": "300000 1",
    "masivo_record_had_email": "1000 1",
    "masivo_record_out_email": "1000 1",
    "masivo_record_had_customer": "1000 1",
    "masivo_record_out_customer": "1000 1",
}


def upgrade() -> None:
    """Create every table."""
    connection = op.get_bind()
    metadata.create_all(connection)
    if connection.dialect.name == "sqlite":
        _write_statistics(connection)


def downgrade() -> None:
    """Drop every table."""
    metadata.drop_all(op.get_bind())


def _write_statistics(connection: Connection) -> None:
    connection.execute(text("ANALYZE"))  # makes the table of them
    line = text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('masivo_record', :index, :rows)")
    connection.execute(line, [{"index": index, "rows": rows} for index, rows in _STATISTICS.items()])
    connection.execute(text("ANALYZE sqlite_schema"))  # reads them
