"""
The API's own reads.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from masivo_engine.sandbox.options import Filing
from tests.include.sandbox.bodies import (
    MOMENT,
    OTHER_REWARD,
    REWARD,
    balance,
    customer,
    customers,
    event,
    events,
    transaction,
    transactions,
)
from tests.include.sandbox.client import CUSTOMERS, EVENTS, TRANSACTIONS, sandbox


def test_a_customer_is_read_back_with_wallet_lines_and_totals():
    lines = [{**balance(2), "expiration_date": MOMENT}, balance(0.5), balance(7, OTHER_REWARD)]
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, gender="FEMALE", balance=lines, metadata={"a": 1})))
        found = client.get("/customers/C1").json["data"]
        expected = {
            field: value
            for field, value in customer(1, gender="FEMALE", metadata={"a": 1}).items()
            if field != "balance"
        }
        assert found["customer"] == {**expected, "status": "ACTIVE", "tier_id": None, "metrics": {}}
        assert [(line["amount"], line["expiration_date"]) for line in found["wallet"]["lines"]] == [
            (2, MOMENT),
            (0.5, None),
            (7, None),
        ]
        totals = {total["reward_id"]: total["total"] for total in found["wallet"]["totals"]}
        assert totals == {REWARD: 2.5, OTHER_REWARD: 7}


def test_an_unknown_customer_is_404_in_the_documented_shape():
    with sandbox() as api:
        client = api.client()
        for path in ("/customers/C1", "/customers/C1/transactions", "/nowhere", "/customers"):
            answer = client.get(path)
            assert (answer.status, set(answer.json)) == (404, {"error", "details"})


def test_an_id_may_hold_anything_that_a_url_must_escape():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, id="a/b ñ?#%2F")))
        assert client.get("/customers/a%2Fb%20%C3%B1%3F%23%252F").json["data"]["customer"]["id"] == "a/b ñ?#%2F"


def test_metrics_stand_until_an_event_arrives_and_are_recalculated_then():
    spans = {"from": "2023-01-01T00:00:00Z", "to": "2023-12-31T23:59:59.999Z"}
    metrics = {
        "lifetime": {"tier_id": REWARD, "number_of_purchases": 40, "spend_total": 400},
        "last_year": {**spans, "number_of_purchases": 4},
        "this_year": {"number_of_purchases": 9},
        "updated_at": MOMENT,
    }
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, metrics=metrics)))
        found = client.get("/customers/C1").json["data"]["customer"]
        assert (found["metrics"], found["tier_id"]) == (metrics, REWARD)

        older = event("P2", issued_at="2020-11-07T05:31:56+02:00")
        client.post(EVENTS, events(C1=[event("P1"), older, event("P3", type="ADD_TO_CART")]))
        assert client.get("/customers/C1").json["data"]["customer"]["metrics"] == {
            "lifetime": {"tier_id": REWARD, "number_of_purchases": 2, "spend_total": 21.9},
            "last_year": {**spans, "number_of_purchases": 1, "spend_total": 10.95},
            "this_year": {"number_of_purchases": 9},
            "updated_at": MOMENT,
        }


def read_transactions(sent, query="", **options):
    """What comes back of *sent*, by details."""
    lines = [
        balance(sum(item["amount"] for item in sent if item["reward_id"] == reward), reward)
        for reward in (REWARD, OTHER_REWARD)
    ]
    with sandbox(**options) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, balance=lines)))
        assert client.post(TRANSACTIONS, transactions(C1=sent)).status == 201
        return client.get(f"/customers/C1/transactions{query}").json


def test_transactions_are_read_back_with_their_details_verbatim():
    details = "loyalty|7  ñ\u0000\n🎁"
    (found,) = read_transactions([transaction(details, 3.5, store_id="0001")])["data"]
    shown = (found["details"], found["amount"], found["store_id"], found["issued_at"], found["brand_id"])
    assert shown == (details, 3.5, "0001", MOMENT, None)
    assert not {"resolved_at", "event", "order"} & found.keys()  # the API does not give them back either


def test_transactions_are_narrowed_by_year_reward_and_type():
    sent = [
        transaction("old", issued_at="2019-12-31T23:30:00-02:00"),  # 2020 where it counts, in UTC
        transaction("other", reward_id=OTHER_REWARD),
        transaction("spent", -2, type="REDEMPTION"),
    ]
    for query, found in (
        ("", ["old", "other", "spent"]),
        ("?year=2020", ["old"]),
        (f"?reward_id={OTHER_REWARD}", ["other"]),
        ("?type=REDEMPTION&year=2023", ["spent"]),
        ("?brand_id=x", []),
    ):
        assert [item["details"] for item in read_transactions(sent, query)["data"]] == found
    assert "error" in read_transactions(sent, "?year=x")


def test_without_a_year_only_the_last_months_are_read_if_so_set():
    now = datetime.now(UTC).isoformat()
    sent = [transaction("old"), transaction("new", issued_at=now)]
    assert [item["details"] for item in read_transactions(sent, transactions_months=3)["data"]] == ["new"]
    assert [item["details"] for item in read_transactions(sent, "?year=2023", transactions_months=3)["data"]] == ["old"]


def test_rewards_and_tiers_are_shown_in_the_documented_shape():
    with sandbox(rewards={REWARD: "Puntos", OTHER_REWARD: "Sellos"}, tiers={"t-1": "Oro"}) as api:
        client = api.client()
        assert client.get(f"/rewards/{REWARD}").json["data"] | {"conditions": []} == {
            "id": REWARD,
            "brand_id": None,
            "name": "Puntos",
            "description": "",
            "type": "POINTS",
            "conditions": [],
            "attributes": {"conversion_factor": 0.1},
        }
        assert [reward["id"] for reward in client.get("/rewards?from=1&to=9").json["data"]] == [OTHER_REWARD]
        assert client.get("/rewards").status == 400
        unknown = client.get("/rewards/00000000-0000-0000-0000-000000000000")
        assert (unknown.status, set(unknown.json)) == (404, {"error", "details"})
        tiers = client.get("/tiers").json["data"]
        assert [(tier["id"], tier["name"], tier["status"], tier["level"]) for tier in tiers] == [
            ("t-1", "Oro", "ACTIVE", 1)
        ]


@pytest.mark.parametrize(
    ("filed_by", "year"), [(Filing.UTC, 2024), (Filing.LOCAL, 2023), (Filing.CREATED, datetime.now(UTC).year)]
)
def test_a_transaction_is_found_by_the_year_that_the_account_files_it_under(filed_by, year):
    sent = [transaction("T1", issued_at="2024-01-01T03:00:00Z")]
    years = range(2020, datetime.now(UTC).year + 1)
    shown = {year: read_transactions(sent, f"?year={year}", filed_by=filed_by)["data"] for year in years}
    assert [year for year, found in shown.items() if found] == [year]
