"""
The operators of a sync: slices and migrate; see also `masivo.operators.plan` and
`masivo.operators.account`.

Each reads like the row's journey and leaves the work to ``masivo_engine``; what they return is
counts only. The run, its window and its slices are in the ledger, where the first task wrote them,
so that every later task and every retry works on the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from masivo.dags.retries import airflow_errors
from masivo.services import Services, run_name
from masivo_engine.delivery.lane import Priority
from masivo_engine.ledger.runs.runs import slices_of
from masivo_engine.migrate import Destination, SliceTask, migrate_slice
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Covers
from masivo_engine.planning.plan import add_open


if TYPE_CHECKING:
    from airflow.sdk import Context


class MasivoSlicesOperator(BaseOperator):
    """
    Return the slices of one entity, for the migrate tasks to be mapped over; none in a dry run.
    """

    def __init__(self, *, entity: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entity = entity

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Return number, count and rows of each slice; the bounds stay in the ledger."""
        with airflow_errors():
            if context["params"].get("dry_run"):
                return []
            services = Services()
            run = services.run(run_name(context))
            asked = add_open(services.ledger, run, Entity(self.entity), services.hook.limits)
            if asked:
                self.log.info("%d %s that are open are judged again", asked, self.entity)
            slices = slices_of(services.ledger, run.number, Entity(self.entity))
        return [{"number": part.number, "of": part.of, "rows": part.rows} for part in slices]


class MasivoMigrateOperator(BaseOperator):
    """
    Work off one slice of one entity: read, judge, pack, send, enter.

    A try that dies is followed by one that reads the slice again, skips what was sent, and calls in
    doubt what was on its way.
    """

    template_fields: Sequence[str] = ("part",)

    def __init__(self, *, entity: str, part: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.entity = entity
        self.part = part

    def execute(self, context: Context) -> dict[str, Any]:
        """Return counts of what was done; the account is made from the ledger."""
        with airflow_errors():
            services = Services()
            run = services.run(run_name(context))
            covers = Covers.from_json(run.covers)
            services.kind = Priority.BACKFILL if covers.can_wait else Priority.INCREMENT
            number = self.part["number"]
            slices = slices_of(services.ledger, run.number, Entity(self.entity))
            part = next(part for part in slices if part.number == number)
            worked = migrate_slice(
                SliceTask(run.number, part, covers.windows[part.entity], covers.policies, covers.takes_up_open),
                services.legacy(part.entity),
                Destination(services.hook, services.lane, services.hook.limits, services.hook.patience),
                services.ledger,
                log=self.log,
            )
        return {"rows": worked.rows, "batches": worked.batches, "records": worked.records}
