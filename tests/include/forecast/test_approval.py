"""
The bounds of a run: what is inside goes unasked, and everything that is not is said.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from masivo_engine.forecast.approval import Bounds, as_markdown, exceeded


def plan(records=10, quarantined=1, points="7.5", never_sent=5, new=None):
    """A forecast of events of which one in a hundred is quarantined, and had not been so before."""
    states = {"unchanged": 0, "held": 0, "quarantined": quarantined}
    return {
        "covers": "full: everything",
        "requests": 1,
        "hours": 0.1,
        "entities": {
            "events": {"rows": 100, "records": records, "states": states, "never_sent": never_sent, "again": 0}
        },
        "reasons": [
            {
                "entity": "events",
                "state": "quarantined",
                "reason": "missing_value",
                "column": "x",
                "rows": quarantined,
                "points": points,
                "new": quarantined if new is None else new,
                "new_points": points if new is None else "0",
            },
            {"entity": "events", "state": "unchanged", "reason": "adopted", "column": "", "rows": 5, "points": "1000"}
            | {"new": 5, "new_points": "1000"},
        ],
    }


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (Bounds(), []),
        (Bounds(10, 1.0, Decimal("7.5")), []),
        (Bounds(rows=9), ["10 records would be sent; above 9 a person has to approve"]),
        (
            Bounds(quarantined=0.5),
            ["1.0 % of 100 rows would be newly quarantined; above 0.5 % a person has to approve"],
        ),
        (
            Bounds(points=Decimal(7)),
            ["7.5 points hang on rows that would newly not go; above 7 a person has to approve"],
        ),
        (Bounds(adopted=5), []),
        (Bounds(adopted=4), ["5 rows that were never sent would count as delivered; above 4 a person has to approve"]),
        (Bounds(rows=0, quarantined=0, points=Decimal(0)), ["10 records", "1.0 %", "7.5 points"]),
    ],
)
def test_only_what_exceeds_its_bound_asks(bounds, said):
    found = list(exceeded(plan(), bounds))
    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))


def test_points_that_are_owed_count_like_points_that_are_taken():
    assert list(exceeded(plan(points="-8"), Bounds(points=Decimal("7.5"))))


def test_what_had_ended_so_before_is_read_by_every_run_and_asks_nobody():
    assert not list(exceeded(plan(new=0), Bounds(quarantined=0, points=Decimal(0))))


def test_an_empty_plan_exceeds_nothing():
    nothing = plan(records=0, quarantined=0, points="0", never_sent=0) | {"reasons": []}
    nothing["entities"]["events"]["rows"] = 0
    assert not list(exceeded(nothing, Bounds(0, 0.0, Decimal(0), 0)))


def test_the_person_sees_the_counts_and_what_would_not_go():
    shown = as_markdown(plan())
    assert "| events | 100 | 10 | 0 | 0 | 5 | 1 | 0 |" in shown
    assert "- 1 events: quarantined, missing_value (x), 7.5 points" in shown
    assert "adopted" not in shown
