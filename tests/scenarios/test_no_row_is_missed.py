"""
The property that everything is for: whatever happened to a legacy database and to the runs over it,
in the end no row is missed and none went twice.

A driver does random things to a small shop (inserts, updates, deletes, late commits, ties, skewed
clocks, change times that are null, in the future or do not move, purchases and lines that move) and
makes random runs in between (increments, some of which fail half-way or are killed, windows,
backfills, some customers, replays, sweeps). Then two checks:

* after a quiet increment, every row whose change time was honest is in the sandbox with its newest
  content;
* after a quiet sweep, every row is, exactly once where it may go only once, and no row is outside
  the ledger.

``MASIVO_SHOPS`` is how many shops are driven on each database, ``MASIVO_SEED`` the first one's
seed; under CI they are always the same.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Table, insert, select, text, update

from masivo_engine import crash_points
from masivo_engine.crash_points import trap_at
from masivo_engine.ledger.writing import lease_keeper
from masivo_engine.model.errors import LedgerError
from masivo_engine.model.rows import Entity, Record
from masivo_engine.model.runs import Asked, RunKind, Slice, Window
from masivo_engine.planning.guards import Guard
from masivo_engine.records.stream import record_pages
from tests import told
from tests.databases import changing
from tests.databases.changing import INCREMENT, SWEEP, Site, booking, line, person, sale
from tests.whole_migration import UNLIMITED, Died


pytestmark = pytest.mark.slow


SHOPS = int(os.environ.get("MASIVO_SHOPS", "3"))
SEED = int(os.environ.get("MASIVO_SEED", "0" if os.environ.get("CI") else random.SystemRandom().randrange(10**6)))
STEPS = 40
CUSTOMERS, EVENTS, TRANSACTIONS = Entity
ENTITY = {"person": CUSTOMERS, "sale": EVENTS, "booking": TRANSACTIONS}
SMALL = UNLIMITED | {"records": 4, "slice_requests": 2, "lease_s": 0.05}
POLICIES = {"changed": {"events": "resend"}, "new_transactions": "send"}
# Where a try may die, so that a person who knows the API can say what arrived; transactions that
# the sandbox takes a second time fail in its queue, so a read-back would not find them.
_POINTS = ("page_entered", "packed", "turn_taken", "received", "finishing", "answered")
_FUTURE = timedelta(days=20)


@dataclass
class Driver:
    """
    Does random things to the shop of *site*.

    *unseen* are rows whose last change no window can be expected to find, *writing* transactions
    that are not committed, *dead* runs that somebody may clear.
    """

    site: Site
    dice: random.Random
    is_postgres: bool = False
    unseen: set[tuple[str, str]] = field(default_factory=set)
    writing: list[Connection] = field(default_factory=list)
    dead: list[tuple[str, Asked]] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    _made: int = 0
    _runs: int = 0
    _last: Any = None

    def step(self) -> None:
        """Do one thing."""
        shop = (self.insert, self.insert_slowly, self.change, self.move, self.remove, self.settle)
        runs = (self.wait, self.run, self.fail, self.clear, self.release)
        (does,) = self.dice.choices(shop + runs, (8, 2, 8, 3, 1, 2, 3, 5, 3, 1, 1))
        self.told.append(does.__name__)
        does()

    # What happens in the shop

    def insert(self) -> None:
        """Somebody joins, buys or earns points; a few at once have one change time."""
        with self.site.shop.engine.begin() as connection:
            moment, is_honest = self._moment()
            for _ in range(self.dice.choice((1, 1, 2, 3))):
                self._insert_one(connection, moment, is_honest=is_honest)

    def insert_slowly(self) -> None:
        """
        Somebody joins in a transaction that is committed much later; its change time is its
        beginning.
        """
        if self.is_postgres:
            connection = self.site.shop.engine.connect()
            key = self._key("P")
            moment = text("now() AT TIME ZONE 'UTC'")
            connection.execute(insert(person).values(id=key, name="Eva", points=0, changed_at=moment))
            connection.execute(insert(sale).values(id=f"S{key}", person=key, cents=5, changed_at=moment))
            connection.execute(insert(line).values(sale=f"S{key}", position=1, sku="A", changed_at=moment))
            self.writing.append(connection)

    def settle(self) -> None:
        """The oldest open transaction is committed, or rolled back."""
        if self.writing:
            connection = self.writing.pop(0)
            (connection.commit if self.dice.random() < 0.8 else connection.rollback)()
            connection.close()

    def change(self) -> None:
        """A row changes."""
        table, values = self.dice.choice(
            ((person, {"name": self._name()}), (sale, {"cents": self._number()}), (line, {"sku": f"K{self._number()}"}))
        )
        if key := self._any(table):
            with self.site.shop.engine.begin() as connection:
                self._touch(connection, table, key, *self._moment(), **values)

    def move(self) -> None:
        """A purchase turns out to be another customer's, or a line another purchase's."""
        table, others = self.dice.choice(((sale, person), (line, sale)))
        key, target = self._any(table), self._any(others)
        if not key or not target:
            return
        with self.site.shop.engine.begin() as connection:
            moment, is_honest = self._moment()
            if table is sale:
                self._touch(connection, sale, key, moment, is_honest, person=target)
                return
            self._touch(connection, line, key, moment, is_honest, sale=target)
            self._note("sale", target, is_honest=is_honest)
            self._note("sale", key, is_honest=False)  # nothing of it has moved: what it had is gone

    def remove(self) -> None:
        """A purchase is deleted."""
        if key := self._any(sale):
            with self.site.shop.engine.begin() as connection:
                connection.execute(sale.delete().where(sale.c.id == key))
                connection.execute(line.delete().where(line.c.sale == key))

    def wait(self) -> None:
        """Time passes."""
        if not self.is_postgres:
            self.site.clock.pass_minutes(self.dice.choice((0.5, 3, 20, 200)))

    # What runs there are

    def run(self, asked: Asked | None = None, *, is_quiet: bool = False) -> None:
        """Make a run, while the shop may go on changing."""
        self._runs += 1
        self._work(f"driven-{self._runs}", asked or self._asked(), is_quiet=is_quiet)

    def fail(self) -> None:
        """
        A run dies somewhere; it is given up at once, or nobody notices until its lease is over.
        """
        self._runs += 1
        run_id, asked = f"driven-{self._runs}", self._asked()
        entity = self.dice.choice(list(Entity))
        points = [point for point in _POINTS if entity is not TRANSACTIONS or point != "answered"]
        try:
            self._work(run_id, asked, dies=(entity, f"{self.dice.choice(points)}:{self.dice.choice((1, 1, 2))}"))
        except Died:
            self.dead.append((run_id, asked))
            if self.dice.random() < 0.5:
                self.site.trip.account(run_id)
        finally:
            crash_points.set_trap(None)

    def clear(self) -> None:
        """Somebody clears the tasks of a run that died."""
        if self.dead:
            # One that had ended, and that another has overtaken, is not to go on.
            with suppress(LedgerError):
                self._work(*self.dead.pop(self.dice.randrange(len(self.dead))))

    def release(self) -> None:
        """A person releases what waits for some customer."""
        if key := self._any(person):
            self._runs += 1
            self.site.sync("replay", run_id=f"driven-{self._runs}", customer_ids=[key])

    def settle_doubts(self) -> None:
        """
        A person who has looked settles what is in doubt: nothing dies between being sent and being
        taken.
        """
        keys = [key for _, key in told.in_state(self.site.trip.place.ledger_engine, "in_doubt")]
        if keys:
            self._runs += 1
            given = {"in_doubt": "delivered", "confirm": "delivered", "keys": sorted(set(keys))}
            self.site.sync("replay", run_id=f"driven-{self._runs}", **given)

    def _work(
        self, run_id: str, asked: Asked, *, dies: tuple[Entity, str] | None = None, is_quiet: bool = False
    ) -> None:
        trip = self.site.trip
        run = trip.begin(run_id, asked=asked, overrides=list(Guard))
        for entity in Entity:
            if dies and dies[0] is entity:
                crash_points.set_trap(trap_at(dies[1], _die))
            for part in trip.slices(run, entity):
                trip.work_off(run, part)
                if not is_quiet and self.dice.random() < 0.2:
                    self.dice.choice((self.insert, self.change, self.move, self.settle))()
            crash_points.set_trap(None)
        made = trip.account(run_id)
        assert made.adds_up, [(one.entity, one.read, one.states, one.unfinished) for one in made.entities]

    def _asked(self) -> Asked:
        kind = self.dice.choice([RunKind.INCREMENT] * 4 + [RunKind.WINDOW, RunKind.BACKFILL, RunKind.CUSTOMERS])
        now = self.site.trip.place.legacy(CUSTOMERS).now()
        unit = timedelta(seconds=1) if self.is_postgres else timedelta(minutes=10)
        since = now - unit * self.dice.randrange(1, 20)
        match kind:
            case RunKind.WINDOW:
                return Asked(kind, self.dice.choice((None, since)), self.dice.choice((None, since + unit * 5)))
            case RunKind.BACKFILL:
                return Asked(kind, since, since + unit * self.dice.randrange(1, 8))
            case RunKind.CUSTOMERS:
                return Asked(kind, customers=(self._any(person) or "nobody",))
        return Asked(kind)

    # How rows are written

    def _insert_one(self, connection: Connection, moment: Any, *, is_honest: bool) -> None:
        kind, owner = self.dice.random(), self._any(person, connection)
        if kind < 0.4 or not owner:
            key = self._key("P")
            connection.execute(insert(person).values(id=key, name=self._name(), points=0, changed_at=moment))
            self._note("person", key, is_honest=is_honest)
        elif kind < 0.7 or self._has_many(connection, owner):
            key = self._key("S")
            connection.execute(insert(sale).values(id=key, person=owner, cents=self._number(), changed_at=moment))
            connection.execute(insert(line).values(sale=key, position=1, sku="A", changed_at=moment))
            self._note("sale", key, is_honest=is_honest)
        else:
            key, points = self._key("T"), self._number()
            connection.execute(insert(booking).values(id=key, person=owner, points=points, changed_at=moment))
            self._touch(connection, person, owner, moment, is_honest, points=person.c.points + points)

    def _touch(
        self,
        connection: Connection,
        table: Table,
        key: str,
        moment: Any,
        is_honest: bool,  # noqa: FBT001
        **values: Any,
    ) -> None:
        """Change a row; one time in ten its change time does not move."""
        column = table.c.sale if table is line else table.c.id
        if self.dice.random() < 0.1:
            is_honest = False
        else:
            values["changed_at"] = moment
        connection.execute(update(table).where(column == key).values(values))
        self._note("sale" if table is line else table.name, key, is_honest=is_honest)

    def _note(self, table: str, key: str, *, is_honest: bool) -> None:
        (self.unseen.discard if is_honest else self.unseen.add)((table, key))

    def _moment(self) -> tuple[Any, bool]:
        """Return a change time, and whether windows must find what has it."""
        kind = self.dice.random()
        if kind < 0.05:
            return None, False
        late = self.dice.choice((0, 0, 0.2, 0.9)) if kind < 0.9 else -0.5
        if self.is_postgres:
            late = max(0, late) if kind < 0.97 else -_FUTURE.total_seconds()
            seconds = f"{late} * interval '1 second'"
            return text(f"(clock_timestamp() AT TIME ZONE 'UTC') - {seconds}"), kind < 0.97
        if kind > 0.97:
            return self.site.clock.ago(-_FUTURE.total_seconds() / 60), False
        if kind < 0.3 and self._last is not None and self.site.clock.ago(16) < self._last:
            return self._last, True  # the same as somebody else's
        self._last = self.site.clock.ago(16.9 * late)
        return self._last, True

    def _any(self, table: Table, connection: Connection | None = None) -> str | None:
        """Return the key of some row."""
        column = table.c.sale if table is line else table.c.id
        statement = select(column).order_by(column)
        if connection is not None:
            keys = list(connection.execute(statement).scalars())
        else:
            with self.site.shop.engine.connect() as own:
                keys = list(own.execute(statement).scalars())
        return self.dice.choice(keys) if keys else None

    def _has_many(self, connection: Connection, owner: str) -> bool:
        """
        Whether a customer has as many transactions as a request carries: they could not go
        together.
        """
        rows = connection.execute(select(booking.c.id).where(booking.c.person == owner)).all()
        return len(rows) >= SMALL["records"]

    def _key(self, letter: str) -> str:
        self._made += 1
        return f"{letter}{self._made:03}"

    def _name(self) -> str | None:
        return self.dice.choice((None, *(f"Ana {number}" for number in range(9))))

    def _number(self) -> int:
        return self.dice.randrange(1, 1000)


def _die() -> None:
    raise Died


def rows_of(site: Site, entity: Entity) -> list[Any]:
    """Return what the mapping makes of every row that there is now."""
    everything = Slice.everything(entity)
    pages = record_pages(site.trip.place.legacy(entity), everything, Window())
    return [row for page in pages for row in page]


def versions(site: Site, entity: Entity) -> dict[str, list[tuple[str, Any]]]:
    """Return what the sandbox has accepted of each key, in order: customer and content."""
    found: dict[str, list[tuple[str, Any]]] = {}
    with site.trip.sandbox.api.store.reading() as connection:
        rows = connection.execute("SELECT key, customer, body FROM record WHERE entity = ? ORDER BY id", (entity,))
        for key, customer, body in rows.fetchall():
            found.setdefault(key, []).append((customer, orjson.loads(body)))
    return found


def missing(driver: Driver, *, is_swept: bool) -> list[str]:
    """
    Return what is wrong: rows whose newest content the API lacks or has had twice, and rows that
    the ledger does not know.
    """
    site, wrong = driver.site, []
    people = {row.key for row in rows_of(site, CUSTOMERS) if isinstance(row, Record)}
    there = versions(site, CUSTOMERS)
    for table, entity in ENTITY.items():
        accepted = versions(site, entity)
        for key, sent in accepted.items():
            if any(one == other for one, other in pairwise(sent)) or (entity is TRANSACTIONS and len(sent) > 1):
                wrong.append(f"{entity} {key} was sent twice: {sent}")
        for row in rows_of(site, entity):
            stand = site.stand(entity, row.key)
            if is_swept and not stand:
                wrong.append(f"{entity} {row.key} is not in the ledger")
            is_hidden = {(table, row.key), ("person", row.customer)} & driver.unseen
            if not is_swept and (is_hidden or entity is TRANSACTIONS):
                continue
            # Points go only with the balance that they add up to, which the API has of a customer
            # who is sound today.
            is_there = row.customer in people or (entity is not TRANSACTIONS and row.customer in there)
            if isinstance(row, Record) and is_there:
                newest = (row.customer, orjson.loads(row.body))
                if accepted.get(row.key, [None])[-1] != newest:
                    wrong.append(f"{entity} {row.key} lacks its newest content: {stand}")
    return wrong


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Look more often whose turn it is."""
    monkeypatch.setitem(lease_keeper.claimed.__kwdefaults__, "sleep", lambda seconds: time.sleep(seconds / 100))
    yield
    crash_points.set_trap(None)


@pytest.mark.parametrize("number", range(SHOPS))
@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_in_the_end_no_row_is_missed_and_none_went_twice(memory, monkeypatch, request, dialect, number):
    seed = SEED + number
    is_postgres = dialect == "postgres"
    legacy_url = request.getfixturevalue("postgres_url") if is_postgres else f"sqlite:///{memory / 'legacy.sqlite'}"
    settings = {"policies": POLICIES, "moves_with": {"events": ["order__products"]}}
    if is_postgres:
        settings["windows"] = {"overlap": 0.05, "lag": 0}  # three seconds, so that nobody has to wait
    ledger_url = f"sqlite:///{memory / 'ledger.sqlite'}"
    opened = changing.site(
        legacy_url, ledger_url, memory, monkeypatch, extra=SMALL, keeps_time=not is_postgres, **settings
    )
    with opened as site:
        driver = Driver(site, random.Random(seed), is_postgres)
        for _ in range(STEPS):
            driver.step()
        while driver.writing:
            driver.settle()
        if not is_postgres:
            site.clock.pass_minutes(300)
        driver.run(INCREMENT, is_quiet=True)
        driver.settle_doubts()
        driver.run(INCREMENT, is_quiet=True)
        assert missing(driver, is_swept=False) == [], f"MASIVO_SEED={seed}: {driver.told}"
        driver.run(SWEEP, is_quiet=True)
        driver.settle_doubts()
        driver.run(SWEEP, is_quiet=True)
        assert missing(driver, is_swept=True) == [], f"MASIVO_SEED={seed}: {driver.told}"
        posts = len(site.trip.posts())
        driver.run(SWEEP, is_quiet=True)
        assert len(site.trip.posts()) == posts
