"""
What goes wrong around worker, ledger and orchestration (rows 50 to 67 of the catalogue), through a
whole migration.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from datetime import timedelta

import pytest
from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.exc import OperationalError

from masivo_engine import crash_points
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.ledger.writing import slice_ledger
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Refusal
from tests.databases.proof import MAPPING
from tests.proof import engines
from tests.proof.processes import BROKEN, FENCED, LATER, SENT
from tests.proof.rig import LIMITS, Rig, Schedule, rig
from tests.whole_migration import connections, environment


pytestmark = pytest.mark.slow


OPTIONS = {"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE}
STRICT = Schedule(options=OPTIONS)


def posts(running: Rig) -> int:
    return sum(line.method == "POST" for line in running.sandbox.lines())


def test_a_worker_that_is_told_to_end_loses_and_repeats_nothing(workers):
    with rig(STRICT, customers=16) as running:
        worker = workers.start(running.legacy_url, "run-1", at="answered:2", stops=True)
        workers.wait(worker, "stopped")
        os.kill(worker, signal.SIGTERM)
        os.kill(worker, signal.SIGCONT)
        assert workers.wait(worker) == -signal.SIGTERM
        assert running.play(STRICT).problems == ()


def test_two_runs_at_once_never_both_send_a_row(workers):
    with rig(STRICT, customers=16) as running:
        pids = [workers.start(running.legacy_url, run_id) for run_id in ("run-1", "run-2", "run-3")]
        assert {workers.wait(pid) for pid in pids} <= {SENT, LATER, FENCED}
        running._runs = 3
        proof = running.play(STRICT)
        assert not proof.problems, str(proof)


def test_a_task_that_is_cleared_sends_nothing_again():
    with rig(STRICT, customers=16) as running:
        assert running.attempt("run-1") == "sent"
        before = posts(running)
        trip = running.trip()
        trip.migrate("run-1")  # every slice once more, finished or not
        trip.close()
        assert posts(running) == before
        assert not running.prove().problems


def test_children_of_a_task_that_was_marked_as_a_success_by_hand_are_held():
    with rig(STRICT, customers=16) as running:
        trip = running.trip()
        trip.migrate("by hand", entities=(Entity.EVENTS, Entity.TRANSACTIONS))
        trip.close()
        assert posts(running) == 0
        fates = running.prove().fates
        assert set(fates["events"]) == {"held", "quarantined"}
        assert running.play(STRICT).problems == ()


@pytest.mark.parametrize("point", ["turn_taken:2", "answered:2"])
def test_a_ledger_that_goes_away_before_or_after_a_post_sends_nothing_twice(point):
    with rig(STRICT, customers=16) as running:
        is_down = False

        def refuse(*_: object) -> None:
            if is_down:
                raise OperationalError("the ledger is down", {}, RuntimeError("gone"))

        def go_down() -> None:
            nonlocal is_down
            is_down = True

        engine = engines.ledger_at(running.ledger_url)
        event.listen(engine, "before_cursor_execute", refuse)
        trip = running.trip()
        try:
            run = trip.begin("run-1")
            part = slices_of(trip.place.ledger, run.number, Entity.CUSTOMERS)[0]
            crash_points.set_trap(crash_points.trap_at(point, go_down))
            with pytest.raises(OperationalError):
                trip.work_off(run, part)
        finally:
            crash_points.set_trap(None)
            event.remove(engine, "before_cursor_execute", refuse)
            trip.close()
        assert posts(running) == (1 if point.startswith("turn") else 2)
        assert running.play(STRICT).problems == ()


@pytest.mark.parametrize("point", ["page_entered:1", "packed:1", "turn_taken:1", "answered:1"])
def test_a_full_disk_under_the_ledger_sends_nothing_that_is_not_written_down(point):
    """SQLite's own limit of pages says the same as a full disk: database or disk is full."""
    with rig(STRICT, customers=16) as running:
        engine = engines.ledger_at(running.ledger_url)
        pages: list[int] = []

        def full() -> None:
            pages.append(1)
            engine.dispose()

        def no_more_pages(connection, _) -> None:
            if pages:
                count = connection.execute("PRAGMA page_count").fetchone()[0]
                connection.execute(f"PRAGMA max_page_count = {count}")

        event.listen(engine, "connect", no_more_pages)
        trip = running.trip()
        try:
            run = trip.begin("run-1")
            crash_points.set_trap(crash_points.trap_at(point, full))
            is_full = False
            for part in slices_of(trip.place.ledger, run.number, Entity.CUSTOMERS):
                try:
                    trip.work_off(run, part)
                except OperationalError as error:
                    is_full = "full" in str(error)
                    break
        finally:
            crash_points.set_trap(None)
            event.remove(engine, "connect", no_more_pages)
            trip.close()
        # Where the pages at hand were enough, nothing had to stop.
        assert is_full or posts(running)
        engine.dispose()
        assert running.play(STRICT).problems == ()


@pytest.mark.parametrize("point", ["packed:2", "sending:1", "answered:2"])
@pytest.mark.parametrize("entity", Entity)
def test_a_worker_that_runs_out_of_memory_loses_and_repeats_nothing(workers, entity, point):
    """
    A real process under a real limit, which fails wherever it needs memory next; nothing of ours
    may take that for an answer.
    """
    with rig(STRICT, customers=16) as running:
        ended = workers.run(running.legacy_url, "run-1", at=point, entity=entity.value, runs_out_of="memory")
        # What is left in the interpreter's own pools may be enough to the end, or until a socket
        # cannot be had.
        assert ended in {BROKEN, LATER, SENT, -signal.SIGKILL, -signal.SIGSEGV, -signal.SIGABRT, -signal.SIGALRM}
        proof = running.play(STRICT)
        assert not proof.problems, str(proof)


@pytest.mark.parametrize("point", ["packed:2", "sending:2", "answered:2"])
@pytest.mark.parametrize("entity", Entity)
def test_a_write_error_under_the_ledger_sends_nothing_that_is_not_written_down(workers, entity, point):
    """
    Every write of a real process fails from the point on, with the error of a broken disk and not
    with that of a full one.
    """
    with rig(STRICT, customers=16) as running:
        ended = workers.run(running.legacy_url, "run-1", at=point, entity=entity.value, runs_out_of="disk")
        assert ended == BROKEN
        proof = running.play(STRICT)
        assert not proof.problems, str(proof)


def test_a_ledger_that_was_restored_from_an_older_copy_is_refused():
    with rig(STRICT, customers=16, by_operators=True) as running:
        file = make_url(running.ledger_url).database or ""
        assert running.attempt("run-1") == "sent"
        with sqlite3.connect(file) as ledger, sqlite3.connect(f"{file}.copy") as copy:
            ledger.backup(copy)
        assert running.attempt("run-2") == "sent nothing"
        before = posts(running)
        running.ledger_url = f"sqlite:///{file}.copy"
        with (
            environment(connections(running.sandbox, running.legacy_url, running.ledger_url, MAPPING, LIMITS)),
            pytest.raises(LedgerError, match="older copy"),
        ):
            running.attempt("run-3")
        assert posts(running) == before


@pytest.mark.parametrize("hours", [-3, 3])
@pytest.mark.parametrize("fault", ["close_after_accept", "rst_before"])
def test_a_clock_that_jumps_in_the_middle_makes_nobody_send_twice(monkeypatch, fault, hours):
    rules = (Rule(faults=(fault,), path="/customers/migrate", nth=(1,)),)
    made = Schedule(options=OPTIONS, faults=Script(rules=rules))
    with rig(made, customers=16) as running:
        real = slice_ledger.now
        crash_points.set_trap(
            crash_points.trap_at(
                "answered:1", lambda: monkeypatch.setattr(slice_ledger, "now", lambda: real() + timedelta(hours=hours))
            )
        )
        trip = running.trip()
        trip.migrate("run-1")
        trip.close()
        crash_points.set_trap(None)
        monkeypatch.undo()
        running._runs = 1
        proof = running.play(Schedule())
        assert not proof.problems, str(proof)


def test_a_payload_that_changes_between_two_batches_is_not_sent_over_what_was_delivered():
    with rig(STRICT, customers=16) as running:
        assert running.attempt("run-1") == "sent"
        engine = create_engine(running.legacy_url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE sale SET cents = cents + 1 WHERE id = 'S001-00'"))
        engine.dispose()
        before = posts(running)
        running.attempt("run-2")
        assert posts(running) == before
