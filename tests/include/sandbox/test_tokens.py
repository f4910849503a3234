"""
Tokens: what a key buys, and for how long.
"""

from __future__ import annotations

import time

import jwt

from masivo_engine.sandbox.api.tokens import Tokens
from tests.include.sandbox.bodies import customer, customers
from tests.include.sandbox.client import CUSTOMERS, sandbox


SECRET = "0123456789abcdef" * 4


def test_a_token_is_a_jwt_that_says_when_it_ends():
    token = Tokens(SECRET, {"key": "shop"}, 3600).issue("key")
    claims = jwt.decode(token, options={"verify_signature": False})
    assert 3590 < claims["exp"] - time.time() <= 3601


def test_a_token_speaks_for_its_account_until_it_expires():
    accounts = {"key": "shop"}
    assert Tokens(SECRET, accounts, 60).account(f"Bearer {Tokens(SECRET, accounts, 60).issue('key')}") == "shop"
    assert Tokens(SECRET, accounts, 60).account(f"Bearer {Tokens(SECRET, accounts, -2).issue('key')}") is None


def test_a_token_of_another_secret_or_a_removed_account_is_worth_nothing():
    token = f"Bearer {Tokens(SECRET, {'key': 'shop'}, 60).issue('key')}"
    assert Tokens(SECRET[::-1], {"key": "shop"}, 60).account(token) is None
    assert Tokens(SECRET, {"key": "other"}, 60).account(token) is None


def test_a_wrong_key_gets_401():
    with sandbox() as api:
        answer = api.client().authorize("wrong")
        assert answer.status == 401
        assert set(answer.json) == {"error", "details"}


def test_without_a_good_token_nothing_is_done():
    with sandbox() as api:
        for token in ("", "nonsense"):
            client = api.client(token=token)
            assert client.post(CUSTOMERS, customers(customer(1))).status == 401
            assert client.get("/customers/C1").status == 401
        assert api.accepted("customers") == []


def test_accounts_do_not_see_each_other():
    with sandbox(accounts={"one": "first", "two": "second"}) as api:
        first, second = api.client(key="one"), api.client(key="two")
        assert first.post(CUSTOMERS, customers(customer(1))).status == 201
        assert second.get("/customers/C1").status == 404
        assert second.post(CUSTOMERS, customers(customer(1))).status == 201
        assert [record.times for record in api.accepted("customers", account="first")] == [1]
