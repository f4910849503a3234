"""
The pack as a person opens it: from a folder, in a real browser, without a network, on a desk and on
a phone.
"""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, make_url

from masivo.connections import engines
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.runs.runs import keep_plan
from masivo_engine.ledger.verification.pending import WAITING
from masivo_engine.verification.differences import Bucket
from tests.browser import PROGRAM, browser
from tests.include.reports.small_packs import HOSTILE, begin, packed, plan_of, work_off


DESK, PHONE = 1280, 390


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A browser, and a pack whose texts are hostile and long."""
    if PROGRAM is None:
        pytest.skip("no browser: install Debian's chromium, or name one in MASIVO_TEST_BROWSER, to test on it")
    place = tmp_path_factory.mktemp("browser")
    engine = engines.ledger(make_url(f"sqlite:///{place / 'ledger.sqlite'}"))
    ledger = Ledger(engine, "account")
    ledger.prepare()
    run = begin(ledger, "scheduled__2026-01-01T00:00:00+00:00")
    keep_plan(ledger, run, json.dumps(plan_of(HOSTILE + "long" * 50)))
    work_off(ledger, run)
    with engine.begin() as connection:
        read = {"run": run, "read_by": HOSTILE, "customers": 9, "chosen": 5, "drawn": 2, "chosen_at": now()}
        connection.execute(insert(schema.readback), read | {"judged_at": now(), "outcome": HOSTILE + "long" * 20})
        found = {"run": run, "entity": "transactions", "key": HOSTILE, "customer": HOSTILE, "found_at": now()}
        texts = {"expected": "123456789012.25", "found": ""}
        connection.execute(insert(schema.finding), [found | texts | {"bucket": name} for name in (*Bucket, WAITING)])
    folder = packed(ledger, place / "packs", "scheduled__2026-01-01T00:00:00+00:00")
    engine.dispose()
    with browser(place / "profile") as running:
        yield running, folder


@pytest.mark.parametrize("name", ["index.html", "plan.html"])
@pytest.mark.parametrize("width", [DESK, PHONE])
@pytest.mark.parametrize("is_dark", [False, True])
def test_it_opens_whole_and_fetches_nothing(opened, name, width, is_dark):
    tab, folder = opened
    tab.open(folder / name, width=width, is_dark=is_dark)

    assert tab.asked == [(folder / name).as_uri()]
    assert tab.complaints == []
    assert tab.value("window.innerWidth") == width
    assert tab.value("document.documentElement.scrollWidth") <= width
    assert tab.value("document.querySelector('h1').getBoundingClientRect().bottom") < 400
    background = tab.value("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") is not is_dark
    assert tab.value("document.title") == tab.value("document.querySelector('h1').textContent")


def test_its_charts_are_drawn_in_their_colours(opened):
    tab, folder = opened
    tab.open(folder / "index.html", width=DESK)
    drawn = tab.value(
        "[...document.querySelectorAll('[data-what=customers][data-unit=records] svg.bar rect')].map(one =>"
        " [one.querySelector('title').textContent, getComputedStyle(one).fill, one.getBoundingClientRect().width])"
    )
    assert [title for title, _, _ in drawn] == ["delivered: 2", "unchanged: 1", "quarantined: 1", "in doubt: 1"]
    assert len({colour for _, colour, _ in drawn}) == 4
    assert "rgb(0, 0, 0)" not in {colour for _, colour, _ in drawn}
    assert drawn[0][2] > drawn[1][2] > 100


def test_a_browser_that_is_asked_for_something_outside_is_noticed(opened, tmp_path):
    tab, _ = opened
    spoilt = tmp_path / "spoilt.html"
    spoilt.write_text("<!DOCTYPE html><title>x</title><h1>x</h1><img src='http://outside.invalid/x.png'>")
    tab.open(spoilt, width=DESK)
    assert "http://outside.invalid/x.png" in tab.asked
    assert tab.complaints
