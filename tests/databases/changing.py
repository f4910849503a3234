"""
A shop that goes on changing: tables, a mapping of them with any settings, and a site where runs of
every kind work on it.

Change times are UTC. The legacy database's clock is the `Clock` of the site, so that nobody has to
sleep until a lag is over.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.dialects import mysql

from masivo.dags.replay_form import replay_form
from masivo.dags.sync_form import form
from masivo.operators import account, migrate, plan, replay
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.migrate import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.replay import MasivoReplayOperator
from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import now as ledger_now
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.reports.account import Account
from masivo_engine.sandbox.options import Refusal
from masivo_engine.source.database import Database
from tests import told
from tests.proof.rig import empty_ledger
from tests.whole_migration import UNHURRIED, UNLIMITED, Trip, journey


REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"
INCREMENT = Asked(RunKind.INCREMENT)
SWEEP = Asked(RunKind.SWEEP)
# The modules of tasks, each of which opens its Services.
OPERATORS = (plan, migrate, account, replay)
# The API says whether a customer's id is taken only in its queue, so an update of a customer is
# accepted.
TOLERANT: Mapping[str, Any] = UNHURRIED | {"duplicates": Refusal.IN_QUEUE}

metadata = MetaData()
_Key = String(40).with_variant(mysql.VARCHAR(40, collation="utf8mb4_bin"), "mysql", "mariadb")
_Time = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

person = Table(
    "person",
    metadata,
    Column("id", _Key),
    Column("name", String(80)),
    Column("points", Integer),
    Column("changed_at", _Time),
)
sale = Table(
    "sale",
    metadata,
    Column("id", _Key),
    Column("person", _Key),
    Column("cents", Integer),
    Column("changed_at", _Time),
)
line = Table(
    "line",
    metadata,
    Column("sale", _Key),
    Column("position", Integer),
    Column("sku", String(40)),
    Column("changed_at", _Time),
)
booking = Table(
    "booking",
    metadata,
    Column("id", _Key),
    Column("person", _Key),
    Column("points", Integer),
    Column("changed_at", _Time),
)

FILES = {
    "customers.sql": (
        "SELECT p.id AS id, p.name AS name, REPLACE('?@shop.invalid', '?', p.id) AS email,"
        " '2020-01-01T00:00:00Z' AS registration_date, p.changed_at AS updated_at FROM person p"
    ),
    "customers.balance.sql": (
        f"SELECT p.id AS customer_id, 0 AS position, '{REWARD}' AS reward_id, p.points AS amount"
        " FROM person p WHERE p.points <> 0"
    ),
    "events.sql": (
        "SELECT s.person AS customer_id, s.id AS order__purchase_id, 'PURCHASE' AS type, 'B1' AS brand_id,"
        " s.cents / 100.0 AS order__value, s.cents / 100.0 AS order__discounted_value,"
        " 'CASH' AS order__payment_method, 1 AS fulfilled, '2024-01-01T00:00:00Z' AS issued_at,"
        " '2024-01-01T00:00:00Z' AS resolved_at, s.changed_at AS updated_at FROM sale s"
    ),
    "events.order__products.sql": (
        "SELECT l.sale AS order__purchase_id, l.position AS position, l.sku AS sku, 1 AS amount, 1 AS value,"
        " l.changed_at AS updated_at FROM line l"
    ),
    "transactions.sql": (
        f"SELECT b.person AS customer_id, b.id AS transaction_id, '{REWARD}' AS reward_id, b.id AS details,"
        " 'ACCUMULATION' AS type, b.points AS amount, '2024-01-01T00:00:00Z' AS issued_at,"
        " '2024-01-01T00:00:00Z' AS resolved_at, b.changed_at AS updated_at FROM booking b"
    ),
}


@dataclass(slots=True)
class Clock:
    """The legacy database's clock, aware UTC; it stands until somebody moves it on."""

    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0) - timedelta(days=30))

    def pass_minutes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)

    def ago(self, minutes: float) -> datetime:
        """Return a change time as the shop writes it: UTC without a zone."""
        return (self.now - timedelta(minutes=minutes)).replace(tzinfo=None)


class Shop:
    """The tables behind *engine*, and their mapping in *folder*."""

    def __init__(self, engine: Engine, folder: Path, clock: Clock) -> None:
        self.engine = engine
        self.folder = folder
        self.clock = clock
        metadata.create_all(engine)

    def maps(self, files: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Write the mapping, with *settings* of its mapping.yaml and other *files*."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, sql in {**FILES, **(files or {})}.items():
            (self.folder / name).write_text(sql)
        (self.folder / "mapping.yaml").write_text(yaml.safe_dump({"timezone": "UTC"} | settings))

    def add_person(self, key: str, *, points: int = 0, ago: float = 60, name: str | None = "Ana") -> None:
        """Add a customer; one without a name is quarantined."""
        self.add(person, id=key, name=name, points=points, changed_at=self.clock.ago(ago))

    def add_sale(self, key: str, owner: str, *, ago: float = 60) -> None:
        """Add a purchase of one line."""
        self.add(sale, id=key, person=owner, cents=500, changed_at=self.clock.ago(ago))
        self.add(line, sale=key, position=1, sku="A", changed_at=self.clock.ago(ago))

    def add_booking(self, key: str, owner: str, points: int = 5, *, ago: float = 60) -> None:
        """Add points of a customer, whose balance stays as it is."""
        self.add(booking, id=key, person=owner, points=points, changed_at=self.clock.ago(ago))

    def add(self, table: Table, **values: Any) -> None:
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(values))

    def change(self, table: Table, key: str, *, ago: float | None = 0, **values: Any) -> None:
        """
        Change the row of *key*; its change time is *ago* minutes, or stays where it is for None.
        """
        with self.engine.begin() as connection:
            change(connection, table, key, values, None if ago is None else self.clock.ago(ago))

    def delete(self, table: Table, key: str) -> None:
        with self.engine.begin() as connection:
            connection.execute(table.delete().where(_key_of(table) == key))


def change(connection: Connection, table: Table, key: str, values: Mapping[str, Any], moment: datetime | None) -> None:
    """Change the row of *key*; its change time to *moment*, if there is one."""
    moved = {} if moment is None else {"changed_at": moment}
    connection.execute(update(table).where(_key_of(table) == key).values({**values, **moved}))


def _key_of(table: Table) -> Any:
    return table.c.sale if table is line else table.c.id


@dataclass(slots=True)
class Site:
    """A shop, its migration, and what may be asked of both."""

    trip: Trip
    shop: Shop
    clock: Clock
    plan: Any = None  # what the newest plan returned
    _runs: int = 0

    def run(self, asked: Asked = INCREMENT, **options: Any) -> Account:
        """Make a run of its own, by the engine alone."""
        self._runs += 1
        return self.trip.migrate(f"run-{self._runs}", asked=asked, **options)

    def sync(self, kind: str = "sync", *, user: str = "ana", run_id: str = "", **params: Any) -> dict[str, Any]:
        """
        Make a run by the operators of masivo_sync, masivo_sweep or masivo_replay, with *params* of
        the trigger form.

        A *kind* ``backfill`` is a run of masivo_sync over the last day, as Airflow's backfills
        start it.
        """
        self._runs += 1
        is_backfill = kind == "backfill"
        day = (self.clock.now - timedelta(days=1), self.clock.now) if is_backfill else (None, None)
        own = replay_form() if kind == "replay" else form()
        filled = {name: param.resolve() for name, param in own.items()}
        interval = dict(zip(("data_interval_start", "data_interval_end"), day, strict=True))
        run_type = "backfill" if is_backfill else "manual"
        dag_run = SimpleNamespace(run_type=run_type, triggering_user_name=user, conf=params, **interval)
        dag_id = f"masivo_{'sync' if is_backfill else kind}"
        planned: Any = None
        given: Any = {
            "run_id": run_id or f"run-{self._runs}",
            "params": filled | {"tolerance": 1_000} | params,
            "dag_run": dag_run,
            "dag": SimpleNamespace(dag_id=dag_id, params=own),
            "ti": SimpleNamespace(dag_id=dag_id, xcom_pull=lambda **_: planned),
        }
        plan = (
            MasivoReplayOperator(task_id="plan")
            if kind == "replay"
            else MasivoPlanOperator(task_id="plan", kind="sweep" if kind == "sweep" else None)
        )
        self.plan = planned = _execute(plan, given)
        for entity in Entity:
            for part in _execute(MasivoSlicesOperator(task_id="slices", entity=entity.value), given):
                _execute(MasivoMigrateOperator(task_id="send", entity=entity.value, part=part), given)
        made: dict[str, Any] = _execute(MasivoAccountOperator(task_id="account"), given)
        return made

    def sent(self, entity: Entity) -> Counter[str]:
        """Count how often each key was accepted, by the sandbox's journal."""
        path = "migrate" if entity is Entity.CUSTOMERS else entity.value
        lines = (line for line in self.trip.posts() if line.path.endswith(path))
        return Counter(key for line in lines for key, _ in line.accepted)

    def everything_sent(self) -> Counter[str]:
        """Count how often each key of whatever entity was accepted."""
        return sum((self.sent(entity) for entity in Entity), Counter())

    def content(self, entity: Entity, key: str) -> list[str]:
        """Return the contents of *key* that were accepted, in order, as JSON text."""
        with self.trip.sandbox.api.store.reading() as connection:
            rows = connection.execute(
                "SELECT body FROM record WHERE entity = ? AND key = ? ORDER BY id", (entity.value, key)
            ).fetchall()
        return [row[0] for row in rows]

    def stand(self, entity: Entity, key: str) -> list[str]:
        """Return where *key* stood, in order, and where it stands, as ``state reason``."""
        return told.stand(self.trip.place.ledger_engine, entity, key)

    def released(self) -> list[tuple[str, str, str]]:
        """Return what people decided: action, entity, who."""
        table = schema.release
        with self.trip.place.ledger.reading() as connection:
            rows = connection.execute(select(table).order_by(table.c.id)).all()
        assert all((ledger_now() - row.released_at).total_seconds() < 600 for row in rows)
        return [(row.action, row.entity, row.released_by) for row in rows]

    def remaps(self, files: Mapping[str, str] | None = None, **settings: Any) -> None:
        """Change the mapping's files."""
        self.shop.maps(files, **settings)
        for name in ("mapping", "mapping_in_use"):
            vars(self.trip.place).pop(name, None)


def states(made: Account, entity: Entity) -> dict[str, int]:
    """Return how many rows of *entity* ended in which state."""
    return next(
        ({state: n for state, n in one.states.items() if n} for one in made.entities if one.entity is entity), {}
    )


def read(made: Account) -> dict[str, int]:
    """Return how many rows of each entity were read."""
    return {one.entity.value: one.read for one in made.entities if one.read}


def _execute(operator: Any, given: Any) -> Any:
    """Execute *operator* outside of Airflow's task runner."""
    return type(operator).execute.__wrapped__(operator, given)


@contextmanager
def site(
    legacy_url: str,
    ledger_url: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    sandbox: Mapping[str, Any] = TOLERANT,
    extra: Mapping[str, Any] = UNLIMITED,
    keeps_time: bool = True,
    **settings: Any,
) -> Iterator[Site]:
    """Open a site; without *keeps_time* the database has its own clock."""
    clock = Clock()
    if keeps_time:
        monkeypatch.setattr(Database, "now", lambda _: clock.now)
    if ledger_url.startswith("sqlite"):
        shutil.copy(empty_ledger(), make_url(ledger_url).database or "")
    engine = create_engine(legacy_url)
    shop = Shop(engine, folder / "shop", clock)
    shop.maps(**settings)
    try:
        with journey(legacy_url, ledger_url, mapping=str(shop.folder), sandbox=sandbox, extra=extra) as trip:
            # Every task would open everything anew, which takes longer than what it does.
            for tasks in OPERATORS:
                monkeypatch.setattr(tasks, "Services", lambda: trip.place)
            yield Site(trip, shop, clock)
    finally:
        engine.dispose()


def keys(rows: Sequence[Any]) -> set[str]:
    """Return the keys of *rows*."""
    return {row.id for row in rows}
