"""The parameters of `masivo_verify`: their form in Airflow's UI, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from airflow.sdk import Param

from masivo.dags.sync_form import given, run_of
from masivo_engine.model.errors import Misconfigured


if TYPE_CHECKING:
    from airflow.sdk import Context


@dataclass(frozen=True, slots=True)
class Verification:
    """
    What a read-back was asked for: *size* None is everybody, *most_reads* None is what the
    account's limits suggest.
    """

    run: int | None
    customers: tuple[str, ...]
    size: int | None
    most_reads: int | None
    tolerance: int

    @classmethod
    def of(cls, context: Context) -> Self:
        """
        Read the parameters of the run in *context*. Raises `Misconfigured` where one makes no
        sense.
        """
        params = given(context)
        sample = str(params.get("sample") or "").strip()
        if sample != "all" and not (sample.isdecimal() and int(sample)):
            msg = f"sample ({sample!r}) is neither all nor a number of customers above 0"
            raise Misconfigured(msg)
        most = params.get("most_reads")
        return cls(
            run_of(params),
            tuple(dict.fromkeys(str(customer).strip() for customer in params.get("customer_ids") or ())),
            None if sample == "all" else int(sample),
            None if most is None else int(most),
            int(params.get("tolerance") or 0),
        )


def verify_form() -> dict[str, Param]:
    """Return the parameters of `masivo_verify` as the trigger form shows and checks them."""
    names: dict[str, Any] = {"type": ["null", "array"], "items": {"type": "string"}}
    return {
        "run": Param(
            None,
            type=["null", "string"],
            title="Of this run",
            description=(
                "The run's number in the ledger, as the account prints it. Empty: the latest that delivered something."
            ),
        ),
        "customer_ids": Param([], **names, title="Only these customers", description="Legacy ids, one per line."),
        "sample": Param(
            "200",
            type="string",
            pattern="^(all|[1-9][0-9]{0,8})$",
            title="How many customers",
            description=(
                "all, or a number: then part of them is chosen where things go wrong, and the others are "
                "drawn at random."
            ),
        ),
        "most_reads": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            title="Most reads a day",
            description=(
                "GET requests in 24 hours, all read-backs together. Empty: 600 on development accounts, which "
                "may make 1,000; else no limit."
            ),
        ),
        "tolerance": Param(
            0,
            type="integer",
            minimum=0,
            title="Tolerance",
            description="So many records may differ before the read-back is red.",
        ),
    }
