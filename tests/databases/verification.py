"""A small shop in SQLite and a mapping for it, migrated over real HTTP and read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, select, text

from masivo_engine.ledger import schema
from masivo_engine.ledger.verification import outcomes
from masivo_engine.ledger.verification.pending import last_run_that_delivered
from masivo_engine.ledger.verification.read_budget import Reads
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Api
from masivo_engine.sandbox.faults.spoiling import Spoil
from masivo_engine.verification.rounds import Rounds
from masivo_engine.verification.sample import Choice, Chooser
from masivo_engine.verification.verdict import Verdict, verdict
from tests import told
from tests.whole_migration import UNHURRIED, UNLIMITED, Trip, journey


READ_BY = "a read-back"
REWARD = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01"
TIER = "5e0c1f6a-8a3b-4c55-9d1e-1b7f0a6d2c0"

FILES = {
    "customers.sql": (
        "SELECT id, name, email, registered AS registration_date, dob, lifetime_from AS metrics__lifetime__from,"
        " lifetime_to AS metrics__lifetime__to, spent AS metrics__lifetime__spend_total,"
        " visits AS metrics__lifetime__number_of_purchases, tier AS metrics__lifetime__tier_id FROM person"
    ),
    "customers.balance.sql": (
        f"SELECT person AS customer_id, id AS position, '{REWARD}' AS reward_id, points AS amount,"
        " granted AS issued_at, expires AS expiration_date FROM lot"
    ),
    "events.sql": (
        "SELECT id AS order__purchase_id, person AS customer_id, 'PURCHASE' AS type, NULL AS brand_id,"
        " total AS order__value, net AS order__discounted_value, 'CASH' AS order__payment_method, 1 AS fulfilled,"
        " sold AS issued_at, NULL AS resolved_at FROM sale"
    ),
    "events.order__products.sql": (
        "SELECT id AS order__purchase_id, 'A-1' AS sku, 1 AS amount, total AS value FROM sale"
    ),
    "transactions.sql": (
        f"SELECT id AS transaction_id, person AS customer_id, NULL AS brand_id, '{REWARD}' AS reward_id,"
        " 'legacy:' || id AS details, CASE WHEN points < 0 THEN 'REDEMPTION' ELSE 'ACCUMULATION' END AS type,"
        " points AS amount, booked AS issued_at, booked AS resolved_at FROM booking"
    ),
    "mapping.yaml": "timezone: UTC\n",
}
TABLES = (
    (
        "CREATE TABLE person (id TEXT PRIMARY KEY, name TEXT, email TEXT, registered TEXT, dob TEXT,"
        " lifetime_from TEXT, lifetime_to TEXT, spent NUMERIC, visits INTEGER, tier TEXT)"
    ),
    "CREATE TABLE lot (id TEXT PRIMARY KEY, person TEXT, points NUMERIC, granted TEXT, expires TEXT)",
    "CREATE TABLE sale (id TEXT PRIMARY KEY, person TEXT, total NUMERIC, net NUMERIC, sold TEXT)",
    "CREATE TABLE booking (id TEXT PRIMARY KEY, person TEXT, points NUMERIC, booked TEXT)",
)


@dataclass(slots=True)
class Shop:
    """A shop whose customers were migrated, and the read-back of it."""

    trip: Trip

    @property
    def ledger(self) -> Any:
        return self.trip.place.ledger

    def spoil(self, entity: str, key: str, what: Spoil) -> None:
        """Let something go wrong with a record; the sandbox knows a transaction by its details."""
        self.trip.sandbox.spoil(entity, f"legacy:{key}" if entity == "transactions" else key, what)

    def choose(
        self, *, size: int | None = None, customers: Sequence[str] = (), runs: Sequence[int] = ()
    ) -> tuple[Choice, Any]:
        """Do what the task *choose* does."""
        place = self.trip.place
        runs = runs or [last_run_that_delivered(self.ledger)]
        chooser = Chooser(
            self.ledger,
            runs,
            place.legacy(Entity.CUSTOMERS),
            settle_after_s=place.hook.patience.settle_after_s,
            seed="a test",
        )
        made = chooser.choose(size=size, customers=customers)
        outcomes.begin(self.ledger, READ_BY, made[0].runs)
        return made

    def rounds(self, *, most_reads: int | None = None, rounds: int = 3, reader: Any = None) -> Rounds:
        """What the task *read* works with."""
        place = self.trip.place
        legacies = [place.legacy(entity) for entity in place.mapping.entities]
        api = Api(reader or place.hook, Reads(self.ledger, most_reads))
        return Rounds(self.ledger, api, legacies, pause_s=0, log=self.trip.log, rounds=rounds)

    def verify(self, *, size: int | None = None, customers: Sequence[str] = (), **options: Any) -> Verdict:
        """Choose, read until nobody is due, and judge."""
        choice, parts = self.choose(size=size, customers=customers)
        reading = self.rounds(**options)
        for part in parts:
            while (due := reading.work_off(part)) is not None and due <= datetime.now(UTC):
                pass
        made = verdict(self.ledger, choice.runs, first=parts[0].first if parts else 0, chosen=choice.chosen)
        outcomes.judge(self.ledger, READ_BY, made.sentence(0))
        return made

    def findings(self) -> list[tuple[str, str, str]]:
        """Entity, key and bucket of all that was found."""
        finding = schema.finding
        with self.ledger.reading() as connection:
            rows = connection.execute(select(finding.c.entity, finding.c.key, finding.c.bucket).order_by(finding.c.id))
            return [tuple(row) for row in rows]

    def rows(self) -> list[Any]:
        """All that was found, whole."""
        with self.ledger.reading() as connection:
            return list(connection.execute(select(schema.finding).order_by(schema.finding.c.id)))

    def states(self, state: str) -> set[tuple[str, str]]:
        """Entity and key of what is in *state*."""
        return told.in_state(self.ledger.engine, state)


def person(
    name: str, *, bookings: Sequence[float] = (5, 7, -2), sales: Sequence[float] = (20, 31.5), **fields: Any
) -> dict[str, Any]:
    """
    A person with what belongs to it, keys numbered: ``<name>-b1``, ``<name>-s1``, ``<name>-l1``.
    """
    return {"name": name, "bookings": bookings, "sales": sales, **fields}


@contextmanager
def shop(
    folder: Path, *people: dict[str, Any], migrate: bool = True, sandbox: dict[str, Any] | None = None, **extra: Any
) -> Iterator[Shop]:
    """Stock a shop with *people* and migrate it."""
    mapping = folder / "mapping"
    mapping.mkdir()
    for file, content in FILES.items():
        (mapping / file).write_text(content)
    url = f"sqlite:///{folder / 'legacy.sqlite'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in TABLES:
            connection.execute(text(statement))
        for one in people:
            for statement, values in _rows(one):
                connection.execute(text(statement), values)
    engine.dispose()
    ledger = f"sqlite:///{folder / 'ledger.sqlite'}"
    options = {**UNHURRIED, **(sandbox or {})}
    with journey(url, ledger, mapping=str(mapping), sandbox=options, extra={**UNLIMITED, **extra}) as trip:
        if migrate:
            assert trip.migrate("first").adds_up
        yield Shop(trip)


def _rows(one: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    name = one["name"]
    yield (
        (
            "INSERT INTO person VALUES (:id, :name, :email, :registered, :dob, :lifetime_from, :lifetime_to, :spent,"
            " :visits, :tier)"
        ),
        {
            "id": name,
            "name": f"Person {name}",
            "email": f"{name.lower()}@example.invalid",
            "registered": "2020-05-01 10:00:00",
            "dob": "1990-02-03 00:00:00",
            **dict.fromkeys(("lifetime_from", "lifetime_to", "spent", "visits", "tier")),
            **one.get("metrics", {}),
        },
    )
    for number, points in enumerate(one["bookings"], 1):
        moment = f"202{number % 5}-0{number % 9 + 1}-1{number % 9} 1{number % 9}:30:00"
        yield (
            "INSERT INTO booking VALUES (:id, :person, :points, :booked)",
            {"id": f"{name}-b{number}", "person": name, "points": points, "booked": moment},
        )
    lots = one.get("lots", [sum(one["bookings"])] if one["bookings"] else [])
    for number, points in enumerate(lots, 1):
        yield (
            "INSERT INTO lot VALUES (:id, :person, :points, :granted, :expires)",
            {
                "id": f"{name}-l{number}",
                "person": name,
                "points": points,
                "granted": "2024-01-02 03:04:05",
                "expires": one.get("expires", "2035-01-01 00:00:00"),
            },
        )
    for number, total in enumerate(one["sales"], 1):
        yield (
            "INSERT INTO sale VALUES (:id, :person, :total, :net, :sold)",
            {
                "id": f"{name}-s{number}",
                "person": name,
                "total": total,
                "net": total - 1,
                "sold": f"2023-0{number % 9 + 1}-01 12:00:00",
            },
        )


METRICS = {
    "lifetime_from": "2020-01-01 00:00:00",
    "lifetime_to": "2026-01-01 00:00:00",
    "spent": 400,
    "visits": 9,
    "tier": f"{TIER}1",
}
