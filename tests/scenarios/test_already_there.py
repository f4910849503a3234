"""
An empty ledger knows of nothing that another one has sent. Before it brings customers for the first
time, the plan asks whether the account has some of them already, and stops if it does.
"""

from __future__ import annotations

import json
import os

import pytest
from airflow.sdk.exceptions import AirflowFailException

from masivo.services import Services
from masivo_engine.sandbox.faults.faults import Rule, Script
from tests.databases.changing import OPERATORS, TOLERANT, person, site


PEOPLE = [f"C{number:03}" for number in range(150)]
STOPS = "customers already whom this ledger has never sent"


@pytest.fixture
def on(tmp_path, monkeypatch):
    """A shop of 150 customers, whose tasks open everything anew, as processes do."""
    urls = (f"sqlite:///{tmp_path / name}.sqlite" for name in ("legacy", "ledger"))
    # Where it is not the plan that stops them, the API takes a customer's transactions as often as
    # they come.
    with site(*urls, tmp_path, monkeypatch, sandbox=TOLERANT) as made:
        for tasks in OPERATORS:
            monkeypatch.setattr(tasks, "Services", Services)
        made.trip.log.setLevel("WARNING")
        for key in PEOPLE:
            made.shop.add_person(key)
        yield made


@pytest.fixture
def empty_ledger(tmp_path):
    """Point `masivo_ledger` at an empty database."""

    def change():
        url = f"sqlite:///{tmp_path / 'another.sqlite'}"
        os.environ["AIRFLOW_CONN_MASIVO_LEDGER"] = json.dumps(
            {"conn_type": "generic", "extra": {"sqlalchemy_url": url}}
        )

    return change


def posts(on):
    return len(on.trip.posts())


def asked(on):
    """How many customers were asked for."""
    return sum(line.method == "GET" and line.path.startswith("/customers/") for line in on.trip.sandbox.lines())


@pytest.mark.parametrize("params", [{}, {"full": True}, {"dry_run": True}])
def test_an_empty_ledger_does_not_send_a_second_time_what_another_one_has_sent(on, empty_ledger, params):
    on.sync()
    before, questions = posts(on), asked(on)
    empty_ledger()
    with pytest.raises(AirflowFailException, match=f"the account has 36 of 36 {STOPS}") as refused:
        on.sync(**params)
    said = str(refused.value)
    assert "either another ledger has brought them there, which must then be used" in said
    assert "mapping_change 'adopt'" in said
    assert "override 'already_there'" in said
    assert posts(on) == before
    assert asked(on) - questions == 36


def test_the_sweep_and_a_backfill_do_not_either(on, empty_ledger):
    on.sync()
    before = posts(on)
    empty_ledger()
    for kind in ("sweep", "backfill"):
        with pytest.raises(AirflowFailException, match=STOPS):
            on.sync(kind)
    assert posts(on) == before


def test_nor_does_one_that_has_only_sent_a_few_for_a_try(on, empty_ledger):
    for key in PEOPLE[:3]:
        on.shop.delete(person, key)
    on.sync()
    before = posts(on)
    empty_ledger()
    for key in PEOPLE[:3]:
        on.shop.add_person(key)
    on.sync(customer_ids=PEOPLE[:3])
    assert posts(on) == before + 2  # the last one of all goes alone
    with pytest.raises(AirflowFailException, match=STOPS):
        on.sync(full=True)
    assert posts(on) == before + 2


def test_some_of_them_anywhere_among_all_are_enough(on, empty_ledger):
    """Another tool has moved a part; wherever that stands in the order of keys, it is met."""
    on.sync(customer_ids=PEOPLE[100:120])
    before = posts(on)
    empty_ledger()
    with pytest.raises(AirflowFailException, match=f"the account has [4-6] of 36 {STOPS}"):
        on.sync()
    assert posts(on) == before


def test_an_account_without_them_costs_a_few_questions_once(on):
    on.sync()
    assert set(on.everything_sent().values()) == {1}
    questions = asked(on)
    assert questions == 36
    on.clock.pass_minutes(60)
    on.shop.add_person("D1")
    on.clock.pass_minutes(60)
    on.sync()
    on.sync("sweep")
    assert asked(on) == questions


@pytest.mark.parametrize("params", [{"override": ["already_there"]}, {"mapping_change": "adopt", "confirm": "adopt"}])
def test_a_person_may_say_that_it_is_right(on, empty_ledger, params):
    on.sync()
    before = posts(on)
    empty_ledger()
    made = on.sync(**params)
    assert made["adds_up"] is True
    assert posts(on) - before == (2 if "override" in params else 0)  # of which one is the last of all


def test_one_answer_that_says_nothing_stops_nobody_and_none_at_all_does(on):
    flaky = Rule(faults=("500",), method="GET", path="/customers/*", nth=(2, 9))
    on.trip.sandbox.api.director.follow(Script(rules=(Rule(faults=("500",), method="GET", path="/customers/*"),)))
    with pytest.raises(AirflowFailException, match=r"cannot look .* the API answered for 0 of 36"):
        on.sync()
    assert posts(on) == 0
    on.trip.sandbox.api.director.follow(Script(rules=(flaky,)))
    assert on.sync()["adds_up"] is True
    assert set(on.everything_sent().values()) == {1}


def test_the_reads_of_an_account_for_development_are_counted(on):
    made = json.loads(os.environ["AIRFLOW_CONN_MASIVO_API"])
    made["extra"] = {name: value for name, value in made["extra"].items() if name != "per_hour"} | {"account": "dev"}
    os.environ["AIRFLOW_CONN_MASIVO_API"] = json.dumps(made)
    on.sync(dry_run=True)
    with on.trip.place.ledger_engine.connect() as ledger:
        ledger.exec_driver_sql("SELECT 1")
        taken = ledger.exec_driver_sql("SELECT count(*) FROM masivo_start WHERE account LIKE 'reads %'").scalar()
    assert taken == asked(on) == 36
