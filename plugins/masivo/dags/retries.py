"""
Whose move it is, in Airflow's words: which errors end a task and which let it try again, and when.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from sqlalchemy.exc import DBAPIError

from masivo_engine.model.errors import DatabaseFailed, MigrationError, TryAgainLater
from masivo_engine.sql import is_passing, kind_of


if TYPE_CHECKING:
    from airflow.sdk import Context

_FIRST_WAIT_S, _LONGEST_WAIT_S = 15.0, 600.0
_TRIES_OF_THE_UNEXPECTED = 2
# A task that is due again before the scheduler has heard that its process ended is taken for dead
# (seen within 5 s on a busy machine).
_SHORTEST_RESCHEDULE_S = 60.0
# Whoever asks for a year is asked again tomorrow; and Airflow fails a task that is rescheduled past
# what MySQL's dates can say.
_LONGEST_RESCHEDULE_S = 86_400.0

_log = logging.getLogger(__name__)


@contextmanager
def airflow_errors() -> Iterator[None]:
    """
    Let `TryAgainLater` pass, for Airflow to try again; make every other error of ours final, and a
    database's fit for a log.

    Where it says how long, nothing has failed, so the task is rescheduled instead: it leaves its
    slot, comes back then, and has used up no try, however often the account's hour is full.
    """
    try:
        yield
    except TryAgainLater as later:
        if not later.wait_s:
            raise
        _log.info("%s; the task comes back then, and this costs it no try", later)
        wait = timedelta(seconds=min(_LONGEST_RESCHEDULE_S, max(_SHORTEST_RESCHEDULE_S, later.wait_s)))
        raise AirflowRescheduleException(datetime.now(UTC) + wait) from later  # type: ignore[no-untyped-call]
    except MigrationError as error:
        raise AirflowFailException(str(error)) from error
    except DBAPIError as error:
        # Its own words may quote the row that they are about, and a log would show them with the
        # whole chain.
        code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", "")
        named = f"{kind_of(error)} {code}".strip()
        problem = f"a database failed: {named}, in {_where(error)}; what was written before stands"
        dialect = "postgresql" if type(error.orig).__module__.startswith("psycopg") else ""
        failed = TryAgainLater if is_passing(error, dialect) else DatabaseFailed
        raise failed(problem) from None


def _where(error: BaseException) -> str:
    """Return the last of the project's functions that *error* came through."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "masivo_engine" in Path(frame.filename).parts] or frames
    return f"{Path(ours[-1].filename).name}, {ours[-1].name}" if ours else "no function"


class MigrationRetryPolicy(RetryPolicy):
    """
    Try again after a growing wait, and not before it makes sense; what is not `TryAgainLater` once
    only.
    """

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
