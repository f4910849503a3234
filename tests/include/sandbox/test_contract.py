"""
The contract by itself: what the documents refuse, for each entity.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import masivo_engine.sandbox
from masivo_engine.sandbox.api.contract import Complaint, Entity, body_schema, contract_of
from tests.include.sandbox.bodies import balance, customer, customers, event, events, lacking, transaction, transactions


RECORDS = {Entity.CUSTOMERS: customer(1), Entity.EVENTS: event("P1"), Entity.TRANSACTIONS: transaction("T1")}
REQUIRED = {
    Entity.CUSTOMERS: ("id", "name", "email", "registration_date", "balance"),
    Entity.EVENTS: ("type", "order", "fulfilled", "issued_at", "resolved_at", "brand_id"),
    Entity.TRANSACTIONS: ("reward_id", "details", "type", "issued_at", "resolved_at", "amount"),
}


def complaints(entity: Entity, record: Any) -> list[Complaint]:
    if entity is Entity.CUSTOMERS:
        return list(contract_of(entity).complaints(customers(record)))
    body = events(C1=[record]) if entity is Entity.EVENTS else transactions(C1=[record])
    return list(contract_of(entity).complaints(body))


def with_order(**fields: Any) -> dict[str, Any]:
    record = event("P1")
    return {**record, "order": {**record["order"], **fields}}


@pytest.mark.parametrize("entity", Entity)
def test_the_smallest_record_is_accepted(entity):
    assert complaints(entity, RECORDS[entity]) == []


@pytest.mark.parametrize(("entity", "field"), [(entity, field) for entity in Entity for field in REQUIRED[entity]])
def test_every_required_field_is_missed(entity, field):
    (complaint,) = complaints(entity, lacking(RECORDS[entity], field))
    assert (complaint.where, complaint.problem) == (field, "is missing")
    assert complaint.customer == 0


@pytest.mark.parametrize("field", ["purchase_id", "value", "discounted_value", "products", "payment_method"])
def test_every_required_field_of_an_order_is_missed(field):
    record = event("P1")
    (complaint,) = complaints(Entity.EVENTS, {**record, "order": lacking(record["order"], field)})
    assert complaint == Complaint(0, 0, f"order.{field}", "is missing")


@pytest.mark.parametrize("field", ["sku", "amount", "value"])
def test_every_required_field_of_a_product_is_missed(field):
    product = lacking({"sku": "A-1", "amount": 1, "value": 2}, field)
    (complaint,) = complaints(Entity.EVENTS, with_order(products=[product]))
    assert complaint.where == f"order.products[0].{field}"


@pytest.mark.parametrize("field", ["brand_id", "resolved_at"])
def test_what_is_required_and_nullable_may_be_null_but_not_absent(field):
    assert complaints(Entity.EVENTS, event("P1", **{field: None})) == []
    assert complaints(Entity.EVENTS, lacking(event("P1"), field))


@pytest.mark.parametrize(
    ("entity", "record"),
    [
        (Entity.CUSTOMERS, customer(1, gender="OTHER")),
        (Entity.CUSTOMERS, customer(1, status="GONE")),
        (Entity.EVENTS, with_order(payment_method="CHEQUE")),
        (Entity.TRANSACTIONS, transaction("T1", type="GIFT")),
    ],
)
def test_a_code_outside_the_list_is_refused(entity, record):
    (complaint,) = complaints(entity, record)
    assert complaint.problem == "breaks the rule 'enum'"


@pytest.mark.parametrize(
    ("entity", "record"),
    [
        (Entity.CUSTOMERS, customer(1, email="nobody")),
        (Entity.CUSTOMERS, customer(1, registration_date="2023-11-07")),
        (Entity.CUSTOMERS, customer(1, registration_date="2023-11-07T05:31:56")),
        (Entity.CUSTOMERS, customer(1, registration_date="2023-02-30T05:31:56Z")),
        (Entity.CUSTOMERS, customer(1, balance=[balance(1, "points")])),
        (Entity.CUSTOMERS, customer(1, metrics={"lifetime": {"tier_id": "gold"}})),
        (Entity.EVENTS, event("P1", issued_at="yesterday")),
        (Entity.TRANSACTIONS, transaction("T1", reward_id="points")),
    ],
)
def test_a_text_of_the_wrong_form_is_refused(entity, record):
    (complaint,) = complaints(entity, record)
    assert complaint.problem == "breaks the rule 'format'"


@pytest.mark.parametrize(
    ("entity", "record"),
    [
        (Entity.CUSTOMERS, customer(1, name=None)),
        (Entity.CUSTOMERS, customer(1, dob=None)),
        (Entity.CUSTOMERS, customer(1, id=7)),
        (Entity.EVENTS, event("P1", fulfilled="yes")),
        (Entity.EVENTS, with_order(store_id=None)),
        (Entity.EVENTS, with_order(value="20.95")),
        (Entity.TRANSACTIONS, transaction("T1", amount=True)),
        (Entity.TRANSACTIONS, transaction("T1", resolved_at=None)),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(entity, record):
    (complaint,) = complaints(entity, record)
    assert complaint.problem == "breaks the rule 'type'"


@pytest.mark.parametrize("entity", Entity)
def test_an_unknown_field_is_refused_by_name(entity):
    (complaint,) = complaints(entity, {**RECORDS[entity], "tags": {}})
    assert (complaint.where, complaint.problem) == ("tags", "is not a known field")


def test_free_objects_hold_anything():
    anything = {"a": [1, {"b": None}]}
    assert complaints(Entity.CUSTOMERS, customer(1, metadata=anything)) == []
    assert complaints(Entity.EVENTS, with_order(metadata=anything)) == []


def test_the_newer_optional_fields_of_a_customer_are_known():
    newer = customer(
        1,
        document_type="DNI",
        document_number="1",
        country="AR",
        metrics={"lifetime": {"last_session": "2023-11-07T05:31:56Z"}},
    )
    assert complaints(Entity.CUSTOMERS, newer) == []


def test_an_event_needs_a_product():
    (complaint,) = complaints(Entity.EVENTS, with_order(products=[]))
    assert complaint == Complaint(0, 0, "order.products", "breaks the rule 'minItems'")


@pytest.mark.parametrize("body", [None, [], {}, {"customers": None}, {"customers": []}, {"customers": [{}] * 1001}])
def test_a_body_without_one_to_a_thousand_customers_is_refused_as_a_whole(body):
    assert any(complaint.customer is None for complaint in contract_of(Entity.CUSTOMERS).complaints(body))


def test_a_complaint_says_where_the_record_stands():
    body = events(C1=[event("P1")], C2=[event("P2"), event("P3", issued_at=1)])
    assert list(contract_of(Entity.EVENTS).complaints(body)) == [Complaint(1, 1, "issued_at", "breaks the rule 'type'")]


def test_no_complaint_shows_a_value():
    (complaint,) = complaints(Entity.CUSTOMERS, customer(1, email="secret words"))
    assert "secret" not in str(complaint)


@pytest.mark.parametrize("entity", Entity)
def test_every_field_of_the_documents_is_in_the_schema(entity):
    path = Path(masivo_engine.sandbox.__file__).parent / "openapi" / f"{entity}.yaml"
    described = yaml.safe_load(path.read_text(encoding="utf-8"))["components"]["schemas"]
    schemas = body_schema(entity)["components"]["schemas"]
    assert {name: set(part["properties"]) for name, part in described.items()} == {
        name: set(part["properties"]) for name, part in schemas.items()
    }
