"""
Payloads of quarantined records: sealed, only theirs, and gone with them.
"""

from __future__ import annotations

import pytest
from sqlalchemy import select

from masivo_engine.ledger import schema
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.ledger.writing.slice_ledger import claim
from masivo_engine.model.batches import BatchState
from masivo_engine.model.rows import Entity, State
from masivo_engine.reports.trail import trail
from tests.builders import begin, customer, end, quarantined, rejection, see, send


@pytest.fixture
def sealing(ledger):
    """The ledger with a seal that a test can see through."""
    ledger.seal = lambda body: b"sealed:" + body[::-1]
    return ledger


def unseal(sealed):
    return bytes(sealed).removeprefix(b"sealed:")[::-1].decode()


def payloads(ledger):
    with ledger.reading() as connection:
        kept = select(schema.payload.c.place, schema.payload.c.sealed)
        return {row.place: unseal(row.sealed) for row in connection.execute(kept)}


def shared(key):
    return end(customer(key), State.QUARANTINED, "email_shared")


def test_only_quarantined_records_are_kept_whether_refused_here_or_by_the_api(sealing):
    mine = claim(sealing, begin(sealing), Entity.CUSTOMERS, 1)
    bad, fine = customer("bad"), customer("fine")
    refused = send(mine, bad, fine, state=BatchState.REFUSED)
    mine.convict([bad], refused, "refused", "", bad.content_hash)
    mine.arrived([fine.place], refused)
    rejected = quarantined(rejection(Entity.CUSTOMERS, "none", "missing_value"))
    see(mine, shared("shared"), rejected, end(customer("held"), State.HELD, "customer_held"))

    assert payloads(sealing) == {"tbad": bad.body.decode(), "tshared": customer("shared").body.decode()}


def test_without_a_seal_nothing_is_kept(ledger):
    see(claim(ledger, begin(ledger), Entity.CUSTOMERS, 1), shared("A"))
    assert payloads(ledger) == {}


def test_the_trail_shows_them_to_whoever_can_unseal(sealing):
    see(claim(sealing, begin(sealing), Entity.CUSTOMERS, 1), shared("A"))
    assert [line.strip() for line in trail(sealing, "A", unseal)][1:] == [customer("A").body.decode()]
    assert len(list(trail(sealing, "A"))) == 1


def test_another_content_that_is_quarantined_too_replaces_the_one_before(sealing):
    run = begin(sealing)
    see(claim(sealing, run, Entity.CUSTOMERS, 1), shared("A"))
    new = customer("A", content="new")
    see(claim(sealing, run, Entity.CUSTOMERS, 1), end(new, State.QUARANTINED, "email_shared"))
    assert payloads(sealing) == {"tA": new.body.decode()}


def test_they_go_when_the_record_is_no_longer_quarantined(sealing):
    run = begin(sealing)
    see(claim(sealing, run, Entity.CUSTOMERS, 1), shared("A"), shared("B"))
    assert prune(sealing, keep_days=1).payloads == 0
    see(claim(sealing, run, Entity.CUSTOMERS, 1), end(customer("A"), State.HELD, "customer_held"))
    assert prune(sealing, keep_days=1).payloads == 1
    assert payloads(sealing) == {"tB": customer("B").body.decode()}
