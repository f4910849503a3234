"""
An API in memory that refuses every batch with a bad record in it, and whoever sends batches to it
until each record has a verdict.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from masivo_engine.batching.packers import packer_for
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.delivery.isolation import Isolation
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.model.answers import Answer, Verdict, verdict
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record, State


Prose = Callable[[Sequence[Record], Batch], str]


@dataclass(slots=True)
class RefusingApi:
    """
    Refuses with 422 what holds one of *bad*, with 413 what has more than *body_bytes*.

    *prose* makes the sentence of the bad records and their batch. What was accepted is counted by
    key.
    """

    bad: Collection[str] = ()
    prose: Prose = lambda _bad, _batch: "Invalid customer entry"
    body_bytes: int = 10**9
    too_large: Answer = field(default_factory=lambda: Answer(413, text="Request body is too large"))
    accepted: Counter[str] = field(default_factory=Counter)
    refused_alone: set[str] = field(default_factory=set)
    requests: int = 0

    def post(self, batch: Batch) -> Answer:
        self.requests += 1
        if len(batch.body) > self.body_bytes:
            return self.too_large
        found = [record for record in batch.records if record.key in self.bad]
        if not found:
            self.accepted.update(record.key for record in batch.records)
            return Answer(201)
        if len(units_of(batch.records)) == 1:
            self.refused_alone |= {record.key for record in batch.records}
        text = orjson.dumps({"error": "Unprocessable Entity", "details": self.prose(found, batch)}).decode()
        return Answer(422, {"content-type": "application/json"}, text)


@dataclass(slots=True)
class Verdicts:
    """What a ledger is told of single records."""

    reasons: dict[str, str] = field(default_factory=dict)

    def judge(  # as `Ledger.judge`
        self,
        _lease: Lease,
        keys: Sequence[str],
        state: State,
        reason: str = "",
        shape: str = "",
        *,
        records: Sequence[Record] = (),
    ) -> None:
        assert {record.key for record in records} <= set(keys)
        del state, shape
        self.reasons |= dict.fromkeys(keys, reason)


def isolation(api: RefusingApi, entity: Entity, *, per_hour: int = 10**9) -> tuple[Isolation, Verdicts]:
    """An isolation that talks to *api*, and what it finds."""
    verdicts = Verdicts()

    spent: list[Batch] = []

    def send(batch: Batch) -> Answer:
        made.beware()
        spent.append(batch)
        return api.post(batch)

    lease = Lease(1, entity, 1, 1)
    made = Isolation(verdicts, lease, send, spent=lambda: len(spent), per_hour=per_hour, but_for_doubtful=list)  # type: ignore[arg-type]
    return made, verdicts


def send_all(
    groups: Iterable[Unit], api: RefusingApi, limits: Limits, *, per_hour: int = 10**9, accepted_before: int = 0
) -> dict[str, str]:
    """
    Pack and send *groups*, all of one entity, as a slice does; return the reasons of what was
    quarantined, by key.

    *accepted_before* is how many units the API has taken of this slice already.
    """
    groups = list(groups)
    entity = groups[0][0].entity
    taking_apart, verdicts = isolation(api, entity, per_hour=per_hour)
    taking_apart.accepted(accepted_before)

    def deliver(batches: Iterable[Batch]) -> list[Unit]:
        left: list[Unit] = []
        for batch in batches:
            taking_apart.beware()
            answer = api.post(batch)
            if verdict(answer) is Verdict.ACCEPTED:
                taking_apart.accepted(len(units_of(batch.records)))
            else:
                left += taking_apart.take_apart(batch, answer)
        return left

    waiting = groups
    while waiting:
        packer = packer_for(entity, limits)
        left: list[Unit] = []
        for group in waiting:
            left += deliver(packer.add(group))
            while left:
                left += deliver(packer.add(left.pop(0)))
        waiting = left + deliver(packer.close())
    return verdicts.reasons
