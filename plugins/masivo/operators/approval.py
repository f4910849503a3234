"""
The gate: a person's approval in Airflow's UI, between the plan and the first request, where the
plan exceeds its bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk.exceptions import AirflowFailException

from masivo.dags.retries import airflow_errors
from masivo.dags.sync_form import bounds_of
from masivo.services import Services, run_name
from masivo_engine.forecast.approval import as_markdown, exceeded
from masivo_engine.ledger.runs.decisions import enter
from masivo_engine.ledger.runs.runs import approve_run, plan_of


if TYPE_CHECKING:
    from airflow.sdk import Context

_SEND, _STOP = "Send it", "Send nothing"


class MasivoApprovalOperator(HITLOperator):
    """
    Pass at once where the plan is inside the run's bounds; else wait, without a worker's slot,
    until a person decides.

    Who approved what, and when, is in the ledger and in the run's pack.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(subject="May this be sent to Masivo?", options=[_SEND, _STOP], **kwargs)

    def execute(self, context: Context) -> Any:
        """Compare the plan with the bounds, and ask if it exceeds them."""
        if context["params"].get("dry_run"):
            return None
        with airflow_errors():
            services = Services()
            plan = plan_of(services.ledger, services.run(run_name(context)).number)
            reasons = list(exceeded(plan, bounds_of(context)))
        if not reasons:
            self.log.info("the plan is inside the run's bounds: nobody has to approve it")
            return None
        for reason in reasons:
            self.log.info("%s", reason)
        self.body = "\n".join([*(f"* {reason}" for reason in reasons), "", as_markdown(plan)])
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Enter who decided; fail the run if it may not be sent."""
        answer = super().execute_complete(context, event)
        # Airflow's own idea of a user: an id and a name.
        by = str((answer["responded_by_user"] or {}).get("name") or "somebody")
        is_approved = answer["chosen_options"] == [_SEND]
        with airflow_errors():
            services = Services()
            run = services.run(run_name(context))
            if is_approved:
                approve_run(services.ledger, run.number, by)
            decision = "approve" if is_approved else "refuse"
            enter(services.ledger, run.number, decision, by, about="the plan exceeded the run's bounds")
        if not is_approved:
            msg = f"{by} decided that this is not to be sent; nothing was sent"
            raise AirflowFailException(msg)
        self.log.info("%s approved it", by)
        return {"approved_by": by}
