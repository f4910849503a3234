"""
The stations from lane to receipt on a real ledger, and the hook against a real sandbox; no legacy
database, no waiting.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
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
from masivo_engine.batching.units import units_of
from masivo_engine.delivery.delivery import Delivery
from masivo_engine.delivery.lane import Lane
from masivo_engine.delivery.sender import Progress, Sending
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.rows import Rows
from masivo_engine.ledger.writing.slice_ledger import SliceLedger
from masivo_engine.model.judged import NOT_YET_SENT
from masivo_engine.model.limits import Limits, Patience
from masivo_engine.model.places import place_of
from masivo_engine.model.rows import Entity, Record
from masivo_engine.readback.settler import Settler
from masivo_engine.sandbox.options import Options
from masivo_engine.sandbox.wire.server import Sandbox
from tests.builders import begin, claimed, see
from tests.include.sandbox import bodies
from tests.variables import InMemory
from tests.whole_migration import UNHURRIED, UNLIMITED, connections, environment


LIMITS = Limits(records=1000, interval_s=0, margin_s=0, per_hour=1_000_000)
_ROUNDS = 3  # in which a slice settles what is in doubt


def customer(number: int, **fields: Any) -> Record:
    """A customer of the sandbox's contract, ``C<number>``."""
    body = bodies.customer(number, **fields)
    balance = {line["reward_id"]: Decimal(str(line["amount"])) for line in body["balance"]}
    points = {"points": sum(balance.values(), Decimal(0)), "balance": balance}
    return _record(Entity.CUSTOMERS, body["id"], body["id"], body, email=body["email"], **points)


def event(key: str, owner: str, **fields: Any) -> Record:
    """A purchase of *owner*."""
    return _record(Entity.EVENTS, key, owner, bodies.event(key, **fields))


def transaction(key: str, owner: str, amount: float = 5, **fields: Any) -> Record:
    """Points of *owner*."""
    body = bodies.transaction(fields.pop("details", key), amount, **fields)
    return _record(Entity.TRANSACTIONS, key, owner, body, points=Decimal(str(amount)), reward=body["reward_id"])


def _record(entity: Entity, key: str, owner: str, body: Any, **fields: Any) -> Record:
    raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.blake2b(raw, digest_size=16).digest()
    return Record(entity, key, owner, raw, digest, place=place_of(key), owner=place_of(owner), **fields)


@dataclass(slots=True)
class Bench:
    """One account: a sandbox, a ledger, and runs of one slice each."""

    sandbox: Sandbox
    ledger: Ledger
    hook: MasivoHook
    patience: Patience
    slept: list[float] = field(default_factory=list)
    runs: int = 0
    replaces: bool = False
    gives_up: bool = False
    isolation_per_hour: int = LIMITS.isolation_per_hour

    def writer(self, entity: Entity) -> SliceLedger:
        """Begin a run of one slice, and take that."""
        self.runs += 1
        return claimed(self.ledger, begin(self.ledger, f"run-{self.runs}", entity), entity)

    def sending(self, writer: SliceLedger, **given: Any) -> Sending:
        """The station that sends."""
        lane = Lane(self.ledger.engine, "account", LIMITS, sleep=self.slept.append)
        options = {
            "progress": Progress("slice 1 of 1", 1, 0),
            "log": logging.getLogger("bench"),
            "sleep": self.slept.append,
        }
        return Sending(writer, given.pop("sender", self.hook), lane, LIMITS, **options)

    def settler(self, entity: Entity) -> Settler:
        """The station that reads back."""
        return Settler(self.ledger, self.hook, entity, self.patience)

    def delivery(self, writer: SliceLedger, sending: Sending | None = None) -> Delivery:
        """The station that delivers what *writer* has seen."""
        return Delivery(
            writer,
            sending or self.sending(writer),
            self.settler(writer.lease.entity),
            replace(LIMITS, isolation_per_hour=self.isolation_per_hour),
            log=logging.getLogger("bench"),
            replaces=self.replaces,
            gives_up=self.gives_up,
        )

    def migrate(self, *batches: list[Record]) -> dict[str, tuple[str, str]]:
        """
        Do what a slice does with *batches*, each a page and a request, and settle what is in doubt
        of them; return state and reason by key.
        """
        writer = self.writer(batches[0][0].entity)
        sending = self.sending(writer)
        delivery = self.delivery(writer, sending)
        with sending.giving_back():
            for number, records in enumerate(batches, 1):
                self.deliver(delivery, writer, records, number)
            for _ in range(_ROUNDS):
                self._settle(delivery, writer)
        writer.finish(sum(map(len, batches)))
        return self.states()

    def deliver(self, delivery: Delivery, writer: SliceLedger, records: list[Record], number: int = 1) -> None:
        """See *records* and send them in one request."""
        known = Rows(self.ledger).at(writer.lease.entity, [record.place for record in records])
        delivery.strays |= {place for place, row in known.items() if row.strays}
        see(writer, *records)
        delivery.deliver(one_request(units_of(records), number))

    def _settle(self, delivery: Delivery, writer: SliceLedger) -> None:
        """Settle what is in doubt, and send what has not arrived."""
        waiting = {record.place: record for record in delivery.doubtful}
        if not waiting:
            return
        settled, refused = delivery.settle(())
        apart = {record.place for one in refused for unit in one.units for record in unit}
        self._deliver_again(delivery, writer, waiting, settled - apart)
        lost = {place for one in refused for place in delivery.take_apart(one)}
        self._deliver_again(delivery, writer, waiting, lost)

    def _deliver_again(
        self, delivery: Delivery, writer: SliceLedger, waiting: dict[str, Record], places: set[str]
    ) -> None:
        rows = Rows(self.ledger).at(writer.lease.entity, places)
        if again := [waiting[place] for place, row in sorted(rows.items()) if row.reason == NOT_YET_SENT]:
            self.deliver(delivery, writer, again)

    def states(self) -> dict[str, tuple[str, str]]:
        """State and reason of every record, by key."""
        record = schema.record
        statement = select(record.c.key, schema.state_in(record.c.has_run).label("s"), record.c.reason).order_by(
            record.c.key
        )
        with self.ledger.reading() as connection:
            return {row.key: (row.s, row.reason) for row in connection.execute(statement)}

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
