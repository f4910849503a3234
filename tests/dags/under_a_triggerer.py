"""
A read-back under Airflow's own scheduler and triggerer: it starts by itself, waits as a trigger
that holds no slot, goes on where it was, and confirms what became visible meanwhile.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, text

from tests.dags.under_the_scheduler import CUSTOMERS, UNLIMITED, mapping, stock, told
from tests.include.reports.pages_read import page
from tests.include.reports.small_packs import is_verified
from tests.scheduler import ENDED, scheduler


__all__ = ["mapping"]

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

SETTLE_S = 40  # until the first reading; the pause after it is a minute, the shortest that there is
NEVER = "0 0 29 2 *"  # no such day since the DAG's first: only what a test triggers runs
AN_HOUR_S = 3600.0


@pytest.fixture(scope="module")
def site(tmp_path_factory, mapping):
    extra = {**UNLIMITED, "settle_after_s": SETTLE_S}
    place = tmp_path_factory.mktemp("site") / "site"
    options = {"delay_s": AN_HOUR_S, "schedule": NEVER, "is_scheduled": True, "has_triggerer": True}
    with scheduler(place, stock, mapping=mapping, extra=extra, **options) as running:
        yield running


def read_backs(site):
    """The runs of `masivo_verify` that nobody triggered."""
    found = site.call("GET", "dags/masivo_verify/dagRuns")["dag_runs"]
    return [run["dag_run_id"] for run in found if run["run_type"] == "asset_triggered"]


def reading(site, run_id):
    """The task *read*, of which there is one for so few customers."""
    tasks = site.airflow.tasks("masivo_verify", run_id)
    return next((task for task in tasks if task["task_id"] == "read" and task["map_index"] >= 0), {"state": None})


def waiting(site):
    """How often each customer was read who is still waited for."""
    return [int(row.found) for row in site.ask("SELECT found FROM masivo_finding WHERE bucket = 'waiting'")]


def told_by_a_number():
    """
    Count the purchases of customers who were migrated with another number of them: where it is the
    same, the API shows nothing else once they are counted.
    """
    engine = create_engine("sqlite://")
    stock(engine)
    with engine.connect() as connection:
        own = "(SELECT count(*) FROM sale s WHERE s.member_id = m.id)"
        return connection.execute(text(f"SELECT sum({own}) FROM member m WHERE m.purchases <> {own}")).scalar_one()


def test_what_becomes_visible_while_the_task_is_deferred_is_confirmed(site):
    site.call("PATCH", "dags/masivo_verify", json={"is_paused": False})
    site.trigger("sync", full=True)
    site.until(site.posts, "the customers to be sent")
    site.work_off_the_queue()  # their children go only then
    assert site.ended("sync") == "success"

    (run_id,) = site.until(lambda: read_backs(site), "a read-back that nobody started")

    # The first reading finds the customers and nothing of their children, and the task waits for
    # the second as a trigger.
    def is_deferred():
        state = reading(site, run_id)["state"]
        assert state not in ENDED
        return state == "deferred" and set(waiting(site)) == {1}

    site.until(is_deferred, "the task to be deferred after its first reading")
    task = reading(site, run_id)
    assert task["trigger"]["classpath"].endswith("DateTimeTrigger")
    site.until(lambda: reading(site, run_id)["triggerer_job"], "a triggerer to take it")
    pool = site.call("GET", "pools/default_pool")
    assert (pool["running_slots"], pool["queued_slots"], pool["deferred_slots"]) == (0, 0, 1)
    assert told(site, "sync")["transactions"].keys() == {"delivered"}

    site.work_off_the_queue()
    assert site.ended(run_id, "masivo_verify") == "success"
    assert waiting(site) == []
    states = told(site, "sync")
    assert {entity: set(states[entity]) for entity in ("customers", "transactions")} == {
        "customers": {"confirmed"},
        "transactions": {"confirmed"},
    }
    assert states["events"]["confirmed"] == told_by_a_number()
    assert reading(site, run_id)["try_number"] == 1, "waiting costs no try"

    folder = site.folder.airflow / "packs" / "sync"
    is_verified(folder)
    assert f"Read back from Masivo: {CUSTOMERS} of {CUSTOMERS} customers; nothing differs." in page(folder).text
    (read,) = json.loads((folder / "readback.json").read_text())["read_backs"]
    assert (read["run"], read["outcome"]) == (run_id, "")
