"""
### Legacy loyalty to Masivo: customers, then events, then transactions

Reads the rows of the legacy database that the run covers, turns them into records by the mapping, and sends them in full batches through
the account's one lane. Every row that is read ends in exactly one state of the ledger, and the states add up to the rows
read; otherwise the run is red.

**When it runs** · once an hour, by hand (*Trigger*), or as a backfill. What was delivered with the same content is never sent again, so
running it twice is safe.

**Parameters** · *since*, *until*: only rows that changed in between · *full*: everything · *customer_ids*: only these ·
*entities*: only these · *dry_run*: the plan, nothing sent · *tolerance*: how many rows may be newly quarantined, held by an error or in doubt
before the run is red. Example: `{"since": "2026-11-01T00:00:00Z", "entities": ["customers"], "tolerance": 10}`

**Connections** · `legacy_db`, `masivo_api`, `masivo_ledger`; the mapping is named by `MASIVO_MAPPING`.

**It failed, now what**

* *plan* failed: its last line says what is set up wrongly. Nothing was sent. Correct it and clear the task.
* *send* is waiting for a retry: the API or a database was away. Nothing to do: the next try reads its slice again, and skips what was sent.
* *account* failed: read it (`python -m masivo account`). Quarantined rows name column and reason: correct them in the legacy database or in the
  mapping; the next run takes them. Rows in doubt were sent without a usable answer: the next run that
  reads them asks the API, and sends them again only if it is proved that they never arrived.
* Never delete the ledger: it is what keeps points from being sent twice.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, TaskGroup
from masivo.moves import WhenItMakesSense
from masivo.operators import (
    MasivoAccountOperator,
    MasivoMigrateOperator,
    MasivoPlanOperator,
    MasivoSlicesOperator,
)
from masivo.parameters import form
from masivo.sensors import MasivoVisibleSensor


def migrate(entity: str) -> TaskGroup:
    """Send *entity*, a task per slice; for customers, wait until they can be read back, because their children come next."""
    with TaskGroup(entity) as group:
        # An entity without rows has no slices and skips its send; what follows must run all the same.
        slices = MasivoSlicesOperator(task_id="slices", entity=entity, trigger_rule="none_failed")
        send = MasivoMigrateOperator.partial(
            task_id="send",
            entity=entity,
            retries=20,
            max_active_tis_per_dag=2,  # the next slice is ready when one has nothing more to send; runs take turns
            map_index_template="slice {{ task.part.number }} of {{ task.part.of }}, {{ task.part.rows }} rows",
        ).expand(part=slices.output)
        if entity == "customers":
            visible = MasivoVisibleSensor(
                task_id="visible", mode="reschedule", poke_interval=30, timeout=3600, trigger_rule="none_failed"
            )
            send >> visible
    return group


with DAG(
    "masivo_sync",
    doc_md=__doc__,
    description="Moves a legacy loyalty database into Masivo, with an account of every row",
    schedule=CronDataIntervalTimetable("0 * * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=form(),
    tags=["masivo", "loyalty"],
    default_args={"retries": 2, "retry_delay": timedelta(seconds=10), "retry_policy": WhenItMakesSense()},
):
    plan = MasivoPlanOperator(task_id="plan")
    account = MasivoAccountOperator(task_id="account", trigger_rule="all_done", retries=0)
    plan >> migrate("customers") >> migrate("events") >> migrate("transactions") >> account
