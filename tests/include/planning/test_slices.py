"""
Slicing: every row in one slice, slices of bounded size, and hardly a request that is not full.
"""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice
from masivo_engine.planning.slices import MOST_SLICES, slices


PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
SMALL = Limits(records=10, customers=10, slice_requests=10)


def rows_in(one: Slice, counts: list[int]) -> list[int]:
    """The counts of the customers in *one*, for customers that are called 0, 1, 2 and so on."""
    return counts[one.lower or 0 : one.upper]


def requests(planned: list[Slice], records: int) -> int:
    return sum(-(-one.rows // records) for one in planned)


@PATIENT
@given(st.sampled_from(Entity), st.lists(st.integers(0, 40), max_size=100), st.integers(1, 30), st.integers(1, 12))
def test_every_row_is_in_one_slice_and_a_customer_is_never_cut(
    entity: Entity, counts: list[int], records: int, slice_requests: int
) -> None:
    limits = Limits(records=records, customers=records, slice_requests=slice_requests)

    planned = slices(entity, enumerate(counts), limits)

    assert bool(planned) == bool(sum(counts))
    assert [one.rows for one in planned] == [sum(rows_in(one, counts)) for one in planned]
    assert all(one.rows <= records * slice_requests or sum(n > 0 for n in rows_in(one, counts)) == 1 for one in planned)
    assert all(one.rows for one in planned)


@PATIENT
@given(st.lists(st.integers(1, 40), min_size=1, max_size=100))
def test_slices_meet_without_a_gap_and_are_open_at_both_ends(counts: list[int]) -> None:
    planned = slices(Entity.EVENTS, enumerate(counts), SMALL)

    assert planned[0].lower is None
    assert planned[-1].upper is None
    assert all(earlier.upper == later.lower for earlier, later in pairwise(planned))
    assert [one.number for one in planned] == list(range(1, len(planned) + 1))
    assert {one.of for one in planned} == {len(planned)}


def test_customers_are_cut_after_full_requests() -> None:
    planned = slices(Entity.CUSTOMERS, ((f"C{n:04}", 1) for n in range(250)), SMALL)

    assert [(one.lower, one.upper, one.rows) for one in planned] == [
        (None, "C0100", 100),
        ("C0100", "C0200", 100),
        ("C0200", None, 50),
    ]


def test_a_slice_ends_earlier_where_its_last_request_is_fuller() -> None:
    # Before the 9 there are 96 rows, which leave 4 places empty; before the last 6 there are 90,
    # which leave none.
    counts = [*[10] * 9, 6, 9, 5]

    first, second = slices(Entity.EVENTS, enumerate(counts), SMALL)

    assert (first.rows, second.rows) == (90, 20)


@pytest.mark.parametrize("slice_requests", [20, 50])
@pytest.mark.parametrize("mean", [5, 70])
def test_slices_cost_at_most_one_request_in_a_hundred(slice_requests: int, mean: int) -> None:
    chance = random.Random(3)
    counts = [min(1000, int(chance.expovariate(1 / mean)) + 1) for _ in range(160_000 // mean)]

    planned = slices(Entity.EVENTS, enumerate(counts), Limits(slice_requests=slice_requests))

    least = -(-sum(counts) // 1000)
    assert len(planned) >= least // slice_requests
    assert requests(planned, 1000) <= -(-least * 101 // 100)


def test_transactions_leave_room_because_whole_customers_seldom_fill_a_request() -> None:
    planned = slices(Entity.TRANSACTIONS, ((n, 1) for n in range(150_000)), Limits(slice_requests=50))

    assert [one.rows for one in planned] == [49_950, 49_950, 49_950, 150]


def test_a_customer_larger_than_a_slice_has_one_of_its_own() -> None:
    planned = slices(Entity.EVENTS, enumerate([5, 5, 1234, 5, 5]), SMALL)

    assert [one.rows for one in planned] == [10, 1234, 10]


@pytest.mark.parametrize("customers", [500, 501, 1003, 4321])
def test_there_are_never_more_slices_than_can_be_mapped(customers: int) -> None:
    planned = slices(Entity.CUSTOMERS, ((n, 1) for n in range(customers)), Limits(records=1, slice_requests=1))

    assert MOST_SLICES / 2 < len(planned) <= MOST_SLICES
    assert sum(one.rows for one in planned) == customers
    assert max(one.rows for one in planned) <= 2 * -(-customers // MOST_SLICES)


@pytest.mark.parametrize("first", [True, False])
def test_rows_without_a_customer_belong_to_the_first_slice_wherever_the_database_sorts_them(first: bool) -> None:  # noqa: FBT001
    counts: list[tuple[str | None, int]] = [(f"C{n:03}", 1) for n in range(150)]
    counts.insert(0 if first else len(counts), (None, 7))

    planned = slices(Entity.EVENTS, counts, SMALL)

    assert [(one.lower, one.upper, one.rows) for one in planned] == [(None, "C100", 107), ("C100", None, 50)]


def test_only_rows_without_a_customer_are_still_a_slice() -> None:
    (only,) = slices(Entity.EVENTS, [(None, 3)], SMALL)

    assert (only.lower, only.upper, only.rows) == (None, None, 3)


def test_no_rows_are_no_slices() -> None:
    assert slices(Entity.EVENTS, [], SMALL) == []
    assert slices(Entity.EVENTS, [("C1", 0), (None, 0)], SMALL) == []
