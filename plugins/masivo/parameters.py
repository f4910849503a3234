"""The parameters of `masivo_sync`: their form in Airflow's UI, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk import Param

from include.errors import Misconfigured
from include.journey import Entity
from include.selection import Window


if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the operator asked for, checked."""

    window: Window
    entities: tuple[Entity, ...]
    dry_run: bool
    tolerance: int

    @classmethod
    def of(cls, context: Context) -> Self:
        """Read the parameters of the run in *context*. Raises `Misconfigured` where they contradict each other."""
        params = context["params"]
        since, until = _moment(params, "since"), _moment(params, "until")
        customers = tuple(str(customer).strip() for customer in params.get("customer_ids") or ())
        if params.get("full") and (since or until or customers):
            msg = "full means everything: leave since, until and customer_ids empty with it, or leave full off"
            raise Misconfigured(msg)
        if since and until and since >= until:
            msg = f"since ({since.isoformat()}) must be before until ({until.isoformat()})"
            raise Misconfigured(msg)
        if since and since > datetime.now(UTC):
            msg = f"since ({since.isoformat()}) is in the future, so no row can be meant"
            raise Misconfigured(msg)
        chosen = params.get("entities") or list(Entity)
        return cls(
            Window(since, until, customers),
            tuple(entity for entity in Entity if entity in chosen),
            bool(params.get("dry_run")),
            int(params.get("tolerance") or 0),
        )


def form() -> dict[str, Param]:
    """Return the parameters as the trigger form shows and checks them."""
    return {
        "since": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Changed since",
            description="Read rows that changed at or after this moment (with its zone). Empty: from the beginning.",
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
            description="Read every row, whenever it changed. What was delivered with the same content is not sent again.",
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
            description="So many rows may be newly quarantined, held by an error or in doubt before the run is red.",
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
