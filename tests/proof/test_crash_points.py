"""
SIGKILL at every crash point, for each entity, and after answers that were lost: nothing is lost,
nothing is sent twice in silence, and what nobody can know is shown as in doubt.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from masivo_engine import crash_points
from masivo_engine.model.errors import MigrationError
from masivo_engine.sandbox.faults.faults import Rule, Script
from masivo_engine.sandbox.options import Refusal
from tests.databases.proof import CUSTOMERS, ENTITIES, EVENTS, TRANSACTIONS, going
from tests.proof.processes import ROOT, SENT
from tests.proof.rig import LIMITS, Rig, Schedule, rig


PATHS = {
    CUSTOMERS: "/customers/migrate",
    EVENTS: "/customers/migrate/events",
    TRANSACTIONS: "/customers/migrate/transactions",
}
POISON = {CUSTOMERS: "C003", EVENTS: "S007-03", TRANSACTIONS: "T003-01"}
STRICT = {"duplicates": Refusal.IN_QUEUE, "second_transactions": Refusal.IN_QUEUE}
EACH = [pytest.param(CUSTOMERS, marks=pytest.mark.slow), pytest.param(EVENTS, marks=pytest.mark.slow), TRANSACTIONS]
_MOST_TRIES = 12
_ONE_SET = 3


def prone(entity: str, *faults: str, nth: tuple[int, ...] = (2,), poison: bool = False) -> Schedule:
    """A schedule in which requests of *entity* meet *faults*."""
    rules = (Rule(faults=faults, path=PATHS[entity], nth=nth),) if faults else ()
    options = STRICT | ({"poison": frozenset({POISON[entity]})} if poison else {})
    return Schedule(options=options, faults=Script(rules=rules))


def finish(running: Rig, workers, run_id: str) -> None:
    """Let fresh processes go on with the run, and later runs follow, until one sends nothing."""
    has_waited = False
    for _ in range(_MOST_TRIES):
        posts = len(running.sandbox.lines())
        assert workers.run(running.legacy_url, run_id) == SENT
        if not any(line.method == "POST" for line in running.sandbox.lines()[posts:]):
            if has_waited or not any(fates["in_doubt"] for fates in running.prove().fates.values()):
                return
            # Where nothing was sent later, only time proves that something never arrived.
            time.sleep(LIMITS["certain_after_s"])
            has_waited = True
        run_id = running.next_run()
    raise AssertionError("never quiet")


def check(running: Rig, entity: str, *, without: frozenset[str] = frozenset()) -> None:
    """
    Nothing is wrong, and everything that could go went; only events in flight may stay in doubt,
    and a set that was refused by itself after all others.
    """
    proof = running.prove()
    assert not proof.problems, str(proof)
    for other in ENTITIES:
        wanted = {key for key, fate in going(running.truth, other) if not {key, fate.customer} & without}
        in_doubt = proof.fates[other]["in_doubt"]
        may_be_in_doubt = {EVENTS: LIMITS["records"], TRANSACTIONS: _ONE_SET if without else 0}.get(other, 0)
        assert in_doubt <= (may_be_in_doubt if other == entity else 0), str(proof)
        held_up = proof.fates[other]["held"] + proof.fates[other]["quarantined"]
        assert proof.fates[other]["delivered"] + in_doubt >= len(wanted) - (held_up if without else 0), str(proof)


@pytest.mark.parametrize("entity", EACH)
@pytest.mark.parametrize("point", [point for point in crash_points.POINTS if point not in {"taking_apart", "settling"}])
def test_a_worker_killed_at_any_point_of_sending_loses_and_repeats_nothing(workers, point, entity):
    with rig(prone(entity), customers=16) as running:
        run_id = running.next_run()
        nth = 1 if point == "finishing" else 2
        assert workers.run(running.legacy_url, run_id, at=f"{point}:{nth}", entity=entity) == -signal.SIGKILL
        finish(running, workers, run_id)
        check(running, entity)


@pytest.mark.parametrize(("entity", "nth"), [(CUSTOMERS, 1), (CUSTOMERS, 2), (TRANSACTIONS, 1), (TRANSACTIONS, 2)])
def test_a_worker_killed_while_it_takes_a_refused_batch_apart_loses_and_repeats_nothing(workers, nth, entity):
    with rig(prone(entity, poison=True), customers=16) as running:
        run_id = running.next_run()
        assert workers.run(running.legacy_url, run_id, at=f"taking_apart:{nth}", entity=entity) == -signal.SIGKILL
        finish(running, workers, run_id)
        check(running, entity, without=frozenset({POISON[entity]}))


@pytest.mark.parametrize("entity", EACH)
@pytest.mark.parametrize("fault", ["close_after_accept", "500_but_accepted", "rst_before"])
def test_a_worker_killed_while_it_settles_a_doubt_loses_and_repeats_nothing(workers, fault, entity):
    with rig(prone(entity, fault, nth=(1,)), customers=16) as running:
        run_id = running.next_run()
        assert workers.run(running.legacy_url, run_id, at="settling", entity=entity) == -signal.SIGKILL
        finish(running, workers, run_id)
        check(running, entity)


@pytest.mark.parametrize("entity", EACH)
@pytest.mark.parametrize("point", ["answered", "received"])
@pytest.mark.parametrize("fault", ["close_after_accept", "504_but_accepted", "garbage"])
def test_a_worker_killed_right_after_an_answer_was_lost_loses_and_repeats_nothing(workers, fault, point, entity):
    with rig(prone(entity, fault, nth=(1,)), customers=16) as running:
        run_id = running.next_run()
        assert workers.run(running.legacy_url, run_id, at=point, entity=entity) == -signal.SIGKILL
        finish(running, workers, run_id)
        check(running, entity)


def test_the_environment_names_the_point_at_which_a_process_dies():
    program = (
        "from masivo_engine.crash_points import crash_point\nfor n in range(5):\n    print(n, flush=True)\n   "
        " crash_point('received')"
    )
    died = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {crash_points.VARIABLE: "received:3", "PYTHONPATH": str(ROOT / "include")},
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert (died.returncode, died.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"])


def test_a_name_that_is_no_crash_point_is_refused_instead_of_being_passed_by():
    with pytest.raises(ValueError, match="'recieved' is no crash point; known are page_entered"):
        crash_points.trap_at("recieved")
    assert not issubclass(ValueError, MigrationError)


def test_every_crash_point_stands_in_the_engine_once_for_each_thing_it_names():
    sources = [path for path in (ROOT / "include" / "masivo_engine").rglob("*.py") if path.name != "crash_points.py"]
    placed = [name for name in crash_points.POINTS for path in sources if f'crash_point("{name}")' in path.read_text()]
    assert set(placed) == set(crash_points.POINTS)
