"""
The first hour of a stranger, under Airflow's own scheduler: whatever is switched on, misspelt or
chosen, nothing is sent before a person starts a load.

One Airflow and one account serve the whole hour, and its parts go on from each other; the sandbox's
journal is the judge.
"""

from __future__ import annotations

import time
from collections import Counter
from urllib.parse import quote

import pytest
import requests

from tests.databases import proof
from tests.scheduler import ENDED, scheduler


pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900), pytest.mark.slow]

CUSTOMERS = 6
UNLIMITED = {"interval_s": 0, "margin_s": 0, "per_hour": 1_000_000, "settle_after_s": 0}
FIRST_TASKS = {
    "masivo_plan": "plan",
    "masivo_sync": "plan",
    "masivo_sweep": "plan",
    "masivo_replay": "plan",
    "masivo_verify": "choose",
}
EVERY_MINUTE = "* * * * *"


def stock(engine):
    proof.stock_clean(engine, customers=CUSTOMERS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Airflow with a schedule, which starts runs by itself, and every DAG switched on."""
    path = tmp_path_factory.mktemp("hour") / "site"
    options = {"schedule": EVERY_MINUTE, "is_scheduled": True}
    with scheduler(path, stock, mapping=proof.MAPPING, extra=UNLIMITED, **options) as running:
        for dag_id in FIRST_TASKS:
            running.until(lambda name=dag_id: running.airflow.has_dag(name), f"Airflow to read {dag_id}")
            running.airflow.switch_on(dag_id)
        yield running


def by_the_clock(site, dag_id):
    """The runs of a DAG that Airflow started by itself and that have ended, oldest first."""
    query = {"run_type": "scheduled", "order_by": "run_after", "limit": 100}
    runs = site.call("GET", f"dags/{dag_id}/dagRuns", params=query)["dag_runs"]
    return [run for run in runs if run["state"] in ENDED]


def next_by_the_clock(site, dag_id="masivo_sync"):
    """Wait for one more of them that began after now; return its state and what its plan said."""
    before = {run["dag_run_id"] for run in site.call("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]}
    site.until(
        lambda: [run for run in by_the_clock(site, dag_id) if run["dag_run_id"] not in before], "a run by the clock"
    )
    run = next(run for run in by_the_clock(site, dag_id) if run["dag_run_id"] not in before)
    return run["state"], " ".join(site.complaints(run["dag_run_id"], "plan", dag_id))


def accepted(site):
    return Counter(key for line in site.posts() for key, _ in line.accepted)


def rows(site):
    with site.legacy.connect() as connection:
        tables = ("member", "sale", "booking")
        return sum(connection.exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in tables)


def test_switching_everything_on_sends_nothing_and_says_what_to_do(site):
    for dag_id in ("masivo_sync", "masivo_sweep"):
        site.until(lambda name=dag_id: by_the_clock(site, name), f"{dag_id} to have run by itself")
        run = by_the_clock(site, dag_id)[0]
        said = " ".join(site.complaints(run["dag_run_id"], "plan", dag_id))
        assert run["state"] == "failed"
        assert "nobody has started to load customers, events, transactions" in said
        assert "masivo_plan" in said
        assert "trigger masivo_sync by hand" in said
    assert site.posts() == []


def test_the_first_look_ends_green_with_a_plan_to_read(site):
    assert site.run("look", "masivo_plan") == "success"
    (task,) = site.airflow.tasks("masivo_plan", "look")
    assert task["task_id"] == "plan"
    with requests.Session() as session:
        session.trust_env = False
        page = f"{site.airflow.address}/masivo/runs/masivo_plan/{quote('look', safe='')}"
        shown, plan = (session.get(f"{page}{part}", timeout=30) for part in ("", "/plan"))
    assert (shown.status_code, plan.status_code) == (200, 200)
    assert "This was a dry run: nothing was sent." in shown.text
    assert "What will become of every row" in plan.text
    assert "Every row can go" in plan.text
    assert site.posts() == []


def test_a_misspelt_parameter_stops_the_first_task_of_every_dag(site):
    for dag_id, first in FIRST_TASKS.items():
        wrong = {"tolerence": 7, "entitys": ["customers"], "dryrun": True}
        if dag_id != "masivo_verify":
            wrong["Entities"] = ["customers"]
        assert site.run("misspelt", dag_id, **wrong) == "failed"
        assert site.task("misspelt", first, dag_id)["try_number"] == 1
        said = " ".join(site.complaints("misspelt", first, dag_id))
        assert f"{dag_id} has no parameter" in said
        assert all(repr(name) in said for name in wrong)
        if dag_id in {"masivo_sync", "masivo_sweep"}:
            assert "'dryrun' (did you mean dry_run?)" in said
            assert "'tolerence' (did you mean tolerance?)" in said
            assert "'Entities' (did you mean entities?)" in said
    assert site.posts() == []


def test_a_trial_with_one_customer_is_no_load(site):
    with site.legacy.connect() as connection:
        member = connection.exec_driver_sql("SELECT min(id) FROM member").scalar_one()
    assert site.run("trial", customer_ids=[member]) == "success"
    sent = accepted(site)
    assert member in sent
    state, said = next_by_the_clock(site)
    assert state == "failed"
    assert "nobody has started to load" in said
    assert accepted(site) == sent


def test_what_was_never_sent_is_adopted_only_with_a_word_and_an_approval(site):
    sent = accepted(site)
    assert site.run("no_word", mapping_change="adopt") == "failed"
    assert "type 'adopt' into confirm as well" in " ".join(site.complaints("no_word", "plan"))

    site.trigger("adopt", mapping_change="adopt", confirm="adopt")
    site.until(lambda: site.task("adopt", "approval")["state"] in {"awaiting_input", *ENDED}, "an approval")
    time.sleep(2)  # Airflow 3.3 loses an answer that comes before the task's process is gone
    details = "dags/masivo_sync/dagRuns/adopt/taskInstances/approval/-1/hitlDetails"
    asked = site.call("GET", details)
    assert f"{rows(site) - len(sent):,} rows that were never sent would count as delivered" in asked["body"]
    site.call("PATCH", details, json={"chosen_options": ["Send it"], "params_input": {}})
    assert site.ended("adopt") == "success"
    assert accepted(site) == sent


def test_it_is_taken_back_and_everything_is_there_once(site):
    assert site.run("no_word", "masivo_replay", reason=["adopted"]) == "failed"
    assert "type 'adopted' into confirm as well" in " ".join(site.complaints("no_word", "plan", "masivo_replay"))
    assert site.run("back", "masivo_replay", reason=["adopted"], confirm="adopted") == "success"
    sent = accepted(site)
    assert set(sent.values()) == {1}
    assert len(sent) == rows(site)

    # A person has started a load, so the clock goes on from here; and what it finds is there.
    state, said = next_by_the_clock(site)
    assert (state, said) == ("success", "")
    assert accepted(site) == sent
