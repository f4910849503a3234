"""
Mapping folders: what loads, and the one sentence that each fault gets.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from masivo_engine.contract.fields import Kind
from masivo_engine.mapping.aliases import Query, check_aliases, find
from masivo_engine.mapping.loader import MAPPINGS, Mapping, load
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from tests.mapping_folder import CUSTOMERS, mapping, write


def sentence(folder: Path, files: dict[str, str | bytes | None]) -> str:
    """Return what is said of a mapping with *files*, without the folder's name."""
    write(folder, files)
    with pytest.raises(MappingError) as caught:
        load(str(folder))
    said = str(caught.value)
    assert said.startswith(str(folder))
    assert "\n" not in said
    return said.removeprefix(str(folder)).lstrip("/")


def query(name: str = "customers") -> Query:
    entity, _, path = name.partition(".")
    return Query(Entity(entity), path, "SELECT 1", f"{name}.sql")


@pytest.mark.parametrize("name", ["sample", "complete_journey"])
def test_the_mappings_of_the_project_load_by_name(name):
    found = load(name)
    assert found.name == name
    assert found.entities == tuple(Entity)
    assert found.folder == MAPPINGS / name


def test_a_mapping_of_customers_alone_loads_from_any_folder(tmp_path):
    found = mapping(tmp_path, {})
    assert isinstance(found, Mapping)
    assert found.entities == (Entity.CUSTOMERS,)
    assert found.queries[Entity.CUSTOMERS].sql == CUSTOMERS
    assert found.folder == tmp_path


def test_a_list_file_fills_the_list_that_its_name_gives(tmp_path):
    files = {"events.sql": "SELECT 1", "events.order__products.sql": "SELECT 2", "customers.balance.sql": "SELECT 3"}
    found = mapping(tmp_path, files)
    assert {path: listed.sql for path, listed in found.lists[Entity.EVENTS].items()} == {"order__products": "SELECT 2"}
    assert list(found.lists[Entity.CUSTOMERS]) == ["balance"]
    assert found.lists[Entity.TRANSACTIONS] == {}


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("SELECT 1;", "SELECT 1"),
        ("SELECT 1 ;\n\n", "SELECT 1"),
        ("SELECT 1; -- the end", "SELECT 1"),
        ("SELECT 1;\n/* the\nend; */ ;", "SELECT 1"),
        ("SELECT 1 -- the end;", "SELECT 1 -- the end;"),
        ("SELECT ';' AS a", "SELECT ';' AS a"),
        ("SELECT '; -- no end' AS a;", "SELECT '; -- no end' AS a"),
        ('SELECT 1 AS "a;"', 'SELECT 1 AS "a;"'),
        ("SELECT 1; SELECT 2", "SELECT 1; SELECT 2"),  # for the database to refuse
        ("\ufeffSELECT 1", "SELECT 1"),
    ],
)
def test_a_statement_ends_before_its_semicolon_and_what_is_said_after_it(tmp_path, written, kept):
    assert mapping(tmp_path, {"customers.sql": written}).queries[Entity.CUSTOMERS].sql == kept


def test_a_name_that_is_no_mapping_is_answered_with_those_that_are():
    with pytest.raises(MappingError) as caught:
        load("no-such-mapping")
    assert str(caught.value) == (
        "mapping 'no-such-mapping': there is no such mapping and no such folder; known are complete_journey, opencart, prestashop, sample, woocommerce"
    )


def test_every_mapping_needs_customers(tmp_path):
    assert sentence(tmp_path, {"customers.sql": None}).startswith(": has no customers.sql; every mapping needs one")


def test_a_missing_time_zone_is_a_fault_of_the_mapping(tmp_path):
    said = sentence(tmp_path, {"mapping.yaml": "description: a shop"})
    assert said.startswith("mapping.yaml: does not say the time zone of naive timestamps")


@pytest.mark.parametrize("sql", ["", "  \n", ";", "-- later\n", "/* later */ ;"])
def test_a_file_without_a_statement_is_empty(tmp_path, sql):
    assert sentence(tmp_path, {"customers.sql": sql}) == "customers.sql: is empty; write a SELECT with a row per record"


def test_a_file_that_is_no_utf8_is_named(tmp_path):
    assert sentence(tmp_path, {"customers.sql": b"SELECT 'Jos\xe9'"}) == "customers.sql: is no UTF-8; save it as UTF-8"


def test_a_file_for_something_that_the_api_does_not_take_is_named(tmp_path):
    said = sentence(tmp_path, {"orders.sql": "SELECT 1"})
    assert said == "orders.sql: 'orders' is nothing the API takes; known are customers, events, transactions"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("customers.balances.sql", "no list 'balances' in the API's customers; lists are balance, devices"),
        ("customers.metrics.sql", "'metrics' is no list; lists are balance, devices"),
        ("events.order.products.sql", "no list 'order.products' in the API's events; lists are order__products, "),
    ],
)
def test_a_file_for_a_list_that_is_none_is_answered_with_those_that_are(tmp_path, name, said):
    assert sentence(tmp_path, {name: "SELECT 1", "events.sql": "SELECT 1"}).startswith(f"{name}: {said}")


def test_a_list_needs_the_entity_that_it_belongs_to(tmp_path):
    said = sentence(tmp_path, {"events.order__products.sql": "SELECT 1"})
    assert said == (
        "events.order__products.sql: fills a list of events, but there is no events.sql; add it, or remove this file"
    )


def test_a_zone_for_an_alias_that_cannot_be_is_refused_with_the_nearest(tmp_path):
    said = sentence(tmp_path, {"mapping.yaml": "timezone: UTC\ntimezones: {registraton_date: UTC}"})
    assert said == "mapping.yaml: timezones: unknown alias 'registraton_date'; did you mean 'registration_date'?"


@pytest.mark.parametrize("column", ["registration_date", "metrics__lifetime__from", "updated_at", "metadata__seen_at"])
def test_a_zone_may_be_given_for_any_alias_that_the_mapping_may_have(tmp_path, column):
    assert mapping(tmp_path, {"mapping.yaml": f"timezone: UTC\ntimezones: {{{column}: Asia/Tokyo}}"}).settings.timezones


# Aliases.


def alias_fault(columns: list[str], name: str = "customers") -> str:
    with pytest.raises(MappingError) as caught:
        check_aliases(query(name), columns)
    return str(caught.value)


def test_known_aliases_pass_in_any_case():
    check_aliases(
        query(), ["ID", "Name", "metrics__this_year__Number_Of_Purchases", "metadata__Any__Thing", "updated_at"]
    )
    check_aliases(query("customers.devices"), ["customer_id", "position", "device_info__osversion", "DEVICE_TOKEN"])
    check_aliases(query("transactions"), ["customer_id", "transaction_id", "event__order__products", "amount"])


@pytest.mark.parametrize(
    ("name", "alias", "nearest"),
    [
        ("customers", "emial", "email"),
        ("customers", "metrics__lifetime__tier", "metrics__lifetime__tier_id"),
        ("events", "order__purchaseid", "order__purchase_id"),
        ("events", "order__shipping", "order__shipping__tags"),
        ("events.order__products", "discount_value", "discounted_value"),
        ("customers.balance", "customers_id", "customer_id"),
    ],
)
def test_an_unknown_alias_is_named_with_the_nearest_known_one(name, alias, nearest):
    needed = query(name).needed
    assert alias_fault([*needed, alias], name) == f"{name}.sql: unknown alias {alias!r}; did you mean {nearest!r}?"


def test_an_alias_that_resembles_nothing_gets_the_list():
    assert alias_fault(["id", "zzzzzzzz"]).startswith(
        "customers.sql: unknown alias 'zzzzzzzz'; known are balance, country, "
    )


@pytest.mark.parametrize("alias", ["metadata__", "metadata____x", "__id"])
def test_an_alias_has_a_name_at_every_step(alias):
    assert "unknown alias" in alias_fault(["id", alias])


@pytest.mark.parametrize("columns", [["id", "name", "NAME"], ["id", "name", "name:1"]])
def test_an_alias_stands_for_one_column(columns):
    assert alias_fault(columns) == "customers.sql: has the alias 'name' twice; keep one of them"


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("customers", "id"),
        ("events", "customer_id"),
        ("events", "order__purchase_id"),
        ("transactions", "transaction_id"),
        ("customers.balance", "customer_id"),
        ("events.order__products", "order__purchase_id"),
        ("transactions.event__order__products", "transaction_id"),
    ],
)
def test_a_missing_key_column_is_asked_for(name, missing):
    columns = [needed for needed in query(name).needed if needed != missing]
    said = f"{name}.sql: has no column {missing!r}; add it: it is the key that rows are found by"
    assert alias_fault(columns, name) == said


def test_an_alias_leads_to_its_field():
    assert find(query("events"), "ORDER__VALUE").kind is Kind.MONEY
    assert find(query("customers"), "metadata__a__b").kind is Kind.FREE
    assert find(query("events"), "order__products").item is not None
    assert find(query("events"), "order") is None
    assert find(query("customers"), "balance__amount") is None


# adjust(row).


def test_a_python_file_may_adjust_rows(tmp_path):
    found = mapping(tmp_path, {"customers.py": "def adjust(row):\n    return {**row, 'name': 'x'}\n"})
    assert found.adjust[Entity.CUSTOMERS]({"id": 1, "name": "y"}) == {"id": 1, "name": "x"}


@pytest.mark.parametrize("code", ["", "adjust = 5", "def adapt(row): return row"])
def test_a_python_file_must_define_adjust(tmp_path, code):
    said = sentence(tmp_path, {"customers.py": code})
    assert said == "customers.py: has no function adjust(row); define it, or remove the file"


@pytest.mark.parametrize(
    ("code", "error"), [("def adjust(row:", "SyntaxError"), ("import no_such_module", "ModuleNotFoundError")]
)
def test_a_python_file_that_cannot_be_imported_is_named(tmp_path, code, error):
    assert sentence(tmp_path, {"customers.py": code}).startswith(f"customers.py: cannot be imported: {error}: ")


# What a mapping's hash covers.


@pytest.mark.parametrize("file", ["customers.sql", "mapping.yaml", "customers.py"])
def test_the_hash_of_a_mapping_covers_every_file_that_decides_what_is_sent(tmp_path, file):
    adjust = "def adjust(row):\n    return row\n"
    before = mapping(tmp_path, {"customers.py": adjust}).content_hash
    assert mapping(tmp_path, {"customers.py": adjust}).content_hash == before
    comment = "# changed\n" if file != "customers.sql" else "-- changed\n"
    with (tmp_path / file).open("a") as more:
        more.write(f"\n{comment}")
    assert load(str(tmp_path)).content_hash != before


def test_the_hash_of_a_mapping_does_not_cover_what_is_said_about_it(tmp_path):
    before = mapping(tmp_path, {}).content_hash
    assert mapping(tmp_path, {"README.md": "words"}).content_hash == before
