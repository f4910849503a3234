"""
The ledger's tables.

``masivo_ledger``     one row: whose ledger this is, and what is known of the account
``masivo_run``        one row per run
``masivo_slice``      what each mapped task works off
``masivo_batch``      the records of one request, and its receipt
``masivo_record``     one row for each legacy row ever read: what it says *now*, what of it is
                      *out*, and what the API *has*
``masivo_history``    what such a row was before it changed
``masivo_tally``      the account of a run, as it was when the run ended
``masivo_left``       where rows had ended in the account of a run that is under way, when another
                      run saw them
``masivo_twin``       keys that several rows of the source have, as the plan of a run counted them
``masivo_lane``       the permission to send
``masivo_start``      the starts of the last hour
``masivo_queue``      runs that wait for their turn at an entity
``masivo_coverage``   spans of change time that runs work off
``masivo_release``    what a person decided, who and when
``masivo_finding``    what a read-back found other than expected
``masivo_payload``    sealed bodies of quarantined records
``masivo_readback``   what each read-back set out to read of a run, and what it came to

A record is filed under its entity, its customer *at first sight* and its *place*
(`masivo_engine.model.places`). That never changes, also when the row moves to another customer.
Slices are read by customer, so neighbours in a slice are neighbours in the table.

=============  ====================================================================================
columns        say
=============  ====================================================================================
``hash`` ...   **now**: the content of the row as last read; no hash where it is no record
``out_...``    **out**: what was put on the wire and nobody knows the fate of; no batch where
               nothing is out
``has_...``    **has**: what the API has; no hash where nothing arrived
``stray...``   what may have arrived and was given up, until a read-back shows that it has
``judged``     the content that the API refused by itself
``state`` ...  where the row has ended by the last judgement: see `state_in`
``run`` ...    the run, slice and try that saw it last
``asked_run``  the run that is to read it again by its place
``gone_run``   the run that asked for it and did not find it
=============  ====================================================================================

Times are UTC without a zone. Texts are compared byte by byte: MySQL's default collation would merge
``A1`` and ``a1``.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    String,
    Table,
    Text,
    and_,
    case,
    literal_column,
    text,
)
from sqlalchemy.dialects import mysql

from masivo_engine.model import ledger_capacity
from masivo_engine.model.rows import State


metadata = MetaData()

_Id = BigInteger().with_variant(Integer, "sqlite")


def _exact(length: int) -> Any:
    return String(length).with_variant(
        mysql.VARCHAR(length, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb"
    )


_Key, _Place = _exact(ledger_capacity.KEY), _exact(ledger_capacity.PLACE)
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


# Also where the row has none today, because it is no record any more.
_ANOTHER = "{0} IS NOT NULL AND (email IS NULL OR {0} <> email)"


# Of most rows whose key is text the place says the key as well, and an index by place is there.
# Keys come in no order, so that a second such index is what a first load costs most.
_RENAMED = "place <> 't' || key"


def _some(condition: str) -> dict[str, Any]:
    """Return what makes an index of a part of the rows; MySQL has none, and indexes all."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


ledger = Table(
    "masivo_ledger",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("account", String(ledger_capacity.DIGEST), nullable=False),
    Column("salt", _Digest, nullable=False),
    #: What a second sending of a customer does to its points, as a probe has shown; empty is not
    #: known.
    Column("resends", String(ledger_capacity.STATE), nullable=False, default=""),
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
    #: From then on its account is what `tally` says.
    Column("frozen_at", _Time),
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
    Column("met_again", Integer, nullable=False, default=0),
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

record = Table(
    "masivo_record",
    metadata,
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("home", _Place, primary_key=True),
    Column("place", _Place, primary_key=True),
    Column("key", _Key, nullable=False),
    Column("customer", _Key, nullable=False),
    Column("owner", _Place, nullable=False),
    Column("changed", String(ledger_capacity.CHANGED), nullable=False, default=""),
    # now
    Column("hash", _Digest),
    Column("points", _Points, nullable=False, default=0),
    Column("worth", _Text),
    Column("email", _Digest),
    Column("handle", _Text),
    # where it has ended
    Column("state", String(ledger_capacity.STATE), nullable=False),
    Column("reason", String(ledger_capacity.REASON), nullable=False, default=""),
    Column("column_name", String(ledger_capacity.COLUMN_NAME), nullable=False, default=""),
    Column("shape", String(ledger_capacity.SHAPE), nullable=False, default=""),
    Column("since_run", _Id, nullable=False),
    # out
    Column("out_batch", _Id),
    Column("out_hash", _Digest),
    Column("out_customer", _Key),
    Column("out_points", _Points),
    Column("out_worth", _Text),
    Column("out_email", _Digest),
    Column("out_handle", _Text),
    # has
    Column("has_batch", _Id),
    Column("has_hash", _Digest),
    Column("has_customer", _Key),
    Column("has_points", _Points),
    Column("has_worth", _Text),
    Column("has_email", _Digest),
    Column("has_handle", _Text),
    Column("has_run", _Id),
    Column("confirmed_at", _Time),
    # what was given up, and what was refused
    Column("strays", SmallInteger, nullable=False, default=0),
    Column("stray_hash", _Digest),
    Column("judged", _Digest),
    # who saw it
    Column("run", _Id, nullable=False),
    Column("slice", Integer, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("asked_run", _Id),
    Column("gone_run", _Id),
    Index("masivo_record_of_place", "entity", "place", unique=True),
    Index("masivo_record_of_key", "entity", "key", **_some(_RENAMED)),
    Index("masivo_record_of_customer", "entity", "customer"),
    Index("masivo_record_in_run", "run", "entity", "slice"),
    Index("masivo_record_open", "entity", "state", "reason", **_some("state <> 'delivered'")),
    Index("masivo_record_out", "out_batch", **_some("out_batch IS NOT NULL")),
    Index("masivo_record_arrived", "has_run", "has_batch", **_some("has_run IS NOT NULL")),
    Index("masivo_record_asked", "asked_run", "entity", **_some("asked_run IS NOT NULL")),
    Index("masivo_record_gone", "gone_run", **_some("gone_run IS NOT NULL")),
    Index("masivo_record_of_batch", "has_batch", **_some("has_batch IS NOT NULL")),
    Index("masivo_record_of_email", "email", **_some("email IS NOT NULL")),
    # Whose address or customer is another one than the row's today, in what is out or has arrived.
    Index("masivo_record_had_email", "has_email", **_some(_ANOTHER.format("has_email"))),
    Index("masivo_record_out_email", "out_email", **_some(_ANOTHER.format("out_email"))),
    Index("masivo_record_had_customer", "has_customer", **_some("has_customer <> customer")),
    Index("masivo_record_out_customer", "out_customer", **_some("out_customer <> customer")),
    sqlite_with_rowid=False,
    **_MYSQL,
)

# What of a record is put on the wire is what it says at that moment, and what is on the wire is
# what arrives.
CONTENT = ("hash", "customer", "points", "worth", "email", "handle")
NOTHING_OUT: dict[str, Any] = dict.fromkeys(("out_batch", *(f"out_{name}" for name in CONTENT)))
NOTHING_THERE: dict[str, Any] = dict.fromkeys(
    ("has_batch", "has_run", "confirmed_at", *(f"has_{name}" for name in CONTENT))
)

history = Table(
    "masivo_history",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("entity", String(ledger_capacity.ENTITY), nullable=False),
    Column("home", _Place, nullable=False),
    Column("place", _Place, nullable=False),
    Column("customer", _Key, nullable=False),
    Column("run", _Id, nullable=False),
    Column("state", String(ledger_capacity.STATE), nullable=False),
    Column("reason", String(ledger_capacity.REASON), nullable=False),
    Column("column_name", String(ledger_capacity.COLUMN_NAME), nullable=False),
    Column("points", _Points, nullable=False),
    Column("batch", _Id),
    Column("until_run", _Id, nullable=False),
    Index("masivo_history_of_place", "entity", "home", "place"),
    Index("masivo_history_of_customer", "customer"),
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
    Column("column_name", String(ledger_capacity.COLUMN_NAME), nullable=False, default=""),
    Column("rows", Integer, nullable=False),
    Column("points", _Sum, nullable=False),
    Column("new", Integer, nullable=False, default=0),
    Index("masivo_tally_of_run", "run", "entity"),
    **_MYSQL,
)

left = Table(
    "masivo_left",
    metadata,
    Column("run", ForeignKey("masivo_run.id"), primary_key=True),
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("place", _Place, primary_key=True),
    Column("slice", Integer, nullable=False),
    Column("state", String(ledger_capacity.STATE), nullable=False),
    Column("reason", String(ledger_capacity.REASON), nullable=False),
    Column("column_name", String(ledger_capacity.COLUMN_NAME), nullable=False),
    Column("points", _Points, nullable=False),
    Column("new", Integer, nullable=False),
    **_MYSQL,
)

twin = Table(
    "masivo_twin",
    metadata,
    Column("run", ForeignKey("masivo_run.id"), primary_key=True),
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("place", _Place, primary_key=True),
    Column("rows", Integer, nullable=False),
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
    Column("entity", String(ledger_capacity.ENTITY), primary_key=True),
    Column("place", _Place, primary_key=True),
    Column("sealed", LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb"), nullable=False),
    **_MYSQL,
)

# Where a row has ended. `unchanged` is not written down: it is what a run has seen and another one
# has delivered. What a person adopted, or a policy ignored, is written down as unchanged, with the
# reason.
is_delivered = record.c.state == State.DELIVERED.value
is_confirmed = and_(is_delivered, record.c.confirmed_at.is_not(None))
# Word by word the condition of the index of open rows: a prepared statement may be planned before
# its values are known.
is_open = record.c.state != literal_column(f"'{State.DELIVERED}'")
has_arrived = record.c.has_hash.is_not(None)
is_out = record.c.out_batch.is_not(None)


#: Whether the place of a row is that of its key as text; all others have the index by key.
is_placed_by_key = record.c.place == literal_column("'t'", String) + record.c.key


def is_waiting(*states: State) -> ColumnElement[bool]:
    """Whether a row has ended in one of *states*, which are open: there is an index of them."""
    return and_(is_open, record.c.state.in_(states))


def state_in(number: int | ColumnElement[int]) -> ColumnElement[str]:
    """Return the state of a row in the account of the run *number*, which has seen it last."""
    return case(
        (and_(is_delivered, record.c.has_run != number), State.UNCHANGED.value),
        (is_confirmed, State.CONFIRMED.value),
        else_=record.c.state,
    )
