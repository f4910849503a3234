"""
### Legacy loyalty to Masivo: customers, then events, then transactions

Reads the rows of the legacy database that the run covers, turns them into records by the mapping,
and sends them in full batches through the account's one lane. Every row that is read ends in
exactly one state of the ledger, and the states add up to the rows read; otherwise the run is red.
Rows that are open (quarantined, held, in doubt) are read again by every run that is not for a
window, named customers or a backfill, whatever they wait for.

**The first time** · Trigger `masivo_plan`, which cannot send, and look at its plan. Then trigger
this DAG by hand. A run that starts by itself stops as long as no person has started a load (guard
`first_load`), so switching the DAG on sends nothing.

**When it runs** · When somebody triggers it; and by the cron expression in the environment variable
`MASIVO_SCHEDULE` (UTC, `0 * * * *` for every hour), once that is set: empty or `none`, as it is at
first, is no schedule. It goes on where the last runs ended: a scheduler that slept or a run that
failed leaves no gap. *Trigger* without parameters does the same. A backfill, for which a schedule
must be set, works off exactly the intervals it is created for; *since* and *until* do so without
one. What was delivered with the same content is never sent again, so running it twice is safe. What
no window can find (rows without a change time, or whose time never moved) is found by
`masivo_sweep`.

**Parameters** · *since*, *until*: only rows that changed in between · *full*: everything ·
*customer_ids*: only these · *entities*: only these · *dry_run*: the plan, nothing sent ·
*tolerance*: how many rows may be newly quarantined, held by an error, in doubt or gone before the
run is red. *Gone* are rows that Masivo has and the legacy database has no more; a run that reads
everything looks for them, others for the open rows that they ask for · *mapping_change*: what to do
about delivered rows that did not change and read otherwise, because the mapping did. `send_all`
treats them as changed, `from_now_on` leaves them as they are, `adopt` lets every row count as
delivered. The run reads everything then · *confirm*: the same word again for `from_now_on` and
`adopt`, by which rows count as delivered that are not sent · *override*: guards that stopped an
earlier run and may pass, for example `rows_differ` (delivered rows read otherwise although they did
not change), `keys_changed` (delivered keys are gone, and as many new ones are there) and
`rows_gone`, `customers_missing` (rows wait for customers that the source does not show) ·
*approve_rows*, *approve_quarantined*, *approve_points*, *approve_adopted* (rows that would count as
delivered and were never sent): above these the task *approval* waits for a person
(in the UI: *Required actions*) before anything is sent. Example: `{"since": "2026-11-01T00:00:00Z",
"entities": ["customers"], "tolerance": 10}`

**Changed customers** · What a second sending does to a customer's points is known only once it was
tried. So the first changed customer with points is sent by itself, as a probe, and read back; until
then the others are held as `awaits_probe`. They go where the account replaces the balance, and are
held as `resend_unsafe` where it adds it, or refuses.

**Connections** · `legacy_db`, `masivo_api`, `masivo_ledger`; the mapping is the one that the DAG's
file names, or else `MASIVO_MAPPING`.

**It failed, now what**

* *plan* failed: its last line says what is set up wrongly. Nothing was sent. Correct it and clear
  the task. A parameter that the DAG does not have stops it too, and it says which one you may have
  meant.
* *plan* names a guard: look at what it says, its number and its bound, then trigger again with
  *override*; where the mapping changed, with *mapping_change*.
* It says that the connection is not as the ledger knows it: `python -m masivo tie`. Or that the
  ledger is an older copy: bring back the newest. Or that the account has customers already: find
  the ledger that sent them. An empty ledger sends everything a second time.
* *send* is waiting for a retry: the API or a database was away. Nothing to do: the next try reads
  its slice again, and skips what was sent.
* *account* failed: read it (the page *Masivo*, the button *Account* among a task's details, or
  `python -m masivo account`). Quarantined rows name column and reason: correct it, in the database
  or in the mapping, and the next run takes it. Rows in doubt were sent without a usable answer:
  each run reads them back, and sends them again only if it is proved that they did not arrive. What
  nothing can prove waits for a person: `masivo_replay` with *in_doubt*. It also sends what a person
  released.
* *account* counts rows that are gone: look in the legacy database. They were deleted, or merged
  into others. Nothing is deleted in Masivo; a higher *tolerance* lets the run be green.
* *send* says that this run has ended and another one has read since: trigger a new run.
* Rows were adopted that Masivo does not have: `masivo_replay` with the *reason* `adopted` sends
  them.
* Never delete the ledger: it is what keeps points from being sent twice.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from masivo.dags.sync_form import form
from masivo.dags.task_groups import migrate, schedule
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.approval import MasivoApprovalOperator
from masivo.operators.plan import MasivoPlanOperator
from masivo.operators.verify import MasivoDeliveredOperator


def sync_dag(shared: dict[str, Any]) -> DAG:
    """Make the DAG of this page. *shared* is what all five are made with."""
    with DAG(
        "masivo_sync",
        doc_md=__doc__,
        description="Moves a legacy loyalty database into Masivo, with an account of every row",
        schedule=schedule(),
        params=form(),
        **shared,
    ) as dag:
        plan = MasivoPlanOperator(task_id="plan")
        account = MasivoAccountOperator(task_id="account", trigger_rule="all_done", retries=0)
        approval = MasivoApprovalOperator(task_id="approval", retries=0)
        # Before the account, so that the account stays the one that says how the run ended; also
        # where something failed, because some of it went.
        delivered = MasivoDeliveredOperator(task_id="delivered")
        first, last = migrate()
        plan >> approval >> first
        last >> delivered >> account
    return dag
