"""
One shop and one mapping on SQLite, PostgreSQL and MariaDB: a dialect makes no difference to what a
person is told and what the API gets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import create_engine

from masivo_engine.checks.check import check
from masivo_engine.model.rows import Entity
from masivo_engine.reports.account_text import as_text
from masivo_engine.source.database import Database
from tests import mapping_folder
from tests.databases.changing import INCREMENT, TOLERANT, Clock
from tests.databases.music_shop import MAPPING, MusicShop
from tests.whole_migration import journey


OPENS = datetime(2026, 10, 20, 12, tzinfo=UTC)
OTHERS = pytest.mark.parametrize("other", ["postgres", "mariadb"])


@dataclass(slots=True)
class Seen:
    """What a person and the API have seen of one shop."""

    findings: list[str]  #: of the check, in no order: they come as the rows do
    accounts: list[str]
    taken: list[Any]  #: by request: path, answer, and what of it was accepted
    bodies: list[tuple[Entity, bytes]]

    def records(self) -> Counter[tuple[str, str, bytes]]:
        """Return what was sent by entity and customer, in whatever order and requests."""
        of = {Entity.CUSTOMERS: "balance", Entity.EVENTS: "events", Entity.TRANSACTIONS: "transactions"}
        found: Counter[tuple[str, str, bytes]] = Counter()
        for entity, body in self.bodies:
            for customer in orjson.loads(body)["customers"]:
                some = [customer] if entity is Entity.CUSTOMERS else customer[of[entity]]
                found.update((entity.value, customer["id"], orjson.dumps(one)) for one in some)
        return found


def business(url: str, mapping: Path, patch: pytest.MonkeyPatch, ledger: Path) -> Seen:
    """Check and migrate the shop, let a day pass, and migrate what changed."""
    clock = Clock(OPENS)
    patch.setattr(Database, "now", lambda _: clock.now)
    engine = create_engine(url)
    shop = MusicShop(engine, OPENS.replace(tzinfo=None))
    with journey(url, f"sqlite:///{ledger}", mapping=str(mapping), sandbox=TOLERANT) as trip:
        place = trip.place
        findings = list(check(place.mapping, place.legacy_engine, limits=place.hook.limits))
        made = [trip.migrate("first")]
        clock.pass_minutes(24 * 60)
        shop.goes_on()
        made.append(trip.migrate("second", asked=INCREMENT))
        assert all(one.adds_up for one in made)
        taken = [(line.path, line.status, line.accepted) for line in trip.posts()]
        bodies = list(trip.api.bodies)
    engine.dispose()
    # Which columns have an index, or could have one, is the database's own affair.
    said = sorted(map(str, (one for one in findings if not one.code.startswith("index_"))))
    return Seen(said, [as_text(one) for one in made], taken, bodies)


@OTHERS
def test_a_shop_with_numbers_for_keys_has_one_account_and_one_stream_of_bytes(
    sqlite_url, other, request, tmp_path, monkeypatch
):
    one = business(sqlite_url, MAPPING, monkeypatch, tmp_path / "one")
    two = business(request.getfixturevalue(f"{other}_url"), MAPPING, monkeypatch, tmp_path / "two")
    assert one.accounts == two.accounts
    assert one.bodies == two.bodies
    assert one.taken == two.taken
    assert one.findings == two.findings
    # One invoice, reckoned by hand: 0.99 and twice 1.99, half of it; 1.15 points for each track.
    body = b"".join(body for _, body in one.bodies)
    assert b'"order":{"discounted_value":2.49,"payment_method":"CREDIT","products":[{"amount":1,' in body
    assert b'{"amount":3.45,"details":"i-10 of the music shop",' in body
    assert b'"born":"1960-06-04"' in body
    for said in ("missing_value (email)", "negative_balance", "changed_after_delivery", "customer_missing"):
        assert any(said in text for text in one.accounts)


@OTHERS
def test_a_shop_with_texts_for_keys_has_one_account_and_the_same_records_in_its_databases_order(
    sqlite_url, other, request, tmp_path, monkeypatch
):
    card = (
        "REPLACE(REPLACE('[kind][no]', '[kind]',"
        " CASE {0}.CustomerId % 3 WHEN 0 THEN 'CARD-' WHEN 1 THEN 'card_' ELSE 'Çard ' END),"
        " '[no]', CAST({0}.CustomerId AS CHAR(20)))"
    )
    files: dict[str, str | bytes | None] = {file.name: file.read_text() for file in MAPPING.iterdir()}
    for name, of, alias in (
        ("customers.sql", "c", "id"),
        ("customers.balance.sql", "p", "customer_id"),
        ("events.sql", "i", "customer_id"),
        ("transactions.sql", "p", "customer_id"),
    ):
        plain = f"{of}.CustomerId AS {alias}"
        assert plain in str(files[name])
        files[name] = str(files[name]).replace(plain, f"{card.format(of)} AS {alias}", 1)
    mapping = mapping_folder.write(tmp_path / "by_card", files)
    one = business(sqlite_url, mapping, monkeypatch, tmp_path / "one")
    two = business(request.getfixturevalue(f"{other}_url"), mapping, monkeypatch, tmp_path / "two")
    assert one.accounts == two.accounts
    assert one.records() == two.records()
    assert one.findings == two.findings
