"""
This project's way from database to socket, as a program: ``ours.py LEGACY_URL LEDGER_URL SINK_URL STEP``.

*STEP* is ``begin`` (the run is planned), ``plan`` (and everything but the sending foretold), or an entity, whose slices are worked off with
validation, hashing and ledger. Prints one line of JSON: rows, seconds, CPU seconds and the most memory that was used.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


ROOT = Path(__file__).parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "plugins")]

from include.forecast import Foretelling  # noqa: E402
from include.journey import Entity  # noqa: E402
from tests.bench.rig.measured import measured  # noqa: E402
from tests.journey import UNLIMITED, Trip, environment  # noqa: E402


RUN = "bench"


def main() -> None:
    """Do one step of the run."""
    legacy_url, ledger_url, sink_url, step = sys.argv[1:5]
    with environment(variables(legacy_url, ledger_url, sink_url)), measured() as result:
        trip = Trip(None, legacy_url)
        trip.api = trip.place.hook  # tests keep all that they send
        if step in {"begin", "plan"}:
            run = trip.begin(RUN)
            if step == "plan":
                result["rows"] = _foretold(trip, run)
        else:
            trip.place.ledger.open()
            run = trip.place.ledger.run(RUN)
            for part in trip.slices(run, Entity(step)):
                result["rows"] += trip.work_off(run, part).rows
        trip.close()


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
    slices = {entity: place.ledger.slices(run.number, entity) for entity in Entity}
    made = Foretelling(place.ledger, run, place.hook.limits).forecast(legacies, slices)
    return sum(one.rows for one in made.entities)


if __name__ == "__main__":
    main()
