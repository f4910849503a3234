"""
The audit pack as the tasks and the command write it: always there, never in the way.
"""

from __future__ import annotations

import json
import resource
import signal

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import text

from masivo.cli.parser import main
from masivo.operators import packs
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.wire import tokens
from masivo_engine.reports.account import account
from masivo_engine.reports.pack.pack import write_pack
from tests.databases.sample import sample_shop
from tests.include.reports.pages_read import page
from tests.plugins.masivo.operators.tasks import context, migrate, run
from tests.whole_migration import journey


MANY = {"tolerance": 1_000}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return f"sqlite:///{sample_shop(tmp_path_factory.mktemp('packs'), customers=70)[0]}"


@pytest.fixture
def trip(shop, tmp_path, monkeypatch):
    """The environment of a worker, with packs in ``tmp_path / "packs"``."""
    tokens._grants.clear()
    monkeypatch.setenv("MASIVO_PACKS", str(tmp_path / "packs"))
    with journey(shop, f"sqlite:///{tmp_path / 'ledger.sqlite'}") as made:
        made.place.ledger.prepare()
        yield made


@pytest.fixture
def said(capfd):
    """The lines that the tasks have logged since the last call."""
    return lambda: "".join(capfd.readouterr()).splitlines()


@pytest.mark.usefixtures("trip")
def test_a_run_leaves_its_plan_and_then_its_account(tmp_path):
    folder = tmp_path / "packs" / "manual"
    planned = run(MasivoPlanOperator(task_id="plan"), context())
    assert {file.name for file in folder.iterdir()} == {"plan.html", "plan.json", "manifest.json", "SHA256SUMS"}
    assert page(folder, "plan.html").equations["records", "customers"]["whole"] == planned["customers"]["rows"] == 70

    made = migrate(context(**MANY))["account"]
    seen = page(folder).equations
    assert {entity: seen["records", entity]["delivered"] for entity in made["entities"]} == {
        entity: one["delivered"] for entity, one in made["entities"].items()
    }
    assert "by ana" in page(folder).text
    assert {"index.html", "plan.html", "account.json"} <= {file.name for file in folder.iterdir()}
    assert json.loads((folder / "account.json").read_text()) == made


@pytest.mark.usefixtures("trip")
def test_a_dry_run_leaves_its_plan_alone(tmp_path):
    migrate(context(run_id="dry", dry_run=True))
    assert {file.name for file in (tmp_path / "packs" / "dry").iterdir()} == {
        "plan.html",
        "plan.json",
        "manifest.json",
        "SHA256SUMS",
    }


def test_a_run_that_does_not_add_up_is_red_and_has_its_pack(trip, tmp_path):
    migrate(context(**MANY))
    with trip.place.ledger_engine.begin() as connection:
        lost = "UPDATE masivo_tally SET rows = rows - 1 WHERE entity = 'transactions' AND state = 'delivered'"
        connection.execute(text(lost))
    with pytest.raises(AirflowFailException, match="the account does not add up: transactions"):
        run(MasivoAccountOperator(task_id="account"), context(earlier={"run": 1}, **MANY))
    seen = page(tmp_path / "packs" / "manual")
    assert "The account does not add up: 1 transactions that were read are not in the ledger." in seen.text


@pytest.mark.usefixtures("trip")
def test_beyond_its_tolerance_a_run_is_red_and_the_pack_says_so(tmp_path):
    with pytest.raises(AirflowFailException, match="the run tolerates 3"):
        migrate(context(tolerance=3))
    assert "The run is red: " in page(tmp_path / "packs" / "manual").text


def test_a_pack_that_cannot_be_written_is_one_warning_and_the_account_stands(trip, tmp_path, monkeypatch, said):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MASIVO_PACKS", str(tmp_path / "file" / "packs"))
    made = migrate(context(**MANY))["account"]

    assert made["adds_up"] is True
    assert account(trip.place.ledger, "manual").outcome == "adds up"
    warnings = [line for line in said() if "was not written" in line]
    assert len(warnings) == 2
    assert all("Not a directory" in line for line in warnings)


def test_a_disk_that_is_full_halfway_leaves_the_pack_before_and_a_green_run(trip, tmp_path, monkeypatch, said):
    migrate(context(**MANY))
    before = sorted(file.read_bytes() for file in (tmp_path / "packs" / "manual").iterdir())
    limit, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def on_a_full_disk(*given):
        resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, limit[1]))
        try:
            return write_pack(*given)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)

    monkeypatch.setattr(packs, "write_pack", on_a_full_disk)
    try:
        assert run(MasivoAccountOperator(task_id="account"), context(earlier={"run": 1}, **MANY))["adds_up"] is True
    finally:
        signal.signal(signal.SIGXFSZ, handler)

    assert account(trip.place.ledger, "manual").outcome == "adds up"
    assert [line for line in said() if "the audit pack was not written (File too large" in line]
    assert sorted(file.read_bytes() for file in (tmp_path / "packs" / "manual").iterdir()) == before
    assert [file.name for file in (tmp_path / "packs").iterdir()] == ["manual"]


@pytest.mark.usefixtures("trip")
def test_the_command_writes_a_pack_again_from_the_ledger(tmp_path, capsys):
    migrate(context(**MANY))
    capsys.readouterr()
    assert main(["pack", "--to", str(tmp_path / "elsewhere")]) == 0
    written = capsys.readouterr().out.splitlines()[-1]
    assert written == str(tmp_path / "elsewhere" / "manual")
    again, first = (page(tmp_path / folder / "manual") for folder in ("elsewhere", "packs"))
    assert again.equations == first.equations
    assert again.troubles == first.troubles

    assert main(["pack", "--run", "weekly"]) == 2
    assert capsys.readouterr().err == "the ledger knows no run 'weekly'\n"
    assert main(["pack", "--to", "/proc/packs"]) == 3
    assert "the audit pack cannot be written to /proc/packs" in capsys.readouterr().err


def test_packs_lie_in_airflows_home_unless_told_otherwise(trip, tmp_path, monkeypatch):
    monkeypatch.delenv("MASIVO_PACKS")
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path / "home"))
    assert trip.place.packs == tmp_path / "home" / "packs"
    monkeypatch.setenv("AIRFLOW_VAR_MASIVO_PACKS", "/srv/packs")
    assert str(trip.place.packs) == "/srv/packs"


@pytest.mark.usefixtures("trip")
def test_packs_for_a_place_that_is_no_folder_are_refused_in_one_sentence_and_the_run_goes_on(
    tmp_path, monkeypatch, said
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MASIVO_PACKS", "s3://bucket/packs")
    assert migrate(context(**MANY))["account"]["adds_up"]
    warned = [line for line in said() if "was not written" in line]
    assert len(warned) == 2  # the plan and the pack
    assert all("environment variable MASIVO_PACKS names a place of scheme 's3', and" in line for line in warned)
    assert not (tmp_path / "s3:").exists()
