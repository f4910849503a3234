"""
The DAGs, and what they are made of: `migration` makes them; their forms, their groups of tasks,
when they try again.

A file in Airflow's folder of DAGs that makes all five. Airflow reads only files with the words
"airflow" and "dag" in them:

.. code:: python

    # Our migration, for Airflow
    from pathlib import Path

    from masivo.dags import migration

    migration(mapping=Path(__file__).parent / "loyalty")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from masivo_engine.mapping.loader import folder_of
from masivo_engine.model.errors import Misconfigured


if TYPE_CHECKING:
    from airflow.sdk import DAG


def migration(*names: str, mapping: Path | str = "") -> dict[str, DAG]:
    """
    Make the DAGs `masivo_plan`, `masivo_sync`, `masivo_sweep`, `masivo_replay` and `masivo_verify`,
    or those of *names*; return them by name.

    Airflow takes them from the file that calls this, without their being assigned to anything.
    *mapping* is a folder, or the name of a mapping that is ready; without it tasks use what
    ``MASIVO_MAPPING`` names where they run. The page of each DAG is its runbook.

    Raises `MappingError` where there is no such mapping, `Misconfigured` for an unknown name or a
    ``MASIVO_SCHEDULE`` that is no schedule.
    """
    # Only now, because they need the operators, which need modules of this package.
    from masivo.dags.plan_dag import plan_dag  # noqa: PLC0415
    from masivo.dags.replay_dag import replay_dag  # noqa: PLC0415
    from masivo.dags.sweep_dag import sweep_dag  # noqa: PLC0415
    from masivo.dags.sync_dag import sync_dag  # noqa: PLC0415
    from masivo.dags.task_groups import shared  # noqa: PLC0415
    from masivo.dags.verify_dag import verify_dag  # noqa: PLC0415

    made = {
        "masivo_plan": plan_dag,
        "masivo_sync": sync_dag,
        "masivo_sweep": sweep_dag,
        "masivo_replay": replay_dag,
        "masivo_verify": verify_dag,
    }
    if unknown := set(names) - set(made):
        raise Misconfigured(f"there are no DAGs {', '.join(sorted(unknown))}; there are {', '.join(made)}")
    arguments = shared(folder_of(str(mapping)) if mapping else None)
    return {name: made[name](arguments) for name in names or made}
