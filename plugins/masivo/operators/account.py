"""The last tasks of a run: its account, and what is forgotten of older ones."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from masivo.dags.retries import airflow_errors
from masivo.dags.sync_form import given
from masivo.operators.packs import keep_pack
from masivo.operators.plan import NOT_PLANNED, NOTHING_SENT
from masivo.services import Services, run_name
from masivo_engine.ledger.runs.retention import prune
from masivo_engine.ledger.runs.runs import Run, find_run, finish_run, has_run
from masivo_engine.ledger.runs.tallies import freeze
from masivo_engine.ledger.writing.leases import let_go
from masivo_engine.ledger.writing.takeover import settle_run
from masivo_engine.model.errors import DoesNotAddUp, LedgerError, LegacyError, Misconfigured, TryAgainLater
from masivo_engine.model.runs import Covers
from masivo_engine.planning.gone import find_gone
from masivo_engine.reports.account import account
from masivo_engine.reports.account_text import as_json, as_text


if TYPE_CHECKING:
    from airflow.sdk import Context


class MasivoAccountOperator(BaseOperator):
    """
    Make the run's account, and fail if it does not add up or holds more trouble than the run's
    tolerance.
    """

    def execute(self, context: Context) -> dict[str, Any]:
        """Return the account as plain JSON: counts and points, no keys."""
        with airflow_errors():
            params = context["params"]
            services = Services()
            services.ledger.open()
            if not has_run(services.ledger, run_name(context)):
                msg = (
                    "the task plan failed before it entered the run in the ledger, so nothing was sent; its log"
                    " says why"
                )
                raise LedgerError(msg)
            run = find_run(services.ledger, run_name(context))
            if context["ti"].xcom_pull(task_ids="plan") is None:
                # An account of nothing adds up, and this is the task that says whether the run is
                # green.
                finish_run(services.ledger, run.number, NOT_PLANNED)
                raise Misconfigured("the run was not planned, so there is nothing to account for: see the task plan")
            if params.get("dry_run"):
                finish_run(services.ledger, run.number, NOTHING_SENT)
                planned = account(services.ledger, run.run_id, services.hook.limits)
                self.log.info("the plan, as an account\n%s", as_text(planned))
                return as_json(planned) | {"outcome": "dry run"}
            let_go(services.ledger, run.number)
            settle_run(services.ledger, run.number)
            self._find_gone(services, run)
            freeze(services.ledger, run.number)
            made = account(services.ledger, run.run_id, services.hook.limits)
            outcome = made.verdict(int(params.get("tolerance") or 0))
            finish_run(services.ledger, run.number, outcome or "adds up")
            made = account(services.ledger, run.run_id, services.hook.limits)
            self.log.info("the account\n%s", as_text(made))
            keep_pack(services, made, self.log)
            if outcome:
                raise DoesNotAddUp(outcome)
        return as_json(made)

    def _find_gone(self, services: Services, run: Run) -> None:
        """
        Look which rows the source has no more; where it cannot be asked, the next full run does.
        """
        covers = Covers.from_json(run.covers)
        try:
            for entity in services.mapping.entities:
                if entity in covers.windows and (
                    gone := find_gone(services.ledger, run.number, covers, services.legacy(entity))
                ):
                    self.log.info("%d %s are in the source no more", gone, entity)
        except (LegacyError, TryAgainLater) as error:
            self.log.warning("it is not known which rows are gone: %s", error)


class MasivoPruneOperator(BaseOperator):
    """
    Forget what nobody decides by any more, of runs that ended more days ago than the parameter
    *keep_days* says.

    It is about older runs only, so a run that failed is pruned after as well as one that did not.
    """

    def execute(self, context: Context) -> dict[str, int]:
        """Return how much was forgotten."""
        with airflow_errors():
            params = given(context)  # it comes after a plan that failed as well: for a name that nobody knows, too
            if params.get("dry_run"):
                return {}
            services = Services()
            services.ledger.open()
            pruned = prune(services.ledger, keep_days=int(params["keep_days"]))
        self.log.info("%s", pruned)
        return asdict(pruned)
