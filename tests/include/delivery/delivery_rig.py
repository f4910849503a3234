"""
The stations from lane to receipt on a real ledger, and the hook against a real sandbox; no legacy
database, no waiting.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import make_url, select

from masivo.connections import engines
from masivo.hook import MasivoHook
from masivo.wire import tokens
from masivo_engine.batching.packers import one_request
from masivo_engine.batching.units import Unit, units_of
from masivo_engine.delivery.delivery import Delivery
from masivo_engine.delivery.lane import Lane
from masivo_engine.delivery.sender import Progress, Sending
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs.runs import begin_run
from masivo_engine.ledger.writing.leases import Lease
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits, Patience
from masivo_engine.model.rows import Entity, Record
from masivo_engine.readback.settler import Settler
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.builders import one_slice, plan_slices
from tests.include.sandbox import bodies
from tests.variables import InMemory
from tests.whole_migration import UNHURRIED, UNLIMITED, connections, environment


LIMITS = Limits(records=1000, interval_s=0, margin_s=0, per_hour=1_000_000)


def customer(number: int, **fields: Any) -> Record:
    """A customer of the sandbox's contract, ``C<number>``."""
    body = bodies.customer(number, **fields)
    return _record(Entity.CUSTOMERS, body["id"], body["id"], body, email=body["email"])


def event(key: str, owner: str, **fields: Any) -> Record:
    """A purchase of *owner*."""
    return _record(Entity.EVENTS, key, owner, bodies.event(key, **fields))


def transaction(key: str, owner: str, amount: float = 5, **fields: Any) -> Record:
    """Points of *owner*."""
    body = bodies.transaction(fields.pop("details", key), amount, **fields)
    return _record(Entity.TRANSACTIONS, key, owner, body, points=Decimal(str(amount)))


def _record(
    entity: Entity, key: str, owner: str, body: Any, *, points: Decimal = Decimal(0), email: str = ""
) -> Record:
    raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    return Record(entity, key, owner, raw, hashlib.blake2b(raw, digest_size=16).digest(), points, email=email)


PACKS_AHEAD = False  # whether `Bench.migrate` writes all batches down before the first is sent


@dataclass(slots=True)
class Bench:
    """One account: a sandbox, a ledger, and runs of one slice each."""

    sandbox: Sandbox
    ledger: Ledger
    hook: MasivoHook
    patience: Patience
    slept: list[float] = field(default_factory=list)
    runs: int = 0
    resends_unproven: bool = False
    isolation_per_hour: int = LIMITS.isolation_per_hour

    def lease(self, entity: Entity) -> Lease:
        """Begin a run of one slice."""
        self.runs += 1
        run = begin_run(self.ledger, f"run-{self.runs}", mapping="m", mapping_hash="h", covers="{}")
        plan_slices(self.ledger, run.number, entity, [one_slice(entity)])
        return self.ledger.claim(run.number, entity, 1)

    def sending(self, lease: Lease, **given: Any) -> Sending:
        """The station that sends."""
        lane = Lane(self.ledger.engine, "account", LIMITS, sleep=self.slept.append)
        options = {
            "progress": Progress("slice 1 of 1", 1, 0),
            "log": logging.getLogger("bench"),
            "sleep": self.slept.append,
        }
        return Sending(self.ledger, lease, given.pop("sender", self.hook), lane, LIMITS, **options)

    def settler(self, entity: Entity) -> Settler:
        """The station that reads back."""
        return Settler(self.ledger, self.hook, entity, self.patience)

    def delivery(self, entity: Entity) -> Delivery:
        """A slice that begins."""
        lease = self.lease(entity)
        return self._delivery(lease, self.sending(lease))

    def migrate(self, *batches: list[Record]) -> dict[str, tuple[str, str]]:
        """
        Do what a slice does with *batches*, the last rounds included; return state and reason by
        key.
        """
        lease = self.lease(batches[0][0].entity)
        sending = self.sending(lease)
        delivery = self._delivery(lease, sending)
        with sending.giving_back():
            self._deliver(delivery, [one_request(units_of(records), n) for n, records in enumerate(batches, 1)])
            for _ in range(3):
                doubts, delivery.doubts = delivery.doubts, []
                again = delivery.settle(doubts)
                while again:
                    again = delivery.deliver(one_request(again, 3))
        return self.states()

    def _deliver(self, delivery: Delivery, requests: Sequence[Batch]) -> None:
        if PACKS_AHEAD:
            delivery.pack(requests)
        left: list[Unit] = []
        for request in requests:
            left += delivery.deliver(request)
        while left:
            left = delivery.deliver(one_request(left, 2))

    def _delivery(self, lease: Lease, sending: Sending) -> Delivery:
        log = logging.getLogger("bench")
        return Delivery(
            self.ledger,
            lease,
            sending,
            self.settler(lease.entity),
            replace(LIMITS, isolation_per_hour=self.isolation_per_hour),
            log=log,
            resends_unproven=self.resends_unproven,
        )

    def states(self) -> dict[str, tuple[str, str]]:
        """
        State and reason of every record, by key; what was delivered has none, whatever its batch
        went through.
        """
        entry = schema.entry
        statement = select(entry.c.key, schema.state_of_entry.label("s"), schema.reason_of_entry.label("r"))
        with self.ledger.reading() as connection:
            rows = connection.execute(statement.select_from(schema.entry_and_batch).order_by(entry.c.id))
            return {row.key: (row.s, "" if row.s == "delivered" else row.r) for row in rows}

    def accepted(self) -> list[str]:
        """The keys that the sandbox has taken, as often as it took them."""
        return [key for line in self.sandbox.lines() for key, _ in line.accepted]

    def posts(self) -> int:
        """How many requests of migration the sandbox saw."""
        return sum(line.method == "POST" for line in self.sandbox.lines())


@contextmanager
def bench(
    tmp_path: Path, *, settle_after_s: float = 0.0, certain_after_s: float = 3600.0, **options: Any
) -> Iterator[Bench]:
    """Set up an account; *options* are the sandbox's."""
    tmp_path.mkdir(exist_ok=True)
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with (
        Sandbox(Options(**{**UNHURRIED, **options})) as running,
        environment(connections(running, url, url, "sample", {**UNLIMITED, "deadline_s": 2})),
    ):
        tokens._grants.clear()
        engine = engines.ledger(make_url(url))
        ledger, hook = Ledger(engine, "account", memory=InMemory()), MasivoHook()
        ledger.prepare()
        try:
            yield Bench(running, ledger, hook, Patience(settle_after_s, certain_after_s, 2))
        finally:
            hook.close()
            engine.dispose()
