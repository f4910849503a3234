"""
The queue: what becomes visible, and what fails without a word.
"""

from __future__ import annotations

import time

import pytest

from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Existing, Refusal
from tests.include.sandbox.bodies import (
    OTHER_REWARD,
    balance,
    customer,
    customers,
    event,
    events,
    transaction,
    transactions,
)
from tests.include.sandbox.client import CUSTOMERS, EVENTS, TRANSACTIONS, sandbox


def failures(api):
    return [(failure["key"], failure["failure"]) for failure in api.failures()]


def test_nothing_is_visible_before_the_delay_is_over():
    with sandbox(delay_s=60) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        assert client.get("/customers/C1").status == 404
        assert api.counts()["customers"] == {
            "accepted": 1, "keys": 1, "visible": 0, "failed": 0, "waiting": 1, "applied_more_than_once": 0,
        }  # fmt: skip


def test_work_becomes_visible_by_itself():
    with sandbox(delay_s=0.1) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        deadline = time.monotonic() + 10
        while client.get("/customers/C1").status == 404:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_an_outage_holds_the_work_back():
    with sandbox(outages=((0, 600),)) as api:
        api.client().post(CUSTOMERS, customers(customer(1)))
        assert api.counts()["customers"]["waiting"] == 1
    with sandbox(outages=((0, 600),), speed=1e6, token_lifetime_s=1e10) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        time.sleep(0.01)
        assert client.get("/customers/C1").status == 200


def test_events_of_an_unknown_customer_fail_silently():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        assert client.post(EVENTS, events(C1=[event("P1")], C2=[event("P2")])).status == 201
        assert failures(api) == [("P2", "unknown customer")]


def test_an_event_sent_twice_counts_twice():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        for _ in range(2):
            client.post(EVENTS, events(C1=[event("P1")]))
        lifetime = client.get("/customers/C1").json["data"]["customer"]["metrics"]["lifetime"]
        assert (lifetime["number_of_purchases"], lifetime["spend_total"]) == (2, 21.9)
        (record,) = api.accepted("events", customer="C1", key="P1")
        assert (record.times, record.applied, record.bodies) == (2, 2, (event("P1"), event("P1")))
        assert api.counts()["events"]["applied_more_than_once"] == 1


@pytest.mark.parametrize(
    ("lines", "amounts", "failure"),
    [
        ([balance(0.3)], [0.1, 0.2], None),
        ([balance(2), balance(3)], [5], None),
        ([balance(0)], [7, -7], None),
        ([balance(10)], [9.99], "transactions do not match the balance"),
        ([], [1], "transactions do not match the balance"),
        ([balance(5), balance(1, OTHER_REWARD)], [5], "transactions do not match the balance"),
    ],
)
def test_transactions_count_only_if_they_sum_to_the_balance_of_each_reward(lines, amounts, failure):
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, balance=lines)))
        sent = [transaction(f"T{number}", amount) for number, amount in enumerate(amounts)]
        assert client.post(TRANSACTIONS, transactions(C1=sent)).status == 201
        assert {reason for _, reason in failures(api)} == ({failure} if failure else set())
        assert len(client.get("/customers/C1/transactions").json["data"]) == (0 if failure else len(amounts))


def test_a_customers_transactions_count_once():
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, balance=[balance(5)])))
        for details in ("T1", "T2"):
            assert client.post(TRANSACTIONS, transactions(C1=[transaction(details)])).status == 201
        assert failures(api) == [("T2", "transactions were migrated before")]
        assert [shown["details"] for shown in client.get("/customers/C1/transactions").json["data"]] == ["T1"]


def test_transactions_that_failed_may_come_again():
    with sandbox() as api:
        client = api.client()
        client.post(TRANSACTIONS, transactions(C1=[transaction("T1")]))
        assert failures(api) == [("T1", "unknown customer")]
        client.post(CUSTOMERS, customers(customer(1, balance=[balance(5)])))
        client.post(TRANSACTIONS, transactions(C1=[transaction("T1")]))
        (record,) = api.accepted("transactions")
        assert (record.times, record.applied, record.failures) == (2, 1, ("unknown customer",))


def test_duplicate_customers_fail_silently_if_so_set():
    with sandbox(duplicates=Refusal.IN_QUEUE, existing=Existing.REFUSE) as api:
        client = api.client()
        again = customer(1, email="other@example.invalid", name="Somebody else")
        shared = customer(2, email="c1@example.invalid")
        assert client.post(CUSTOMERS, customers(customer(1), again, shared)).status == 201
        assert client.post(CUSTOMERS, customers(again)).status == 201
        assert failures(api) == [(key, "id or email is not unique") for key in ("C1", "C2", "C1")]
        assert client.get("/customers/C1").json["data"]["customer"]["name"] == "Customer 1"


def amounts(api, customer_id):
    wallet = api.client().get(f"/customers/{customer_id}").json["data"]["wallet"]
    return [line["amount"] for line in wallet["lines"]], [total["total"] for total in wallet["totals"]]


@pytest.mark.parametrize("duplicates", Refusal)
@pytest.mark.parametrize(
    ("existing", "held", "name"),
    [
        (Existing.UPDATE, ([7], [7]), "Later"),
        (Existing.DOUBLE, ([5, 7], [12]), "Later"),
        (Existing.REFUSE, ([5], [5]), "Customer 1"),
    ],
)
def test_a_known_customer_is_updated_refused_or_given_the_balance_on_top(existing, held, name, duplicates):
    with sandbox(existing=existing, duplicates=duplicates) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1, balance=[balance(5)]))).status == 201
        later = client.post(CUSTOMERS, customers(customer(1, name="Later", balance=[balance(7)])))
        assert later.status == (422 if (existing, duplicates) == (Existing.REFUSE, Refusal.AT_ONCE) else 201)
        assert amounts(api, "C1") == held
        assert client.get("/customers/C1").json["data"]["customer"]["name"] == name


@pytest.mark.parametrize("existing", [Existing.UPDATE, Existing.DOUBLE])
def test_transactions_are_compared_with_the_balance_that_a_known_customer_has_now(existing):
    with sandbox(existing=existing) as api:
        client = api.client()
        for amount in (5, 7):
            client.post(CUSTOMERS, customers(customer(1, balance=[balance(amount)])))
        client.post(TRANSACTIONS, transactions(C1=[transaction("T1", 7)]))
        unequal = [("T1", "transactions do not match the balance")]
        assert failures(api) == (unequal if existing is Existing.DOUBLE else [])


def test_the_content_that_came_last_stays_whatever_the_queue_does_with_it_meanwhile():
    with sandbox(delay_s=0.2) as api:
        client = api.client()
        for name in ("One", "Two", "Three"):
            assert client.post(CUSTOMERS, customers(customer(1, name=name))).status == 201
        deadline = time.monotonic() + 10
        while api.counts()["customers"]["waiting"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert client.get("/customers/C1").json["data"]["customer"]["name"] == "Three"
        (record,) = api.accepted("customers")
        assert [body["name"] for body in record.bodies] == ["One", "Two", "Three"]


def test_an_update_that_is_lost_in_the_queue_changes_nothing_and_gives_the_address_back():
    script = Script(rules=(Rule(faults=("drop_in_queue",), nth=(2,)),))
    with sandbox(faults=script) as api:
        client = api.client()
        for fields in ({}, {"name": "Lost", "email": "new@example.invalid"}):
            assert client.post(CUSTOMERS, customers(customer(1, **fields))).status == 201
        assert client.get("/customers/C1").json["data"]["customer"]["name"] == "Customer 1"
        assert client.post(CUSTOMERS, customers(customer(2, email="new@example.invalid"))).status == 201
        assert client.post(CUSTOMERS, customers(customer(3, email="c1@example.invalid"))).status == 422


def test_an_address_that_another_customer_has_refuses_an_update_in_the_queue_too():
    with sandbox(duplicates=Refusal.IN_QUEUE) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1), customer(2)))
        assert client.post(CUSTOMERS, customers(customer(2, name="Later", email="c1@example.invalid"))).status == 201
        assert failures(api) == [("C2", "id or email is not unique")]
        assert client.get("/customers/C2").json["data"]["customer"]["name"] == "Customer 2"


def test_a_customer_lost_in_the_queue_may_be_sent_again():
    with sandbox(faults=Script(rules=(Rule(faults=("drop_in_queue",), nth=(1,)),))) as api:
        client = api.client()
        for status in (404, 200):
            assert client.post(CUSTOMERS, customers(customer(1))).status == 201
            assert client.get("/customers/C1").status == status


@pytest.mark.parametrize(
    ("path", "body", "applied"),
    [
        (CUSTOMERS, customers(customer(2)), 1),
        (EVENTS, events(C1=[event("P1")]), 2),
        (TRANSACTIONS, transactions(C1=[transaction("T1")]), 1),
    ],
)
def test_the_queue_may_work_a_request_off_twice(path, body, applied):
    with sandbox() as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1, balance=[balance(5)])))
        api.follow(Script(rules=(Rule(faults=("duplicate_in_queue",)),)))
        assert client.post(path, body).status == 201
        records = api.accepted(path.rpartition("/")[2].replace("migrate", "customers"))
        assert (records[-1].times, records[-1].applied) == (1, applied)
