"""
Airflow Variables as the place where ledgers' high-water marks are kept: they outlive a ledger that
is restored from a copy.
"""

from __future__ import annotations

import sys

from airflow.sdk import Variable

from masivo_engine.ledger.high_water import Memory
from masivo_engine.model.errors import TryAgainLater


_RUNNER = "airflow.sdk.execution_time.task_runner"
_SAYS = "How far a ledger of Masivo's migration has come. Without it an older copy of the ledger is not noticed."


class Variables:
    """Keeps marks in Airflow Variables, one for each ledger."""

    def read(self, name: str) -> str | None:
        """
        Return the Variable *name*, None where there is none. Raises `TryAgainLater` where that
        cannot be said.
        """
        try:
            text = str(Variable.get(name, default=""))
            # A Variable that could not be read looks as if there were none; the list of names does
            # not.
            is_there = bool(text) or name in list(Variable.keys(prefix=name))
        except Exception as error:
            raise _cannot("read", name) from error
        if is_there and not text:
            raise _cannot("read", name)
        return text or None

    def write(self, name: str, text: str) -> None:
        """Set the Variable *name*. Raises `TryAgainLater`."""
        try:
            Variable.set(name, text, description=_SAYS)
        except Exception as error:
            raise _cannot("set", name) from error


def memory() -> Memory | None:
    """
    Return where a task keeps marks; None outside of a task of Airflow's, where there are no
    Variables and nothing is sent.
    """
    runner = sys.modules.get(_RUNNER)
    return Variables() if getattr(runner, "SUPERVISOR_COMMS", None) is not None else None


def _cannot(do: str, name: str) -> TryAgainLater:
    return TryAgainLater(
        f"Airflow Variable {name}, the ledger's high-water mark, cannot be {do} now; nothing was sent since"
    )
