"""Whatever the API did, what a number and a sum of purchases are said to prove is so."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from masivo_engine.readback.purchase_counts import NOT_PASSED, Passed, Purchase, Purchases, Request
from masivo_engine.readback.shown import Counted


AMOUNTS = st.sampled_from([Decimal(1), Decimal(2), Decimal("2.5"), Decimal(4)])


def bought(batch, *amounts, is_accepted=True):
    purchases = tuple(Purchase((batch, f"{batch}-{n}"), paid, paid + 1) for n, paid in enumerate(amounts))
    return Request(batch, purchases, is_accepted)


@st.composite
def truths(draw):
    """
    A customer, what it bought, and what became of that: which purchases arrived, which of these the
    queue has worked off, and what the API shows for that.
    """
    requests, arrived, counted = [], set(), []
    passed = draw(st.integers(0, 4))
    for batch in range(1, draw(st.integers(1, 3)) + 1):
        one = bought(batch, *draw(st.lists(AMOUNTS, min_size=1, max_size=3)), is_accepted=draw(st.booleans()))
        taken = [purchase for purchase in one.purchases if one.is_accepted or draw(st.booleans())]
        arrived |= {purchase.sent for purchase in taken}
        if batch <= passed or draw(st.booleans()):
            counted += taken
        requests.append(one)
    migrated = Counted(draw(st.integers(0, 6)), draw(st.none() | st.integers(0, 12).map(Decimal)))
    is_sent_again = draw(st.booleans())
    by_worth = draw(st.booleans())
    spent = sum(((one.worth if by_worth else one.paid) for one in counted), Decimal(0))
    shows_migrated = not counted or (is_sent_again and draw(st.booleans()))
    shown = migrated if shows_migrated else Counted(len(counted), draw(st.sampled_from([spent, None])))
    knows = Passed(draw(st.integers(0, passed)), draw(st.integers(0, passed)))
    return Purchases(tuple(requests), migrated, is_sent_again), shown, knows, arrived


@settings(max_examples=600, deadline=None)
@given(truths())
def test_nothing_is_proved_that_is_not_so(truth):
    purchases, shown, passed, arrived = truth
    for sent, is_counted in purchases.told(shown, passed).items():
        assert is_counted == (sent in arrived)


@settings(max_examples=300, deadline=None)
@given(truths())
def test_without_a_control_nothing_is_absent(truth):
    purchases, shown, _, _ = truth
    assert set(purchases.told(shown, NOT_PASSED).values()) <= {True}


@settings(max_examples=300, deadline=None)
@given(truths(), st.integers(1, 3))
def test_whose_number_and_sum_cannot_tell_never_tells(truth, batch):
    purchases, shown, _, _ = truth
    if batch > len(purchases.requests) or purchases.can_tell(batch) or len(purchases.requests) > 1:
        return
    assert not [sent for sent in purchases.told(shown, Passed(batch, batch)) if sent[0] == batch]


@pytest.mark.parametrize("count", [9, 60])
def test_a_request_of_many_is_told_as_a_whole(count):
    many = Purchases((bought(1, *[Decimal(1)] * count, is_accepted=False),), Counted(3, Decimal(3)))
    assert set(many.told(Counted(count, Decimal(count))).values()) == {True}
    assert many.told(Counted(4, Decimal(4)), Passed(1, 1)) == {}
    assert many.told(Counted(3, Decimal(3)), Passed(1, 1)) == {}  # three of them, or what was there before
    other = Purchases(many.requests, Counted(count + 1, Decimal(3)))
    assert set(other.told(Counted(count + 1, Decimal(3)), Passed(1, 1)).values()) == {False}


def test_of_a_refused_request_the_sum_names_those_that_were_taken():
    taken, *left = bought(1, Decimal(1), Decimal(2), Decimal(4), is_accepted=False).purchases
    some = Purchases((Request(1, (taken, *left), is_accepted=False),), Counted(0, None))
    told = some.told(Counted(1, Decimal(1)), Passed(1, 1))
    assert told == {taken.sent: True} | dict.fromkeys((one.sent for one in left), False)
    assert some.told(Counted(1, None), Passed(1, 1)) == {}


def test_what_was_sent_in_very_many_requests_is_not_told_and_takes_no_time():
    requests = tuple(bought(batch, *[Decimal(1)] * 8, is_accepted=False) for batch in range(1, 30))
    assert Purchases(requests, Counted(0, None)).told(Counted(8, Decimal(8)), Passed(30, 30)) == {}
