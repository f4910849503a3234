"""
Play any number of random schedules: ``python tests/proof/soak.py --seeds 1000 [--first 1]
[--workers 2]``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread
from unittest import mock


ROOT = Path(__file__).parents[2]
CUSTOMERS = 16


@dataclass(frozen=True, slots=True)
class Played:
    """
    How the schedule of one *seed* went; *told* says what was played, for whoever has to find out
    why.

    *fates* counts where the rows of the shop stand in the end, over all entities.
    """

    seed: int
    problems: tuple[str, ...]
    tries: tuple[str, ...]
    told: str
    seconds: float
    fates: Counter[str]

    def __str__(self) -> str:
        tries = "; ".join(self.tries)
        return "\n  ".join([f"seed {self.seed}: {tries}", self.told, *self.problems[:10]])


def play(seed: int, server: str = "") -> Played:
    """
    Play the schedule of *seed* and check it, with the ledger in a new database on *server* or,
    without one, in a file.
    """
    from tests.proof.rig import Schedule, rig, truth_of  # noqa: PLC0415 (Airflow takes seconds to import)
    from tests.proof.schedules import schedule  # noqa: PLC0415

    began = time.monotonic()
    made: Schedule = schedule(seed, truth_of(CUSTOMERS))
    fates: Counter[str] = Counter()
    with rig(made, customers=CUSTOMERS, server=server) as running:
        try:
            proof = running.play(made)
            problems = proof.problems
            fates = sum(proof.fates.values(), fates)
        except Exception as fault:  # noqa: BLE001 (a seed that breaks the kit must be named like any other)
            problems = (f"{type(fault).__name__}: {fault}",)
        return Played(seed, problems, tuple(running.outcomes), str(made), time.monotonic() - began, fates)


def dialect_of(seed: int) -> str:
    """
    Say where the ledger of the schedule of *seed* is kept: one in twenty on PostgreSQL, one on
    MariaDB, the others in a file.
    """
    return {0: "mariadb", 10: "postgres"}.get(seed % 20, "sqlite")


def play_all(seeds: Iterable[int], *, workers: int, server: str = "") -> Iterator[Played]:
    """Play the schedules of *seeds* in *workers* processes, with the ledgers on *server*."""
    # The workers are forked from a process that has imported everything: an import of Airflow costs
    # as much as ten schedules.
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.conftest", "tests.proof.rig", "tests.proof.schedules"])
    paths = os.pathsep.join([str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")])
    with (
        mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, [paths, os.environ.get("PYTHONPATH")]))),
        ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_the_parent) as pool,
    ):
        yield from pool.map(partial(play, server=server), seeds, chunksize=2)


def _end_with_the_parent() -> None:
    """See to it that no worker outlives whoever started it, however that ended."""
    parent = parent_process()
    if parent is not None:
        Thread(target=lambda: wait([parent.sentinel]) and os._exit(1), daemon=True).start()


def main() -> int:
    """
    Play the seeds that the command line asks for; say which failed, and with what schedule.

    One in twenty has its ledger on PostgreSQL and one on MariaDB, if they answer.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    failed, fates = 0, Counter[str]()
    from tests import servers  # noqa: PLC0415 (found only now that the path is set)

    there = {
        dialect: server.render_as_string(hide_password=False)
        for dialect, server in (("postgres", servers.POSTGRES), ("mariadb", servers.MARIADB))
        if servers.answers(server)
    }
    seeds_by_dialect: dict[str, list[int]] = {}
    for seed in range(asked.first, asked.first + asked.seeds):
        dialect = dialect_of(seed)
        seeds_by_dialect.setdefault(dialect if dialect in there else "sqlite", []).append(seed)
    everything = (
        play_all(seeds, workers=asked.workers, server=there.get(dialect, ""))
        for dialect, seeds in seeds_by_dialect.items()
    )
    for played in chain.from_iterable(everything):
        fates += played.fates
        if played.problems:
            failed += 1
            sys.stdout.write(f"{played}\n")
            sys.stdout.flush()
    ledgers = ", ".join(f"{len(seeds):,} on {dialect}" for dialect, seeds in seeds_by_dialect.items())
    rows = ", ".join(f"{count:,} {fate}" for fate, count in fates.most_common())
    sys.stdout.write(f"{asked.seeds:,} schedules played ({ledgers}), {failed:,} failed; rows: {rows}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")]
    sys.exit(main())
