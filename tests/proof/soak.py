"""Play any number of random schedules: ``python tests/proof/soak.py --seeds 1000 [--first 1] [--workers 2]``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path


ROOT = Path(__file__).parents[2]
CUSTOMERS = 16


@dataclass(frozen=True, slots=True)
class Played:
    """
    How the schedule of one *seed* went; *told* says what was played, for whoever has to find out why.

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


def play(seed: int) -> Played:
    """Play the schedule of *seed* and check it."""
    from tests.proof.rig import Schedule, rig, truth_of  # noqa: PLC0415 (Airflow takes seconds to import)
    from tests.proof.schedules import schedule  # noqa: PLC0415

    began = time.monotonic()
    made: Schedule = schedule(seed, truth_of(CUSTOMERS))
    fates: Counter[str] = Counter()
    with rig(made, customers=CUSTOMERS) as running:
        try:
            proof = running.play(made)
            problems = proof.problems
            fates = sum(proof.fates.values(), fates)
        except Exception as fault:  # noqa: BLE001 (a seed that breaks the kit must be named like any other)
            problems = (f"{type(fault).__name__}: {fault}",)
        return Played(seed, problems, tuple(running.outcomes), str(made), time.monotonic() - began, fates)


def play_all(seeds: Iterable[int], *, workers: int) -> Iterator[Played]:
    """Play the schedules of *seeds* in *workers* processes."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin) as pool:
        yield from pool.map(play, seeds, chunksize=4)


def _begin() -> None:
    """Set up what every worker needs before Airflow is imported."""
    sys.path[:0] = [path for path in (str(ROOT), str(ROOT / "plugins")) if path not in sys.path]
    import tests.conftest  # noqa: F401, PLC0415 (it gives Airflow a home of its own)


def main() -> int:
    """Play the seeds that the command line asks for; say which failed, and with what schedule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    failed, fates = 0, Counter[str]()
    for played in play_all(range(asked.first, asked.first + asked.seeds), workers=asked.workers):
        fates += played.fates
        if played.problems:
            failed += 1
            sys.stdout.write(f"{played}\n")
            sys.stdout.flush()
    rows = ", ".join(f"{count:,} {fate}" for fate, count in fates.most_common())
    sys.stdout.write(f"{asked.seeds:,} schedules played, {failed:,} failed; rows: {rows}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]
    sys.exit(main())
