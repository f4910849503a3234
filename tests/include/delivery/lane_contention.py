"""
Eight processes on one lane: ``python -m tests.include.delivery.lane_contention LEDGER_URL ACCOUNT
PORT TOKEN TURNS INTERVAL_S MARGIN_S``.

Each takes its turns as a task does (turn, a write that takes a while, start, POST) and repeats a
turn that met a 429. They are forked from one process that has imported everything, so that they
begin together.
"""

from __future__ import annotations

import http.client
import os
import sys

from sqlalchemy import make_url, update

from masivo.connections import engines
from masivo_engine.delivery.lane import Lane
from masivo_engine.ledger import schema
from masivo_engine.model.limits import Limits
from masivo_engine.sandbox.api.api import BASE


PROCESSES = 8


def walk(url: str, account: str, port: int, token: str, turns: int, limits: Limits) -> None:
    """Take *turns* turns."""
    engine = engines.ledger(make_url(url))
    lane = Lane(engine, account, limits)
    api = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    while turns:
        lane.turn()
        with engine.begin() as connection:
            connection.execute(update(schema.ledger).values(id=schema.ledger.c.id))
        lane.start()
        api.request("POST", f"{BASE}/customers/migrate", b"{}", headers)
        answer = api.getresponse()
        answer.read()
        if answer.status == 429:
            lane.freeze(limits.interval_s, too_fast=True)
        else:
            turns -= 1


def main() -> None:
    """Fork the walkers and wait for them; a failure of one is a failure of all."""
    url, account, port, token, turns = sys.argv[1:6]
    limits = Limits(interval_s=float(sys.argv[6]), margin_s=float(sys.argv[7]), per_hour=1_000_000)
    for _ in range(PROCESSES):
        if os.fork() == 0:
            walk(url, account, int(port), token, int(turns), limits)
            os._exit(0)
    codes = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(PROCESSES)]
    sys.exit(max(codes))


if __name__ == "__main__":
    main()
