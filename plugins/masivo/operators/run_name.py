"""Which run of the ledger a task works for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from masivo_engine.ledger.runs.names import name_of


if TYPE_CHECKING:
    from airflow.sdk import Context


def run_name(context: Context) -> str:
    """Return what the ledger calls the run of the task that has *context*."""
    return name_of(context["ti"].dag_id, context["run_id"])
