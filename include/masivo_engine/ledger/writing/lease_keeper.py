"""A lease, claimed when it is its run's turn, and shown to be alive while its process is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.writing.leases import is_behind, renew
from masivo_engine.ledger.writing.slice_ledger import SliceLedger, claim
from masivo_engine.model.errors import TryAgainLater
from masivo_engine.model.limits import Limits, Log
from masivo_engine.model.runs import Slice


_PATIENCE_S = 90.0
_BEATS_PER_LEASE = 5


@contextmanager
def kept_alive(writer: SliceLedger, limits: Limits) -> Iterator[None]:
    """
    Show all the time that the try of *writer* lives, as long as its process does.

    It may write nothing for long: while it waits for its turn behind another slice or for the
    hourly cap, or for the legacy database.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(limits.lease_s / _BEATS_PER_LEASE):
            with suppress(SQLAlchemyError):  # a ledger that is away for good shows at the next write
                renew(writer.ledger, writer.lease)

    beating = threading.Thread(target=beat, name="masivo-lease", daemon=True)
    beating.start()
    try:
        yield
    finally:
        done.set()
        beating.join()


def claimed(
    ledger: Ledger, run: int, part: Slice, limits: Limits, *, log: Log, sleep: Callable[[float], None] = time.sleep
) -> SliceLedger:
    """
    Claim *part* of *run* when it is the run's turn at the entity.

    A slice that reads by place also waits for those that read the window: a row may move from one
    to the other while they work. Raises `TryAgainLater` when it takes long, because a waiting task
    holds a worker's slot.
    """
    deadline = time.monotonic() + _PATIENCE_S
    has_said = False
    while True:
        waits = part.selects == "places" and is_behind(ledger, run, part, lively_s=limits.lease_s)
        writer = None if waits else claim(ledger, run, part.entity, part.number, lease_s=limits.lease_s)
        if writer is not None:
            return writer
        who = "an earlier slice" if waits else "another run"
        if not has_said:
            log.info(
                "waiting: %s is working on %s or goes first; one that died is waited for until it has been silent for"
                " %.0f s",
                who,
                part.entity,
                limits.lease_s,
            )
            has_said = True
        if time.monotonic() > deadline:
            raise TryAgainLater(f"{who} is working on {part.entity}; this slice goes on after it", 30.0)
        sleep(1.0)
