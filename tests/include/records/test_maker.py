"""
Rows into records, or into rejections that say why not and show nothing.
"""

from __future__ import annotations

import itertools
from datetime import date
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.mapping.loader import Adjust
from masivo_engine.model.errors import MappingError
from masivo_engine.model.places import place_of, place_without_key
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, LegacyRow, Record, Rejection, UnreadableRow
from masivo_engine.records.maker import RecordMaker
from tests.include.records.small_rows import CUSTOMER, LINE, REWARD, TRANSACTION, shaper


OTHER = "5e0ad8a4-6a52-4b6c-9a54-0f7d5f1d2c11"

EVENT = {
    "customer_id": "C1",
    "order__purchase_id": "P1",
    "type": "PURCHASE",
    "brand_id": None,
    "order__value": 20,
    "order__discounted_value": 20,
    "order__payment_method": "CASH",
    "fulfilled": 1,
    "issued_at": "2024-01-15",
    "resolved_at": None,
}
PRODUCT = {"order__purchase_id": "P1", "sku": "A", "amount": 1, "value": 20}
ROWS = {Entity.CUSTOMERS: CUSTOMER, Entity.EVENTS: EVENT, Entity.TRANSACTIONS: TRANSACTION}


def made(
    entity: Entity, row: dict[str, Any], *, adjust: Adjust | None = None, **lists: list[dict[str, Any]]
) -> Record | Rejection:
    """Make the record of *row*; *lists*: its elements by path, with the columns of the first."""
    columns = {path: list(elements[0]) for path, elements in lists.items()}
    shapers = {path: shaper(f"{entity}.{path}", names) for path, names in columns.items()}
    elements = {
        path: [tuple(element[name] for name in columns[path]) for element in found] for path, found in lists.items()
    }
    maker = RecordMaker(entity, shaper(entity, list(row)), shapers, adjust=adjust)
    return maker.make(LegacyRow(tuple(row.values()), elements))


def record(entity: Entity, row: dict[str, Any], **lists: list[dict[str, Any]]) -> Record:
    found = made(entity, row, **lists)
    assert isinstance(found, Record), found
    return found


def rejection(entity: Entity, row: dict[str, Any], **lists: Any) -> Rejection:
    found = made(entity, row, **lists)
    assert isinstance(found, Rejection), found
    assert found.reason in REASONS
    return found


# Records.


def test_a_customer_is_worth_its_balance_by_reward():
    lines = [LINE, {**LINE, "amount": "0.1"}, {**LINE, "amount": 0.2, "reward_id": REWARD.upper()}]
    found = record(Entity.CUSTOMERS, CUSTOMER, balance=[*lines, {**LINE, "reward_id": OTHER, "amount": 0}])
    assert (found.key, found.customer, found.email) == ("C1", "C1", "ana@example.com")
    assert found.points == Decimal("10.3")
    assert found.balance == {REWARD: Decimal("10.3"), OTHER: Decimal(0)}
    assert orjson.loads(found.body)["email"] == "Ana@example.com"


def test_a_customer_without_points_is_sent_with_an_empty_balance():
    found = record(Entity.CUSTOMERS, CUSTOMER)
    assert orjson.loads(found.body)["balance"] == []
    assert (found.points, found.balance) == (0, {})


def test_an_event_belongs_to_its_customer_and_is_worth_no_points():
    found = record(Entity.EVENTS, EVENT, order__products=[PRODUCT])
    assert (found.key, found.customer, found.points) == ("P1", "C1", 0)
    sent = orjson.loads(found.body)
    assert (sent["brand_id"], sent["resolved_at"]) == (None, None)
    assert sent["order"]["products"] == [{"sku": "A", "amount": 1, "value": 20}]
    assert "customer_id" not in sent


def test_a_transaction_is_worth_its_amount_of_its_reward():
    found = record(Entity.TRANSACTIONS, {**TRANSACTION, "reward_id": REWARD.upper()})
    assert (found.key, found.customer, found.reward) == ("T1", "C1", REWARD)
    assert found.points == Decimal("-12.5")
    assert "transaction_id" not in orjson.loads(found.body)


def test_keys_are_text_whatever_type_they_have():
    found = record(
        Entity.EVENTS,
        {**EVENT, "customer_id": Decimal(7), "order__purchase_id": 31198437603},
        order__products=[PRODUCT],
    )
    assert (found.key, found.customer) == ("31198437603", "7")
    assert orjson.loads(found.body)["order"]["purchase_id"] == "31198437603"


@pytest.mark.parametrize("entity", Entity)
def test_the_body_is_canonical_json_and_the_hash_is_of_the_body(entity):
    lists = {"order__products": [PRODUCT]} if entity is Entity.EVENTS else {}
    found = record(entity, ROWS[entity], **lists)
    assert orjson.dumps(orjson.loads(found.body), option=orjson.OPT_SORT_KEYS) == found.body
    assert len(found.content_hash) == 16
    again = record(entity, dict(reversed(ROWS[entity].items())), **lists)
    assert (again.body, again.content_hash) == (found.body, found.content_hash)


def test_the_change_time_is_not_content():
    one = record(Entity.CUSTOMERS, {**CUSTOMER, "updated_at": date(2024, 1, 1)})
    other = record(Entity.CUSTOMERS, {**CUSTOMER, "updated_at": date(2024, 2, 2)})
    assert one.content_hash == other.content_hash


def test_the_order_of_json_keys_does_not_matter():
    one = record(Entity.CUSTOMERS, {**CUSTOMER, "metadata": '{"a": 1, "b": {"c": 2, "d": 3}}'})
    other = record(Entity.CUSTOMERS, {**CUSTOMER, "metadata": '{"b": {"d": 3, "c": 2}, "a": 1}'})
    assert one.content_hash == other.content_hash


# The order of elements.

SKUS = st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from([1, 2])), min_size=1, max_size=6)
POSITIONS = st.one_of(
    st.none(),
    st.integers(-2, 12),
    st.sampled_from(
        [Decimal("1.5"), 2.0, "1", "10", "9", date(2024, 1, 1), float("nan"), Decimal("NaN"), Decimal("sNaN")]
    ),
)


@given(data=st.data(), has_position=st.booleans())
def test_the_same_elements_give_the_same_hash_in_whatever_order_they_come(data, has_position):
    products = [{**PRODUCT, "sku": sku, "amount": amount} for sku, amount in data.draw(SKUS)]
    if has_position:
        products = [{**product, "position": data.draw(POSITIONS)} for product in products]
    shuffled = data.draw(st.permutations(products))
    one = record(Entity.EVENTS, EVENT, order__products=products)
    other = record(Entity.EVENTS, EVENT, order__products=shuffled)
    assert one.content_hash == other.content_hash


def skus(found: Record) -> str:
    return "".join(product["sku"] for product in orjson.loads(found.body)["order"]["products"])


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        ([1, 2, 3], "ABC"),
        ([3, 2, 1], "CBA"),
        ([2, 10, 9], "ACB"),
        ([Decimal(2), 1.5, 3], "BAC"),
        (["b", "a", "c"], "BAC"),
        ([date(2024, 2, 1), date(2024, 1, 1), date(2024, 3, 1)], "BAC"),
        ([None, 2, 1], "CBA"),
        ([1, 1, 0], "CAB"),
        (["x", 5, None], "BAC"),
    ],
)
def test_elements_stand_in_the_order_of_their_positions(positions, expected):
    products = [{**PRODUCT, "sku": sku, "position": position} for sku, position in zip("ABC", positions, strict=True)]
    for order in itertools.permutations(products):
        assert skus(record(Entity.EVENTS, EVENT, order__products=list(order))) == expected


# Rejections.


def first_fault(entity: Entity, row: dict[str, Any], **lists: Any) -> tuple[str, str, str]:
    found = rejection(entity, row, **lists)
    return found.reason, found.column, found.shape


@pytest.mark.parametrize(
    ("entity", "change", "fault"),
    [
        (Entity.CUSTOMERS, {"id": None}, ("missing_key", "id", "nothing")),
        (Entity.CUSTOMERS, {"id": "  "}, ("missing_key", "id", "nothing")),
        (Entity.CUSTOMERS, {"id": 1.5}, ("wrong_type", "id", "number of 3 characters")),
        (Entity.CUSTOMERS, {"id": "x" * 192}, ("contract", "id", "text of 192 characters")),
        (Entity.CUSTOMERS, {"name": None}, ("missing_value", "name", "nothing")),
        (Entity.CUSTOMERS, {"name": "A\x00"}, ("invalid_text", "name", "text of 2 characters")),
        (Entity.CUSTOMERS, {"email": "ana.example.com"}, ("email_malformed", "email", "text of 15 characters")),
        (Entity.CUSTOMERS, {"email": ""}, ("missing_value", "email", "nothing")),
        (
            Entity.CUSTOMERS,
            {"registration_date": "0000-00-00"},
            ("not_a_date", "registration_date", "text of 10 characters"),
        ),
        (Entity.CUSTOMERS, {"gender": "F"}, ("unknown_code", "gender", "text of 1 characters")),
        (
            Entity.CUSTOMERS,
            {"metrics__lifetime__tier_id": "gold"},
            ("not_a_uuid", "metrics__lifetime__tier_id", "text of 4 characters"),
        ),
        (Entity.CUSTOMERS, {"metadata": "{"}, ("not_json", "metadata", "text of 1 characters")),
        (Entity.CUSTOMERS, {"balance": '[{"amount": 5}]'}, ("missing_value", "balance[].reward_id", "nothing")),
        (Entity.CUSTOMERS, {"balance": '[{"points": 5}]'}, ("missing_value", "balance[].reward_id", "nothing")),
        (
            Entity.CUSTOMERS,
            {"devices": '[{"device_token": "t", "os": 5}]'},
            ("contract", "devices[].os", "number of 1 characters"),
        ),
        (Entity.EVENTS, {"customer_id": None}, ("missing_value", "customer_id", "nothing")),
        (Entity.EVENTS, {"customer_id": "x" * 192}, ("contract", "customer_id", "text of 192 characters")),
        (Entity.EVENTS, {"order__purchase_id": None}, ("missing_key", "order__purchase_id", "nothing")),
        (Entity.EVENTS, {"fulfilled": "yes"}, ("not_a_boolean", "fulfilled", "text of 3 characters")),
        (Entity.EVENTS, {"order__value": Decimal("NaN")}, ("not_a_number", "order__value", "number of 3 characters")),
        (
            Entity.EVENTS,
            {"order__payment_method": "cash"},
            ("unknown_code", "order__payment_method", "text of 4 characters"),
        ),
        (Entity.TRANSACTIONS, {"transaction_id": "x" * 192}, ("contract", "transaction_id", "text of 192 characters")),
        (Entity.TRANSACTIONS, {"amount": None}, ("missing_value", "amount", "nothing")),
        (Entity.TRANSACTIONS, {"reward_id": "P"}, ("not_a_uuid", "reward_id", "text of 1 characters")),
        (
            Entity.TRANSACTIONS,
            {"event__type": None, "event__order__value": 5},
            ("missing_value", "event__type", "nothing"),
        ),
    ],
)
def test_a_row_that_cannot_go_says_why_and_in_which_column(entity, change, fault):
    lists = {"order__products": [PRODUCT]} if entity is Entity.EVENTS else {}
    assert first_fault(entity, {**ROWS[entity], **change}, **lists) == fault


def test_a_column_that_the_mapping_lacks_is_missing_in_every_row():
    for column in ("brand_id", "resolved_at"):
        row = {name: value for name, value in EVENT.items() if name != column}
        assert first_fault(Entity.EVENTS, row, order__products=[PRODUCT]) == ("missing_value", column, "nothing")


@pytest.mark.parametrize("lists", [{}, {"order__products": []}])
def test_an_order_without_lines_is_an_empty_list(lists):
    maker = RecordMaker(
        Entity.EVENTS,
        shaper("events", list(EVENT)),
        {"order__products": shaper("events.order__products", list(PRODUCT))},
    )
    found = maker.make(LegacyRow(tuple(EVENT.values()), lists))
    assert isinstance(found, Rejection)
    assert (found.reason, found.column, found.shape) == ("empty_list", "order__products", "no elements")


def test_a_mapping_without_products_says_the_same_of_every_order():
    assert first_fault(Entity.EVENTS, EVENT) == ("empty_list", "order__products", "no elements")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"value": "dear"}, ("not_a_number", "order__products[].value", "text of 4 characters")),
        ({"sku": None}, ("missing_value", "order__products[].sku", "nothing")),
        (
            {"discounted_value": float("inf")},
            ("not_a_number", "order__products[].discounted_value", "number of 3 characters"),
        ),
    ],
)
def test_a_fault_in_an_element_names_its_list_and_column(change, fault):
    good = {**PRODUCT, "discounted_value": 5}
    assert first_fault(Entity.EVENTS, EVENT, order__products=[good, {**good, **change}]) == fault


def test_an_optional_list_without_elements_is_left_out():
    maker = RecordMaker(
        Entity.CUSTOMERS,
        shaper("customers", list(CUSTOMER)),
        {"devices": shaper("customers.devices", ["customer_id", "device_token"])},
    )
    found = maker.make(LegacyRow(tuple(CUSTOMER.values()), {}))
    assert isinstance(found, Record)
    assert "devices" not in orjson.loads(found.body)


def test_a_transaction_without_an_event_gets_none_from_a_list_without_elements():
    lines = shaper("transactions.event__order__products", ["transaction_id", "sku"])
    maker = RecordMaker(
        Entity.TRANSACTIONS, shaper("transactions", list(TRANSACTION)), {"event__order__products": lines}
    )
    found = maker.make(LegacyRow(tuple(TRANSACTION.values()), {}))
    assert isinstance(found, Record)
    assert "event" not in orjson.loads(found.body)


def test_a_list_is_not_filled_by_a_column_and_by_a_file():
    with pytest.raises(MappingError) as caught:
        made(Entity.CUSTOMERS, {**CUSTOMER, "balance": "[]"}, balance=[LINE])
    assert str(caught.value) == "customers.balance.sql: customers.sql fills 'balance' too; keep one of them"


def test_a_balance_below_zero_is_for_the_legacy_system_to_settle():
    lines = [LINE, {**LINE, "amount": "-10.01"}, {**LINE, "reward_id": OTHER, "amount": 100}]
    found = rejection(Entity.CUSTOMERS, CUSTOMER, balance=lines)
    assert (found.reason, found.column) == ("negative_balance", "balance")
    assert found.points == Decimal("99.99")
    assert isinstance(made(Entity.CUSTOMERS, CUSTOMER, balance=[LINE, {**LINE, "amount": -10}]), Record)


# Points at stake.


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({"email": "x"}, "30.5"),
        ({"registration_date": "soon"}, "30.5"),
        ({"id": None}, "30.5"),
    ],
)
def test_a_rejected_customer_is_worth_what_its_balance_says(change, points):
    lines = [LINE, {**LINE, "amount": Decimal("20.50")}]
    assert rejection(Entity.CUSTOMERS, {**CUSTOMER, **change}, balance=lines).points == Decimal(points)


def test_a_bad_line_does_not_hide_what_the_others_are_worth():
    lines = [{**LINE, "amount": "many"}, {**LINE, "amount": 7, "reward_id": "P"}, LINE]
    assert rejection(Entity.CUSTOMERS, CUSTOMER, balance=lines).points == 17


@pytest.mark.parametrize(
    ("balance", "points"),
    [
        ('[{"amount": 5.25}, {"amount": 1}]', "6.25"),
        ('[{"amount": 5}', "0"),
        ("[5]", "0"),
        ('{"amount": 5}', "0"),
        (None, "0"),
    ],
)
def test_a_balance_as_json_counts_as_far_as_it_can_be_read(balance, points):
    assert rejection(Entity.CUSTOMERS, {**CUSTOMER, "email": "x", "balance": balance}).points == Decimal(points)


@pytest.mark.parametrize(
    ("change", "points"),
    [
        ({"type": "GIFT"}, "-12.5"),
        ({"transaction_id": None}, "-12.5"),
        ({"issued_at": "soon"}, "-12.5"),
        ({"amount": "many"}, "0"),
        ({"amount": None}, "0"),
    ],
)
def test_a_rejected_transaction_is_worth_its_amount(change, points):
    assert rejection(Entity.TRANSACTIONS, {**TRANSACTION, **change}).points == Decimal(points)


def test_a_mapping_without_amounts_is_rejected_row_by_row_and_worth_nothing():
    row = {name: value for name, value in TRANSACTION.items() if name != "amount"}
    found = rejection(Entity.TRANSACTIONS, row)
    assert (found.reason, found.column, found.points) == ("missing_value", "amount", 0)


# Which row it is.


@pytest.mark.parametrize(
    ("change", "key", "customer", "place", "owner"),
    [
        ({}, "T1", "C1", "tT1", "tC1"),
        ({"transaction_id": 17}, "17", "C1", "ib17", "tC1"),
        ({"transaction_id": "17 ", "customer_id": " C1"}, "17", "C1", "s17 |", "t C1"),
        ({"transaction_id": Decimal("17.00")}, "17", "C1", "d17", "tC1"),
        ({"transaction_id": Decimal("17.50")}, "", "C1", "d17.5", "tC1"),
        ({"transaction_id": 1.5, "customer_id": 2.5}, "", "", "f1.5", "f2.5"),
        ({"transaction_id": b"T1", "customer_id": b"\xff"}, "T1", "", "b5431", "bff"),
        ({"transaction_id": "  ", "customer_id": ""}, "", "", "s  |", "t"),
        ({"transaction_id": "x" * 191}, "x" * 191, "C1", "t" + "x" * 191, "tC1"),
        ({"transaction_id": "x" * 192}, "x" * 191, "C1", place_of("x" * 192), "tC1"),
        ({"customer_id": "x" * 192}, "T1", "x" * 191, "tT1", place_of("x" * 192)),
        ({"transaction_id": "T\x001"}, "", "C1", place_of("T\x001"), "tC1"),
        ({"transaction_id": "\ud800"}, "", "C1", place_of("\ud800"), "tC1"),
        ({"transaction_id": None}, "", "C1", place_without_key("C1", Decimal("-12.50")), "tC1"),
        ({"customer_id": None}, "T1", "", "tT1", "n"),
    ],
)
def test_a_rejection_says_which_row_it_is_whatever_is_wrong_with_it(change, key, customer, place, owner):
    row = {**TRANSACTION, "updated_at": date(2024, 1, 16), **change}
    for found in (
        rejection(Entity.TRANSACTIONS, {**row, "type": "GIFT"}),
        rejection(Entity.TRANSACTIONS, row, adjust=lambda _: 1 / 0),
        rejection(Entity.TRANSACTIONS, row, adjust=lambda row: {**row, "transaction_id": None, "customer_id": None}),
        rejection(
            Entity.TRANSACTIONS,
            row,
            adjust=lambda row: (
                {**row, "transaction_id": "\x00", "customer_id": "x"} | {"customer_id": row["customer_id"]}
            ),
        ),
    ):
        assert (found.key, found.customer, found.place, found.owner) == (key, customer, place, owner)
        assert found.changed == "2024-01-16"


def test_a_rejected_row_belongs_to_the_customer_that_adjust_gives_it():
    """The customer's other transactions wait for it, by that name."""
    row = {**TRANSACTION, "transaction_id": None}
    found = rejection(Entity.TRANSACTIONS, row, adjust=lambda row: {**row, "customer_id": f"X-{row['customer_id']}"})
    assert (found.customer, found.owner) == ("X-C1", "tC1")


def test_a_record_stands_where_its_row_was_whatever_adjust_makes_of_it():
    found = made(
        Entity.EVENTS,
        {**EVENT, "order__purchase_id": 7, "updated_at": date(2024, 1, 16)},
        adjust=lambda row: {**row, "customer_id": "X", "order__purchase_id": "Y", "updated_at": None},
        order__products=[PRODUCT],
    )
    assert isinstance(found, Record)
    assert (found.key, found.customer, found.place, found.owner) == ("Y", "X", "ia7", "tC1")
    assert found.changed == "2024-01-16"


@given(changed=st.one_of(st.none(), st.text(), st.text("a\x00\ud800 ", min_size=35), st.datetimes(), st.integers()))
def test_any_change_time_is_text_that_a_ledger_can_keep(changed):
    found = made(Entity.CUSTOMERS, {**CUSTOMER, "updated_at": changed})
    assert len(found.changed) <= 40
    assert "\x00" not in found.changed
    found.changed.encode()
    if isinstance(changed, date):
        assert found.changed == str(changed)


# Rows that could not be read.


def test_a_row_that_the_driver_refuses_is_a_rejection_with_all_that_is_known_of_it():
    maker = RecordMaker(Entity.TRANSACTIONS, shaper("transactions", list(TRANSACTION)), {})
    row = UnreadableRow(7, "C1 ", "unreadable_row", "issued_at", "the driver refuses it (DataError)", Decimal("5.5"))
    found = maker.make(row)
    assert found == Rejection(
        Entity.TRANSACTIONS,
        "7",
        "C1",
        "unreadable_row",
        "issued_at",
        "the driver refuses it (DataError)",
        Decimal("5.5"),
        place="ia7",
        owner="sC1 |",
    )


@pytest.mark.parametrize("key", [None, "", 1.5, "\x00", b"\xff"])
def test_a_row_whose_key_cannot_be_read_has_none(key):
    maker = RecordMaker(Entity.EVENTS, shaper("events", list(EVENT)), {})
    assert maker.make(UnreadableRow(key, key, "missing_key", "order__purchase_id")).key == ""


# adjust(row).


def test_adjust_changes_a_row_before_anything_is_read_from_it():
    found = made(
        Entity.CUSTOMERS, {**CUSTOMER, "email": None}, adjust=lambda row: {**row, "email": f"{row['id']}@example.com"}
    )
    assert isinstance(found, Record)
    assert found.email == "c1@example.com"


def test_an_adjusted_page_is_adjusted_row_by_row():
    maker = RecordMaker(
        Entity.TRANSACTIONS,
        shaper("transactions", list(TRANSACTION)),
        {},
        adjust=lambda row: row | {"details": row["details"].upper()},
    )
    (found,) = maker.make_all([LegacyRow(tuple(TRANSACTION.values()), {})])
    assert isinstance(found, Record)
    assert orjson.loads(found.body)["details"] == "LEGACY:T1"


def test_what_adjust_leaves_out_is_empty():
    found = made(Entity.CUSTOMERS, CUSTOMER, adjust=lambda row: {name: row[name] for name in row if name != "name"})
    assert isinstance(found, Rejection)
    assert (found.reason, found.column) == ("missing_value", "name")


@pytest.mark.parametrize("adjust", [lambda row: row["no such column"], lambda _: None, lambda _: 1 / 0])
def test_a_row_that_adjust_cannot_take_is_rejected_and_no_more(adjust):
    found = made(Entity.TRANSACTIONS, TRANSACTION, adjust=adjust)
    assert isinstance(found, Rejection)
    assert (found.reason, found.column, found.points) == ("adjust_failed", "adjust()", Decimal("-12.5"))


def test_a_column_that_adjust_invents_is_a_fault_of_the_mapping():
    with pytest.raises(MappingError) as caught:
        made(Entity.CUSTOMERS, CUSTOMER, adjust=lambda row: {**row, "gendre": "MALE"})
    assert str(caught.value) == "customers.py: adjust() returns unknown columns: 'gendre'; select them in the SQL first"


def test_points_at_stake_are_those_that_adjust_says():
    found = made(Entity.TRANSACTIONS, TRANSACTION, adjust=lambda row: {**row, "amount": 3, "type": "?"})
    assert isinstance(found, Rejection)
    assert found.points == 3


# Nothing is ever shown.

SECRET = st.sampled_from(
    ["ζ7Q", "ζ7Q\x00", "ζ7Q ", '{"ζ7Q": ζ7Q}', '["ζ7Q"]', "ζ7Q@", "ζ7Q".encode(), "\xff\xfeζ7Q", "ζ7Q" * 100]
)
OPTIONAL = {
    "gender": None,
    "dob": None,
    "metadata": None,
    "status": None,
    "metrics__lifetime__spend_total": None,
    "devices": None,
}


@given(data=st.data(), entity=st.sampled_from(list(Entity)))
def test_no_rejection_shows_a_value_of_its_row(data, entity):
    row = {**ROWS[entity], **(OPTIONAL if entity is Entity.CUSTOMERS else {})}
    keys = {"id", "customer_id", "order__purchase_id", "transaction_id"}
    spoilt = data.draw(st.sets(st.sampled_from(sorted(row.keys() - keys)), min_size=1))
    row |= {name: data.draw(SECRET) for name in spoilt}
    line = {**PRODUCT, "sku": data.draw(SECRET), "value": data.draw(SECRET)}
    lists = {"order__products": [line]} if entity is Entity.EVENTS and data.draw(st.booleans()) else {}

    found = made(entity, row, **lists)

    if isinstance(found, Rejection):
        assert "ζ7Q" not in f"{found!r}{found.reason}{found.column}{found.shape}"


@given(
    values=st.lists(
        st.one_of(st.none(), st.text(), st.binary(), st.integers(), st.floats(), st.dates(), st.decimals()),
        min_size=8,
        max_size=8,
    )
)
def test_whatever_a_row_holds_it_becomes_a_record_or_a_rejection(values):
    row = dict(zip(TRANSACTION, values, strict=True))
    found = made(Entity.TRANSACTIONS, row)
    assert isinstance(found, Record | Rejection)
    assert len(found.key) <= 191
    assert len(found.customer) <= 191
