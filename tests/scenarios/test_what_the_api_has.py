"""
What the API has of a customer counts, not what the legacy rows say today: for the balance, for
later sets, and for what a person adopts.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack

import pytest
from airflow.sdk.exceptions import AirflowFailException

from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind, RunPolicies
from tests.databases import changing
from tests.databases.changing import FILES, SWEEP, booking, person, sale


pytestmark = pytest.mark.slow


CUSTOMERS, EVENTS, TRANSACTIONS = Entity
REMAPPED = {"customers.sql": FILES["customers.sql"].replace("SELECT p.id AS id", "SELECT p.id AS id, 'CO' AS country")}


@pytest.fixture
def opened(memory, monkeypatch):
    with ExitStack() as stack:

        def open_one(**options):
            urls = [f"sqlite:///{memory / name}" for name in ("legacy.sqlite", "ledger.sqlite")]
            return stack.enter_context(changing.site(*urls, memory, monkeypatch, **options))

        yield open_one


def delivered(opened, **policies):
    """A site where A has a balance of 5, and a transaction T1 of it, both delivered an hour ago."""
    site = opened(policies=policies)
    site.shop.add_person("A", points=5)
    site.shop.add_booking("T1", "A")
    site.run()
    site.clock.pass_minutes(60)
    return site


def test_points_that_were_given_count_though_their_row_is_gone(opened):
    site = delivered(opened, new_transactions="send")
    site.shop.delete(booking, "T1")
    site.shop.add_booking("T1-new", "A", ago=20)
    site.run()
    assert site.sent(TRANSACTIONS)["T1-new"] == 0


def test_points_that_were_given_count_as_they_were_given(opened):
    site = delivered(opened, new_transactions="send", changed={"transactions": "ignore"})
    site.shop.change(booking, "T1", points=8, ago=20)
    site.shop.add_booking("T2", "A", points=3, ago=20)
    site.shop.change(person, "A", points=11, ago=20)
    site.run()
    assert site.sent(TRANSACTIONS)["T2"] == 0
    site.clock.pass_minutes(60)
    site.shop.change(person, "A", points=8, ago=20)
    site.run()
    assert site.sent(TRANSACTIONS)["T2"] == 1


def test_what_a_person_releases_is_checked_with_what_is_gone(opened):
    site = delivered(opened)
    site.shop.delete(booking, "T1")
    site.shop.add_booking("T2", "A", ago=20)
    site.run()
    site.sync("replay", reason=["transactions_already_migrated"])
    assert site.sent(TRANSACTIONS)["T2"] == 0


@pytest.mark.parametrize(
    ("policies", "ago", "stand"),
    [
        ({}, None, "quarantined points_do_not_sum"),
        ({"changed": {"customers": "hold"}}, 20, "held customer_held"),
    ],
)
def test_points_are_not_checked_against_a_balance_that_was_never_sent(opened, policies, ago, stand):
    """It was adopted, because its change time stands, or a policy holds it."""
    site = opened(policies=policies)
    site.shop.add_person("A", points=5)
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.change(person, "A", points=8, ago=ago)
    site.shop.add_booking("T1", "A", points=8, ago=20)
    site.remaps(REMAPPED, policies=policies)
    site.sync(mapping_change="from_now_on", confirm="from_now_on")
    assert site.sent(CUSTOMERS)["A"] == 1
    assert site.sent(TRANSACTIONS)["T1"] == 0
    assert site.stand(TRANSACTIONS, "T1") == [stand]


def test_another_mapping_does_not_settle_what_was_held_because_its_row_changed(opened):
    site = opened()
    site.shop.add_person("A", points=5)
    site.shop.add_sale("SA", "A")
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.change(sale, "SA", cents=900, ago=20)
    site.sync()
    site.remaps(REMAPPED)
    site.sync(mapping_change="from_now_on", confirm="from_now_on")
    assert site.stand(EVENTS, "SA")[-1].startswith("held")


def test_what_is_born_after_an_adoption_was_planned_is_not_adopted(opened):
    site = opened()
    site.shop.add_person("A", points=5)
    run = site.trip.begin("adopt", asked=Asked(RunKind.FULL), policies=RunPolicies(adopts=True))
    site.clock.pass_minutes(300)  # an approval, or another run has the lane
    site.shop.add_person("NEW", points=7, ago=20)
    for entity in Entity:
        for part in site.trip.slices(run, entity):
            site.trip.work_off(run, part)
    site.clock.pass_minutes(60)
    site.run(SWEEP)
    assert site.sent(CUSTOMERS) == {"NEW": 1}


@pytest.mark.parametrize(
    ("also", "says"),
    [
        (("", ""), "2 of 2 events that the API has read otherwise now although they did not change"),
        (
            ("AS order__value", "+ 1 AS order__value"),
            "2 events have none of the delivered keys, while as many of those are gone",
        ),
    ],
)
def test_a_mapping_that_makes_other_keys_of_delivered_rows_is_asked_about(opened, also, says):
    """A sale that is otherwise as it was sent is known; *also* other, it is known by its number."""
    site = opened()
    for key in ("A", "B"):
        site.shop.add_person(key)
        site.shop.add_sale(f"S{key}", key)
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.add_sale("SC", "B", ago=20)
    files = {name: FILES[name] for name in ("events.sql", "events.order__products.sql")}
    files["events.sql"] = files["events.sql"].replace("s.id AS", "'R-' || s.id AS").replace(*also)
    files["events.order__products.sql"] = files["events.order__products.sql"].replace("l.sale AS", "'R-' || l.sale AS")
    site.remaps(files)
    with pytest.raises(AirflowFailException, match=says):
        site.sync()
    assert sum(site.sent(EVENTS).values()) == 2


def test_rows_that_went_and_rows_that_came_are_no_other_keys(opened):
    site = opened()
    site.shop.add_person("A")
    for number in range(40):
        site.shop.add_sale(f"S{number}", "A")
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.delete(sale, "S1")
    site.shop.add_sale("SN", "A")
    site.shop.change(sale, "SN", cents=700, ago=20)  # else it would be the one that went, with another key
    site.remaps({"events.sql": FILES["events.sql"] + " WHERE 1 = 1"})
    site.sync()
    assert site.sent(EVENTS)["SN"] == 1


@pytest.mark.parametrize("is_other_source", [False, True])
def test_a_mapping_of_another_name_is_compared_with_what_was_delivered(opened, is_other_source):
    site = opened()
    for key in ("A", "B"):
        site.shop.add_person(key)
    site.sync()
    site.clock.pass_minutes(60)
    other = site.shop.folder.parent / "mine"
    shutil.copytree(site.shop.folder, other)
    changed = FILES["customers.sql"].replace("p.name AS name", "UPPER(p.name) AS name")
    if is_other_source:
        changed = changed.replace("p.id AS id", "'X-' || p.id AS id").replace("?@shop", "x.?@shop")
    (other / "customers.sql").write_text(changed)
    os.environ["MASIVO_MAPPING"] = str(other)
    for name in ("mapping", "mapping_in_use", "mapping_named"):
        vars(site.trip.place).pop(name, None)
    if is_other_source:
        # The ledger cannot know that this is another shop; a person says so.
        with pytest.raises(AirflowFailException, match="2 customers have none of the delivered keys"):
            site.sync()
        site.sync(mapping_change="send_all")
        assert site.sent(CUSTOMERS) == {"A": 1, "B": 1, "X-A": 1, "X-B": 1}
        return
    for _ in range(2):  # also where a plan was refused before
        with pytest.raises(AirflowFailException, match="2 of 2 customers"):
            site.sync(run_id="cleared")
    assert site.sent(CUSTOMERS) == {"A": 1, "B": 1}


def test_no_customer_is_the_probe_whose_balance_changed_without_its_transactions(opened):
    """What a second sending does to points is not tried with a balance that nothing explains."""
    site = delivered(opened)
    site.shop.change(person, "A", points=8, ago=20)
    site.shop.add_booking("T2", "A", points=3, ago=20)
    site.run()
    assert site.stand(CUSTOMERS, "A")[-1] == "held balance_waits"
    assert site.stand(TRANSACTIONS, "T2") == ["held transactions_already_migrated"]
    assert site.everything_sent() == {"A": 1, "T1": 1}
