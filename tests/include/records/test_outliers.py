from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from masivo_engine.model.rows import Entity
from masivo_engine.records.outliers import is_outlier
from tests.include.sandbox import bodies


TOMORROW_WEEK = (datetime.now(UTC) + timedelta(days=8)).isoformat()


def order(**fields):
    return {**bodies.event("O1")["order"], **fields}


@pytest.mark.parametrize(
    ("body", "points", "odd"),
    [
        (bodies.customer(1), 0, False),
        (bodies.customer(1, dob="1980-02-03"), 100, False),
        (bodies.customer(1, dob="1899-02-03"), 100, True),
        (bodies.customer(1, dob="2024-02-03"), 100, True),
        (bodies.customer(1, registration_date=TOMORROW_WEEK), 100, True),
        (bodies.customer(1), 10_000_000, True),
    ],
)
def test_a_customer_is_odd_who_is_born_or_registered_oddly_or_owns_a_fortune(body, points, odd):
    assert is_outlier(Entity.CUSTOMERS, body, Decimal(points)) is odd


@pytest.mark.parametrize(
    ("body", "odd"),
    [
        (bodies.event("O1"), False),
        (bodies.event("O1", resolved_at=TOMORROW_WEEK), True),
        (bodies.event("O1", order=order(discounted_value=99)), True),
        (bodies.event("O1", order=order(value=0, discounted_value=0)), True),
        (bodies.event("O1", order=order(value=10**8)), True),
        (bodies.event("O1", order=order(discounted_value=-1)), True),
    ],
)
def test_an_event_is_odd_that_is_in_the_future_or_whose_discount_is_no_discount(body, odd):
    assert is_outlier(Entity.EVENTS, body, Decimal(0)) is odd


@pytest.mark.parametrize(
    ("points", "odd"), [(5, False), (-5, False), (0, True), (10_000_000, True), (-10_000_000, True)]
)
def test_a_transaction_is_odd_that_moves_nothing_or_a_fortune(points, odd):
    assert is_outlier(Entity.TRANSACTIONS, bodies.transaction("T1", points), Decimal(points)) is odd
