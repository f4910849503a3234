"""
Keys and values as a legacy database keeps them, and switches that make other records
of the same rows: each with the right value, told by what the sandbox took and what the account
says.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import pytest

from masivo_engine.model.rows import Entity
from masivo_engine.sandbox.options import Existing, Refusal
from tests.databases.changing import FILES, TOLERANT, person, site
from tests.whole_migration import UNLIMITED


CUSTOMERS, EVENTS, TRANSACTIONS = Entity


@pytest.fixture
def opened(tmp_path, monkeypatch, legacy_url):
    """Open a shop in each database: *options* of the sandbox, *extra* of the connection."""

    @contextmanager
    def open_(extra=(), files=None, **options):
        given = {"sandbox": {**TOLERANT, **options}, "extra": {**UNLIMITED, **dict(extra)}}
        ledger = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        with site(legacy_url, ledger, tmp_path, monkeypatch, files=files, **given) as made:
            yield made

    return open_


def hourly(on, number=3, **kind):
    """Run *number* increments, an hour apart."""
    for _ in range(number):
        on.clock.pass_minutes(60)
        made = on.run(**kind)
        assert made.adds_up
    return made


def test_keys_with_blanks_are_read_again_as_they_stand(opened):
    with opened() as on:
        on.shop.add_person("A", name=None)
        for key in ("S1", "S2 ", " S3"):
            on.shop.add_sale(key, "A")
        on.run()
        assert on.sent(EVENTS) == {}
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", name="Ana")
        hourly(on)
        assert on.sent(EVENTS) == {"S1": 1, "S2": 1, "S3": 1}


def test_keys_that_adjust_rewrites_are_read_again_as_they_stand(opened):
    prefixed = "def adjust(row):\n    row['order__purchase_id'] = 'POS-' + row['order__purchase_id']\n    return row\n"
    with opened(files={"events.py": prefixed}) as on:
        on.shop.add_person("A", name=None)
        on.shop.add_sale("S1", "A")
        on.run()
        on.clock.pass_minutes(60)
        on.shop.change(person, "A", name="Ana")
        hourly(on)
        assert on.sent(EVENTS) == {"POS-S1": 1}


def test_a_transaction_that_adjust_fails_for_keeps_its_customers_set_back(opened):
    """The two are worth nothing together, so that only they themselves can tell what is missing."""
    failing = "def adjust(row):\n    if row['transaction_id'] in ('T2', 'T3'):\n        raise ValueError('no')\n    return row\n"
    with opened(files={"transactions.py": failing}) as on:
        on.shop.add_person("A", points=10)
        for key, points in (("T1", 10), ("T2", 5), ("T3", -5)):
            on.shop.add_booking(key, "A", points)
        on.run()
        assert on.sent(TRANSACTIONS) == {}
        assert on.stand(TRANSACTIONS, "T1") == ["held sibling_not_sendable"]
        assert on.stand(TRANSACTIONS, "T2") == ["quarantined adjust_failed"]
        on.remaps({"transactions.py": "def adjust(row):\n    return row\n"})
        hourly(on, 1)
        assert on.sent(TRANSACTIONS) == {"T1": 1, "T2": 1, "T3": 1}


def test_a_customer_that_adjust_fails_for_is_named_and_goes_once_adjust_is_corrected(opened):
    failing = "def adjust(row):\n    if row['id'] == 'A':\n        raise ValueError('no')\n    return row\n"
    with opened(files={"customers.py": failing}) as on:
        on.shop.add_person("A", points=5)
        on.shop.add_sale("SA", "A")
        on.run()
        assert on.stand(CUSTOMERS, "A") == ["quarantined adjust_failed"]
        assert on.stand(EVENTS, "SA") == ["held customer_quarantined"]
        on.remaps({"customers.py": "def adjust(row):\n    return row\n"})
        hourly(on, 1)
        assert on.everything_sent() == {"A": 1, "SA": 1}


def test_newer_fields_that_are_switched_on_are_asked_about_before_all_are_sent_again(opened):
    files = {"customers.sql": FILES["customers.sql"].replace("p.name AS name", "p.name AS name, 'CC' AS document_type")}
    with opened(files=files, existing=Existing.DOUBLE, duplicates=Refusal.AT_ONCE) as on:
        for number in range(50):
            on.shop.add_person(f"P{number}", points=5)
        on.sync()
        vars(on.trip.place.hook)["target"] = replace(on.trip.place.hook.target, newer_fields=True)
        on.clock.pass_minutes(60)
        on.sync()
        with pytest.raises(Exception, match="50 of 50 customers that the API has read otherwise"):
            on.sync("sweep")
        assert set(on.sent(CUSTOMERS).values()) == {1}
