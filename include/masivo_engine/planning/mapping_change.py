"""
A mapping that changed: what it makes of rows that were delivered, and what the operator wants done
about it.

A change of the SQL can change every record, and only a person knows whether the old ones were
wrong. So a run whose mapping is not the one that the entity was last worked off with stops before
anything is sent, says how many delivered rows would now differ and what sending them costs, and
waits for a choice. Where none would differ it goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from masivo_engine.batching.lower_bound import least_requests
from masivo_engine.ledger.history.entries import delivered_keys, known
from masivo_engine.ledger.runs.coverage import hashes_since, is_known
from masivo_engine.ledger.connection import Ledger
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import Misconfigured
from masivo_engine.model.limits import Limits, hours, lane_hours
from masivo_engine.model.rows import Entity, Record
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import record_pages
from masivo_engine.source.reader import Source


# From which part of the delivered rows on missing ones beside new ones look as if their keys were
# made otherwise: business removes and adds less.
_RENAMED_FROM = 0.05
CHOICES = ("ask", "send_all", "from_now_on", "adopt")
SETTLES = frozenset({"from_now_on", "adopt"})  # without sending: they are typed a second time, into confirm


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Of *delivered* rows of one entity, how many the mapping now makes *different*, and the requests
    that these take.

    *renamed* are delivered keys that it makes no more, where it makes as many new ones.
    """

    entity: Entity
    delivered: int
    different: int
    requests: int
    renamed: int = 0

    @property
    def looks_renamed(self) -> bool:
        """
        Whether so many keys are others that what was delivered would be sent again under another
        name.
        """
        return self.renamed > _RENAMED_FROM * (self.delivered + self.renamed)


def is_changed(ledger: Ledger, mapping: Mapping, entities: Iterable[Entity]) -> bool:
    """
    Whether one of *entities* was last worked off with other files than *mapping* has now, under its
    name or, where that is new, any.

    A run that was planned with these and did not get through has decided nothing: what it left
    would go on by another rule.
    """
    return any(hashes_since(ledger, mapping.name, entity) - {mapping.content_hash} for entity in entities)


def difference(ledger: Ledger, mapping: Mapping, legacy: Source, limits: Limits) -> Difference:
    """Read every row of *legacy* and compare what *mapping* makes of it with what was delivered."""
    delivered = different = new = 0
    by_customer: dict[str, int] = {}
    everything = Slice.everything(legacy.entity)
    for page in filter(None, record_pages(legacy, everything, Window())):
        records = [row for row in page if isinstance(row, Record)]
        history = known(ledger, legacy.entity, {record.key for record in records})
        for record in records:
            arrived = [entry for entry in history.get(record.key, ()) if entry.arrived]
            if not arrived:
                new += 1
                continue
            delivered += 1
            if (arrived[-1].customer, arrived[-1].content_hash) != (record.customer, record.content_hash):
                different += 1
                by_customer[record.customer] = by_customer.get(record.customer, 0) + 1
    requests = least_requests(legacy.entity, by_customer.values(), limits)
    # Where another mapping fills the account too, all of its keys are others.
    is_known_mapping = is_known(ledger, mapping.name, legacy.entity)
    gone = max(0, delivered_keys(ledger, legacy.entity) - delivered) if is_known_mapping else 0
    return Difference(legacy.entity, delivered, different, requests, min(gone, new))


def refuse(found: Iterable[Difference], limits: Limits) -> None:
    """
    Raise `Misconfigured` where a delivered row would now differ, or have another key, with what the
    operator may choose.
    """
    found = list(found)
    differing = [line for line in found if line.different]
    renamed = [line for line in found if line.looks_renamed]
    if renamed:
        words = ", ".join(f"{line.renamed:,} {line.entity}" for line in renamed)
        raise Misconfigured(
            f"the mapping changed since the last run, and seems to make other keys of delivered rows: {words} have none"
            " of the delivered keys, while as many of those are gone; they would be sent a second time under another"
            " key; nothing was sent. Keep the keys as they were, or trigger again with mapping_change 'send_all' (all"
            " of them are new), or 'adopt' (everything counts as delivered; typed into confirm, too)"
        )
    if not differing:
        return
    words = ", ".join(f"{line.different:,} of {line.delivered:,} {line.entity}" for line in differing)
    requests = sum(line.requests for line in differing)
    raise Misconfigured(
        f"the mapping changed since the last run, and would now make other records of delivered rows: {words}; sending"
        f" them all takes {requests:,} requests, {hours(lane_hours(requests, limits))} on the lane; nothing was sent."
        " Trigger again with mapping_change 'send_all' (what differs is treated as changed), 'from_now_on' (what was"
        " delivered stays as it is) or 'adopt' (everything counts as delivered); each of the last two is typed into"
        " confirm, too"
    )
