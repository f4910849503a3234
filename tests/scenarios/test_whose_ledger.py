"""
Whose ledger it is: a key that was rotated is the same account, another name or address is made
known by a person who has been shown what the account holds, and another account's ledger is
refused.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from airflow.sdk.exceptions import AirflowFailException

from masivo.cli.parser import main
from masivo.hook import MasivoHook
from masivo.services import Services
from masivo.wire import tokens
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from tests.databases.changing import OPERATORS, TOLERANT, site


ACCOUNTS = {"sandbox-key": "acme", "rotated-key": "acme", "their-key": "theirs"}
EVERYTHING = ("A", "SA", "TA", "B", "SB", "TB")


@pytest.fixture
def on(tmp_path, monkeypatch):
    """
    A shop of a few customers on an account that has several keys, whose tasks open everything anew,
    as processes do.
    """
    urls = (f"sqlite:///{tmp_path / name}.sqlite" for name in ("legacy", "ledger"))
    with site(*urls, tmp_path, monkeypatch, sandbox=TOLERANT | {"accounts": ACCOUNTS}) as made:
        for tasks in OPERATORS:
            monkeypatch.setattr(tasks, "Services", Services)
        for name in "AB":
            made.shop.add_person(name, points=5)
            made.shop.add_booking(f"T{name}", name)
            made.shop.add_sale(f"S{name}", name)
        yield made


@pytest.fixture
def connect(on, monkeypatch):  # noqa: ARG001 (the connection is there with the site)
    """Change the connection `masivo_api`: fields by name, and *account_id*, None for none."""
    first = json.loads(os.environ["AIRFLOW_CONN_MASIVO_API"])

    def change(*, account_id=None, **fields):
        extra = {name: value for name, value in first["extra"].items() if name != "account_id"}
        extra |= {"account_id": account_id} if account_id else {}
        os.environ["AIRFLOW_CONN_MASIVO_API"] = json.dumps(first | fields | {"extra": extra})
        tokens._grants.clear()  # a new process

    return change


def renamed(on):
    """Another name of the host, behind which the same account lives."""
    return f"http://localhost:{urlsplit(on.trip.sandbox.url).port}"


def once(on):
    return on.everything_sent() == dict.fromkeys(EVERYTHING, 1)


@pytest.mark.parametrize("account_id", [None, "acme"])
def test_a_key_that_was_rotated_is_the_same_account(on, connect, account_id):
    connect(account_id=account_id)
    on.sync()
    connect(account_id=account_id, password="rotated-key")
    made = on.sync("sweep")
    assert made["adds_up"] is True
    assert once(on)


CHANGES = {
    "account_id added late": ({}, lambda _: {"account_id": "acme"}),
    "account_id changed": ({"account_id": "acme"}, lambda _: {"account_id": "acme corp"}),
    "host renamed": ({"account_id": "acme"}, lambda on: {"account_id": "acme", "host": renamed(on)}),
    "host renamed, no account_id": ({}, lambda on: {"host": renamed(on)}),
    "key rotated, host renamed and account_id added": (
        {},
        lambda on: {"account_id": "acme", "host": renamed(on), "password": "rotated-key"},
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_renamed_is_refused_until_it_is_tied_and_then_goes_on(on, connect, capsys, change):
    before, after = CHANGES[change]
    connect(**before)
    on.sync()
    connect(**after(on))
    for kind in ("sync", "sweep"):
        with pytest.raises(AirflowFailException) as refused:
            on.sync(kind)
        said = str(refused.value)
        assert said.index("rotated") < said.index("belongs to another account")
        assert "`python -m masivo tie`" in said
        assert "AN EMPTY LEDGER SENDS EVERYTHING A SECOND TIME" in said

    capsys.readouterr()
    assert main(["tie", "--confirm", "tie", "--by", "ana"]) == 0
    said = capsys.readouterr().out
    assert "of 2 customers among those delivered last: 2 there as they were sent" in said
    assert "@" not in said
    assert on.sync("sweep")["adds_up"] is True
    assert once(on)
    assert on.released() == [("tie", "", "ana")]
    assert main(["tie"]) == 0
    assert "already; nothing to do" in capsys.readouterr().out


def test_the_pace_of_the_account_is_neither_lost_nor_doubled_by_a_tie(on, connect):
    connect(account_id="acme")
    on.sync()
    starts = "SELECT count(*), count(DISTINCT account) FROM masivo_start"
    ((before, _),) = ask(on, starts)
    connect(account_id="acme", host=renamed(on))
    assert main(["tie", "--confirm", "tie"]) == 0
    on.clock.pass_minutes(60)
    on.shop.add_person("C")
    on.clock.pass_minutes(60)
    on.sync()
    assert ask(on, starts) == [(before + 1, 1)]
    assert ask(on, "SELECT count(*) FROM masivo_lane") == [(1,)]


def ask(on, statement):
    with closing(sqlite3.connect(on.trip.place.ledger_engine.url.database)) as ledger:
        return ledger.execute(statement).fetchall()


def test_another_account_is_refused_by_every_dag_and_by_tie(on, connect, capsys):
    connect()
    on.sync()
    connect(password="their-key")
    for kind, params in {"sync": {}, "sweep": {}, "replay": {"reason": ["refused"]}, "backfill": {}}.items():
        with pytest.raises(AirflowFailException, match="belongs to another account"):
            on.sync(kind, **params)
    capsys.readouterr()
    assert main(["tie", "--confirm", "tie"]) == 1
    said = capsys.readouterr()
    assert "2 not there" in said.out
    assert "this is another account than the ledger's" in said.err
    with pytest.raises(AirflowFailException, match="belongs to another account"):
        on.sync()
    assert once(on)


def test_an_account_that_has_other_people_under_the_same_ids_is_another_account(on, connect, capsys):
    """Ids count from 1 in every shop; who is meant shows in the e-mail address."""
    connect()
    on.sync()
    theirs = {
        "id": "A",
        "name": "Someone",
        "email": "someone.else@elsewhere.invalid",
        "registration_date": "2020-01-01T00:00:00Z",
    }
    connect(password="their-key")
    give([theirs, theirs | {"id": "B", "email": "another@elsewhere.invalid"}])
    capsys.readouterr()
    assert main(["tie", "--confirm", "tie"]) == 1
    said = capsys.readouterr()
    assert "2 there with another e-mail address" in said.out
    assert "another account" in said.err
    assert "elsewhere" not in said.out + said.err


def give(people):
    """Let the account have *people* whom the ledger knows nothing of."""
    body = json.dumps({"customers": [{"balance": [], **one} for one in people]})
    answer = MasivoHook().post(Entity.CUSTOMERS, body.encode())
    assert answer.status == 201, answer.text


def test_an_account_that_has_some_of_them_is_refused_until_a_person_says_how_many_are_gone(on, connect, capsys):
    connect()
    for number in range(4):
        on.shop.add_person(f"C{number}")
    on.sync()
    connect(account_id="acme")
    with on.trip.sandbox.api.store.writing() as store:
        store.execute("DELETE FROM identity WHERE id = 'C0'")
    capsys.readouterr()
    assert main(["tie", "--confirm", "tie"]) == 1
    said = capsys.readouterr()
    assert "5 there as they were sent, 1 not there" in said.out
    assert "--unlike 1" in said.err
    assert main(["tie", "--confirm", "tie", "--unlike", "2"]) == 1
    assert main(["tie", "--confirm", "tie", "--unlike", "1"]) == 0


@pytest.mark.parametrize("word", [["--confirm", "yes"], []])
def test_without_the_word_nothing_is_tied(on, connect, capsys, word):
    connect()
    on.sync()
    connect(account_id="acme")
    assert main(["tie", *word]) == 1
    assert "the word tie was not typed" in capsys.readouterr().err
    with pytest.raises(AirflowFailException, match="masivo tie"):
        on.sync()


def test_an_api_that_does_not_answer_says_nothing_of_whose_account_it_is(on, connect, capsys):
    connect()
    on.sync()
    connect(account_id="acme")
    on.trip.sandbox.api.director.follow(Script(rules=(Rule(faults=("500",), method="GET", path="/customers/*"),)))
    capsys.readouterr()
    assert main(["tie", "--confirm", "tie"]) not in {0, None}
    assert "cannot say whose account this is" in capsys.readouterr().err


def test_a_ledger_that_never_sent_anything_is_tied_by_the_word_alone(on, connect, capsys):
    """The plan of a first look, made on an account for tries."""
    connect(account_id="dev")
    on.sync(dry_run=True)
    connect(account_id="prod")
    with pytest.raises(AirflowFailException, match="masivo tie"):
        on.sync()
    assert main(["tie"]) == 1
    assert main(["tie", "--confirm", "tie"]) == 0
    assert "never sent anything" in capsys.readouterr().out
    on.sync()
    assert once(on)
