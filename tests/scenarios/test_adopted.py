"""
What a person says that Masivo has: it is typed twice, the plan says how much of it was never sent,
and it can be taken back.
"""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from airflow.sdk.exceptions import AirflowFailException

from masivo_engine import crash_points
from masivo_engine.model.rows import Entity
from tests.databases import changing
from tests.whole_migration import UNLIMITED, Died


CUSTOMERS, EVENTS, TRANSACTIONS = Entity
# Whoever holds a slice here and does nothing is dead.
QUICK = {**UNLIMITED, "lease_s": 0.2}
EVERYTHING = {"A": 1, "SA": 1, "TA": 1, "B": 1, "SB": 1, "TB": 1}


@contextmanager
def opened(legacy_url, ledger_url, folder, monkeypatch):
    """
    A shop of two customers with a purchase and five points each, and an account that has none of
    it.
    """
    with changing.site(legacy_url, ledger_url, folder, monkeypatch, extra=QUICK) as made:
        for owner in "AB":
            made.shop.add_person(owner, points=5)
            made.shop.add_sale(f"S{owner}", owner)
            made.shop.add_booking(f"T{owner}", owner)
        yield made


@pytest.fixture
def site(sqlite_url, tmp_path, monkeypatch):
    with opened(sqlite_url, f"sqlite:///{tmp_path / 'ledger.sqlite'}", tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def anywhere(sqlite_url, ledger_url, tmp_path, monkeypatch):
    """The same on every dialect of the ledger."""
    with opened(sqlite_url, ledger_url, tmp_path, monkeypatch) as made:
        yield made


def adopt(site, **params):
    return site.sync(mapping_change="adopt", confirm="adopt", **params)


def never_sent(site):
    """What the newest plan says of it, by entity."""
    return {name: found["never_sent"] for name, found in site.plan.items() if isinstance(found, dict)}


def test_adopted_by_mistake_and_taken_back_everything_goes_once(anywhere):
    site = anywhere
    with pytest.raises(AirflowFailException, match="type 'adopt' into confirm as well"):
        site.sync(mapping_change="adopt")
    adopt(site)
    assert never_sent(site) == {"customers": 2, "events": 2, "transactions": 2}
    for kind, params in (("sync", {"full": True}), ("sweep", {}), ("replay", {"keys": ["A", "SA", "TA"]})):
        site.clock.pass_minutes(60)
        site.sync(kind, **params)
    assert site.trip.posts() == []

    with pytest.raises(AirflowFailException, match="type 'adopted' into confirm as well"):
        site.sync("replay", reason=["adopted"])
    assert site.trip.posts() == []
    made = site.sync("replay", reason=["adopted"], confirm="adopted", user="berta")
    assert made["adds_up"]
    assert site.everything_sent() == EVERYTHING
    assert {(action, who) for action, _, who in site.released()} == {("adopt", "ana"), ("release", "berta")}

    for kind, params in (
        ("sync", {"full": True}),
        ("sweep", {}),
        ("replay", {"reason": ["adopted"], "confirm": "adopted"}),
    ):
        site.clock.pass_minutes(60)
        assert site.sync(kind, **params)["adds_up"]
    assert site.everything_sent() == EVERYTHING


def test_what_is_taken_back_of_one_customer_leaves_the_others(site):
    adopt(site)
    site.sync("replay", reason=["adopted"], customer_ids=["A"], confirm="adopted")
    assert site.everything_sent() == {"A": 1, "SA": 1, "TA": 1}
    site.sync("replay", reason=["adopted"], entities=["transactions"], confirm="adopted")
    assert site.everything_sent() == {"A": 1, "SA": 1, "TA": 1, "TB": 1}


def test_what_was_sent_is_not_called_never_sent_and_not_sent_again(site):
    site.sync(customer_ids=["A"])
    adopt(site)
    assert never_sent(site) == {"customers": 1, "events": 1, "transactions": 1}
    # A change of what was sent is adopted too; of what was adopted it is still one that was never
    # sent.
    for owner in "AB":
        site.shop.change(changing.person, owner, name="Berta", ago=5)
    adopt(site)
    assert never_sent(site) == {"customers": 1, "events": 0, "transactions": 0}
    site.sync("replay", reason=["adopted"], confirm="adopted")
    # A again, because its name was adopted and is not there; its purchase and points were sent and
    # stay as they are.
    assert site.everything_sent() == EVERYTHING | {"A": 2}


def test_what_was_sent_after_it_was_adopted_is_not_taken_back(site):
    adopt(site)
    site.clock.pass_minutes(60)
    site.shop.change(changing.person, "A", name="Berta", ago=5)
    site.trip.place.ledger.learn_resends("replace")  # else it would wait for a probe
    site.sync()
    assert site.everything_sent() == {"A": 1}
    site.sync("replay", reason=["adopted"], confirm="adopted")
    assert site.everything_sent() == EVERYTHING


@pytest.mark.parametrize("point", ["page_entered", "packed"])
def test_a_release_that_died_before_it_sent_is_finished_by_the_next_run(site, point):
    adopt(site)
    crash_points.set_trap(crash_points.trap_at(point, die))
    try:
        with pytest.raises(Died):
            site.sync("replay", reason=["adopted"], confirm="adopted")
    finally:
        crash_points.set_trap(None)
    assert site.everything_sent() == {}
    time.sleep(2 * QUICK["lease_s"])  # who died holds its slice that long
    site.clock.pass_minutes(60)
    site.sync()
    assert site.everything_sent() == EVERYTHING


def test_a_plan_says_it_all_and_decides_nothing(site):
    site.sync(mapping_change="adopt", dry_run=True)
    assert never_sent(site) == {"customers": 2, "events": 2, "transactions": 2}
    assert site.released() == []
    site.sync()
    assert site.everything_sent() == EVERYTHING


def die():
    raise Died


def test_what_was_adopted_more_than_once_can_still_be_taken_back(site):
    for _ in range(3):
        adopt(site)
    # It says something else for a while, and then what was adopted again.
    site.clock.pass_minutes(60)
    site.shop.change(changing.sale, "SA", cents=900, ago=30)
    site.sync()
    assert site.stand(EVENTS, "SA")[-1] == "held changed_after_delivery"
    site.clock.pass_minutes(60)
    site.shop.change(changing.sale, "SA", cents=500, ago=30)
    site.sync()
    assert site.everything_sent() == {}
    site.sync("replay", reason=["adopted"], confirm="adopted")
    assert site.everything_sent() == EVERYTHING
