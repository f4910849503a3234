"""
The operators, executed as a worker executes them but for the scheduler: what a person set up
wrongly costs one sentence and no request, and nothing but counts leaves a task.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import create_engine, text

from masivo.operators.account import MasivoAccountOperator, MasivoPruneOperator
from masivo.operators.migrate import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.visible import MasivoVisibleSensor
from masivo.services import Services
from masivo.wire import tokens
from masivo_engine.ledger.runs.runs import begin_run, find_run
from masivo_engine.mapping import loader
from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.reports.pack.facts import facts
from masivo_engine.reports.pages.live_page import plan_as_it_stands
from masivo_engine.samples.retailer import build
from masivo_engine.sandbox.options import DEFAULT_KEY, Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.plugins.masivo.operators.tasks import DagRun, Instance, context, migrate, run
from tests.variables import variables
from tests.whole_migration import UNHURRIED, connections, environment


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    file = tmp_path_factory.mktemp("operators") / "legacy.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    planted = build.build(engine, customers=70)
    with engine.connect() as connection:
        people = connection.execute(text("SELECT contact_value FROM member_contact WHERE kind = 'E'")).scalars().all()
    engine.dispose()
    return file, planted, [address for address in people if "@" in address]


@pytest.fixture
def sandbox():
    with Sandbox(Options(**UNHURRIED)) as running:
        yield running


@pytest.fixture
def world(sandbox, sample, tmp_path, monkeypatch):
    """The environment of a worker; tests spoil it by name."""
    tokens._grants.clear()
    given = connections(sandbox, f"sqlite:///{sample[0]}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", "sample")
    for name, value in given.items():
        monkeypatch.setenv(name, value)  # it undoes all at once: what it is given, and what a test makes of that
    with variables():
        yield monkeypatch


def api(sandbox, **fields):
    return json.dumps({"conn_type": "masivo", "host": sandbox.url, "password": DEFAULT_KEY, **fields})


def database(url):
    return json.dumps({"conn_type": "generic", "extra": {"sqlalchemy_url": url}})


def mapping_without(folder, spoil):
    """A copy of the sample's mapping, spoilt."""
    copy = Path(shutil.copytree(loader.MAPPINGS / "sample", folder / "legacy_shop"))
    spoil(copy)
    return str(copy)


def replace_in(name, old, new):
    def spoil(folder):
        file = folder / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))

    return spoil


WRONG = {
    "wrong API key": (
        lambda world, box, _: world.setenv("AIRFLOW_CONN_MASIVO_API", api(box, password="wrong")),
        "Masivo refuses the API key of connection 'masivo_api'",
    ),
    "no API key": (
        lambda world, box, _: world.setenv("AIRFLOW_CONN_MASIVO_API", api(box, password="")),
        "connection 'masivo_api' has no API key",
    ),
    "wrong path": (
        lambda world, box, _: world.setenv("AIRFLOW_CONN_MASIVO_API", api(box, extra={"base_path": "/"})),
        "the host or the path of connection 'masivo_api' is wrong",
    ),
    "unreachable database": (
        lambda world, *_: world.setenv(
            "AIRFLOW_CONN_LEGACY_DB", database("postgresql+psycopg://ana:pa55word@127.0.0.1:9/shop")
        ),
        r"connection 'legacy_db', postgresql, 127.0.0.1:9/shop.* cannot be reached",
    ),
    "database file that is not there": (
        lambda world, *_: world.setenv("AIRFLOW_CONN_LEGACY_DB", database("sqlite:////nowhere/legacy.sqlite")),
        "connection 'legacy_db', sqlite, /nowhere/legacy.sqlite.* no such file",
    ),
    "mapping without customers.sql": (
        lambda world, _, folder: world.setenv(
            "MASIVO_MAPPING", mapping_without(folder, lambda copy: (copy / "customers.sql").unlink())
        ),
        "legacy_shop: has no customers.sql; every mapping needs one",
    ),
    "mapping that is not there": (
        lambda world, *_: world.setenv("MASIVO_MAPPING", "sampel"),
        (
            "mapping 'sampel': there is no such mapping and no such folder; known are complete_journey, opencart,"
            " prestashop, sample, woocommerce"
        ),
    ),
    "unknown alias": (
        lambda world, _, folder: world.setenv(
            "MASIVO_MAPPING", mapping_without(folder, replace_in("customers.sql", "AS gender", "AS gendre"))
        ),
        "customers.sql: unknown alias 'gendre'; did you mean 'gender'",
    ),
    "SQL that does not run": (
        lambda world, _, folder: world.setenv(
            "MASIVO_MAPPING", mapping_without(folder, replace_in("events.sql", "FROM receipt r", "FROM reciept r"))
        ),
        "events.sql: the database cannot run it: no such table: reciept",
    ),
    "no time zone": (
        lambda world, _, folder: world.setenv(
            "MASIVO_MAPPING", mapping_without(folder, replace_in("mapping.yaml", "timezone: America/Mexico_City", ""))
        ),
        r"mapping.yaml: .*timezone",
    ),
    "ledger that cannot be written": (
        lambda world, *_: world.setenv("AIRFLOW_CONN_MASIVO_LEDGER", database("sqlite:////proc/ledger.sqlite")),
        "the ledger .*connection 'masivo_ledger', sqlite, /proc/ledger.sqlite.* cannot be written",
    ),
    "ledger that cannot be reached": (
        lambda world, *_: world.setenv(
            "AIRFLOW_CONN_MASIVO_LEDGER", database("postgresql+psycopg://ana:pa55word@127.0.0.1:9/ledger")
        ),
        "the ledger .*connection 'masivo_ledger', postgresql, 127.0.0.1:9/ledger.* cannot be reached",
    ),
    "no connection": (
        lambda world, *_: world.delenv("AIRFLOW_CONN_LEGACY_DB"),
        "connection 'legacy_db' is not defined: set AIRFLOW_CONN_LEGACY_DB",
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_set_up_wrongly_costs_one_sentence_and_no_request(world, sandbox, tmp_path, wrong):
    spoil, sentence = WRONG[wrong]
    spoil(world, sandbox, tmp_path)
    with pytest.raises(AirflowFailException, match=sentence) as refused:
        run(MasivoPlanOperator(task_id="plan"), context())

    said = str(refused.value)
    assert "\n" not in said
    assert len(said) < 400
    assert not re.search(r"pa55word|Traceback|Error\(", said)
    assert [line for line in sandbox.lines() if line.method == "POST"] == []


def test_an_api_that_cannot_be_reached_is_tried_again_and_named(world, sandbox):
    world.setenv("AIRFLOW_CONN_MASIVO_API", api(sandbox, host="http://127.0.0.1:9"))
    with pytest.raises(TryAgainLater, match=r"Masivo's API at 127.0.0.1:9 cannot be reached .*refused"):
        run(MasivoPlanOperator(task_id="plan"), context())


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        (
            {"full": True, "since": "2026-01-01T00:00:00Z"},
            "full means everything: leave since, until and customer_ids empty",
        ),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "must be before until"),
        ({"since": "2926-01-01T00:00:00Z"}, "is in the future"),
        ({"since": "yesterday"}, "is no moment in time; write e.g."),
        ({"until": "2026-01-01T00:00:00"}, "does not say its time zone"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(sandbox, params, sentence):
    with pytest.raises(AirflowFailException, match=sentence):
        run(MasivoPlanOperator(task_id="plan"), context(**params))
    assert sandbox.lines() == []


@pytest.mark.usefixtures("world")
def test_a_ledger_of_another_account_is_refused(sandbox, world):
    run(MasivoPlanOperator(task_id="plan"), context())
    world.setenv("AIRFLOW_CONN_MASIVO_API", api(sandbox, extra={"account_id": "another"}))
    for operator in (
        MasivoPlanOperator(task_id="plan"),
        MasivoSlicesOperator(task_id="slices", entity="customers"),
        MasivoMigrateOperator(task_id="send", entity="customers", part={"number": 1}),
        MasivoAccountOperator(task_id="account"),
    ):
        with pytest.raises(AirflowFailException, match="belongs to another account"):
            run(operator, context())


def by_the_clock(run_id, kind="scheduled", **params):
    """What Airflow hands to a task of a run that it started by itself."""
    given = context(run_id=run_id, **params)
    given["dag_run"] = DagRun(kind, datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC), None)
    return given


@pytest.mark.usefixtures("world")
@pytest.mark.parametrize("kind", ["scheduled", "asset_triggered", "operator_triggered"])
@pytest.mark.parametrize("dag", [None, "sweep"])
def test_a_run_that_nobody_started_sends_no_first_load(sandbox, dag, kind):
    plan = MasivoPlanOperator(task_id="plan", kind=dag)
    sentence = (
        "nobody has started to load customers, events, transactions with the mapping sample yet.*trigger masivo_sync"
    )
    with pytest.raises(AirflowFailException, match=sentence):
        run(plan, by_the_clock("first", kind))
    # Looking is allowed to everybody, and decides nothing.
    assert run(plan, by_the_clock("look", kind, dry_run=True))["customers"]["rows"] == 70
    assert run(MasivoPlanOperator(task_id="plan", never_sends=True), context(run_id="plan"))["requests"]
    # Nor does a person who tries a few customers or some days, or whose load has not got past its
    # plan.
    migrate(context(run_id="few", customer_ids=["17"], tolerance=1_000))
    migrate(context(run_id="days", since="2026-01-01T00:00:00Z", tolerance=1_000))
    run(MasivoPlanOperator(task_id="plan"), context(run_id="planned"))
    posts = len([line for line in sandbox.lines() if line.method == "POST"])
    with pytest.raises(AirflowFailException, match=sentence):
        run(plan, by_the_clock("second", kind))
    # Some of it is not the rest.
    migrate(context(run_id="customers", entities=["customers"], tolerance=1_000))
    with pytest.raises(AirflowFailException, match="load events, transactions with"):
        run(plan, by_the_clock("third", kind))
    assert len([line for line in sandbox.lines() if line.method == "POST"]) > posts

    migrate(context(run_id="load", tolerance=1_000))
    assert run(plan, by_the_clock("last", kind))["requests"] == 0


@pytest.mark.usefixtures("world")
def test_a_backfill_is_a_persons_and_whoever_starts_runs_may_be_told_to_load(sandbox):
    backfill = by_the_clock("days", "backfill")
    assert run(MasivoPlanOperator(task_id="plan"), backfill)["run"] == 1
    told = by_the_clock("told", "operator_triggered", override=["first_load"])
    assert run(MasivoPlanOperator(task_id="plan"), told)["customers"]["rows"] > 0
    assert [line for line in sandbox.lines() if line.method == "POST"] == []


@pytest.mark.usefixtures("world")
def test_what_was_asked_with_a_name_that_nobody_knows_is_not_done_in_part(sandbox):
    """
    The task that prunes comes after a plan that failed as well, and would forget by the default.
    """
    given = context(dry_run=False, keepdays=4_000)
    for operator in (MasivoPlanOperator(task_id="plan"), MasivoPruneOperator(task_id="prune")):
        with pytest.raises(AirflowFailException, match="has no parameter 'keepdays'"):
            run(operator, given)
    assert sandbox.lines() == []


@pytest.mark.usefixtures("world")
def test_a_plan_of_its_own_ends_and_is_kept_on_a_new_ledger(sandbox, tmp_path, world):
    world.setenv("MASIVO_PACKS", str(tmp_path / "packs"))
    given = context(run_id="look")
    given["ti"] = Instance(dag_id="masivo_plan")
    plan = MasivoPlanOperator(task_id="plan", never_sends=True)
    assert run(plan, given)["customers"]["rows"] == 70

    place = Services()
    place.ledger.open()
    known = facts(place.ledger, "masivo_plan/look")
    assert (known.kind, known.outcome) == ("dry_run", "dry run: nothing was sent")
    assert "What will become of every row" in plan_as_it_stands(place.ledger, "masivo_plan/look")
    assert list((tmp_path / "packs").rglob("plan.html"))
    assert [line for line in sandbox.lines() if line.method == "POST"] == []


@pytest.mark.usefixtures("world")
def test_a_plan_stops_where_the_run_would_and_says_that_it_ended(sandbox, sample, tmp_path, world):
    legacy = f"sqlite:///{shutil.copy(sample[0], tmp_path / 'legacy.sqlite')}"
    world.setenv("AIRFLOW_CONN_LEGACY_DB", database(legacy))
    engine = create_engine(legacy)
    with engine.begin() as connection:
        connection.execute(
            text(
                "UPDATE member SET changed_at = '2999-01-01 00:00:00' WHERE member_no = (SELECT max(member_no) FROM"
                " member)"
            )
        )
    engine.dispose()
    said = []
    for plan in (MasivoPlanOperator(task_id="plan", never_sends=True), MasivoPlanOperator(task_id="plan")):
        with pytest.raises(AirflowFailException, match="override 'future_changes'") as stopped:
            run(plan, context(run_id=f"run {plan.never_sends}"))
        said.append(re.sub(r"after \S+Z", "after now", str(stopped.value)))
    assert said[0] == said[1]
    place = Services()
    place.ledger.open()
    assert facts(place.ledger, "run True").outcome == "not planned: nothing was sent"
    passed = run(MasivoPlanOperator(task_id="plan", never_sends=True), context(override=["future_changes"]))
    assert passed["customers"]["rows"] == 69
    assert [line for line in sandbox.lines() if line.method == "POST"] == []


@pytest.mark.usefixtures("world")
def test_two_dags_with_one_run_id_have_a_run_each():
    name = "scheduled__2026-11-22T03:00:00+00:00"  # a Sunday: the hourly sync and the weekly sweep
    sync, sweep = context(run_id=name), context(run_id=name, full=True)
    sweep["ti"] = Instance(dag_id="masivo_sweep")
    first = run(MasivoPlanOperator(task_id="plan"), sync)
    second = run(MasivoPlanOperator(task_id="plan", kind="sweep"), sweep)

    assert second["run"] == first["run"] + 1
    place = Services()
    place.ledger.open()
    assert (find_run(place.ledger, name).number, find_run(place.ledger, f"masivo_sweep/{name}").number) == (
        first["run"],
        second["run"],
    )
    # A retry of either finds its own.
    assert run(MasivoPlanOperator(task_id="plan"), sync)["run"] == first["run"]
    assert run(MasivoPlanOperator(task_id="plan", kind="sweep"), sweep)["run"] == second["run"]


class Lines(logging.Handler):
    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.mark.usefixtures("world")
def test_a_run_returns_counts_only_and_logs_nobody(sandbox, sample, capfd):
    lines = Lines()
    logging.getLogger().addHandler(lines)
    returned = migrate(context(tolerance=1_000))
    logging.getLogger().removeHandler(lines)

    said = json.dumps(returned) + "\n".join(lines.lines) + "".join(capfd.readouterr())
    assert "the account" in said
    assert "@" not in said
    assert not any(address.strip().casefold() in said.casefold() for address in sample[2])
    assert DEFAULT_KEY not in said
    assert "eyJ" not in said  # how every JWT begins
    assert {type(value) for task, counts in returned.items() if "send" in task for value in counts.values()} == {int}
    # Texts in the account are names of states, reasons and columns, and points; no key of any row.
    account = returned["account"]
    assert account["adds_up"] is True
    assert all(one["delivered"] > 0 for one in account["entities"].values())
    assert set(account["reasons"][0]) == {"entity", "state", "reason", "column", "rows", "new", "points"}
    assert len([line for line in sandbox.lines() if line.method == "POST"]) == sum(
        one["requests"] for one in account["entities"].values()
    )


def test_a_run_that_is_cleared_after_its_end_sends_only_what_has_changed_since(world, sandbox, sample, tmp_path):
    """
    A backfill that reprocesses its intervals clears their runs, which keep their names in Airflow.
    """
    legacy = f"sqlite:///{shutil.copy(sample[0], tmp_path / 'legacy.sqlite')}"
    world.setenv("AIRFLOW_CONN_LEGACY_DB", database(legacy))
    first = migrate(context(full=True, tolerance=1_000))["account"]
    before = len([line for line in sandbox.lines() if line.method == "POST"])
    planted = sample[1]
    delivered = {"customers": 0} | {name: one["delivered"] for name, one in first["entities"].items()}
    engine = create_engine(legacy)
    with engine.begin() as connection:
        member = connection.execute(
            text("SELECT min(member_no) FROM member WHERE member_no = (SELECT max(member_no) FROM member)")
        ).scalar()
        connection.execute(text("UPDATE member SET first_name = 'Renamed' WHERE member_no = :no"), {"no": member})
    engine.dispose()

    again = migrate(context(full=True, tolerance=1_000))
    assert planted.customers == again["plan"]["customers"]["rows"]
    assert again["plan"]["customers"]["records"] == 1
    account = again["account"]
    assert account["adds_up"] is True
    assert {name: one["delivered"] for name, one in account["entities"].items()} == {
        "customers": 1,
        "events": 0,
        "transactions": 0,
    }
    assert account["entities"]["customers"]["unchanged"] == delivered["customers"] - 1
    (post,) = [line for line in sandbox.lines() if line.method == "POST"][before:]
    assert [key for key, _ in post.accepted] == [str(member)]
    with create_engine(f"sqlite:///{tmp_path / 'ledger.sqlite'}").connect() as connection:
        runs = connection.execute(text("SELECT run_id FROM masivo_run ORDER BY id")).scalars().all()
    assert runs == ["manual (ended as run 1)", "manual"]


@pytest.mark.usefixtures("world")
def test_the_account_ends_the_run_in_red_beyond_its_tolerance():
    with pytest.raises(AirflowFailException, match="rows are newly quarantined, held by an error or in doubt"):
        migrate(context(tolerance=3))


@pytest.mark.usefixtures("world")
def test_a_run_whose_plan_was_refused_is_not_green():
    """Airflow calls a run what its last task was, and an account of nothing adds up."""
    Services().ledger.prepare()
    begin_run(
        Services().ledger, "manual", mapping="sample", mapping_hash="00", covers='{"kind": "full", "windows": {}}'
    )
    with pytest.raises(AirflowFailException, match="the run was not planned"):
        run(MasivoAccountOperator(task_id="account"), context())


@pytest.mark.usefixtures("world")
def test_a_dry_run_plans_and_sends_nothing(sandbox):
    returned = migrate(context(dry_run=True))

    assert returned["plan"]["customers"]["rows"] == 70
    assert {name: found for name, found in returned.items() if name.endswith("slices")} == {
        f"{entity}.slices": [] for entity in Entity
    }
    assert returned["account"]["outcome"] == "dry run"
    for entity in Entity:
        planned, accounted = returned["plan"][entity.value], returned["account"]["entities"][entity.value]
        assert accounted["read"] == planned["rows"] > 0
        assert {state: accounted[state] for state in planned["states"]} == planned["states"]
        assert accounted["adds_up"]
    assert [line for line in sandbox.lines() if line.method == "POST"] == []


@pytest.mark.usefixtures("world")
def test_only_the_entities_that_were_chosen_are_planned():
    given = context(entities=["customers"])
    assert set(run(MasivoPlanOperator(task_id="plan"), given)) == {"customers", "run", "requests", "hours"}
    assert run(MasivoSlicesOperator(task_id="slices", entity="events"), given) == []


@pytest.mark.usefixtures("world")
def test_a_task_that_comes_before_its_plan_says_so():
    run(MasivoPlanOperator(task_id="plan"), context())
    with pytest.raises(AirflowFailException, match="the ledger knows no run 'another'"):
        run(MasivoMigrateOperator(task_id="send", entity="customers", part={"number": 1}), context(run_id="another"))


def test_customers_are_waited_for_until_the_queue_shows_them(sample, tmp_path, monkeypatch):
    naps = []
    monkeypatch.setattr("masivo.operators.visible.time.sleep", naps.append)
    with Sandbox(Options(**UNHURRIED | {"delay_s": 3600, "speed": 1.0})) as slow:
        given = connections(slow, f"sqlite:///{sample[0]}", f"sqlite:///{tmp_path / 'ledger.sqlite'}", "sample")
        with environment(given), variables():
            tokens._grants.clear()
            run(MasivoPlanOperator(task_id="plan"), context())
            assert MasivoVisibleSensor(task_id="visible").poke(context()).is_done, "nothing was sent yet"
            (part,) = run(MasivoSlicesOperator(task_id="slices", entity="customers"), context())
            run(MasivoMigrateOperator(task_id="send", entity="customers", part=part), context())
            assert not MasivoVisibleSensor(task_id="visible").poke(context()).is_done
            assert MasivoVisibleSensor(task_id="visible").poke(context(dry_run=True)).is_done
    assert len(naps) > 1
