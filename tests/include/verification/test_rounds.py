"""
Reading in rounds: what the queue has not worked off is read again, what dies goes on, and reads are
not wasted.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from masivo.hook import Reading
from masivo_engine.ledger import schema
from masivo_engine.ledger.verification.pending import waiting_in
from masivo_engine.model.answers import Answer
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.sandbox.faults.spoiling import Spoil
from masivo_engine.verification.rounds import pause_of
from tests.databases.verification import person, shop


class Watching:
    """Reads through the hook, counts, and answers what a test wants instead of some answers."""

    def __init__(self, hook):
        self._hook = hook
        self.asked = []
        self.instead = lambda _: None

    def get_customer(self, customer):
        return self._answer((customer, None), lambda: self._hook.get_customer(customer))

    def get_transactions(self, customer, *, year=None):
        return self._answer((customer, year), lambda: self._hook.get_transactions(customer, year=year))

    def _answer(self, what, ask):
        self.asked.append(what)
        return self.instead(len(self.asked)) or ask()


def answering(status):
    return lambda _: Reading(Answer(status=status))


@pytest.fixture
def people():
    return [person(f"P{number}", bookings=(5, 7), sales=(20,)) for number in range(1, 5)]


def everything(on):
    return on.states("delivered") | on.states("confirmed")


def test_a_customer_costs_one_read_and_one_for_each_year_of_its_transactions(tmp_path, people):
    """The bookings of each are of 2021 and 2022."""
    with shop(tmp_path, *people) as on:
        watching = Watching(on.trip.place.hook)
        on.verify(reader=watching)
        assert Counter(year for _, year in watching.asked) == {None: 4, 2021: 4, 2022: 4}


def test_what_the_queue_has_not_worked_off_is_read_again_and_confirmed_when_it_is_there(tmp_path, people):
    with shop(tmp_path, *people, sandbox={"delay_s": 3600.0}) as on:
        _, parts = on.choose()
        reading = on.rounds()
        assert reading.work_off(parts[0]) is not None
        assert on.states("confirmed") == set()
        assert [one.reads for one in waiting_in(on.ledger, 0, 10**9)] == [1] * 4
        on.trip.sandbox.api.store._connection.execute("UPDATE request SET visible_at = 0")
        assert reading.work_off(parts[0]) is None
        assert on.states("delivered") == set()
        assert on.findings() == []


def test_what_never_comes_is_missing_after_the_last_round_and_not_before(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.spoil("transactions", "P1-b1", Spoil.LOSE)
        _, parts = on.choose()
        reading = on.rounds(rounds=3)
        for _ in range(2):
            assert reading.work_off(parts[0]) is not None
            assert [bucket for _, _, bucket in on.findings()] == ["waiting"]
        assert reading.work_off(parts[0]) is None
        assert on.findings() == [("transactions", "P1-b1", "missing")]


def test_pauses_grow_and_nobody_is_read_before_it_is_due(tmp_path, people):
    with shop(tmp_path, *people, sandbox={"delay_s": 3600.0}) as on:
        _, parts = on.choose()
        watching = Watching(on.trip.place.hook)
        reading = on.rounds(reader=watching, rounds=5)
        reading._pause_s = 100
        assert reading.work_off(parts[0]) > datetime.now(UTC) + timedelta(seconds=90)
        asked = len(watching.asked)
        reading.work_off(parts[0])
        assert len(watching.asked) == asked
        assert [reading._pause_after(reads) for reads in range(4)] == [100, 200, 400, 800]


def test_the_first_pause_is_that_of_the_account_and_never_idle():
    assert pause_of(180) == 180
    assert pause_of(5) == 60


def test_a_task_that_dies_loses_no_reading_and_the_next_goes_on_behind_it(tmp_path, people):
    with shop(tmp_path, *people) as on:
        before = everything(on)
        _, parts = on.choose()
        watching = Watching(on.trip.place.hook)

        def dies(number):
            if number == 8:
                raise KeyboardInterrupt

        watching.instead = dies
        with pytest.raises(KeyboardInterrupt):
            on.rounds(reader=watching).work_off(parts[0])
        assert {key for entity, key in on.states("confirmed") if entity == "customers"} == {"P1", "P2"}
        watching.instead = lambda _: None
        watching.asked.clear()
        assert on.rounds(reader=watching).work_off(parts[0]) is None
        assert {customer for customer, _ in watching.asked} == {"P3", "P4"}
        assert on.states("confirmed") == before


@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_is_away_ends_the_task_for_now_and_nothing_is_called_missing(tmp_path, people, status):
    with shop(tmp_path, *people) as on:
        _, parts = on.choose()
        watching = Watching(on.trip.place.hook)
        watching.instead = answering(status)
        reading = on.rounds(reader=watching)
        due = reading.work_off(parts[0]) if status == 503 else None  # four answers are not enough
        assert (due is None) == (status == 429)
        with pytest.raises(TryAgainLater, match="could not be read"):
            reading.work_off(parts[0])
        assert [bucket for _, _, bucket in on.findings()] == ["waiting"] * 4


def test_an_answer_that_says_nothing_is_no_absence(tmp_path, people):
    with shop(tmp_path, *people) as on:
        watching = Watching(on.trip.place.hook)
        page = Answer(status=404, headers={"content-type": "text/html"}, text="<html>")
        watching.instead = lambda number: Reading(page) if number == 1 else None
        made = on.verify(reader=watching)
        assert (made.wrong, made.unread) == (0, 0)
        assert on.states("delivered") == set()


def test_a_key_that_is_not_let_in_stops_it(tmp_path, people):
    with shop(tmp_path, *people) as on:
        watching = Watching(on.trip.place.hook)
        watching.instead = answering(403)
        with pytest.raises(Stopped, match="403"):
            on.verify(reader=watching)


def test_somebody_who_can_never_be_read_holds_up_nobody(tmp_path, people):
    with shop(tmp_path, *people) as on:
        watching = Watching(on.trip.place.hook)
        page = Reading(Answer(status=200, headers={"content-type": "text/html"}, text="<html>"))
        watching.instead = lambda _: page if watching.asked[-1] == ("P2", None) else None
        made = on.verify(reader=watching)
        assert (made.wrong, made.unread) == (0, 1)
        assert ("customers", "P2") in on.states("delivered")


def test_when_the_reads_of_the_day_are_used_up_the_rest_waits_for_another_day(tmp_path, people):
    with shop(tmp_path, *people) as on:
        made = on.verify(most_reads=7)
        assert made.unread == 2
        assert {key for entity, key in on.states("confirmed") if entity == "customers"} == {"P1", "P2"}
        assert made.sentence(0) == ""
        assert any("2 chosen customers were not read" in line for line in made.lines())
        again = on.verify(most_reads=7)
        assert again.unread == again.chosen == 2
        assert "none of the 2 chosen customers could be read" in again.sentence(0)
        assert on.verify(most_reads=100).unread == 0
        assert on.states("delivered") == set()


def test_a_sample_leaves_the_others_delivered(tmp_path):
    with shop(tmp_path, *(person(f"P{n:02}", bookings=(5,), sales=()) for n in range(30))) as on:
        made = on.verify(size=10)
        assert made.chosen == 10
        confirmed = {key for entity, key in on.states("confirmed") if entity == "customers"}
        assert len(confirmed) == 10
        assert len({key for entity, key in on.states("delivered") if entity == "customers"}) == 20
        made = on.verify(size=10)
        assert len({key for entity, key in on.states("confirmed") if entity == "customers"}) == 20


def test_rows_that_changed_in_the_source_since_are_compared_by_what_the_ledger_knows(tmp_path, people):
    with shop(tmp_path, *people) as on:
        with on.trip.legacy.begin() as connection:
            connection.exec_driver_sql("UPDATE booking SET points = points + 1, booked = '2025-01-01 00:00:00'")
            connection.exec_driver_sql("UPDATE person SET name = 'Renamed'")
            connection.exec_driver_sql("UPDATE lot SET points = points + 2")
        on.spoil("transactions", "P1-b1", Spoil.FLIP)
        made = on.verify()
        assert on.findings() == [("transactions", "P1-b1", "sign")]
        assert made.wrong == 1
        # With which number of purchases each was sent is kept, so that its purchases are proved.
        assert on.states("delivered") == {("transactions", "P1-b1")}


def test_what_is_in_doubt_is_nobodys_fault(tmp_path, people):
    with shop(tmp_path, *people) as on:
        with on.ledger.engine.begin() as connection:
            record = schema.record
            doubtful = update(record).where(record.c.key.in_(["P1-b2", "P2-s1"]))
            out = {"out_batch": record.c.has_batch} | {f"out_{one}": record.c[f"has_{one}"] for one in schema.CONTENT}
            connection.execute(doubtful.values(out | {"state": "in_doubt"}))
            connection.execute(doubtful.values(schema.NOTHING_THERE))
        made = on.verify()
        assert on.findings() == []
        assert made.wrong == 0
        assert on.states("in_doubt") == {("transactions", "P1-b2"), ("events", "P2-s1")}


def test_what_is_not_there_is_missing_only_where_something_that_was_sent_later_is_there(tmp_path, people):
    """The queue stands still for good: nobody knows whether it has lost anything."""
    with shop(tmp_path, *people, sandbox={"delay_s": 3600.0}) as on:
        made = on.verify()
        assert (made.wrong, made.unread) == (0, 4)
        assert [bucket for _, _, bucket in on.findings()] == ["waiting"] * 4
        assert "nothing that was sent later is there" in made.sentence(0)
        assert on.states("confirmed") == set()


def test_the_last_set_of_all_has_nothing_behind_it_and_is_not_called_missing(tmp_path, people):
    with shop(tmp_path, *people) as on:
        last = on.trip.posts()[-1].accepted[-1][0].removeprefix("legacy:")
        on.spoil("transactions", last, Spoil.LOSE)
        made = on.verify()
        assert (made.wrong, made.unread) == (0, 1)
        assert ("transactions", last) in on.states("delivered")
