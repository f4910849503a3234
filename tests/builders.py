"""
Records and batches as small as can be, for tests that are about what becomes of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs import coverage
from masivo_engine.ledger.runs.coverage import Seen
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import Batch, BatchState, Receipt
from masivo_engine.model.rows import Entity, Record
from masivo_engine.model.runs import Covers, RunKind, Slice, Window


REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"


def customer(key: str, *, points: int = 0, content: str = "", email: str = "") -> Record:
    """A customer with *points* of one reward; another *content* is another version."""
    body = f'{{"id":"{key}","content":"{content}"}}'.encode()
    balance = {REWARD: Decimal(points)} if points else {}
    email = email or f"{key.lower()}@example.invalid"
    return _record(Entity.CUSTOMERS, key, key, body, points=Decimal(points), balance=balance, email=email)


def event(key: str, owner: str, *, content: str = "") -> Record:
    """A purchase."""
    return _record(Entity.EVENTS, key, owner, f'{{"order":"{key}","content":"{content}"}}'.encode())


def transaction(key: str, owner: str, points: int = 5, *, content: str = "") -> Record:
    """Points that came or went."""
    body = f'{{"details":"{key}","issued_at":"2023-11-07T05:31:56Z","amount":{points},"content":"{content}"}}'.encode()
    return _record(Entity.TRANSACTIONS, key, owner, body, points=Decimal(points), reward=REWARD)


def plan_slices(ledger: Ledger, run: int, entity: Entity, slices: Sequence[Slice]) -> None:
    """Enter the slices of a run that covers nothing."""
    coverage.plan_slices(ledger, run, "sample", entity, slices, span=None, seen=Seen(None, 0, {}))


def batch(records: Sequence[Record], number: int = 1) -> Batch:
    """A request of *records*."""
    return Batch(records[0].entity, number, tuple(records), b'{"customers":[]}')


def one_slice(entity: Entity, number: int = 1, of: int = 1, lower: object = None, upper: object = None) -> Slice:
    """A slice that nobody has counted."""
    return Slice(entity, number, of, lower, upper, 0)


def _record(  # noqa: PLR0913 (the fields of a record)
    entity: Entity,
    key: str,
    owner: str,
    body: bytes,
    *,
    points: Decimal = Decimal(0),
    balance: Mapping[str, Decimal] | None = None,
    reward: str = "",
    email: str = "",
) -> Record:
    digest = hashlib.blake2b(body, digest_size=16).digest()
    return Record(entity, key, owner, body, digest, points, balance or {}, reward=reward, email=email)


def begin(ledger, run_id="run", *entities):
    run = begin_run(ledger, 
        run_id,
        mapping="sample",
        mapping_hash="00",
        covers=Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json(),
    ).number
    for entity in entities or (Entity.CUSTOMERS,):
        plan_slices(ledger, run, entity, [one_slice(entity)])
    return run


def send(ledger, lease, *records, state=BatchState.DELIVERED, reason=""):
    number = ledger.pack(lease, batch(records))
    ledger.sending(lease, number)
    if state:
        ledger.receive(lease, number, Receipt(state, 201, 0.1, reason=reason))
    return number


def entity_of(made, entity=Entity.CUSTOMERS):
    return next(one for one in made.entities if one.entity is entity)
