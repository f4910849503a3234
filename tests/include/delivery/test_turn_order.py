"""
Runs that work on one entity at the same time, in threads and in processes that are killed: they
take turns, and no key goes twice.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack, suppress

import pytest
from sqlalchemy import func, insert, select

from masivo_engine import crash_points
from masivo_engine.crash_points import trap_at
from masivo_engine.ledger import schema
from masivo_engine.ledger.dialects import now
from masivo_engine.ledger.runs.runs import find_run
from masivo_engine.ledger.writing import lease_keeper
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Asked, RunKind, RunPolicies
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.source import reader
from tests.databases import changing
from tests.databases.changing import INCREMENT, Site, line, person, sale
from tests.proof.processes import workers
from tests.whole_migration import UNLIMITED, Trip


CUSTOMERS, EVENTS, _ = Entity
SMALL = UNLIMITED | {"records": 5, "slice_requests": 2}
_PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Look more often whose turn it is."""
    monkeypatch.setitem(lease_keeper.claimed.__kwdefaults__, "sleep", lambda seconds: time.sleep(seconds / 50))
    yield
    crash_points.set_trap(None)


@pytest.fixture(scope="module")
def processes():
    with workers() as made:
        yield made


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def opened(request, memory, monkeypatch):
    """Open a site with a ledger on each database in turn."""
    ledger_url = f"sqlite:///{memory / 'ledger.sqlite'}"
    if request.param == "postgres":
        ledger_url = request.getfixturevalue("postgres_url")
    with ExitStack() as stack:

        def open_one(**extra: float) -> Site:
            legacy_url = f"sqlite:///{memory / 'legacy.sqlite'}"
            options = {"extra": SMALL | extra, "keeps_time": False}
            site = stack.enter_context(changing.site(legacy_url, ledger_url, memory, monkeypatch, **options))
            moment = site.clock.ago(60)
            numbers = [f"{number:02}" for number in range(30)]
            people = [{"id": f"P{n}", "name": "Ana", "points": 0, "changed_at": moment} for n in numbers]
            sales = [{"id": f"S{n}", "person": f"P{n}", "cents": 500, "changed_at": moment} for n in numbers]
            lines = [{"sale": f"S{n}", "position": 1, "sku": "A", "changed_at": moment} for n in numbers]
            with site.shop.engine.begin() as connection:
                for table, rows in ((person, people), (sale, sales), (line, lines)):
                    connection.execute(insert(table), rows)
            site.trip.place.ledger.prepare()
            return site

        yield open_one


class Other(threading.Thread):
    """
    Somebody else's work on the same site, with connections of its own; `done` hands on what it
    raised.
    """

    def __init__(self, site, work):
        super().__init__(daemon=True)
        self.trip = Trip(site.trip.sandbox, site.trip.legacy.url.render_as_string(hide_password=False))
        self._work = work
        self._raised = None
        self.start()

    def run(self):
        try:
            self._work(self.trip)
        except BaseException as raised:  # noqa: BLE001 (whoever waits raises it again)
            self._raised = raised

    def done(self):
        self.join(_PATIENCE_S)
        assert not self.is_alive()
        # The engine of the ledger is the process's, and others may use it: the site closes it.
        self.trip.place.hook.close()
        self.trip.legacy.dispose()
        if self._raised is not None:
            raise self._raised


class Stop:
    """A crash point at which whoever comes first waits until it is let go."""

    def __init__(self, point):
        self.reached, self.free = threading.Event(), threading.Event()
        crash_points.set_trap(trap_at(point, self._wait))

    def _wait(self):
        self.reached.set()
        assert self.free.wait(_PATIENCE_S)


def until(happens):
    deadline = time.monotonic() + _PATIENCE_S
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def one(site, statement):
    with site.trip.place.ledger.reading() as connection:
        return connection.execute(statement).scalar()


def is_queued(site):
    return one(site, select(schema.queue.c.run)) is not None


def started(site):
    """Return run and number of the slices of customers, in the order in which they were begun."""
    part = schema.part
    with site.trip.place.ledger.reading() as connection:
        rows = connection.execute(
            select(part.c.run, part.c.number).where(part.c.entity == CUSTOMERS).order_by(part.c.started_at)
        )
        return [tuple(row) for row in rows]


@pytest.mark.parametrize("kind", [RunKind.FULL, RunKind.WINDOW])
def test_of_two_runs_at_once_the_second_waits_and_goes_on_and_no_key_is_sent_twice(opened, kind, caplog):
    caplog.set_level("INFO")
    site = opened()
    stop = Stop("sending:2")
    first = Other(site, lambda trip: trip.migrate("first"))
    assert stop.reached.wait(_PATIENCE_S)
    asked = Asked(kind, until=site.clock.now if kind is RunKind.WINDOW else None)
    second = Other(site, lambda trip: trip.migrate("second", asked=asked))
    until(lambda: is_queued(site) and any("waiting" in message for message in caplog.messages))
    assert len(site.trip.posts()) == 1
    (waits,) = (message for message in caplog.messages if "waiting" in message)
    assert waits.startswith("waiting: another run is working on customers")
    stop.free.set()
    first.done()
    second.done()

    assert site.everything_sent() == dict.fromkeys([f"{kind}{n:02}" for kind in "PS" for n in range(30)], 1)
    for run_id in ("first", "second"):
        made = site.trip.account(run_id)
        assert made.adds_up
        assert not made.trouble


def test_an_increment_is_taken_in_between_two_slices_of_a_backfill(opened):
    site = opened()
    stop = Stop("sending:2")
    backfill = Other(site, lambda trip: trip.migrate("past", asked=Asked(RunKind.BACKFILL, None, site.clock.now)))
    assert stop.reached.wait(_PATIENCE_S)
    increment = Other(site, lambda trip: trip.migrate("news", asked=INCREMENT, entities=[CUSTOMERS]))
    until(lambda: is_queued(site))
    stop.free.set()
    increment.done()
    backfill.done()

    past, news = (find_run(site.trip.place.ledger, run_id).number for run_id in ("past", "news"))
    assert started(site)[:2] == [(past, 1), (news, 1)]
    assert set(site.everything_sent().values()) == {1}
    assert site.trip.account("past").adds_up


def test_a_run_whose_process_was_killed_is_taken_over_after_its_lease_and_not_before(opened, processes):
    lease_s = 1.5
    site = opened(lease_s=lease_s)
    ledger = site.trip.place.ledger
    url = site.trip.legacy.url.render_as_string(hide_password=False)
    assert processes.run(url, "dead", at="received:1") == -9
    last = one(site, select(schema.part.c.renewed_at).where(schema.part.c.renewed_at.is_not(None)))
    run = site.trip.begin("next")
    while claim(ledger, run.number, CUSTOMERS, 1, lease_s=lease_s) is None:
        time.sleep(0.01)
    with ledger.reading() as connection:
        assert now(connection) >= last + lease_s

    made = site.trip.migrate("next")
    assert made.adds_up
    assert set(site.everything_sent().values()) == {1}
    assert len(site.everything_sent()) == 60


def test_a_run_that_lives_and_writes_nothing_for_long_is_not_taken_for_dead(opened):
    lease_s = 1.0
    site = opened(lease_s=lease_s)
    stop = Stop("turn_taken:2")
    living = Other(site, lambda trip: trip.migrate("living"))
    assert stop.reached.wait(_PATIENCE_S)
    run = site.trip.begin("next")
    end = time.monotonic() + 2.5 * lease_s
    while time.monotonic() < end:
        assert claim(site.trip.place.ledger, run.number, CUSTOMERS, 1, lease_s=lease_s) is None
        time.sleep(0.05)
    with site.trip.place.ledger.engine.begin() as connection:
        connection.execute(schema.queue.delete())  # whoever asked goes away
    stop.free.set()
    living.done()
    assert site.trip.account("living").adds_up


def test_slices_of_one_run_overlap_and_send_in_order(opened):
    site = opened()
    run = site.trip.begin("run", entities=[CUSTOMERS])
    one_, two, *_ = site.trip.slices(run, CUSTOMERS)
    stop = Stop("received:1")
    first = Other(site, lambda trip: trip.work_off(run, one_))
    assert stop.reached.wait(_PATIENCE_S)
    second = Other(site, lambda trip: trip.work_off(run, two))
    batch = schema.batch
    until(lambda: one(site, select(batch.c.id).where(batch.c.slice == 2)) is not None)
    assert len(site.trip.posts()) == 1
    stop.free.set()
    first.done()
    second.done()

    assert [key for line in site.trip.posts() for key, _ in line.accepted] == [f"P{n:02}" for n in range(20)]


def packed(site, number):
    """Return how many batches of slice *number* are written down and were not sent."""
    batch = schema.batch
    return one(site, select(func.count()).where(batch.c.slice == number, batch.c.state == BatchState.PACKED))


def test_what_waits_when_the_api_refuses_everybody_is_sent_by_the_next_try(opened):
    site = opened(slice_requests=6)
    run = site.trip.begin("run", entities=[CUSTOMERS])
    (part,) = site.trip.slices(run, CUSTOMERS)
    everybody = (Rule(faults=("403",), nth=(2,)), Rule(faults=("403",), method="GET", path="/customers/*"))
    site.trip.sandbox.follow(Script(rules=everybody))
    with pytest.raises(Stopped):
        site.trip.work_off(run, part)
    assert site.trip.account("run").trouble
    record = schema.record
    held = select(func.count()).where(record.c.state == State.HELD, record.c.out_batch.is_(None))
    assert one(site, held) == 25
    assert packed(site, 1) == 0

    site.trip.work_off(run, part)
    assert site.everything_sent() == dict.fromkeys([f"P{n:02}" for n in range(30)], 1)
    assert site.trip.account("run").adds_up


def test_a_row_that_moves_to_another_customer_between_two_slices_is_not_sent_twice(opened):
    site = opened()
    site.trip.migrate("people", entities=[CUSTOMERS])
    run = site.trip.begin("run", entities=[EVENTS])
    first, *others = site.trip.slices(run, EVENTS)
    site.trip.work_off(run, first)
    site.shop.change(sale, "S03", person="P29")
    for part in others:
        site.trip.work_off(run, part)

    assert site.trip.account("run").adds_up
    assert set(site.sent(EVENTS).values()) == {1}


def test_a_row_that_moves_while_two_slices_are_read_is_sent_by_one_of_them(opened):
    """
    The slice that has read it and not sent it finds that the other one has it, and reads again.
    """
    site = opened()
    site.trip.migrate("people", entities=[CUSTOMERS])
    run = site.trip.begin("run", entities=[EVENTS])
    first, second, third = site.trip.slices(run, EVENTS)
    stop = Stop("page_entered:1")
    slow = Other(site, lambda trip: trip.work_off(run, first))
    assert stop.reached.wait(_PATIENCE_S)
    site.shop.change(sale, "S03", person="P19")
    quick = Other(site, lambda trip: trip.work_off(run, second))
    record = schema.record
    until(lambda: one(site, select(record.c.state).where(record.c.key == "S03")) is not None)
    stop.free.set()
    with suppress(TryAgainLater):
        slow.done()
    quick.done()
    for part in (first, third):
        site.trip.work_off(run, part)

    assert site.trip.account("run").adds_up
    assert site.sent(EVENTS) == dict.fromkeys([f"S{n:02}" for n in range(30)], 1)


def sell_twice(site, key):
    """Give somebody far behind, in another slice, a sale with a *key* that is there already."""
    with site.shop.engine.begin() as connection:
        twin = {"id": key, "person": "P25", "cents": 700, "changed_at": site.clock.ago(60)}
        connection.execute(insert(sale), [twin])


def test_of_a_key_of_two_slices_none_goes_because_nobody_knows_which_is_right(opened):
    """The plan counts how often a key is there, so each slice knows of the other one's row."""
    site = opened()
    site.trip.migrate("people", entities=[CUSTOMERS])
    sell_twice(site, "S03")
    made = site.trip.migrate("sales", entities=[EVENTS])

    assert made.adds_up
    assert site.sent(EVENTS) == dict.fromkeys([f"S{n:02}" for n in range(30) if n != 3], 1)
    assert [(one.state, one.reason, one.rows) for one in made.troubles] == [("quarantined", "duplicate_key", 2)]


def test_of_a_key_that_a_slice_reads_twice_none_goes_also_where_the_rows_stand_in_two_pages(opened, monkeypatch):
    monkeypatch.setattr(reader, "PAGE", 2)
    site = opened(slice_requests=50)
    site.trip.migrate("people", entities=[CUSTOMERS])
    sell_twice(site, "S03")
    made = site.trip.migrate("sales", entities=[EVENTS])

    assert made.adds_up
    assert site.sent(EVENTS) == dict.fromkeys([f"S{n:02}" for n in range(30) if n != 3], 1)
    assert [(one.state, one.reason, one.rows) for one in made.troubles] == [("quarantined", "duplicate_key", 2)]


def test_of_a_key_of_two_slices_none_is_adopted(opened):
    site = opened()
    site.trip.migrate("people", entities=[CUSTOMERS])
    sell_twice(site, "S03")
    made = site.trip.migrate("sales", entities=[EVENTS], policies=RunPolicies(adopts=True))

    assert made.adds_up
    assert site.sent(EVENTS) == {}
    assert [(one.state, one.reason, one.rows) for one in made.troubles] == [("quarantined", "duplicate_key", 2)]
