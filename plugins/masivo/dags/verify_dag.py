"""
### Read back what was delivered, and compare

A 201 only says that the API has taken a request into its queue. Here customers are read back by
GET, with their transactions, and compared with what the ledger says was delivered: points by
reward, each transaction, dates, the number of purchases. What is found right becomes `confirmed` in
the account of its run; what differs is in the ledger's table `masivo_finding`, in buckets.
*verdict* writes the run's audit pack again, with what was read, what that proves, each bucket with
its points and whose move it is, and a row for each difference (`findings.csv`).

**When it runs** · By itself after each `masivo_sync`, `masivo_sweep` or `masivo_replay` that
delivered something, once the API's queue has had its time (`settle_after_s` of the connection).
What is not visible yet is read again after 3, 6, 12 and 24 minutes; no worker waits in between.
*Trigger* without parameters reads a sample of the latest run that delivered.

**Parameters** · *run*: its number in the ledger · *customer_ids*: only these · *sample*: `all`, or
how many customers. A sample takes whoever differed before, each reason, the top balances, each tier
and the edges of the batches, and draws the rest at random; the log of *choose* says what that
proves · *most_reads*: GETs in 24 hours (development accounts may make 1,000, of which 600 are used)
· *tolerance*: how many records may differ before the run is red. Example: `{"run": "7", "sample":
"all"}`

**Connections** · `legacy_db`, `masivo_api`, `masivo_ledger`; the mapping is the one that the DAG's
file names, or else `MASIVO_MAPPING`. The ledger keeps no payloads, so the chosen customers' rows
are read again from the legacy database; of a row that has changed since, points, reward and what
tells it from others are compared as they were sent.

**The buckets** · *missing*, *doubled*, *off_by_one_row* (a balance is wrong by exactly one
transaction), *sign*, *expiry*, *time_zone* (a date moved by whole hours), *metrics* (replaced by
migrating events, as the API says; never counted as wrong), *other*. What stays `delivered` was not
chosen, or cannot be proved: the API shows no events but their number, which proves nothing where it
fitted before. Transactions of before 2020 it cannot show at all: they stay `delivered` with the
reason `not_shown`, are counted apart, and are not read again.

**It failed, now what**

* *verdict* failed: its last line counts what differs; `masivo_finding` has a row for each, with
  customer, key, bucket, expected and found. Nothing is corrected by itself, and nothing may be sent
  again for being *missing*: what lies in a queue that stands still would then be there twice.
  Trigger again with *customer_ids* first; what is still missing a day later is for the API's
  support.
* *time_zone* in every record: the mapping's zone is wrong. *sign*: the mapping's amounts are.
  Correct the mapping before anything else is sent.
* *read* is waiting for a retry: the API or a database was away. It goes on where it was.
* *choose* failed: its last line says what is set up wrongly.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from masivo.dags.verify_form import verify_form
from masivo.operators.verify import DELIVERIES, MasivoChooseOperator, MasivoReadBackSensor, MasivoVerdictOperator


def verify_dag(shared: dict[str, Any]) -> DAG:
    """Make the DAG of this page. *shared* is what all five are made with."""
    with DAG(
        "masivo_verify",
        doc_md=__doc__,
        description="Reads back what was delivered and confirms it, record by record",
        schedule=[DELIVERIES],
        params=verify_form(),
        **shared,
    ) as dag:
        choose = MasivoChooseOperator(task_id="choose")
        read = MasivoReadBackSensor.partial(
            task_id="read",
            retries=20,
            max_active_tis_per_dag=4,
            map_index_template="rows {{ task.part.first }} to {{ task.part.last }}",
        ).expand(part=choose.output)
        verdict = MasivoVerdictOperator(task_id="verdict", trigger_rule="none_failed", retries=0)
        choose >> read >> verdict
    return dag
