"""
Whose move it is, in Airflow's words: which errors end a task and which let it try again, and when.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException

from include.errors import MigrationError, TryAgainLater


if TYPE_CHECKING:
    from airflow.sdk import Context

_FIRST_WAIT_S, _LONGEST_WAIT_S = 15.0, 600.0
_TRIES_OF_THE_UNEXPECTED = 2


@contextmanager
def translated() -> Iterator[None]:
    """Let `TryAgainLater` pass, for Airflow to try again; make every other error of ours final."""
    try:
        yield
    except TryAgainLater:
        raise
    except MigrationError as error:
        raise AirflowFailException(str(error)) from error


class WhenItMakesSense(RetryPolicy):
    """Try again when the API asked for it, else after a growing wait; what is not `TryAgainLater` once only."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failed try."""
        del max_tries, context
        growing = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (try_number - 1))
        if isinstance(exception, TryAgainLater):
            return RetryDecision.retry(timedelta(seconds=max(growing, exception.wait_s)), str(exception))
        if try_number >= _TRIES_OF_THE_UNEXPECTED:
            return RetryDecision.fail("what nobody foresaw does not heal by trying")
        return RetryDecision.default()
