"""
The page *Masivo* and the button *Account* in Airflow's own UI, in a real browser, with a real run
behind them.
"""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import httpx
import pytest
import requests
from sqlalchemy import func, select, update

from masivo.ui.views import application
from masivo_engine.ledger import schema
from masivo_engine.samples.retailer import build
from tests.browser import PROGRAM, browser
from tests.include.reports.pages_read import Page, number, references
from tests.scheduler import scheduler


pytestmark = [pytest.mark.slow, pytest.mark.airflow, pytest.mark.timeout(600)]

RUN = "manual__2026-11-22T00:00:00+00:00"
ACCOUNT = f"/masivo/runs/masivo_sync/{quote(RUN, safe='')}"
BUTTON = f"/plugin/masivo{ACCOUNT}"
EXTRA = {"interval_s": 0, "margin_s": 0, "per_hour": 1_000_000, "settle_after_s": 0}
CUSTOMERS = 60


def stock(engine):
    build.build(engine, customers=CUSTOMERS)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Airflow after a load of the sample, whose faults are tolerated."""
    with scheduler(tmp_path_factory.mktemp("site") / "site", stock, mapping="sample", extra=EXTRA) as running:
        assert running.run(RUN, full=True, approve_rows=None, tolerance=1_000) == "success"
        yield running


def get(site, path, **headers):
    """Ask for a page, as everybody may here, unless *headers* say who it is."""
    with requests.Session() as session:
        session.trust_env = False
        return session.get(f"{site.airflow.address}{path}", timeout=30, allow_redirects=False, headers=headers)


@pytest.mark.parametrize("path", ["/masivo/", ACCOUNT, f"{ACCOUNT}/plan"])
def test_a_stranger_sees_nothing(site, path):
    async def nobody():
        # Not over the site, where everybody is an admin.
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://test") as client:
            return await client.get(path.removeprefix("/masivo"))

    for answer, status in ((get(site, path, Authorization="Bearer nonsense"), 403), (asyncio.run(nobody()), 401)):
        assert answer.status_code == status
        assert "rows" not in answer.text


@pytest.mark.parametrize("path", ["/masivo/", ACCOUNT, f"{ACCOUNT}/plan", "/masivo/runs/masivo_sync/none"])
def test_a_page_fetches_nothing_is_kept_nowhere_and_stays_in_its_frame(site, path):
    answer = get(site, path)
    rules = answer.headers["content-security-policy"]
    assert "default-src 'none'" in rules
    assert "frame-ancestors 'self'" in rules
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert all(where.startswith("/masivo/") for where in references(answer.text))


def test_the_numbers_are_those_of_the_account(site):
    seen, made = Page(get(site, ACCOUNT).text), site.account(RUN)
    for one in made.entities:
        shown = seen.equations["records", one.entity.value]
        assert shown["whole"] == one.read > 0
        assert {state: n for state, n in shown.items() if n and state != "whole"} == one.states
    listed = Page(get(site, "/masivo/").text)
    assert number(listed.cells["runs"][RUN, "records sent"]) == made.sent
    assert "What will become of every row" in Page(get(site, f"{ACCOUNT}/plan").text).text


def test_nothing_of_a_customer_is_on_them(site):
    with site.legacy.connect() as connection:
        people = [
            row[0] for row in connection.exec_driver_sql("SELECT contact_value FROM member_contact WHERE kind = 'E'")
        ]
    said = " ".join(get(site, path).text for path in ("/masivo/", ACCOUNT, f"{ACCOUNT}/plan")).casefold()
    assert len(people) > CUSTOMERS / 2
    assert [address for address in people if "@" in address and address.strip().casefold() in said] == []


def test_what_there_is_no_account_of_is_said_in_a_sentence(site):
    for path, said in (
        ("masivo_sync/none", "The ledger does not know this run"),
        ("masivo_sync/none/plan", "The ledger does not know this run"),
        # Each DAG's reader sees that DAG's runs, and no other's.
        (f"masivo_replay/{quote(RUN, safe='')}", "The ledger does not know this run"),
        (f"somebodys_dag/{quote(RUN, safe='')}", "of another DAG"),
        ("masivo_verify/none", "has chosen nobody"),
    ):
        answer = get(site, f"/masivo/runs/{path}")
        assert answer.status_code == 404
        assert said in Page(answer.text).text


def test_airflow_loads_the_plugin_without_a_complaint_and_it_is_on_nobodys_runs(site):
    (plugin,) = [one for one in site.call("GET", "plugins")["plugins"] if one["name"] == "masivo"]
    # Every other destination is a tab on the runs or tasks of all DAGs, whoever owns them.
    assert {view["destination"] for view in plugin["external_views"]} == {"nav"}
    assert plugin["react_apps"] == []
    assert site.call("GET", "plugins/importErrors")["import_errors"] == []


@pytest.fixture(scope="module")
def tab(tmp_path_factory):
    if PROGRAM is None:
        pytest.skip("no browser: install Debian's chromium, or name one in MASIVO_TEST_BROWSER, to test on it")
    with browser(tmp_path_factory.mktemp("browser") / "profile", reaches_loopback=True) as running:
        yield running


def shown(tab, site, path, words):
    """
    Open *path* of the UI, wait until the frame of our page has *words*, and return the page's text.
    """
    tab.open(f"{site.airflow.address}{path}", width=1280)
    text = "document.querySelector('iframe')?.contentDocument?.body?.innerText ?? ''"
    deadline = time.monotonic() + 60
    while words not in (said := tab.value(text)):
        assert time.monotonic() < deadline, f"{path}: waited in vain for {words!r} in {said[:300]!r}"
        time.sleep(0.2)
    return said


def test_the_ui_has_a_page_for_all_runs(tab, site):
    said = shown(tab, site, "/plugin/masivo", "Runs")
    assert RUN in said
    assert "need a person" in said


def test_every_task_of_a_run_has_a_button_to_its_account(site):
    run = f"dags/masivo_sync/dagRuns/{quote(RUN, safe='')}"
    for task in site.airflow.tasks("masivo_sync", RUN):
        where = f"{run}/taskInstances/{task['task_id']}/links"
        found = site.call("GET", where, params={"map_index": task["map_index"]})["extra_links"]
        assert found == {"Account": BUTTON}, task["task_id"]


def test_the_button_opens_the_account_inside_the_ui(tab, site):
    tab.open(f"{site.airflow.address}/dags/masivo_sync/runs/{quote(RUN, safe='')}/tasks/plan/details", width=1280)
    button = "[...document.querySelectorAll('a')].find(a => a.textContent === 'Account')"
    deadline = time.monotonic() + 60
    while not tab.value(f"!!{button}"):
        assert time.monotonic() < deadline, "waited in vain for the button"
        time.sleep(0.2)
    assert tab.value(f"{button}.getAttribute('href')") == BUTTON
    said = shown(tab, site, BUTTON, "adds up")
    assert "rows are accounted for" in said
    assert tab.value("document.querySelector('iframe').title") == "Masivo"
    assert tab.value("document.querySelector('iframe').contentDocument.documentElement.scrollWidth") <= 1280


def test_a_run_under_way_is_looked_at_again(tab, site):
    with site.ledger.begin() as connection:
        assert connection.execute(select(func.count()).select_from(schema.run)).scalar_one() == 1
        connection.execute(update(schema.run).values(finished_at=None))
    assert "No request that was planned is left." in shown(tab, site, BUTTON, "How far it is")
