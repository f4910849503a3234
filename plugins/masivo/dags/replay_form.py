"""The parameters of `masivo_replay`: their form in Airflow's UI, and what they mean together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import Param

from masivo.dags.sync_form import form, given, run_of
from masivo_engine.model.rows import Entity
from masivo_engine.planning.replay import IN_DOUBT, LEAVE, RELEASABLE, Chosen


if TYPE_CHECKING:
    from airflow.sdk import Context


def chosen_of(context: Context) -> Chosen:
    """Read what a person chose to release. Raises `Misconfigured` where it makes no sense."""
    params = given(context)
    chosen = Chosen(
        tuple(entity for entity in Entity if entity in (params.get("entities") or list(Entity))),
        tuple(params.get("reason") or ()),
        tuple(str(key).strip() for key in params.get("keys") or ()),
        tuple(str(customer).strip() for customer in params.get("customer_ids") or ()),
        run_of(params),
        str(params.get("in_doubt") or LEAVE),
    )
    chosen.refuse_nonsense(str(params.get("confirm") or "").strip())
    return chosen


def replay_form() -> dict[str, Param]:
    """Return the parameters of `masivo_replay` as the trigger form shows and checks them."""
    waits = list(RELEASABLE)
    names: dict[str, Any] = {"type": ["null", "array"], "items": {"type": "string"}}
    return {
        "reason": Param(
            [],
            type=["null", "array"],
            items={"type": "string", "enum": waits},
            examples=waits,
            title="Rows that wait because",
            description=(
                "Release rows that wait for these reasons. The account lists reasons with their rows. "
                "adopted: rows that count as delivered and were not sent; they are sent now."
            ),
        ),
        "keys": Param([], **names, title="These keys", description="Legacy keys, one per line."),
        "customer_ids": Param([], **names, title="Of these customers", description="Legacy ids, one per line."),
        "run": Param(
            None,
            type=["null", "string"],
            title="Of this run",
            description="The run's number in the ledger, as the account prints it.",
        ),
        **form("entities"),
        "in_doubt": Param(
            LEAVE,
            type="string",
            enum=list(IN_DOUBT),
            title="What is in doubt",
            description=(
                "leave: the read-back goes on asking. delivered: you know that the API has it. "
                "send_again: you know that it has not; transactions are read back all the same, and go only "
                "if the API shows none of them."
            ),
        ),
        "confirm": Param(
            "",
            type=["null", "string"],
            title="Type it again",
            description="The word chosen above, if it is not leave; and adopted, if that is among the reasons.",
        ),
        **form("tolerance"),
    }
