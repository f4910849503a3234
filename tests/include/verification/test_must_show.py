"""
What the issue asks a read-back to show: each thing that can go wrong with one record ends in its
bucket, and all others are confirmed.
"""

from __future__ import annotations

import pytest

from masivo_engine.sandbox.faults.spoiling import Spoil
from tests.databases.verification import METRICS, person, shop


@pytest.fixture
def people():
    return [person(f"P{number}") for number in range(1, 7)]


def everything(on):
    return on.states("delivered") | on.states("confirmed")


def test_a_clean_load_is_confirmed_to_the_last_record(tmp_path, people):
    with shop(tmp_path, *people) as on:
        before = everything(on)
        made = on.verify()
        assert (made.wrong, made.unread, on.findings()) == (0, 0, [])
        assert on.states("confirmed") == before
        assert len(before) == 6 * (1 + 2 + 3)
        assert on.trip.account().adds_up
        assert [entity.states for entity in on.trip.account().entities] == [
            {"confirmed": 6},
            {"confirmed": 12},
            {"confirmed": 18},
        ]


CASES = [
    ("transactions", "P2-b2", Spoil.LOSE, {("transactions", "P2-b2", "missing")}),
    ("transactions", "P2-b2", Spoil.DOUBLE, {("transactions", "P2-b2", "doubled")}),
    ("transactions", "P2-b2", Spoil.SHIFT, {("transactions", "P2-b2", "time_zone")}),
    ("transactions", "P2-b2", Spoil.FLIP, {("transactions", "P2-b2", "sign")}),
    ("events", "P2-s2", Spoil.LOSE, {("events", "P2-s2", "missing")}),
    ("events", "P2-s2", Spoil.DOUBLE, {("events", "P2-s2", "doubled")}),
    ("customers", "P2", Spoil.DOUBLE, {("customers", "P2", "doubled")}),
    ("customers", "P2", Spoil.SHIFT, {("customers", "P2", "time_zone")}),
    ("customers", "P2", Spoil.FLIP, {("customers", "P2", "sign")}),
    (
        "customers",
        "P2",
        Spoil.LOSE,
        {("customers", "P2", "missing")}
        | {("events", f"P2-s{n}", "missing") for n in (1, 2)}
        | {("transactions", f"P2-b{n}", "missing") for n in (1, 2, 3)},
    ),
]


@pytest.mark.parametrize(
    ("entity", "key", "what", "expected"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_goes_wrong_with_one_record_ends_in_its_bucket_and_the_rest_is_confirmed(
    tmp_path, people, entity, key, what, expected
):
    with shop(tmp_path, *people) as on:
        before = everything(on)
        on.spoil(entity, key, what)
        made = on.verify()
        assert set(on.findings()) == expected
        assert len(on.findings()) == len(expected) == made.wrong
        assert on.states("confirmed") == before - {(entity_, key_) for entity_, key_, _ in expected}


def test_all_of_them_at_once_are_told_apart(tmp_path, people):
    with shop(tmp_path, *people, person("P7", metrics=METRICS)) as on:
        before = everything(on)
        planted = {
            ("transactions", "P1-b1", "missing"): Spoil.LOSE,
            ("transactions", "P2-b1", "doubled"): Spoil.DOUBLE,
            ("transactions", "P3-b1", "time_zone"): Spoil.SHIFT,
            ("transactions", "P4-b3", "sign"): Spoil.FLIP,
            ("events", "P5-s1", "missing"): Spoil.LOSE,
        }
        for (entity, key, _), what in planted.items():
            on.spoil(entity, key, what)
        made = on.verify()
        assert set(on.findings()) == planted.keys() | {("customers", "P7", "metrics")}
        assert made.wrong == len(planted)
        wrong = {(entity, key) for entity, key, _ in planted}
        assert on.states("confirmed") == before - wrong
        assert "5 differences" in made.sentence(4)
        assert made.sentence(5) == ""


def test_metrics_that_event_migration_replaced_are_explained_and_prove_the_events(tmp_path):
    with shop(tmp_path, person("P1", metrics=METRICS)) as on:
        before = everything(on)
        made = on.verify()
        assert on.findings() == [("customers", "P1", "metrics")]
        (row,) = on.rows()
        assert row.expected == "lifetime: number_of_purchases 9, spend_total 400"
        assert row.found == "lifetime: number_of_purchases 2, spend_total 49.5"
        assert made.wrong == 0
        assert on.states("confirmed") == before


def test_a_number_of_purchases_that_fitted_before_proves_nothing(tmp_path):
    metrics = METRICS | {"visits": 2, "spent": 49.5}
    with shop(tmp_path, person("P1", metrics=metrics)) as on:
        made = on.verify()
        assert on.findings() == []
        assert on.states("delivered") == {("events", "P1-s1"), ("events", "P1-s2")}
        assert made.wrong == 0
        assert any("cannot be proved" in line for line in made.lines())


def test_points_that_were_expired_when_they_came_are_told_from_lost_ones(tmp_path):
    with shop(tmp_path, person("P1", expires="2024-06-01 00:00:00", sales=())) as on:
        on.trip.sandbox.api.store._connection.execute(
            "UPDATE record SET body = json_set(body, '$.balance', json('[]')) WHERE entity = 'customers'"
        )
        on.verify()
        assert on.findings() == [("customers", "P1", "expiry")]


@pytest.mark.parametrize(
    ("amount", "bucket"),
    [
        (5, "off_by_one_row"),
        (3, "off_by_one_row"),
        (17, "off_by_one_row"),
        (14, "sign"),
        (20, "doubled"),
        (11, "other"),
    ],
)
def test_a_wrong_balance_says_how_it_is_wrong(tmp_path, amount, bucket):
    """It should be 10, of bookings of 5, 7 and -2."""
    with shop(tmp_path, person("P1", sales=())) as on:
        on.trip.sandbox.api.store._connection.execute(
            "UPDATE record SET body = json_set(body, '$.balance[0].amount', ?) WHERE entity = 'customers'", (amount,)
        )
        on.verify()
        assert on.findings() == [("customers", "P1", bucket)]
        (row,) = on.rows()
        assert (row.expected, row.found) == ("10", str(amount))
        assert on.states("confirmed") == {("transactions", f"P1-b{n}") for n in (1, 2, 3)}


def test_findings_hold_no_personal_data(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.trip.sandbox.api.store._connection.execute(
            "UPDATE record SET body = json_set(body, '$.name', 'Somebody Else', '$.email', 'x@example.invalid',"
            " '$.dob', '1990-02-02T18:00:00Z') WHERE entity = 'customers' AND key = 'P1'"
        )
        on.verify()
        rows = on.rows()
        assert {(row.bucket, row.expected, row.found) for row in rows} == {
            ("other", "name", "another name"),
            ("other", "email", "another email"),
            ("time_zone", "dob", "dob moved by -1 day, 18:00:00"),
        }
