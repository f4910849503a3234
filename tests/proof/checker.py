"""
Does the account tell the truth? Source, the sandbox's journal and store, and the ledger, compared
by key.

==========  ========================================================================================
lost        the ledger says it was delivered, or says nothing of it, and the API has not accepted it
duplicated  accepted more than once, and the ledger does not say that it was in doubt; a customer
            only where the content is what was accepted last, because one who has changed since is
            sent again
phantom     accepted, and no row of the source may have become it
changed     what was accepted last has another content than the source's row
denied      accepted, and the ledger says that it was not delivered
spoilt      accepted, and failed in the API's queue although no fault was played there
restless    a batch is still on its way although nobody works on it
unequal     a customer's delivered points are not the same on both sides
unbalanced  a finished run's states do not add up to the rows that it read
==========  ========================================================================================

The source is read through its own truth (`tests.databases.proof`), the ledger by plain SQL, so that
a fault of the pipeline's own modules cannot hide in here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from sqlalchemy import Engine, text

from masivo_engine.sandbox.wire.server import Sandbox
from tests import told
from tests.databases.proof import CUSTOMERS, ENTITIES, TRANSACTIONS, Fate, Truth


ARRIVED = frozenset({"delivered", "confirmed"})
_RESTLESS = frozenset({"packed", "sending"})

_BATCHES = text("SELECT entity, number, state FROM masivo_batch")
_READ = text(
    "SELECT run, entity, sum(read_rows - met_again) AS rows_read, count(*) - count(finished_at) AS unfinished"
    " FROM masivo_slice GROUP BY run, entity"
)
_FINAL = frozenset({"delivered", "confirmed", "unchanged", "quarantined", "held", "in_doubt"})


@dataclass(slots=True)
class Finding:
    """What the ledger says of one key: every state that any run left it in, and the last."""

    states: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    points: list[Decimal] = field(default_factory=list)

    @property
    def fate(self) -> str:
        """Where the key stands after all runs; a mere sighting changes nothing."""
        said = [state for state in self.states if state != "unchanged"]
        if ARRIVED & set(said):
            return "delivered"
        if "in_doubt" in said:
            return "in_doubt"
        return said[-1] if said else (self.states[-1] if self.states else "")


@dataclass(frozen=True, slots=True)
class Proof:
    """
    What the checker saw: its *problems*, and by entity how many keys were accepted and where the
    keys stand.
    """

    problems: tuple[str, ...]
    accepted: dict[str, int]
    fates: dict[str, Counter[str]]

    def __str__(self) -> str:
        return (
            "\n".join(self.problems)
            or f"accepted {self.accepted}, fates { {k: dict(v) for k, v in self.fates.items()} }"
        )


def prove(truth: Truth, sandbox: Sandbox, ledger: Engine, *, spoils: Collection[str] = ()) -> Proof:
    """
    Compare the three. An empty journal is a problem, unless something is in doubt: nothing was
    proved.

    *spoils* are the entities in whose queue a fault was played, so that what fails there is not the
    pipeline's fault.
    """
    findings = _findings(ledger)
    journal = _journal(sandbox)
    problems = [*_of_ledger(ledger)]
    said_all = [finding for entity in findings.values() for finding in entity.values()]
    if not journal and not any(finding.fate == "in_doubt" for finding in said_all):
        problems.append("empty: nothing was accepted or is in doubt, so this proves nothing")
    for entity in ENTITIES:
        held = {accepted.key: accepted for accepted in sandbox.accepted(entity)}
        fates, said = truth[entity], findings.get(entity, {})
        for key in sorted({*held, *fates, *said}):
            times = journal[entity, key]
            bodies = held[key].bodies if key in held else ()
            if times != (held[key].times if key in held else 0):
                problems.append(f"{entity} {key}: journal and store of the sandbox disagree")
            problems += [
                f"{kind}: {entity} {key}: {what}"
                for kind, what in _of_key(entity, _fate(fates.get(key), held), said.get(key, Finding()), times, bodies)
            ]
            if key in held and held[key].failures and not held[key].applied and entity not in spoils:
                problems.append(f"spoilt: {entity} {key}: {held[key].failures}")
    problems += _of_points(truth, findings.get(TRANSACTIONS, {}), sandbox)
    accepted = Counter(entity for entity, _ in journal)
    return Proof(tuple(problems), dict(accepted), {e: Counter(f.fate for f in s.values()) for e, s in findings.items()})


def _fate(fate: Fate | None, held: Collection[str]) -> Fate | None:
    """Return what must become of a row, where the API holds the rows of the keys *held*."""
    return replace(fate, reason="") if fate and fate.behind and fate.behind not in held else fate


def _of_key(
    entity: str, fate: Fate | None, said: Finding, times: int, bodies: Sequence[Any]
) -> Iterator[tuple[str, str]]:
    state = said.fate
    if times and (fate is None or not fate.goes):
        yield "phantom", "accepted, and the source has no row for it that may go"
    if fate is None:
        return
    if not times and state == "delivered":
        yield "lost", "the ledger says delivered, the journal has nothing"
    if not said.states:
        yield "lost", "the ledger says nothing of it"
    repeated = sum(earlier == later for earlier, later in pairwise(bodies)) if entity == CUSTOMERS else times - 1
    if repeated > 0 and "in_doubt" not in said.states:
        yield "duplicated", f"accepted {times} times, {repeated} too many, the ledger says {said.states}"
    if times and said.states and state not in {"delivered", "in_doubt"}:
        yield "denied", f"accepted, the ledger says {said.states} {said.reasons}"
    if bodies and bodies[-1] != fate.payload:
        yield "changed", "the content that was accepted last is not the source's"


def _of_points(truth: Truth, said: dict[str, Finding], sandbox: Sandbox) -> Iterator[str]:
    """
    Compare, for each customer, the points that the ledger calls delivered with those that the API
    was given.
    """
    ours: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for key, finding in said.items():
        if finding.fate == "delivered" and key in truth[TRANSACTIONS]:
            ours[truth[TRANSACTIONS][key].customer] += finding.points[-1]  # type: ignore[assignment]
    for accepted in sandbox.accepted(TRANSACTIONS):
        if said.get(accepted.key, Finding()).fate == "delivered":
            theirs[accepted.customer] += sum(Decimal(str(body["amount"])) for body in accepted.bodies)  # type: ignore[assignment]
    for customer in sorted({*ours, *theirs}):
        if ours[customer] != theirs[customer]:
            yield f"unequal: {customer}: {ours[customer]} points delivered by the ledger, {theirs[customer]} accepted"


def _of_ledger(ledger: Engine) -> Iterator[str]:
    with ledger.connect().execution_options(reads_only=True) as connection:
        for batch in connection.execute(_BATCHES):
            if batch.state in _RESTLESS:
                yield f"restless: batch {batch.number} of {batch.entity} is {batch.state}"
        parts = connection.execute(_READ).all()
    rows = told.counted(ledger)
    other = sum(one.state not in _FINAL for one in told.told(ledger))
    for part in parts:
        if not part.unfinished and (part.rows_read != rows[part.run, part.entity] or other):
            written = rows[part.run, part.entity]
            yield f"unbalanced: run {part.run}: {part.entity}: {part.rows_read} read, {written} written, {other} others"


def _findings(ledger: Engine) -> dict[str, dict[str, Finding]]:
    found: dict[str, dict[str, Finding]] = {}
    for row in (*told.before(ledger), *told.told(ledger)):
        finding = found.setdefault(row.entity, {}).setdefault(row.key, Finding())
        finding.states.append(row.state)
        finding.reasons.append(row.reason)
        finding.points.append(Decimal(str(row.points)))
    return found


def _journal(sandbox: Sandbox) -> Counter[tuple[str, str]]:
    """Count how often each key was accepted, by the journal; the path's end names the entity."""
    entities = {"/customers/migrate": "customers", "/customers/migrate/events": "events"}
    entities["/customers/migrate/transactions"] = "transactions"
    counted: Counter[tuple[str, str]] = Counter()
    for line in sandbox.lines():
        counted.update((entities[line.path], key) for key, _ in line.accepted)
    return counted
