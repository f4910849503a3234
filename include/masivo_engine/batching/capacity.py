"""What fits into a request, to the byte, and what its body is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import orjson

from masivo_engine.contract.fields import LONGEST_KEY
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record


_HEAD, _TAIL = b'{"customers":[', b"]}"
_EMPTY_SIZE = len(_HEAD) + len(_TAIL) - 1  # every record and customer below counts a comma; the last needs none
_MOST_OF_A_SHELL = 32  # bytes around a customer's records, without its id
_MOST_OF_A_CHARACTER = 6  # bytes of one character of an id, as JSON


def fits_alone(group: Sequence[Record], limits: Limits) -> bool:
    """
    Say whether *group* can be sent at all.

    For transactions: all of it in one request. Otherwise: each record of it by itself. Callers ask
    this before they fill a packer, and reject (``too_large``) or hold (``too_many_transactions``)
    what does not fit.
    """
    if not group:
        return True
    if group[0].entity is Entity.TRANSACTIONS:
        return len(group) <= limits.records and _fits(group[0], weight_of(group), limits)
    return all(_fits(record, len(record.body) + 1, limits) for record in group)


def fit_by_far(records: Sequence[Record], limits: Limits) -> bool:
    """Say whether each of *records* is so small that `fits_alone` need not be asked about it."""
    largest = max((len(record.body) for record in records), default=0)
    return largest + _EMPTY_SIZE + 1 + _MOST_OF_A_SHELL + _MOST_OF_A_CHARACTER * LONGEST_KEY <= limits.body_bytes


@dataclass(slots=True)
class Request:
    """A request that still takes records."""

    entity: Entity
    records: int = 0
    size: int = _EMPTY_SIZE  #: exact length in bytes of the body that it would have now
    groups: dict[str, list[Record]] = field(default_factory=dict)  #: by customer

    def take(self, group: Sequence[Record], weight: int) -> None:
        """Take *group*, records of one customer that add *weight* bytes."""
        self.groups.setdefault(group[0].customer, []).extend(group)
        self.records += len(group)
        self.size += weight

    def has_room(self, count: int, weight: int, limits: Limits) -> bool:
        """Say whether a further customer with *count* records of *weight* bytes may come."""
        return (
            self.records + count <= limits.records
            and self.size + weight <= limits.body_bytes
            and len(self.groups) < limits.customers
        )

    def load(self, limits: Limits) -> float:
        """Return how full the request is by the nearest cap. At 1.0 it takes nothing more."""
        return load_of(self.records, self.size, len(self.groups), limits)

    def batch(self, number: int) -> Batch:
        """Return the request as batch *number*."""
        parts = []
        for group in self.groups.values():
            before, after = _shell(group[0])
            parts.append(before + b",".join([record.body for record in group]) + after)
        records = tuple(record for group in self.groups.values() for record in group)
        return Batch(self.entity, number, records, _HEAD + b",".join(parts) + _TAIL)


def load_of(records: int, size: int, customers: int, limits: Limits) -> float:
    """Return how much of a request is taken, by the cap that is nearest."""
    return max(records / limits.records, size / limits.body_bytes, customers / limits.customers)


def weight_of(group: Sequence[Record]) -> int:
    """Return the bytes that *group* adds to its customer, with its commas."""
    return sum([len(record.body) for record in group]) + len(group)


def shell_size(record: Record) -> int:
    """Return the bytes around the records of *record*'s customer."""
    before, after = _shell(record)
    return len(before) + len(after)


def _shell(record: Record) -> tuple[bytes, bytes]:
    """Return what stands before and after a customer's records. Keys are sorted as in bodies."""
    if record.entity is Entity.CUSTOMERS:
        return b"", b""
    customer = orjson.dumps(record.customer)
    if record.entity is Entity.EVENTS:
        return b'{"events":[', b'],"id":' + customer + b"}"
    return b'{"id":' + customer + b',"transactions":[', b"]}"


def _fits(record: Record, weight: int, limits: Limits) -> bool:
    """Say whether a request may carry *weight* bytes of *record*'s customer and nothing else."""
    room = limits.body_bytes - _EMPTY_SIZE - weight
    # Writing the customer out costs more than all the rest here, and few come so near to the limit.
    return room >= _MOST_OF_A_SHELL + _MOST_OF_A_CHARACTER * len(record.customer) or room >= shell_size(record)
