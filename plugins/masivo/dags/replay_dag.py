"""
### Send again what a person released

Rows that are quarantined, held or in doubt are judged again by each `masivo_sync`: what is
corrected goes by itself. This DAG is for what only a person can decide. The rows that are chosen
are read again from the legacy database and judged as they are now, with the policies out of the way
that held them. Who released what, and when, is in the ledger.

**Parameters**, of which at least one of the first four must be filled in · *reason*: rows that wait
for these reasons · *keys*: these legacy keys · *customer_ids*: rows of these customers · *run*:
rows of this run of the ledger · *entities*: only these · *in_doubt*: what to do with rows whose
fate nobody knows, among those chosen: `leave` them, call them `delivered`, or `send_again`
(transactions go only if the API shows none of them in any year, an hour or `certain_after_s` after
they were sent) · *confirm*: type the same word again, and `adopted` if that is among the reasons ·
*tolerance*: as in `masivo_sync`. Example: `{"reason": ["changed_after_delivery"], "entities":
["events"]}`

What policies held goes when it is released by that reason: `transactions_already_migrated`, and of
customers and events `changed_after_delivery`, `awaits_probe`, `resend_unsafe` and `balance_waits`.
A transaction that changed after delivery never goes again: correct it in Masivo, and set `changed:
{transactions: ignore}`. What the API `refused` by itself is tried once more. What the row's own
content keeps back is judged anew: a row that is still wrong is quarantined again. What was
`adopted` counts as delivered although it was not sent; released by that reason it is sent, so look
in Masivo first: points that are there already would be there twice.

What is called lost and sent again may still arrive. Such a row is delivered with the reason
`sent_again`, so that it can be compared with Masivo.

**It failed, now what** · *plan*: nothing was sent, its last line says why. *send*, *account*: as
for `masivo_sync`.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG

from masivo.dags.replay_form import replay_form
from masivo.dags.task_groups import migrate
from masivo.operators.account import MasivoAccountOperator
from masivo.operators.replay import MasivoReplayOperator
from masivo.operators.verify import MasivoDeliveredOperator


def replay_dag(shared: dict[str, Any]) -> DAG:
    """Make the DAG of this page. *shared* is what all five are made with."""
    with DAG(
        "masivo_replay",
        doc_md=__doc__,
        description="Sends again what a person released: quarantined, held and in-doubt records",
        schedule=None,
        params=replay_form(),
        **shared,
    ) as dag:
        plan = MasivoReplayOperator(task_id="plan")
        account = MasivoAccountOperator(task_id="account", trigger_rule="all_done", retries=0)
        # Before the account, so that the account stays the one that says how the run ended; also
        # where something failed, because some of it went.
        delivered = MasivoDeliveredOperator(task_id="delivered")
        first, last = migrate()
        plan >> first
        last >> delivered >> account
    return dag
