"""Wait until the API's queue has worked off the customers: their children go only after that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue

from masivo.dags.retries import airflow_errors
from masivo.services import Services, run_name
from masivo_engine.ledger.counts import last_delivered
from masivo_engine.ledger.runs.runs import find_run
from masivo_engine.model.rows import Entity


if TYPE_CHECKING:
    from airflow.sdk import Context

# A queue is usually done within seconds; only a slow one is worth giving the worker's slot back.
_SHORT_WAITS_S = (0, 1, 2, 4)


class MasivoVisibleSensor(BaseSensorOperator):
    """
    Pass when the customers that this run delivered last can be read back.

    The API answers 201 when a batch is enqueued; until the queue has worked it off, events and
    transactions of its customers would be lost without a word (docs/api-facts.md#f-queue and
    docs/api-facts.md#u11). It asks for one customer of each of the last *batches* batches: reads
    have a daily limit on development accounts.
    """

    def __init__(self, *, batches: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.batches = batches

    def poke(self, context: Context) -> PokeReturnValue:
        """Ask a few times within seconds, then let the task come back later."""
        with airflow_errors():
            if context["params"].get("dry_run"):
                return PokeReturnValue(is_done=True)
            services = Services()
            services.ledger.open()
            run = find_run(services.ledger, run_name(context))
            keys = last_delivered(services.ledger, run.number, Entity.CUSTOMERS, batches=self.batches)
            missing = keys
            for wait_s in _SHORT_WAITS_S:
                time.sleep(wait_s)
                missing = [key for key in missing if services.hook.get_customer(key).answer.status != 200]
                if not missing:
                    return PokeReturnValue(is_done=True)
        self.log.info("%d of the %d customers asked for are not visible yet", len(missing), len(keys))
        return PokeReturnValue(is_done=False)
