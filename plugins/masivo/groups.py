"""
What the DAGs share: an entity's slices, planned, sent one behind the other, and for customers waited for; defaults; the schedule.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import CronDataIntervalTimetable, TaskGroup

from include.journey import Entity
from masivo.moves import WhenItMakesSense
from masivo.operators import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.sensors import MasivoVisibleSensor


if TYPE_CHECKING:
    from airflow.sdk.definitions._internal.node import DAGNode
    from airflow.sdk.definitions.mappedoperator import MappedOperator

HOURLY = "0 * * * *"


def schedule() -> CronDataIntervalTimetable:
    """Return when increments go: the cron expression in ``MASIVO_SCHEDULE``, in UTC, or once an hour."""
    return CronDataIntervalTimetable(os.environ.get("MASIVO_SCHEDULE") or HOURLY, timezone="UTC")


def defaults() -> dict[str, Any]:
    """Return the arguments that every task of the project has."""
    return {"retries": 2, "retry_delay": timedelta(seconds=10), "retry_policy": WhenItMakesSense()}


def migrate() -> tuple[TaskGroup, list[DAGNode]]:
    """
    Send customers, events, transactions, in this order, a task per slice; return what goes first, and all that must be over in the end.

    Children are sent when their customers can be read back; their slices are read before that, while the lane is used or its queue waited for.
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
        # Where a send is not even tried, slices may still be read: nobody may make the account before that.
        over.append(slices)
    return customers, [*over, before]


def _sent(entity: Entity) -> tuple[TaskGroup, MappedOperator]:
    """Return a group that reads *entity*'s slices from the ledger, and its task that sends each."""
    with TaskGroup(entity.value) as group:
        # An entity without rows has no slices and skips its send; what follows must run all the same.
        slices = MasivoSlicesOperator(task_id="slices", entity=entity.value, trigger_rule="none_failed")
        send = MasivoMigrateOperator.partial(
            task_id="send",
            entity=entity.value,
            retries=20,
            trigger_rule="none_failed",  # the entity before it may have nothing to send
            max_active_tis_per_dag=2,  # the next slice is ready when one has nothing more to send; runs take turns
            map_index_template="slice {{ task.part.number }} of {{ task.part.of }}, {{ '{:,}'.format(task.part.rows) }} rows",
        ).expand(part=slices.output)
    return group, send
