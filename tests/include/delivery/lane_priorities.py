"""
An increment and a backfill on one lane, each in its own process: ``python -m
tests.include.delivery.lane_priorities LEDGER_URL TURNS``.

Both take TURNS turns; what is printed is whose each was, in the order of their starts.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from sqlalchemy import make_url

from masivo.connections import engines
from masivo_engine.delivery.lane import Lane, Priority
from masivo_engine.model.limits import Limits


LIMITS = Limits(interval_s=0.04, margin_s=0.01, per_hour=1_000_000)


def race(url: str, kind: Priority, turns: int, trace: Path) -> None:
    """Take *turns* turns of *kind*, a line for each."""
    lane = Lane(engines.ledger(make_url(url)), "account", LIMITS, kind=kind)
    with trace.open("a") as lines:
        for _ in range(turns):
            lane.turn()
            lane.start()
            lines.write(f"{kind}\n")
            lines.flush()


def main() -> None:
    """Fork both and wait for them."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        for kind in Priority:
            if os.fork() == 0:
                race(sys.argv[1], kind, int(sys.argv[2]), trace)
                os._exit(0)
        codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in Priority]
        sys.stdout.write(trace.read_text())
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
