"""
The command line, as a person at a terminal meets it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from masivo.cli import main

from tests.journey import UNHURRIED, connections, environment, journey
from tests.shops import sample_shop


ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The environment after a migration of 70 members, while the sandbox still runs."""
    folder = tmp_path_factory.mktemp("cli")
    file, planted = sample_shop(folder, customers=70)
    legacy, ledger = f"sqlite:///{file}", f"sqlite:///{folder / 'ledger.sqlite'}"
    with journey(legacy, ledger, sandbox=UNHURRIED) as trip:
        trip.migrate("nightly")
        yield trip, planted, connections(trip.sandbox, legacy, ledger, "sample")


@pytest.fixture
def say(done, capsys):
    """Run a command; return its exit code, what it prints and what it complains of."""

    def run(*arguments, **variables):
        with environment({**done[2], **variables}):
            code = main(list(arguments))
        printed = capsys.readouterr()
        return code, "\n".join(line for line in printed.out.splitlines() if "[info" not in line), printed.err

    return run


def test_the_account_is_printed_for_people_and_as_json(say, done):
    code, said, _ = say("account")
    assert code == 0
    assert said.startswith("run nightly · mapping sample · full: everything")
    assert said.count("adds up") == 3

    code, said, _ = say("account", "--run", "nightly", "--json")
    made = json.loads(said)
    assert code == 0
    assert made["adds_up"] is True
    assert made["entities"]["customers"]["read"] == done[1].customers


def test_a_run_that_is_not_there_is_one_sentence_on_standard_error(say):
    assert say("account", "--run", "weekly") == (1, "", "the ledger knows no run 'weekly'\n")


def test_a_customers_rows_are_traced_and_a_stranger_is_said_to_be_one(say, done):
    (member, *_) = done[1].kinds["missing_name"].keys
    code, said, _ = say("trace", member)
    assert code == 0
    assert "quarantined missing_value (name)" in said
    assert "held customer_quarantined" in said
    assert say("trace", "nobody") == (1, "no run has read anything of customer nobody", "")


def test_the_check_finds_what_is_wrong_with_the_rows_and_nothing_that_blocks(say):
    code, said, _ = say("check")
    assert code == 0
    lines = said.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("blocker", "warning", "note"))] == sorted(
        (line.split()[0] for line in lines if line.startswith(("blocker", "warning", "note"))), reverse=True
    )
    assert re.search(
        r"^warning  customers +missing_value +\d+ rows? in email .*: a required field is empty; ", said, re.MULTILINE
    )
    assert re.search(r"^note     masivo_api +usable ", said, re.MULTILINE)
    assert re.search(r"^note     masivo_api +rewards +2 of 2 ", said, re.MULTILINE)
    assert "blocker" not in said
    assert re.search(
        r"in mapping sample; looked at all rows \(70 customers, \d+ events, \d+ transactions\)$", lines[-1]
    )


def test_the_check_looks_at_as_many_rows_as_it_is_told(say):
    said = say("check", "--rows", "20")[1]
    assert said.endswith("looked at a sample (the first 20 customers, 20 events, 20 transactions)")
    sampled = r"^note     customers +sample +a sample, the first rows in the order of their customers: 20 of 70 rows of customers.sql, \d+ of \d+ rows of customers.balance.sql;"
    assert re.search(sampled, said, re.MULTILINE)
    said = say("check", "--all")[1]
    full = r"^note     customers +full_pass +a full pass: 70 of 70 rows of customers.sql, (\d+) of (\d+) rows of customers.balance.sql$"
    whole = re.search(full, said, re.MULTILINE)
    assert int(whole[1]) <= int(whole[2])
    # A file that is smaller than the sample is looked at whole; the others are not called so.
    said = say("check", "--rows", "100")[1]
    assert said.endswith("looked at all rows (70 customers) and a sample (the first 100 events, 100 transactions)")


def test_the_check_fails_where_something_blocks(say, tmp_path):
    api = json.dumps({"conn_type": "masivo", "host": "http://127.0.0.1:9", "password": "key"})
    code, said, _ = say("check", AIRFLOW_CONN_MASIVO_API=api)
    assert code == 1
    assert re.search(r"^blocker  masivo_api +not_usable +Masivo's API at 127.0.0.1:9 cannot be reached", said)
    assert "missing_value" in said

    legacy = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "no.sqlite")})
    code, said, complaint = say("check", AIRFLOW_CONN_LEGACY_DB=legacy)
    assert code == 1
    assert "no such file" in said + complaint


def test_payloads_are_shown_as_they_would_be_sent_and_nothing_is_sent(say, done):
    posts = len(done[0].posts())
    code, said, _ = say("preview", "customers", "--limit", "5")
    assert code == 0
    assert len(re.findall(r"^customers \d+$", said, re.MULTILINE)) == 5  # rows that cannot go are shown besides
    assert '"registration_date": "20' in said

    (member, *_) = done[1].kinds["missing_name"].keys
    assert "quarantined, missing_value, column name" in say("preview", "customers", "--key", member)[1]
    assert say("preview", "events", "--key", "no such")[:2] == (1, "no row of events has this key")
    assert "  order.value " in say("preview", "events", "--limit", "1", "--sql")[1]
    assert say("preview", "events", "--limit", "0")[2] == "--limit 0 shows nothing; give a number from 1\n"
    assert len(done[0].posts()) == posts


def test_an_entity_that_the_mapping_lacks_is_one_sentence(say, tmp_path):
    (tmp_path / "customers.sql").write_text("SELECT 1 AS id")
    (tmp_path / "mapping.yaml").write_text("timezone: UTC")
    code, said, complaint = say("preview", "events", MASIVO_MAPPING=str(tmp_path))
    assert (code, said) == (1, "")
    assert complaint == f"mapping {tmp_path.name!r} has no events.sql, so there is nothing to preview\n"


def test_a_ledger_that_nobody_has_written_is_said_to_be_empty(say, tmp_path):
    ledger = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "new.sqlite")})
    code, said, complaint = say("account", AIRFLOW_CONN_MASIVO_LEDGER=ledger)
    assert (code, said) == (1, "")
    assert "is empty: no run has written to it yet" in complaint
    assert complaint.count("\n") == 1
    assert list(tmp_path.glob("new.sqlite*")) == []  # who looks makes nothing


@pytest.mark.parametrize("arguments", [[], ["accounts"], ["preview"], ["preview", "orders"]])
def test_a_command_that_is_none_is_answered_with_the_usage(arguments):
    program = [sys.executable, "-m", "masivo", *arguments]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
    answered = subprocess.run(program, check=False, capture_output=True, text=True, env=path, cwd=ROOT)
    assert answered.returncode == 2
    assert answered.stderr.startswith("usage: python -m masivo")
    assert "Traceback" not in answered.stderr
