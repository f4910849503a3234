"""
A whole migration without Airflow's scheduler: a legacy database and a mapping, through every
station of the engine, over real HTTP, into a sandbox of its own.

.. code-block:: python

    with journey(legacy_url, ledger_url, mapping="sample") as trip:
        made = trip.migrate("first")
        assert made.adds_up

Connections are given as people give them, in ``AIRFLOW_CONN_*``.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, create_engine

from masivo.hook import MasivoHook
from masivo.services import Services
from masivo.wire import tokens
from masivo_engine.forecast.forecast import Forecast, Forecaster
from masivo_engine.ledger.runs.runs import Run, begin_run, find_run, keep_plan, slices_of
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.leases import let_go
from masivo_engine.ledger.writing.takeover import settle_run
from masivo_engine.migrate import Destination, SliceResult, SliceTask, migrate_slice
from masivo_engine.model.answers import Answer
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import AS_USUAL, Asked, Covers, RunKind, RunPolicies, Slice
from masivo_engine.planning.gone import find_gone
from masivo_engine.planning.plan import Planning, add_open, settle
from masivo_engine.reports.account import Account, account
from masivo_engine.sandbox.options import DEFAULT_KEY, Options
from masivo_engine.sandbox.state.journal import Line
from masivo_engine.sandbox.wire.server import Sandbox
from tests import leftovers
from tests.variables import variables


# The sandbox holds nobody up, unless a test is about that.
UNHURRIED: Mapping[str, Any] = {"interval_s": 0.0, "per_hour": 0, "delay_s": 0.0}
UNLIMITED: Mapping[str, Any] = {
    "interval_s": 0,
    "margin_s": 0,
    "per_hour": 1_000_000,
    "settle_after_s": 0,
    "certain_after_s": 0,
    "account_id": "journey",
}


EVERYTHING = Asked(RunKind.FULL)


class Died(BaseException):
    """
    The task's process is gone; no `except Exception` may hold it up, as none would hold up SIGKILL.
    """


class Watched:
    """The hook, with every body that it sent kept, and a process that can die."""

    def __init__(self, hook: MasivoHook) -> None:
        self._hook = hook
        self.authorize = hook.authorize
        self.is_answered = hook.is_answered
        self.get_customer = hook.get_customer
        self.get_transactions = hook.get_transactions
        self.bodies: list[tuple[Entity, bytes]] = []
        self.dies_before: Callable[[int], bool] = lambda _: False
        self.dies_after: Callable[[int], bool] = lambda _: False

    def post(self, entity: Entity, body: bytes) -> Answer:
        """
        Hand *body* on; `dies_before` and `dies_after` are asked with the number of the request,
        from 1.
        """
        number = len(self.bodies) + 1
        if self.dies_before(number):
            self.dies_before = lambda _: False
            raise Died
        self.bodies.append((entity, body))
        answer = self._hook.post(entity, body)
        if self.dies_after(number):
            self.dies_after = lambda _: False
            raise Died
        return answer


class Trip:
    """One legacy database, one mapping, one account and its ledger; any number of runs."""

    def __init__(self, sandbox: Sandbox, legacy_url: str) -> None:
        self.sandbox = sandbox
        self.legacy: Engine = create_engine(legacy_url)
        self.place = Services()
        self.api = Watched(self.place.hook)
        self.log = logging.getLogger("masivo.journey")

    def migrate(
        self,
        run_id: str,
        *,
        asked: Asked = EVERYTHING,
        entities: Iterable[Entity] = Entity,
        policies: RunPolicies = AS_USUAL,
        overrides: Sequence[str] = (),
    ) -> Account:
        """Plan, send and account for a run; with the run_id of an earlier one, go on with that."""
        entities = tuple(entities)
        run = self.begin(run_id, asked=asked, entities=entities, policies=policies, overrides=overrides)
        for entity in entities:
            for part in self.slices(run, entity):
                self.work_off(run, part)
        return self.account(run_id)

    def begin(
        self,
        run_id: str,
        *,
        asked: Asked = EVERYTHING,
        entities: Iterable[Entity] = Entity,
        policies: RunPolicies = AS_USUAL,
        overrides: Sequence[str] = (),
    ) -> Run:
        """Do what the task *plan* does."""
        place = self.place
        mapping, ledger = place.mapping_in_use, place.ledger
        ledger.prepare()
        legacies = [place.legacy(entity) for entity in entities if entity in mapping.entities]
        covers = settle(ledger, mapping, legacies, asked, policies)
        run = begin_run(
            ledger,
            run_id,
            mapping=mapping.name,
            mapping_hash=mapping.content_hash,
            covers=covers.as_json(),
            kind=asked.kind,
        )
        planning = Planning(ledger, mapping, run, place.hook.limits, overrides=overrides, by="a test")
        planning.plan(legacies)
        planning.enter()
        return run

    def foretell(self, run: Run) -> Forecast:
        """Do the rest of the task *plan*: foretell what becomes of each row, and keep that."""
        place, entities = self.place, Covers.from_json(run.covers).windows
        made = Forecaster(place.ledger, run, place.hook.limits).forecast(
            [place.legacy(entity) for entity in entities],
            {entity: slices_of(place.ledger, run.number, entity) for entity in entities},
        )
        keep_plan(place.ledger, run.number, json.dumps(made.as_json()))
        return made

    def slices(self, run: Run, entity: Entity) -> list[Slice]:
        """Do what the task *slices* of *entity* does."""
        add_open(self.place.ledger, run, entity, self.place.hook.limits)
        return slices_of(self.place.ledger, run.number, entity)

    def work_off(self, run: Run, part: Slice) -> SliceResult:
        """Do what a task *send* does."""
        covers = Covers.from_json(run.covers)
        return migrate_slice(
            SliceTask(run.number, part, covers.windows[part.entity], covers.policies, covers.takes_up_open),
            self.place.legacy(part.entity),
            Destination(self.api, self.place.lane, self.place.hook.limits, self.place.hook.patience),
            self.place.ledger,
            log=self.log,
        )

    def account(self, run_id: str | None = None) -> Account:
        """Make the account of a run."""
        if run_id is not None:
            run = find_run(self.place.ledger, run_id)
            let_go(self.place.ledger, run.number)
            settle_run(self.place.ledger, run.number)
            covers = Covers.from_json(run.covers)
            for entity in self.place.mapping.entities:
                find_gone(self.place.ledger, run.number, covers, self.place.legacy(entity))
            freeze(self.place.ledger, run.number)
        return account(self.place.ledger, run_id, self.place.hook.limits)

    def posts(self) -> list[Line]:
        """What the sandbox saw of migration requests, in their order."""
        return [line for line in self.sandbox.lines() if line.method == "POST"]

    def close(self) -> None:
        """Let go of everything that was opened."""
        self.place.hook.close()
        for engine in (self.legacy, self.place.legacy_engine, self.place.ledger_engine):
            engine.dispose()


@contextmanager
def journey(
    legacy_url: str,
    ledger_url: str,
    *,
    mapping: str = "sample",
    sandbox: Mapping[str, Any] = UNHURRIED,
    extra: Mapping[str, Any] = UNLIMITED,
) -> Iterator[Trip]:
    """
    Open a sandbox with the options *sandbox*, and the three connections; *extra* is that of
    ``masivo_api``.
    """
    with (
        Sandbox(Options(**sandbox)) as running,
        environment(connections(running, legacy_url, ledger_url, mapping, extra)),
        variables(),
    ):
        tokens._grants.clear()
        trip = Trip(running, legacy_url)
        try:
            yield trip
        finally:
            trip.close()


def connections(
    sandbox: Sandbox, legacy_url: str, ledger_url: str, mapping: str, extra: Mapping[str, Any] = UNLIMITED
) -> dict[str, str]:
    """Return the environment that ties the project to *sandbox* and these databases."""
    api = {"conn_type": "masivo", "host": sandbox.url, "password": DEFAULT_KEY, "extra": dict(extra)}
    legacy = {"conn_type": "generic", "extra": {"sqlalchemy_url": legacy_url}}
    ledger = {"conn_type": "generic", "extra": {"sqlalchemy_url": ledger_url}}
    return {
        "AIRFLOW_CONN_MASIVO_API": json.dumps(api),
        "AIRFLOW_CONN_LEGACY_DB": json.dumps(legacy),
        "AIRFLOW_CONN_MASIVO_LEDGER": json.dumps(ledger),
        "MASIVO_MAPPING": mapping,
    }


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """
    Set *variables*, and afterwards put back whatever of this process was changed meanwhile: a
    command changes more.
    """
    with leftovers.put_back():
        os.environ.update(variables)
        yield
