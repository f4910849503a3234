"""
Two legacy rows that the API would call by one name: one of them has it, in every run, whichever is
read first and whatever becomes of the other.

Keys are told apart as the database hands them out (``S1`` and a blank before it), and the API sees
them without the blank.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from masivo_engine.model.rows import Entity
from tests.databases.changing import SWEEP, TOLERANT, sale, site
from tests.whole_migration import UNLIMITED


CUSTOMERS, EVENTS, TRANSACTIONS = Entity


@pytest.fixture
def opened(tmp_path, monkeypatch):
    @contextmanager
    def open_():
        urls = [f"sqlite:///{tmp_path / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
        with site(*urls, tmp_path, monkeypatch, sandbox=TOLERANT, extra=UNLIMITED) as made:
            for name in "ABC":
                made.shop.add_person(name, points=5)
            yield made

    return open_


def later(on, *kinds):
    """Run every one of *kinds*, an hour apart; each must add up."""
    for kind in kinds:
        on.clock.pass_minutes(60)
        assert (on.run() if kind == "increment" else on.run(SWEEP)).adds_up


@pytest.mark.parametrize("owners", ["AB", "BA", "AA"])
def test_an_event_whose_name_another_one_has_goes_in_no_run(opened, owners):
    with opened() as on:
        on.shop.add_sale("S1", owners[0])
        on.shop.add_sale(" S1", owners[1])
        on.run()
        later(on, "increment", "increment", "sweep", "increment")
        assert on.sent(EVENTS) == {"S1": 1}
        assert max(on.stand(EVENTS, "S1")) == "quarantined duplicate_key"


@pytest.mark.parametrize("owners", ["AB", "BA", "AA"])
def test_nor_do_transactions_and_customers(opened, owners):
    with opened() as on:
        on.shop.add_booking("T1", owners[0])
        on.shop.add_booking(" T1", owners[1])
        on.shop.add_person(" C", points=5)
        on.run()
        later(on, "increment", "sweep", "increment")
        assert all(times == 1 for times in on.everything_sent().values())
        assert on.sent(TRANSACTIONS)["T1"] <= 1


def test_nor_where_the_one_that_has_it_is_gone_or_says_nothing_any_more(opened):
    with opened() as on:
        on.shop.add_sale("S1", "A")
        on.shop.add_sale("S2", "A")
        on.run()
        for key in (" S1", " S2"):
            on.shop.add_sale(key, "B", ago=0)
        later(on, "increment")
        on.shop.delete(sale, "S1")
        on.shop.change(sale, "S2", cents=None)
        later(on, "sweep", "increment", "sweep")
        assert on.sent(EVENTS) == {"S1": 1, "S2": 1}


def test_the_other_one_goes_where_the_first_never_can(opened):
    with opened() as on:
        on.shop.add_sale("S1", "nobody")
        on.run()
        on.shop.add_sale(" S1", "B", ago=0)
        later(on, "increment")
        assert on.sent(EVENTS) == {}
        on.shop.delete(sale, "S1")
        later(on, "increment", "increment")
        assert on.sent(EVENTS) == {"S1": 1}
