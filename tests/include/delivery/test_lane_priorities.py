"""Increments before backfills; the rest of the lane is in `test_lane`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url, select

from masivo.connections import engines
from masivo_engine.delivery.lane import Lane, Priority
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.limits import Limits


ROOT = Path(__file__).parents[3]
LIMITS = Limits(interval_s=5.0, margin_s=0.05, per_hour=100_000)


@pytest.fixture
def lane_of(engine, ledger):
    del ledger

    def make(kind):
        lane = Lane(engine, "account", LIMITS, kind=kind)
        lane._made()
        return lane

    return make


def starts(engine):
    with engine.connect() as connection:
        return list(connection.execute(select(schema.start.c.at).order_by(schema.start.c.id)).scalars())


def test_a_backfill_alone_takes_every_turn(lane_of, engine):
    lane = lane_of(Priority.BACKFILL)
    assert [lane._take()[1] is None for _ in range(4)] == [
        False,
        False,
        True,
        True,
    ]  # it would queue: it asks again later
    assert len(starts(engine)) == 2


def test_an_increment_goes_before_backfills_that_wait(lane_of, engine):
    backfill, increment = lane_of(Priority.BACKFILL), lane_of(Priority.INCREMENT)
    for _ in range(9):
        backfill._take()
    _, at = increment._take()
    assert at - starts(engine)[0] <= 2 * (LIMITS.interval_s + LIMITS.margin_s) + 0.1


def test_while_increments_want_turns_a_backfill_gets_one_of_five(lane_of):
    backfill, increment = lane_of(Priority.BACKFILL), lane_of(Priority.INCREMENT)
    taken = []
    for _ in range(20):
        increment._take()
        taken.append("increment")
        if backfill._take()[1] is not None:
            taken.append("backfill")
    assert taken.count("backfill") == 5
    gaps = "".join(kind[0] for kind in taken).split("b")
    assert gaps == ["iiii"] * 5 + [""]


def test_two_processes_share_the_lane_with_a_floor_for_both(tmp_path):
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    engine = engines.ledger(make_url(url))
    Ledger(engine, "account").prepare()
    program = [sys.executable, "-m", "tests.include.delivery.lane_priorities", url, "24"]
    raced = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert raced.returncode == 0, raced.stderr
    order = raced.stdout.split()
    first = order[order.index("increment") : max(place for place, kind in enumerate(order) if kind == "increment") + 1]
    assert first.count("increment") == 24
    # It gets its share while the increments run, and never two turns of theirs in a row.
    assert first.count("backfill") >= 24 // 5 - 2
    assert max(map(len, "".join(kind[0] for kind in first).split("i"))) <= 1
    engine.dispose()
