"""
What isolation costs: 100,000 records, one in a thousand bad in a way that only the API knows.

Requests, all of them, beside plain halving and beside the bound of information theory: an answer is
at most one bit, so a load with a share *p* of bad records takes at least ``records * H(p)``
requests (docs/benchmarks.md). Below 0.07 % no strategy reaches it, because a request that
is as likely refused as not would need more than 1000 records.

A request costs 5 seconds and a round a wait for the API's queue, because what is refused is read
back before any of it goes again. So the rounds of the batch that needed most are printed, too; what
is refused does not keep other batches from going meanwhile.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from masivo_engine.batching.packers import one_request, packer_for
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Record
from tests.builders import customer
from tests.include.delivery.refusing_api import Prose, RefusingApi, send_all


RECORDS = 100_000
SHARES = (0.0001, 0.001, 0.01)
SEEDS = (1, 2)


def main() -> None:
    """Print the table, share by share, because it takes a while."""
    records = [customer(f"C-{number:06}") for number in range(RECORDS)]
    least = RECORDS // Limits().records
    _say(f"{RECORDS:,} customers, requests in all, mean of {len(SEEDS)} loads; {least} without bad records")
    _say(
        f"{'bad':>7} {'bound':>8} {'plain halving':>14} {'ours, opaque':>13} {'/ bound':>8} {'names one':>10}"
        f" {'names all':>10}   rounds"
    )
    for share in SHARES:
        bound = RECORDS * -(share * math.log2(share) + (1 - share) * math.log2(1 - share))
        found = [list(_one(records, share, seed)) for seed in SEEDS]
        ways = [[way for way, _ in ways] for ways in zip(*found, strict=True)]
        halving, ours, one, every = (sum(way) / len(SEEDS) for way in ways)
        most = [max(rounds for _, rounds in ways) for ways in zip(*found, strict=True)]
        _say(
            f"{share:>7.2%} {bound:>8,.0f} {halving:>14,.0f} {ours:>13,.0f} {ours / bound:>8.3f} {one:>10,.0f}"
            f" {every:>10,.0f}   {', '.join(map(str, most))}"
        )


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 (a bench speaks to a person)


def _one(records: list[Record], share: float, seed: int) -> Iterator[tuple[int, int]]:
    bad = frozenset(record.key for record in random.Random(seed).sample(records, round(share * RECORDS)))
    yield _halving(records, bad)
    for prose in (_opaque, _names_one, _names_all):
        yield _ours(records, bad, prose)


def _ours(records: list[Record], bad: frozenset[str], prose: Prose) -> tuple[int, int]:
    """Return the requests, and the most rounds of a batch."""
    api = RefusingApi(bad, prose)
    reasons = send_all([[record] for record in records], api, Limits())
    if set(reasons) - bad:
        raise SystemExit("a good record was quarantined")
    if set(reasons) != bad or len(api.accepted) != RECORDS - len(bad) or max(api.accepted.values()) > 1:
        raise SystemExit("a record has no verdict of its own")
    return api.requests, api.rounds


def _halving(records: list[Record], bad: frozenset[str]) -> tuple[int, int]:
    """Split every refused batch into halves and send both."""
    api = RefusingApi(bad)
    packer = packer_for(records[0].entity, Limits())
    stack: list[tuple[Batch, int]] = []
    for record in records:
        stack += [(batch, 0) for batch in packer.add([record])]
    stack += [(batch, 0) for batch in packer.close()]
    while stack:
        batch, rounds = stack.pop()
        api.rounds = max(api.rounds, rounds)
        if api.post(batch).status != 201 and len(batch.records) > 1:
            middle = len(batch.records) // 2
            halves = (batch.records[:middle], batch.records[middle:])
            stack += [(one_request([[record] for record in half], 0), rounds + 1) for half in halves]
    return api.requests, api.rounds


def _opaque(_bad: object, _batch: object) -> str:
    return "Invalid customer entry"


def _names_one(bad: list[Record], _batch: object) -> str:
    return f"Invalid customer entry: '{bad[0].key}' (it is not acceptable)"


def _names_all(bad: list[Record], _batch: object) -> str:
    return "Invalid customer entry: " + "; ".join(f"'{record.key}' (it is not acceptable)" for record in bad)


if __name__ == "__main__":
    main()
