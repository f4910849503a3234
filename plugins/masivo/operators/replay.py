"""What a person released, settled and selected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from masivo.dags.replay_form import chosen_of
from masivo.dags.retries import airflow_errors
from masivo.services import Services, run_name
from masivo_engine.ledger.runs.runs import begin_run, set_aside
from masivo_engine.model.runs import RunKind
from masivo_engine.planning.replay import release


if TYPE_CHECKING:
    from airflow.sdk import Context


class MasivoReplayOperator(BaseOperator):
    """Settle and select what a person released, and enter who did; nothing is sent yet."""

    def execute(self, context: Context) -> dict[str, Any]:
        """Return how many rows of each entity were settled and are read again."""
        with airflow_errors():
            chosen, by = chosen_of(context), context["dag_run"].triggering_user_name or ""
            services = Services()
            mapping = services.mapping_in_use
            services.hook.prove()
            services.ledger.prepare()
            set_aside(services.ledger, run_name(context))
            run = begin_run(
                services.ledger,
                run_name(context),
                mapping=mapping.name,
                mapping_hash=mapping.content_hash,
                covers=chosen.covers().as_json(),
                kind=RunKind.REPLAY,
                started_by=by,
            )
            released = release(services.ledger, services.run(run.run_id), chosen, services.hook.limits, by=by)
        for line in released:
            self.log.info("%s", line)
        return {"run": run.number} | {
            line.entity.value: {"settled": line.settled, "rows": line.rows} for line in released
        }
