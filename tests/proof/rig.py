"""
Runs migrations of the shop until nothing moves any more, while things break, and kills whoever does
the work.

A *try* is what one process does with a run: everything of it is opened anew, as after a restart. In
a mass run a try dies by `Died`, which nothing catches, at a crash point; real processes are killed
in `tests.proof.processes`.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url

from masivo.wire import tokens
from masivo_engine import crash_points
from masivo_engine.delivery import lane, sender
from masivo_engine.ledger import dialects
from masivo_engine.ledger.counts import last_delivered
from masivo_engine.ledger.runs.runs import finish_run, slices_of
from masivo_engine.model.errors import Stopped, TryAgainLater
from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.faults.faults import Script
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.server import Sandbox
from masivo_engine.source import reader
from tests import servers
from tests.databases import proof as shop
from tests.proof import engines, operating
from tests.proof.checker import Proof, prove
from tests.variables import variables
from tests.whole_migration import Died, Trip, connections, environment


# Where fsync costs nothing: what is proved here is the order of writes, not the disk.
_MEMORY = Path("/dev/shm")
_VISIBLE_WAIT_S = 1.0
_MOST_TRIES = 60

# Small batches, many slices, no waiting: a few dozen requests go through every station.
LIMITS: Mapping[str, Any] = {
    "records": 10,
    "slice_requests": 3,
    "interval_s": 0,
    "margin_s": 0,
    "per_hour": 1_000_000,
    "deadline_s": 0.5,
    "settle_after_s": 0.06,
    "settle_reads": 2,
    "certain_after_s": 1.0,
    "lease_s": 0.2,  # tries follow each other here, so whoever holds a slice is dead
    "account_id": "proof",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """
    What goes wrong in one journey: how the API behaves, which faults it plays, where the tries of
    the worker die.

    *kills* are used up one per try. After *Stopped* a person clears the task, or with *new_runs*
    the next scheduled run comes.
    """

    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    faults: Script = field(default_factory=Script)
    extra: Mapping[str, Any] = field(default_factory=dict)
    kills: tuple[str, ...] = ()
    new_runs: bool = False
    spoils: frozenset[str] = frozenset()


@dataclass(slots=True)
class Rig:
    """A shop, a sandbox and a ledger, and the tries that work on them."""

    sandbox: Sandbox
    legacy_url: str
    ledger_url: str
    truth: shop.Truth
    airflow: operating.Airflow | None = None
    outcomes: list[str] = field(default_factory=list)
    _runs: int = 0

    def play(self, schedule: Schedule, *, most_tries: int = _MOST_TRIES) -> Proof:
        """
        Try until a whole run has passed in which nothing was sent, after the time in which every
        doubt can be settled.
        """
        kills = list(schedule.kills)
        run_id = self.next_run()
        has_waited = False
        for _ in range(most_tries):
            outcome = self.attempt(run_id, kills.pop(0) if kills else "")
            self.outcomes.append(outcome)
            if outcome == "sent nothing" and not kills:
                proof = self.prove(spoils=schedule.spoils)
                if has_waited or not any(fates["in_doubt"] for fates in proof.fates.values()):
                    return proof
                time.sleep(LIMITS["certain_after_s"])
                has_waited = True
            has_waited = has_waited and outcome != "sent"  # what was sent since may need the time again
            if outcome in {"sent", "sent nothing"} or (outcome == "stopped" and schedule.new_runs):
                run_id = self.next_run()
        raise AssertionError(f"never quiet: {self.outcomes}")

    def prove(self, **options: Any) -> Proof:
        """Check what is there now."""
        engine = engines.ledger_at(self.ledger_url)
        try:
            return prove(self.truth, self.sandbox, engine, **options)
        finally:
            engine.dispose()

    def trip(self) -> Trip:
        """Open everything anew, as a new process would."""
        trip = Trip(self.sandbox, self.legacy_url)
        place = trip.place
        vars(place).update(
            ledger_engine=engines.ledger_at(self.ledger_url),
            legacy_engine=engines.legacy_at(self.legacy_url),
            legacy=cache(place.legacy),  # a try stands for many tasks, and each would look at the same tables again
        )
        return trip

    def next_run(self) -> str:
        """Name a run that has not been before."""
        self._runs += 1
        return f"run-{self._runs}"

    def attempt(self, run_id: str, kill: str = "") -> str:
        """
        Work on a run in what stands for a new process, which dies at *kill*; say how it ended.
        """
        crash_points.set_trap(crash_points.trap_at(kill, _die) if kill else None)
        trip = self.trip()
        posts = len(trip.posts())
        try:
            if self.airflow:
                self.airflow.work_on(run_id)
            else:
                work_on(trip, run_id)
        except Died:
            return f"died at {kill}"
        except TryAgainLater:
            return "later"
        except Stopped:
            return "stopped"
        finally:
            crash_points.set_trap(None)
            trip.close()
        return "sent" if len(trip.posts()) > posts else "sent nothing"


def work_on(trip: Trip, run_id: str, *, entities: tuple[Entity, ...] = tuple(Entity)) -> None:
    """Do what is left of a run: what the tasks of `masivo_sync` do, one after the other."""
    run = trip.begin(run_id)
    for entity in entities:
        done = operating.finished_slices(trip.place.ledger_engine, run.number, entity)
        for part in slices_of(trip.place.ledger, run.number, entity):
            if part.number not in done:
                trip.work_off(run, part)
        if entity is Entity.CUSTOMERS:
            _wait_until_visible(trip, run.number)
    finish_run(trip.place.ledger, run.number, "worked off")


@contextmanager
def rig(
    schedule: Schedule,
    *,
    customers: int = 40,
    stock_seed: int = 0,
    by_operators: bool = False,
    is_hurried: bool = True,
    server: str = "",
) -> Iterator[Rig]:
    """
    Set up a journey for *schedule*: connections in the environment, files in memory, and waits
    shortened if *is_hurried*.

    The ledger is a file too, unless there is a *server* for a database of its own.
    """
    made = _stocked(customers, stock_seed)
    with tempfile.TemporaryDirectory(prefix="masivo-proof-", dir=_MEMORY if _MEMORY.is_dir() else None) as name:
        folder = Path(name)
        shutil.copy(made.file, folder / "legacy.sqlite")
        legacy_url = f"sqlite:///{folder / 'legacy.sqlite'}"
        extra = {**LIMITS, **schedule.extra}
        with (
            _ledger_on(server, folder) as ledger_url,
            sandbox_for(schedule, folder) as sandbox,
            hurried() if is_hurried else nullcontext(),
            environment(connections(sandbox, legacy_url, ledger_url, shop.MAPPING, extra)),
            variables(),
        ):
            tokens._grants.clear()
            yield Rig(sandbox, legacy_url, ledger_url, made.truth, operating.Airflow() if by_operators else None)


def truth_of(customers: int, stock_seed: int = 0) -> shop.Truth:
    """Return the truth of the shop that `rig` sets up."""
    return _stocked(customers, stock_seed).truth


@contextmanager
def sandbox_for(schedule: Schedule, folder: Path) -> Iterator[Sandbox]:
    """Run a sandbox that behaves as *schedule* says."""
    standard = {"interval_s": 0.0, "per_hour": 0, "delay_s": 0.0, "retry_after_s": 0.01, "hang_s": 30.0, "drip_s": 0.02}
    options = {**standard, **schedule.options, "faults": schedule.faults}
    with Sandbox(Options(journal=folder / "journal.jsonl", **options)) as sandbox:
        yield sandbox


@contextmanager
def hurried() -> Iterator[None]:
    """
    Shorten the waits that no connection sets, and read in small pages; what is done between them
    stays as it is.
    """
    shorter = {
        (sender, "_FIRST_PAUSE_S"): 0.001,
        (sender, "_LONGEST_PAUSE_S"): 0.005,
        (lane, "_MOST_MARGIN_S"): 0.0,
        (reader, "PAGE"): 16,
    }
    before = {(module, name): getattr(module, name) for module, name in shorter}
    logger = logging.getLogger("masivo")
    level = logger.level
    try:
        for (module, name), value in shorter.items():
            setattr(module, name, value)
        logger.setLevel(logging.WARNING)
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)
        logger.setLevel(level)


@dataclass(frozen=True, slots=True)
class _Stocked:
    file: Path
    truth: shop.Truth


@cache
def _stocked(customers: int, seed: int) -> _Stocked:
    """Stock a shop once for all journeys; they work on copies."""
    file = _scratch() / f"legacy-{customers}-{seed}.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    truth = shop.stock(engine, customers=customers, seed=seed)
    engine.dispose()
    return _Stocked(file, truth)


@contextmanager
def _ledger_on(server: str, folder: Path) -> Iterator[str]:
    if server:
        with servers.fresh_database(make_url(server)) as url:
            yield url
        return
    shutil.copy(empty_ledger(), folder / "ledger.sqlite")
    yield f"sqlite:///{folder / 'ledger.sqlite'}"


@cache
def empty_ledger() -> Path:
    """
    Return a SQLite ledger that has its tables and nothing else, for journeys to copy; it is made
    once for all of them.
    """
    from masivo_engine.ledger.upgrade import upgrade  # noqa: PLC0415 (Alembic takes long to import)

    file = _scratch() / "ledger.sqlite"
    engine = create_engine(f"sqlite:///{file}")
    dialects.prepare(engine)
    upgrade(engine)
    engine.dispose()  # the last connection brings everything from the write-ahead log into the file
    return file


@cache
def _scratch() -> Path:
    folder = tempfile.TemporaryDirectory(prefix="masivo-proof-")
    _kept.append(folder)  # it is removed when the interpreter ends
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []


def _die() -> None:
    raise Died


def _wait_until_visible(trip: Trip, run: int) -> None:
    """Do what the sensor between customers and their children does."""
    until = time.monotonic() + _VISIBLE_WAIT_S
    missing = last_delivered(trip.place.ledger, run, Entity.CUSTOMERS, batches=3)
    while missing and time.monotonic() < until:
        missing = [key for key in missing if trip.place.hook.get_customer(key).answer.status != 200]
        if missing:
            with suppress(TimeoutError):
                time.sleep(0.01)
