"""
Rows into payloads, by their column aliases.
"""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.mapping.aliases import Query
from masivo_engine.mapping.settings import Settings
from masivo_engine.mapping.values import Unfit
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity
from masivo_engine.records.payload import PayloadBuilder, UnfitColumn


KEYS = {
    "customers": {"id": "C1"},
    "events": {"customer_id": "C1", "order__purchase_id": "P1"},
    "events.order__products": {"order__purchase_id": "P1"},
    "transactions": {"customer_id": "C1", "transaction_id": "T1"},
}
REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"


def shaper(name: str, columns: list[str], *, newer_fields: bool = False, **settings: Any) -> PayloadBuilder:
    entity, _, path = name.partition(".")
    query = Query(Entity(entity), path, "SELECT 1", f"{name}.sql")
    return PayloadBuilder(
        query, columns, Settings(timezone="America/Mexico_City", **settings), newer_fields=newer_fields
    )


def payload(name: str, row: dict[str, Any], *, newer_fields: bool = False, **settings: Any) -> dict[str, Any]:
    """Build *row* with the keys that its file needs, and leave out empty lists."""
    row = KEYS[name] | row
    found = shaper(name, list(row), newer_fields=newer_fields, **settings).payload(tuple(row.values()))
    return _without_empty_lists(found)


def _without_empty_lists(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    return {name: _without_empty_lists(value) for name, value in part.items() if value != []}


def test_an_alias_is_a_path():
    row = {"order__value": Decimal("20.95"), "order__shipping__value": 3.25, "type": "PURCHASE"}
    assert payload("events", row) == {
        "type": "PURCHASE",
        "order": {"purchase_id": "P1", "value": 20.95, "shipping": {"value": 3.25}},
    }


def test_the_case_of_an_alias_does_not_matter_and_the_payload_has_the_one_of_the_contract():
    columns = ["CUSTOMER_ID", "Device_Token", "device_info__osversion"]
    assert shaper("customers.devices", columns).payload(("C1", "t", "17")) == {
        "device_token": "t",
        "device_info": {"osVersion": "17"},
    }


def test_empty_columns_are_left_out_and_objects_of_nothing_else_too():
    row = {"name": "Ana", "gender": None, "dob": "  ", "metrics__lifetime__spend_total": None, "metadata__note": ""}
    assert payload("customers", row) == {"id": "C1", "name": "Ana"}


def test_what_is_required_and_nullable_is_sent_as_null():
    found = payload("events", {"brand_id": None, "resolved_at": "", "channel_id": None})
    assert found == {"brand_id": None, "resolved_at": None, "order": {"purchase_id": "P1"}}


def test_reserved_aliases_are_never_sent():
    found = payload("transactions", {"details": "x", "updated_at": datetime(2024, 1, 1)})  # noqa: DTZ001
    assert found == {"details": "x"}
    assert payload("events.order__products", {"position": 3, "sku": "A"}) == {"sku": "A"}


def test_every_kind_of_field_is_read_as_what_it_is():
    row = {
        "name": 42,
        "registration_date": "2024-01-15 12:00:00",
        "dob": date(1990, 5, 5),
        "metrics__lifetime__tier_id": REWARD,
        "metrics__lifetime__spend_total": 0.1 + 0.2,
        "metrics__lifetime__from": "2024-01-15",
        "metadata": '{"a": 1}',
    }
    assert payload("customers", row) == {
        "id": "C1",
        "name": "42",
        "registration_date": "2024-01-15T18:00:00.000Z",
        "dob": "1990-05-05T00:00:00.000Z",
        "metrics": {"lifetime": {"tier_id": REWARD, "spend_total": 0.3, "from": "2024-01-15T06:00:00.000Z"}},
        "metadata": {"a": 1},
    }


def test_a_column_may_have_a_zone_of_its_own():
    row = {"registration_date": "2024-01-15 12:00:00", "metrics__updated_at": "2024-01-15 12:00:00"}
    found = payload("customers", row, timezones={"Registration_Date": "UTC"})
    assert found["registration_date"] == "2024-01-15T12:00:00.000Z"
    assert found["metrics"]["updated_at"] == "2024-01-15T18:00:00.000Z"


def test_newer_fields_are_left_out_until_they_are_switched_on():
    row = {"country": "MX", "document_type": "RFC", "metrics__lifetime__last_session": "2024-01-15"}
    assert payload("customers", row) == {"id": "C1"}
    assert payload("customers", row, newer_fields=True) == {
        "id": "C1",
        "country": "MX",
        "document_type": "RFC",
        "metrics": {"lifetime": {"last_session": "2024-01-15T06:00:00.000Z"}},
    }
    assert shaper("customers", ["id", "country"]).left_out == ["country"]
    assert shaper("customers", ["id", "country"], newer_fields=True).left_out == []


# Free objects.


def test_a_free_object_may_be_given_key_by_key():
    row = {
        "metadata__shop": "S1",
        "metadata__Card__Number": 31198437603,
        "metadata__card__is_new": True,
        "metadata__weight": Decimal("1.50"),
        "metadata__seen": datetime(2024, 1, 15, 12, 0),  # noqa: DTZ001
        "metadata__born": date(1990, 5, 5),
        "metadata__parts": '["as text"]',
        "metadata__json": ["a", {"b": None}],
    }
    assert payload("customers", row)["metadata"] == {
        "shop": "S1",
        "card": {"number": 31198437603, "is_new": True},
        "weight": 1.5,
        "seen": "2024-01-15T18:00:00.000Z",
        "born": "1990-05-05",
        "parts": '["as text"]',
        "json": ["a", {}],
    }


def test_json_and_single_keys_make_one_object():
    row = {"metadata__b": "2", "metadata": '{"a": 1, "b": 1}'}
    assert payload("customers", row)["metadata"] == {"a": 1, "b": "2"}


@pytest.mark.parametrize("value", ["5", "[1]", '"text"'])
def test_json_that_is_no_object_cannot_be_joined_with_single_keys(value):
    with pytest.raises(UnfitColumn) as caught:
        payload("customers", {"metadata": value, "metadata__b": "2"})
    assert (caught.value.reason, caught.value.column) == ("wrong_type", "metadata")


@pytest.mark.parametrize("columns", [["metadata__a", "metadata__a__b"], ["metadata__a__b__c", "METADATA__A__B"]])
def test_two_aliases_may_not_fill_the_same_place(columns):
    shorter, longer = sorted(map(str.lower, columns), key=len)
    with pytest.raises(MappingError) as caught:
        shaper("customers", ["id", *columns])
    assert str(caught.value) == f"customers.sql: {shorter!r} and {longer!r} fill the same place; rename one of them"


# Lists as JSON.


def test_a_list_given_as_json_is_read_as_if_each_of_its_values_had_a_column():
    line = '{"reward_id": "R", "amount": 0.30000000000000004, "issued_at": "2024-01-15 12:00", "store_id": 7, "brand_id": null}'
    row = {
        "balance": f"[{line}]",
        "devices": [{"device_token": "t", "device_info": {"model": " x "}}],
    }
    assert payload("customers", row) == {
        "id": "C1",
        "balance": [{"reward_id": "R", "amount": 0.3, "issued_at": "2024-01-15T18:00:00.000Z", "store_id": "7"}],
        "devices": [{"device_token": "t", "device_info": {"model": "x"}}],
    }


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('{"sku": "A"}', "wrong_type"),
        ('["A"]', "wrong_type"),
        ('[{"sku": "A"]', "not_json"),
        ('[{"sku": "A", "value": "dear"}]', "not_a_number"),
        ('[{"sku": "A", "redeem": [{"id": 1.5}]}]', "wrong_type"),
    ],
)
def test_a_list_given_as_json_that_cannot_be_read_is_named_by_its_column(value, reason):
    with pytest.raises(UnfitColumn) as caught:
        payload("events", {"order__products": value})
    assert (caught.value.reason, caught.value.column) == (reason, "order__products")


# What does not fit.


def test_the_first_column_that_does_not_fit_is_named_without_its_value():
    row = {"order__value": "12 pesos", "issued_at": "soon", "order__shipping__value": "x"}
    with pytest.raises(UnfitColumn) as caught:
        payload("events", row)
    assert (caught.value.reason, caught.value.column) == ("not_a_date", "issued_at")
    del row["issued_at"]
    with pytest.raises(UnfitColumn) as caught:
        payload("events", row)
    assert (caught.value.reason, caught.value.column) == ("not_a_number", "order__value")
    assert caught.value.shape == "text of 8 characters"


def test_an_unknown_alias_is_refused_before_any_row_is_read():
    with pytest.raises(MappingError, match="did you mean 'email'"):
        shaper("customers", ["id", "emial"])


def test_a_single_column_can_be_read_by_itself():
    one = shaper("transactions", ["customer_id", "transaction_id", "amount", "details"])
    assert one.value(("C1", "T1", "5.5", None), "amount") == 5.5
    assert one.value(("C1", "T1", None, None), "amount") is None
    assert one.value(("C1", "T1", "5.5", None), "cost") is None
    assert (one.index("AMOUNT".lower()), one.index("cost")) == (2, -1)
    with pytest.raises(Unfit):
        one.value(("C1", "T1", "x", None), "amount")


COLUMNS = [
    "name",
    "gender",
    "dob",
    "metrics__this_year__to",
    "metrics__this_year__spend_total",
    "metadata__x",
    "status",
]


@given(data=st.data())
def test_the_order_of_columns_does_not_matter(data):
    value = st.none() | st.sampled_from(["2024-01-15", "5", "", " MALE"])
    row = {column: data.draw(value) for column in ["id", *COLUMNS]}
    shuffled = data.draw(st.permutations(list(row)))
    results = []
    for columns in (list(row), shuffled):
        try:
            results.append(shaper("customers", columns).payload([row[column] for column in columns]))
        except UnfitColumn:
            results.append("unfit")
    assert results[0] == results[1]


@given(row=st.dictionaries(st.sampled_from(COLUMNS), st.none() | st.just("") | st.just("2024-01-15"), max_size=7))
def test_an_object_is_never_empty_and_nothing_optional_is_null(row):
    def check(part: dict[str, Any]) -> None:
        assert part
        for value in part.values():
            assert value is not None
            if isinstance(value, dict):
                check(value)

    row.pop("metrics__this_year__spend_total", None)
    check(payload("customers", row))


# Lists that files of their own fill.


def test_a_list_is_put_where_its_path_leads():
    one = shaper("events", ["customer_id", "order__purchase_id"])
    for path in ("order__products", "order__shipping__redeem"):
        one.add_list(path)
    elements = {"order__products": [{"sku": "A"}], "order__shipping__redeem": [{"amount": 1}]}
    assert one.payload(("C1", "P1"), elements) == {
        "order": {"purchase_id": "P1", "products": [{"sku": "A"}], "shipping": {"redeem": [{"amount": 1}]}},
    }


def test_a_missing_list_is_completed_only_in_an_object_that_is_there():
    for columns, elements, event in [
        ({}, {}, None),
        ({"event__type": "x"}, {}, {"type": "x"}),
        ({"event__order__value": 1}, {}, {"order": {"value": 1, "products": []}}),
        ({"event__order__value": 1}, {"event__order__products": [1]}, {"order": {"value": 1, "products": [1]}}),
        ({}, {"event__order__products": [1]}, {"order": {"products": [1]}}),
    ]:
        row = KEYS["transactions"] | columns
        one = shaper("transactions", list(row))
        one.add_list("event__order__products")
        assert one.payload(tuple(row.values()), elements).get("event") == event
