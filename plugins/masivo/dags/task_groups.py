"""
What the DAGs share: an entity's slices, planned, sent one behind the other, and for customers
waited for; the arguments of all; the schedule.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronDataIntervalTimetable, TaskGroup
from airflow.sdk.exceptions import AirflowTimetableInvalid

from masivo.dags.retries import MigrationRetryPolicy
from masivo.operators.migrate import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.operators.visible import MasivoVisibleSensor
from masivo.services import MAPPING_MACRO
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity


if TYPE_CHECKING:
    from airflow.sdk.definitions._internal.node import DAGNode
    from airflow.sdk.definitions.mappedoperator import MappedOperator


def schedule(cron: str = "") -> CronDataIntervalTimetable | None:
    """
    Return when a DAG runs by itself, in UTC: by *cron*, or else by the expression in
    ``MASIVO_SCHEDULE``; never where that is empty or ``none``.

    So one switch is for all DAGs that send, and it is off until a person has seen a plan and a
    load. Raises `Misconfigured`.
    """
    chosen = os.environ.get("MASIVO_SCHEDULE", "").strip()
    if chosen.casefold() in {"", "none"}:
        return None
    timetable = CronDataIntervalTimetable(chosen, timezone="UTC")
    try:
        timetable.validate()
    except AirflowTimetableInvalid as error:
        msg = (
            f"MASIVO_SCHEDULE ({chosen[:40]!r}) is no cron expression; write e.g. '0 * * * *' for every hour "
            f"(UTC), or 'none': {error}"
        )
        raise Misconfigured(msg) from None
    return CronDataIntervalTimetable(cron, timezone="UTC") if cron else timetable


def shared(mapping: Path | None = None) -> dict[str, Any]:
    """
    Return the arguments that every DAG of the project has; their tasks use the mapping in the
    folder *mapping*, if one is given.
    """
    return {
        "start_date": datetime(2026, 1, 1, tzinfo=UTC),
        "catchup": False,
        "max_active_runs": 1,
        "tags": ["masivo", "loyalty"],
        "default_args": {"retries": 2, "retry_delay": timedelta(seconds=10), "retry_policy": MigrationRetryPolicy()},
        "user_defined_macros": {MAPPING_MACRO: str(mapping)} if mapping else None,
    }


def migrate() -> tuple[TaskGroup, list[DAGNode]]:
    """
    Send customers, events, transactions, in this order, a task per slice; return what goes first,
    and all that must be over in the end.

    Children are sent when their customers can be read back; their slices are read before that,
    while the lane is used or its queue waited for.
    """
    customers, parents = _sent(Entity.CUSTOMERS)
    with customers:
        visible = MasivoVisibleSensor(
            task_id="visible", mode="reschedule", poke_interval=30, timeout=3600, trigger_rule="none_failed"
        )
    before: DAGNode = visible
    parents >> visible
    over: list[DAGNode] = []
    for entity in (Entity.EVENTS, Entity.TRANSACTIONS):
        children, send = _sent(entity)
        slices = children.get_child_by_label("slices")
        parents >> slices
        before >> send
        before = send
        # Where a send is not even tried, slices may still be read: nobody may make the account
        # before that.
        over.append(slices)
    return customers, [*over, before]


def _sent(entity: Entity) -> tuple[TaskGroup, MappedOperator]:
    """Return a group that reads *entity*'s slices from the ledger, and its task that sends each."""
    with TaskGroup(entity.value) as group:
        # An entity without rows has no slices and skips its send; what follows must run all the
        # same.
        slices = MasivoSlicesOperator(task_id="slices", entity=entity.value, trigger_rule="none_failed")
        send = MasivoMigrateOperator.partial(
            task_id="send",
            entity=entity.value,
            retries=20,
            trigger_rule="none_failed",  # the entity before it may have nothing to send
            max_active_tis_per_dag=2,  # the next slice is ready when one has nothing more to send; runs take turns
            map_index_template=(
                "slice {{ task.part.number }} of {{ task.part.of }}, {{ '{:,}'.format(task.part.rows) }} rows"
            ),
        ).expand(part=slices.output)
    return group, send
