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
from masivo_engine.ledger.writing.slice_ledger import SliceLedger, claim
from masivo_engine.model.batches import Batch, BatchState, Receipt
from masivo_engine.model.judged import SENT, Judged, Verdict
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, Record, Rejection, State
from masivo_engine.model.runs import Covers, RunKind, Slice, Window
from masivo_engine.reports.account import Account, EntityAccount


REWARD = "3c90c3cc-0d44-4b50-8888-8dd25736052a"


def customer(key: str, *, points: int = 0, content: str = "", email: str = "") -> Record:
    """A customer with *points* of one reward; another *content* is another version."""
    balance = {REWARD: Decimal(points)} if points else {}
    email = email or f"{key.lower()}@example.invalid"
    body = f'{{"id":"{key}","content":"{content}","email":"{email}","points":{points}}}'.encode()
    return _record(Entity.CUSTOMERS, key, key, body, points=Decimal(points), balance=balance, email=email)


def event(key: str, owner: str, *, content: str = "") -> Record:
    """A purchase."""
    return _record(Entity.EVENTS, key, owner, f'{{"order":"{key}","content":"{content}","type":"PURCHASE"}}'.encode())


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


def begin(ledger: Ledger, run_id: str = "run", *entities: Entity) -> int:
    """Begin a run of one slice of each of *entities*, customers by default; return its number."""
    covers = Covers(RunKind.FULL, dict.fromkeys(Entity, Window())).as_json()
    run = begin_run(ledger, run_id, mapping="sample", mapping_hash="00", covers=covers).number
    for entity in entities or (Entity.CUSTOMERS,):
        plan_slices(ledger, run, entity, [one_slice(entity)])
    return run


def claimed(ledger: Ledger, run: int, entity: Entity = Entity.CUSTOMERS, number: int = 1) -> SliceLedger:
    """Take a slice; it must be the run's turn."""
    writer = claim(ledger, run, entity, number)
    assert writer is not None
    return writer


def rejection(
    entity: Entity,
    key: str,
    reason: str,
    column: str = "",
    shape: str = "",
    *,
    owner: str | None = None,
    points: float = 0,
) -> Rejection:
    """A row that became no record."""
    owner = key if owner is None else owner
    places = {"place": place_of(key), "owner": place_of(owner)}
    return Rejection(entity, key, owner, reason, column, shape, Decimal(points), **places)


def end(row: Record | Rejection, state: State, reason: str = "", column: str = "", shape: str = "") -> Judged:
    """The judgement that *row* is not sent."""
    return Judged(row, Verdict(state, reason, column, shape), row.place)


def quarantined(row: Rejection) -> Judged:
    """The judgement on a row that became no record."""
    return end(row, State.QUARANTINED, row.reason, row.column, row.shape)


def adopted(record: Record) -> Judged:
    """The judgement that a person stated that the API has *record*."""
    return Judged(record, Verdict(State.UNCHANGED, "adopted", has_it=True), record.place)


def see(writer: SliceLedger, *given: Judged | Record | Rejection, verdict: Verdict = SENT) -> None:
    """Let the try of *writer* have read rows, judged already, or all of them alike."""
    judged = [one if isinstance(one, Judged) else Judged(one, verdict, one.place) for one in given]
    writer.see(judged, Rows(writer.ledger).at(writer.lease.entity, [one.place for one in judged]))


def send(
    writer: SliceLedger,
    *records: Record,
    state: BatchState | None = BatchState.DELIVERED,
    status: int | None = None,
    words: str = "",
    reason: str = "",
    number: int = 1,
) -> int:
    """
    See, pack and send *records* in one request, to which the answer is *state*; None is no answer
    yet. Return the number of the batch.
    """
    see(writer, *records)
    packed = writer.pack(batch(records, number))
    writer.mark_sending(packed)
    if state:
        usual = {BatchState.DELIVERED: 201, BatchState.REFUSED: 422}.get(state, 0)
        writer.enter_receipt(packed, Receipt(state, usual if status is None else status, 0.1, words, reason))
    return packed


def entity_of(made: Account, entity: Entity = Entity.CUSTOMERS) -> EntityAccount:
    """Return what an account says of *entity*."""
    return next(one for one in made.entities if one.entity is entity)


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
    return Record(
        entity,
        key,
        owner,
        body,
        hashlib.blake2b(body, digest_size=16).digest(),
        points,
        balance or {},
        reward=reward,
        email=email,
        place=place_of(key),
        owner=place_of(owner),
    )
