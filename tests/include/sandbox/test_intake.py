"""
The door: what is refused, how it is said, and what is taken all the same.
"""

from __future__ import annotations

import json
from contextlib import closing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masivo_engine.sandbox.api.contract import Entity
from masivo_engine.sandbox.api.intake import Intake
from masivo_engine.sandbox.options import Existing, Leaves, Naming, Options, Refusal, Telling
from masivo_engine.sandbox.state.store import Store
from tests.include.sandbox.bodies import customer, customers, event, events, transaction, transactions
from tests.include.sandbox.client import CUSTOMERS, EVENTS, TRANSACTIONS, sandbox


OPAQUE = {"error": "Unprocessable Entity", "details": "Invalid customer entry"}


def test_a_good_batch_gets_201_and_no_body():
    with sandbox() as api:
        answer = api.client().post(CUSTOMERS, customers(customer(1)))
        assert (answer.status, answer.body) == (201, b"")


def test_one_bad_record_refuses_the_whole_batch_in_a_sentence():
    with sandbox() as api:
        answer = api.client().post(CUSTOMERS, customers(customer(1), customer(2, email="nobody")))
        assert (answer.status, answer.json) == (422, OPAQUE)
        assert api.accepted("customers") == []


def test_with_atomic_off_the_good_records_of_a_refused_batch_are_taken():
    with sandbox(atomic=False) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1), customer(2, email="nobody"))).json == OPAQUE
        assert [record.key for record in api.accepted("customers")] == ["C1"]
        assert client.post(EVENTS, events(C1=[event("P1"), event("P2", type=1)])).status == 422
        assert [record.key for record in api.accepted("events")] == ["P1"]
        assert client.post(TRANSACTIONS, transactions(C1=[transaction("T1"), transaction("T2", type=1)])).status == 422
        assert api.accepted("transactions") == []  # a customer's go together
        assert [line.verdict for line in api.lines()[1:]] == ["partly_accepted", "partly_accepted", "refused"]


def test_each_address_may_leave_something_else_of_a_refused_batch():
    leaves = {"events": Leaves.GOOD, "transactions": Leaves.BEFORE}
    with sandbox(leaves=leaves, poison=frozenset({"C2", "P2", "T2"})) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1), customer(2))).status == 422
        assert api.accepted("customers") == []
        assert client.post(EVENTS, events(C1=[event("P1"), event("P2")], C3=[event("P3")])).status == 422
        assert [record.key for record in api.accepted("events")] == ["P1", "P3"]
        body = transactions(C1=[transaction("T1")], C2=[transaction("T0"), transaction("T2")], C3=[transaction("T3")])
        assert client.post(TRANSACTIONS, body).status == 422
        # In order, and as far as the bad one: also a part of its customer's.
        assert sorted(record.key for record in api.accepted("transactions")) == ["T0", "T1"]
        assert [line.verdict for line in api.lines()[1:]] == ["refused", "partly_accepted", "partly_accepted"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"customers": NaN}', b'["\\ud800"]', b"[" * 5000])
def test_what_is_no_json_gets_400(body):
    with sandbox() as api:
        answer = api.client().post(CUSTOMERS, body)
        assert answer.status == 400
        assert set(answer.json) == {"error", "details"}


def test_what_does_not_say_that_it_is_json_gets_415():
    with sandbox() as api:
        body = customers(customer(1))
        assert api.client().post(CUSTOMERS, body, **{"Content-Type": "text/plain"}).status == 415
        assert api.client().post(CUSTOMERS, body, **{"Content-Type": "application/json; charset=utf-8"}).status == 201


def test_a_body_over_the_limit_gets_413_and_the_connection_stays_good():
    body = json.dumps(customers(customer(1))).encode()
    with sandbox(body_bytes=len(body)) as api:
        client = api.client()
        assert client.post(CUSTOMERS, body + b" ").status == 413
        assert client.post(CUSTOMERS, b" " * 3_000_000).status == 413
        assert client.post(CUSTOMERS, body).status == 201


def test_a_body_of_unknown_length_gets_411():
    with sandbox() as api:
        client = api.client()
        client.connection.request("POST", "/api/storefront/v1/customers/migrate", iter([b"{}"]))
        assert client.connection.getresponse().status == 411


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (EVENTS, events(C1=[event(f"P{n}") for n in range(6)], C2=[event(f"Q{n}") for n in range(5)])),
        (TRANSACTIONS, transactions(C1=[transaction(f"T{n}") for n in range(11)])),
        (CUSTOMERS, customers(*map(customer, range(11)))),
    ],
)
def test_more_records_than_the_limit_are_refused_in_total(path, body):
    with sandbox(record_limit=10, atomic=False) as api:
        assert api.client().post(path, body).status == 422
    with sandbox(record_limit=11) as api:
        assert api.client().post(path, body).status == 201


def test_a_customer_without_any_event_is_refused():
    with sandbox() as api:
        assert api.client().post(EVENTS, events(C1=[event("P1")], C2=[])).status == 422
        assert api.client().post(TRANSACTIONS, transactions(C1=[])).status == 422


@pytest.mark.parametrize(
    "second", [customer(1, email="other@example.invalid"), customer(2, email=" C1@Example.invalid")]
)
def test_an_id_or_email_is_taken_once_in_a_batch_and_in_the_account(second):
    second["email"] = second["email"].strip()
    with sandbox(existing=Existing.REFUSE) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1), second)).status == 422
        assert client.post(CUSTOMERS, customers(customer(1))).status == 201
        assert client.post(CUSTOMERS, customers(second)).status == 422
        assert client.post(CUSTOMERS, customers(customer(1))).status == 422


@pytest.mark.parametrize("existing", [Existing.UPDATE, Existing.DOUBLE])
def test_a_known_customer_may_come_again_but_not_twice_in_a_batch_nor_with_the_address_of_another(existing):
    with sandbox(existing=existing) as api:
        client = api.client()
        assert client.post(CUSTOMERS, customers(customer(1), customer(1))).status == 422
        assert client.post(CUSTOMERS, customers(customer(1), customer(2))).status == 201
        assert client.post(CUSTOMERS, customers(customer(1, email="c2@example.invalid"))).status == 422
        assert client.post(CUSTOMERS, customers(customer(1, email="c3@example.invalid"))).status == 201
        assert client.post(CUSTOMERS, customers(customer(3))).status == 422  # the address went with the update
        assert client.post(CUSTOMERS, customers(customer(4, email="c1@example.invalid"))).status == 201


def test_a_customer_named_twice_in_a_batch_of_transactions_is_refused():
    entry = {"id": "C1", "transactions": [transaction("T1")]}
    with sandbox() as api:
        assert api.client().post(TRANSACTIONS, {"customers": [entry, entry]}).status == 422


def test_second_transactions_are_refused_at_once_if_so_set():
    with sandbox(second_transactions=Refusal.AT_ONCE, delay_s=60) as api:
        client = api.client()
        client.post(CUSTOMERS, customers(customer(1)))
        assert client.post(TRANSACTIONS, transactions(C1=[transaction("T1")])).status == 201
        assert client.post(TRANSACTIONS, transactions(C1=[transaction("T2")])).status == 422


def test_unknown_customers_are_refused_at_once_if_so_set():
    with sandbox(unknown_customers=Refusal.AT_ONCE) as api:
        client = api.client()
        assert client.post(EVENTS, events(C1=[event("P1")])).status == 422
        client.post(CUSTOMERS, customers(customer(1)))
        assert client.post(EVENTS, events(C1=[event("P1")])).status == 201


@pytest.mark.parametrize(
    ("naming", "said"),
    [
        (Naming.ID, ["'C2'", "'C3'"]),
        (Naming.EMAIL, ["'c2@example.invalid'", "'c3@example.invalid'"]),
        (Naming.KEY, ["'C2'", "'C3'"]),
        (Naming.INDEX, ["customers[1]", "customers[2]"]),
    ],
)
def test_a_telling_sentence_names_one_or_all_culprits(naming, said):
    body = customers(customer(1), customer(2, gender="X"), customer(3, gender="X"))
    for telling, names in ((Telling.NAMES_ONE, said[:1]), (Telling.NAMES_ALL, said)):
        with sandbox(telling=telling, naming=naming) as api:
            details = api.client().post(CUSTOMERS, body).json["details"]
        assert details == "Invalid customer entry: " + "; ".join(
            f"{name} (gender breaks the rule 'enum')" for name in names
        )


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (EVENTS, events(C1=[event("P1"), event("P2", fulfilled=1)]), "'P2' (fulfilled breaks the rule 'type')"),
        (TRANSACTIONS, transactions(C1=[transaction("T1", type="X")]), "'T1' (type breaks the rule 'enum')"),
        (EVENTS, events(C1=[{}]), "customers[0].events[0] ("),
        (EVENTS, {"customers": ["C1"]}, "customers[0] (it breaks the rule 'type')"),
        (EVENTS, {"customers": [{"id": 7, "events": [event("P1")]}]}, "customers[0] (id breaks the rule 'type')"),
        (EVENTS, {"customers": []}, "customers breaks the rule 'minItems'"),
    ],
)
def test_a_record_is_named_by_its_key_or_else_by_its_place(path, body, said):
    with sandbox(telling=Telling.NAMES_ALL, naming=Naming.KEY) as api:
        assert said in api.client().post(path, body).json["details"]


def test_poison_is_refused_although_it_keeps_the_contract():
    with sandbox(poison=frozenset({"P2"}), telling=Telling.NAMES_ALL, naming=Naming.KEY) as api:
        client = api.client()
        assert client.post(EVENTS, events(C1=[event("P1")])).status == 201
        assert (
            "'P2' (it is not acceptable)" in client.post(EVENTS, events(C1=[event("P2"), event("P3")])).json["details"]
        )
        assert (api.is_poison("P1"), api.is_poison("P2")) == (False, True)


def test_the_share_of_poison_is_as_asked_and_chosen_by_seed():
    with closing(Store(None)) as store:
        doors = [Intake(store, Options(poison_rate=0.01, seed=seed), 0) for seed in (1, 1, 2)]
    chosen = [{key for key in map(str, range(10_000)) if door.is_poison(key)} for door in doors]
    assert chosen[0] == chosen[1] != chosen[2]
    assert 60 < len(chosen[0]) < 150


@settings(max_examples=40)
@given(bad=st.sets(st.integers(0, 11)), atomic=st.booleans())
def test_what_is_kept_is_what_is_good_or_nothing(bad, atomic):
    options = Options(atomic=atomic, telling=Telling.NAMES_ALL, naming=Naming.KEY)
    body = events(
        **{
            f"C{n}": [event(f"P{n}-{m}", **({"type": 0} if 3 * n + m in bad else {})) for m in range(3)]
            for n in range(4)
        }
    )
    with closing(Store(None)) as store:
        judgement = Intake(store, options, 0).take(Entity.EVENTS, "a", json.dumps(body).encode(), sequence=1)
    everything = [(f"P{n}-{m}", f"C{n}") for n in range(4) for m in range(3)]
    good = tuple(key for place, key in enumerate(everything) if place not in bad)
    assert judgement.accepted == (good if not bad or not atomic else ())
    assert judgement.status == (422 if bad else 201)
    assert judgement.records == 12
    for place, (key, _) in enumerate(everything):
        assert (f"'{key}'" in judgement.details) == (place in bad)
