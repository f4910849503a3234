"""
Records and batches as small as can be, for tests that are about what becomes of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from decimal import Decimal

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Rows
from masivo_engine.ledger.runs import coverage
from masivo_engine.ledger.runs.coverage import Seen
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.model.batches import Batch, BatchState, Receipt
from masivo_engine.model.judged import SENT, Judged, Verdict
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, Record, Rejection, State
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
    places = {"place": place_of(key), "owner": place_of(owner)}
    return Record(entity, key, owner, body, digest, points, balance or {}, reward=reward, email=email, **places)


def rejection(entity, key, reason, column="", shape="", *, owner=None, points=0):
    """A row that became no record."""
    owner = key if owner is None else owner
    places = {"place": place_of(key), "owner": place_of(owner)}
    return Rejection(entity, key, owner, reason, column, shape, Decimal(points), **places)


def begin(ledger, run_id="run", *entities):
    run = begin_run(
        ledger,
        run_id,
        mapping="sample",
        mapping_hash="00",
        covers=Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json(),
    ).number
    for entity in entities or (Entity.CUSTOMERS,):
        plan_slices(ledger, run, entity, [one_slice(entity)])
    return run


def end(row, state, reason="", column="", shape=""):
    """The judgement that *row* is not sent."""
    return Judged(row, Verdict(state, reason, column, shape), row.place)


def quarantined(row):
    """The judgement on a row that became no record."""
    return end(row, State.QUARANTINED, row.reason, row.column, row.shape)


def adopted(record):
    """The judgement that a person stated that the API has *record*."""
    return Judged(record, Verdict(State.UNCHANGED, "adopted", has_it=True), record.place)


def see(mine, *judged):
    """Write down what a slice has read and judged."""
    mine.see(judged, Rows(mine.ledger).at(mine.lease.entity, [one.place for one in judged]))


def send(mine, *records, state=BatchState.DELIVERED, status=201, words="", reason="", number=1):
    """Have a slice read and send *records*; without a *state* no answer comes."""
    see(mine, *(Judged(record, SENT, record.place) for record in records))
    packed = mine.pack(batch(records, number))
    mine.mark_sending(packed)
    if state:
        mine.enter_receipt(packed, Receipt(state, status, 0.1, words, reason))
    return packed


def entity_of(made, entity=Entity.CUSTOMERS):
    return next(one for one in made.entities if one.entity is entity)
