"""
Two legacy rows that the API would call by one name: one of them has it, in every run, whichever is
read first and whatever becomes of the other. And one legacy row that gets another name: it is the
one that was sent.

Keys are told apart as the database hands them out (``S1`` and a blank before it), and the API sees
them without the blank.
"""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import update

from masivo_engine.model.rows import Entity
from tests.databases.changing import FILES, SWEEP, TOLERANT, line, sale, site
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


def renamed(on, keys, *, ago=None):
    """Give purchases other keys in the database, ``R`` before them."""
    moved = {} if ago is None else {"changed_at": on.clock.ago(ago)}
    with on.shop.engine.begin() as connection:
        for key in keys:
            connection.execute(update(sale).where(sale.c.id == key).values(id=f"R{key}", **moved))
            connection.execute(update(line).where(line.c.sale == key).values(sale=f"R{key}"))


@pytest.mark.parametrize("ago", [None, 0])
def test_events_that_get_other_keys_are_those_that_were_sent(opened, ago):
    """All have the same content but for the key, so only their number tells which is which."""
    with opened() as on:
        keys = [f"S{number}" for number in range(30)]
        for key in keys:
            on.shop.add_sale(key, "A")
        on.run()
        on.clock.pass_minutes(60)
        renamed(on, keys[:3], ago=ago)
        on.shop.add_sale("S30", "A")
        on.shop.change(sale, "S30", cents=700)
        later(on, "increment", "sweep", "increment")
        assert on.sent(EVENTS) == dict.fromkeys([*keys, "S30"], 1)
        assert [on.stand(EVENTS, f"R{key}")[-1] for key in keys[:3]] == ["held changed_after_delivery"] * 3


@pytest.mark.parametrize(("choice", "stand"), [("from_now_on", "unchanged adopted"), ("send_all", "held changed_")])
def test_a_mapping_that_makes_other_keys_of_a_few_events_is_asked_about(opened, choice, stand):
    """One branch of a UNION gets a prefix: 5 of 100, a share that no bound would notice."""
    with opened() as on:
        for number in range(100):
            on.shop.add_sale(f"S{number:02}", "A")
        on.sync()
        on.clock.pass_minutes(60)
        files = {}
        for name, key in (("events.sql", "s.id"), ("events.order__products.sql", "l.sale")):
            files[name] = FILES[name].replace(
                f"{key} AS", f"CASE WHEN {key} < 'S05' THEN 'R-' || {key} ELSE {key} END AS"
            )
        on.remaps(files)
        with pytest.raises(AirflowFailException, match="5 of 100 events that the API has read otherwise now"):
            on.sync()
        on.sync(mapping_change=choice, confirm=choice if choice == "from_now_on" else "")
        on.sync("sweep")
        assert on.stand(EVENTS, "R-S00")[-1].startswith(stand)
        assert sum(on.sent(EVENTS).values()) == 100


def test_an_event_that_only_looks_like_one_that_is_there_is_sent(opened):
    with opened() as on:
        on.shop.add_sale("S1", "A")
        on.run()
        on.shop.add_sale("S2", "A", ago=0)
        later(on, "increment")
        assert on.sent(EVENTS) == {"S1": 1, "S2": 1}
