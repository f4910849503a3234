"""
What a read-back found, in the pack of its run: on the page, in the rows, and for machines; all of
it from the ledger.
"""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from masivo_engine.model.limits import Limits
from masivo_engine.reports.pack.pack import write_pack
from masivo_engine.sandbox.faults.spoiling import Spoil
from masivo_engine.verification.differences import MEANINGS, Bucket, points_off
from tests.databases.verification import METRICS, person, shop
from tests.include.reports.pages_read import number, page, rows
from tests.include.reports.small_packs import is_verified


def packed(on, folder):
    return write_pack(on.ledger, on.trip.account("first"), folder / "packs", Limits())


def summary(folder):
    return json.loads((folder / "readback.json").read_text())


def said(folder):
    """What the page says, as one text."""
    return " ".join(page(folder).text.split()).replace(" :", ":")


def cells(folder, entity):
    """The numbers of one entity in the table of what is proved."""
    found = {name: text for (whose, name), text in page(folder).cells["proof"].items() if whose == entity}
    return {name: number(text) for name, text in found.items()}


@pytest.fixture
def people():
    return [person(f"P{number}") for number in range(1, 6)]


def test_before_a_read_back_the_page_says_what_delivered_means(tmp_path, people):
    with shop(tmp_path, *people) as on:
        folder = packed(on, tmp_path)
        assert "Nothing was read back yet: delivered means that Masivo accepted the requests" in page(folder).text
        assert not {"findings.csv", "readback.json"} & {file.name for file in folder.iterdir()}


def test_a_clean_read_back_is_told_with_what_it_proves(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.verify()
        folder = packed(on, tmp_path)
        words = said(folder)
        assert "Read back from Masivo: 5 of 5 customers; nothing differs." in words
        assert "Nothing: whatever was read is as it was delivered." in words
        assert cells(folder, "transactions") == {
            "accepted": 15,
            "confirmed": 15,
            "not confirmed": 0,
            "cannot be shown": 0,
            "points accepted": 50,
            "points confirmed": 50,
        }
        assert rows(folder, "findings.csv") == []
        assert {"findings.csv", "readback.json"} <= set(is_verified(folder)["files"])
        assert summary(folder)["entities"]["customers"]["points_confirmed"] == "50"


def test_each_difference_is_counted_with_its_points_and_named_in_a_row(tmp_path, people):
    with shop(tmp_path, *people, person("P7", metrics=METRICS)) as on:
        on.spoil("transactions", "P1-b2", Spoil.LOSE)
        on.spoil("transactions", "P2-b2", Spoil.DOUBLE)
        on.spoil("transactions", "P3-b2", Spoil.FLIP)
        on.spoil("transactions", "P4-b2", Spoil.SHIFT)
        on.spoil("events", "P5-s1", Spoil.LOSE)
        made = on.verify()
        folder = packed(on, tmp_path)
        seen = page(folder)

        expected = {
            ("transactions", "missing"): (1, Decimal(-7)),
            ("transactions", "doubled"): (1, Decimal(7)),
            ("transactions", "sign"): (1, Decimal(-14)),
            ("transactions", "time_zone"): (1, Decimal(0)),
            ("events", "missing"): (1, Decimal(0)),
            ("customers", "metrics"): (1, Decimal(0)),
        }
        assert seen.findings == {key: count for key, (count, _) in expected.items()}
        told = {(one["entity"], one["bucket"]): one for one in summary(folder)["findings"]}
        assert {key: (one["rows"], off(one)) for key, one in told.items()} == expected
        for one in told.values():
            assert one["means"] in seen.text
            assert f"Whose move: {one['whose']}. {one['do']}" in seen.text
        assert "7 points too few" in seen.text
        assert summary(folder)["wrong"] == made.wrong == 5

        lines = rows(folder, "findings.csv")
        assert {(one["entity"], one["key"], one["bucket"]) for one in lines} == set(on.findings())
        (lost,) = (one for one in lines if one["key"] == "P1-b2")
        assert (lost["customer"], lost["delivered"], lost["found"], lost["points_off"]) == ("P1", "7", "", "-7")
        assert "Read back from Masivo: 6 of 6 customers; 5 differences were found." in seen.text
        assert ("div", {"class": "headline bad"}) in seen.tags
        assert "The read-back is red: more differs than was tolerated." in seen.text
        is_verified(folder)


def test_points_too_many_and_too_few_are_never_set_off(tmp_path, people):
    with shop(tmp_path, *people) as on:
        on.spoil("transactions", "P1-b2", Spoil.LOSE)
        on.spoil("transactions", "P2-b3", Spoil.LOSE)
        on.verify()
        folder = packed(on, tmp_path)
        (line,) = summary(folder)["findings"]
        assert (line["rows"], line["points_too_many"], line["points_too_few"]) == (2, "2", "7")
        assert "2 points too many, 7 points too few" in said(folder)


def off(one):
    return Decimal(one["points_too_many"]) - Decimal(one["points_too_few"])


def test_a_sample_says_what_it_proves_of_the_others_and_nothing_where_something_differs(tmp_path):
    with shop(tmp_path, *(person(f"P{n:02}", bookings=(5,), sales=()) for n in range(30))) as on:
        on.verify(size=10)
        folder = packed(on, tmp_path)
        (read,) = summary(folder)["read_backs"]
        drawn = read["drawn_at_random"]
        assert (read["customers"], read["chosen"]) == (30, 10)
        assert 0 < drawn < 10
        bound = summary(folder)["confidence"]["most_of_the_others_wrong"]
        assert bound == pytest.approx(1 - 0.05 ** (1 / drawn), abs=1e-6)
        assert f"10 of 30 customers who had something to confirm were chosen for it: {drawn} by chance" in said(folder)
        assert f"at most {bound * 100:.2g} % of the customers" in said(folder)
        assert cells(folder, "customers")["not confirmed"] == 20

        wrong = sorted(key for entity, key in on.states("delivered") if entity == "transactions")
        for key in wrong:
            on.spoil("transactions", key, Spoil.LOSE)
        on.verify(size=10)
        folder = packed(on, tmp_path)
        assert summary(folder)["confidence"] is None
        assert "this sample says nothing about the other customers" in page(folder).text
        assert len(summary(folder)["read_backs"]) == 1  # of the same Airflow run, which was cleared


def test_who_is_not_visible_yet_is_apart_and_in_no_row(tmp_path, people):
    with shop(tmp_path, *people, sandbox={"delay_s": 3600.0}) as on:
        _, parts = on.choose()
        on.rounds().work_off(parts[0])
        folder = packed(on, tmp_path)
        words = said(folder)
        assert "A read-back is under way" in words
        assert "Not visible yet: 5 customers." in words
        assert rows(folder, "findings.csv") == []
        assert summary(folder)["customers_not_visible_yet"] == 5
        assert page(folder).findings == {}


def test_what_the_api_cannot_show_is_a_count_of_its_own_and_never_missing(tmp_path, people):
    with shop(tmp_path, *people, migrate=False) as on:
        book(on, "2019-12-31 12:00:00", "P1-b1", "P2-b1")
        assert on.trip.migrate("first").adds_up
        made = on.verify()
        assert (made.wrong, made.not_shown, on.findings()) == (0, {"transactions": 2}, [])
        assert on.states("delivered") == {("transactions", "P1-b1"), ("transactions", "P2-b1")}
        assert any(line.startswith("transactions: 2 cannot be shown by the API") for line in made.lines())
        assert made.as_json()["not_shown"] == {"customers": 0, "events": 0, "transactions": 2}
        assert made.as_json()["delivered"] == {"customers": 0, "events": 0, "transactions": 0}

        told = on.trip.account("first")
        assert told.adds_up
        assert [(one.state, one.reason, one.rows) for one in told.troubles] == [("delivered", "not_shown", 2)]
        assert told.trouble == 0
        folder = packed(on, tmp_path)
        shown = cells(folder, "transactions")
        assert (shown["accepted"], shown["confirmed"], shown["cannot be shown"], shown["not confirmed"]) == (
            15,
            13,
            2,
            0,
        )
        assert {one["reason"] for one in rows(folder, "transactions.delivered.csv")} == {"not_shown"}
        assert "Older ones are not missing" in page(folder).text

        # Nobody is left to be read for their sake; who is named is read, also where the source has
        # another date by now.
        assert on.choose()[0].chosen == 0
        book(on, "2018-12-31 12:00:00", "P1-b1")
        assert on.verify(customers=["P1", "P2"]).wrong == 0
        assert on.findings() == []


def book(on, at, *keys):
    """Move bookings to another time in the source."""
    with on.trip.legacy.begin() as connection:
        for key in keys:
            connection.exec_driver_sql("UPDATE booking SET booked = ? WHERE id = ?", (at, key))


@pytest.mark.parametrize(
    ("entity", "expected", "found", "off"),
    [
        ("transactions", "7", "", "-7"),
        ("transactions", "-7", "", "7"),
        ("transactions", "7", "7 twice", "7"),
        ("transactions", "7", "-7", "-14"),
        ("customers", "10.5", "12", "1.5"),
        ("customers", "name", "another name", "0"),
        ("customers", "2024-01-02T03:04:05Z", "none", "0"),
        ("events", "1 purchase", "0 purchases", "0"),
    ],
)
def test_points_are_those_that_masivo_has_too_many(entity, expected, found, off):
    assert points_off(entity, expected, found) == Decimal(off)


def test_every_bucket_says_what_it_means_and_whose_move_it_is():
    assert set(MEANINGS) == set(Bucket)
