"""
The first task of a sync: what the run covers, counted and written to the ledger. Nothing is sent.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from masivo.dags.retries import airflow_errors
from masivo.dags.sync_form import Parameters, is_by_person
from masivo.operators import packs
from masivo.services import Services, run_name
from masivo_engine.forecast.already_there import already_there
from masivo_engine.forecast.effects import effects
from masivo_engine.forecast.forecast import Forecast, Forecaster
from masivo_engine.forecast.forecast import as_text as as_plan
from masivo_engine.ledger.runs.decisions import enter
from masivo_engine.ledger.runs.runs import Run, begin_run, finish_run, has_run, keep_plan, set_aside
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.runs import DRY_RUN, Asked, Covers, RunKind
from masivo_engine.planning.guards import refuse_first_load
from masivo_engine.planning.mapping_change import ASK, policies_of
from masivo_engine.planning.plan import Planning, settle
from masivo_engine.source.reader import Source


if TYPE_CHECKING:
    from airflow.sdk import Context


# How a run ends that has no account, in the ledger.
NOTHING_SENT, NOT_PLANNED = "dry run: nothing was sent", "not planned: nothing was sent"


class MasivoPlanOperator(BaseOperator):
    """
    Resolve what the run covers, make sure that it can work at all, count, and write the slices to
    the ledger.

    Nothing is sent. *kind* says why the run reads what it reads, where its DAG is for one purpose
    only; *never_sends* that its DAG makes plans alone, whatever its parameters say, and ends with
    this task. A wrong key, a missing file, an unknown alias or a ledger that cannot be written ends
    the run here, with one sentence; so does a first load that no person started.
    """

    def __init__(self, *, kind: str | None = None, never_sends: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kind = kind
        self.never_sends = never_sends

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the plan: rows, slices, requests and hours by entity."""
        with airflow_errors():
            kind = RunKind(self.kind) if self.kind else None
            parameters = Parameters.of(context, kind, never_sends=self.never_sends)
            services = Services()
            mapping = services.mapping_in_use
            legacies = [services.legacy(entity) for entity in mapping.entities if entity in parameters.entities]
            services.hook.prove()
            services.ledger.prepare()
            if not (parameters.dry_run or is_by_person(context)):
                refuse_first_load(
                    services.ledger, mapping.name, [legacy.entity for legacy in legacies], parameters.overrides
                )
            run = self._run(context, services, parameters, legacies)
            self.log.info("mapping %s (%s), %s", mapping.name, mapping.content_hash[:12], Covers.from_json(run.covers))
            try:
                made = self._planned(services, run, parameters, legacies)
            except Misconfigured:
                # What stops a run stops a plan of it, and no task comes after this one that would
                # say how it ended.
                if self.never_sends:
                    finish_run(services.ledger, run.number, NOT_PLANNED)
                raise
            packs.keep_plan(services, run.run_id, self.log)
            if self.never_sends:
                finish_run(services.ledger, run.number, NOTHING_SENT)
        self.log.info("%s", as_plan(made))
        if parameters.dry_run:
            self.log.info(NOTHING_SENT)
        told = made.as_json()
        return {"run": run.number, "requests": told["requests"], "hours": told["hours"], **told["entities"]}

    def _planned(self, services: Services, run: Run, parameters: Parameters, legacies: list[Source]) -> Forecast:
        """
        Count, let the guards look, foretell what becomes of each row, and keep that; enter what a
        person chose. Raises `Misconfigured`.
        """
        ledger, limits, choice = services.ledger, services.hook.limits, parameters.mapping_change
        planning = Planning(
            ledger,
            services.mapping_in_use,
            run,
            limits,
            overrides=parameters.overrides,
            by=parameters.by,
            dry_run=parameters.dry_run,
        )
        planned = planning.plan(legacies)
        for line in planned:
            self.log.info("%s", line)
        made = Forecaster(ledger, run, limits, planning.twins).forecast(
            legacies, {line.entity: line.slices for line in planned}
        )
        keep_plan(ledger, run.number, json.dumps(made.as_json()))
        planning.let_pass(
            effects(ledger, services.mapping_in_use, made, limits, read_whole=planning.read_whole, choice=choice)
        )
        planning.let_pass(already_there(ledger, made, services.hook, limits))
        planning.enter()
        if choice != ASK and not parameters.dry_run:
            records = sum(one.never_sent for one in made.entities)
            about = f"mapping {services.mapping.name}"
            enter(ledger, run.number, choice, parameters.by, about=about, records=records)
        return made

    def _run(self, context: Context, services: Services, parameters: Parameters, legacies: list[Source]) -> Run:
        """
        Return the run as an earlier try of this task entered it; where there is none, or it has
        ended, settle what it covers and enter it.
        """
        ledger, mapping, run_id = services.ledger, services.mapping_in_use, run_name(context)
        set_aside(ledger, run_id)
        if has_run(ledger, run_id):
            return services.run(run_id)
        choice = parameters.mapping_change
        asked = parameters.asked if choice == ASK else Asked(RunKind.FULL)
        covers = settle(ledger, mapping, legacies, asked, policies_of(choice))
        return begin_run(
            ledger,
            run_id,
            mapping=mapping.name,
            mapping_hash=mapping.content_hash,
            covers=covers.as_json(),
            kind=DRY_RUN if parameters.dry_run else asked.kind,
            started_by=parameters.by,
        )
