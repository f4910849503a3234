"""
The account's lane: who may send when, whatever the number of processes and the database.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import make_url, select, update

from masivo.connections import engines
from masivo_engine.delivery import lane as lane_
from masivo_engine.delivery.lane import Lane, Priority
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.limits import HOUR_S, Limits
from tests.include.delivery.lane_contention import PROCESSES
from tests.include.sandbox.client import sandbox


ROOT = Path(__file__).parents[3]
FIVE_SECONDS = Limits(interval_s=5.0, margin_s=0.05, per_hour=1000)


class Sleeper:
    """Sleeps by noting for how long; *during* is done while it sleeps for the first time."""

    def __init__(self, during=lambda: None):
        self.slept = []
        self._during = during

    def __call__(self, seconds):
        self.slept.append(seconds)
        if len(self.slept) == 1:
            self._during()


def starts(engine):
    with engine.connect() as connection:
        return sorted(connection.execute(select(schema.start.c.at)).scalars())


def margin(engine):
    with engine.connect() as connection:
        return connection.execute(select(schema.lane.c.margin_s)).scalar_one()


@pytest.mark.parametrize(("dialect", "is_strict"), [("sqlite", False), ("postgres", True)])
@pytest.mark.slow
def test_eight_processes_never_start_closer_than_the_interval(request, dialect, is_strict):
    # Without the sandbox's limiter, the margin alone takes up what a busy machine adds to the way
    # from the gate to the sandbox.
    turns, interval_s, margin_s = 25, 0.02, 0.05 if is_strict else 0.12
    url = request.getfixturevalue(f"{dialect}_url")
    engine = engines.ledger(make_url(url))
    Ledger(engine, "account").prepare()
    with sandbox(interval_s=interval_s if is_strict else 0) as api:
        arguments = [url, "account", api.port, api.client().token, turns, interval_s, margin_s]
        program = [sys.executable, "-m", "tests.include.delivery.lane_contention", *map(str, arguments)]
        walked = subprocess.run(
            program,
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT / 'include'}:{ROOT / 'plugins'}"},
            check=False,
            capture_output=True,
            text=True,
        )
        posts = [line for line in api.lines() if line.method == "POST"]

    assert walked.returncode == 0, walked.stderr
    taken = [line for line in posts if line.status != 429]
    assert len(taken) == PROCESSES * turns
    planned = starts(engine)
    assert len(planned) == len(posts)
    assert min(later - earlier for earlier, later in pairwise(planned)) >= interval_s
    arrived = sorted(line.monotonic_s for line in taken)
    assert min(later - earlier for earlier, later in pairwise(arrived)) >= interval_s
    engine.dispose()


@pytest.mark.usefixtures("ledger")
def test_turns_are_given_an_interval_and_a_margin_apart_and_the_first_at_once(engine):
    sleeper = Sleeper()
    lanes = [Lane(engine, "account", FIVE_SECONDS, sleep=sleeper) for _ in range(2)]
    waited = [lane.turn() for lane in lanes * 2]

    assert waited[0] == 0
    assert sleeper.slept == waited[1:]
    assert all(later - earlier == pytest.approx(5.05, abs=1e-3) for earlier, later in pairwise(starts(engine)))


@pytest.mark.usefixtures("ledger")
def test_accounts_do_not_wait_for_each_other(engine):
    for account in ("one", "other"):
        lane = Lane(engine, account, FIVE_SECONDS, sleep=Sleeper())
        assert lane.turn() == 0
        lane.freeze(100, too_fast=True)


@pytest.mark.parametrize("per_hour", [1, 3])
@pytest.mark.usefixtures("ledger")
def test_no_hour_has_more_starts_than_the_account_allows(engine, per_hour, monkeypatch):
    monkeypatch.setattr(lane_, "_LONGEST_WAIT_S", math.inf)
    limits = Limits(interval_s=5.0, margin_s=0.05, per_hour=per_hour)
    lane = Lane(engine, "account", limits, sleep=Sleeper())
    for _ in range(3 * per_hour):
        lane.turn()
    found = starts(engine)

    assert all(later - earlier >= HOUR_S for earlier, later in zip(found, found[per_hour:], strict=False))
    assert found[-1] - found[0] < 3 * HOUR_S


@pytest.mark.parametrize("kind", Priority)
@pytest.mark.usefixtures("ledger")
def test_a_full_hour_is_waited_for_outside_and_uses_up_nothing(engine, kind):
    lane = Lane(engine, "account", replace(FIVE_SECONDS, per_hour=1), kind=kind, sleep=Sleeper())
    assert lane.turn() == 0
    before = starts(engine)
    for _ in range(3):
        with pytest.raises(TryAgainLater, match="the hour's requests are used up") as later:
            lane.turn()
        assert HOUR_S - 60 < later.value.wait_s <= HOUR_S + 1
    assert starts(engine) == before
    with engine.begin() as connection:
        connection.execute(update(schema.start).values(at=schema.start.c.at - HOUR_S))
        connection.execute(update(schema.lane).values(next_at=0))
    assert lane.turn() <= FIVE_SECONDS.margin_s


@pytest.mark.usefixtures("ledger")
def test_a_long_freeze_is_waited_for_outside(engine):
    sleeper = Sleeper()
    lane = Lane(engine, "account", FIVE_SECONDS, sleep=sleeper)
    lane.freeze(3000, too_fast=False)
    with pytest.raises(TryAgainLater, match="the API asked everybody to wait") as later:
        lane.turn()
    assert 2900 < later.value.wait_s <= 3000
    assert (sleeper.slept, starts(engine)) == ([], [])


@pytest.mark.usefixtures("ledger")
def test_a_long_freeze_at_the_gate_sends_back_to_the_queue(engine):
    sleeper = Sleeper()
    lane = Lane(engine, "account", FIVE_SECONDS, sleep=sleeper)
    lane.turn()
    lane.freeze(60, too_fast=False)
    assert lane.start() is False
    assert (sleeper.slept, starts(engine)) == ([], [])


@pytest.mark.usefixtures("ledger")
def test_a_freeze_stops_whoever_waits_and_costs_nobody_a_start(engine):
    other = Lane(engine, "account", FIVE_SECONDS, sleep=Sleeper())
    sleeper = Sleeper(during=lambda: other.freeze(60, too_fast=False))
    waiting = Lane(engine, "account", FIVE_SECONDS, sleep=sleeper)
    other.turn()
    waiting.turn()

    assert len(sleeper.slept) == 2
    first, second = starts(engine)
    assert second - first >= 60


@pytest.mark.usefixtures("ledger")
def test_a_turn_after_the_end_of_a_freeze_stays_good(engine):
    other = Lane(engine, "account", FIVE_SECONDS, sleep=Sleeper())
    sleeper = Sleeper(during=lambda: other.freeze(1, too_fast=False))
    other.turn()
    Lane(engine, "account", FIVE_SECONDS, sleep=sleeper).turn()
    assert len(sleeper.slept) == 1


@pytest.mark.usefixtures("ledger")
def test_a_shorter_freeze_does_not_end_a_longer_one(engine):
    lane = Lane(engine, "account", FIVE_SECONDS, sleep=Sleeper())
    lane.freeze(100, too_fast=False)
    lane.freeze(1, too_fast=False)
    assert lane.turn() > 90


@pytest.mark.usefixtures("ledger")
def test_the_margin_doubles_when_the_api_finds_us_too_fast_and_shrinks_slowly_afterwards(engine):
    lane = Lane(engine, "account", FIVE_SECONDS, sleep=Sleeper())
    lane.turn()
    lane.freeze(0, too_fast=False)
    assert margin(engine) == 0.05
    for _ in range(2):
        lane.freeze(0, too_fast=True)
    assert margin(engine) == pytest.approx(0.2)
    lane.turn()
    assert margin(engine) == pytest.approx(0.2 * 0.99)
    for _ in range(10):
        lane.freeze(0, too_fast=True)
    assert margin(engine) == 1.0


@pytest.mark.usefixtures("ledger")
def test_the_margin_never_shrinks_below_the_connections(engine):
    lane = Lane(engine, "account", Limits(margin_s=0.9), sleep=Sleeper())
    lane.freeze(0, too_fast=True)
    assert margin(engine) == 1.0
    for _ in range(15):
        lane.turn()
    assert margin(engine) == 0.9


@pytest.mark.usefixtures("ledger")
def test_a_start_is_far_enough_from_one_that_came_late(engine):
    """The write-ahead of the first took so long that the second one's turn has come."""
    limits = Limits(interval_s=0.2, margin_s=0.0)
    late, punctual = (Lane(engine, "account", limits) for _ in range(2))
    late.turn()
    punctual.turn()
    late.start()
    punctual.start()

    first, second = starts(engine)
    assert second - first >= 0.2
    next_one = Lane(engine, "account", limits)
    next_one.turn()
    next_one.start()
    assert starts(engine)[-1] - second >= 0.2


@pytest.mark.usefixtures("ledger")
def test_a_freeze_between_turn_and_start_is_waited_for(engine):
    limits = Limits(interval_s=0.01, margin_s=0.0)
    lane = Lane(engine, "account", limits)
    lane.turn()
    (given,) = starts(engine)
    lane.freeze(0.2, too_fast=False)
    assert lane.start()
    assert starts(engine)[0] - given >= 0.2


@pytest.mark.usefixtures("ledger")
def test_an_account_without_an_interval_waits_for_nobody(engine):
    sleeper = Sleeper()
    for _ in range(3):
        lane = Lane(engine, "account", Limits(interval_s=0, margin_s=0.05), sleep=sleeper)
        lane.turn()
        lane.start()
    assert sleeper.slept == []


def kinds(engine):
    """A lane for increments and one for backfills, which never really sleep."""
    return (
        Lane(engine, "account", FIVE_SECONDS, kind=kind, sleep=Sleeper())
        for kind in (Priority.INCREMENT, Priority.BACKFILL)
    )


@pytest.mark.usefixtures("ledger")
def test_a_backfill_that_is_alone_has_the_lane_to_itself(engine):
    _, backfill = kinds(engine)
    assert backfill.turn() == 0
    assert backfill._take()[0] == pytest.approx(5.05, abs=0.1)


@pytest.mark.usefixtures("ledger")
def test_a_backfill_lets_increments_pass_and_has_one_turn_in_five(engine):
    increment, backfill = kinds(engine)
    for _ in range(2):
        for _ in range(4):
            increment.turn()
            wait, at = backfill._take()
            assert (wait > 0, at) == (True, None) or len(starts(engine)) % 5 == 0
        assert len(starts(engine)) % 5 == 0
    assert len(starts(engine)) == 10


@pytest.mark.usefixtures("ledger")
def test_a_backfill_never_queues_so_that_an_increment_waits_for_one_request_at_most(engine):
    increment, backfill = kinds(engine)
    backfill.turn()
    for _ in range(3):
        backfill._take()
    assert increment.turn() < 2 * 5.05 + 0.1
