"""
Two hours of the API in less than a minute: its world runs faster, and the connection's limits with
it; nothing else is touched.

What takes hours is met on the way: tokens that expire, the hourly cap, twice, whose 429 ask for
long waits, a queue that stands still, a spell of 503, and answers that get lost meanwhile.
"""

from __future__ import annotations

import pytest

from masivo_engine.sandbox.faults.faults import Rule, Script
from tests.databases.proof import ENTITIES, going
from tests.proof.rig import Schedule, rig


pytestmark = pytest.mark.slow


SPEED = 180.0  # an hour in 20 seconds
HOUR_S = 3600.0
PER_HOUR = 250  # that of Dev
OUTAGE_S = (480.0, 1500.0)
CUSTOMERS = 880

SCHEDULE = Schedule(
    options={
        "speed": SPEED,
        "interval_s": 5.0,
        "per_hour": PER_HOUR,
        "delay_s": 2.0,
        "token_lifetime_s": HOUR_S,
        "retry_after_s": 60.0,
        "outages": (OUTAGE_S,),
    },
    faults=Script(
        rules=(
            # Each storm in one place of the journey: customers, events, and transactions with lost
            # answers in between.
            Rule(faults=("429_s",), path="/customers/migrate", nth=tuple(range(30, 38))),
            Rule(faults=("429_s", "429"), path="/customers/migrate/events", nth=tuple(range(50, 60))),
            Rule(faults=("503_s",), path="/customers/migrate/events", nth=(200, 201, 202)),
            Rule(faults=("429_date",), path="/customers/migrate/transactions", nth=(60, 61)),
            Rule(faults=("rst_after_accept",), path="/customers/migrate", nth=(90,)),
            Rule(faults=("504_but_accepted",), path="/customers/migrate/transactions", nth=(80,)),
        )
    ),
    extra={
        "records": 9,  # as many as the transactions of the customer who has most
        "slice_requests": 50,
        "interval_s": 5.2 / SPEED,
        "per_hour": 1_000_000,  # so that the API says it, as it would to somebody who shares the account
        "deadline_s": 10.0,
        "settle_after_s": 180.0 / SPEED,
        "settle_reads": 3,
        "certain_after_s": HOUR_S / SPEED,
    },
)


@pytest.mark.timeout(600)
def test_two_hours_in_fast_forward_lose_and_repeat_nothing():
    with rig(SCHEDULE, customers=CUSTOMERS, by_operators=True, is_hurried=False) as running:
        proof = running.play(SCHEDULE)
        lines = running.sandbox.lines()
        began = running.sandbox.api.started_at
        truth = running.truth

    assert not proof.problems, f"{running.outcomes}\n{proof}"
    sent = [line for line in lines if line.method == "POST"]
    hours = (sent[-1].monotonic_s - sent[0].monotonic_s) * SPEED / HOUR_S
    assert hours >= 2

    limited = [line for line in sent if line.verdict == "limited" or line.status == 429]
    outage = [line for line in sent if line.accepted and _is_within(OUTAGE_S, (line.started_at - began) * SPEED)]
    assert sum(line.path == "/auth/authorize" and line.verdict == "read" for line in lines) > hours
    assert len(limited) >= 10
    assert sum(line.fault == "503_s" for line in sent) == 3
    assert len(outage) >= 10
    assert {line.fault for line in sent} >= {"rst_after_accept", "504_but_accepted", "429_date"}

    for entity in ENTITIES:
        assert proof.accepted[entity] == proof.fates[entity]["delivered"] == sum(1 for _ in going(truth, entity))


def _is_within(span: tuple[float, float], moment: float) -> bool:
    return span[0] <= moment < span[1]
