"""
A customer's balance and the transactions that explain it go together, whatever moved: told by what
the API shows and what the account says.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from sqlalchemy import update

from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import shown_customer
from tests.databases.changing import TOLERANT, booking, person, site
from tests.whole_migration import UNLIMITED


CUSTOMERS, EVENTS, TRANSACTIONS = Entity


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open a shop with *policies*."""

    @contextmanager
    def open_(**policies):
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        given = {"sandbox": TOLERANT, "extra": UNLIMITED, "policies": policies}
        with site(*urls, tmp_path, monkeypatch, **given) as made:
            yield made

    return open_


def points(on):
    """Return what the API shows of all customers' points together."""
    shown = [shown_customer(on.trip.place.hook.get_customer(key), key) for key in "AB"]
    return int(sum(sum(one.balance.values()) for one in shown if one is not None))


def moved(on, key, owner):
    with on.shop.engine.begin() as connection:
        connection.execute(update(booking).where(booking.c.id == key).values(person=owner, changed_at=on.clock.ago(20)))


@pytest.mark.parametrize("policy", ["hold", "send"])
@pytest.mark.parametrize("has_own", [True, False])
def test_a_customer_gets_no_balance_that_another_one_has_still(opened, policy, has_own):
    """A is merged into B, which has transactions of its own or none."""
    with opened(new_transactions=policy) as on:
        on.shop.add_person("A", points=5)
        on.shop.add_booking("TA", "A", points=5)
        on.shop.add_person("B", points=3 if has_own else 0)
        if has_own:
            on.shop.add_booking("TB", "B", points=3)
        on.sync()
        before = points(on)
        on.clock.pass_minutes(60)
        on.shop.delete(person, "A")
        on.shop.change(person, "B", points=before, ago=20)
        moved(on, "TA", "B")
        for kind in ("sync", "sweep", "sync"):
            on.clock.pass_minutes(60)
            made = on.sync(kind)
            assert made["adds_up"]
        assert points(on) == before
        assert on.stand(CUSTOMERS, "B")[-1] == "held balance_waits"
        assert on.stand(TRANSACTIONS, "TA")[-1] == "held changed_after_delivery"


def test_a_balance_goes_with_the_set_that_explains_it_in_one_run(opened):
    with opened(new_transactions="send") as on:
        on.shop.add_person("A", points=5)
        on.shop.add_booking("T1", "A", points=5)
        on.sync()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", points=8, ago=20)
        on.shop.add_booking("T2", "A", points=3, ago=20)
        on.sync()
        assert on.everything_sent() == {"A": 2, "T1": 1, "T2": 1}
        assert points(on) == 8


def test_a_balance_that_nothing_explains_waits_and_so_does_what_comes_with_it(opened):
    with opened(new_transactions="send") as on:
        on.shop.add_person("A", points=5)
        on.shop.add_booking("T1", "A", points=5)
        on.sync()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", points=9, ago=20)
        on.shop.add_booking("T2", "A", points=3, ago=20)
        on.sync()
        assert on.stand(CUSTOMERS, "A")[-1] == "held balance_waits"
        assert on.stand(TRANSACTIONS, "T2") == ["held customer_held"]
        on.clock.pass_minutes(60)
        on.shop.add_booking("T3", "A", points=1, ago=20)
        on.sync()
        assert on.everything_sent() == {"A": 2, "T1": 1, "T2": 1, "T3": 1}
        assert points(on) == 9


def test_first_transactions_whose_customer_waits_for_a_person_are_held_for_it(opened):
    """The balance that they add up to is the one that waits."""
    with opened(changed={"customers": "hold"}) as on:
        on.shop.add_person("A", points=5)
        on.sync()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", points=8, ago=20)
        on.shop.add_booking("T1", "A", points=8, ago=20)
        on.sync()
        assert on.stand(CUSTOMERS, "A")[-1] == "held changed_after_delivery"
        assert on.stand(TRANSACTIONS, "T1") == ["held customer_held"]
