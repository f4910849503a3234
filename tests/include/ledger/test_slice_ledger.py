"""
The ledger while a slice is worked off: what each write leaves behind, and who may write at all.
"""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from masivo_engine.ledger.history.entries import known
from sqlalchemy import func, make_url, select, text, update

from masivo.connections import engines
from masivo_engine import sql
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import begin_run, find_run, slices_of
from masivo_engine.ledger.writing import slice_ledger
from masivo_engine.model.batches import BatchState, Receipt
from masivo_engine.model.errors import Fenced, LedgerError, TryAgainLater
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from tests.builders import REWARD, batch, customer, event, one_slice, plan_slices, transaction


DELIVERED = Receipt(BatchState.DELIVERED, 201, 0.1)
REFUSED = Receipt(BatchState.REFUSED, 422, 0.1, "no")


@pytest.fixture
def run(ledger):
    """The number of a run with two slices of each entity."""
    return begin(ledger, "first")


def begin(ledger, run_id):
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers="{}").number
    for entity in Entity:
        plan_slices(ledger, run, entity, [one_slice(entity, 1, 2, None, 5), one_slice(entity, 2, 2, 5, None)])
    return run


def sent(ledger, lease, *records, receipt=DELIVERED):
    """Take *records* all the way; without a receipt the task dies while the request is out."""
    number = ledger.pack(lease, batch(records))
    ledger.sending(lease, number)
    if receipt:
        ledger.receive(lease, number, receipt)
    return number


def entries(ledger):
    """State and reason by key, occurrences in their order."""
    statement = (
        select(schema.entry.c.key, schema.state_of_entry.label("is_state"), schema.reason_of_entry.label("is_reason"))
        .select_from(schema.entry_and_batch)
        .order_by(schema.entry.c.key, schema.entry.c.occurrence)
    )
    with ledger.reading() as connection:
        return [tuple(row) for row in connection.execute(statement)]


def batches(ledger):
    with ledger.reading() as connection:
        return list(connection.execute(select(schema.batch).order_by(schema.batch.c.id)))


def test_a_run_that_is_begun_twice_keeps_what_it_covers(ledger):
    first = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers="everything")
    again = begin_run(ledger, "run", mapping="other", mapping_hash="11", covers="something else")
    assert again == first
    with pytest.raises(LedgerError, match="knows no run 'another'"):
        find_run(ledger, "another")


def test_slices_that_are_planned_twice_stay_as_they_were(ledger, run):
    plan_slices(ledger, run, Entity.EVENTS, [one_slice(Entity.EVENTS)])
    assert [part.number for part in slices_of(ledger, run, Entity.EVENTS)] == [1, 2]


@pytest.mark.parametrize("bound", [7, Decimal("7.50"), UUID(int=7), b"\x00\xff", "Ñandú 'x' \U0001f600", "7"])
def test_a_bound_comes_back_with_its_type(ledger, bound):
    run = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers="{}").number
    plan_slices(ledger, run, Entity.EVENTS, [one_slice(Entity.EVENTS, 1, 2, None, bound)])
    (part,) = slices_of(ledger, run, Entity.EVENTS)
    assert (part.lower, part.upper) == (None, bound)
    assert type(part.upper) is type(bound)


def test_a_record_has_its_batchs_state_from_packing_to_receipt(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A"), customer("B")]))
    assert [state for _, state, _ in entries(ledger)] == ["packed", "packed"]
    ledger.sending(lease, number)
    assert [state for _, state, _ in entries(ledger)] == ["sending", "sending"]
    ledger.receive(lease, number, DELIVERED)
    assert [state for _, state, _ in entries(ledger)] == ["delivered", "delivered"]


def test_every_request_counts_and_one_that_was_not_taken_leaves_the_batch_packed(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    for _ in range(2):
        ledger.sending(lease, number)
        ledger.not_sent(lease, number, status=429, words="slower")
    ledger.sending(lease, number)
    ledger.receive(lease, number, DELIVERED)
    (row,) = batches(ledger)
    assert (row.state, row.requests, row.status) == ("delivered", 3, 201)


def test_what_the_api_said_is_kept_whatever_it_said(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    words = "Petición inválida: ñ \U0001f600 \x00" + "x" * 1000
    sent(ledger, lease, customer("A"), receipt=Receipt(BatchState.REFUSED, 422, 0.1, words))
    ledger.judge(lease, ["A"], State.QUARANTINED, "refused", words)
    assert batches(ledger)[0].words == words.replace("\x00", "")[:500]


def test_a_records_own_state_goes_before_its_batchs(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    sent(ledger, lease, customer("A"), customer("B"), receipt=REFUSED)
    ledger.judge(lease, ["B"], State.QUARANTINED, "refused", "no")
    assert entries(ledger) == [("A", "refused", ""), ("B", "quarantined", "refused")]


def test_a_record_that_is_sent_again_has_one_entry_about_what_was_sent_last(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    sent(ledger, lease, customer("A", points=5), customer("B"), receipt=REFUSED)
    newer = customer("A", points=7, content="newer")

    number = ledger.pack(lease, batch([newer, customer("C")]), again={"A", "B"})
    ledger.sending(lease, number)
    ledger.receive(lease, number, DELIVERED)

    assert entries(ledger) == [("A", "delivered", ""), ("B", "refused", ""), ("C", "delivered", "")]
    (entry,) = known(ledger, Entity.CUSTOMERS, {"A"})["A"]
    assert (entry.content_hash, entry.balance) == (newer.content_hash, f'{{"{REWARD}": "7"}}')


def test_a_batch_that_cannot_go_is_given_back_and_its_records_are_held(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    ledger.give_back(lease, [number], "api_unavailable")
    assert entries(ledger) == [("A", "held", "api_unavailable")]
    with pytest.raises(Fenced):
        ledger.sending(lease, number)


def test_what_is_settled_or_judged_is_so_however_many_keys_a_database_takes_at_once(ledger, run, monkeypatch):
    monkeypatch.setattr(sql, "MOST_KEYS", 2)
    monkeypatch.setattr(sql, "_MOST_KEYS_OF", {})
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    sent(ledger, lease, *map(customer, "ABCDE"), receipt=REFUSED)
    ledger.judge(lease, list("ABC"), State.IN_DOUBT, "refusal_unproven")
    ledger.judge(lease, list("DE"), State.QUARANTINED, "refused")
    doubtful = [known(ledger, Entity.CUSTOMERS, {key})[key][0].id for key in "ABC"]
    ledger.settle(lease, doubtful, State.DELIVERED)
    states = {key: state for key, state, _ in entries(ledger)}
    assert states == dict.fromkeys("ABC", "delivered") | dict.fromkeys("DE", "quarantined")


def test_batches_that_are_written_together_are_all_there_or_none_is(ledger, run):
    lease, neighbour = (ledger.claim(run, Entity.CUSTOMERS, number) for number in (1, 2))
    sent(ledger, neighbour, customer("moved"))
    together = [batch([customer("A")], 1), batch([customer("B"), customer("moved")], 2)]
    with pytest.raises(TryAgainLater):
        ledger.pack_together(lease, together)
    assert entries(ledger) == [("moved", "delivered", "")]

    numbers = ledger.pack_together(lease, [batch([customer("A")], 1), batch([customer("B"), customer("C")], 2)])
    assert numbers == sorted(numbers)
    assert entries(ledger)[:-1] == [(key, "packed", "") for key in "ABC"]
    ledger.sending(lease, numbers[0])
    ledger.receive(lease, numbers[0], DELIVERED)
    assert entries(ledger)[:-1] == [("A", "delivered", ""), ("B", "packed", ""), ("C", "packed", "")]


def test_a_packed_batch_that_is_taken_back_is_packed_anew_with_one_entry_a_record(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    first, second = ledger.pack_together(lease, [batch([customer("A"), customer("B")], 1), batch([customer("C")], 2)])
    ledger.unpack(lease, [first, second])
    with pytest.raises(Fenced):
        ledger.sending(lease, first)
    number = ledger.pack(lease, batch([customer("B"), customer("A")]), again={"A", "B", "C"})
    ledger.sending(lease, number)
    ledger.receive(lease, number, DELIVERED)
    ledger.give_back(lease, [first, second], "run_stopped")
    assert entries(ledger) == [("A", "delivered", ""), ("B", "delivered", ""), ("C", "held", "run_stopped")]
    assert [row.state for row in batches(ledger)] == ["given_back", "given_back", "delivered"]


def test_requests_are_stamped_by_the_ledgers_clock_whatever_the_workers_says(ledger, run, monkeypatch):
    """Two workers' clocks may differ by minutes, and what was sent later proves something."""
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    long_ago = datetime(2001, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    monkeypatch.setattr(slice_ledger, "now", lambda: long_ago)
    sent(ledger, lease, customer("A"))
    (row,) = batches(ledger)
    # The servers run on this machine; a wrong zone would be an hour off at least.
    assert abs(datetime.now(UTC).replace(tzinfo=None) - row.sent_at) < timedelta(minutes=5)
    assert row.packed_at == long_ago


def test_a_new_try_calls_in_doubt_what_was_out_and_forgets_what_was_not_sent(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    sent(ledger, lease, customer("delivered"))
    sent(ledger, lease, customer("out"), receipt=None)
    ledger.pack(lease, batch([customer("packed")]))
    bad = Rejection(Entity.CUSTOMERS, "bad", "bad", "missing_value", "name")
    ledger.enter(lease, [Entry(bad, State.QUARANTINED, "missing_value", "name")])
    neighbour = ledger.claim(run, Entity.CUSTOMERS, 2)
    ledger.pack(neighbour, batch([customer("neighbour")]))

    ledger.claim(run, Entity.CUSTOMERS, 1)

    assert entries(ledger) == [
        ("delivered", "delivered", ""),
        ("neighbour", "packed", ""),
        ("out", "in_doubt", "task_died"),
    ]
    assert [row.state for row in batches(ledger)] == ["delivered", "in_doubt", "given_back", "packed"]


@pytest.mark.parametrize(("refusals", "count", "left"), [("atomic", 2, ""), ("partial", 2, "AB"), ("partial", 1, "")])
def test_a_refused_batch_that_nobody_judged_is_in_doubt_unless_refusals_take_nothing(
    ledger, run, refusals, count, left
):
    ledger.learn(Entity.CUSTOMERS, 422, refusals)
    ledger.learn(Entity.EVENTS, 422, "partial" if refusals == "atomic" else "atomic")
    ledger.learn(Entity.CUSTOMERS, 413, "partial" if refusals == "atomic" else "atomic")
    sent(ledger, ledger.claim(run, Entity.CUSTOMERS, 1), *map(customer, "AB"[:count]), receipt=REFUSED)
    ledger.claim(run, Entity.CUSTOMERS, 1)
    assert entries(ledger) == [(key, "in_doubt", "refusal_unproven") for key in left]


def write(ledger, lease, number, what):
    bad = Rejection(Entity.CUSTOMERS, "bad", "bad", "missing_value", "name")
    return {
        "pack": lambda: ledger.pack(lease, batch([customer("B")])),
        "enter": lambda: ledger.enter(lease, [Entry(bad, State.QUARANTINED, "missing_value")]),
        "sending": lambda: ledger.sending(lease, number),
        "not_sent": lambda: ledger.not_sent(lease, number, status=429, words=""),
        "receive": lambda: ledger.receive(lease, number, DELIVERED),
        "pack_together": lambda: ledger.pack_together(lease, [batch([customer("B")])]),
        "unpack": lambda: ledger.unpack(lease, [number]),
        "give_back": lambda: ledger.give_back(lease, [number], "run_stopped"),
        "judge": lambda: ledger.judge(lease, ["A"], State.DELIVERED),
        "finish": lambda: ledger.finish(lease, 1),
    }[what]


WRITES = ("pack", "pack_together", "unpack", "enter", "sending", "not_sent", "receive", "give_back", "judge", "finish")


@pytest.mark.parametrize("what", WRITES)
def test_a_try_that_lost_its_slice_can_write_nothing(ledger, run, what):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    if what in {"not_sent", "receive"}:
        ledger.sending(lease, number)
    ledger.claim(run, Entity.CUSTOMERS, 1)
    before = entries(ledger), batches(ledger)

    with pytest.raises(Fenced, match="was taken over by another try"):
        write(ledger, lease, number, what)()
    assert (entries(ledger), batches(ledger)) == before


@pytest.mark.parametrize("what", ["sending", "receive", "pack"])
def test_a_claim_that_is_being_committed_is_waited_for(ledger, run, what):
    """Under READ COMMITTED a write that only looked at the fence would see the old one."""
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    number = ledger.pack(lease, batch([customer("A")]))
    if what == "receive":
        ledger.sending(lease, number)
    outcome = []

    def late():
        try:
            outcome.append(write(ledger, lease, number, what)())
        except Fenced as fenced:
            outcome.append(fenced)

    with ledger.engine.begin() as claiming:
        claiming.execute(update(schema.part).values(fence=schema.part.c.fence + 1))
        writer = threading.Thread(target=late)
        writer.start()
        writer.join(0.2)
    writer.join()

    assert isinstance(outcome[0], Fenced)


def test_a_run_takes_an_entity_over_from_a_run_that_has_not_finished_it(ledger, run):
    """Else both would find the same record unsent, and send it twice."""
    older = ledger.claim(run, Entity.TRANSACTIONS, 1)
    sent(ledger, older, transaction("delivered", "A"))
    sent(ledger, older, transaction("out", "A"), receipt=None)
    number = ledger.pack(older, batch([transaction("packed", "B")]))
    other_entity = ledger.claim(run, Entity.EVENTS, 1)
    done = ledger.claim(run, Entity.TRANSACTIONS, 2)
    ledger.finish(done, 0)

    ledger.claim(begin(ledger, "second"), Entity.TRANSACTIONS, 1)

    assert entries(ledger) == [
        ("delivered", "delivered", ""),
        ("out", "in_doubt", "task_died"),
        ("packed", "held", "run_stopped"),
    ]
    for what in WRITES:
        with pytest.raises(Fenced):
            write(ledger, older, number, what)()
    ledger.finish(other_entity, 0)
    assert ledger.claim(run, Entity.TRANSACTIONS, 2).fence == done.fence + 1


def test_two_slices_of_one_run_do_not_fence_each_other(ledger, run):
    first, second = (ledger.claim(run, Entity.EVENTS, number) for number in (1, 2))
    sent(ledger, first, event("1", "A"))
    sent(ledger, second, event("2", "B"))
    ledger.finish(first, 1)
    ledger.finish(second, 1)


def test_keys_are_told_apart_byte_by_byte(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    keys = ["A1", "a1", "á1", "A1 ", "\uff211"]
    sent(ledger, lease, *(customer(key) for key in keys))
    found = known(ledger, Entity.CUSTOMERS, set(keys))
    assert {key: len(alike) for key, alike in found.items()} == dict.fromkeys(keys, 1)
    assert set(known(ledger, Entity.CUSTOMERS, {"A1"})) == {"A1"}
    assert set(known(ledger, Entity.CUSTOMERS, {"a1 "})) == set()


def test_more_keys_are_looked_up_than_a_statement_takes_parameters(ledger, run):
    sent(ledger, ledger.claim(run, Entity.CUSTOMERS, 1), customer("69999"))
    assert set(known(ledger, Entity.CUSTOMERS, {str(number) for number in range(70_000)})) == {"69999"}


def test_superseded_entries_and_mere_sightings_are_not_known(ledger, run):
    lease = ledger.claim(run, Entity.CUSTOMERS, 1)
    ledger.enter(
        lease,
        [
            Entry(customer("A"), State.UNCHANGED),
            Entry(customer("B"), State.HELD, "api_unavailable"),
            Entry(customer("C"), State.QUARANTINED, "email_shared"),
        ],
    )
    found = known(ledger, Entity.CUSTOMERS, {"A", "B", "C"})
    assert set(found) == {"B", "C"}

    later = ledger.claim(begin(ledger, "second"), Entity.CUSTOMERS, 1)
    ledger.enter(later, [], outdated=[entry.id for alike in found.values() for entry in alike])
    assert known(ledger, Entity.CUSTOMERS, {"A", "B", "C"}) == {}


def _write_many(url, run, number, start):
    engine = engines.ledger(make_url(url))
    ledger = Ledger(engine, "account")
    ledger.open()
    lease = ledger.claim(run, Entity.EVENTS, number)
    start.wait()
    for key in range(25):
        sent(ledger, lease, event(f"{number}/{key}", "A"))
    ledger.finish(lease, 25)
    engine.dispose()


@pytest.mark.slow
def test_two_processes_write_one_ledger_at_once(ledger, run):
    url = ledger.engine.url.render_as_string(hide_password=False)
    processes = multiprocessing.get_context("spawn")
    start = processes.Barrier(2)
    both = [processes.Process(target=_write_many, args=(url, run, number, start)) for number in (1, 2)]
    for process in both:
        process.start()
    for process in both:
        process.join()

    assert [process.exitcode for process in both] == [0, 0]
    with ledger.reading() as connection:
        assert connection.execute(select(func.count()).select_from(schema.entry)).scalar_one() == 50
        assert connection.execute(select(func.count(schema.part.c.finished_at))).scalar_one() == 2
    assert {row.state for row in batches(ledger)} == {"delivered"}


def test_a_sqlite_ledger_is_safe_from_a_loss_of_power(sqlite_url):
    engine = engines.ledger(make_url(sqlite_url))
    with engine.connect() as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()
    assert found == ["wal", 2]
