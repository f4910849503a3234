"""
What Airflow's UI shows of the ledger: the same numbers as the account, at any moment of a run, and
nothing that its reader could be harmed by.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from sqlalchemy import delete, event, insert, make_url, update

from masivo.connections import engines
from masivo_engine.ledger import dialects, schema
from masivo_engine.ledger.connection import Ledger, now
from masivo_engine.ledger.runs.runs import begin_run, finish_run, keep_plan
from masivo_engine.ledger.verification import outcomes
from masivo_engine.ledger.verification.pending import WAITING
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import DRY_RUN, Covers, RunKind, Window
from masivo_engine.reports.account import account
from masivo_engine.reports.overview import lane_state, newest_runs, open_rows
from masivo_engine.reports.pages.live_page import REFRESH_S, message_page, plan_as_it_stands, run_page, runs_page
from masivo_engine.verification.differences import Bucket
from tests.builders import customer, end, see, send
from tests.builders import event as sale
from tests.include.reports.pages_read import Page, number, references
from tests.include.reports.small_packs import HOSTILE, LIMITS, begin, plan_of, work_off


LINKS = {"all": "/masivo/", "plan": "/masivo/plan"}


def runs(ledger):
    return runs_page(ledger, LIMITS, lambda name: f"/masivo/runs/{name}")


def run(ledger, run_id="run"):
    return run_page(ledger, run_id, LIMITS, LINKS)


def refreshes(text):
    return [
        known["content"] for tag, known in Page(text).tags if tag == "meta" and known.get("http-equiv") == "refresh"
    ]


def test_a_run_that_has_ended_is_shown_as_its_account_has_it(ledger):
    work_off(ledger, begin(ledger))
    text, made = run(ledger), account(ledger, "run", LIMITS)
    seen = Page(text)

    for one in made.entities:
        shown = seen.equations["records", one.entity.value]
        assert shown.pop("whole") == one.read == sum(shown.values())
        assert {state: n for state, n in shown.items() if n} == one.states
        assert seen.verdicts[one.entity.value] == "✓ adds up"
    assert seen.troubles == {(t.state, t.entity.value, t.reason, t.column): t.rows for t in made.troubles}
    assert "All 8 rows are accounted for: 4 delivered, 1 unchanged, 2 need a person and 1 waits." in seen.text
    assert refreshes(text) == []
    assert "progress" not in seen.cells


def test_a_run_under_way_says_how_far_it_is_and_looks_again(ledger):
    number_of_it = begin(ledger)
    plan = plan_of("customers")
    plan["entities"]["customers"]["requests"] = 3
    keep_plan(ledger, number_of_it, json.dumps(plan))
    mine = claim(ledger, number_of_it, Entity.CUSTOMERS, 1)
    send(mine, customer("A", points=1250), customer("B", points=8))
    text = run(ledger)
    seen = Page(text)

    assert refreshes(text) == [str(REFRESH_S)]
    cells = seen.cells["progress"]
    assert (number(cells["customers", "requests"]), number(cells["customers", "planned"])) == (1, 3)
    assert number(cells["customers", "records sent"]) == 2
    assert seen.equations["records", "customers"]["delivered"] == 2
    assert "This run is not finished" in seen.text
    assert seen.cells["progress"].get(("events", "planned"), "") == ""


def test_a_run_without_a_plan_does_not_guess_how_much_is_left(ledger):
    begin(ledger)
    assert "the plan is being made" in Page(run(ledger)).text


@pytest.mark.parametrize(
    ("kind", "outcome", "said", "is_good"),
    [
        ("full", None, "This run is not finished: 0 rows are read so far.", False),
        ("full", "not planned: nothing was sent", "This run is red: not planned: nothing was sent.", False),
        (DRY_RUN, None, "This dry run is not finished; nothing will be sent.", False),
        (DRY_RUN, "not planned: nothing was sent", "This dry run is red: not planned: nothing was sent.", False),
        ("increment", "adds up", "There was nothing to read: no row was in what this run covers.", True),
    ],
)
def test_a_run_that_has_read_nothing_says_why(ledger, kind, outcome, said, is_good):
    covers = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()
    number_of_it = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers=covers, kind=kind).number
    if outcome:
        finish_run(ledger, number_of_it, outcome)
    text = run(ledger)

    assert said in Page(text).text
    assert ("headline", "good") in {
        tuple((known.get("class") or "").split()) for _, known in Page(text).tags
    } or not is_good
    assert (refreshes(text) == []) is (outcome is not None)
    assert "No request that was planned is left." not in Page(text).text


def test_a_run_whose_name_is_a_number_is_not_taken_for_another(ledger):
    work_off(ledger, begin(ledger, "first"))
    known = newest_runs(ledger, 1)[0].number
    begin(ledger, str(known))
    assert "All 8 rows" not in Page(run(ledger, str(known))).text


def test_a_run_that_a_newer_one_of_its_kind_follows_is_not_called_under_way(ledger):
    begin(ledger, "given up in Airflow")
    second = begin(ledger, "after it")
    assert refreshes(runs(ledger)) == [str(REFRESH_S)]
    assert Page(runs(ledger)).text.count("broken off") == 1
    finish_run(ledger, second, "adds up")
    assert "never finished; the next run went on" in Page(runs(ledger)).text
    assert refreshes(runs(ledger)) == []
    assert "Under way" not in Page(runs(ledger)).text


def test_a_run_that_is_being_read_back_is_looked_at_again(ledger):
    number_of_it = begin(ledger)
    work_off(ledger, number_of_it)
    assert refreshes(run(ledger)) == []
    with ledger.engine.begin() as connection:
        read = {"run": number_of_it, "read_by": "verify", "customers": 9, "chosen": 5, "drawn": 2, "chosen_at": now()}
        connection.execute(insert(schema.readback), read)
    assert refreshes(run(ledger)) == [str(REFRESH_S)]


def test_a_dry_run_has_no_account_and_shows_its_plan(ledger):
    number_of_it = begin(ledger, kind=DRY_RUN)
    keep_plan(ledger, number_of_it, json.dumps(plan_of("T")))
    finish_run(ledger, number_of_it, "dry run: nothing was sent")
    text = run(ledger)

    assert "This was a dry run: nothing was sent." in Page(text).text
    assert LINKS["plan"] in references(text)
    assert Page(text).equations == {}
    assert "What will become of every row" in plan_as_it_stands(ledger, "run")


def test_a_run_that_was_not_planned_has_no_plan_to_show(ledger):
    begin(ledger)
    assert plan_as_it_stands(ledger, "run") == ""
    assert LINKS["plan"] not in references(run(ledger))


def test_what_a_read_back_found_is_shown_without_a_file_beside_it(ledger):
    number_of_it = begin(ledger)
    work_off(ledger, number_of_it)
    with ledger.engine.begin() as connection:
        read = {"run": number_of_it, "read_by": "verify", "customers": 9, "chosen": 5, "drawn": 2, "chosen_at": now()}
        connection.execute(insert(schema.readback), read | {"judged_at": now(), "outcome": ""})
        found = {"run": number_of_it, "entity": "transactions", "key": "T1", "customer": "A", "found_at": now()}
        buckets = [found | {"bucket": name, "expected": "10", "found": ""} for name in (Bucket.MISSING, WAITING)]
        connection.execute(insert(schema.finding), buckets)
    text = run(ledger)

    assert Page(text).findings == {("transactions", Bucket.MISSING): 1}
    assert "findings.csv" not in text
    assert outcomes.runs_of(ledger, "verify") == ["run"]
    assert outcomes.runs_of(ledger, "another") == []


def test_a_run_that_the_ledger_does_not_know_is_an_error(ledger):
    with pytest.raises(LedgerError, match="the ledger knows no run 'none'"):
        run(ledger, "none")


def test_all_runs_are_shown_newest_first_with_what_each_sent(ledger):
    work_off(ledger, begin(ledger, "first"))
    begin(ledger, "second")
    text = runs(ledger)
    seen = Page(text)

    assert [line.name for line in newest_runs(ledger, 9)] == ["second", "first"]
    assert [line.name for line in newest_runs(ledger, 1)] == ["second"]
    assert number(seen.cells["runs"]["first", "records sent"]) == account(ledger, "first", LIMITS).sent == 5
    assert number(seen.cells["runs"]["first", "requests"]) == 3
    assert seen.cells["runs"]["first", "outcome"] == "adds up"
    assert seen.cells["runs"]["second", "outcome"] == "not finished"
    assert {"/masivo/runs/first", "/masivo/runs/second"} <= references(text)
    assert refreshes(text) == [str(REFRESH_S)]
    assert "Under way: second." in seen.text


def test_what_stayed_behind_is_counted_once_whoever_read_it_last(ledger):
    work_off(ledger, begin(ledger, "first"))
    assert {(one.entity, one.state, one.reason, one.column): (one.rows, one.points) for one in open_rows(ledger)} == {
        (Entity.CUSTOMERS, State.QUARANTINED, "missing_value", "name"): (1, Decimal("3.5")),
        (Entity.CUSTOMERS, State.IN_DOUBT, "server_error", ""): (1, 1),
        (Entity.EVENTS, State.HELD, "customer_quarantined", ""): (1, 0),
    }
    assert "2 rows need a person and 1 row waits." in Page(runs(ledger)).text

    again = begin(ledger, "second", Entity.EVENTS)
    mine = claim(ledger, again, Entity.EVENTS, 1)
    see(mine, end(sale("2", "A"), State.HELD, "customer_missing"))
    send(mine, sale("1", "D"))
    mine.finish(2)
    finish_run(ledger, again, "adds up")

    assert [(one.reason, one.rows) for one in open_rows(ledger) if one.entity is Entity.EVENTS] == [
        ("customer_missing", 1)
    ]
    seen = Page(runs(ledger))
    assert seen.troubles[State.IN_DOUBT, "customers", "server_error", ""] == 1
    assert "2 rows need a person and 1 row waits." in seen.text
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).values(gone_run=again))
    assert open_rows(ledger) == []


def test_a_red_run_is_the_first_thing_that_is_read(ledger):
    number_of_it = begin(ledger)
    work_off(ledger, number_of_it)
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.run).values(outcome="3 rows are newly in trouble"))
    assert "The newest run that ended is red: 3 rows are newly in trouble." in Page(runs(ledger)).text


def test_a_ledger_without_runs_says_so(ledger):
    seen = Page(runs(ledger))
    assert "No run has read anything yet." in seen.text
    assert "No row is quarantined, held or in doubt." in seen.text
    assert lane_state(ledger).last_hour == 0


def test_the_lane_is_shown_by_the_ledgers_own_clock(ledger):
    with ledger.engine.begin() as connection:
        at = dialects.now(connection)
        connection.execute(
            insert(schema.lane).values(account=ledger.account, next_at=at, frozen_until=at + 500, margin_s=0.2)
        )
        starts = [{"account": ledger.account, "at": moment} for moment in (at - 4000, at - 60, at - 5, at + 300)]
        connection.execute(insert(schema.start), starts)
    found = lane_state(ledger)

    assert found.last_hour == 2
    assert 0 < found.frozen_s <= 500
    assert found.margin_s == 0.2
    assert "stands still for" in Page(runs(ledger)).text
    with ledger.engine.begin() as connection:
        connection.execute(delete(schema.lane))
    assert lane_state(ledger).frozen_s == 0


def test_nothing_in_it_can_be_turned_against_its_reader(ledger):
    number_of_it = begin(ledger, HOSTILE)
    keep_plan(ledger, number_of_it, json.dumps(plan_of(HOSTILE)))
    mine = claim(ledger, number_of_it, Entity.CUSTOMERS, 1)
    send(mine, customer("C", points=1), state=BatchState.IN_DOUBT, words=HOSTILE, reason="server_error")
    see(mine, end(customer("E", points=2), State.QUARANTINED, "missing_value", HOSTILE[:64], HOSTILE))
    finish_run(ledger, number_of_it, HOSTILE)
    pages = (
        run(ledger, HOSTILE),
        runs(ledger),
        message_page(HOSTILE, "/masivo/"),
        plan_as_it_stands(ledger, HOSTILE),
    )

    for text in pages:
        assert {tag for tag, _ in Page(text).tags}.isdisjoint({"script", "img", "iframe", "form", "link", "object"})
        assert {where for where in references(text) if not where.startswith("/masivo/")} == set()
        assert HOSTILE in Page(text).text or "fetch('//evil.example')" in Page(text).text
    assert Decimal(1) == Page(pages[0]).equations["records", "customers"]["in_doubt"]


def test_a_large_run_is_looked_at_less_often(ledger, monkeypatch):
    mine = claim(ledger, begin(ledger), Entity.CUSTOMERS, 1)
    send(mine, customer("A"))
    monkeypatch.setattr("masivo_engine.reports.pages.live_page._LARGE", 0)
    assert refreshes(run(ledger)) == ["60"]


def test_what_stayed_behind_is_found_by_its_index(tmp_path):
    engine = engines.ledger(make_url(f"sqlite:///{tmp_path / 'ledger.sqlite'}"))
    ledger = Ledger(engine, "account")
    ledger.prepare()
    steps = []

    def explain(connection, _cursor, statement, parameters, _context, _many):
        if "FROM masivo_record" in statement and not statement.startswith("EXPLAIN"):
            found = connection.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            steps.extend(row[3] for row in found if "masivo_record" in row[3])

    event.listen(engine, "before_cursor_execute", explain)
    open_rows(ledger)
    engine.dispose()
    assert steps == ["SEARCH masivo_record USING INDEX masivo_record_open (entity=? AND state=?)"]
