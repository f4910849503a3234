"""
From a database that nobody has mapped to a first run: a draft, the lines that are left to a person
filled in, the plan, the account.
"""

from __future__ import annotations

import re

import pytest
from sqlalchemy import create_engine

from masivo_engine.draft.draft import drafted, write
from masivo_engine.mapping.loader import load
from masivo_engine.model.rows import Entity
from tests.databases.sample import sample_shop
from tests.told import told as told_rows
from tests.whole_migration import UNHURRIED, journey


_REWARD = """CASE {0}.purse
        WHEN 'P' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b01'
        WHEN 'S' THEN '8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b02'
        ELSE {0}.purse
    END AS reward_id"""
# What a person knows of this shop, and no schema says: codes, money, and the zone.
FILLED = {
    "mapping.yaml": {"timezone:": "timezone: America/Mexico_City"},
    "customers.sql": {
        "NULL AS email": "(SELECT LOWER(TRIM(k.contact_value)) FROM member_contact k"
        " WHERE k.member_no = c.member_no AND k.kind = 'E' AND k.is_primary = 1) AS email"
    },
    "customers.balance.sql": {"NULL AS reward_id": _REWARD.format("b")},
    "events.sql": {
        "NULL AS brand_id": "'CN' AS brand_id",
        "NULL AS order__value": "o.total_cents / 100.0 AS order__value",
        "NULL AS order__discounted_value": "(o.total_cents - o.discount_cents) / 100.0 AS order__discounted_value",
        "NULL AS order__payment_method": "'OTHER' AS order__payment_method",
        "NULL AS fulfilled": "CASE WHEN o.settled_at IS NULL THEN 0 ELSE 1 END AS fulfilled",
    },
    "events.order__products.sql": {"NULL AS value": "l.gross_cents / 100.0 AS value"},
    "transactions.sql": {
        "NULL AS reward_id": _REWARD.format("t"),
        "NULL AS type": "CASE t.kind WHEN 'O' THEN 'MIGRATION' WHEN 'E' THEN 'ACCUMULATION' WHEN 'R' THEN 'REDEMPTION'"
        " WHEN 'X' THEN 'EXPIRATION' WHEN 'V' THEN 'REVERSAL' ELSE t.kind END AS type",
        't."points" AS amount': "CASE WHEN t.kind IN ('R', 'X', 'V') THEN -t.points ELSE t.points END AS amount",
    },
}


@pytest.fixture
def folder(tmp_path):
    """The draft of the sample, as it is written."""
    file, _ = sample_shop(tmp_path, customers=70)
    engine = create_engine(f"sqlite:///{file}")
    write(drafted(engine), tmp_path / "ours")
    engine.dispose()
    return tmp_path / "ours"


def fill(folder, only=tuple(FILLED)):
    for name in only:
        text = (folder / name).read_text()
        for line, answer in FILLED[name].items():
            assert len(re.findall(rf"^ *{re.escape(line)}", text, re.MULTILINE)) == 1, line
            text = text.replace(line, answer)
        (folder / name).write_text(text)


def migrated(folder, legacy):
    """Return the plan of a first run with the mapping in *folder*, and the keys that it sent."""
    ledger = f"sqlite:///{folder.parent / 'ledger.sqlite'}"
    with journey(legacy, ledger, mapping=str(folder), sandbox=UNHURRIED) as trip:
        told = trip.foretell(trip.begin("first"))
        assert trip.migrate("first").adds_up
        sent: dict[Entity, set[str]] = {entity: set() for entity in Entity}
        for row in told_rows(trip.place.ledger_engine):
            if row.state == "delivered":
                sent[Entity(row.entity)].add(row.key)
        return told, sent


def test_a_draft_that_was_filled_in_migrates_what_the_ready_mapping_does(folder, tmp_path):
    fill(folder)
    legacy = f"sqlite:///{tmp_path / 'legacy.sqlite'}"
    told, sent = migrated(folder, legacy)
    ready = tmp_path / "ready" / "sample"
    ready.parent.mkdir()
    ready.symlink_to(load("sample").folder)
    _, by_the_ready_one = migrated(ready, legacy)
    assert [one.records for one in told.entities] == [len(sent[entity]) for entity in Entity]
    # The draft leaves out optional fields, so rows go that the ready mapping quarantines for those.
    for entity in Entity:
        assert by_the_ready_one[entity]
        assert by_the_ready_one[entity] <= sent[entity]


def test_of_a_draft_in_which_only_the_zone_is_said_no_purchase_and_no_point_goes(folder, tmp_path):
    fill(folder, only=["mapping.yaml", "customers.sql"])
    told, _ = migrated(folder, f"sqlite:///{tmp_path / 'legacy.sqlite'}")
    customers, *others = told.entities
    assert [one.records for one in others] == [0, 0]
    assert told.worth.balances == {}
    assert {reason for _, reason, _ in customers.why} >= {"missing_value"}
