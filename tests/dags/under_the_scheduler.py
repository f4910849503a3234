"""
The DAGs under Airflow's own scheduler and executor: the gate, manual runs, backfills, replays,
sweeps and scheduled increments.

One Airflow serves the whole module, and the tests go on where the one before them ended, because a
start costs as much as they do.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import time
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from tests.databases import proof
from tests.scheduler import scheduler


pytestmark = [pytest.mark.airflow, pytest.mark.timeout(600)]

CUSTOMERS = 12
UNLIMITED = {"interval_s": 0, "margin_s": 0, "per_hour": 1_000_000}
OVERLAP = timedelta(seconds=3)
WINDOWS = f"\nwindows: {{overlap: {OVERLAP / timedelta(minutes=1)}, lag: 0}}\n"


@pytest.fixture(scope="module")
def mapping(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mapping") / "shop"
    shutil.copytree(proof.MAPPING, folder)
    with (folder / "mapping.yaml").open("a") as settings:
        settings.write(WINDOWS)
    return str(folder)


def stock(engine):
    proof.stock_clean(engine, customers=CUSTOMERS)


@pytest.fixture(scope="module")
def site(tmp_path_factory, mapping):
    with scheduler(tmp_path_factory.mktemp("site") / "site", stock, mapping=mapping, extra=UNLIMITED) as running:
        yield running


def local(moment):
    """*moment* as the shop's tills write it."""
    return (moment.astimezone(UTC) - proof.BOGOTA_BEHIND_UTC).strftime("%Y-%m-%d %H:%M:%S.%f")


def rename(site, member, moment):
    site.write(
        f"UPDATE member SET name = 'renamed {moment:%d %H %M %S}', changed_at = '{local(moment)}' WHERE id = '{member}'"
    )


def join(site, member, moment, *, points=10):
    """A new customer with one purchase and one movement of points."""
    at = local(moment)
    site.write(
        f"INSERT INTO member VALUES ('{member}', 'new {member}', '{member}@shop.invalid', '{at}', 1, '{at}')",
        f"INSERT INTO lot VALUES ('{member}', 0, {points})",
        f"INSERT INTO sale VALUES ('S{member}', '{member}', 500, '{at}', '{at}')",
        f"INSERT INTO sale_line VALUES ('S{member}', 0, 'SKU0', 500)",
        f"INSERT INTO booking VALUES ('T{member}', '{member}', 'ACCUMULATION', {points}, '{at}', '{at}')",
    )


def told(site, run_id):
    """What a run's account says of each entity: the states that hold rows, with how many."""
    made = site.account(run_id)
    assert made.adds_up
    return {
        entity.entity.value: {state: rows for state, rows in entity.states.items() if rows}
        for entity in made.entities
        if entity.read
    }


def accepted(lines):
    """How often each key is in *lines* of the sandbox's journal."""
    return Counter(key for line in lines for key, _ in line.accepted)


def count(site, table):
    with site.legacy.connect() as connection:
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()


def answer(site, run_id, option):
    """Decide in *Required actions*, and return who Airflow says did."""
    details = f"dags/masivo_sync/dagRuns/{run_id}/taskInstances/approval/-1/hitlDetails"
    site.call("PATCH", details, json={"chosen_options": [option], "params_input": {}})
    return site.call("GET", details)["responded_by_user"]


def asked(site, run_id):
    """Trigger a full run whose plan exceeds its bounds, and wait until it asks."""
    site.trigger(run_id, full=True, approve_rows=CUSTOMERS)
    site.until(lambda: site.task(run_id, "approval")["state"] in {"awaiting_input", "success", "failed"}, "an approval")
    time.sleep(2)  # Airflow 3.3 loses an answer that comes before the task's process is gone
    assert site.task(run_id, "approval")["state"] == "awaiting_input"
    pool = site.call("GET", "pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"]) == (0, 0)


def test_a_full_run_beyond_its_bounds_that_is_refused_sends_nothing(site):
    asked(site, "refused")
    answer(site, "refused", "Send nothing")
    assert site.ended("refused") == "failed"
    (sentence,) = site.complaints("refused", "approval")
    assert "decided that this is not to be sent; nothing was sent" in sentence
    assert site.posts() == []
    assert site.ask("SELECT action FROM masivo_release") == [("refuse",)]
    (outcome,) = site.complaints("refused", "account")
    assert outcome.startswith("no slice was begun and nothing was sent")
    assert site.task("refused", "customers.slices")["state"] == "upstream_failed"


def test_a_full_run_beyond_its_bounds_goes_on_when_it_is_approved(site):
    asked(site, "approved")
    assert site.posts() == []
    person = answer(site, "approved", "Send it")
    assert site.ended("approved") == "success"
    assert told(site, "approved") == {
        "customers": {"delivered": CUSTOMERS},
        "events": {"delivered": count(site, "sale")},
        "transactions": {"delivered": count(site, "booking")},
    }
    (run,) = site.ask("SELECT approved_by, approved_at FROM masivo_run WHERE run_id = 'approved'")
    assert run.approved_by == person["name"]
    assert run.approved_at
    ((action, by),) = site.ask(
        "SELECT action, released_by FROM masivo_release r JOIN masivo_run ON masivo_run.id = r.run WHERE run_id ="
        " 'approved'"
    )
    assert (action, by) == ("approve", person["name"])


def test_what_contradicts_itself_is_refused_in_one_sentence(site):
    before = len(site.posts())
    assert site.run("contradiction", full=True, since="2026-11-01T00:00:00Z") == "failed"
    assert site.complaints("contradiction", "plan") == [
        "full means everything: leave since, until and customer_ids empty with it, or leave full off"
    ]
    (outcome,) = site.complaints("contradiction", "account")
    assert outcome.startswith("the task plan failed before it entered the run")
    assert len(site.posts()) == before


def test_a_dry_run_tells_the_plan_and_sends_nothing(site):
    rename(site, "C001", datetime(2024, 1, 1, tzinfo=UTC))
    before = len(site.posts())
    assert site.run("dry", full=True, dry_run=True, approve_rows=0) == "success"
    assert len(site.posts()) == before
    assert re.search(rf"customers +{CUSTOMERS} +1 ", site.log("dry", "plan"))
    assert "dry run: nothing was sent" in site.log("dry", "plan")


def test_a_window_is_that_window_and_a_list_of_customers_those(site):
    june = datetime(2025, 6, 1, tzinfo=UTC)
    rename(site, "C002", june)
    rename(site, "C003", june + timedelta(hours=1))
    rename(site, "C004", june + timedelta(hours=2))
    ends = {"since": (june + timedelta(hours=1)).isoformat(), "until": (june + timedelta(hours=2)).isoformat()}
    before = len(site.posts())
    assert site.run("window", **ends) == "success"
    assert told(site, "window") == {"customers": {"delivered": 1}}
    assert accepted(site.posts()[before:]) == {"C003": 1}

    assert site.run("some", customer_ids=["C002"]) == "success"
    assert accepted(site.posts()[before + 1 :]) == {"C002": 1}
    assert told(site, "some")["customers"] == {"delivered": 1}
    assert set(told(site, "some").get("events", {})) <= {"unchanged"}


def test_a_backfill_works_off_its_intervals_and_again_only_what_is_new_or_changed(site):
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - timedelta(days=back) for back in range(6, 1, -1)]
    for number, day in enumerate(days):
        join(site, f"D{number}", day + timedelta(hours=12))
    join(site, "D5", days[1] + timedelta(hours=23, minutes=59))
    before = len(site.posts())
    runs = site.backfill(days[0], days[-1])
    assert len(runs) == 5
    for number, run_id in enumerate(runs):
        (covers,) = site.ask("SELECT covers FROM masivo_run WHERE run_id = :id", id=run_id)
        assert (
            f'"since": "{days[number].isoformat()}", "until": "{(days[number] + timedelta(days=1)).isoformat()}"'
            in covers[0]
        )
        rows = 2 if number == 1 else 1
        assert told(site, run_id) == {name: {"delivered": rows} for name in ("customers", "events", "transactions")}
    sent = accepted(site.posts()[before:])
    assert sent == {f"{kind}D{number}": 1 for number in range(6) for kind in ("", "S", "T")}

    rename(site, "D3", days[3] + timedelta(hours=13))
    join(site, "D6", days[4] + timedelta(hours=1))
    before = len(site.posts())
    assert site.backfill(days[3], days[4], reprocess="completed") == runs[3:]
    assert accepted(site.posts()[before:]) == {"D3": 1, "D6": 1, "SD6": 1, "TD6": 1}
    assert told(site, runs[3]) == {
        "customers": {"delivered": 1},
        "events": {"unchanged": 1},
        "transactions": {"unchanged": 1},
    }
    assert told(site, runs[4]) == {
        name: {"delivered": 1, "unchanged": 1} for name in ("customers", "events", "transactions")
    }


def test_what_a_policy_held_goes_when_it_is_released(site):
    """
    A second set of points is held, because the API's guide takes them once; somebody finds out that
    it takes more.
    """
    at = datetime(2025, 7, 1, tzinfo=UTC)
    site.write(
        f"UPDATE sale SET cents = cents + 5, changed_at = '{local(at)}' WHERE id = 'SD0'",
        "UPDATE sale_line SET cents = cents + 5 WHERE sale_id = 'SD0'",
    )
    assert site.run("holding", since=at.isoformat(), until=(at + timedelta(days=1)).isoformat()) == "success"
    assert told(site, "holding") == {"events": {"held": 1}}
    before = len(site.posts())
    assert site.run("released", "masivo_replay", reason=["changed_after_delivery"], entities=["events"]) == "success"
    assert accepted(site.posts()[before:]) == {"SD0": 1}
    assert told(site, "masivo_replay/released") == {"events": {"delivered": 1}}
    releases = site.ask(
        "SELECT action FROM masivo_release r JOIN masivo_run ON masivo_run.id = r.run WHERE run_id ="
        " 'masivo_replay/released'"
    )
    assert releases


def test_a_sweep_finds_the_row_whose_time_did_not_move(site):
    site.write("UPDATE member SET name = 'unmoved' WHERE id = 'C005'")
    before = len(site.posts())
    assert site.run("sweep", "masivo_sweep") == "success"
    # The two that the tests before have changed and no window has read since, and the one without a
    # trace.
    assert accepted(site.posts()[before:]) == {"C001": 1, "C004": 1, "C005": 1}
    assert told(site, "masivo_sweep/sweep")["customers"] == {"delivered": 3, "unchanged": count(site, "member") - 3}


def test_points_go_also_where_the_purchases_between_them_and_their_customers_are_left_out(site):
    at = datetime(2025, 8, 1, tzinfo=UTC)
    join(site, "F1", at)
    day = {"since": at.isoformat(), "until": (at + timedelta(days=1)).isoformat()}
    before = len(site.posts())
    assert site.run("points", entities=["customers", "transactions"], **day) == "success"
    assert told(site, "points") == {"customers": {"delivered": 1}, "transactions": {"delivered": 1}}
    assert accepted(site.posts()[before:]) == {"F1": 1, "TF1": 1}
    assert site.run("purchases", entities=["events"], **day) == "success"
    assert accepted(site.posts()[before:]) == {"F1": 1, "TF1": 1, "SF1": 1}


def test_a_ledger_that_was_restored_from_an_older_copy_is_refused_by_every_dag(site):
    """
    What is remembered outside of it is in Airflow's own database, where the tasks' own way leads: a
    Variable.
    """
    assert site.run("before-the-copy", full=True) == "success"
    copy(site.folder.ledger, site.folder.ledger.with_suffix(".older"))
    join(site, "H1", datetime.now(UTC) - timedelta(minutes=1))
    assert site.run("after-the-copy", full=True) == "success"
    copy(site.folder.ledger, site.folder.ledger.with_suffix(".newest"))
    (mark,) = site.call("GET", "variables")["variables"]
    assert mark["key"].startswith("masivo_high_water_")
    assert json.loads(mark["value"]) == {
        "run": site.ask("SELECT max(id) FROM masivo_run")[0][0],
        "batch": site.ask("SELECT max(id) FROM masivo_batch")[0][0],
        "requests": len(site.posts()),
    }

    copy(site.folder.ledger.with_suffix(".older"), site.folder.ledger)
    before = len(site.posts())
    assert site.run("older-sync") == "failed"
    assert site.run("older-sweep", "masivo_sweep") == "failed"
    assert site.run("older-replay", "masivo_replay", reason=["customer_held"]) == "failed"
    (filled,) = site.backfill(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
    runs = {
        "older-sync": "masivo_sync",
        "older-sweep": "masivo_sweep",
        "older-replay": "masivo_replay",
        filled: "masivo_sync",
    }
    for run_id, dag_id in runs.items():
        said = " ".join(site.complaints(run_id, "plan", dag_id))
        assert f"a newer copy of it has come to run {json.loads(mark['value'])['run']}" in said
    assert len(site.posts()) == before

    copy(site.folder.ledger.with_suffix(".newest"), site.folder.ledger)
    assert site.run("newest-again", dry_run=True) == "success"
    assert len(site.posts()) == before


def copy(source, target):
    with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as two:
        one.backup(two)


def scheduled(site, since):
    """
    Wait until a scheduled run that covers *since* has ended; return all that have, oldest first.
    """

    def ended():
        runs = site.ask(
            "SELECT run_id, covers FROM masivo_run WHERE kind = 'increment' AND finished_at > '' ORDER BY id"
        )
        return any(window(run)[1] > since for run in runs) and runs

    return site.until(ended, "a scheduled run")


def under_way(site):
    """The tasks that Airflow has handed out, also in runs that a pause keeps from going on."""
    query = {"state": ["queued", "running", "restarting"]}
    return site.call("GET", "dags/masivo_sync/dagRuns/~/taskInstances", params=query)["task_instances"]


def window(run):
    """
    The ends of what an increment covers of customers; the shop's entities differ by milliseconds.
    """
    ends = json.loads(run.covers)["windows"]["customers"]
    return datetime.fromisoformat(ends["since"]), datetime.fromisoformat(ends["until"])


def test_scheduled_runs_deliver_what_changed_in_between_and_a_paused_time_leaves_no_gap(site):
    site.tick("* * * * * */5")
    scheduled(site, datetime.now(UTC))
    before = len(site.posts())

    def change(write, *names):
        now = datetime.now(UTC)
        for name in names:
            write(site, name, now)
        return now

    # Three intervals, each with a change of its own.
    scheduled(site, change(rename, "C006"))
    scheduled(site, change(join, "E1", "E2"))
    scheduled(site, change(rename, "C007"))
    # A time in which nothing runs, as on a day on which the scheduler is off.
    site.pause()
    paused = datetime.now(UTC)
    # What was handed out before may still plan, and choose a window that ends after the pause.
    settled = paused + timedelta(seconds=5)
    site.until(lambda: datetime.now(UTC) > settled and not under_way(site), "what had begun to be over")
    first = change(rename, "C008")
    site.until(lambda: datetime.now(UTC) > first + timedelta(seconds=12), "two intervals to pass")
    last = change(rename, "C009")
    # Airflow catches up with the newest interval that is over, and not with each one before it.
    site.until(lambda: datetime.now(UTC) > last + timedelta(seconds=6), "an interval to end after the change")
    site.pause(is_paused=False)
    runs = scheduled(site, last)
    site.pause()

    new = ["E1", "SE1", "TE1", "E2", "SE2", "TE2"]
    assert accepted(site.posts()[before:]) == dict.fromkeys(["C006", *new, "C007", "C008", "C009"], 1)
    # One run covers the paused time, or two: Airflow may also hand out the interval that was due
    # when it was paused. Where one window ends, the next begins.
    for earlier, later in pairwise(runs):
        assert window(earlier)[1] - OVERLAP <= window(later)[0] <= window(earlier)[1], (
            "no gap, at most the overlap twice"
        )
    for run in runs:
        made = site.account(run.run_id)
        assert made.adds_up
        for entity in made.entities:
            ends = json.loads(run.covers)["windows"][entity.entity]
            assert entity.read == in_window(site, entity.entity, ends)


def in_window(site, entity, ends):
    """How many rows of the legacy database changed within *ends*."""
    since, until = (local(datetime.fromisoformat(ends[name])) for name in ("since", "until"))
    table = {"customers": "member", "events": "sale", "transactions": "booking"}[entity]
    with site.legacy.connect() as connection:
        statement = f"SELECT count(*) FROM {table} WHERE changed_at >= ? AND changed_at < ?"
        return connection.exec_driver_sql(statement, (since, until)).scalar_one()
