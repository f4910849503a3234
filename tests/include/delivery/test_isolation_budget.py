"""
The budget of isolation is the account's and the hour's; what it leaves behind is found by later
runs, by themselves.
"""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import create_engine, func, select, update

from masivo_engine.delivery import delivery
from masivo_engine.ledger import counts, schema
from masivo_engine.ledger.counts import isolated_within_hour
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import BatchState, Purpose, Receipt
from masivo_engine.model.rows import Entity
from tests.builders import batch, claimed, customer, one_slice, plan_slices, see
from tests.databases import proof
from tests.include.delivery.delivery_rig import bench
from tests.include.delivery.delivery_rig import customer as person
from tests.whole_migration import UNHURRIED, UNLIMITED, journey


pytestmark = pytest.mark.slow


HOUR = timedelta(hours=1)
POISON = ("C003", "C011", "C012", "C029")


def an_hour_passes(engine):
    """Make every request an hour older."""
    sent = schema.batch.c.sent_at
    with engine.begin() as connection:
        for row in connection.execute(select(schema.batch.c.id, sent).where(sent.is_not(None))).all():
            connection.execute(
                update(schema.batch).where(schema.batch.c.id == row.id).values(sent_at=row.sent_at - HOUR)
            )


def sent(ledger, run_id, number, purpose, requests=1):
    """Send a batch in slice *number* of a run, in so many requests."""
    run = begin_run(ledger, run_id, mapping="m", mapping_hash="h", covers="{}").number
    plan_slices(ledger, run, Entity.CUSTOMERS, [one_slice(Entity.CUSTOMERS, part, 2) for part in (1, 2)])
    writer, record = claimed(ledger, run, number=number), customer(f"{run_id}-{number}")
    see(writer, record)
    batch_id = writer.pack(batch([record]), purpose)
    for left in reversed(range(requests)):
        writer.mark_sending(batch_id)
        if left:
            writer.mark_not_sent(batch_id, status=429, words="")
    writer.enter_receipt(batch_id, Receipt(BatchState.REFUSED, 422, 0.1))


def test_requests_of_the_last_hour_count_over_slices_and_runs(ledger):
    sent(ledger, "one", 1, Purpose.ISOLATION, requests=3)
    sent(ledger, "one", 2, Purpose.ISOLATION)
    sent(ledger, "two", 1, Purpose.ISOLATION)
    sent(ledger, "two", 2, Purpose.DELIVERY)
    assert isolated_within_hour(ledger) == 5
    an_hour_passes(ledger.engine)
    assert isolated_within_hour(ledger) == 0


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(minutes=30), -timedelta(minutes=30)])
def test_a_clock_that_was_set_back_does_not_open_the_budget(ledger, monkeypatch, ahead):
    sent(ledger, "one", 1, Purpose.ISOLATION)
    real = counts.stamp
    monkeypatch.setattr(counts, "stamp", lambda connection: real(connection) + ahead)
    assert isolated_within_hour(ledger) == 1


def purposes(on):
    """Requests by what they were for."""
    table = schema.batch
    with on.ledger.reading() as connection:
        rows = connection.execute(select(table.c.purpose, func.sum(table.c.requests)).group_by(table.c.purpose))
        return {Purpose(row[0]): int(row[1]) for row in rows}


def test_only_requests_that_take_a_refused_batch_apart_count(tmp_path):
    with bench(tmp_path, poison=frozenset({"C3", "C17"})) as on:
        on.migrate([person(n) for n in range(10)], [person(n) for n in range(10, 20)], [person(20)])
        found = purposes(on)
        assert sum(found.values()) == on.posts()
        assert isolated_within_hour(on.ledger) == found[Purpose.ISOLATION] > 0
        assert found[Purpose.DELIVERY] >= 3


def test_two_slices_share_one_budget(tmp_path):
    with bench(tmp_path, poison=frozenset({"C3", "C103"})) as on:
        on.isolation_per_hour = 20
        on.migrate([person(n) for n in range(50)], [person(50)])
        assert on.states()["C3"] == ("quarantined", "refused")
        on.migrate([person(n) for n in range(100, 150)], [person(150)])
        assert isolated_within_hour(on.ledger) == 20
        left = {key for key, (_, reason) in on.states().items() if reason == "refused_in_company"}
        assert "C103" in left
        assert left <= {f"C{n}" for n in range(100, 150)}
        # What is parked is neither out nor convicted.
        record = schema.record
        with on.ledger.reading() as connection:
            parked = connection.execute(
                select(record.c.state, record.c.out_batch, record.c.judged).where(
                    record.c.reason == "refused_in_company"
                )
            )
            assert set(parked.all()) == {("quarantined", None, None)}


def test_one_refused_batch_has_a_budget_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "_BUDGET", 12)
    with bench(tmp_path, poison=frozenset({"C3", "C103"})) as on:
        states = on.migrate([person(n) for n in range(50)], [person(n) for n in range(100, 150)], [person(200)])
        assert isolated_within_hour(on.ledger) == 24
        left = {key for key, (_, reason) in states.items() if reason == "refused_in_company"}
        assert {"C3", "C103"} <= left | {key for key, (_, reason) in states.items() if reason == "refused"}
        assert left
        assert {state for state, _ in states.values()} == {"delivered", "quarantined"}


@pytest.mark.parametrize("budget", [1, 4])
def test_what_was_parked_is_found_by_later_runs_by_themselves(tmp_path, budget):
    engine = create_engine(f"sqlite:///{tmp_path / 'legacy.sqlite'}")
    truth = proof.stock(engine, customers=40)
    engine.dispose()
    urls = (f"sqlite:///{tmp_path / 'legacy.sqlite'}", f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    extra = {**UNLIMITED, "isolation_per_hour": budget, "records": 20, "slice_requests": 1}
    with journey(*urls, mapping=proof.MAPPING, sandbox={**UNHURRIED, "poison": frozenset(POISON)}, extra=extra) as trip:
        trip.place.ledger.prepare()
        parked, spent, runs, has_open = [], [], 0, True
        while has_open:
            runs += 1
            assert runs < 40
            made = trip.migrate(f"run-{runs}", entities=[Entity.CUSTOMERS])
            assert made.adds_up
            parked.append(sum(one.rows for one in made.troubles if one.reason == "refused_in_company"))
            has_open = any(one.state == "in_doubt" or one.reason == "refused_in_company" for one in made.troubles)
            spent.append(isolated_within_hour(trip.place.ledger))
            an_hour_passes(trip.place.ledger_engine)
        table = schema.record
        with trip.place.ledger.reading() as connection:
            refused = connection.execute(
                select(table.c.key).where(table.c.reason == "refused", table.c.state == "quarantined")
            )
            assert set(refused.scalars()) == set(POISON)
        taken = [key for line in trip.posts() for key, _ in line.accepted]
    assert max(parked) > 0
    assert max(spent) <= budget
    assert len(taken) == len(set(taken))
    assert set(taken) == {key for key, _ in proof.going(truth, "customers")} - set(POISON)
