"""
An API in memory that refuses every batch with a bad record in it, and whoever sends batches to it
until each record has a verdict.

A refused request leaves nothing behind here, and that is known at once: this is about which
requests find the bad ones, not about what proves that (`delivery_rig`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

import orjson

from masivo_engine.batching.packers import one_request, packer_for
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.delivery.isolation import Refused, is_too_large, isolate
from masivo_engine.model.answers import Answer, Verdict, verdict
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Record


Prose = Callable[[Sequence[Record], Batch], str]


@dataclass(slots=True)
class RefusingApi:
    """
    Refuses with 422 what holds one of *bad*, with 413 what has more than *body_bytes*.

    *prose* makes the sentence of the bad records and their batch. What was accepted is counted by
    key; *rounds* are the waits for the queue that the batch needed that needed most.
    """

    bad: Collection[str] = ()
    prose: Prose = lambda _bad, _batch: "Invalid customer entry"
    body_bytes: int = 10**9
    too_large: Answer = field(default_factory=lambda: Answer(413, text="Request body is too large"))
    accepted: Counter[str] = field(default_factory=Counter)
    refused_alone: set[str] = field(default_factory=set)
    requests: int = 0
    rounds: int = 0

    def post(self, batch: Batch) -> Answer:
        """Accept *batch* or refuse it."""
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


def take_apart(units: Sequence[Unit], answer: Answer, api: RefusingApi) -> dict[str, str]:
    """
    Send *units*, which were refused with *answer*, in parts until each has its verdict; return the
    reasons of those that were refused alone, by key.
    """
    reasons: dict[str, str] = {}
    flow, rounds = isolate(Refused(units, answer)), 0
    parts = next(flow, None)
    while parts:
        rounds += 1
        api.rounds = max(api.rounds, rounds)
        again: list[Refused] = []
        for part in parts:
            answer = api.post(one_request(part, 0))
            if verdict(answer) is Verdict.ACCEPTED:
                continue
            if len(part) > 1:
                again.append(Refused(part, answer))
            else:
                reason = "too_large" if is_too_large(answer) else "refused"
                reasons |= {record.key: reason for record in part[0]}
        try:
            parts = flow.send(again)
        except StopIteration:
            break
    return reasons


def send_all(groups: Iterable[Unit], api: RefusingApi, limits: Limits) -> dict[str, str]:
    """
    Pack and send *groups*, all of one entity, and take apart what is refused; return the reasons of
    what was quarantined, by key.
    """
    groups = list(groups)
    packer = packer_for(groups[0][0].entity, limits)
    batches = [*(batch for group in groups for batch in packer.add(group)), *packer.close()]
    reasons: dict[str, str] = {}
    for batch in batches:
        answer = api.post(batch)
        if verdict(answer) is not Verdict.ACCEPTED:
            reasons |= take_apart(units_of(batch.records), answer, api)
    return reasons
