"""
What the DAGs share: an entity's slices, planned, sent one behind the other, and for customers waited for; defaults; the schedule.
"""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import CronDataIntervalTimetable, TaskGroup

from include.journey import Entity
from masivo.moves import WhenItMakesSense
from masivo.operators import MasivoMigrateOperator, MasivoSlicesOperator
from masivo.sensors import MasivoVisibleSensor


HOURLY = "0 * * * *"


def schedule() -> CronDataIntervalTimetable:
    """Return when increments go: the cron expression in ``MASIVO_SCHEDULE``, in UTC, or once an hour."""
    return CronDataIntervalTimetable(os.environ.get("MASIVO_SCHEDULE") or HOURLY, timezone="UTC")


def defaults() -> dict[str, Any]:
    """Return the arguments that every task of the project has."""
    return {"retries": 2, "retry_delay": timedelta(seconds=10), "retry_policy": WhenItMakesSense()}


def migrate(entity: Entity) -> TaskGroup:
    """Send *entity*, a task per slice; for customers, wait until they can be read back, because their children come next."""
    with TaskGroup(entity.value) as group:
        # An entity without rows has no slices and skips its send; what follows must run all the same.
        slices = MasivoSlicesOperator(task_id="slices", entity=entity.value, trigger_rule="none_failed")
        send = MasivoMigrateOperator.partial(
            task_id="send",
            entity=entity.value,
            retries=20,
            max_active_tis_per_dag=2,  # the next slice is ready when one has nothing more to send; runs take turns
            map_index_template="slice {{ task.part.number }} of {{ task.part.of }}, {{ '{:,}'.format(task.part.rows) }} rows",
        ).expand(part=slices.output)
        if entity is Entity.CUSTOMERS:
            visible = MasivoVisibleSensor(
                task_id="visible", mode="reschedule", poke_interval=30, timeout=3600, trigger_rule="none_failed"
            )
            send >> visible
    return group
