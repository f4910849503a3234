"""What a read-back asks of the ledger and writes there, on every database."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, select

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.verification import candidates, outcomes
from masivo_engine.ledger.verification.pending import (
    WAITING,
    choose,
    choose_all,
    delivered_in,
    found_since,
    last_run_that_delivered,
    not_shown_of,
    sent_to,
    settle,
    states_of,
    wait_on,
    waiting_ids,
    waiting_in,
)
from masivo_engine.ledger.verification.read_budget import Reads, usual_reads
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.account import account
from masivo_engine.verification.sample import Chooser
from tests.builders import (
    REWARD,
    adopted,
    begin,
    customer,
    end,
    entity_of,
    event,
    quarantined,
    rejection,
    see,
    send,
    transaction,
)
from tests.told import in_state


def deliver(ledger, run, *records, **how):
    """Have a slice of *run* send *records*, and end."""
    mine = claim(ledger, run, records[0].entity, 1)
    send(mine, *records, **how)
    mine.finish(len(records))


@pytest.fixture
def run(ledger):
    number = begin(ledger)
    deliver(ledger, number, *(customer(f"C{n:02}", points=n) for n in range(20)))
    return number


def chosen(ledger, run):
    return [one.customer for one in waiting_in(ledger, 0, 10**9) if one.run == run]


def test_everybody_waits_to_be_read_and_what_was_found_earlier_is_looked_for_again(ledger, run):
    choose_all(ledger, [run], now())
    assert sorted(chosen(ledger, run)) == [f"C{n:02}" for n in range(20)]
    first = waiting_in(ledger, 0, 10**9)[0]
    variance = {"run": run, "entity": "customers", "key": first.customer, "customer": first.customer, "bucket": "sign"}
    everybody = sent_to(ledger, [f"C{n:02}" for n in range(20)])
    settle(ledger, everybody, [variance], waiting_ids(ledger, [run]))
    assert chosen(ledger, run) == []
    choose_all(ledger, [run], now())
    assert chosen(ledger, run) == [first.customer]


def test_ids_of_findings_follow_those_of_the_rows_that_waited(ledger, run):
    """The count of what a read-back found rests on it."""
    choose(ledger, [run], {"C00": (run, "named")}, now())
    (first,) = waiting_ids(ledger, [run])
    found = {"run": run, "entity": "customers", "key": "C00", "customer": "C00", "bucket": "missing"}
    settle(ledger, [], [found], [first])
    assert found_since(ledger, [run], first) == {(Entity.CUSTOMERS, "missing"): 1}
    choose(ledger, [run], {"C01": (run, "named")}, now())
    (second,) = waiting_ids(ledger, [run])
    assert found_since(ledger, [run], second) == {(Entity.CUSTOMERS, WAITING): 1}


def test_who_is_not_visible_yet_is_due_later_and_the_reads_are_counted(ledger, run):
    choose(ledger, [run], {"C00": (run, "named")}, now())
    (first,) = waiting_ids(ledger, [run])
    due = now().replace(microsecond=0) + timedelta(hours=1)
    wait_on(ledger, [first], due)
    (one,) = waiting_in(ledger, first, first)
    assert (one.reads, one.due) == (1, due)


def test_only_what_was_not_sent_again_meanwhile_becomes_confirmed(ledger):
    run = begin(ledger)
    deliver(ledger, run, customer("A"), customer("B"))
    asked = sent_to(ledger, ["A", "B"])
    later = begin(ledger, "later")
    deliver(ledger, later, customer("B", content="new"))
    settle(ledger, asked, [], [])
    assert in_state(ledger.engine, "confirmed") == {("customers", "A")}
    assert states_of(ledger, [run]) == {(Entity.CUSTOMERS, "confirmed"): 1, (Entity.CUSTOMERS, "delivered"): 1}
    assert states_of(ledger, [later]) == {(Entity.CUSTOMERS, "delivered"): 1}


def test_a_confirmation_is_of_the_content_that_was_read_back(ledger):
    run = begin(ledger)
    deliver(ledger, run, customer("A"))
    settle(ledger, sent_to(ledger, ["A"]), [], [])
    assert in_state(ledger.engine, "confirmed") == {("customers", "A")}
    deliver(ledger, begin(ledger, "later"), customer("A", content="new"))
    assert in_state(ledger.engine, "confirmed") == set()
    assert in_state(ledger.engine, "delivered") == {("customers", "A")}


def test_what_is_in_doubt_by_now_is_confirmed_as_it_was_delivered(ledger):
    run = begin(ledger)
    deliver(ledger, run, customer("A", points=3))
    deliver(ledger, begin(ledger, "later"), customer("A", points=5), state=BatchState.IN_DOUBT)
    there, out = sent_to(ledger, ["A"])
    assert (there.arrived, there.points, out.arrived, out.points) == (True, 3, False, 5)
    settle(ledger, [there], [], [])
    assert states_of(ledger, [run]) == {(Entity.CUSTOMERS, "confirmed"): 1}
    assert in_state(ledger.engine, "in_doubt") == {("customers", "A")}


@pytest.mark.parametrize("seen_since", [False, True])
@pytest.mark.parametrize("has_ended", [False, True])
def test_the_account_of_the_run_that_delivered_it_says_that_it_is_confirmed(ledger, seen_since, has_ended):
    run = begin(ledger)
    deliver(ledger, run, customer("A", points=3), customer("B", points=5), customer("C", points=1))
    if has_ended:
        freeze(ledger, run)
    if seen_since:
        mine = claim(ledger, begin(ledger, "later"), Entity.CUSTOMERS, 1)
        see(mine, *(end(customer(key, points=n), State.UNCHANGED) for key, n in (("A", 3), ("B", 5))))
        mine.finish(2)
    for _ in range(2):  # the second time there is nothing left to confirm
        settle(ledger, sent_to(ledger, ["A", "B"]), [], [])
        one = entity_of(account(ledger, str(run)))
        assert one.states == {"confirmed": 2, "delivered": 1}
        assert (one.points["confirmed"], one.points["delivered"]) == (8, 1)
        assert one.adds_up
    freeze(ledger, run)
    assert entity_of(account(ledger, str(run))).states == {"confirmed": 2, "delivered": 1}
    if seen_since:
        assert entity_of(account(ledger)).states == {"unchanged": 2}


def test_what_a_person_stated_is_nothing_to_be_confirmed(ledger):
    run = begin(ledger)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    see(mine, adopted(customer("A", points=3)))
    mine.finish(1)
    freeze(ledger, run)
    assert candidates.count(ledger, [run]) == 0
    (one,) = sent_to(ledger, ["A"])
    assert (one.arrived, one.batch, one.points) == (True, None, 3)
    settle(ledger, [one], [], [])
    assert entity_of(account(ledger)).states == {"unchanged": 1}


def test_what_is_in_doubt_may_be_there_and_is_not_counted_as_delivered(ledger):
    run = begin(ledger, "run", Entity.CUSTOMERS, Entity.EVENTS)
    deliver(ledger, run, customer("A", points=3))
    assert last_run_that_delivered(ledger) == run
    later = begin(ledger, "later", Entity.EVENTS)
    deliver(ledger, later, event("E1", "A"), state=BatchState.IN_DOUBT)
    assert last_run_that_delivered(ledger) == run
    assert delivered_in(ledger, run) == 1
    assert delivered_in(ledger, later) == 0
    assert [(one.key, one.arrived, one.points) for one in sent_to(ledger, ["A"])] == [
        ("A", True, Decimal(3)),
        ("E1", False, Decimal(0)),
    ]


def test_what_was_sent_is_told_as_it_was_sent_and_to_whom(ledger):
    run = begin(ledger, "run", Entity.TRANSACTIONS)
    deliver(ledger, run, transaction("T1", "A", 7))
    mine = claim(ledger, begin(ledger, "later", Entity.TRANSACTIONS), Entity.TRANSACTIONS, 1)
    see(mine, end(transaction("T1", "B", 9), State.HELD, "changed_after_delivery"))
    (one,) = sent_to(ledger, ["A"])
    assert (one.customer, one.points, one.reward, one.arrived) == ("A", 7, REWARD, True)
    assert sent_to(ledger, ["B"]) == []
    assert candidates.runs_of(ledger, ["A", "B"]) == {"A": run}


def test_a_sample_looks_where_things_go_wrong_and_draws_the_rest(ledger):
    run = begin(ledger, "run", Entity.CUSTOMERS, Entity.EVENTS)
    deliver(ledger, run, *(customer(f"C{n:03}", points=n % 50) for n in range(200)))
    bad = rejection(Entity.EVENTS, "E9", "not_a_date", "issued_at", "text", owner="C077")
    see(claim(ledger, run, Entity.EVENTS, 1), quarantined(bad))
    made, parts = Chooser(ledger, [run], None, settle_after_s=0, seed="x").choose(size=40)
    assert (made.all, made.chosen, len(parts)) == (200, 40, 1)
    names = chosen(ledger, run)
    assert len(set(names)) == len(names) == 40
    assert {"C077", "C000", "C199", "C049", "C099"} <= set(names)
    with ledger.reading() as connection:
        finding = schema.finding
        why = dict(connection.execute(select(finding.c.expected, func.count()).group_by(finding.c.expected)).all())
    assert why["random"] == made.random
    assert why["every reason"] == 1
    assert why["top balance"] == 4
    again, _ = Chooser(ledger, [run], None, settle_after_s=0, seed="x").choose(size=40)
    assert again.chosen == 40
    assert f"{made.random} of them drawn at random" in str(made)


def test_a_choice_that_holds_everybody_says_so(ledger, run):
    made, _ = Chooser(ledger, [run], None, settle_after_s=0, seed="x").choose(size=500)
    assert str(made) == f"all 20 customers of run {run}"


def test_the_first_reading_waits_for_the_queue(ledger, run):
    Chooser(ledger, [run], None, settle_after_s=3600, seed="x").choose(size=None)
    assert all(one.due > now() + timedelta(minutes=50) for one in waiting_in(ledger, 0, 10**9))


def test_named_customers_are_read_and_nobody_else(ledger, run):
    made, _ = Chooser(ledger, [run], None, settle_after_s=0, seed="x").choose(size=None, customers=["C03", "nobody"])
    assert chosen(ledger, run) == ["C03"]
    assert (made.chosen, made.random) == (1, 0)


def test_a_named_customer_is_read_for_the_run_that_delivered_to_it_last(ledger, run):
    later = begin(ledger, "later")
    deliver(ledger, later, customer("D1"))
    made, parts = Chooser(ledger, [later], None, settle_after_s=0, seed="x").choose(size=None, customers=["C03"])
    assert (made.runs, made.chosen, len(parts)) == ((run,), 1, 1)
    assert chosen(ledger, run) == ["C03"]


def test_what_a_read_back_set_out_to_read_is_kept_for_each_of_its_runs(ledger, run):
    later = begin(ledger, "later")
    deliver(ledger, later, customer("C00", content="new"), customer("D1"))
    for size, drawn in ((None, {run: 19, later: 2}), (4, None)):
        made, _ = Chooser(ledger, [run, later], None, settle_after_s=0, seed="x").choose(size=size)
        outcomes.begin(ledger, f"verify {size}", made.runs)
        outcomes.begin(ledger, f"verify {size}", made.runs)
        last = {number: outcomes.of_run(ledger, number)[-1] for number in made.runs}
        assert {number: one.customers for number, one in last.items()} == {run: 19, later: 2}
        assert sum(one.chosen for one in last.values()) == made.chosen
        assert sum(one.drawn for one in last.values()) == made.random
        assert drawn is None or {number: one.drawn for number, one in last.items()} == drawn
    assert [one.read_by for one in outcomes.of_run(ledger, run)] == ["verify None", "verify 4"]
    outcomes.judge(ledger, "verify 4", "x" * 300)
    first, second = outcomes.of_run(ledger, later)
    assert (first.judged_at, first.outcome) == (None, "")
    assert second.judged_at
    assert second.outcome == "x" * 250


@pytest.mark.parametrize("has_ended", [False, True])
def test_what_the_api_cannot_show_stays_delivered_and_is_not_chosen_again(ledger, run, has_ended):
    sent = {one.key: one for one in sent_to(ledger, [f"C{n:02}" for n in range(20)])}
    if has_ended:
        freeze(ledger, run)
    for _ in range(2):
        settle(ledger, [sent["C00"]], [], [], not_shown=[sent["C01"]])
        assert {one.key for one in sent_to(ledger, list(sent)) if one.is_not_shown} == {"C01"}
        assert not_shown_of(ledger, [run]) == {Entity.CUSTOMERS: 1}
        assert states_of(ledger, [run]) == {(Entity.CUSTOMERS, "confirmed"): 1, (Entity.CUSTOMERS, "delivered"): 19}
        assert candidates.count(ledger, [run]) == 18


def test_edges_are_spread_over_the_batches(ledger):
    run = begin(ledger)
    mine = claim(ledger, run, Entity.CUSTOMERS, 1)
    for number in range(12):
        send(mine, *(customer(f"B{number:02}-{n}") for n in range(3)), number=number + 1)
    assert candidates.edges(ledger, [run], 100) == [f"B{number:02}-{n}" for number in range(12) for n in (0, 2)]
    some = candidates.edges(ledger, [run], 6)
    assert len(some) == 6
    assert len({name[:3] for name in some}) == 6


def test_the_reads_of_a_day_are_counted_for_all_read_backs_together(ledger):
    reads = Reads(ledger, 3)
    assert [reads.take() for _ in range(2)] == [True, True]
    other = Reads(ledger, 3)
    assert [other.take(), other.take(), reads.take()] == [True, False, False]
    assert Reads(ledger, 5).left() == 2
    assert Reads(ledger, None).left() is None
    assert Reads(ledger, None).take()


def test_accounts_for_development_are_told_by_their_hourly_limit():
    assert usual_reads(250) == 600
    assert usual_reads(1000) is None
