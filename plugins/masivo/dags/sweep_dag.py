"""
### The sweep: what no window can find

Reads every row and compares its content with the ledger's. It finds rows whose change time is
empty, lies in the future or did not move when the row changed, and rows that were committed later
than the overlap reaches. What it finds is treated as `masivo_sync` would have; what has not changed
is `unchanged` and costs no request. And it finds what is *gone*: rows that Masivo has and the
legacy database has no more, a line of the account in rows and points. Nothing is deleted in Masivo.

**When it runs** · By hand; and once a week (Sundays at 03:00 UTC) where `MASIVO_SCHEDULE` is set,
the switch for everything that sends by itself. Increments go before it on the account's lane. A
sweep that starts by itself stops as long as no person has started a load (guard `first_load`).

**Parameters** · *entities*: only these · *dry_run*: the plan, nothing sent · *tolerance*: how many
rows may be newly quarantined, held by an error, in doubt or gone before the run is red ·
*mapping_change*, *confirm*, *override*, *approve_rows*, *approve_quarantined*, *approve_points*,
*approve_adopted*: as in `masivo_sync`. Where more than a share of the delivered rows is gone, the
plan stops before anything is sent (guard `rows_gone`).

**Afterwards** the ledger forgets what nobody decides by any more (task *prune*): former states of
rows that were never sent, of runs that ended more than *keep_days* ago. `python -m masivo prune
--keep-days 90` does the same by hand.

**It failed, now what** · As for `masivo_sync`. Never delete the ledger: it is what keeps points
from being sent twice.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from masivo.dags.sync_form import form, keeping_form
from masivo.dags.task_groups import migrate, schedule
from masivo.operators.account import MasivoAccountOperator, MasivoPruneOperator
from masivo.operators.approval import MasivoApprovalOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.verify import MasivoDeliveredOperator


def sweep_dag(shared: dict[str, Any]) -> DAG:
    """Make the DAG of this page. *shared* is what all five are made with."""
    with DAG(
        "masivo_sweep",
        doc_md=__doc__,
        description="Finds changed rows that no window can find",
        schedule=schedule("0 3 * * 0"),
        params=form(
            "entities",
            "dry_run",
            "tolerance",
            "mapping_change",
            "confirm",
            "override",
            "approve_rows",
            "approve_quarantined",
            "approve_points",
            "approve_adopted",
        )
        | keeping_form(),
        **shared,
    ) as dag:
        plan = MasivoPlanOperator(task_id="plan", kind="sweep")
        account = MasivoAccountOperator(task_id="account", trigger_rule="all_done", retries=0)
        approval = MasivoApprovalOperator(task_id="approval", retries=0)
        prune = MasivoPruneOperator(task_id="prune", trigger_rule="all_done")
        # Before the account, so that the account stays the one that says how the run ended; also
        # where something failed, because some of it went.
        delivered = MasivoDeliveredOperator(task_id="delivered")
        first, last = migrate()
        plan >> approval >> first
        last >> delivered >> prune >> account
    return dag
