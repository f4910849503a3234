"""
What a read-back came to: counts by bucket from the ledger, and one sentence where it is worse than
tolerated.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from masivo_engine.ledger.connection import Ledger
from masivo_engine.ledger.verification.pending import WAITING, found_since, not_shown_of, states_of
from masivo_engine.model.rows import Entity, State
from masivo_engine.readback.shown import FIRST_YEAR_SHOWN
from masivo_engine.verification.differences import Bucket


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Counts of records by entity and bucket, of what the runs delivered by entity and state, and of
    customers who were not read.

    Of these, some have not been visible long enough to be judged, or the reads were used up.
    *not_shown* is how much of what is delivered can never be confirmed, because the API does not
    show such records.
    """

    found: dict[Entity, dict[Bucket, int]]
    states: dict[tuple[Entity, str], int]
    unread: int
    chosen: int
    not_shown: dict[Entity, int] = field(default_factory=dict)

    @property
    def wrong(self) -> int:
        """How many differences count against the tolerance."""
        counted = [(bucket, rows) for buckets in self.found.values() for bucket, rows in buckets.items()]
        return sum(rows for bucket, rows in counted if not bucket.is_explained)

    def sentence(self, tolerance: int) -> str:
        """Say why the read-back must be red, or nothing where it may be green."""
        if self.wrong > tolerance:
            kinds = ", ".join(
                f"{rows:,} {bucket} ({entity})"
                for entity, buckets in self.found.items()
                for bucket, rows in buckets.items()
                if not bucket.is_explained
            )
            return (
                f"{self.wrong:,} differences between what was delivered and what the API shows, {tolerance:,}"
                f" tolerated: {kinds}; the table masivo_finding names each"
            )
        if self.chosen and self.unread == self.chosen:
            return (
                f"none of the {self.chosen:,} chosen customers could be read: the reads of the day are used up, the API"
                " gave no answer, or what is not there may still come, because nothing that was sent later is there"
            )
        return ""

    def as_json(self) -> dict[str, Any]:
        """Return counts only."""
        return {
            "chosen": self.chosen,
            "unread": self.unread,
            "wrong": self.wrong,
            "found": {
                str(entity): {str(bucket): rows for bucket, rows in buckets.items()}
                for entity, buckets in self.found.items()
            },
            "confirmed": {str(entity): self.states.get((entity, State.CONFIRMED.value), 0) for entity in Entity},
            "delivered": {str(entity): self._unconfirmed(entity) for entity in Entity},
            "not_shown": {str(entity): self.not_shown.get(entity, 0) for entity in Entity},
        }

    def lines(self) -> list[str]:
        """Say it for people."""
        said = [
            f"{entity}: {self.states.get((entity, State.CONFIRMED.value), 0):,} confirmed, "
            f"{self._unconfirmed(entity):,} delivered and not confirmed"
            for entity in Entity
        ]
        said += [
            f"{entity}: {rows:,} cannot be shown by the API, which knows transactions by year from {FIRST_YEAR_SHOWN}"
            " on: they are not missing, and stay delivered"
            for entity, rows in self.not_shown.items()
        ]
        for entity, buckets in self.found.items():
            for bucket, rows in sorted(buckets.items()):
                explained = " (explained: not counted as wrong)" if bucket.is_explained else ""
                said.append(f"{entity}: {rows:,} {bucket}{explained}")
        if self.unread:
            said.append(
                f"{self.unread:,} chosen customers were not read to the end, or lack something that nothing sent later"
                " proves to be lost; trigger again to go on with them"
            )
        if any(self._unconfirmed(entity) for entity in Entity):
            said.append(
                "what is delivered and not confirmed was not chosen, differs, or cannot be proved: the API shows no"
                " events but their number, which proves nothing where it fitted before"
            )
        return said

    def _unconfirmed(self, entity: Entity) -> int:
        """How many were delivered, are not confirmed, and could be."""
        return self.states.get((entity, State.DELIVERED.value), 0) - self.not_shown.get(entity, 0)


def verdict(ledger: Ledger, runs: Collection[int], *, first: int, chosen: int) -> Verdict:
    """Make the verdict on a read-back of *runs* whose first waiting row was *first*."""
    found: dict[Entity, dict[Bucket, int]] = {}
    unread = 0
    counts = found_since(ledger, runs, first) if chosen else {}
    for (entity, bucket), rows in counts.items():
        if bucket == WAITING:
            unread += rows
        else:
            found.setdefault(entity, {})[Bucket(bucket)] = rows
    return Verdict(found, states_of(ledger, runs), unread, chosen, not_shown_of(ledger, runs))
