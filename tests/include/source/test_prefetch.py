"""
Reading ahead changes when a page is read, and nothing else.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masivo_engine.source.prefetch import read_ahead


class Source:
    """Pages, and what happened to whoever reads them."""

    def __init__(self, pages: list[list[int]], *, fails: bool = False) -> None:
        self.given: list[list[int]] = []
        self.is_closed = False
        self._pages = pages
        self._fails = fails

    def pages(self) -> Iterator[list[int]]:
        try:
            for page in self._pages:
                self.given.append(page)
                yield page
            if self._fails:
                raise ConnectionError("gone")
        finally:
            self.is_closed = True


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("masivo-read-ahead")]


@given(pages=st.lists(st.lists(st.integers(), max_size=3), max_size=6), taken=st.integers(0, 7))
def test_pages_come_as_they_are_and_at_most_one_is_read_beyond(pages, taken):
    source = Source(pages)
    reading = read_ahead(source.pages(), patience_s=60)
    found = [page for page, _ in zip((page for page in reading if page is not None), range(taken), strict=False)]
    reading.close()

    assert found == pages[:taken]
    assert len(source.given) <= len(found) + 2  # zip asks for one more than it gives
    assert source.is_closed or not source.given
    assert not readers()


def test_what_reading_raises_comes_after_the_pages_before_it():
    source = Source([[1], [2]], fails=True)
    reading = read_ahead(source.pages(), patience_s=60)
    assert [next(reading), next(reading)] == [[1], [2]]
    with pytest.raises(ConnectionError):
        next(reading)
    assert source.is_closed
    assert not readers()


def test_whoever_waits_for_a_slow_page_is_told_so_and_loses_nothing():
    may_go_on = threading.Event()

    def pages() -> Iterator[list[int]]:
        yield [1]
        may_go_on.wait()
        yield [2]

    reading = read_ahead(pages(), patience_s=0.001)
    found = list(islice((page for page in reading if page), 1))
    assert next(reading) is next(reading) is None
    may_go_on.set()
    assert found + [page for page in reading if page] == [[1], [2]]
    assert not readers()


def test_a_reading_that_nobody_ends_is_ended_by_the_garbage_collector():
    """
    As a task that failed leaves it: in a circle with its own traceback.

    Waiting there would keep the process from ending.
    """
    source = Source([[1], [2], [3]])
    reading = read_ahead(source.pages(), patience_s=60)
    next(reading)
    circle: list[object] = [reading]
    circle.append(circle)
    gone = weakref.ref(reading)
    del circle, reading

    gc.collect()

    assert gone() is None
    assert source.is_closed
    assert not readers()
