"""
Payloads of quarantined records: sealed, only theirs, and gone with them.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, Entry, Rejection, State
from masivo_engine.reports.trail import trail
from tests.builders import begin, customer, send


@pytest.fixture
def sealing(ledger):
    """The ledger with a seal that a test can see through."""
    ledger._seal = lambda body: b"sealed:" + body[::-1]
    return ledger


def unseal(sealed):
    return bytes(sealed).removeprefix(b"sealed:")[::-1].decode()


def payloads(ledger):
    with ledger.reading() as connection:
        joined = select(schema.entry.c.key, schema.payload.c.sealed).join_from(schema.payload, schema.entry)
        return {row.key: unseal(row.sealed) for row in connection.execute(joined)}


def test_only_quarantined_records_are_kept_whether_refused_here_or_by_the_api(sealing):
    lease = sealing.claim(begin(sealing), Entity.CUSTOMERS, 1)
    bad, fine, shared = customer("bad"), customer("fine"), customer("shared")
    send(sealing, lease, bad, fine, state=BatchState.REFUSED)
    sealing.judge(lease, ["bad"], State.QUARANTINED, "refused", records=[bad])
    sealing.judge(lease, ["fine"], State.DELIVERED, records=[fine])
    rejection = Rejection(Entity.CUSTOMERS, "none", "none", "missing_value")
    held = Entry(customer("held"), State.HELD, "customer_held")
    sealing.enter(
        lease,
        [Entry(shared, State.QUARANTINED, "email_shared"), Entry(rejection, State.QUARANTINED, "missing_value"), held],
    )

    assert payloads(sealing) == {"bad": bad.body.decode(), "shared": shared.body.decode()}


def test_without_a_seal_nothing_is_kept(ledger):
    lease = ledger.claim(begin(ledger), Entity.CUSTOMERS, 1)
    ledger.enter(lease, [Entry(customer("A"), State.QUARANTINED, "email_shared")])

    assert payloads(ledger) == {}


def test_the_trail_shows_them_to_whoever_can_unseal(sealing):
    lease = sealing.claim(begin(sealing), Entity.CUSTOMERS, 1)
    record = customer("A")
    sealing.enter(lease, [Entry(record, State.QUARANTINED, "email_shared")])

    assert [line.strip() for line in trail(sealing, "A", unseal)][1:] == [record.body.decode()]
    assert len(list(trail(sealing, "A"))) == 1


def test_they_go_when_the_slice_is_read_again_and_when_the_record_is_no_longer_quarantined(sealing):
    run = begin(sealing)
    lease = sealing.claim(run, Entity.CUSTOMERS, 1)
    sealing.enter(lease, [Entry(customer("A"), State.QUARANTINED, "email_shared")])
    again = sealing.claim(run, Entity.CUSTOMERS, 1)
    assert payloads(sealing) == {}

    sealing.enter(again, [Entry(customer("A"), State.QUARANTINED, "email_shared")])
    with sealing.reading() as connection:
        outdated = list(connection.execute(select(schema.entry.c.id)).scalars())
    sealing.enter(again, [], outdated)
    assert prune(sealing, keep_days=1).payloads == 1
    assert payloads(sealing) == {}
