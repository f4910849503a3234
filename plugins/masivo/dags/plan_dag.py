"""
### The plan: what `masivo_sync` would do, and nothing else

The first step on a new database, and safe at any time: this DAG has one task, which reads, checks
and packs the rows as a run would, and sends nothing. No parameter makes it send. It runs only when
somebody triggers it, so it may be switched on and left so.

**Parameters**, those of `masivo_sync` that a plan understands · *since*, *until*: only rows that
changed in between · *full*: everything, as `masivo_sweep` reads it · *customer_ids*: only these ·
*entities*: only these · *mapping_change*: what would become of delivered rows if the mapping
changed · *override*: guards that stopped an earlier plan and may pass. Without any it plans what
`masivo_sync` would do now: on a new ledger, the first load. Example: `{"full": true, "entities":
["customers"]}`

**Connections** · `legacy_db`, `masivo_api`, `masivo_ledger`; the mapping is the one that the DAG's
file names, or else `MASIVO_MAPPING`. The API is asked for a token, and a plan that would bring more
customers than the ledger ever brought asks for up to 36 of them by GET; nothing is written there.

**Look at** the run on the page *Masivo* (or by the button *Account* among the details of its task),
and *plan* there (the same is in the log of the task, and a page in the folder of packs)

* *What will become of every row*: are as many customers, events and transactions read as you know
  that there are?
* *What cannot go*: reasons by number of rows and points. Correct the data or the mapping, and plan
  again; it costs nothing.
* *Points*: is this what you owe your customers, by reward? Do tiers and months look like your
  business?
* *Requests and time*: the hours on the account's lane are what the load will take at least.
* *never sent*: rows that would count as delivered although this ledger never sent them
  (*mapping_change* `adopt`).
* *awaits_probe*: changed customers that wait until one of them has shown what a second sending does
  to points. The plan cannot know that; the run sends one, and the others where it is safe.

**Then** trigger `masivo_sync` by hand, with a few *customer_ids* first; look at its account, and
read it back (`masivo_verify`). After that everything: trigger it without parameters. Only a load
that a person has started is ever followed by one that starts by itself, and that only once
`MASIVO_SCHEDULE` is set (for example `0 * * * *`): when the rehearsal of the cut-over has gone
well.

**It failed, now what** · Its last line says why, and a run would stop for the same reason: what is
set up wrongly, a guard, or a mapping that changed. Nothing was sent. Correct it, or trigger again
with *override* or *mapping_change*, and see what would happen then.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from masivo.dags.sync_form import form
from masivo.operators.plan import MasivoPlanOperator


def plan_dag(shared: dict[str, Any]) -> DAG:
    """Make the DAG of this page. *shared* is what all five are made with."""
    with DAG(
        "masivo_plan",
        doc_md=__doc__,
        description="Says what masivo_sync would do, row by row; it cannot send",
        schedule=None,
        params=form("since", "until", "full", "entities", "customer_ids", "mapping_change", "override"),
        **shared,
    ) as dag:
        MasivoPlanOperator(task_id="plan", never_sends=True)
    return dag
