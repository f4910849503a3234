"""
A draft of a mapping: how much of known schemas it gets right, that it never guesses codes or money,
and that its SQL runs on whatever tables there are.
"""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as examples
from sqlalchemy import create_engine, text

from masivo_engine.draft import files
from masivo_engine.draft.draft import drafted, write
from masivo_engine.draft.schema import Table
from masivo_engine.mapping.aliases import check_aliases
from masivo_engine.mapping.loader import load
from masivo_engine.model.errors import MappingError, Misconfigured
from masivo_engine.source.database import Database
from tests import servers
from tests.databases import drafting, opencart, prestashop, ready_mappings, woocommerce
from tests.databases.sample import sample_shop


PAGE = Path(__file__).parents[3] / "docs" / "mappings" / "draft.md"
SHOPS = {"woocommerce": woocommerce.SHOP, "opencart": opencart.SHOP, "prestashop": prestashop.SHOP}


def read(url):
    engine = create_engine(url)
    try:
        return drafted(engine)
    finally:
        engine.dispose()


def run(engine, draft, folder):
    """Write *draft*, load it as a mapping; return how many rows each file finds, by its name."""
    write(draft, folder)
    mapping = load(str(folder), unsaid_zone="UTC")
    database = Database(engine)
    found = {}
    for query in [*mapping.queries.values(), *(one for lists in mapping.lists.values() for one in lists.values())]:
        check_aliases(query, database.columns(query))
        with database.reading() as connection:
            counted = f"SELECT COUNT(*) FROM ({query.sql}\n) found"
            found[query.file_name] = (
                connection.execution_options(no_parameters=True).exec_driver_sql(counted).scalar_one()
            )
    return found


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return f"sqlite:///{sample_shop(tmp_path_factory.mktemp('sample'), customers=70)[0]}"


def measured(request, name):
    """Return the draft of a known shop, in the database of which there is a ready mapping."""
    if name == "sample":
        return read(request.getfixturevalue("sample"))
    with servers.fresh_database(request.getfixturevalue("mariadb_server")) as url:
        ready_mappings.build(url, name, SHOPS[name])
        ready_mappings.build(url, f"{name}_neighbours", {})
        return read(url)


@pytest.mark.parametrize("name", ["sample", *SHOPS])
def test_the_page_says_how_many_aliases_are_right_at_once(request, name):
    found = drafting.compared(measured(request, name), load(name))
    told = re.search(rf"^\| `{name}` \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", PAGE.read_text(), re.MULTILINE)
    assert told, "the page has no line for it"
    kinds = ("selected", "named", "elsewhere", "absent")
    assert [int(number) for number in told.groups()] == [found.total(), *(found[kind] for kind in kinds)]


def test_the_tables_of_the_sample_are_found(sample):
    assert {file.name: file.chosen.table.name for file in read(sample).guesses} == {
        "customers": "member",
        "customers.balance": "points_lot",
        "events": "receipt",
        "events.order__products": "receipt_line",
        "transactions": "points_ledger",
    }


CODES_AND_MONEY = {
    *("brand_id", "channel_id", "reward_id", "gender", "status", "type", "fulfilled", "order__payment_method"),
    *("order__value", "order__discounted_value", "order__shipping__value", "value", "discounted_value", "cost"),
    "metrics__lifetime__tier_id",
}


def test_codes_and_money_are_left_to_a_person_and_so_nothing_could_go_by_accident(sample, tmp_path):
    draft = read(sample)
    lines = [line.strip() for text_ in draft.texts.values() for line in text_.splitlines()]
    for alias in CODES_AND_MONEY:
        filled = [line for line in lines if re.search(rf" AS {alias},?( --|$)", line)]
        assert {line.rstrip(",") for line in filled} <= {
            f"NULL AS {alias}",
            "'PURCHASE' AS type, -- the API's word for a purchase",
        }
    assert draft.to_fill_in == sum(line.startswith(("NULL AS", "timezone:")) for line in lines)

    engine = create_engine(sample)
    rows = run(engine, draft, tmp_path / "drafted")
    engine.dispose()
    assert rows.keys() == {name for name in draft.texts if name.endswith(".sql")}
    assert all(rows.values())


def test_a_line_to_fill_in_shows_what_the_codes_are(sample):
    said = " ".join(read(sample).texts["transactions.sql"].split()).replace(" -- ", " ")
    assert "FILL IN type: ACCUMULATION, REDEMPTION" in said
    assert 'It may be in t."kind"' in said
    assert "kind holds 'E', " in said


def test_no_run_begins_before_the_zone_is_said(sample, tmp_path):
    write(read(sample), tmp_path / "drafted")
    with pytest.raises(MappingError, match="does not say the time zone of naive timestamps"):
        load(str(tmp_path / "drafted"))
    settings = tmp_path / "drafted" / "mapping.yaml"
    settings.write_text(settings.read_text().replace("timezone:", "timezone: America/Bogota"))
    assert load(str(tmp_path / "drafted")).settings.timezone == "America/Bogota"


def test_a_database_without_customers_is_refused_in_one_sentence(sqlite_url):
    engine = create_engine(sqlite_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE weather (id INTEGER PRIMARY KEY, degrees REAL)"))
    with pytest.raises(Misconfigured, match=r"nothing in the legacy database looks like customers.*sees weather"):
        drafted(engine)
    engine.dispose()


def test_foreign_keys_lead_to_customers_over_a_table_between(postgres_url, tmp_path):
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        for statement in (
            "CREATE SCHEMA crm",
            "CREATE TABLE crm.res_partner (id BIGINT PRIMARY KEY, name TEXT, email TEXT, create_date TIMESTAMP)",
            "CREATE TABLE crm.loyalty_card (id BIGINT PRIMARY KEY, holder BIGINT REFERENCES crm.res_partner, points FLOAT)",
            "CREATE TABLE crm.loyalty_history (id BIGINT PRIMARY KEY, card BIGINT REFERENCES crm.loyalty_card, issued FLOAT, used FLOAT, create_date TIMESTAMP)",
            "INSERT INTO crm.res_partner VALUES (7, 'Ann', 'ann@x.example', now())",
            "INSERT INTO crm.loyalty_card VALUES (70, 7, 5)",
            "INSERT INTO crm.loyalty_history VALUES (700, 70, 5, 0, now())",
        ):
            connection.execute(text(statement))
    draft = drafted(engine)
    assert run(engine, draft, tmp_path / "drafted")["transactions.sql"] == 1
    with engine.connect() as connection:
        row = connection.exec_driver_sql(draft.texts["transactions.sql"]).mappings().one()
    assert (row["customer_id"], row["transaction_id"], row["details"], row["amount"]) == (7, 700, "legacy:700", 5)
    assert 'FROM "crm"."loyalty_history" t' in draft.texts["transactions.sql"]
    engine.dispose()


def test_what_cannot_be_read_is_no_candidate(postgres_url):
    owner = create_engine(postgres_url)
    with owner.begin() as connection:
        for statement in (
            "CREATE TABLE customer (id BIGINT PRIMARY KEY, name TEXT, email TEXT)",
            "CREATE TABLE member (id BIGINT PRIMARY KEY, name TEXT)",
            "DROP ROLE IF EXISTS masivo_draft_reader",
            "CREATE ROLE masivo_draft_reader",
            "GRANT SELECT ON member TO masivo_draft_reader",
        ):
            connection.execute(text(statement))
    reader = create_engine(postgres_url, connect_args={"options": "-c role=masivo_draft_reader"})
    try:
        assert drafted(reader).guesses[0].chosen.table.name == "member"
    finally:
        reader.dispose()
        with owner.begin() as connection:
            connection.execute(text("DROP OWNED BY masivo_draft_reader"))
            connection.execute(text("DROP ROLE masivo_draft_reader"))
        owner.dispose()


_RESERVED = {
    # It cannot be asked; https://www.sqlite.org/lang_keywords.html has them.
    "sqlite": "SELECT value FROM json_each('"
    + json.dumps(
        [
            "abort",
            "action",
            "add",
            "after",
            "all",
            "alter",
            "always",
            "analyze",
            "and",
            "as",
            "asc",
            "attach",
            "autoincrement",
            "before",
            "begin",
            "between",
            "by",
            "cascade",
            "case",
            "cast",
            "check",
            "collate",
            "column",
            "commit",
            "conflict",
            "constraint",
            "create",
            "cross",
            "current",
            "current_date",
            "current_time",
            "current_timestamp",
            "database",
            "default",
            "deferrable",
            "deferred",
            "delete",
            "desc",
            "detach",
            "distinct",
            "do",
            "drop",
            "each",
            "else",
            "end",
            "escape",
            "except",
            "exclude",
            "exclusive",
            "exists",
            "explain",
            "fail",
            "filter",
            "first",
            "following",
            "for",
            "foreign",
            "from",
            "full",
            "generated",
            "glob",
            "group",
            "groups",
            "having",
            "if",
            "ignore",
            "immediate",
            "in",
            "index",
            "indexed",
            "initially",
            "inner",
            "insert",
            "instead",
            "intersect",
            "into",
            "is",
            "isnull",
            "join",
            "key",
            "last",
            "left",
            "like",
            "limit",
            "match",
            "materialized",
            "natural",
            "no",
            "not",
            "nothing",
            "notnull",
            "null",
            "nulls",
            "of",
            "offset",
            "on",
            "or",
            "order",
            "others",
            "outer",
            "over",
            "partition",
            "plan",
            "pragma",
            "preceding",
            "primary",
            "query",
            "raise",
            "range",
            "recursive",
            "references",
            "regexp",
            "reindex",
            "release",
            "rename",
            "replace",
            "restrict",
            "returning",
            "right",
            "rollback",
            "row",
            "rows",
            "savepoint",
            "select",
            "set",
            "table",
            "temp",
            "temporary",
            "then",
            "ties",
            "to",
            "transaction",
            "trigger",
            "unbounded",
            "union",
            "unique",
            "update",
            "using",
            "vacuum",
            "values",
            "view",
            "virtual",
            "when",
            "where",
            "window",
            "with",
            "without",
        ]
    )
    + "')",
    "postgresql": "SELECT word FROM pg_get_keywords()",
    "mysql": "SELECT word FROM information_schema.keywords WHERE word REGEXP '^[A-Za-z_]+$'",
}


def test_tables_and_columns_may_have_any_name_that_the_database_keeps_for_itself(legacy_url):
    engine = create_engine(legacy_url)
    with engine.connect() as connection:
        found = [word.lower() for (word,) in connection.execute(text(_RESERVED[engine.dialect.name]))]
    words = sorted({*found, "order", "user", "transaction", "member"})
    # All of them as columns of one table; as tables some, because each costs a file.
    tables = {"all of them": [(word, "INTEGER") for word in words]}
    tables |= {word: [(word, "INTEGER")] for word in words[:: len(words) // 20]}
    drafting.create(engine, tables)
    writer = files.Writer(engine)
    for name, columns in tables.items():
        listed = ", ".join(f"c.{writer.column(word)}" for word, _ in columns)
        with engine.connect() as connection:
            found = connection.exec_driver_sql(f"SELECT {listed} FROM {writer.table(Table(None, name, ()))} c").one()
        assert len(found) == len(columns)
    engine.dispose()


def _never_wrong(engine, schema):
    drafting.create(engine, schema)
    try:
        draft = drafted(engine)
    except Misconfigured:  # nothing looks like customers
        pass
    else:
        with tempfile.TemporaryDirectory() as folder:
            run(engine, draft, Path(folder) / "drafted")
    finally:
        drafting.drop(engine, schema)


@given(drafting.schemas("sqlite"))
@examples(max_examples=100)
def test_any_tables_of_sqlite_are_drafted_into_sql_that_runs(schema):
    engine = create_engine("sqlite://")
    _never_wrong(engine, schema)
    engine.dispose()


@pytest.fixture(scope="module")
def postgres(postgres_server):
    with servers.fresh_database(postgres_server) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@given(schema=drafting.schemas("postgresql"))
@examples(max_examples=25)
def test_any_tables_of_postgresql_are_drafted_into_sql_that_runs(postgres, schema):
    _never_wrong(postgres, schema)


@pytest.fixture(scope="module")
def mariadb(mariadb_server):
    with servers.fresh_database(mariadb_server) as url:
        engine = create_engine(url)
        yield engine
        engine.dispose()


@given(schema=drafting.schemas("mysql"))
@examples(max_examples=25)
def test_any_tables_of_mariadb_are_drafted_into_sql_that_runs(mariadb, schema):
    _never_wrong(mariadb, schema)
