"""Batches ahead of their turn: none is lost, none overtakes another, and few wait."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from masivo_engine.batching.outbox import MOST_BYTES, TOGETHER_BYTES, Outbox

from masivo_engine.batching import outbox
from masivo_engine.delivery import turn_order
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity


HURRIED, UNHURRIED = Limits(interval_s=0), Limits(interval_s=5.0)
_A_MOMENT_S = outbox._PART_OF_INTERVAL * UNHURRIED.interval_s


def batch(number: int, size: int = 1) -> Batch:
    return Batch(Entity.EVENTS, number, (), b"x" * size)


class Trying:
    """An `Outbox` with a clock and another slice that a test sets."""

    def __init__(self, limits: Limits) -> None:
        self.now, self.is_behind = 0.0, False
        self.packed: list[list[int]] = []  #: the numbers of each commit
        self.sent: list[int] = []  #: the numbers that were given out
        self.ahead = Outbox(self._pack, lambda: self.is_behind, limits, clock=lambda: self.now)

    def _pack(self, batches: Sequence[Batch]) -> None:
        self.packed.append([one.number for one in batches])

    def add(self, *batches: Batch) -> None:
        self.ahead.add(batches)
        self.send(self.ahead.due())

    def send(self, batches) -> None:
        for one in batches:
            assert any(one.number in commit for commit in self.packed)
            self.sent.append(one.number)


def test_where_an_interval_keeps_requests_apart_a_batch_waits_for_others_no_longer_than_the_lane_notices():
    trying = Trying(UNHURRIED)
    trying.add(batch(1))
    assert trying.packed == []
    trying.now = _A_MOMENT_S
    trying.add(batch(2))
    assert trying.packed == [[1, 2]]
    assert trying.sent == [1, 2]
    trying.add(batch(3))
    trying.now += _A_MOMENT_S / 2
    trying.add()
    assert trying.sent == [1, 2]
    trying.send(trying.ahead.rest())
    assert trying.sent == [1, 2, 3]


def test_without_an_interval_batches_share_a_commit_as_long_as_there_is_room():
    trying = Trying(HURRIED)
    for number in range(1, 7):
        trying.now += outbox._LONGEST_GATHERING_S / 10
        trying.add(batch(number, TOGETHER_BYTES // 3))
    assert trying.packed == [[1, 2, 3, 4]]
    assert trying.sent == [1, 2, 3, 4]


def test_without_an_interval_a_slice_writes_before_it_counts_as_silent():
    assert outbox._LONGEST_GATHERING_S < turn_order._SILENT_S
    trying = Trying(HURRIED)
    trying.add(batch(1))
    trying.now = outbox._LONGEST_GATHERING_S
    trying.add()
    assert trying.sent == [1]


@pytest.mark.parametrize("limits", [HURRIED, UNHURRIED])
def test_what_is_ready_does_not_wait_for_a_page_that_is_slow(limits):
    trying = Trying(limits)
    trying.add(batch(1))
    assert trying.sent == []
    trying.send(trying.ahead.due(is_idle=True))
    assert trying.sent == [1]


def test_a_slice_that_waits_finds_its_turn_also_while_there_is_nothing_to_add():
    trying = Trying(UNHURRIED)
    trying.is_behind = True
    trying.add(batch(1))
    trying.send(trying.ahead.due(is_idle=True))
    assert (trying.packed, trying.sent) == ([[1]], [])
    trying.is_behind = False
    trying.add()
    assert trying.sent == []  # looked a moment ago
    trying.now += outbox._BETWEEN_LOOKS_S
    trying.add()
    assert trying.sent == [1]


def test_a_slice_behind_another_writes_down_until_its_room_is_full_and_sends_when_it_is_its_turn():
    trying = Trying(HURRIED)
    trying.is_behind = True
    trying.add(*(batch(number, TOGETHER_BYTES // 2) for number in (1, 2)))
    trying.add(batch(3, TOGETHER_BYTES))
    assert trying.packed == [[1, 2], [3]]
    assert trying.sent == []
    trying.is_behind = False
    trying.now = outbox._BETWEEN_LOOKS_S
    trying.add(batch(4, TOGETHER_BYTES))
    assert trying.sent == [1, 2, 3, 4]
    trying.is_behind = True
    trying.add(batch(5, MOST_BYTES))
    assert trying.sent == [1, 2, 3, 4, 5]


@given(
    st.sampled_from([HURRIED, UNHURRIED]),
    st.lists(
        st.tuples(st.integers(0, TOGETHER_BYTES), st.booleans(), st.booleans(), st.floats(0, 0.1), st.integers(0, 3))
    ),
)
def test_every_batch_is_written_once_and_sent_in_order(limits, steps):
    trying = Trying(limits)
    number = most = 0
    for size, is_behind, is_idle, passed, count in steps:
        trying.now += passed
        trying.is_behind = is_behind
        batches = [batch(number + one, size) for one in range(1, count + 1)]
        number += count
        trying.add(*batches)
        trying.send(trying.ahead.due(is_idle=is_idle))
        most = max(most, trying.ahead._gathered_bytes + trying.ahead._packed_bytes)
    trying.send(trying.ahead.rest())
    assert trying.sent == list(range(1, number + 1))
    assert [one for commit in trying.packed for one in commit] == trying.sent
    # The batches of one step come in one piece.
    assert most < MOST_BYTES + TOGETHER_BYTES + 3 * TOGETHER_BYTES
