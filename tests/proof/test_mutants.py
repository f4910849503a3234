"""
The kit must kill what is broken on purpose: each test breaks one function, and the checker must
notice.

Every schedule here is first played with the engine as it is, which must pass: a kit that fails
everything proves as little as one that passes everything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, select, text, update

from masivo.hook import MasivoHook
from masivo_engine import crash_points
from masivo_engine.delivery import delivery, sender
from masivo_engine.ledger import schema
from masivo_engine.ledger.rows import Parent, Rows
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.ledger.writing import slice_ledger, takeover
from masivo_engine.model import answers
from masivo_engine.model.answers import Answer
from masivo_engine.model.batches import Batch, BatchState
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.readback import evidence, settler
from masivo_engine.readback.doubt import Finding
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Leaves, Refusal
from masivo_engine.source import reader, statements
from masivo_engine.source.change_time import changed
from masivo_engine.triage import triage
from tests.databases.proof import TRANSACTIONS
from tests.proof import engines
from tests.proof.rig import Rig, Schedule, rig


pytestmark = pytest.mark.slow


CUSTOMERS = 16
STRICT = {"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE}
_MOST_TRIES = 8  # a broken engine may send for ever

Break = Callable[[pytest.MonkeyPatch], None]


def faulty(*faults: str, path: str = "/customers/migrate*", nth: tuple[int, ...] = (2, 5), **options) -> Schedule:
    """A schedule in which some requests meet *faults*."""
    rules = (Rule(faults=faults, path=path, nth=nth),) if faults else ()
    return Schedule(options=STRICT | options, faults=Script(rules=rules))


def ledger_after_the_post(monkeypatch: pytest.MonkeyPatch) -> None:
    def post(self, batch_id: int, batch: Batch) -> Answer:
        self._lane.turn()
        answer = self._sender.post(batch.entity, batch.body)
        crash_points.crash_point("sending")
        self._writer.mark_sending(batch_id)
        return answer

    monkeypatch.setattr(sender.Sending, "_post", post)


def server_errors_taken_for_not_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_TRY_AGAIN", answers._TRY_AGAIN | {500, 502, 504})


def gateways_taken_for_limiters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "_TRY_AGAIN", answers._TRY_AGAIN | {408, 503})


def lost_answers_taken_for_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    post = MasivoHook.post
    monkeypatch.setattr(MasivoHook, "post", lambda *args: replace(post(*args), left=False))


def doubt_sent_again_without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler.Settler, "settle", lambda _, doubts: {one.place: Finding.ABSENT for one in doubts})


def a_doubt_is_called_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler.Settler, "settle", lambda _, doubts: {one.place: Finding.PRESENT for one in doubts})


def absence_believed_without_a_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence.Evidence, "controls", lambda *_: {True, False})


def refusals_taken_for_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the API refused is sent again in parts, and nobody looks what it took."""
    find = delivery.Delivery._find

    def found(self, doubts):
        refused = {one.place: Finding.ABSENT for one in doubts if one.is_refused}
        return refused | find(self, [one for one in doubts if one.place not in refused])

    monkeypatch.setattr(delivery.Delivery, "_find", found)


def refused_in_company_is_convicted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self, batch, number, answer) -> None:
        for unit in delivery.units_of(batch.records):
            self._convict(unit, number, answer)

    monkeypatch.setattr(delivery.Delivery, "_refused", refused)


def a_dead_tries_request_is_taken_for_unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(connection, run, entity, number, *_) -> None:
        batch, record = schema.batch, schema.record
        this = (batch.c.run == run, batch.c.entity == entity, batch.c.slice == number)
        states = [BatchState.SENDING, BatchState.PACKED]
        for row in connection.execute(select(batch.c.id).where(*this, batch.c.state.in_(states))).all():
            connection.execute(update(batch).where(batch.c.id == row.id).values(state=BatchState.GIVEN_BACK))
            given_back = schema.NOTHING_OUT | {"state": "held", "reason": "run_stopped"}
            connection.execute(update(record).where(record.c.out_batch == row.id).values(given_back))

    monkeypatch.setattr(takeover, "_settle", settle)


def what_a_dead_try_packed_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "_settle", lambda *_: None)


def what_was_delivered_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    at = Rows.at

    def forgetful(*args):
        return {place: row._replace(has_hash=None) for place, row in at(*args).items()}

    monkeypatch.setattr(Rows, "at", forgetful)
    monkeypatch.setattr(Rows, "of_customers", lambda *_: {})


def what_was_not_answered_is_out_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    enter = slice_ledger.SliceLedger.enter_receipt

    def forget(self, batch_id, receipt) -> None:
        enter(self, batch_id, receipt)
        with self.ledger.engine.begin() as connection:
            mine = update(schema.record).where(schema.record.c.out_batch == batch_id)
            connection.execute(mine.values(schema.NOTHING_OUT | {"state": "held", "reason": "run_stopped"}))

    monkeypatch.setattr(slice_ledger.SliceLedger, "enter_receipt", forget)


def the_first_customer_of_a_slice_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def within(self, part, _):
        bounds = [self.customer > part.lower] if part.lower is not None else []
        return bounds + ([self.customer < part.upper] if part.upper is not None else [])

    monkeypatch.setattr(statements.Statements, "_in", within)


def a_row_of_each_page_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    see = slice_ledger.SliceLedger.see
    monkeypatch.setattr(
        slice_ledger.SliceLedger,
        "see",
        lambda self, judged, known: see(self, [one for one in judged if one.verdict.is_sent] or judged[1:], known),
    )


def rows_read_are_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = slice_ledger.SliceLedger.finish
    monkeypatch.setattr(slice_ledger.SliceLedger, "finish", lambda self, rows: finish(self, 2 * rows))


def children_go_before_their_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rows, "parents", lambda _, names: dict.fromkeys(names, Parent(has_arrived=True)))


def an_address_is_everybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage.Triage, "_one_address_each", lambda *_: None)


def points_need_not_be_the_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage, "_on_points", lambda *_: None)


def a_set_goes_without_those_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triage.Triage, "_on_set", lambda *_: None)


MUTANTS: tuple[tuple[Break, Schedule, str], ...] = (
    (ledger_after_the_post, replace(faulty(), kills=("sending:2",)), "duplicated"),
    (server_errors_taken_for_not_accepted, faulty("500_but_accepted"), "duplicated"),
    (server_errors_taken_for_not_accepted, faulty("504_but_accepted"), "duplicated"),
    (gateways_taken_for_limiters, faulty("503_but_accepted"), "duplicated"),
    (gateways_taken_for_limiters, faulty("408_but_accepted"), "duplicated"),
    (lost_answers_taken_for_not_sent, faulty("close_after_accept"), "duplicated"),
    (lost_answers_taken_for_not_sent, faulty("hang_after_accept"), "duplicated"),
    (doubt_sent_again_without_proof, faulty("rst_after_accept"), "duplicated"),
    (doubt_sent_again_without_proof, replace(faulty(), kills=("answered:3",)), "duplicated"),
    (a_doubt_is_called_delivered, faulty("rst_before"), "lost"),
    (
        absence_believed_without_a_control,
        # The queue stands still for longer than any machine takes for the reads.
        faulty("close_after_accept", path="/customers/migrate", nth=(1,), outages=((0.0, 6.0),)),
        "duplicated",
    ),
    (refusals_taken_for_whole, faulty(atomic=False, poison=frozenset({"C003"})), "duplicated"),
    (refusals_taken_for_whole, faulty(atomic=False, poison=frozenset({"S007-03"})), "duplicated"),
    (refusals_taken_for_whole, faulty(atomic=False, poison=frozenset({"T007-03"})), "duplicated"),
    (
        refusals_taken_for_whole,
        faulty(leaves={TRANSACTIONS: Leaves.GOOD}, poison=frozenset({"C003", "T007-03"})),
        "duplicated",
    ),
    (refused_in_company_is_convicted, faulty(atomic=False, poison=frozenset({"C003"})), "denied"),
    (a_dead_tries_request_is_taken_for_unsent, replace(faulty(), kills=("answered:2",)), "duplicated"),
    (what_a_dead_try_packed_stays_out, replace(faulty(), kills=("packed:2",)), "restless"),
    (what_was_delivered_is_sent_again, faulty(), "duplicated"),
    (what_was_not_answered_is_out_no_more, faulty("close_after_accept"), "duplicated"),
    (the_first_customer_of_a_slice_is_left_out, faulty(), "lost"),
    (a_row_of_each_page_is_not_written_down, faulty(), "lost"),
    (rows_read_are_counted_twice, faulty(), "unbalanced"),
    (children_go_before_their_customers, faulty(), "phantom"),
    (an_address_is_everybodys, faulty(), "phantom"),
    (points_need_not_be_the_balance, faulty(), "phantom"),
    (a_set_goes_without_those_that_cannot, faulty(), "phantom"),
)


@pytest.mark.parametrize(("breaks", "schedule", "kind"), MUTANTS, ids=lambda value: getattr(value, "__name__", ""))
def test_a_broken_engine_is_caught_and_the_whole_one_is_not(monkeypatch, breaks, schedule, kind):
    with rig(schedule, customers=CUSTOMERS) as running:
        proof = running.play(schedule)
        assert not proof.problems, str(proof)

    with monkeypatch.context() as patched, rig(schedule, customers=CUSTOMERS) as running:
        breaks(patched)
        assert kind in kinds_found(running, schedule)


def kinds_found(running: Rig, schedule: Schedule) -> set[str]:
    """Play as long as the broken engine lets us, and say what the checker has found by then."""
    with suppress(AssertionError):  # never quiet, which many mutants are
        running.play(schedule, most_tries=_MOST_TRIES)
    return {problem.partition(":")[0] for problem in running.prove().problems}


@contextmanager
def between_pages(legacy_url: str, statement: str, *, passing: int) -> Iterator[None]:
    """Let somebody run *statement* on the legacy database after the page number *passing*."""
    engine = create_engine(legacy_url)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # a writer need not wait for the reader

    def interfere() -> None:
        with engine.begin() as connection:
            connection.execute(text(statement))

    crash_points.set_trap(crash_points.trap_at(f"page_entered:{passing}", interfere))
    try:
        yield
    finally:
        crash_points.set_trap(None)
        engine.dispose()


def by_offset(self, part, window):
    """Page the way that loses a row whenever an earlier one goes away."""
    offset = 0
    while True:
        with self._database.reading() as connection:
            statement = self._selection.rows(part, window).limit(reader.PAGE).offset(offset)
            page = self._with_elements(connection, connection.execute(statement).all())
        if not page:
            return
        yield page
        offset += len(page)


def later_than(column, since, until, *, like, zone, where):
    """Take the rows of a window without those of its first moment."""
    conditions = changed(column, since, until, like=like, zone=zone, where=where)
    return [*conditions, column > since.astimezone(zone).replace(tzinfo=None)] if since else conditions


@pytest.mark.parametrize("is_broken", [False, True])
def test_rows_of_the_very_moment_at_which_two_windows_meet_go_unless_a_window_leaves_out_its_first(
    monkeypatch, is_broken
):
    with rig(Schedule(), customers=CUSTOMERS) as running:
        edge = datetime(2023, 6, 1, 5, tzinfo=UTC)  # midnight in the shop
        shift = text("UPDATE sale SET changed_at = '2023-06-01 00:00:00.000000' WHERE member_id = 'C007'")
        with engines.legacy_at(running.legacy_url).begin() as connection:
            connection.execute(shift)
        if is_broken:
            monkeypatch.setattr(statements, "changed", later_than)
        trip = running.trip()
        for number, asked in enumerate(
            (Asked(RunKind.FULL), Asked(RunKind.WINDOW, until=edge), Asked(RunKind.WINDOW, edge))
        ):
            run = trip.begin(f"run-{number}", asked=asked)
            # Everything is there but the events, which come in two windows.
            for entity in (Entity.EVENTS,) if number else (Entity.CUSTOMERS,):
                for part in slices_of(trip.place.ledger, run.number, entity):
                    trip.work_off(run, part)
        trip.close()
        lost = [one for one in running.prove().problems if "events S007" in one and one.startswith("lost")]
        assert bool(lost) == is_broken


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_row_that_goes_away_between_two_pages_takes_no_other_with_it_unless_paging_is_by_offset(
    monkeypatch, is_broken
):
    with rig(Schedule(), customers=40) as running:
        if is_broken:
            monkeypatch.setattr(reader.Source, "pages", by_offset)
        trip = running.trip()
        run = trip.begin("run-1")
        part = slices_of(trip.place.ledger, run.number, next(iter(trip.place.mapping.entities)))[0]
        delete = "DELETE FROM member WHERE id IN ('C001', 'C002')"
        # Pages so small that some are left when the next one has been read ahead.
        with monkeypatch.context() as smaller, between_pages(running.legacy_url, delete, passing=1):
            smaller.setattr(reader, "PAGE", 5)
            trip.work_off(run, part)
        trip.close()
        told = running.prove().problems
        in_slice = {problem for problem in told if "customers C0" in problem and "says nothing" in problem}
        later = {key for key in running.truth["customers"] if part.upper is not None and key >= part.upper}
        missing = {problem for problem in in_slice if problem.split()[2].rstrip(":") not in later}
        assert bool(missing) == is_broken, missing


def move_whoever_holds_it(_, connection, batch_id, expected, **values) -> None:
    del expected
    connection.execute(update(schema.batch).where(schema.batch.c.id == batch_id).values(**values))


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_second_worker_on_a_slice_stops_the_first_unless_nothing_fences(monkeypatch, is_broken):
    with rig(Schedule(options=STRICT), customers=CUSTOMERS) as running:
        if is_broken:
            monkeypatch.setattr(slice_ledger, "hold", lambda *_: True)
            monkeypatch.setattr(slice_ledger.SliceLedger, "_move", move_whoever_holds_it)
        crash_points.set_trap(
            crash_points.trap_at("turn_taken:2", lambda: running.outcomes.append(running.attempt("run-1")))
        )
        first = running.trip()
        problem = ""
        try:
            run = first.begin("run-1")
            first.work_off(run, slices_of(first.place.ledger, run.number, next(iter(first.place.mapping.entities)))[0])
        except Exception as stopped:  # noqa: BLE001 (a broken engine may stop in any way)
            problem = type(stopped).__name__
        finally:
            crash_points.set_trap(None)
            first.close()
        found = {problem.partition(":")[0] for problem in running.prove().problems}
        assert running.outcomes == ["sent"]
        if is_broken:
            assert "duplicated" in found
        else:
            assert (problem, found) == ("Fenced", set())
