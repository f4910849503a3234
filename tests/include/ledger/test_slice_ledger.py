"""
The ledger while a slice is worked off: what each write leaves behind, what it leaves alone, and who
may write at all.
"""

from __future__ import annotations

import multiprocessing
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import func, make_url, select, text, update

from masivo.connections import engines
from masivo_engine import sql
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.encoding import as_worth
from masivo_engine.ledger.rows import Rows
from masivo_engine.ledger.runs import doubts, tallies
from masivo_engine.ledger.runs.runs import begin_run, find_run, slices_of
from masivo_engine.ledger.writing import slice_ledger
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.ledger.writing.takeover import settle_dead, settle_run
from masivo_engine.model import ledger_capacity
from masivo_engine.model.batches import BatchState, Purpose, Receipt
from masivo_engine.model.errors import Fenced, LedgerError, Moved
from masivo_engine.model.judged import SENT, UNCHANGED, Judged
from masivo_engine.model.places import copy_of, place_of
from masivo_engine.model.rows import Entity, State
from tests import builders
from tests.builders import (
    REWARD,
    adopted,
    batch,
    claimed,
    customer,
    end,
    event,
    one_slice,
    plan_slices,
    quarantined,
    rejection,
    see,
    send,
    transaction,
)
from tests.told import before, counted, stand


DELIVERED = Receipt(BatchState.DELIVERED, 201, 0.1)
REFUSED = Receipt(BatchState.REFUSED, 422, 0.1, "no")
UNANSWERED = Receipt(BatchState.IN_DOUBT, 0, 0.1, reason="no_answer")
C, E, T = Entity
OUT = [column.name for column in schema.record.columns if column.name.startswith("out_")]
HAS = [f"has_{name}" for name in schema.CONTENT]


@pytest.fixture
def run(ledger):
    """The number of a run with two slices of each entity."""
    return begin(ledger, "first")


@pytest.fixture
def mine(ledger, run):
    """The first slice of customers, claimed."""
    return claimed(ledger, run)


def begin(ledger, run_id):
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers="{}").number
    for entity in Entity:
        plan_slices(ledger, run, entity, [one_slice(entity, 1, 2, None, 5), one_slice(entity, 2, 2, 5, None)])
    return run


def later(ledger, writer, run_id="later"):
    """The same slice, of a run that begins when that of *writer* is done with it."""
    writer.finish(0)
    return claimed(ledger, begin(ledger, run_id), writer.lease.entity)


def row(ledger, key, entity=C):
    """The one row of *key*."""
    table = schema.record
    with ledger.reading() as connection:
        return connection.execute(select(table).where(table.c.entity == entity, table.c.key == key)).one()


def rows(ledger):
    """All rows of the ledger that say something of legacy rows, as they are."""
    with ledger.reading() as connection:
        return [
            connection.execute(select(table).order_by(*table.primary_key)).all()
            for table in (schema.record, schema.history, schema.batch, schema.left)
        ]


def states(ledger):
    """State and reason by key."""
    with ledger.reading() as connection:
        found = connection.execute(select(schema.record.c.key, schema.record.c.state, schema.record.c.reason))
        return {key: f"{state} {reason}".strip() for key, state, reason in found}


def batches(ledger):
    with ledger.reading() as connection:
        return list(connection.execute(select(schema.batch).order_by(schema.batch.c.id)))


def account(ledger, run):
    """Rows of a run by state and reason, and how many of them are new trouble."""
    with ledger.reading() as connection:
        return {f"{one.state} {one.reason}".strip(): (one.rows, one.new) for one in tallies.count(connection, run)}


def out_of(found):
    return [getattr(found, name) for name in OUT]


def sent(writer, *records, receipt=UNANSWERED):
    """See and send *records*; without a receipt the task dies while they are out."""
    number = send(writer, *records, state=None)
    if receipt:
        writer.enter_receipt(number, receipt)
    return number


# --- runs and slices


def test_a_run_that_is_begun_twice_keeps_what_it_covers(ledger):
    first = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers="everything")
    again = begin_run(ledger, "run", mapping="other", mapping_hash="11", covers="something else")
    assert again == first
    with pytest.raises(LedgerError, match="knows no run 'another'"):
        find_run(ledger, "another")


def test_slices_that_are_planned_twice_stay_as_they_were(ledger, run):
    plan_slices(ledger, run, E, [one_slice(E)])
    assert [part.number for part in slices_of(ledger, run, E)] == [1, 2]


@pytest.mark.parametrize("bound", [7, Decimal("7.50"), UUID(int=7), b"\x00\xff", "Ñandú 'x' \U0001f600", "7"])
def test_a_bound_comes_back_with_its_type(ledger, bound):
    run = begin_run(ledger, "run", mapping="sample", mapping_hash="00", covers="{}").number
    plan_slices(ledger, run, E, [one_slice(E, 1, 2, None, bound)])
    (part,) = slices_of(ledger, run, E)
    assert (part.lower, part.upper) == (None, bound)
    assert type(part.upper) is type(bound)


# --- seeing


def test_a_row_that_is_new_is_written_down_as_it_was_judged(ledger, mine):
    see(
        mine, customer("A", points=7, email="ana@example.invalid"), quarantined(rejection(C, "B", "not_a_date", "born"))
    )
    found = row(ledger, "A")
    assert (found.home, found.place, found.owner, found.customer) == ("tA", "tA", "tA", "A")
    assert (found.points, as_worth(found.worth)) == (7, {REWARD: Decimal(7)})
    assert found.email == ledger.digest("ana@example.invalid")
    assert (found.since_run, found.run, found.slice, found.fence) == (mine.lease.run, mine.lease.run, 1, 1)
    assert (out_of(found), found.has_hash, found.strays) == ([None] * len(OUT), None, 0)
    bad = row(ledger, "B")
    assert (bad.state, bad.reason, bad.column_name, bad.hash) == ("quarantined", "not_a_date", "born", None)
    assert before(ledger.engine) == []


def test_a_row_that_is_as_it_was_is_only_marked(ledger, mine):
    send(mine, customer("A"))
    first = row(ledger, "A")
    again = later(ledger, mine)
    see(again, customer("A"), verdict=UNCHANGED)
    second = row(ledger, "A")
    marks = {"run": again.lease.run, "slice": 1, "fence": 1}
    assert second._asdict() == first._asdict() | marks
    assert before(ledger.engine) == []
    assert account(ledger, again.lease.run) == {"unchanged": (1, 0)}


def test_a_row_that_changed_leaves_what_it_was_in_its_history(ledger, mine):
    delivered = customer("A", points=7)
    number = send(mine, delivered)
    again = later(ledger, mine)
    see(again, end(customer("A", points=9), State.HELD, "changed_after_delivery"))
    (old,) = before(ledger.engine)
    assert (old.key, old.state, old.run, old.points) == ("A", "delivered", mine.lease.run, 7)
    with ledger.reading() as connection:
        (kept,) = connection.execute(select(schema.history))
    assert (kept.batch, kept.until_run) == (number, again.lease.run)
    found = row(ledger, "A")
    assert (found.state, found.reason, found.points, found.since_run) == (
        "held",
        "changed_after_delivery",
        9,
        again.lease.run,
    )
    # What the API has is another matter.
    assert (found.has_batch, found.has_hash, found.has_points, found.has_run) == (
        number,
        delivered.content_hash,
        7,
        mine.lease.run,
    )


def test_what_one_run_judges_twice_leaves_no_history_and_is_what_it_says_last(ledger, mine):
    see(mine, end(customer("A"), State.HELD, "customer_missing"))
    see(mine, quarantined(rejection(C, "A", "not_a_date", "born")))
    assert stand(ledger.engine, C, "A") == ["quarantined not_a_date"]
    assert row(ledger, "A").hash is None


def test_a_row_is_as_it_was_since_the_run_that_first_said_so(ledger, mine):
    bad = quarantined(rejection(C, "A", "not_a_date", "born"))
    see(mine, bad)
    again = later(ledger, mine)
    see(again, bad)
    assert row(ledger, "A").since_run == mine.lease.run
    assert account(ledger, mine.lease.run) == {"quarantined not_a_date": (1, 1)}
    assert account(ledger, again.lease.run) == {"quarantined not_a_date": (1, 0)}

    # Another column of the same row is another trouble.
    third = later(ledger, again, "third")
    see(third, quarantined(rejection(C, "A", "not_a_date", "died")))
    assert row(ledger, "A").since_run == third.lease.run


def test_trouble_that_a_run_had_in_between_is_not_new(ledger, mine):
    """It was held, was to be sent, and is held again: nobody is told a second time."""
    see(mine, end(customer("A"), State.HELD, "api_unavailable"))
    again = later(ledger, mine)
    see(again, customer("A"))
    again.hold(["tA"], State.HELD, "api_unavailable")
    assert account(ledger, again.lease.run) == {"held api_unavailable": (1, 0)}
    third = later(ledger, again, "third")
    see(third, customer("A"))
    assert account(ledger, again.lease.run) == {"held api_unavailable": (1, 0)}


def test_a_row_that_is_gone_and_is_met_again_is_there(ledger, mine):
    send(mine, customer("A"))
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).values(gone_run=mine.lease.run))
    assert account(ledger, mine.lease.run) == {"delivered": (1, 0), "gone": (1, 0)}
    see(later(ledger, mine), customer("A"), verdict=UNCHANGED)
    assert row(ledger, "A").gone_run is None


def test_a_row_keeps_its_home_when_it_moves_to_another_customer(ledger, run):
    mine = claimed(ledger, run, E)
    send(mine, event("1", "A"))
    again = later(ledger, mine)
    see(again, end(event("1", "B"), State.HELD, "changed_after_delivery"))
    found = row(ledger, "1", E)
    assert (found.home, found.owner, found.customer, found.has_customer) == ("tA", "tB", "B", "A")
    assert before(ledger.engine)[0].customer == "A"


def test_a_key_that_was_retyped_stays_one_row(ledger, mine):
    number = customer("17")._replace(place="ib17", owner="ib17")
    send(mine, number)
    again = later(ledger, mine)
    was = Rows(ledger).at(C, ["ib17"])["ib17"]
    again.see([Judged(customer("17"), UNCHANGED, "t17")], {"t17": was})
    found = row(ledger, "17")
    assert (found.home, found.place, found.state, found.has_run) == ("ib17", "t17", "delivered", mine.lease.run)


def test_a_further_row_of_a_key_has_a_row_of_its_own(ledger, run):
    mine = claimed(ledger, run, E)
    one, other = event("1", "A"), event("1", "A", content="other")
    place = copy_of(other.place, other.content_hash, 1)
    see(mine, end(one, State.QUARANTINED, "duplicate_key"), Judged(other, one_of_two(), place))
    assert counted(ledger.engine) == {(run, E): 2}


def one_of_two():
    return end(event("1", "A"), State.QUARANTINED, "duplicate_key").verdict


def test_keys_are_told_apart_byte_by_byte(ledger, mine):
    keys = ["A1", "a1", "á1", "A1 ", "\uff211"]
    send(mine, *(customer(key, email=f"{number}@example.invalid") for number, key in enumerate(keys)))
    found = Rows(ledger).of_keys(C, keys)
    assert {key: len(alike) for key, alike in found.items()} == dict.fromkeys(keys, 1)
    assert set(Rows(ledger).of_keys(C, {"A1"})) == {"A1"}
    assert not Rows(ledger).of_keys(C, {"a1 "})
    assert set(Rows(ledger).at(C, [customer("A1 ").place])) == {customer("A1 ").place}


def test_more_places_are_looked_up_than_a_statement_takes_parameters(ledger, mine):
    send(mine, customer("69999"))
    assert set(Rows(ledger).at(C, [f"t{number}" for number in range(70_000)])) == {"t69999"}


def test_what_was_said_of_a_delivery_stays_while_nothing_changes(ledger, mine):
    number = sent(mine, customer("A"))
    doubts.arrived(ledger, mine.lease.run, C)
    again = later(ledger, mine)
    see(again, Judged(customer("A")._replace(changed="2024-01-01"), UNCHANGED, "tA"))
    found = row(ledger, "A")
    assert (found.state, found.reason, found.changed) == ("delivered", "settled_by_person", "2024-01-01")
    assert (found.has_batch, found.since_run) == (number, mine.lease.run)
    assert before(ledger.engine) == []


def test_what_a_person_adopts_counts_as_there_and_was_never_sent(ledger, mine):
    see(mine, adopted(customer("A", points=7)))
    found = row(ledger, "A")
    assert (found.state, found.reason, found.has_batch, found.has_run) == ("unchanged", "adopted", None, mine.lease.run)
    assert [getattr(found, f"has_{name}") for name in schema.CONTENT] == [
        getattr(found, name) for name in schema.CONTENT
    ]


def test_what_a_person_adopts_has_the_points_that_were_delivered(ledger, mine):
    number = send(mine, customer("A", points=7))
    again = later(ledger, mine)
    see(again, adopted(customer("A", points=9)))
    found = row(ledger, "A")
    assert (found.points, found.has_points, as_worth(found.has_worth)) == (9, 7, {REWARD: Decimal(7)})
    assert (found.has_batch, found.has_hash, found.has_run) == (number, found.hash, again.lease.run)


def test_the_largest_values_of_a_row_fit(ledger, run):
    wide = "\N{GRINNING FACE}"
    key = wide * ledger_capacity.KEY
    most = ledger_capacity.POINTS_END - 1
    mine = claimed(ledger, run, T)
    large = transaction("t", "o")._replace(
        key=key,
        customer=key,
        place=(wide * ledger_capacity.PLACE),
        owner=(wide * ledger_capacity.PLACE),
        points=most,
        reward="r" * ledger_capacity.REWARD,
        changed="9" * ledger_capacity.CHANGED,
    )
    send(mine, large)
    found = row(ledger, key, T)
    assert (found.place, found.owner, found.points, found.has_points) == (large.place, large.owner, most, most)
    again = later(ledger, mine)
    words = wide * 1_000 + "\x00"
    see(again, end(large._replace(points=-most), State.QUARANTINED, "too_large", words, words))
    found = row(ledger, key, T)
    assert (found.points, len(found.column_name), len(found.shape)) == (
        -most,
        ledger_capacity.COLUMN_NAME,
        ledger_capacity.SHAPE,
    )
    again.finish(1)
    tallies.freeze(ledger, again.lease.run)


# --- two slices that meet one row


def test_a_row_that_two_slices_read_at_one_moment_is_written_by_one_of_them(ledger, run):
    first, second = claimed(ledger, run, E, 1), claimed(ledger, run, E, 2)
    judged = [Judged(event("2", "B"), SENT, "t2"), Judged(event("1", "A"), SENT, "t1")]
    see(first, event("1", "B"))
    with pytest.raises(Moved, match="was read by two slices at this moment"):
        second.see(judged, {})
    assert states(ledger) == {"1": "held not_yet_sent"}
    assert row(ledger, "1", E).slice == 1


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_row_that_another_slice_has_seen_since_it_was_looked_up_is_left_to_it(ledger, run, is_changed):
    """Else it would count twice, and what that one has sent meanwhile would go again."""
    send(claimed(ledger, run, E), event("1", "A"))
    run = begin(ledger, "later")
    first, second = claimed(ledger, run, E, 1), claimed(ledger, run, E, 2)
    looked_up = Rows(ledger).at(E, ["t1"])
    see(first, event("1", "B"))
    written = rows(ledger)
    moved = event("1", "C") if is_changed else event("1", "A")
    with pytest.raises(Moved):
        second.see([Judged(moved, SENT if is_changed else UNCHANGED, "t1")], looked_up)
    assert rows(ledger) == written


# --- packing


def test_packing_says_what_of_a_row_is_out(ledger, mine):
    see(mine, customer("A", points=7))
    number = mine.pack(batch([customer("A", points=7)]), Purpose.ISOLATION)
    found = row(ledger, "A")
    assert found.out_batch == number
    assert [getattr(found, f"out_{name}") for name in schema.CONTENT] == [
        getattr(found, name) for name in schema.CONTENT
    ]
    assert (found.state, found.reason, found.has_hash) == ("held", "not_yet_sent", None)
    (packed,) = batches(ledger)
    assert (packed.state, packed.records, packed.customers, packed.requests) == ("packed", 1, 1, 0)
    assert (packed.run, packed.entity, packed.slice, packed.purpose) == (mine.lease.run, "customers", 1, "isolation")


def test_a_batch_is_packed_whole_or_not_at_all(ledger, mine):
    see(mine, customer("A"), customer("B"))
    mine.pack(batch([customer("B")]))
    written = rows(ledger)
    with pytest.raises(Moved, match="changed between reading and packing"):
        mine.pack(batch([customer("A"), customer("B")], 2))
    assert rows(ledger) == written


def test_of_two_slices_that_would_probe_at_one_moment_one_packs_its_probe(ledger, run, mine):
    """Both have asked before, and nothing was packed then."""
    other = claimed(ledger, run, C, 2)
    see(mine, customer("A"))
    see(other, customer("B"))
    probe = mine.pack(batch([customer("A")]), Purpose.PROBE)
    written = rows(ledger)
    with pytest.raises(Moved, match="one shows it for all"):
        other.pack(batch([customer("B")]), Purpose.PROBE)
    assert rows(ledger) == written
    mine.give_back(probe, "run_stopped")
    other.pack(batch([customer("B")]), Purpose.PROBE)


def test_nothing_is_packed_that_is_no_record_or_was_never_seen(ledger, mine):
    see(mine, quarantined(rejection(C, "A", "not_a_date", "born")))
    for key in "AB":
        with pytest.raises(Moved):
            mine.pack(batch([customer(key)]))
    assert batches(ledger) == []


def test_nothing_is_packed_that_another_slice_of_the_run_has_seen_since(ledger, run):
    first = claimed(ledger, run, E, 1)
    see(first, event("1", "A"))
    with ledger.engine.begin() as connection:
        connection.execute(update(schema.record).values(slice=2))
    written = rows(ledger)
    with pytest.raises(Moved):
        first.pack(batch([event("1", "A")]))
    assert rows(ledger) == written


@pytest.mark.parametrize("receipt", [None, UNANSWERED, DELIVERED])
def test_a_customers_transactions_that_went_from_another_slice_keep_these_back(ledger, run, receipt):
    first, second = claimed(ledger, run, T, 1), claimed(ledger, run, T, 2)
    see(second, transaction("2", "A"), transaction("3", "B"))
    sent(first, transaction("1", "A"), receipt=receipt)
    written = rows(ledger)
    with pytest.raises(Moved, match="another row's meanwhile"):
        second.pack(batch([transaction("3", "B"), transaction("2", "A")]))
    assert rows(ledger) == written
    second.pack(batch([transaction("3", "B")]))


def test_what_the_slice_itself_or_one_before_it_has_sent_keeps_nothing_back(ledger, run):
    """Where the account takes more of a customer, its judging has seen what went before."""
    sent(claimed(ledger, run, T, 1), transaction("1", "A"), receipt=DELIVERED)
    mine = claimed(ledger, run, T, 2)
    for key in "23":
        sent(mine, transaction(key, "A"), receipt=DELIVERED)
    assert states(ledger) == dict.fromkeys("123", "delivered")


@pytest.mark.parametrize("receipt", [None, UNANSWERED, DELIVERED])
def test_an_address_that_went_from_another_slice_keeps_this_one_back(ledger, run, receipt):
    first, second = claimed(ledger, run, C, 1), claimed(ledger, run, C, 2)
    see(second, customer("B", email="ana@example.invalid"), customer("C"))
    sent(first, customer("A", email="ana@example.invalid"), receipt=receipt)
    written = rows(ledger)
    with pytest.raises(Moved, match="another row's meanwhile"):
        second.pack(batch([customer("C"), customer("B", email="ana@example.invalid")]))
    assert rows(ledger) == written
    second.pack(batch([customer("C")]))


@pytest.mark.parametrize("receipt", [UNANSWERED, DELIVERED])
@pytest.mark.parametrize("now", [customer("A", email="new@example.invalid"), rejection(C, "A", "email_malformed")])
def test_an_address_is_whose_it_is_at_the_api_whatever_the_row_says_today(ledger, mine, receipt, now):
    sent(mine, customer("A", email="ana@example.invalid"), receipt=receipt)
    again = later(ledger, mine)
    doubtful = receipt is UNANSWERED
    state = (State.IN_DOUBT, "no_answer") if doubtful else (State.HELD, "changed_after_delivery")
    see(again, end(now, *state))
    see(again, customer("B", email="ana@example.invalid"))
    with pytest.raises(Moved):
        again.pack(batch([customer("B", email="ana@example.invalid")]))
    found = Rows(ledger).of_emails([ledger.digest("ana@example.invalid")])
    assert {one.key for one in found} == {"A", "B"}


def test_a_batch_may_swap_addresses_among_its_own_records(ledger, mine):
    send(mine, customer("A", email="ana@example.invalid"), customer("B", email="bea@example.invalid"))
    again = later(ledger, mine)
    swapped = [customer("A", email="bea@example.invalid"), customer("B", email="ana@example.invalid")]
    see(again, *swapped)
    again.pack(batch(swapped))


@pytest.mark.parametrize("receipt", [UNANSWERED, DELIVERED])
def test_a_name_that_went_from_another_slice_keeps_this_one_back(ledger, run, receipt):
    """Two slices that read at one moment see nothing of each other before they pack."""
    first, second = claimed(ledger, run, E, 1), claimed(ledger, run, E, 2)
    padded = event("1", "B")._replace(place=place_of(" 1"))
    see(second, padded, event("2", "B"))
    sent(first, event("1", "A"), receipt=receipt)
    written = rows(ledger)
    with pytest.raises(Moved, match="another row's meanwhile"):
        second.pack(batch([event("2", "B"), padded]))
    assert rows(ledger) == written
    second.pack(batch([event("2", "B")]))


# --- sending, and the receipt


def test_what_was_delivered_is_what_the_api_has(ledger, mine):
    see(mine, customer("A", points=7))
    number = mine.pack(batch([customer("A", points=7)]))
    sent_as = row(ledger, "A")
    mine.mark_sending(number)
    assert batches(ledger)[0].state == "sending"
    assert row(ledger, "A") == sent_as
    mine.enter_receipt(number, DELIVERED)
    found = row(ledger, "A")
    assert out_of(found) == [None] * len(OUT)
    assert [getattr(found, name) for name in HAS] == [getattr(sent_as, f"out_{name}") for name in schema.CONTENT]
    assert (found.has_batch, found.has_run, found.confirmed_at) == (number, mine.lease.run, None)
    assert (found.state, found.reason, found.since_run) == ("delivered", "", mine.lease.run)
    (its,) = batches(ledger)
    assert (its.state, its.status, its.requests) == ("delivered", 201, 1)


@pytest.mark.parametrize(("receipt", "reason"), [(UNANSWERED, "no_answer"), (REFUSED, "refusal_unproven")])
def test_what_was_not_accepted_is_in_doubt_and_stays_out(ledger, mine, receipt, reason):
    first = send(mine, customer("A", points=7))
    again = later(ledger, mine)
    number = sent(again, customer("A", points=9), customer("B"), receipt=receipt)
    assert states(ledger) == dict.fromkeys("AB", f"in_doubt {reason}")
    found = row(ledger, "A")
    assert (found.out_batch, found.out_points) == (number, 9)
    assert (found.has_batch, found.has_points) == (first, 7)


def test_a_receipt_is_of_its_own_batch_and_entity(ledger, run, mine):
    other = claimed(ledger, run, E)
    sent(other, event("A", "A"), receipt=None)
    sent(mine, customer("B"), receipt=None)
    still = [row(ledger, "A", E), row(ledger, "B")]
    sent(mine, customer("A"), receipt=DELIVERED)
    sent(mine, customer("C"), receipt=REFUSED)
    assert [row(ledger, "A", E), row(ledger, "B")] == still


def test_a_row_that_changed_while_it_was_out_is_held_after_it_arrived(ledger, mine):
    number = sent(mine, customer("A", points=7))
    again = later(ledger, mine)
    see(again, end(customer("A", points=9), State.IN_DOUBT, "no_answer"))
    again.arrived(["tA"], number)
    found = row(ledger, "A")
    assert (found.state, found.reason) == ("held", "not_yet_sent")
    assert (found.points, found.has_points, found.has_batch, found.has_run) == (9, 7, number, again.lease.run)
    assert found.has_hash == customer("A", points=7).content_hash


@pytest.mark.parametrize("moved", [event("1", "B"), rejection(E, "1", "not_a_date", "issued_at", owner="A")])
def test_also_one_that_moved_or_is_no_record_any_more(ledger, run, moved):
    mine = claimed(ledger, run, E)
    number = sent(mine, event("1", "A"))
    again = later(ledger, mine)
    see(again, end(moved, State.IN_DOUBT, "no_answer"))
    again.arrived(["t1"], number)
    found = row(ledger, "1", E)
    assert (found.state, found.reason, found.has_customer) == ("held", "not_yet_sent", "A")
    assert found.hash == getattr(moved, "content_hash", None)


def test_every_request_counts_and_one_that_was_not_taken_leaves_the_batch_packed(ledger, mine):
    see(mine, customer("A"))
    number = mine.pack(batch([customer("A")]))
    for _ in range(2):
        mine.mark_sending(number)
        mine.mark_not_sent(number, status=429, words="slower")
    assert states(ledger) == {"A": "held not_yet_sent"}
    mine.mark_sending(number)
    mine.enter_receipt(number, DELIVERED)
    (its,) = batches(ledger)
    assert (its.state, its.requests, its.status) == ("delivered", 3, 201)


def test_what_the_api_said_is_kept_whatever_it_said(ledger, mine):
    words = "Petición inválida: ñ \U0001f600 \x00" + "x" * 1000
    number = sent(mine, customer("A"), receipt=Receipt(BatchState.REFUSED, 422, 0.1, words))
    mine.convict([customer("A")], number, "refused", words, customer("A").content_hash)
    assert batches(ledger)[0].words == words.replace("\x00", "")[:500]
    assert row(ledger, "A").shape == words.replace("\x00", "")[:250]


def test_requests_are_stamped_by_the_ledgers_clock_whatever_the_workers_says(ledger, mine, monkeypatch):
    """Two workers' clocks may differ by minutes, and what was sent later proves something."""
    long_ago = datetime(2001, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    monkeypatch.setattr(slice_ledger, "now", lambda: long_ago)
    send(mine, customer("A"))
    (its,) = batches(ledger)
    # The servers run on this machine; a wrong zone would be an hour off at least.
    assert abs(datetime.now(UTC).replace(tzinfo=None) - its.sent_at) < timedelta(minutes=5)
    assert its.packed_at == long_ago


# --- settling


def three(writer):
    """A is in doubt in one batch, B in another one, C is not out; the batch of A."""
    number = sent(writer, customer("A"))
    sent(writer, customer("B"))
    see(writer, customer("C"))
    return number


PLACES = ["tA", "tB", "tC", "tnobody"]


@pytest.mark.parametrize(
    ("settle", "state"),
    [
        (lambda writer, number: writer.arrived(PLACES, number), "delivered"),
        (lambda writer, number: writer.absent(PLACES, number, was_refused=True), "quarantined refused_in_company"),
        (lambda writer, number: writer.absent(PLACES, number, was_refused=False), "held not_yet_sent"),
        (
            lambda writer, number: writer.convict(
                [customer(key) for key in "ABC"], number, "refused", "no", customer("A").content_hash
            ),
            "quarantined refused",
        ),
    ],
    ids=["arrived", "refused", "absent", "convicted"],
)
def test_what_is_settled_of_a_batch_leaves_everything_else_alone(ledger, mine, settle, state):
    number = three(mine)
    namesake = claimed(ledger, mine.lease.run, E)
    sent(namesake, event("A", "A"))
    others = [row(ledger, key) for key in "BC"], row(ledger, "A", E)
    settle(mine, number)
    assert f"{row(ledger, 'A').state} {row(ledger, 'A').reason}".strip() == state
    assert out_of(row(ledger, "A")) == [None] * len(OUT)
    assert ([row(ledger, key) for key in "BC"], row(ledger, "A", E)) == others


def test_what_is_said_of_a_doubt_leaves_what_is_not_out_alone_and_the_other_way_round(ledger, mine):
    three(mine)
    doubtful = [row(ledger, key) for key in "AB"]
    mine.hold(PLACES, State.QUARANTINED, "refused_in_company")
    assert [row(ledger, key) for key in "AB"] == doubtful
    waits = row(ledger, "C")
    assert (waits.state, waits.reason) == ("quarantined", "refused_in_company")
    mine.doubt(PLACES, "differs")
    assert row(ledger, "C") == waits
    assert states(ledger) == dict.fromkeys("AB", "in_doubt differs") | {"C": "quarantined refused_in_company"}


def test_a_conviction_without_a_batch_is_of_what_is_not_out(ledger, mine):
    number = three(mine)
    mine.absent(["tA"], number, was_refused=True)
    judged = customer("A").content_hash
    mine.convict([customer("A"), customer("B")], None, "refused", "no", judged)
    assert states(ledger) == {"A": "quarantined refused", "B": "in_doubt no_answer", "C": "held not_yet_sent"}
    assert (row(ledger, "A").judged, row(ledger, "B").judged) == (judged, None)


def test_who_is_acquitted_is_judged_again_and_others_are_not(ledger, mine):
    number = sent(mine, customer("A"), receipt=REFUSED)
    mine.convict([customer("A")], number, "refused", "no", customer("A").content_hash)
    send(mine, customer("B"))
    delivered = row(ledger, "B")
    mine.acquit(["tA", "tB"])
    found = row(ledger, "A")
    assert (found.state, found.reason, found.judged, found.shape) == ("held", "run_stopped", None, "")
    assert row(ledger, "B") == delivered


def test_what_arrives_was_not_refused(ledger, mine):
    number = sent(mine, customer("A"), receipt=REFUSED)
    mine.convict([customer("A")], number, "refused", "no", customer("A").content_hash)
    again = later(ledger, mine)
    sent(again, customer("A"), receipt=DELIVERED)
    assert row(ledger, "A").judged is None


def test_a_batch_that_cannot_go_is_given_back_and_one_that_was_sent_stays(ledger, mine):
    number = sent(mine, customer("A"))
    see(mine, customer("B"))
    packed = mine.pack(batch([customer("B")]))
    doubtful = row(ledger, "A")
    mine.give_back(packed, "api_unavailable")
    mine.give_back(number, "api_unavailable")
    assert row(ledger, "A") == doubtful
    found = row(ledger, "B")
    assert (found.state, found.reason, out_of(found)) == ("held", "api_unavailable", [None] * len(OUT))
    with pytest.raises(Fenced):
        mine.mark_sending(packed)
    # What was never sent can be packed again.
    mine.pack(batch([customer("B")]))


def test_much_is_settled_however_many_places_a_database_takes_at_once(ledger, mine, monkeypatch):
    monkeypatch.setattr(sql, "MOST_KEYS", 2)
    monkeypatch.setattr(sql, "_MOST_KEYS_OF", {})
    number = sent(mine, *map(customer, "ABCDE"), receipt=REFUSED)
    mine.arrived(["tA", "tB", "tC"], number)
    mine.absent(["tD", "tE"], number, was_refused=True)
    mine.hold(["tD", "tE"], State.QUARANTINED, "refused_in_company")
    assert states(ledger) == dict.fromkeys("ABC", "delivered") | dict.fromkeys("DE", "quarantined refused_in_company")


# --- strays


def test_what_was_never_answered_and_is_given_up_stays_a_stray(ledger, mine):
    number = sent(mine, customer("A"))
    mine.absent(["tA"], number, was_refused=False)
    found = row(ledger, "A")
    assert (found.strays, found.stray_hash) == (1, customer("A").content_hash)


def test_what_was_refused_and_has_not_arrived_is_none(ledger, mine):
    number = sent(mine, customer("A"), receipt=REFUSED)
    mine.absent(["tA"], number, was_refused=True)
    found = row(ledger, "A")
    assert (found.strays, found.stray_hash) == (0, None)


def given_up(writer, record):
    """Send *record*, and give it up."""
    number = sent(writer, record)
    writer.absent([record.place], number, was_refused=False)
    return number


def test_what_is_delivered_beside_a_stray_was_sent_again(ledger, mine):
    given_up(mine, customer("A"))
    sent(mine, customer("A"), receipt=DELIVERED)
    found = row(ledger, "A")
    assert (found.state, found.reason) == ("delivered", "sent_again")
    # A receipt is of its own request: it clears no other one.
    assert found.strays == 1


def test_only_a_read_back_of_the_same_content_shows_that_a_stray_is_there(ledger, mine):
    """It was sent twice all the same, and either may be the one that is shown."""
    given_up(mine, customer("A"))
    number = sent(mine, customer("A"))
    mine.arrived(["tA"], number)
    found = row(ledger, "A")
    assert (found.strays, found.stray_hash) == (0, None)
    assert (found.state, found.reason) == ("delivered", "sent_again")


def test_a_read_back_of_another_content_clears_no_stray(ledger, mine):
    given_up(mine, customer("A"))
    number = sent(mine, customer("A", points=9))
    mine.arrived(["tA"], number)
    found = row(ledger, "A")
    assert (found.strays, found.stray_hash) == (1, customer("A").content_hash)
    assert (found.state, found.reason) == ("delivered", "sent_again")


def test_strays_of_one_content_are_counted(ledger, mine):
    given_up(mine, customer("A"))
    given_up(mine, customer("A"))
    found = row(ledger, "A")
    assert (found.strays, found.stray_hash) == (2, customer("A").content_hash)


@pytest.mark.parametrize("by_person", [False, True])
def test_strays_of_two_contents_are_cleared_by_neither(ledger, mine, by_person):
    """Either may still come, whatever a read-back has shown of the other one."""
    given_up(mine, customer("A"))
    if by_person:
        sent(mine, customer("A", points=9))
        doubts.give_up(ledger, mine.lease.run, C)
    else:
        given_up(mine, customer("A", points=9))
    number = sent(mine, customer("A"))
    mine.arrived(["tA"], number)
    found = row(ledger, "A")
    assert found.strays == 2
    assert found.stray_hash != found.has_hash


# --- who may write


def test_a_new_try_calls_in_doubt_what_was_out_and_gives_back_what_was_not_sent(ledger, run, mine):
    send(mine, customer("delivered"))
    out = sent(mine, customer("out"), receipt=None)
    see(mine, customer("packed"), customer("read"), quarantined(rejection(C, "bad", "missing_value", "name")))
    mine.pack(batch([customer("packed")]))
    neighbour = claimed(ledger, run, C, 2)
    see(neighbour, customer("neighbour"))
    neighbour.pack(batch([customer("neighbour")]))

    claimed(ledger, run)

    assert states(ledger) == {
        "delivered": "delivered",
        "out": "in_doubt task_died",
        "packed": "held run_stopped",
        "read": "held run_stopped",
        "bad": "quarantined missing_value",
        "neighbour": "held not_yet_sent",
    }
    assert row(ledger, "out").out_batch == out
    assert out_of(row(ledger, "packed")) == [None] * len(OUT)
    assert row(ledger, "neighbour").out_batch is not None
    assert [its.state for its in batches(ledger)] == ["delivered", "in_doubt", "given_back", "packed"]


WRITES = {
    "see": lambda writer, _: writer.see([Judged(customer("B"), SENT, "tB")], {}),
    "met_again": lambda writer, _: writer.met_again(1),
    "pack": lambda writer, _: writer.pack(batch([customer("C")])),
    "mark_sending": lambda writer, number: writer.mark_sending(number),
    "mark_not_sent": lambda writer, number: writer.mark_not_sent(number, status=429, words=""),
    "enter_receipt": lambda writer, number: writer.enter_receipt(number, DELIVERED),
    "arrived": lambda writer, number: writer.arrived(["tA"], number),
    "absent": lambda writer, number: writer.absent(["tA"], number, was_refused=False),
    "convict": lambda writer, number: writer.convict([customer("A")], number, "refused", "", b"x" * 16),
    "acquit": lambda writer, _: writer.acquit(["tA"]),
    "hold": lambda writer, _: writer.hold(["tC"], State.HELD, "api_unavailable"),
    "doubt": lambda writer, _: writer.doubt(["tA"], "differs"),
    "give_back": lambda writer, number: writer.give_back(number, "run_stopped"),
    "finish": lambda writer, _: writer.finish(1),
}


@pytest.mark.parametrize("what", WRITES)
def test_a_try_that_lost_its_slice_can_write_nothing(ledger, run, mine, what):
    see(mine, customer("A"), customer("C"))
    number = mine.pack(batch([customer("A")]))
    if what in {"mark_not_sent", "enter_receipt"}:
        mine.mark_sending(number)
    claimed(ledger, run)
    written = rows(ledger)

    with pytest.raises(Fenced, match="was taken over by another try"):
        WRITES[what](mine, number)
    assert rows(ledger) == written


@pytest.mark.parametrize("what", ["see", "pack", "mark_sending", "enter_receipt"])
def test_a_claim_that_is_being_committed_is_waited_for(ledger, mine, what):
    """Under READ COMMITTED a write that only looked at the fence would see the old one."""
    see(mine, customer("A"), customer("C"))
    number = mine.pack(batch([customer("A")]))
    if what == "enter_receipt":
        mine.mark_sending(number)
    outcome = []

    def late():
        try:
            outcome.append(WRITES[what](mine, number))
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
    older = claimed(ledger, run, T)
    send(older, transaction("delivered", "A"))
    sent(older, transaction("out", "B"), receipt=None)
    see(older, transaction("packed", "C"))
    number = older.pack(batch([transaction("packed", "C")]))
    other_entity = claimed(ledger, run, E)
    done = claimed(ledger, run, T, 2)
    done.finish(0)

    claimed(ledger, begin(ledger, "second"), T)

    assert states(ledger) == {
        "delivered": "delivered",
        "out": "in_doubt task_died",
        "packed": "held run_stopped",
    }
    for write in WRITES.values():
        with pytest.raises(Fenced):
            write(older, number)
    other_entity.finish(0)
    assert claimed(ledger, run, T, 2).lease.fence == done.lease.fence + 1


def test_a_run_waits_for_one_that_lives(ledger, run):
    mine = claimed(ledger, run, T)
    other = begin(ledger, "second")
    assert claim(ledger, other, T, 1, lease_s=60.0) is None
    assert claim(ledger, run, T, 2, lease_s=60.0) is not None
    mine.finish(0)


@pytest.mark.parametrize("ends", [lambda ledger, other: settle_dead(ledger, other, C, lease_s=-1.0), None])
def test_what_a_dead_run_left_is_settled_before_anybody_looks_for_what_is_open(ledger, run, mine, ends):
    sent(mine, customer("out"), receipt=None)
    see(mine, customer("packed"), customer("read"))
    mine.pack(batch([customer("packed")]))
    if ends:
        ends(ledger, begin(ledger, "second"))
    else:
        settle_run(ledger, run)
    assert states(ledger) == {
        "out": "in_doubt task_died",
        "packed": "held run_stopped",
        "read": "held run_stopped",
    }
    with pytest.raises(Fenced):
        mine.finish(3)


def test_two_slices_of_one_run_do_not_fence_each_other(ledger, run):
    first, second = (claimed(ledger, run, E, number) for number in (1, 2))
    send(first, event("1", "A"))
    send(second, event("2", "B"))
    first.finish(1)
    second.finish(1)


# --- how many rows a slice has read


def part(ledger, run, entity=C, number=1):
    table = schema.part
    mine = (table.c.run == run, table.c.entity == entity, table.c.number == number)
    with ledger.reading() as connection:
        return connection.execute(select(table).where(*mine)).one()


def test_a_slice_counts_what_its_cursor_gave_and_what_only_an_earlier_try_met(ledger, run, mine):
    send(mine, customer("vanishes"), customer("stays"))
    again = claimed(ledger, run)
    see(again, customer("stays"), verdict=UNCHANGED)
    see(again, customer("comes"))
    again.finish(2)
    assert part(ledger, run).read_rows == 3
    assert counted(ledger.engine) == {(run, C): 3}


def test_also_where_another_run_has_seen_that_since(ledger, run, mine):
    send(mine, customer("vanishes"), customer("stays"))
    other = claimed(ledger, begin(ledger, "other"))
    see(other, customer("vanishes"), customer("stays"), verdict=UNCHANGED)
    other.finish(2)
    again = claimed(ledger, run)
    see(again, customer("stays"), verdict=UNCHANGED)
    again.finish(1)
    assert part(ledger, run).read_rows == 2
    assert counted(ledger.engine) == {(run, C): 2, (other.lease.run, C): 2}


def test_what_other_slices_and_entities_have_met_is_theirs(ledger, run):
    first, second = claimed(ledger, run, E, 1), claimed(ledger, run, E, 2)
    see(first, event("1", "A"))
    see(second, event("2", "B"))
    see(claimed(ledger, run, T, 1), transaction("1", "A"))
    for number in (1, 2):
        claimed(ledger, run, E, number).finish(0)
    assert [part(ledger, run, E, number).read_rows for number in (1, 2)] == [1, 1]


def test_rows_that_another_slice_has_met_are_counted_out(ledger, run):
    first, second = claimed(ledger, run, E, 1), claimed(ledger, run, E, 2)
    see(first, event("1", "A"))
    first.finish(1)
    second.met_again(2)
    second.met_again(1)
    assert part(ledger, run, E, 2).met_again == 3
    # A new try counts anew.
    again = claimed(ledger, run, E, 2)
    assert part(ledger, run, E, 2).met_again == 0
    again.met_again(1)
    see(again, event("2", "B"))
    again.finish(2)
    found = part(ledger, run, E, 2)
    assert found.read_rows - found.met_again == 1


# --- the accounts of runs that interleave


def test_a_row_that_another_run_sees_stays_in_the_account_of_a_run_under_way(ledger, run, mine):
    send(mine, customer("A"))
    see(mine, quarantined(rejection(C, "B", "not_a_date", "born")))
    mine.finish(2)
    other = claimed(ledger, begin(ledger, "other"))
    see(other, customer("A"), verdict=UNCHANGED)
    see(other, customer("B"))
    other.finish(2)
    assert account(ledger, run) == {"delivered": (1, 0), "quarantined not_a_date": (1, 1)}
    assert account(ledger, other.lease.run) == {"unchanged": (1, 0), "held not_yet_sent": (1, 1)}
    for number in (run, other.lease.run):
        tallies.freeze(ledger, number)
    assert account(ledger, run) == {"delivered": (1, 0), "quarantined not_a_date": (1, 1)}
    assert account(ledger, other.lease.run) == {"unchanged": (1, 0), "held run_stopped": (1, 1)}


def test_runs_that_take_rows_back_from_each_other_have_each_row_once(ledger, run):
    other = begin(ledger, "other")
    seen = set()
    for number in (run, other, run, other, other, run, run, other):
        writer = claimed(ledger, number)
        see(writer, end(customer("A"), State.HELD, "changed_after_delivery"))
        see(writer, customer("B"), verdict=UNCHANGED)
        writer.finish(2)
        seen.add(number)
        assert counted(ledger.engine) == {(one, C): 2 for one in seen}


def test_three_runs_that_interleave_add_up_each(ledger, run):
    runs = [run, begin(ledger, "second"), begin(ledger, "third")]
    seen = set()
    for number in (0, 1, 2, 0, 2, 1, 0):
        writer = claimed(ledger, runs[number])
        see(writer, customer("A"))
        writer.finish(1)
        seen.add(runs[number])
        assert counted(ledger.engine) == {(one, C): 1 for one in seen}


def test_a_row_is_taken_from_no_account_that_is_written_down(ledger, run, mine):
    send(mine, customer("A"))
    mine.finish(1)
    tallies.freeze(ledger, run)
    other = claimed(ledger, begin(ledger, "other"))
    see(other, customer("A"), verdict=UNCHANGED)
    with ledger.reading() as connection:
        assert connection.execute(select(func.count()).select_from(schema.left)).scalar() == 0
    assert account(ledger, run) == {"delivered": (1, 0)}


def test_an_account_that_is_written_down_does_not_change_any_more(ledger, run, mine):
    number = sent(mine, customer("A"))
    see(mine, customer("B"))
    mine.finish(2)
    tallies.freeze(ledger, run)
    was = {"in_doubt no_answer": (1, 1), "held run_stopped": (1, 1)}
    assert account(ledger, run) == was
    tallies.freeze(ledger, run)
    other = claimed(ledger, begin(ledger, "other"))
    other.arrived(["tA"], number)
    assert account(ledger, run) == was
    assert counted(ledger.engine) == {(run, C): 2}


def test_a_run_that_goes_on_after_its_end_is_counted_anew(ledger, run, mine):
    see(mine, customer("A"))
    mine.finish(1)
    tallies.freeze(ledger, run)
    again = claimed(ledger, run)
    assert account(ledger, run) == {"held run_stopped": (1, 1)}
    sent(again, customer("A"), receipt=DELIVERED)
    again.finish(1)
    tallies.freeze(ledger, run)
    assert account(ledger, run) == {"delivered": (1, 0)}


def test_a_run_that_was_overtaken_cannot_go_on(ledger, run, mine):
    see(mine, customer("A"))
    mine.finish(1)
    tallies.freeze(ledger, run)
    claimed(ledger, begin(ledger, "other")).finish(0)
    with pytest.raises(LedgerError, match="another one has read customers since: trigger a new run"):
        claim(ledger, run, C, 1)
    assert account(ledger, run) == {"held run_stopped": (1, 1)}


@pytest.mark.parametrize("is_before", [True, False])
def test_nor_one_whose_rows_an_older_run_has_seen(ledger, run, is_before):
    """A long backfill goes on after an increment that was taken in between."""
    newer = claimed(ledger, begin(ledger, "newer"))
    send(newer, customer("A"))
    newer.finish(1)
    if not is_before:
        tallies.freeze(ledger, newer.lease.run)
    older = claimed(ledger, run)
    see(older, customer("A"), verdict=UNCHANGED)
    older.finish(1)
    tallies.freeze(ledger, newer.lease.run)
    with pytest.raises(LedgerError, match="trigger a new run"):
        claim(ledger, newer.lease.run, C, 1)
    assert account(ledger, newer.lease.run) == {"delivered": (1, 0)}
    assert account(ledger, run) == {"unchanged": (1, 0)}


# --- many writers


def _write_many(url, run, number, start):
    engine = engines.ledger(make_url(url))
    ledger = Ledger(engine, "account")
    ledger.open()
    writer = claimed(ledger, run, E, number)
    start.wait()
    for key in range(25):
        builders.send(writer, event(f"{number}/{key}", "A"))
    writer.finish(25)
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
        assert connection.execute(select(func.count()).select_from(schema.record)).scalar_one() == 50
        assert connection.execute(select(func.count(schema.part.c.finished_at))).scalar_one() == 2
    assert {its.state for its in batches(ledger)} == {"delivered"}


def test_a_sqlite_ledger_is_safe_from_a_loss_of_power(sqlite_url):
    engine = engines.ledger(make_url(sqlite_url))
    with engine.connect() as connection:
        found = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()
    assert found == ["wal", 2]
