"""
Runs of every kind over a shop that changes: no change is missed, none is sent twice, and what a
person decides is done and written down.

Every test is a journey of its own through the engine or the operators, over real HTTP, into a
sandbox.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException
from sqlalchemy import delete

from masivo_engine.ledger.runs.coverage import covered
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.planning.coverage import covered_until
from masivo_engine.planning.guards import Guard
from masivo_engine.sandbox.faults.faults import Rule, Script
from tests.databases import changing
from tests.databases.changing import FILES, INCREMENT, SWEEP, booking, line, person, read, sale, states
from tests.whole_migration import UNLIMITED, Died


CUSTOMERS, EVENTS, TRANSACTIONS = Entity


@pytest.fixture
def opened(memory, monkeypatch):
    """Open sites; they are closed when the test is over."""

    with ExitStack() as stack:

        def open_one(legacy_url=f"sqlite:///{memory / 'legacy.sqlite'}", **options):
            ledger_url = f"sqlite:///{memory / 'ledger.sqlite'}"
            return stack.enter_context(changing.site(legacy_url, ledger_url, memory, monkeypatch, **options))

        yield open_one


@pytest.fixture
def site(opened):
    """A site with two customers, one purchase and a set of transactions each."""
    made = opened()
    for key in ("A", "B"):
        made.shop.add_person(key, points=5)
        made.shop.add_sale(f"S{key}", key)
        made.shop.add_booking(f"T{key}", key)
    return made


def covered_to(site, entity=CUSTOMERS):
    """Return how many minutes before now the coverage of *entity* ends."""
    mapping = site.trip.place.mapping
    end = covered_until(covered(site.trip.place.ledger, mapping.name, mapping.content_hash, entity))
    return None if end is None else (site.clock.now - end).total_seconds() / 60


# --- windows


def test_an_increment_after_a_run_that_failed_leaves_no_gap(site):
    site.run()
    site.clock.pass_minutes(120)
    site.shop.add_person("C", ago=100)
    site.shop.add_sale("SC", "C", ago=100)
    site.trip.api.dies_before = lambda _: True
    with pytest.raises(Died):
        site.trip.migrate("dead", asked=INCREMENT)
    site.trip.account("dead")  # the task that always comes last
    site.clock.pass_minutes(120)
    site.shop.add_person("D", ago=30)
    made = site.run()

    assert made.adds_up
    assert {key for key in "ABCD" if site.sent(CUSTOMERS)[key] == 1} == set("ABCD")
    assert site.sent(EVENTS)["SC"] == 1
    assert covered_to(site) == 17


def test_a_row_that_was_committed_late_is_found_and_what_is_found_again_costs_no_request(site):
    site.run()
    site.clock.pass_minutes(60)
    site.shop.add_person("early", ago=10)
    assert read(site.run()) == {"customers": 1}
    site.clock.pass_minutes(10)
    site.shop.add_person("late", ago=20)  # ten minutes before the last run, and not there then
    posts = len(site.trip.posts())
    made = site.run()

    assert read(made) == {"customers": 2}
    assert states(made, CUSTOMERS) == {State.DELIVERED: 1, State.UNCHANGED: 1}
    assert len(site.trip.posts()) == posts + 1
    assert site.sent(CUSTOMERS)["early"] == site.sent(CUSTOMERS)["late"] == 1


def test_rows_of_one_change_time_at_the_edge_of_two_windows_are_read_by_the_second(legacy_url, opened):
    site = opened(legacy_url, windows={"overlap": 0, "lag": 2})
    site.shop.add_person("A", ago=2.1)
    site.shop.add_person("B", ago=2)
    site.shop.add_person("C", ago=2)
    assert read(site.run()) == {"customers": 1}
    site.clock.pass_minutes(5)
    made = site.run()

    assert read(made) == {"customers": 2}
    assert site.sent(CUSTOMERS) == {"A": 1, "B": 1, "C": 1}
    site.clock.pass_minutes(5)
    assert read(site.run()) == {}


def test_what_was_just_written_is_left_to_the_next_run(site):
    site.shop.add_person("new", ago=1)
    site.run()
    assert site.sent(CUSTOMERS)["new"] == 0
    site.clock.pass_minutes(5)
    site.run()
    assert site.sent(CUSTOMERS)["new"] == 1


@pytest.mark.parametrize("customers", [(), ("A",)], ids=["window", "customers"])
def test_a_manual_run_does_not_move_the_coverage_over_what_it_did_not_read(site, customers):
    site.run()
    site.clock.pass_minutes(600)
    site.shop.add_person("between", ago=400)
    site.shop.add_person("within", ago=100)
    since = site.clock.now - timedelta(minutes=200)
    kind = RunKind.CUSTOMERS if customers else RunKind.WINDOW
    made = site.run(Asked(kind, since=None if customers else since, customers=customers))
    assert read(made) == ({"customers": 1, "events": 1, "transactions": 1} if customers else {"customers": 1})
    assert covered_to(site) == 617
    site.run()

    assert site.sent(CUSTOMERS) == {"A": 1, "B": 1, "between": 1, "within": 1}
    assert covered_to(site) == 17


def test_a_window_behind_the_last_increment_does_not_swallow_what_is_committed_late_between_them(site):
    site.run()
    last = site.clock.now - timedelta(minutes=2)
    site.clock.pass_minutes(1)
    site.shop.add_person("late", ago=6)
    site.clock.pass_minutes(600)
    site.run(Asked(RunKind.WINDOW, since=last))
    assert site.sent(CUSTOMERS)["late"] == 0
    site.run()
    assert site.sent(CUSTOMERS)["late"] == 1


def test_a_backfill_that_runs_twice_sends_once_and_days_that_meet_count_as_covered(site):
    site.run()
    site.clock.pass_minutes(3 * 24 * 60)
    for hours in (70, 50, 30, 10):
        site.shop.add_person(f"P{hours}", ago=hours * 60)
    start = site.clock.now - timedelta(minutes=3 * 24 * 60 + 30)
    days = [Asked(RunKind.BACKFILL, start + timedelta(days=day), start + timedelta(days=day + 1)) for day in range(3)]
    for day, keys in zip(days, ({"P70", "P50"}, {"P30"}, {"P10"}), strict=True):
        before = site.sent(CUSTOMERS)
        made = site.run(day)
        assert made.adds_up
        assert set(site.sent(CUSTOMERS) - before) == keys or day is days[0]
    assert covered_to(site) == 30
    posts = len(site.trip.posts())
    for day in days:
        assert site.run(day).adds_up

    assert len(site.trip.posts()) == posts
    assert set(site.sent(CUSTOMERS).values()) == {1}


def test_one_changed_name_is_one_record_in_one_request_and_no_more_than_the_overlap_is_read(opened):
    site = opened()
    with site.shop.engine.begin() as connection:
        moments = {"old": site.clock.ago(600), "late": site.clock.ago(10)}
        rows = [
            {"id": f"{age}{n}", "name": "Ana", "points": 0, "changed_at": moments[age]}
            for age, count in (("old", 500), ("late", 7))
            for n in range(count)
        ]
        connection.execute(person.insert(), rows)
    site.run()
    posts = len(site.trip.posts())
    site.clock.pass_minutes(5)
    site.shop.change(person, "old77", name="Berta", ago=3)
    made = site.run()

    assert read(made) == {"customers": 8}
    assert states(made, CUSTOMERS) == {State.DELIVERED: 1, State.UNCHANGED: 7}
    (only,) = site.trip.posts()[posts:]
    assert [key for key, _ in only.accepted] == ["old77"]
    assert "Berta" in site.content(CUSTOMERS, "old77")[-1]


# --- what waits, and what moves with something else


def test_a_repaired_customer_frees_its_children_in_the_same_run_although_they_did_not_move(site):
    site.shop.add_person("C", points=5, name=None)
    site.shop.add_sale("SC", "C")
    site.shop.add_booking("TC", "C")
    site.run()
    assert site.stand(EVENTS, "SC") == ["held customer_quarantined"]
    site.clock.pass_minutes(600)
    site.shop.change(person, "C", name="Carla", ago=5)
    made = site.run()

    assert made.adds_up
    assert read(made) == {"customers": 1, "events": 1, "transactions": 1}
    assert site.stand(EVENTS, "SC") == site.stand(TRANSACTIONS, "TC")
    assert site.stand(EVENTS, "SC") == ["held customer_quarantined", "delivered"]


def test_a_balance_that_was_corrected_frees_the_transactions_that_did_not_add_up_to_it(site):
    site.shop.add_person("C", points=7)
    site.shop.add_booking("TC", "C", points=5)
    site.run()
    assert site.stand(TRANSACTIONS, "TC") == ["quarantined points_do_not_sum"]
    site.clock.pass_minutes(600)
    site.shop.change(person, "C", points=5, ago=5)
    site.run()
    assert site.stand(TRANSACTIONS, "TC")[-1] == "delivered"


def test_a_changed_line_counts_as_a_change_of_its_purchase(legacy_url, opened):
    settings = {"moves_with": {"events": ["order__products"]}, "policies": {"changed": {"events": "resend"}}}
    site = opened(legacy_url, **settings)
    site.shop.add_person("A")
    site.shop.add_sale("SA", "A")
    site.shop.add_sale("SB", "A")
    site.run()
    site.clock.pass_minutes(600)
    site.shop.change(line, "SA", sku="other", ago=5)
    made = site.run()

    assert read(made) == {"events": 1}
    assert [json.loads(body)["order"]["products"][0]["sku"] for body in site.content(EVENTS, "SA")] == ["A", "other"]


def test_a_line_that_did_not_move_its_purchase_is_found_by_the_sweep(opened):
    site = opened(policies={"changed": {"events": "resend"}})
    site.shop.add_person("A")
    site.shop.add_sale("SA", "A")
    site.run()
    site.clock.pass_minutes(600)
    site.shop.change(line, "SA", sku="other", ago=5)
    assert read(site.run()) == {}
    site.run(SWEEP)
    assert len(site.content(EVENTS, "SA")) == 2


# --- policies


CHANGES = {CUSTOMERS: (person, "A", {"name": "Berta"}), EVENTS: (sale, "SA", {"cents": 700})}
CHANGES[TRANSACTIONS] = (booking, "TA", {"points": 6})


@pytest.mark.parametrize(
    ("entity", "policy", "stand", "times"),
    [
        (CUSTOMERS, None, "delivered", 2),
        (CUSTOMERS, "resend", "delivered", 2),
        (CUSTOMERS, "hold", "held changed_after_delivery", 1),
        (CUSTOMERS, "ignore", "unchanged change_ignored", 1),
        (EVENTS, None, "held changed_after_delivery", 1),
        (EVENTS, "resend", "delivered", 2),
        (EVENTS, "hold", "held changed_after_delivery", 1),
        (EVENTS, "ignore", "unchanged change_ignored", 1),
        (TRANSACTIONS, None, "held changed_after_delivery", 1),
        (TRANSACTIONS, "ignore", "unchanged change_ignored", 1),
    ],
)
def test_what_changed_after_delivery_is_treated_by_its_policy(opened, entity, policy, stand, times):
    site = opened(policies={"changed": {entity.value: policy}} if policy else {})
    site.shop.add_person("A", points=5)
    site.shop.add_sale("SA", "A")
    site.shop.add_booking("TA", "A")
    site.run()
    site.clock.pass_minutes(600)
    table, key, values = CHANGES[entity]
    site.shop.change(table, key, ago=5, **values)
    made = site.run()

    assert made.adds_up
    assert site.stand(entity, key) == ["delivered", stand]
    assert site.sent(entity)[key] == times


def test_a_policy_that_is_eased_frees_what_it_held(site):
    site.run()
    site.clock.pass_minutes(600)
    site.shop.change(sale, "SA", cents=700, ago=5)
    site.run()
    site.clock.pass_minutes(600)
    site.remaps(policies={"changed": {"events": "resend"}})
    site.run()
    assert site.stand(EVENTS, "SA") == ["delivered", "held changed_after_delivery", "delivered"]


def test_new_transactions_are_held_until_the_operator_states_that_the_account_takes_them(site):
    site.run()
    site.clock.pass_minutes(600)
    site.shop.add_booking("TA2", "A", points=3, ago=5)
    site.shop.change(person, "A", points=8, ago=5)
    site.run()
    assert site.stand(TRANSACTIONS, "TA2") == ["held transactions_already_migrated"]
    site.clock.pass_minutes(600)
    site.remaps(policies={"new_transactions": "send"})
    site.run()
    assert site.stand(TRANSACTIONS, "TA2")[-1] == "delivered"
    assert site.sent(TRANSACTIONS) == {"TA": 1, "TB": 1, "TA2": 1}


def test_new_transactions_go_only_if_all_that_the_customer_has_adds_up_to_the_balance(opened):
    site = opened(policies={"new_transactions": "send"})
    site.shop.add_person("A", points=5)
    site.shop.add_booking("TA", "A")
    site.run()
    site.clock.pass_minutes(600)
    site.shop.add_booking("TA2", "A", points=3, ago=5)
    site.run()
    assert site.stand(TRANSACTIONS, "TA2") == ["quarantined points_do_not_sum"]
    site.clock.pass_minutes(600)
    site.shop.change(person, "A", points=8, ago=5)
    site.run()

    assert site.stand(TRANSACTIONS, "TA2")[-1] == "delivered"
    assert site.sent(TRANSACTIONS) == {"TA": 1, "TA2": 1}


# --- a mapping that changes


SHOUTING = {"customers.sql": FILES["customers.sql"].replace("p.name AS name", "UPPER(p.name) AS name")}


def test_a_mapping_that_makes_other_records_of_delivered_rows_is_refused_with_what_it_would_cost(site):
    site.sync()
    site.remaps(SHOUTING)
    posts = len(site.trip.posts())
    for _ in range(2):
        with pytest.raises(
            AirflowFailException, match=r"2 of 2 customers that the API has .*; sending them all takes 1 requests"
        ):
            site.sync()
    assert len(site.trip.posts()) == posts


@pytest.mark.slow
def test_a_mapping_that_changes_no_record_asks_nobody(site):
    site.sync()
    site.remaps({"customers.sql": FILES["customers.sql"] + "\n-- people\n"})
    site.clock.pass_minutes(60)
    site.shop.add_person("C", ago=10)
    site.sync()
    assert site.sent(CUSTOMERS)["C"] == 1


@pytest.mark.parametrize(
    ("choice", "stand", "times"),
    [("send_all", "delivered", 2), ("from_now_on", "unchanged adopted", 1), ("adopt", "unchanged adopted", 1)],
)
@pytest.mark.slow
def test_what_a_changed_mapping_does_to_delivered_rows_is_a_persons_choice(site, choice, stand, times):
    site.sync()
    site.remaps(SHOUTING)
    site.shop.add_person("new")
    site.sync(mapping_change=choice, confirm=choice, user="berta")

    assert site.stand(CUSTOMERS, "A") == ["delivered", stand]
    assert site.sent(CUSTOMERS)["A"] == times
    assert site.sent(CUSTOMERS)["new"] == (0 if choice == "adopt" else 1)
    assert site.released() == [(choice, "", "berta")]
    site.clock.pass_minutes(60)
    posts = len(site.trip.posts())
    site.sync()
    site.sync("sweep")
    assert len(site.trip.posts()) == posts


def test_a_choice_whose_run_did_not_get_through_decides_nothing(site):
    """What it had not come to would else be taken for changed, or never be looked at."""
    site.sync()
    site.remaps(SHOUTING)
    site.shop.change(person, "A", points=None, ago=-100_000)
    with pytest.raises(AirflowFailException, match="in the future"):
        site.sync(mapping_change="from_now_on", confirm="from_now_on")
    site.shop.change(person, "A", points=None, ago=100)
    with pytest.raises(AirflowFailException, match="1 of 2 customers that the API has"):
        site.sync()


def test_what_was_adopted_from_an_earlier_tool_is_never_sent_and_its_children_may_go(site):
    site.sync(mapping_change="adopt", confirm="adopt", entities=["customers"])
    assert site.trip.posts() == []
    site.clock.pass_minutes(60)
    site.sync()

    assert site.sent(CUSTOMERS) == {}
    assert site.sent(EVENTS) == {"SA": 1, "SB": 1}
    assert site.sent(TRANSACTIONS) == {"TA": 1, "TB": 1}


def test_everything_that_was_adopted_stays_unsent_until_it_changes(site):
    site.sync(mapping_change="adopt", confirm="adopt")
    site.clock.pass_minutes(60)
    site.shop.change(person, "A", name="Berta", ago=5)
    site.shop.change(booking, "TB", points=6, ago=5)
    site.sync()
    site.sync("sweep")

    # The API shows nobody of that name, so no probe can tell what a second sending would do.
    assert site.stand(CUSTOMERS, "A")[-1] == "held awaits_probe"
    assert site.stand(TRANSACTIONS, "TB")[-1] == "held changed_after_delivery"
    assert site.everything_sent() == {}
    site.sync("replay", keys=["A"], entities=["customers"])
    assert site.everything_sent() == {"A": 1}


# --- guards


def empty(site):
    for table in (person, sale, booking):
        with site.shop.engine.begin() as connection:
            connection.execute(delete(table))


def restored(site):
    for table in (person, sale, booking):
        with site.shop.engine.begin() as connection:
            connection.execute(delete(table))
    site.shop.add_person("other", ago=9_000)
    site.shop.add_sale("SX", "other", ago=9_000)
    site.shop.add_booking("TX", "other", ago=9_000)


def in_the_future(site):
    site.shop.change(person, "A", ago=-3_000)


def dropped(site):
    without = FILES["events.sql"].replace("'B1' AS brand_id,", "")
    site.remaps({"events.sql": without})


GUARDS = {
    Guard.NO_ROWS: (empty, "the mapping finds no customers at all any more, and the last run found some"),
    Guard.OLDER_SOURCE: (restored, "looks restored from an older copy"),
    Guard.FUTURE_CHANGES: (in_the_future, "1 rows of customers changed after"),
    Guard.ROWS_DIFFER: (dropped, "2 of 2 events that the API has read otherwise now although they did not change"),
}


@pytest.mark.parametrize("guard", GUARDS)
@pytest.mark.slow
def test_what_is_unusual_stops_a_run_before_anything_is_sent_until_a_person_types_its_name(site, guard):
    spoil, sentence = GUARDS[guard]
    site.sync()
    site.clock.pass_minutes(60)
    spoil(site)
    site.shop.add_person("new", ago=5 if guard is not Guard.OLDER_SOURCE else 8_000)
    if guard is Guard.NO_ROWS:
        empty(site)
    posts = len(site.trip.posts())
    with pytest.raises(AirflowFailException, match=sentence) as refused:
        site.sync()
    assert f"trigger again with override '{guard}'" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(site.trip.posts()) == posts

    site.sync(override=[guard], user="berta")
    who = [(action, by) for action, entity, by in site.released() if entity in {"customers", "events"}]
    assert (guard.value, "berta") in who
    site.sync()  # and it does not stop the next one


def add_people(site, prefix, count, *, ago):
    rows = [{"id": f"{prefix}{n}", "name": "Ana", "points": 0, "changed_at": site.clock.ago(ago)} for n in range(count)]
    with site.shop.engine.begin() as connection:
        connection.execute(person.insert(), rows)


def stops(site, guard, sentence, kind="sync"):
    """Whether a run of *kind* stops for *guard*, sends nothing, and goes on with its name."""
    before = site.everything_sent()
    with pytest.raises(AirflowFailException, match=sentence) as refused:
        site.sync(kind)
    assert f"trigger again with override '{guard}'" in str(refused.value)
    assert site.everything_sent() == before
    site.sync(kind, override=[guard])


@pytest.mark.slow
def test_news_in_times_before_the_window_stop_a_run(opened):
    """The shop writes another zone since yesterday: what is new lies hours before what was read."""
    site = opened()
    site.shop.add_person("A", ago=600)
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.add_person("B", ago=300)
    stops(site, Guard.NO_ROWS, "the newest change of customers moved from .* holds none of them")


@pytest.mark.slow
def test_no_news_after_runs_with_much_of_it_stop_a_run(opened):
    site = opened()
    for number in range(3):
        add_people(site, f"P{number}-", 100, ago=30)
        site.sync()
        site.clock.pass_minutes(60)
    stops(site, Guard.NO_ROWS, "no customers changed in .* and the last 3 runs found")


@pytest.mark.parametrize(("rows", "is_stopped"), [(10, False), (11, True)])
@pytest.mark.slow
def test_rows_that_read_otherwise_although_nothing_says_why_stop_a_run(opened, rows, is_stopped):
    site = opened(policies={"changed": {"customers": "resend"}})
    add_people(site, "P", 60, ago=30)
    site.sync()
    site.clock.pass_minutes(60)
    for number in range(rows):
        site.shop.change(person, f"P{number}", name="Berta", ago=None)
    if is_stopped:
        stops(site, Guard.ROWS_DIFFER, "11 of 60 customers that the API has read otherwise .* or a driver did", "sweep")
    else:
        site.sync("sweep")
    assert site.sent(CUSTOMERS)["P0"] == 2


@pytest.mark.slow
def test_rows_that_changed_by_themselves_stop_no_run_however_many(opened):
    site = opened(policies={"changed": {"customers": "resend"}})
    add_people(site, "P", 60, ago=30)
    site.sync()
    site.clock.pass_minutes(60)
    for number in range(60):
        site.shop.change(person, f"P{number}", name="Berta", ago=10)
    site.sync("sweep")
    assert set(site.sent(CUSTOMERS).values()) == {2}


@pytest.mark.parametrize(("rows", "is_stopped"), [(10, False), (11, True)])
@pytest.mark.slow
def test_rows_that_are_gone_stop_a_sweep(opened, rows, is_stopped):
    site = opened()
    for age, prefix in ((600, "old"), (30, "new")):
        add_people(site, prefix, 60, ago=age)
        site.sync()
        site.clock.pass_minutes(60)
    for number in range(rows):
        site.shop.delete(person, f"old{number}")
    if is_stopped:
        stops(site, Guard.ROWS_GONE, "11 of 120 delivered customers are not there any more", "sweep")
    else:
        site.sync("sweep")


@pytest.mark.slow
def test_a_column_that_is_there_no_more_stops_a_run(opened):
    site = opened()
    site.remaps({"customers.sql": "SELECT * FROM people"})

    def view(columns):
        with site.shop.engine.begin() as connection:
            connection.exec_driver_sql("DROP VIEW IF EXISTS people")
            connection.exec_driver_sql(f"CREATE VIEW people AS {FILES['customers.sql'].replace(columns, '')}")

    view("nothing")
    site.shop.add_person("A")
    site.sync()
    site.clock.pass_minutes(60)
    site.shop.add_person("B", ago=20)
    view(" '2020-01-01T00:00:00Z' AS registration_date,")
    with pytest.raises(AirflowFailException, match="columns of customers changed since the last run: 'registr"):
        site.sync()
    assert site.sent(CUSTOMERS) == {"A": 1}


def test_a_dry_run_that_overrides_a_guard_decides_nothing(site):
    site.sync()
    in_the_future(site)
    site.sync(dry_run=True, override=["future_changes"])
    assert site.released() == []
    with pytest.raises(AirflowFailException, match="in the future"):
        site.sync()


# --- replay


def held_event(site):
    site.run()
    site.clock.pass_minutes(60)
    site.shop.change(sale, "SA", cents=700, ago=20)
    site.shop.change(sale, "SB", cents=700, ago=20)
    site.run()
    assert site.stand(EVENTS, "SA")[-1] == site.stand(EVENTS, "SB")[-1] == "held changed_after_delivery"


@pytest.mark.parametrize(
    ("params", "freed"),
    [
        ({"reason": ["changed_after_delivery"]}, {"SA", "SB"}),
        ({"keys": ["SA"]}, {"SA"}),
        ({"customer_ids": ["B"]}, {"SB"}),
        ({"run": "2"}, {"SA", "SB"}),
        ({"run": "1"}, set()),
        ({"run": "2", "customer_ids": ["A"], "reason": ["changed_after_delivery"]}, {"SA"}),
    ],
)
def test_a_person_releases_what_waits_by_reason_key_customer_or_run(site, params, freed):
    held_event(site)
    site.shop.change(sale, "SA", cents=900, ago=None)
    site.sync("replay", **params)

    assert {key for key, times in site.sent(EVENTS).items() if times == 2} == freed
    for key in freed:
        assert site.stand(EVENTS, key)[-2:] == ["held changed_after_delivery", "delivered"]
    if "SA" in freed:
        assert json.loads(site.content(EVENTS, "SA")[-1])["order"]["value"] == 9
    assert site.released() == ([("release", "events", "ana")] if freed else [])


def test_new_transactions_go_when_they_are_released_by_that_reason_alone(site):
    site.run()
    site.clock.pass_minutes(60)
    site.shop.add_booking("TA2", "A", points=3, ago=20)
    site.shop.change(person, "A", points=8, ago=20)
    site.run()
    site.sync("replay", customer_ids=["A"])
    assert site.sent(TRANSACTIONS)["TA2"] == 0
    site.sync("replay", reason=["transactions_already_migrated"])
    assert site.sent(TRANSACTIONS) == {"TA": 1, "TB": 1, "TA2": 1}


@pytest.fixture
def doubtful(opened):
    """
    A site whose first request of customers, events and transactions each got no answer; the API has
    none of them.
    """
    site = opened(extra=UNLIMITED | {"settle_after_s": 0, "certain_after_s": 100_000})
    site.shop.add_person("A", points=5)
    site.shop.add_sale("SA", "A")
    site.shop.add_booking("TA", "A")
    return site


def lose(site, entity):
    """Make a run in which the API does not answer for *entity*, and has taken nothing."""
    path = "/customers/migrate" + ("" if entity is CUSTOMERS else f"/{entity}")
    site.trip.sandbox.follow(Script(rules=(Rule(faults=("rst_before",), path=path),)))
    site.run()
    site.trip.sandbox.follow(Script())


@pytest.mark.parametrize("entity", list(Entity))
def test_what_is_in_doubt_can_be_settled_as_delivered(doubtful, entity):
    site, key = doubtful, CHANGES[entity][1]
    lose(site, entity)
    assert site.stand(entity, key)[-1].startswith("in_doubt")
    site.sync("replay", keys=[key], in_doubt="delivered", confirm="delivered")
    site.run()

    assert site.stand(entity, key)[0] == "delivered settled_by_person"
    assert site.sent(entity)[key] == 0
    assert ("delivered", entity.value, "ana") in site.released()
    if entity is CUSTOMERS:
        assert site.sent(EVENTS)["SA"] == 1


@pytest.mark.parametrize("entity", [CUSTOMERS, EVENTS])
def test_what_is_in_doubt_is_sent_again_if_a_person_types_so_twice(doubtful, entity):
    site, key = doubtful, CHANGES[entity][1]
    lose(site, entity)
    given = {"keys": [key], "entities": [entity.value], "in_doubt": "send_again"}
    with pytest.raises(AirflowFailException, match="type 'send_again' into confirm as well"):
        site.sync("replay", **given)
    site.sync("replay", **given, confirm="send_again")

    assert site.sent(entity)[key] == 1
    assert site.stand(entity, key)[-1] == "delivered sent_again"
    assert ("send_again", entity.value, "ana") in site.released()


def test_transactions_in_doubt_are_not_sent_again_because_a_person_says_so_before_the_queue_had_its_time(doubtful):
    site = doubtful
    lose(site, TRANSACTIONS)
    given = {"keys": ["TA"], "entities": ["transactions"], "in_doubt": "send_again"}
    with pytest.raises(AirflowFailException, match="type 'send_again' into confirm as well"):
        site.sync("replay", **given)
    site.sync("replay", **given, confirm="send_again")

    assert site.sent(TRANSACTIONS)["TA"] == 0
    assert site.stand(TRANSACTIONS, "TA") == ["in_doubt no_answer"]
    assert site.released() == [("send_again", "transactions", "ana")]


@pytest.mark.parametrize("fault", ["rst_before", "close_after_accept"])
def test_the_last_transactions_of_all_go_again_if_a_person_says_that_they_are_lost_and_the_api_shows_none(
    opened, fault
):
    site = opened(extra=UNLIMITED)
    site.shop.add_person("A", points=5)
    site.shop.add_booking("TA", "A")
    rule = Rule(faults=(fault,), path="/customers/migrate/transactions")
    site.trip.sandbox.follow(Script(rules=(rule,)))
    site.run()
    site.trip.sandbox.follow(Script())
    site.sync("sweep")
    waits = site.stand(TRANSACTIONS, "TA")[-1]
    assert waits == ("in_doubt no_answer" if fault == "rst_before" else "delivered")

    site.sync("replay", keys=["TA"], entities=["transactions"], in_doubt="send_again", confirm="send_again")
    assert site.sent(TRANSACTIONS)["TA"] == 1
    assert any(one.startswith("delivered") for one in site.stand(TRANSACTIONS, "TA"))


def test_adopting_asks_nobody_about_what_is_in_doubt_and_sends_nothing(doubtful):
    lose(doubtful, CUSTOMERS)
    posts = len(doubtful.trip.posts())
    doubtful.sync(mapping_change="adopt", confirm="adopt")
    assert doubtful.stand(CUSTOMERS, "A") == ["in_doubt no_answer", "unchanged adopted"]
    assert len(doubtful.trip.posts()) == posts


def test_a_release_of_nothing_in_particular_is_refused(site):
    site.run()
    with pytest.raises(AirflowFailException, match="nothing is chosen"):
        site.sync("replay")


# --- the sweep


def test_the_sweep_finds_what_no_window_can(site):
    site.run()
    site.clock.pass_minutes(600)
    site.shop.add(person, id="null", name="Ana", points=0, changed_at=None)
    site.shop.add_person("future", ago=-100)
    site.shop.add_person("verylate", ago=400)
    site.shop.change(person, "A", name="Berta", ago=None)
    site.run()
    assert "verylate" in site.sent(CUSTOMERS)  # nothing ran in between
    site.clock.pass_minutes(5)
    site.shop.add_person("toolate", ago=400)
    site.run()
    assert set(site.sent(CUSTOMERS)) == {"A", "B", "verylate"}
    made = site.run(SWEEP)

    assert made.adds_up
    assert site.sent(CUSTOMERS) == {"A": 2, "B": 1, "verylate": 1, "null": 1, "future": 1, "toolate": 1}
    posts = len(site.trip.posts())
    site.run(SWEEP)
    assert len(site.trip.posts()) == posts


def test_a_legacy_clock_that_was_ahead_for_a_while_hides_no_row(opened):
    site = opened()
    site.clock.now = datetime.now(UTC).replace(microsecond=0)  # as the ledger's clock, which goes right
    site.shop.add_person("A")
    site.run()
    site.clock.pass_minutes(12 * 60)  # another server took over, whose clock is twelve hours ahead
    site.run()
    site.clock.pass_minutes(-12 * 60)
    for hour in range(4):
        site.clock.pass_minutes(60)
        site.shop.add_person(f"P{hour}", ago=20)
        site.run()
    site.clock.pass_minutes(12 * 60)
    site.run()
    assert site.sent(CUSTOMERS) == {"A": 1, "P0": 1, "P1": 1, "P2": 1, "P3": 1}


def test_an_open_transaction_that_moved_without_a_new_change_time_is_judged_with_its_new_owner(site):
    site.shop.add_booking("M", "Z", points=5)  # a customer whom nobody knows
    site.shop.add_person("N", points=5)
    site.sync()
    assert site.stand(TRANSACTIONS, "M")[-1] == "held customer_missing"
    site.clock.pass_minutes(60)
    site.shop.change(booking, "M", person="N", ago=None)
    site.sync()
    assert site.stand(TRANSACTIONS, "M")[-1] == "delivered"
    assert site.sent(TRANSACTIONS)["M"] == 1


def test_of_two_that_moved_to_one_customer_both_go_together(site):
    for key in ("M1", "M2"):
        site.shop.add_booking(key, f"Z-{key}", points=5)
    site.shop.add_person("N", points=10)
    site.sync()
    site.clock.pass_minutes(60)
    for key in ("M1", "M2"):
        site.shop.change(booking, key, person="N", ago=None)
    site.sync()
    site.clock.pass_minutes(60)
    site.sync()
    assert (site.sent(TRANSACTIONS)["M1"], site.sent(TRANSACTIONS)["M2"]) == (1, 1)


def test_no_new_transaction_goes_while_an_older_one_of_the_customer_waits(site):
    """The older one spells its customer with a blank, so that they are not read together."""
    site.remaps(policies={"new_transactions": "send"})
    site.shop.add_person("N", points=5)
    site.shop.add(booking, id="OLD", person="N ", points=None, changed_at=site.clock.ago(60))
    site.sync()
    assert site.stand(TRANSACTIONS, "OLD")[-1].startswith("quarantined")
    site.clock.pass_minutes(60)
    site.shop.add_booking("NEW", "N", points=5, ago=20)
    site.sync()
    assert site.stand(TRANSACTIONS, "NEW")[-1] == "held sibling_not_sendable"
    site.clock.pass_minutes(60)
    site.shop.delete(booking, "OLD")
    site.sync()
    site.clock.pass_minutes(60)
    site.sync()
    assert site.sent(TRANSACTIONS)["NEW"] == 1
