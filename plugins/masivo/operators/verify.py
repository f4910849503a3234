"""
The operators of a read-back: choose, read, judge; and the one by which a sync says that something
was delivered.

Whom to read, how far that has come and what was found is in the ledger; between tasks travel
numbers of runs and rows, and counts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.triggers.temporal import DateTimeTrigger
from airflow.sdk import Asset, BaseOperator, BaseSensorOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from masivo.dags.retries import airflow_errors
from masivo.dags.verify_form import Verification
from masivo.operators.packs import keep_pack_of
from masivo.services import Services, run_name
from masivo_engine.ledger.runs.runs import find_run, has_run, newest_run
from masivo_engine.ledger.verification import outcomes
from masivo_engine.ledger.verification.pending import delivered_in, last_run_that_delivered
from masivo_engine.ledger.verification.read_budget import Reads, usual_reads
from masivo_engine.model.errors import DoesNotAddUp, LedgerError
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Api
from masivo_engine.verification.rounds import Part, Rounds, pause_of
from masivo_engine.verification.sample import Chooser
from masivo_engine.verification.verdict import verdict


if TYPE_CHECKING:
    from airflow.sdk import Context

# What a run delivered waits in the API's queue; masivo_verify is scheduled on it.
DELIVERIES = Asset("masivo_deliveries")

_CHOSEN = "chosen"

# A task that is due again before the scheduler has heard that its process ended is taken for dead.
_SHORT_WAIT_S = 15.0


class MasivoDeliveredOperator(BaseOperator):
    """Say that this run delivered something, so that it is read back; skipped where it did not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"outlets": [DELIVERIES], "trigger_rule": "all_done", **kwargs})

    def execute(self, context: Context) -> dict[str, int]:
        """
        Return how many records were delivered; the asset's event carries the number of the run.
        """
        with airflow_errors():
            services = Services()
            services.ledger.open()
            if not has_run(services.ledger, run_name(context)):
                raise AirflowSkipException("the plan entered no run")
            run = find_run(services.ledger, run_name(context))
            records = delivered_in(services.ledger, run.number)
        if not records:
            raise AirflowSkipException("nothing was delivered")
        context["outlet_events"][DELIVERIES].extra = {"run": run.number}
        return {"run": run.number, "records": records}


class MasivoChooseOperator(BaseOperator):
    """
    Choose whom to read, enter them in the ledger, and return them in parts for the tasks that read.
    """

    def execute(self, context: Context) -> list[dict[str, int]]:
        """Return the first and last row of each part; counts are pushed beside it."""
        with airflow_errors():
            asked = Verification.of(context)
            services = Services()
            services.hook.prove()
            services.ledger.open()
            runs = self._runs(context, services, asked)
            if not runs:
                self.log.info("no run has delivered anything: nothing to read")
                context["ti"].xcom_push(key=_CHOSEN, value={"runs": [], "chosen": 0, "first": 0})
                return []
            people = services.legacy(Entity.CUSTOMERS) if Entity.CUSTOMERS in services.mapping.entities else None
            settle_after_s = services.hook.patience.settle_after_s
            seed = str(context["run_id"])
            chooser = Chooser(services.ledger, runs, people, settle_after_s=settle_after_s, seed=seed)
            choice, parts = chooser.choose(size=asked.size, customers=asked.customers)
            outcomes.begin(services.ledger, seed, choice.runs)
        self.log.info("%s", choice)
        chosen = asdict(choice) | {"runs": list(choice.runs), "first": parts[0].first if parts else 0}
        context["ti"].xcom_push(key=_CHOSEN, value=chosen)
        return [asdict(part) for part in parts]

    def _runs(self, context: Context, services: Services, asked: Verification) -> list[int]:
        """
        Return the run that a person named, else those that the events tell of, else the latest that
        delivered.
        """
        latest = last_run_that_delivered(services.ledger)
        if asked.run is not None:
            if latest is None or asked.run > newest_run(services.ledger) or asked.run < 1:
                msg = f"the ledger knows no run {asked.run}; the account prints the numbers"
                raise LedgerError(msg)
            return [asked.run]
        told = {
            int(event.extra["run"])
            for event in (context.get("triggering_asset_events") or {}).get(DELIVERIES, ())
            if "run" in event.extra
        }
        if told:
            return sorted(told)
        return [] if latest is None else [latest]


class MasivoReadBackSensor(BaseSensorOperator):
    """
    Read one part of the chosen customers, and again later those who are not visible yet.

    No worker waits in between: the task gives its slot back until the next round is due, and goes
    on from the ledger.

    :param part: first and last row of the part in the ledger.
    :param deferrable: wait in the triggerer rather than in the scheduler's table; by default as the
        deployment's ``[operators] default_deferrable`` says. Both survive a restart of any
        component.
    """

    template_fields: Sequence[str] = ("part",)

    def __init__(self, *, part: dict[str, int], deferrable: bool | None = None, **kwargs: Any) -> None:
        super().__init__(**{"mode": "reschedule", **kwargs})
        self.part = part
        wanted = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = wanted if deferrable is None else deferrable

    def execute(self, context: Context) -> None:
        """
        Work off who is due, and come back when the next are; a wait of seconds is not worth giving
        the slot back.
        """
        with airflow_errors():
            services = Services()
            services.ledger.open()
        while True:
            due = self._work_off(context, services)
            if due is None:
                return
            wait_s = (due - datetime.now(UTC)).total_seconds()
            if wait_s > _SHORT_WAIT_S:
                break
            time.sleep(max(0.0, wait_s))
        self.log.info("some customers are read again after %s", due.isoformat(timespec="seconds"))
        if self.deferrable:
            self.defer(trigger=DateTimeTrigger(moment=due), method_name="resume")
        raise AirflowRescheduleException(due)  # type: ignore[no-untyped-call]

    def resume(self, context: Context, event: Any = None) -> None:
        """Go on when the trigger fires; *event* is only the time."""
        del event
        self.execute(context)

    def _work_off(self, context: Context, services: Services) -> datetime | None:
        with airflow_errors():
            asked = Verification.of(context)
            hook = services.hook
            most = asked.most_reads if asked.most_reads is not None else usual_reads(hook.limits.per_hour)
            reading = Rounds(
                services.ledger,
                Api(hook, Reads(services.ledger, most)),
                [services.legacy(entity) for entity in services.mapping.entities],
                pause_s=pause_of(hook.patience.settle_after_s),
                log=self.log,
            )
            return reading.work_off(Part(**self.part))


class MasivoVerdictOperator(BaseOperator):
    """
    Say what the read-back came to, write the packs of its runs again, and fail where more differs
    than tolerated.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Return counts by bucket and state."""
        with airflow_errors():
            asked = Verification.of(context)
            chosen: dict[str, Any] = context["ti"].xcom_pull(task_ids="choose", key=_CHOSEN)
            services = Services()
            services.ledger.open()
            made = verdict(services.ledger, chosen["runs"], first=chosen["first"], chosen=chosen["chosen"])
            self.log.info("read back of run %s\n%s", ", ".join(map(str, chosen["runs"])), "\n".join(made.lines()))
            outcome = made.sentence(asked.tolerance)
            outcomes.judge(services.ledger, str(context["run_id"]), outcome)
            for run in chosen["runs"]:
                keep_pack_of(services, run, self.log)
            if outcome:
                raise DoesNotAddUp(outcome)
        return chosen | made.as_json()
