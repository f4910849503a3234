"""The next page is read in a thread, and the garbage collector is spared."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar


_Page = TypeVar("_Page")
_PATIENCE_S = 0.1  # the lane does not notice, and a look at what waits costs less than a hundredth of it
_OBJECTS = (
    60_000  # a large page leaves about as many; with three times as many a plan of a million rows took 80 MB more
)


def read_ahead(pages: Iterator[_Page], *, patience_s: float = _PATIENCE_S) -> Iterator[_Page | None]:
    """Yield *pages* while the next one is being read already, in a thread; None whenever it is waited for longer than *patience_s*."""
    try:
        with ThreadPoolExecutor(1, "masivo-read-ahead") as thread:
            following = thread.submit(next, pages, None)
            while True:
                if not wait((following,), patience_s).done:
                    yield None
                    continue
                page = following.result()
                if page is None:
                    break
                following = thread.submit(next, pages, None)
                yield page
    finally:
        # When the thread has ended, and not in it: of what the garbage collector finds it ends the thread first.
        if isinstance(pages, Generator):
            pages.close()


@contextmanager
def gc_paused() -> Iterator[None]:
    """
    Spare the garbage collector what was there before, and call it less often: nothing that a page is made of refers to itself.

    Looking through all that Airflow has imported was a sixth of the time, and being called several times for each page a tenth of the rest.
    """
    before = gc.get_threshold()
    is_often = 0 < before[0] < _OBJECTS  # 0 is never
    gc.freeze()
    if is_often:
        gc.set_threshold(_OBJECTS, *before[1:])
    try:
        yield
    finally:
        if is_often:
            gc.set_threshold(*before)
        gc.unfreeze()
