"""
What the ledger calls a run. Airflow's run ids are unique within one DAG only: on a Sunday at three,
sync and sweep have the same.

A run of `masivo_sync` is called as Airflow calls it, one of another DAG by its DAG and that:
``masivo_sweep/scheduled__2026-11-22T03:00:00+00:00``.
"""

from __future__ import annotations

import hashlib

from masivo_engine.model.ledger_capacity import NAME_OF_RUN


SYNC = "masivo_sync"


def name_of(dag_id: str, run_id: str) -> str:
    """
    Return what the ledger calls the run that Airflow calls *run_id* of *dag_id*.

    What is too long for a name ends in a part of its hash, and does not lead back.
    """
    name = run_id if dag_id == SYNC else f"{dag_id}/{run_id}"
    if len(name) <= NAME_OF_RUN:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=8).hexdigest()
    return f"{name[: NAME_OF_RUN - len(digest) - 1]}~{digest}"


def in_airflow(name: str) -> tuple[str, str]:
    """Return the DAG of the run that the ledger calls *name*, and what Airflow calls it there."""
    dag_id, slash, run_id = name.partition("/")
    return (dag_id, run_id) if slash else (SYNC, name)
