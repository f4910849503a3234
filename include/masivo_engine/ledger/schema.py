"""
The ledger's tables.

``masivo_ledger``    one row: whose ledger this is
``masivo_run``       one row per run
``masivo_slice``     what each mapped task works off
``masivo_batch``     the records of one request, and its receipt
``masivo_entry``     where each row that a run read ended
``masivo_claim``     what may be there only once, such as an e-mail
``masivo_lane``      the permission to send
``masivo_start``     the starts of the last hour
``masivo_queue``     runs that wait for their turn at an entity
``masivo_coverage``  spans of change time that runs work off
``masivo_selected``  rows that a slice reads by key
``masivo_release``   what a person decided, who and when
``masivo_finding``   what a read-back found other than expected
``masivo_payload``   sealed bodies of quarantined records
``masivo_tally``     counts of entries that were forgotten
``masivo_readback``  what each read-back set out to read of a run, and what it came to
``masivo_refusal``   what a refusal leaves behind, as far as it was proved, by entity and status

An entry that a batch carries has no state of its own: it has its batch's, until something says
otherwise of it alone. So a receipt changes one row, and receipt and record states cannot disagree.

Times are UTC without a zone. Keys are compared byte by byte: MySQL's default collation would merge
``A1`` and ``a1``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    String,
    Table,
    Text,
    and_,
    case,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects import mysql

from masivo_engine.model import ledger_capacity


metadata = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")
_Key = String(ledger_capacity.KEY).with_variant(
    mysql.VARCHAR(ledger_capacity.KEY, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
)
# MySQL's own TEXT ends at 64 KB, which names of 6,000 customers fill.
_Text = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_Digest = LargeBinary(16).with_variant(mysql.BINARY(16), "mysql", "mariadb")
_Time = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
_Points = Numeric(ledger_capacity.POINTS_DIGITS, ledger_capacity.POINTS_PLACES)
_Sum = Numeric(ledger_capacity.TALLY_DIGITS, ledger_capacity.POINTS_PLACES).with_variant(
    _Points, "sqlite"
)  # whose numbers have no width

# What the API said is kept word for word, whatever character set the server has by default.
_MYSQL: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}

# Most rows of a ledger are a batch's or unchanged: neither needs a place in the index of those that
# wait. MySQL has no index of a part.
_IS_OPEN = text("state NOT IN ('unchanged', 'superseded')")

ledger = Table(
    "masivo_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("account", String(ledger_capacity.DIGEST), nullable=False),
    Column("salt", _Digest, nullable=False),
    Column("refusals", String(ledger_capacity.STATE), nullable=False, default=""),
    Column("created_at", _Time, nullable=False),
    **_MYSQL,
)

refusal = Table(
    "masivo_refusal",
    metadata,
    Column("entity", String(12), primary_key=True),
    Column("status", Integer, primary_key=True, autoincrement=False),
    Column("leaves", String(12), nullable=False),
    **_MYSQL,
)

run = Table(
    "masivo_run",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run_id", String(ledger_capacity.NAME_OF_RUN), nullable=False, unique=True),
    Column("mapping", String(ledger_capacity.MAPPING), nullable=False),
    Column("mapping_hash", String(ledger_capacity.DIGEST), nullable=False),
    Column("covers", _Text, nullable=False),
    Column("started_at", _Time, nullable=False),
    Column("finished_at", _Time),
    Column("outcome", String(ledger_capacity.SENTENCE)),
    Column("kind", String(ledger_capacity.KIND), nullable=False, default=""),
    Column("started_by", String(ledger_capacity.PERSON), nullable=False, default=""),
    Column("plan", _Text),
    Column("approved_by", String(ledger_capacity.PERSON), nullable=False, default=""),
    Column("approved_at", _Time),
    **_MYSQL,
)

part = Table(
    "masivo_slice",
    metadata,
    Column("run", ForeignKey("masivo_run.id"), primary_key=True),
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("of", Integer, nullable=False),
    Column("lower_bound", _Text),
    Column("upper_bound", _Text),
    Column("planned_rows", Integer, nullable=False),
    Column("read_rows", Integer),
    Column("fence", Integer, nullable=False, default=0),
    Column("started_at", _Time),
    Column("finished_at", _Time),
    Column("selects", String(ledger_capacity.KIND), nullable=False, default="window"),
    Column("renewed_at", Double),
    **_MYSQL,
)

batch = Table(
    "masivo_batch",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("slice", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("state", String(ledger_capacity.STATE), nullable=False),
    Column("records", Integer, nullable=False),
    Column("customers", Integer, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("body_hash", _Digest, nullable=False),
    Column("requests", Integer, nullable=False, default=0),
    Column("status", Integer),
    Column("reason", String(ledger_capacity.REASON), nullable=False, default=""),
    Column("words", String(ledger_capacity.WORDS)),
    Column("seconds", Double),
    Column("packed_at", _Time, nullable=False),
    Column("sent_at", _Time),
    Column("settled_at", _Time),
    Column("purpose", String(ledger_capacity.KIND), nullable=False, default=""),
    Index("masivo_batch_of_slice", "run", "entity", "slice"),
    **_MYSQL,
)

entry = Table(
    "masivo_entry",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("slice", Integer, nullable=False),
    Column("key", _Key, nullable=False),
    Column("customer", _Key, nullable=False),
    Column("occurrence", Integer, nullable=False, default=0),
    Column("content_hash", _Digest),
    Column("state", String(ledger_capacity.STATE)),
    Column("reason", String(ledger_capacity.REASON), nullable=False, default=""),
    Column("column_name", String(ledger_capacity.COLUMN_NAME), nullable=False, default=""),
    Column("shape", String(ledger_capacity.SHAPE), nullable=False, default=""),
    Column("batch", ForeignKey("masivo_batch.id")),
    Column("points", _Points, nullable=False, default=0),
    Column("balance", _Text),
    Column("reward", String(ledger_capacity.REWARD), nullable=False, default=""),
    # With state and reason, so that a sweep's rows that found nothing new are passed over in the
    # index; with the points, so that an account is read from the index alone. None by batch (but on
    # MySQL, which wants one for each foreign key): whoever looks for its entries says whose batch
    # it is (`of_its_batch`).
    Index("masivo_entry_of_key", "key", "entity", "state", "reason"),
    Index("masivo_entry_of_customer", "customer", "state", "reason"),
    Index("masivo_entry_in_run", "run", "entity", "slice", "batch", "state", "reason", "points"),
    Index("masivo_entry_open", "entity", "state", "reason", sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN),
    **_MYSQL,
)

claim = Table(
    "masivo_claim",
    metadata,
    Column("kind", String(ledger_capacity.KIND), primary_key=True),
    Column("digest", _Digest, primary_key=True),
    Column("key", _Key, nullable=False),
    **_MYSQL,
)

lane = Table(
    "masivo_lane",
    metadata,
    Column("account", String(ledger_capacity.DIGEST), primary_key=True),
    Column("next_at", Double, nullable=False),
    Column("frozen_until", Double, nullable=False),
    Column("margin_s", Double, nullable=False),
    Column("increments_until", Double, nullable=False, default=0),
    Column("turns_since_backfill", Integer, nullable=False, default=0),
    **_MYSQL,
)

start = Table(
    "masivo_start",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("account", String(ledger_capacity.DIGEST), nullable=False),
    Column("at", Double, nullable=False),
    Index("masivo_start_by_time", "account", "at"),
    **_MYSQL,
)

queue = Table(
    "masivo_queue",
    metadata,
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), primary_key=True),
    Column("kind", String(ledger_capacity.KIND), nullable=False),
    Column("asked_at", Double, nullable=False),
    **_MYSQL,
)

coverage = Table(
    "masivo_coverage",
    metadata,
    Column("run", ForeignKey("masivo_run.id"), primary_key=True),
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("mapping", String(ledger_capacity.MAPPING), nullable=False),
    Column("since", _Time),
    Column("until", _Time),
    Column("newest", _Time),
    Column("rows", Integer, nullable=False),
    Column("signature", _Text, nullable=False),
    Index("masivo_coverage_of_mapping", "mapping", "entity"),
    **_MYSQL,
)

selected = Table(
    "masivo_selected",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("slice", Integer, nullable=False),
    Column("key", _Key, nullable=False),
    Index("masivo_selected_by_slice", "run", "entity", "slice", "key"),
    **_MYSQL,
)

release = Table(
    "masivo_release",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("action", String(ledger_capacity.ACTION), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False, default=""),
    Column("about", String(ledger_capacity.SENTENCE), nullable=False, default=""),
    Column("records", Integer, nullable=False, default=0),
    Column("released_by", String(ledger_capacity.PERSON), nullable=False),
    Column("released_at", _Time, nullable=False),
    Index("masivo_release_of_run", "run"),
    **_MYSQL,
)

finding = Table(
    "masivo_finding",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("key", _Key, nullable=False),
    Column("customer", _Key, nullable=False),
    Column("bucket", String(ledger_capacity.REASON), nullable=False),
    Column("reward", String(ledger_capacity.REWARD), nullable=False, default=""),
    Column("expected", String(ledger_capacity.SENTENCE), nullable=False, default=""),
    Column("found", String(ledger_capacity.SENTENCE), nullable=False, default=""),
    Column("found_at", _Time, nullable=False),
    Index("masivo_finding_of_run", "run", "entity"),
    **_MYSQL,
)

readback = Table(
    "masivo_readback",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("read_by", String(ledger_capacity.NAME_OF_RUN), nullable=False),
    Column("customers", Integer, nullable=False),
    Column("chosen", Integer, nullable=False),
    Column("drawn", Integer, nullable=False),
    Column("chosen_at", _Time, nullable=False),
    Column("judged_at", _Time),
    Column("outcome", String(ledger_capacity.SENTENCE), nullable=False, default=""),
    Index("masivo_readback_of_run", "run"),
    **_MYSQL,
)

payload = Table(
    "masivo_payload",
    metadata,
    Column("entry", ForeignKey("masivo_entry.id"), primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=False),
    **_MYSQL,
)

tally = Table(
    "masivo_tally",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("run", ForeignKey("masivo_run.id"), nullable=False),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("state", String(ledger_capacity.STATE), nullable=False),
    Column("reason", String(ledger_capacity.REASON), nullable=False),
    Column("rows", Integer, nullable=False),
    Column("points", _Sum, nullable=False),
    Index("masivo_tally_of_run", "run", "entity"),
    **_MYSQL,
)

# What an entry's state and reason are: its own, or its batch's.
state_of_entry = func.coalesce(entry.c.state, batch.c.state)
reason_of_entry = func.coalesce(func.nullif(entry.c.reason, ""), batch.c.reason, "")
# A batch of what may have arrived before has a stamp before it is sent: the moment before which
# that was.
sent_at_of_batch = case((batch.c.requests > 0, batch.c.sent_at)).label("sent_at")
# To be said beside the states that are asked for: SQLite takes the index of a part only where its
# condition is repeated, word for word.
is_open = entry.c.state.not_in([literal_column("'unchanged'"), literal_column("'superseded'")])
# The run of an entry that is looked for by its key. As it stands a database without statistics
# takes a run for a few rows, and reads all of it.
run_beside_key = entry.c.run + 0
of_its_batch = and_(
    entry.c.run == batch.c.run,
    entry.c.entity == batch.c.entity,
    entry.c.slice == batch.c.slice,
    entry.c.batch == batch.c.id,
)
# The entries that have their batch's state, for questions about few batches. An outer join, so that
# every database begins with these: a batch without such entries has a row of nothing but NULL.
batch_and_its_entries = batch.outerjoin(entry, and_(of_its_batch, entry.c.state.is_(None)))
entry_and_batch = entry.outerjoin(batch, entry.c.batch == batch.c.id)
