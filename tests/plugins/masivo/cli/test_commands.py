"""
The command line, as a person at a terminal meets it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from airflow import settings
from airflow.models import Connection, Variable, crypto  # noqa: TID251 (what the UI writes with)
from cryptography.fernet import Fernet

from masivo.cli.parser import main
from masivo.demo.folder import Folder
from tests.databases.sample import sample_shop
from tests.variables import outside_of_a_task
from tests.whole_migration import UNHURRIED, connections, environment, journey


ROOT = Path(__file__).parents[4]


def _no_log(line):
    """Leave out what Airflow logs, which is said on standard error, too."""
    return "" if re.match(r"\S+ \[(info|warning) ", line) else line


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The environment after a migration of 70 members, while the sandbox still runs."""
    folder = tmp_path_factory.mktemp("cli")
    file, planted = sample_shop(folder, customers=70)
    legacy, ledger = f"sqlite:///{file}", f"sqlite:///{folder / 'ledger.sqlite'}"
    with journey(legacy, ledger, sandbox=UNHURRIED) as trip:
        trip.migrate("nightly")
        yield trip, planted, connections(trip.sandbox, legacy, ledger, "sample")


@pytest.fixture(autouse=True)
def _at_a_terminal(commands):  # noqa: ARG001 (what a command changes of its process is put back)
    """The migration of `done` made this process a task."""
    with outside_of_a_task():
        yield


@pytest.fixture
def say(done, capsys):
    """Run a command; return its exit code, what it prints and what it complains of."""

    def run(*arguments, without="", **variables):
        with environment({name: value for name, value in {**done[2], **variables}.items() if name != without}):
            code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out.rstrip("\n"), "".join(_no_log(line) for line in printed.err.splitlines(keepends=True))

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
    assert say("account", "--run", "weekly") == (2, "", "the ledger knows no run 'weekly'\n")


def test_a_customers_rows_are_traced_and_a_stranger_is_said_to_be_one(say, done):
    member, *_ = done[1].kinds["missing_name"].keys
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
        r"in mapping sample \(environment variable MASIVO_MAPPING\); looked at all rows \(70 customers, \d+ events, \d+"
        r" transactions\)$",
        lines[-1],
    )


def test_a_draft_is_written_checked_and_never_written_over(say, tmp_path):
    folder = str(tmp_path / "drafts" / "ours")
    code, said, _ = say("draft", folder)
    assert code == 0
    assert "events.sql: receipt, because its name says receipt" in said
    assert re.search(
        r"^blocker  mapping +not_usable .*: does not say the time zone of naive timestamps; ", said, re.MULTILINE
    )
    # The rest of it is looked at all the same.
    assert re.search(r"^note     customers +full_pass +a full pass: 70 of 70 rows of customers.sql", said, re.MULTILINE)
    written = {file.name: file.read_bytes() for file in Path(folder).iterdir()}
    assert {"customers.sql", "events.order__products.sql", "mapping.yaml"} <= written.keys()
    marks = sum(text.count(b"FILL IN") for text in written.values())
    assert f"{marks} lines are yours" in said

    code, said, complaint = say("draft", folder)
    assert (code, said) == (3, "")
    assert complaint == f"{folder}: is there already, and nothing is overwritten; give it another name\n"
    assert {file.name: file.read_bytes() for file in Path(folder).iterdir()} == written

    # `sample` lies where mappings are looked up.
    assert "is there already, and nothing is overwritten" in say("draft", "sample")[2]


def test_a_draft_whose_lines_are_filled_in_is_a_mapping_that_can_be_planned(say, tmp_path):
    folder = tmp_path / "ours"
    say("draft", str(folder))
    for name, filled in {
        "mapping.yaml": {"timezone:": "timezone: America/Mexico_City"},
        "customers.sql": {"NULL AS email": "'m' || c.\"member_no\" || '@club.example' AS email"},
    }.items():
        text = (folder / name).read_text()
        for line, answer in filled.items():
            assert line in text
            text = text.replace(line, answer)
        (folder / name).write_text(text)
    said = say("check", MASIVO_MAPPING=str(folder))[1]
    assert not re.search(r"^blocker  (mapping|customers)", said, re.MULTILINE)
    code, shown, _ = say("preview", "customers", "--limit", "1", MASIVO_MAPPING=str(folder))
    assert code == 0
    assert "@club.example" in shown


def test_the_check_looks_at_as_many_rows_as_it_is_told(say):
    said = say("check", "--rows", "20")[1]
    assert said.endswith("looked at a sample (the first 20 customers, 20 events, 20 transactions)")
    sampled = (
        r"^note     customers +sample +a sample, the first rows in the order of their customers: 20 of 70 rows of"
        r" customers.sql, \d+ of \d+ rows of customers.balance.sql;"
    )
    assert re.search(sampled, said, re.MULTILINE)
    said = say("check", "--all")[1]
    full = (
        r"^note     customers +full_pass +a full pass: 70 of 70 rows of customers.sql, (\d+) of (\d+) rows of"
        r" customers.balance.sql$"
    )
    whole = re.search(full, said, re.MULTILINE)
    assert int(whole[1]) <= int(whole[2])
    # A file that is smaller than the sample is looked at whole; the others are not called so.
    said = say("check", "--rows", "100")[1]
    assert said.endswith("looked at all rows (70 customers) and a sample (the first 100 events, 100 transactions)")


def test_the_check_says_which_connections_and_mapping_it_used(say):
    assert (
        say("check", "--rows", "5")[1].splitlines()[-2]
        == "connections: legacy_db (the environment), masivo_api (the environment), masivo_ledger (the environment)"
    )


def test_the_check_tells_what_is_wrong_with_the_set_up_from_what_is_wrong_with_the_data(say, tmp_path):
    api = json.dumps({"conn_type": "masivo", "host": "http://127.0.0.1:9", "password": "key"})
    code, said, _ = say("check", AIRFLOW_CONN_MASIVO_API=api)
    assert code == 3
    assert re.search(r"^blocker  masivo_api +not_usable +Masivo's API at 127.0.0.1:9 cannot be reached", said)
    assert "missing_value" in said

    for legacy in ({"conn_type": "sqlite", "host": str(tmp_path / "no.sqlite")}, "postgresql://ana@127.0.0.1:9/shop"):
        given = legacy if isinstance(legacy, str) else json.dumps(legacy)
        code, said, _ = say("check", AIRFLOW_CONN_LEGACY_DB=given)
        assert code == 3
        assert re.search(r"^blocker  legacy_db +not_usable +the legacy database ", said)

    code, said, _ = say("check", MASIVO_MAPPING="no_such_mapping")
    assert code == 3
    assert re.search(r"^blocker  mapping +not_usable ", said)

    (tmp_path / "customers.sql").write_text("SELECT member_no AS id, 'x' AS nome FROM member")
    (tmp_path / "mapping.yaml").write_text("timezone: UTC")
    code, said, _ = say("check", MASIVO_MAPPING=str(tmp_path))
    assert code == 1
    assert re.search(r"^blocker  customers ", said)


@pytest.mark.parametrize("arguments", [["account"], ["trace", "1"], ["pack"], ["preview", "customers"]])
def test_a_connection_that_is_missing_ends_a_command_with_three(say, monkeypatch, arguments, done):
    monkeypatch.setattr("masivo.cli.commands.latest", lambda: None)
    missing = "legacy_db" if "preview" in arguments else "masivo_ledger"
    variable = f"AIRFLOW_CONN_{missing.upper()}"
    with environment(done[2]):
        monkeypatch.delenv(variable)
        code, said, complaint = say(*arguments, without=variable)
    assert (code, said) == (3, "")
    assert complaint.startswith(f"connection '{missing}' is not defined: set {variable}, or add it in Airflow's UI")
    assert "looked in the environment; not in Airflow's database: there is none at " in complaint


def test_nothing_but_the_findings_is_on_standard_output(done, tmp_path):
    """As a person redirects it: Airflow logs where the API is, and that is no finding."""
    program = [sys.executable, "-m", "masivo", "check"]
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}"}
    ran = subprocess.run(program, check=False, capture_output=True, text=True, cwd=tmp_path, env={**home, **done[2]})
    assert ran.returncode == 0, ran.stderr
    assert "Masivo's API is http://127.0.0.1:" in ran.stderr
    known = ("blocker ", "warning ", "note ", "connections: ")
    lines = [line for line in ran.stdout.splitlines() if line and not line.startswith(known)]
    assert len(lines) == 1
    assert "in mapping sample (environment variable MASIVO_MAPPING); looked at all rows" in lines[0]
    assert list(tmp_path.iterdir()) == []  # neither ~/airflow nor anything else was made


@pytest.mark.parametrize("place", ["s3://bucket/packs", "gs://bucket", "s3:/bucket/packs", "file:///tmp/packs"])
def test_a_pack_goes_into_a_folder_and_nowhere_else(say, monkeypatch, tmp_path, place):
    monkeypatch.chdir(tmp_path)
    scheme = place.partition(":")[0]
    for arguments, variables, code in (
        (["--to", place], {}, 2),
        ([], {"MASIVO_PACKS": place}, 3),
    ):
        ended, said, complaint = say("pack", *arguments, **variables)
        assert (ended, said) == (code, "")
        assert (
            f"names a place of scheme '{scheme}', and audit packs are written to folders of this machine" in complaint
        )
        assert complaint.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_payloads_are_shown_as_they_would_be_sent_and_nothing_is_sent(say, done):
    posts = len(done[0].posts())
    code, said, _ = say("preview", "customers", "--limit", "5")
    assert code == 0
    assert len(re.findall(r"^customers \d+$", said, re.MULTILINE)) == 5  # rows that cannot go are shown besides
    assert '"registration_date": "20' in said

    member, *_ = done[1].kinds["missing_name"].keys
    assert "quarantined, missing_value, column name" in say("preview", "customers", "--key", member)[1]
    assert say("preview", "events", "--key", "no such")[:2] == (1, "no row of events has this key")
    assert "  order.value " in say("preview", "events", "--limit", "1", "--sql")[1]
    assert say("preview", "events", "--limit", "0")[2] == "--limit 0 shows nothing; give a number from 1\n"
    assert len(done[0].posts()) == posts


def test_an_entity_that_the_mapping_lacks_is_one_sentence(say, tmp_path):
    (tmp_path / "customers.sql").write_text("SELECT 1 AS id")
    (tmp_path / "mapping.yaml").write_text("timezone: UTC")
    code, said, complaint = say("preview", "events", MASIVO_MAPPING=str(tmp_path))
    assert (code, said) == (2, "")
    assert complaint == f"mapping {tmp_path.name!r} has no events.sql, so there is nothing to preview\n"


def test_a_ledger_that_nobody_has_written_is_said_to_be_empty(say, tmp_path):
    ledger = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "new.sqlite")})
    code, said, complaint = say("account", AIRFLOW_CONN_MASIVO_LEDGER=ledger)
    assert (code, said) == (3, "")
    assert "no run has written to it yet" in complaint
    assert complaint.count("\n") == 1
    assert list(tmp_path.glob("new.sqlite*")) == []  # who looks makes nothing


@pytest.mark.parametrize("arguments", [[], ["accounts"], ["preview"], ["preview", "orders"]])
def test_a_command_that_is_none_is_answered_with_the_usage(arguments):
    program = [sys.executable, "-m", "masivo", *arguments]
    path = {"PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}"}
    answered = subprocess.run(program, check=False, capture_output=True, text=True, env=path, cwd=ROOT)
    assert answered.returncode == 2
    assert answered.stderr.startswith("usage: python -m masivo")
    assert "Traceback" not in answered.stderr


# --- what was typed into Airflow's UI


@pytest.fixture
def ui(done, airflow_database, monkeypatch):
    """
    Airflow's own database where this process's Airflow looks for it; returns what types connections
    and Variables into it.
    """
    monkeypatch.setattr("masivo.cli.commands.latest", lambda: None)
    for name in done[2]:
        monkeypatch.delenv(name, raising=False)
    home = Path(os.environ["AIRFLOW_HOME"], "airflow.db")
    shutil.copy(airflow_database, home)

    def put(*names, **others):
        defined = {**{name: done[2][name] for name in names}, **others}
        with settings.Session() as session:
            for name, value in defined.items():
                conn_id = name.removeprefix("AIRFLOW_CONN_")
                if conn_id != name:
                    session.add(Connection.from_json(value, conn_id=conn_id.lower()))  # noqa: AIR311 (not the SDK's)
                else:
                    session.add(Variable(name, value))  # noqa: AIR311
            session.commit()

    yield put
    settings.engine.dispose()
    home.unlink()


CONNECTIONS = ("AIRFLOW_CONN_LEGACY_DB", "AIRFLOW_CONN_MASIVO_API", "AIRFLOW_CONN_MASIVO_LEDGER")


@pytest.fixture
def bare(capsys):
    """Run a command in the environment as it is."""

    def run(*arguments):
        code = main(list(arguments))
        printed = capsys.readouterr()
        return code, printed.out.rstrip("\n"), "".join(map(_no_log, printed.err.splitlines(keepends=True)))

    return run


def test_commands_see_the_connections_and_variables_of_the_ui_and_say_so(ui, bare, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    ui(*CONNECTIONS, MASIVO_MAPPING="sample", MASIVO_PACKS=str(tmp_path / "elsewhere"))
    code, said, complaint = bare("account")
    assert code == 0
    assert said.startswith("run nightly · mapping sample")
    assert complaint == "(masivo_ledger: from Airflow's database)\n(masivo_api: from Airflow's database)\n"

    code, said, _ = bare("check", "--rows", "5")
    assert code == 0
    connections_used, summary = said.splitlines()[-2:]
    assert (
        connections_used
        == "connections: legacy_db (Airflow's database), masivo_api (Airflow's database), masivo_ledger (Airflow's"
        " database)"
    )
    assert "in mapping sample (Airflow Variable MASIVO_MAPPING); looked at a sample" in summary
    assert bare("pack")[1].startswith(str(tmp_path / "elsewhere"))
    assert "(mapping sample: from Airflow Variable MASIVO_MAPPING)" in bare("preview", "customers")[2]


def test_a_mapping_that_is_chosen_in_the_ui_is_the_one_that_is_checked(ui, bare):
    ui(*CONNECTIONS, MASIVO_MAPPING="woocommerce")
    code, said, _ = bare("check", "--rows", "5")
    assert code == 1  # the database is none of WooCommerce's
    assert "in mapping woocommerce (Airflow Variable MASIVO_MAPPING)" in said
    assert re.search(r"^blocker  customers ", said)


def test_the_environment_goes_before_the_ui_and_a_demo_goes_last(ui, bare, done, monkeypatch, tmp_path):
    demo = Folder(tmp_path / ".demo" / "sample", "sample")
    demo.path.mkdir(parents=True)
    demo.ledger.touch()
    monkeypatch.setattr("masivo.cli.commands.latest", lambda: demo)

    code, _, complaint = bare("account")
    assert code == 3
    assert complaint.startswith("(no connection is defined: using the demo's in ")
    assert "no run has written to it yet" in complaint

    ui("AIRFLOW_CONN_MASIVO_API", AIRFLOW_CONN_MASIVO_LEDGER='{"conn_type": "sqlite", "host": "/nowhere/ledger.db"}')
    code, _, complaint = bare("account")
    assert code == 3
    assert "demo" not in complaint
    assert "/nowhere/ledger.db" in complaint

    monkeypatch.setenv("AIRFLOW_CONN_MASIVO_LEDGER", done[2]["AIRFLOW_CONN_MASIVO_LEDGER"])
    code, said, complaint = bare("account")
    assert (code, complaint) == (0, "(masivo_api: from Airflow's database)\n")
    assert said.startswith("run nightly")


def test_a_demo_is_not_taken_where_airflows_database_cannot_be_asked(bare, done, monkeypatch, tmp_path):
    demo = Folder(tmp_path / ".demo" / "sample", "sample")
    demo.path.mkdir(parents=True)
    monkeypatch.setattr("masivo.cli.commands.latest", lambda: demo)
    for name in done[2]:
        monkeypatch.delenv(name, raising=False)
    empty = tmp_path / "empty.db"
    empty.touch()
    for role, url, why in (
        (
            None,
            "postgresql+psycopg2://ana:pa55word@127.0.0.1:9/airflow",
            "127.0.0.1:9 cannot be reached: Connection refused",
        ),
        (None, "no url", "database.sql_alchemy_conn is no URL"),
        ("client", f"sqlite:///{empty}", "a task may not"),
    ):
        monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", url)
        monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT", raising=False)
        if role:
            monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", role)
        code, said, complaint = bare("account")
        assert (code, said) == (3, "")
        assert complaint.startswith("connection 'masivo_ledger' is not defined: set AIRFLOW_CONN_MASIVO_LEDGER")
        assert complaint.endswith(f"(looked in the environment; not in Airflow's database: {why})\n")
        assert os.environ.get("_AIRFLOW_PROCESS_CONTEXT") == role


def test_a_connection_that_another_fernet_key_has_sealed_is_said_to_be_unreadable(ui, bare, monkeypatch):
    with monkeypatch.context() as other:
        other.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
        crypto.get_fernet.cache_clear()
        ui(*CONNECTIONS)
    crypto.get_fernet.cache_clear()
    code, said, complaint = bare("account")
    assert (code, said) == (3, "")
    assert (
        "connection 'masivo_ledger' cannot be read from Airflow's database: is AIRFLOW__CORE__FERNET_KEY here"
        in complaint
    )
    assert "Traceback" not in complaint


def test_airflows_database_that_was_never_prepared_is_no_traceback(done, tmp_path):
    (tmp_path / "airflow").mkdir()
    (tmp_path / "airflow" / "airflow.db").touch()
    program = [sys.executable, "-m", "masivo", "account"]
    home = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'include'}:{ROOT / 'plugins'}"}
    without = {name: value for name, value in done[2].items() if name != "AIRFLOW_CONN_MASIVO_LEDGER"}
    ran = subprocess.run(program, check=False, capture_output=True, text=True, cwd=tmp_path, env={**home, **without})
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.startswith("connection 'masivo_ledger' is not defined")
    assert ran.stderr.endswith("airflow.db cannot be read (OperationalError))\n")
    assert ran.stderr.count("\n") == 1
