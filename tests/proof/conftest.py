"""What the tests of the proof kit share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.proof import processes


@pytest.fixture(scope="session")
def workers() -> Iterator[processes.Workers]:
    """Real processes, forked from one that has imported everything."""
    with processes.workers() as started:
        yield started
