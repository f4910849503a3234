"""
The checker, checked: it finds each kind of lie, and says nothing where there is none.
"""

from __future__ import annotations

from dataclasses import replace

import orjson
import pytest
from sqlalchemy import text

from masivo_engine.model.rows import Entity
from tests.proof import engines
from tests.proof.checker import prove
from tests.proof.rig import Rig, Schedule, rig


CUSTOMERS = 16


@pytest.fixture(scope="module")
def done():
    """A shop that was migrated without any fault."""
    with rig(Schedule(), customers=CUSTOMERS) as running:
        running.play(Schedule())
        yield running


def kinds(running: Rig, truth=None, statement: str = "") -> set[str]:
    """
    What the checker finds with another *truth*, or after *statement* falsified the ledger; which is
    undone.
    """
    engine = engines.ledger_at(running.ledger_url)
    before = running.truth
    connection = engine.connect()
    try:
        if statement:
            connection.execute(text(statement))
        running.truth = truth or before
        # On the open connection, whose changes nobody else sees.
        checked = prove(running.truth, running.sandbox, _OnConnection(connection))
        return {problem.partition(":")[0] for problem in checked.problems}
    finally:
        running.truth = before
        connection.rollback()
        connection.close()


class _OnConnection:
    def __init__(self, connection) -> None:
        self._connection = connection

    def connect(self):
        return self

    def execution_options(self, **_):
        return self

    def __enter__(self):
        return self._connection

    def __exit__(self, *_) -> None:
        return


def without(truth, entity: str, key: str):
    return {**truth, entity: {other: fate for other, fate in truth[entity].items() if other != key}}


def test_a_true_account_has_no_problems(done):
    assert kinds(done) == set()


def test_a_journal_that_accepted_nothing_proves_nothing():
    with rig(Schedule(), customers=CUSTOMERS) as running:
        running.trip().place.ledger.prepare()
        assert "empty" in {problem.partition(":")[0] for problem in running.prove().problems}


def test_a_row_that_the_ledger_never_saw_is_lost(done):
    assert kinds(done, statement="DELETE FROM masivo_record WHERE key = 'S001-00'") == {"lost", "unbalanced"}


def test_a_row_called_delivered_that_the_journal_does_not_have_is_lost(done):
    assert "lost" in kinds(done, statement="UPDATE masivo_record SET state = 'delivered', reason = '' WHERE key = 'X1'")


def test_a_row_that_was_accepted_and_is_called_held_is_denied(done):
    found = kinds(done, statement="UPDATE masivo_record SET state = 'held' WHERE key = 'S001-00'")
    assert found == {"denied"}


def test_what_no_row_may_have_become_is_a_phantom(done):
    assert kinds(done, without(done.truth, "customers", "C003")) == {"phantom"}


def test_another_content_than_the_source_has_is_a_change(done):
    fate = done.truth["events"]["S001-00"]
    altered = {**done.truth["events"], "S001-00": replace(fate, payload={**fate.payload, "brand_id": "B2"})}
    assert kinds(done, {**done.truth, "events": altered}) == {"changed"}


def test_points_that_the_ledger_counts_otherwise_are_unequal(done):
    statement = "UPDATE masivo_record SET points = points + 1 WHERE entity = 'transactions' AND key = 'T007-00'"
    assert kinds(done, statement=statement) == {"unequal"}


def test_a_batch_that_is_still_on_its_way_is_restless(done):
    statement = "UPDATE masivo_batch SET state = 'sending' WHERE id = (SELECT min(id) FROM masivo_batch)"
    assert "restless" in kinds(done, statement=statement)


@pytest.mark.parametrize("entity", Entity)
def test_what_was_accepted_twice_is_a_duplicate(entity):
    with rig(Schedule(), customers=CUSTOMERS) as running:
        running.play(Schedule())
        send(running, entity, *bodies_of(running, entity))
        assert "duplicated" in kinds(running)


def test_a_customer_with_another_content_is_no_duplicate_and_the_newest_counts():
    with rig(Schedule(), customers=CUSTOMERS) as running:
        running.play(Schedule())
        fate = running.truth["customers"]["C003"]
        newer = {**fate.payload, "name": "planted C003 again"}
        truth = {**running.truth, "customers": {**running.truth["customers"], "C003": replace(fate, payload=newer)}}
        assert kinds(running, truth) == {"changed"}
        send(running, Entity.CUSTOMERS, newer)
        assert kinds(running, truth) == set()
        assert kinds(running) == {"changed"}
        send(running, Entity.CUSTOMERS, newer)
        assert kinds(running, truth) == {"duplicated"}
        send(running, Entity.CUSTOMERS, fate.payload)
        assert kinds(running) == {"duplicated"}


def test_an_event_with_another_content_is_a_duplicate_all_the_same():
    with rig(Schedule(), customers=CUSTOMERS) as running:
        running.play(Schedule())
        fate = running.truth["events"]["S007-00"]
        newer = {**fate.payload, "brand_id": "B2"}
        send(running, Entity.EVENTS, {"id": fate.customer, "events": [newer]})
        truth = {**running.truth, "events": {**running.truth["events"], "S007-00": replace(fate, payload=newer)}}
        assert kinds(running, truth) == {"duplicated"}


def send(running: Rig, entity: Entity, *customers) -> None:
    """Send a request past the ledger."""
    trip = running.trip()
    assert trip.place.hook.post(entity, orjson.dumps({"customers": customers})).status == 201
    trip.close()


def bodies_of(running: Rig, entity: Entity) -> list:
    """What the API accepted of the customer who has most, as it is sent."""
    held = running.sandbox.accepted(entity, customer="C007")
    contents = [body for record in held for body in record.bodies]
    return contents if entity is Entity.CUSTOMERS else [{"id": "C007", entity.value: contents}]
