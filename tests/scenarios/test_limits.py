"""
Rows and runs at the limits: what the ledger cannot hold is a rejected row with its column,
whichever database keeps the ledger.
"""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, String, Table

from masivo_engine.model import ledger_capacity
from masivo_engine.model.rows import Entity, LegacyRow, Record
from masivo_engine.model.runs import Covers, RunKind, Window
from masivo_engine.records.maker import RecordMaker
from tests.databases import changing
from tests.databases.changing import REWARD
from tests.include.records.small_rows import CUSTOMER, LINE, TRANSACTION, shaper


LARGEST = 99_999_999_999_999
OTHER = "8f4d2b90-6c1e-4a7b-b3f5-2e9d7c0a1b02"

_metadata = MetaData()
_amounts = Table(
    "amount", _metadata, Column("owner", String(40)), Column("reward", String(40)), Column("points", String(40))
)
FILES = {
    "customers.balance.sql": (
        "SELECT owner AS customer_id, 0 AS position, reward AS reward_id, points AS amount FROM amount"
    ),
    "transactions.sql": (
        changing.FILES["transactions.sql"].replace(
            "b.points AS amount",
            f"CASE b.points WHEN 1 THEN {LARGEST} WHEN 2 THEN -{LARGEST} WHEN 3 THEN {LARGEST + 1} ELSE b.points END AS"
            " amount",
        )
    ),
}

TOO_MANY = ["quarantined not_a_number"]


@pytest.fixture
def site(sqlite_url, ledger_url, tmp_path, monkeypatch):
    with changing.site(sqlite_url, ledger_url, tmp_path, monkeypatch) as made:
        _metadata.create_all(made.shop.engine)
        yield made


def test_points_that_the_ledger_cannot_hold_are_rejected_rows_and_no_others_wait_for_them(site):
    site.remaps(FILES)
    owners = {
        "A": [(REWARD, "5")],
        "LARGEST": [(REWARD, str(LARGEST))],
        "ONE_MORE": [(REWARD, str(LARGEST + 1))],
        "TILL": [(REWARD, "999999999999999")],
        "SUM": [(REWARD, "60000000000000"), (REWARD, "50000000000000")],
        "SUM_OF_TWO": [(REWARD, "60000000000000"), (OTHER, "50000000000000")],
        "NAMELESS": [(REWARD, "999999999999999"), (REWARD, "999999999999998")],
        "Z": [(REWARD, "5")],
    }
    for owner, lines in owners.items():
        site.shop.add_person(owner, name=None if owner == "NAMELESS" else "Ana")
        for reward, points in lines:
            site.shop.add(_amounts, owner=owner, reward=reward, points=points)
    for key, owner, points in (("T1", "A", 5), ("T3", "Z", 3), ("T4", "LARGEST", 1)):
        site.shop.add_booking(key, owner, points)
    made = site.sync("sweep")

    assert {owner: site.stand(Entity.CUSTOMERS, owner) for owner in owners} == {
        "A": ["delivered"],
        "LARGEST": ["delivered"],
        "ONE_MORE": TOO_MANY,
        "TILL": TOO_MANY,
        "SUM": TOO_MANY,
        "SUM_OF_TWO": TOO_MANY,
        "NAMELESS": ["quarantined missing_value"],
        "Z": ["delivered"],
    }
    assert (site.stand(Entity.TRANSACTIONS, "T1"), site.stand(Entity.TRANSACTIONS, "T3")) == (["delivered"], TOO_MANY)
    assert site.stand(Entity.TRANSACTIONS, "T4") == ["delivered"]
    assert made["outcome"] == "adds up", made


def test_the_rejection_names_the_column():
    maker = RecordMaker(
        Entity.CUSTOMERS, shaper("customers", list(CUSTOMER)), {"balance": shaper("customers.balance", list(LINE))}
    )

    def column(*amounts):
        return maker.make(_row(CUSTOMER, [{**LINE, "amount": amount} for amount in amounts])).column

    assert column(LARGEST + 1) == "balance[].amount"
    assert column(LARGEST, 1) == "balance"


_NUMBERS = st.one_of(
    st.integers(-(10**16), 10**16),
    st.decimals(-(10**15), 10**15, places=6),
    st.floats(-1e15, 1e15),
    st.sampled_from([LARGEST, LARGEST + 1, 99_999_999_999_999.9, Decimal("99999999999999.99"), 5 * 10**13]),
)


@given(lines=st.lists(_NUMBERS, max_size=4), amount=_NUMBERS, key=st.text("aé😀", min_size=1, max_size=400))
@example(lines=[5 * 10**13, 5 * 10**13], amount=LARGEST + 1, key="a")
@settings(max_examples=200)
def test_whatever_a_row_holds_what_becomes_of_it_fits_into_the_ledger(lines, amount, key):
    customers = RecordMaker(
        Entity.CUSTOMERS, shaper("customers", list(CUSTOMER)), {"balance": shaper("customers.balance", list(LINE))}
    )
    transactions = RecordMaker(Entity.TRANSACTIONS, shaper("transactions", list(TRANSACTION)), {})
    some = [_row({**CUSTOMER, "id": key}, [{**LINE, "amount": line} for line in lines])]
    others = [_row({**TRANSACTION, "transaction_id": key, "customer_id": key, "amount": amount})]
    made = [*customers.make_all(some), *transactions.make_all(others)]
    assert made == [customers.make(some[0]), transactions.make(others[0])]
    for one in made:
        assert abs(one.points) < 10**14
        assert max(len(one.key), len(one.customer)) <= ledger_capacity.KEY
        assert isinstance(one, Record) or (one.reason and one.column)


def _row(values, lines=()):
    return LegacyRow(tuple(values.values()), {"balance": [tuple(line.values()) for line in lines]} if lines else {})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("legacy", "ledger"),
    [("sqlite", ""), ("postgres", ""), ("mariadb", ""), ("sqlite", "postgres"), ("sqlite", "mariadb")],
)
def test_ten_thousand_named_customers_fit_into_a_run(legacy, ledger, request, tmp_path, monkeypatch):
    """
    Each database as either; a *ledger* without a name is in SQLite, beside the legacy database.
    """
    legacy_url = request.getfixturevalue(f"{legacy}_url")
    ledger_url = request.getfixturevalue(f"{ledger}_url") if ledger else f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    with changing.site(legacy_url, ledger_url, tmp_path, monkeypatch) as site:
        for owner in ("CUST-00000007", "CUST-00009999", "CUST-00010000"):
            site.shop.add_person(owner, points=5)
            site.shop.add_sale(f"S-{owner}", owner)
            site.shop.add_booking(f"T-{owner}", owner)
        made = site.sync(customer_ids=[f"CUST-{n:08}" for n in range(10_000)])
        assert sum(site.everything_sent().values()) == 6
        assert set(site.sent(Entity.CUSTOMERS)) == {"CUST-00000007", "CUST-00009999"}
        assert "of 10000 named customers" in made["covers"]


def test_named_customers_are_written_down_once_for_all_entities():
    names = tuple(f"CUST-{n:08}" for n in range(10_000))
    covers = Covers(RunKind.WINDOW, {entity: Window(customers=names) for entity in Entity})
    assert Covers.from_json(covers.as_json()) == covers
    assert covers.as_json().count(names[-1]) == 1
