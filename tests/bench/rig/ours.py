"""
This project's way from database to socket, as a program: ``ours.py LEGACY_URL LEDGER_URL SINK_URL
STEP``.

*STEP* is ``begin`` (the run is planned), ``plan`` (and everything but the sending foretold), or an
entity, whose slices are worked off with validation, hashing and ledger: as an executor does it,
each slice in a process of its own and two at a time, or ``one`` after the other, where that is said
last. ``again`` said last is another run over the same rows: a sweep. Prints one line of JSON: rows,
seconds, CPU seconds of all these processes and the most memory that one of them used.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import sys
from pathlib import Path


ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "include"), str(ROOT / "plugins")]

import airflow.sdk.execution_time.supervisor  # noqa: E402, F401 (a worker has imported it when it starts a task)
import psycopg  # noqa: E402, F401 (before the clock starts, as for the others)

from masivo_engine.forecast.forecast import Forecaster  # noqa: E402
from masivo_engine.ledger.runs.runs import find_run, slices_of  # noqa: E402
from masivo_engine.ledger.runs.tallies import freeze  # noqa: E402
from masivo_engine.model.rows import Entity  # noqa: E402
from tests import variables as airflow_variables  # noqa: E402
from tests.bench.rig.measured import measured, peak  # noqa: E402
from tests.whole_migration import UNLIMITED, Trip, environment  # noqa: E402


RUN, SWEEP = "bench", "sweep"
AT_A_TIME = 2  # as the DAG has it (`max_active_tis_per_dag`)


def main() -> None:
    """Do one step of the run."""
    legacy_url, ledger_url, sink_url, step, *how = sys.argv[1:]
    run_id = SWEEP if "again" in how else RUN
    with environment(variables(legacy_url, ledger_url, sink_url)), airflow_variables.variables(), measured() as result:
        if step in {"begin", "plan"}:
            trip = _trip(legacy_url)
            if run_id == SWEEP:  # the first run's task *account* ends it
                freeze(trip.place.ledger, find_run(trip.place.ledger, RUN).number)
            run = trip.begin(run_id)
            if step == "plan":
                result["rows"] = _foretold(trip, run)
            trip.close()
            return
        # Forked, as LocalExecutor does it: what is imported already is imported for all. Whoever
        # forks has no connection.
        context = multiprocessing.get_context("fork")
        with context.Pool(1 if "one" in how else AT_A_TIME, maxtasksperchild=1) as tasks:
            numbers = tasks.apply(_slices, (legacy_url, run_id, step))
            done = tasks.starmap(_worked_off, [(legacy_url, run_id, step, number) for number in numbers], chunksize=1)
            tasks.close()
            tasks.join()
        result["rows"] = sum(rows for rows, _ in done)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        result["cpu_of_tasks"] = used.ru_utime + used.ru_stime
        result["megabytes"] = max(megabytes for _, megabytes in done)


def _slices(legacy_url: str, run_id: str, step: str) -> list[int]:
    """Return the numbers of the slices of the entity that *step* names."""
    trip = _trip(legacy_url)
    numbers = [part.number for part in trip.slices(find_run(trip.place.ledger, run_id), Entity(step))]
    trip.close()
    return numbers


def _worked_off(legacy_url: str, run_id: str, step: str, number: int) -> tuple[int, float]:
    """
    Work off a slice, and return its rows and the most memory that this process has used, in MB.
    """
    trip = _trip(legacy_url)
    trip.place.ledger.open()
    run = find_run(trip.place.ledger, run_id)
    part = next(one for one in slices_of(trip.place.ledger, run.number, Entity(step)) if one.number == number)
    rows = trip.work_off(run, part).rows
    trip.close()
    return rows, peak()


def _trip(legacy_url: str) -> Trip:
    trip = Trip(None, legacy_url)
    trip.api = trip.place.hook  # tests keep all that they send
    return trip


def variables(legacy_url: str, ledger_url: str, sink_url: str) -> dict[str, str]:
    """Return the environment that ties the project to the bench's shop, ledger and sink."""

    def generic(url: str) -> str:
        return json.dumps({"conn_type": "generic", "extra": {"sqlalchemy_url": url}})

    extra = {**UNLIMITED, "token": "a-token"}
    return {
        "AIRFLOW_CONN_MASIVO_API": json.dumps({"conn_type": "masivo", "host": sink_url, "extra": extra}),
        "AIRFLOW_CONN_LEGACY_DB": generic(legacy_url),
        "AIRFLOW_CONN_MASIVO_LEDGER": generic(ledger_url),
        "MASIVO_MAPPING": str(Path(__file__).parent / "mapping"),
    }


def _foretold(trip: Trip, run: object) -> int:
    place = trip.place
    legacies = [place.legacy(entity) for entity in Entity]
    slices = {entity: slices_of(place.ledger, run.number, entity) for entity in Entity}
    made = Forecaster(place.ledger, run, place.hook.limits).forecast(legacies, slices)
    return sum(one.rows for one in made.entities)


if __name__ == "__main__":
    main()
