"""
What a person releases: rows that wait in the ledger, chosen by reason, key, run or customer, are
read again from the source and judged anew, with policies out of the way.

Rows that were adopted do not wait: released by that reason, and the word typed again, they count as
not delivered, and are sent. Rows in doubt are another matter: the API may have them, so a person
must say, and type it again, that they arrived (nothing is sent) or that they did not (they are sent
again). Points that are sent twice count twice, so transactions are read back even then, and stay in
doubt unless the API shows none of them in any year. Every release is in the ledger with who and
when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import ColumnElement, case, update

from masivo_engine.ledger import schema
from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.runs import decisions, doubts
from masivo_engine.ledger.runs.asked import ask, plan_asked
from masivo_engine.ledger.runs.runs import Run
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, State
from masivo_engine.model.runs import Covers, RunKind, RunPolicies, Window
from masivo_engine.planning.slices import rows_per_slice
from masivo_engine.sql import MOST_KEYS, portions


LEAVE, DELIVERED, SEND_AGAIN = "leave", "delivered", "send_again"
IN_DOUBT = (LEAVE, DELIVERED, SEND_AGAIN)
ADOPTED = "adopted"
_RECORD = schema.record
_WAITS = (State.HELD, State.QUARANTINED)
RELEASABLE = tuple(
    code
    for code, reason in REASONS.items()
    if reason.state in {State.QUARANTINED, State.HELD, State.IN_DOUBT} or code == ADOPTED
)
_TAKES_MORE = "transactions_already_migrated"


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    What a person chose to release; each of the filters narrows, an empty one does not. *run* is a
    run's number in the ledger.
    """

    entities: tuple[Entity, ...]
    reasons: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    customers: tuple[str, ...] = ()
    run: int | None = None
    in_doubt: str = LEAVE

    def __str__(self) -> str:
        parts = [
            f"reasons {', '.join(self.reasons)}" if self.reasons else "",
            f"{len(self.keys)} named keys" if self.keys else "",
            f"{len(self.customers)} named customers" if self.customers else "",
            f"run {self.run}" if self.run is not None else "",
            f"in doubt: {self.in_doubt}" if self.in_doubt != LEAVE else "",
        ]
        return "; ".join(filter(None, parts))

    def covers(self) -> Covers:
        """Return what the run covers: what is chosen, with policies out of the way."""
        is_said_lost = self.in_doubt == SEND_AGAIN and Entity.TRANSACTIONS in self.entities
        policies = RunPolicies(releases=True, takes_more=_TAKES_MORE in self.reasons, is_said_lost=is_said_lost)
        return Covers(RunKind.REPLAY, dict.fromkeys(self.entities, Window(places=())), policies)

    def refuse_nonsense(self, confirmed: str) -> None:
        """
        Raise `Misconfigured` where nothing is chosen, or where what may be there already was not
        *confirmed* or is not allowed.
        """
        if not (self.reasons or self.keys or self.customers or self.run is not None):
            raise Misconfigured(
                "nothing is chosen: name reasons, keys, customer_ids or a run; the account lists what waits and why"
            )
        unknown = [reason for reason in self.reasons if reason not in REASONS]
        if unknown:
            raise Misconfigured(f"there is no reason {unknown[0]!r}; the account lists those that there are")
        typed = confirmed.replace(",", " ").split()
        if ADOPTED in self.reasons and ADOPTED not in typed:
            raise Misconfigured(
                f"type {ADOPTED!r} into confirm as well: a person stated that the API has these rows, and points that"
                " it has are there twice once they are sent; nothing was sent"
            )
        if self.in_doubt == LEAVE:
            return
        if self.in_doubt not in typed:
            raise Misconfigured(f"type {self.in_doubt!r} into confirm as well: what is in doubt may have arrived")
        if self.in_doubt == SEND_AGAIN and Entity.TRANSACTIONS in self.entities and _TAKES_MORE in self.reasons:
            raise Misconfigured(
                f"send_again for transactions in doubt does not go together with {_TAKES_MORE}: make two runs of it"
            )


@dataclass(frozen=True, slots=True)
class Released:
    """
    What was released of one entity: *settled* rows in doubt, and *rows* that are read again.
    """

    entity: Entity
    settled: int
    rows: int

    def __str__(self) -> str:
        return f"{self.entity}: {self.settled:,} in doubt settled, {self.rows:,} to be read again"


def release(ledger: Ledger, run: Run, chosen: Chosen, limits: Limits, *, by: str) -> list[Released]:
    """
    Settle and select what is *chosen* for *run*, and enter who released it; safe to be done again.
    """
    made = []
    for entity in chosen.entities:
        settled = 0
        for which in _narrowed(chosen):
            for_reasons = [*which, *_for_reasons(chosen)]
            ask(ledger, run.number, entity, schema.is_waiting(*_WAITS), *for_reasons)
            settled += _settle(ledger, run.number, entity, chosen, for_reasons)
            if ADOPTED in chosen.reasons:
                _give_back(ledger, run.number, entity, which)
        rows = plan_asked(ledger, run.number, entity, most=rows_per_slice(entity, limits))
        if settled or rows:
            action = "release" if chosen.in_doubt == LEAVE else chosen.in_doubt
            records = max(settled, rows)
            decisions.enter(ledger, run.number, action, by, entity=entity, about=str(chosen), records=records)
        made.append(Released(entity, settled, rows))
    return made


def _settle(ledger: Ledger, run: int, entity: Entity, chosen: Chosen, which: list[ColumnElement[bool]]) -> int:
    """Do with rows in doubt what a person said of them; return how many there are."""
    if chosen.in_doubt == LEAVE:
        return 0
    if chosen.in_doubt == DELIVERED:
        strays = doubts.settle_strays(ledger, run, entity, *which, has_it=True)
        return strays + doubts.arrived(ledger, run, entity, *which)
    # Before they are given up: a try that dies in between finds them asked for.
    asked = ask(ledger, run, entity, schema.is_waiting(State.IN_DOUBT), *which)
    if entity is not Entity.TRANSACTIONS:  # the slice reads those back first
        doubts.settle_strays(ledger, run, entity, *which, has_it=False)
        doubts.give_up(ledger, run, entity, *which)
    return asked


def _give_back(ledger: Ledger, run: int, entity: Entity, which: list[ColumnElement[bool]]) -> None:
    """
    Let adopted rows count as not delivered: they wait until they are sent, whatever becomes of this
    run.
    """
    # What was sent before with other content stays there; the row is a changed one then.
    is_unsent = _RECORD.c.has_batch.is_(None)
    nothing = {
        name: case((is_unsent, None), else_=_RECORD.c[name])
        for name in schema.NOTHING_THERE
        if name not in ("has_batch", "has_hash")
    }
    nothing["has_hash"] = case((is_unsent, None), else_=doubts.NO_CONTENT)
    state = {"state": State.HELD, "reason": "released", "since_run": run, "asked_run": run}
    these = (_RECORD.c.entity == entity, schema.is_waiting(State.UNCHANGED), _RECORD.c.reason == ADOPTED)
    with ledger.engine.begin() as connection:
        connection.execute(update(_RECORD).where(*these, *which).values(nothing | state))


def _for_reasons(chosen: Chosen) -> list[ColumnElement[bool]]:
    return [_RECORD.c.reason.in_(chosen.reasons)] if chosen.reasons else []


def _narrowed(chosen: Chosen) -> Iterator[list[ColumnElement[bool]]]:
    """Yield the conditions for each portion of names, as many as a statement may have."""
    conditions: list[ColumnElement[bool]] = [_RECORD.c.gone_run.is_(None)]
    if chosen.run is not None:
        conditions.append((_RECORD.c.run == chosen.run) | (_RECORD.c.since_run == chosen.run))
    named: list[list[ColumnElement[bool]]] = [conditions]
    for column, names in ((_RECORD.c.key, chosen.keys), (_RECORD.c.customer, chosen.customers)):
        if names:
            named = [[*some, column.in_(part)] for some in named for part in portions(names, most=MOST_KEYS)]
    yield from named
