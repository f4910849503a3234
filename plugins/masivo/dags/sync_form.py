"""
The parameters of the DAGs: their form in Airflow's UI, what they mean together, and the one way to
read what a run was given (`given`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk import Param

from masivo.connections.extras import nearest
from masivo_engine.forecast.approval import Bounds
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Asked, RunKind
from masivo_engine.planning.guards import Guard
from masivo_engine.planning.mapping_change import CHOICES, SETTLES


if TYPE_CHECKING:
    from airflow.sdk import Context

# A name that somebody typed, and no key or address that was pasted in its place.
_IS_NAME = re.compile(r"[A-Za-z_][\w .-]{0,39}")


def given(context: Context) -> dict[str, Any]:
    """
    Return the parameters of the run in *context*. Raises `Misconfigured` where it was triggered
    with a name that its DAG does not have.

    Airflow lets such names through, and a misspelt dry_run would send.
    """
    dag, params, asked = context["dag"], dict(context["params"]), dict(context["dag_run"].conf or {})
    if unknown := sorted({*params, *asked} - {*dag.params}):
        words = ", ".join(_unknown(name, dag.params) for name in unknown)
        raise Misconfigured(
            f"{dag.dag_id} has no parameter {words}; nothing was done. Trigger it again with its own "
            f"parameters alone: {', '.join(dag.params)}"
        )
    if left_out := sorted(name for name, value in asked.items() if params.get(name) != value):
        raise Misconfigured(
            f"Airflow leaves out what this run was triggered with ({', '.join(left_out)}), so it would not do "
            "what was asked; nothing was done. "
            "Set AIRFLOW__CORE__DAG_RUN_CONF_OVERRIDES_PARAMS to True and trigger it again"
        )
    return params


def _unknown(name: str, known: Iterable[str]) -> str:
    shown = repr(name) if _IS_NAME.fullmatch(name) else f"of that name ({len(name)} characters)"
    near = nearest(name, known)
    return f"{shown} (did you mean {near}?)" if near else shown


def run_of(params: Mapping[str, Any]) -> int | None:
    """Return the number of the run that *params* name, if they name one. Raises `Misconfigured`."""
    run = str(params.get("run") or "").strip()
    if run and not run.isdecimal():
        raise Misconfigured(f"run ({run!r}) is no number of a run in the ledger; the account prints it")
    return int(run) if run else None


def is_by_person(context: Context) -> bool:
    """Whether a person started the run in *context*: by hand, or as part of a backfill."""
    return context["dag_run"].run_type in ("manual", "backfill")


@dataclass(frozen=True, slots=True)
class Parameters:
    """
    What the operator asked for, checked; *by* is who triggered the run, empty for the scheduler.
    """

    asked: Asked
    entities: tuple[Entity, ...]
    dry_run: bool
    tolerance: int
    mapping_change: str
    overrides: tuple[str, ...]
    by: str

    @classmethod
    def of(cls, context: Context, kind: RunKind | None = None, *, never_sends: bool = False) -> Self:
        """
        Read the parameters of the run in *context*, of whose DAG it may be known beforehand of
        which *kind* it is, or that it *never_sends*.

        Raises `Misconfigured` where they contradict each other.
        """
        params, dag_run = given(context), context["dag_run"]
        chosen = params.get("entities") or list(Entity)
        choice = str(params.get("mapping_change") or "ask")
        asked = Asked(kind) if kind else _asked(params, dag_run)
        is_dry = never_sends or bool(params.get("dry_run"))
        if choice != "ask" and asked.kind not in {RunKind.INCREMENT, RunKind.FULL, RunKind.SWEEP}:
            msg = f"mapping_change {choice!r} is about all rows: leave since, until and customer_ids empty with it"
            raise Misconfigured(msg)
        if choice in SETTLES and not is_dry and str(params.get("confirm") or "").strip() != choice:
            raise Misconfigured(
                f"type {choice!r} into confirm as well: rows will count as delivered of which nothing is sent, "
                "now or by a later run; "
                "masivo_plan with the same mapping_change says how many; nothing was sent"
            )
        return cls(
            asked,
            tuple(entity for entity in Entity if entity in chosen),
            is_dry,
            int(params.get("tolerance") or 0),
            choice,
            tuple(params.get("override") or ()),
            dag_run.triggering_user_name or "",
        )


def _asked(params: Mapping[str, Any], dag_run: Any) -> Asked:
    since, until = _moment(params, "since"), _moment(params, "until")
    customers = tuple(str(customer).strip() for customer in params.get("customer_ids") or ())
    is_full = bool(params.get("full"))
    if dag_run.run_type == "backfill":
        if since or until or customers or is_full:
            msg = "a backfill works off its own intervals: leave since, until, customer_ids and full out of it"
            raise Misconfigured(msg)
        return Asked(RunKind.BACKFILL, dag_run.data_interval_start, dag_run.data_interval_end)
    if is_full and (since or until or customers):
        msg = "full means everything: leave since, until and customer_ids empty with it, or leave full off"
        raise Misconfigured(msg)
    if since and until and since >= until:
        msg = f"since ({since.isoformat()}) must be before until ({until.isoformat()})"
        raise Misconfigured(msg)
    if since and since > datetime.now(UTC):
        msg = f"since ({since.isoformat()}) is in the future, so no row can be meant"
        raise Misconfigured(msg)
    if is_full:
        return Asked(RunKind.FULL)
    if customers:
        return Asked(RunKind.CUSTOMERS, since, until, customers)
    if since or until:
        return Asked(RunKind.WINDOW, since, until)
    is_scheduled = dag_run.run_type == "scheduled"
    return Asked(RunKind.INCREMENT, until=dag_run.data_interval_end if is_scheduled else None)


def form(*names: str) -> dict[str, Param]:
    """
    Return the parameters of `masivo_sync` as the trigger form shows and checks them, all or those
    of *names*.
    """
    made = {
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Changed since",
            description=(
                "Read rows that changed at or after this moment (with its zone), and no others. "
                "With since and until empty the run goes on where the last ones ended."
            ),
        ),
        "until": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Changed before",
            description="Read rows that changed before this moment. Empty: up to now.",
        ),
        "full": Param(
            default=False,
            type="boolean",
            title="Everything",
            description=(
                "Read every row, whenever it changed. What was delivered with the same content is not sent again; "
                "delivered rows that are not there any more are counted as gone."
            ),
        ),
        "entities": Param(
            [entity.value for entity in Entity],
            type="array",
            items={"type": "string", "enum": [entity.value for entity in Entity]},
            examples=[entity.value for entity in Entity],
            minItems=1,
            uniqueItems=True,
            title="What to migrate",
            description="Children go only after their customer is delivered; whatever waits for one is held.",
        ),
        "customer_ids": Param(
            [],
            type=["null", "array"],
            items={"type": "string"},
            title="Only these customers",
            description="Legacy ids, one per line. Empty: all customers.",
        ),
        "dry_run": Param(
            default=False,
            type="boolean",
            title="Plan only",
            description="Count and plan, and send nothing.",
        ),
        "tolerance": Param(
            0,
            type="integer",
            minimum=0,
            title="Tolerance",
            description=(
                "So many rows may be newly quarantined, held by an error, in doubt, or gone from the legacy "
                "database in a green run."
            ),
        ),
        "mapping_change": Param(
            "ask",
            type="string",
            enum=list(CHOICES),
            title="If the mapping changed",
            description=(
                "ask: stop and say what would differ. send_all: what differs is treated as changed. from_now_on: "
                "delivered rows that did not change themselves stay as they are. adopt: every row counts as "
                "delivered, also by an earlier tool, and nothing is sent."
            ),
        ),
        "confirm": Param(
            "",
            type=["null", "string"],
            title="Type it again",
            description=(
                "The word chosen above, if it is from_now_on or adopt: those rows count as delivered, and "
                "nothing of them is sent."
            ),
        ),
        "override": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "enum": [guard.value for guard in Guard]},
            examples=[guard.value for guard in Guard],
            title="Go on in spite of",
            description=(
                "Guards that stopped an earlier run, where you have looked and it is right. rows_differ: delivered "
                "rows read otherwise although they did not change. keys_changed: delivered keys are gone, and as many "
                "new ones are there. rows_gone: delivered rows are gone. customers_missing: many rows wait for"
                " customers that customers.sql does not have. It is noted who let it through."
            ),
        ),
        "approve_rows": Param(
            1_000_000,
            type=["null", "integer"],
            minimum=0,
            title="Ask above so many records",
            description="A plan that would send more waits for a person's approval. Empty: never asks for this.",
        ),
        "approve_quarantined": Param(
            10.0,
            type=["null", "number"],
            minimum=0,
            maximum=100,
            title="Ask above this share of quarantined rows",
            description="In per cent of the rows read; of those that were not so before. Empty: never asks for this.",
        ),
        "approve_points": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Ask above so many points that do not go",
            description=(
                "Points of rows that would be quarantined, held or in doubt, and were not so before. Empty: never asks "
                "for this."
            ),
        ),
        "approve_adopted": Param(
            0,
            type=["null", "integer"],
            minimum=0,
            title="Ask above so many rows that were never sent",
            description=(
                "Rows that would count as delivered (adopt), although this ledger never sent them. Empty: "
                "never asks for this."
            ),
        ),
    }
    return {name: param for name, param in made.items() if not names or name in names}


def bounds_of(context: Context) -> Bounds:
    """Read what a run may do without being asked."""
    params = given(context)
    points = params.get("approve_points")
    return Bounds(
        params.get("approve_rows"),
        params.get("approve_quarantined"),
        None if points is None else Decimal(str(points)),
        params.get("approve_adopted"),
    )


def keeping_form() -> dict[str, Param]:
    """Return the parameter of `masivo_sweep` that says for how long former states are kept."""
    return {
        "keep_days": Param(
            90,
            type="integer",
            minimum=1,
            title="Keep former states for days",
            description="Of runs that ended before that, former states of rows are forgotten that were never sent.",
        ),
    }


def _moment(params: Any, name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        msg = f"{name} ({text!r}) is no moment in time; write e.g. 2026-11-21T00:00:00Z"
        raise Misconfigured(msg) from None
    if moment.tzinfo is None:
        msg = f"{name} ({text!r}) does not say its time zone; write e.g. 2026-11-21T00:00:00Z"
        raise Misconfigured(msg)
    return moment.astimezone(UTC)
