"""
The operators of a read-back, executed as a worker executes them but for the scheduler.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException, TaskDeferred

from masivo.dags.verify_form import verify_form
from masivo.operators.verify import (
    DELIVERIES,
    MasivoChooseOperator,
    MasivoDeliveredOperator,
    MasivoReadBackSensor,
    MasivoVerdictOperator,
)
from masivo_engine.reports.pack.pack import write_pack
from masivo_engine.sandbox.faults.spoiling import Spoil
from tests.databases.verification import person, shop
from tests.include.reports.pages_read import page, rows
from tests.include.reports.small_packs import is_verified


@dataclass
class Instance:
    """The task instance, as far as these operators ask for it."""

    pushed: dict[str, Any] = field(default_factory=dict)
    dag_id: str = "masivo_sync"

    def xcom_push(self, key, value):
        self.pushed[key] = value

    def xcom_pull(self, *, task_ids, key):
        assert task_ids == "choose"
        return self.pushed[key]


@dataclass
class Event:
    """An event of an asset."""

    extra: dict[str, Any] = field(default_factory=dict)


def context(run_id="verify", *, events=None, **params):
    values = {name: param.resolve() for name, param in verify_form().items()}
    given = {
        "run_id": run_id,
        "params": values | params,
        "ti": Instance(),
        "dag_run": SimpleNamespace(conf=params),
        "dag": SimpleNamespace(dag_id="masivo_verify", params=verify_form()),
        "outlet_events": {DELIVERIES: Event()},
    }
    if events is not None:
        given["triggering_asset_events"] = {DELIVERIES: events}
    return given


def run(operator, given):
    """Execute *operator* outside of Airflow's task runner."""
    return type(operator).execute.__wrapped__(operator, given)


@pytest.fixture(autouse=True)
def _packs(tmp_path, monkeypatch):
    monkeypatch.setenv("MASIVO_PACKS", str(tmp_path / "packs"))


@pytest.fixture
def people():
    return [person(f"P{number}", bookings=(5, 7), sales=(20,)) for number in range(1, 4)]


def read_all(given, parts):
    for part in parts:
        for _ in range(10):
            with suppress(AirflowRescheduleException):
                run(MasivoReadBackSensor(task_id="read", part=part), given)
                break


def test_a_clean_read_back_returns_counts_and_no_keys(tmp_path, people):
    with shop(tmp_path, *people):
        given = context(sample="all")
        parts = run(MasivoChooseOperator(task_id="choose"), given)
        assert [set(part) for part in parts] == [{"first", "last"}]
        read_all(given, parts)
        made = run(MasivoVerdictOperator(task_id="verdict"), given)
        assert (made["chosen"], made["unread"], made["wrong"], made["found"]) == (3, 0, 0, {})
        assert made["confirmed"] == {"customers": 3, "events": 3, "transactions": 6}
        assert "P1" not in str(made) + str(parts) + str(given["ti"].pushed)


def test_the_pack_of_the_run_is_written_again_with_what_was_found(tmp_path, people):
    with shop(tmp_path, *people) as on:
        write_pack(on.ledger, on.trip.account("first"), tmp_path / "packs", on.trip.place.hook.limits)
        folder = tmp_path / "packs" / "first"
        assert "Nothing was read back yet" in page(folder).text
        on.spoil("transactions", "P1-b1", Spoil.FLIP)
        given = context(sample="all")
        read_all(given, run(MasivoChooseOperator(task_id="choose"), given))
        with pytest.raises(AirflowFailException):
            run(MasivoVerdictOperator(task_id="verdict"), given)
        is_verified(folder)
        assert page(folder).findings == {("transactions", "sign"): 1}
        assert [(one["key"], one["bucket"]) for one in rows(folder, "findings.csv")] == [("P1-b1", "sign")]
        assert page(folder).equations["records", "transactions"]["confirmed"] == 5


def test_a_pack_that_cannot_be_written_does_not_change_the_verdict(tmp_path, people, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MASIVO_PACKS", str(tmp_path / "file" / "packs"))
    with shop(tmp_path, *people):
        given = context(sample="all")
        read_all(given, run(MasivoChooseOperator(task_id="choose"), given))
        assert run(MasivoVerdictOperator(task_id="verdict"), given)["wrong"] == 0
        assert "the audit pack was not written (Not a directory" in capsys.readouterr().out


def test_more_than_tolerated_is_red_with_one_sentence(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.spoil("transactions", "P1-b1", Spoil.FLIP)
        on.spoil("transactions", "P2-b1", Spoil.SHIFT)
        given = context(tolerance=1)
        read_all(given, run(MasivoChooseOperator(task_id="choose"), given))
        with pytest.raises(AirflowFailException) as failed:
            run(MasivoVerdictOperator(task_id="verdict"), given)
        assert str(failed.value) == (
            "2 differences between what was delivered and what the API shows, 1 tolerated: "
            "1 sign (transactions), 1 time_zone (transactions); the table masivo_finding names each"
        )
        given |= {name: context(tolerance=2)[name] for name in ("params", "dag_run")}
        assert run(MasivoVerdictOperator(task_id="verdict"), given)["wrong"] == 2


@pytest.mark.parametrize("deferrable", [False, True])
def test_it_gives_its_slot_back_until_the_queue_has_had_its_time(tmp_path, people, deferrable):
    with shop(tmp_path, *people, settle_after_s=900):
        given = context()
        (part,) = run(MasivoChooseOperator(task_id="choose"), given)
        sensor = MasivoReadBackSensor(task_id="read", part=part, deferrable=deferrable)
        with pytest.raises(TaskDeferred if deferrable else AirflowRescheduleException) as waits:
            run(sensor, given)
        due = waits.value.trigger.moment if deferrable else waits.value.reschedule_date
        assert 800 < (due - datetime.now(UTC)).total_seconds() <= 900


def test_a_run_that_delivered_says_which_it_is(tmp_path, people):
    with shop(tmp_path, *people):
        given = context("first")
        assert run(MasivoDeliveredOperator(task_id="delivered"), given) == {"run": 1, "records": 12}
        assert given["outlet_events"][DELIVERIES].extra == {"run": 1}


def test_a_run_that_delivered_nothing_starts_no_read_back(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.trip.migrate("second")
        for name in ("second", "never planned"):
            with pytest.raises(AirflowSkipException):
                run(MasivoDeliveredOperator(task_id="delivered"), context(name))


def test_it_reads_the_runs_that_the_events_tell_of_else_the_latest_that_delivered(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.trip.migrate("second")
        given = context(events=[Event({"run": 2}), Event({"run": 1}), Event()])
        run(MasivoChooseOperator(task_id="choose"), given)
        assert given["ti"].pushed["chosen"]["runs"] == [1, 2]
        for events, params in (((), {}), ((), {"run": "1"})):
            given = context(events=events, **params)
            run(MasivoChooseOperator(task_id="choose"), given)
            assert given["ti"].pushed["chosen"]["runs"] == [1]


def test_where_nothing_was_delivered_there_is_nothing_to_read_and_that_is_no_failure(tmp_path, people):
    with shop(tmp_path, *people, migrate=False) as on:
        on.ledger.prepare()
        given = context()
        assert run(MasivoChooseOperator(task_id="choose"), given) == []
        assert run(MasivoVerdictOperator(task_id="verdict"), given)["wrong"] == 0


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"run": "x"}, "run ('x') is no number of a run in the ledger; the account prints it"),
        ({"run": "9"}, "the ledger knows no run 9; the account prints the numbers"),
        ({"sample": "some"}, "sample ('some') is neither all nor a number of customers above 0"),
    ],
)
def test_what_makes_no_sense_costs_one_sentence(tmp_path, people, params, sentence):
    with shop(tmp_path, *people), pytest.raises(AirflowFailException) as failed:
        run(MasivoChooseOperator(task_id="choose"), context(**params))
    assert str(failed.value) == sentence


def test_the_log_names_nobody(tmp_path, people, capsys):
    with shop(tmp_path, *people) as on:
        on.spoil("customers", "P1", Spoil.LOSE)
        given = context(tolerance=100)
        read_all(given, run(MasivoChooseOperator(task_id="choose"), given))
        run(MasivoVerdictOperator(task_id="verdict"), given)
        said = capsys.readouterr().out
        assert "customers: 1 missing" in said
        for word in ("Person", "@example", "P1"):
            assert word not in said
