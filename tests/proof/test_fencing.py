"""
A worker that was taken for dead and wakes up again: it sends nothing more and writes nothing more.
"""

from __future__ import annotations

import os
import signal

import pytest
from sqlalchemy import text

from masivo_engine.sandbox.options import Refusal
from tests.databases.proof import CUSTOMERS, EVENTS, TRANSACTIONS
from tests.proof import engines
from tests.proof.processes import FENCED, SENT
from tests.proof.rig import Schedule, rig


pytestmark = pytest.mark.slow


EACH = [CUSTOMERS, EVENTS, TRANSACTIONS]
STRICT = Schedule(options={"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE})


def rows(ledger_url: str) -> list[tuple[object, ...]]:
    """Everything that the ledger says of batches and rows."""
    with engines.ledger_at(ledger_url).connect() as connection:
        said = [connection.execute(text(f"SELECT * FROM {table}")) for table in ("masivo_batch", "masivo_record")]
        return [tuple(row) for table in said for row in table]


@pytest.mark.parametrize("entity", EACH)
@pytest.mark.parametrize(
    "point", ["page_entered:1", "packed:2", "turn_taken:2", "answered:2", "received:2", "finishing:1"]
)
def test_a_worker_that_wakes_up_after_another_took_over_neither_sends_nor_writes(workers, point, entity):
    with rig(STRICT, customers=16) as running:
        sleeper = workers.start(running.legacy_url, "run-1", at=point, entity=entity, stops=True)
        workers.wait(sleeper, "stopped")
        assert workers.run(running.legacy_url, "run-1") == SENT
        requests, said = len(running.sandbox.lines()), rows(running.ledger_url)

        os.kill(sleeper, signal.SIGCONT)

        assert workers.wait(sleeper) == FENCED
        assert [line for line in running.sandbox.lines()[requests:] if line.method == "POST"] == []
        assert rows(running.ledger_url) == said
        assert not running.prove().problems


@pytest.mark.parametrize("entity", EACH)
def test_a_worker_that_slept_right_before_its_post_asks_again_and_does_not_send(workers, entity):
    with rig(STRICT, customers=16) as running:
        sleeper = workers.start(running.legacy_url, "run-1", at="sending:2", entity=entity, stops=True, pause_s=0.2)
        workers.wait(sleeper, "stopped")
        assert workers.run(running.legacy_url, "run-1") == SENT
        requests, said = len(running.sandbox.lines()), rows(running.ledger_url)

        os.kill(sleeper, signal.SIGCONT)

        assert workers.wait(sleeper) == FENCED
        assert [line for line in running.sandbox.lines()[requests:] if line.method == "POST"] == []
        assert rows(running.ledger_url) == said
        assert not running.prove().problems
