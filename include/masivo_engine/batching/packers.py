"""
Full batches: records go in as they are read, requests come out as soon as nothing better can be done with them.

=============  ===========================================================  ================================
entity         how its requests are filled                                  requests
=============  ===========================================================  ================================
customers      one after the other                                          the least possible
events         one after the other; a customer may go on in the next one    the least possible
transactions   best fit over a few open requests, a customer always whole   the least possible, or very near
=============  ===========================================================  ================================

The caps of `Limits` on records, customers and bytes hold for every batch; bytes are those of the finished body. What
is in memory is the open requests, whatever the number of rows. Equal input gives equal batches, so a plan can be repeated.

Sources: seeds 001 and 002 and masivo_api.md 2.1 and U1 (1000 records, a customer's transactions once), U14 (bytes);
perf.md 5 (which strategy fills how well).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import orjson

from masivo_engine.contract.fields import LONGEST_KEY
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record


OPEN_REQUESTS = 16  # perf.md 5: 4 lose 3 % more where customers are large, 64 gain 0.4 % for four times the memory
FULL_ENOUGH = 0.99  # above it, packing anew gains under 0.5 % of the requests and costs up to 25 us a record

_HEAD, _TAIL = b'{"customers":[', b"]}"
_MOST_OF_A_SHELL, _MOST_OF_A_CHARACTER = 32, 6  # bytes around a customer's records, and of one character as JSON
_EMPTY_SIZE = len(_HEAD) + len(_TAIL) - 1  # every record and customer below counts a comma; the last needs none


class Packer(Protocol):
    """Takes the groups of one entity in order and gives the batches that are ready."""

    def add(self, group: Sequence[Record]) -> list[Batch]:
        """
        Take *group* and give the batches that this completes.

        Raise `ValueError` if `fits_alone` says no to *group*; the packer is of no use afterwards.
        """

    def close(self) -> list[Batch]:
        """Give what is still open. The packer is empty afterwards and goes on counting."""


def packer_for(entity: Entity, limits: Limits, *, first_number: int = 1) -> Packer:
    """
    Give the packer of *entity*, whose batches count from *first_number* in the order in which they come out.

    A group is any records in their order; for transactions it is **all** sendable ones of one customer.
    """
    if entity is Entity.TRANSACTIONS:
        return _WholeCustomers(limits, first_number)
    return _InOrder(entity, limits, first_number)


def fits_alone(group: Sequence[Record], limits: Limits) -> bool:
    """
    Say whether *group* can be sent at all: each record of it by itself, for transactions the whole of it in one request.

    Whoever fills a packer asks this first and rejects (``too_large``) or holds (``too_many_transactions``) the rest.
    """
    if not group:
        return True
    if group[0].entity is Entity.TRANSACTIONS:
        return len(group) <= limits.records and _fits(group[0], _weight(group), limits)
    return all(_fits(record, len(record.body) + 1, limits) for record in group)


def fit_by_far(records: Sequence[Record], limits: Limits) -> bool:
    """Say whether each of *records*, sent by itself, is so small that `fits_alone` need not be asked about any."""
    largest = max((len(record.body) for record in records), default=0)
    return largest + _EMPTY_SIZE + 1 + _MOST_OF_A_SHELL + _MOST_OF_A_CHARACTER * LONGEST_KEY <= limits.body_bytes


def one_request(groups: Sequence[Sequence[Record]], number: int) -> Batch:
    """Make one request of *groups*, which came out of one and so fit into one."""
    request = _Request(groups[0][0].entity)
    for group in groups:
        request.take(group, _weight(group))
    return request.batch(number)


@dataclass(slots=True)
class _Request:
    """A request that still takes records. *size* is the exact length in bytes of the body it would have now."""

    entity: Entity
    records: int = 0
    size: int = _EMPTY_SIZE
    groups: dict[str, list[Record]] = field(default_factory=dict)

    def take(self, group: Sequence[Record], weight: int) -> None:
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
        """Give how full the request is by the cap that it is nearest to; 1.0 takes nothing more."""
        return _load(self.records, self.size, len(self.groups), limits)

    def batch(self, number: int) -> Batch:
        parts = []
        for group in self.groups.values():
            before, after = _shell(group[0])
            parts.append(before + b",".join([record.body for record in group]) + after)
        records = tuple(record for group in self.groups.values() for record in group)
        return Batch(self.entity, number, records, _HEAD + b",".join(parts) + _TAIL)


class _InOrder:
    """Fill one request after the other; what a full one cannot take goes on in the next."""

    def __init__(self, entity: Entity, limits: Limits, first_number: int) -> None:
        self._entity = entity
        self._limits = limits
        self._number = first_number
        self._customers = limits.customers
        # In the customers' request each record is a customer, so both caps are about the same thing.
        self._records = limits.records if entity.has_parent else min(limits.records, limits.customers)
        self._open = _Request(entity)

    def add(self, group: Sequence[Record]) -> list[Batch]:
        ready: list[Batch] = []
        if not self._take_whole(group):
            for record in group:
                self._put(record, ready)
        return ready

    def close(self) -> list[Batch]:
        return [self._emit()] if self._open.records else []

    def _take_whole(self, group: Sequence[Record]) -> bool:
        """Take all of one customer's *group* where the request has room for that and more, as it mostly has; say whether it was so."""
        request = self._open
        if not group or request.records + len(group) >= self._records or len(request.groups) >= self._customers:
            return False
        first = group[0]
        if len(group) > 1 and any(record.customer != first.customer for record in group):
            return False
        weight = _weight(group)
        if first.customer not in request.groups:
            weight += _shell_size(first)
        if request.size + weight > self._limits.body_bytes:
            return False
        request.take(group, weight)
        return True

    def _put(self, record: Record, ready: list[Batch]) -> None:
        request = self._open
        weight = len(record.body) + 1
        comes_new = record.customer not in request.groups
        if comes_new:
            weight += _shell_size(record)
        if request.size + weight > self._limits.body_bytes or (comes_new and len(request.groups) == self._customers):
            if not fits_alone((record,), self._limits):
                raise _unsendable((record,), self._limits)
            ready.append(self._emit())
            self._put(record, ready)
            return

        request.take((record,), weight)
        if request.records == self._records:
            ready.append(self._emit())

    def _emit(self) -> Batch:
        batch = self._open.batch(self._number)
        self._number += 1
        self._open = _Request(self._entity)
        return batch


class _WholeCustomers:
    """
    Put each customer's transactions into the fullest open request that has room for all of them.

    Where none has room the fullest goes. If it is not full enough, what is open is packed anew before, the largest
    customers first: with customers of 100 to 600 transactions that saves 3 % of the requests.
    """

    def __init__(self, limits: Limits, first_number: int) -> None:
        self._limits = limits
        self._number = first_number
        self._open: list[_Request] = []

    def add(self, group: Sequence[Record]) -> list[Batch]:
        if not fits_alone(group, self._limits):
            raise _unsendable(group, self._limits)
        if not group:
            return []
        if len({record.customer for record in group}) > 1:
            raise ValueError("transactions: a group holds several customers; give each customer's by itself")

        ready: list[Batch] = []
        if not self._put(group):
            if self._open[0].load(self._limits) < FULL_ENOUGH:
                self._open = _packed_anew(self._open, self._limits)
            ready.append(self._emit_fullest())
            self._put(group)
        while self._open and self._open[0].load(self._limits) >= 1:
            ready.append(self._emit_fullest())
        return ready

    def close(self) -> list[Batch]:
        self._open = _packed_anew(self._open, self._limits)
        return [self._emit_fullest() for _ in range(len(self._open))]

    def _put(self, group: Sequence[Record]) -> bool:
        return _put(group, self._open, self._limits, most=OPEN_REQUESTS)

    def _emit_fullest(self) -> Batch:
        batch = self._open.pop(0).batch(self._number)
        self._number += 1
        return batch


def _put(group: Sequence[Record], requests: list[_Request], limits: Limits, *, most: int | None = None) -> bool:
    """Best fit: *requests* stand fullest first, before and after. Say no if none has room and there are *most*."""
    weight = _shell_size(group[0]) + _weight(group)
    request = next((one for one in requests if one.has_room(len(group), weight, limits)), None)
    if request is None:
        if len(requests) == most:
            return False
        request = _Request(Entity.TRANSACTIONS)
        requests.append(request)

    request.take(group, weight)
    if request is not requests[0]:
        requests.sort(key=lambda one: one.load(limits), reverse=True)
    return True


def _packed_anew(requests: list[_Request], limits: Limits) -> list[_Request]:
    """Best-fit decreasing over what *requests* hold, or *requests* as they are where that needs fewer."""
    groups = [group for request in requests for group in request.groups.values()]
    groups.sort(key=lambda group: _load(len(group), _weight(group), 1, limits), reverse=True)
    anew: list[_Request] = []
    for group in groups:
        _put(group, anew, limits)
    return anew if len(anew) <= len(requests) else requests


def _fits(record: Record, weight: int, limits: Limits) -> bool:
    """Say whether a request may carry records of *weight* bytes of *record*'s customer and nothing else."""
    room = limits.body_bytes - _EMPTY_SIZE - weight
    # Writing the customer out costs more than all the rest here, and nearly nothing comes so near to the limit.
    return room >= _MOST_OF_A_SHELL + _MOST_OF_A_CHARACTER * len(record.customer) or room >= _shell_size(record)


def _load(records: int, size: int, customers: int, limits: Limits) -> float:
    return max(records / limits.records, size / limits.body_bytes, customers / limits.customers)


def _weight(group: Sequence[Record]) -> int:
    return sum([len(record.body) for record in group]) + len(group)


def _shell(record: Record) -> tuple[bytes, bytes]:
    """Give what stands before and after the records of *record*'s customer; the keys are sorted, as in the bodies."""
    if record.entity is Entity.CUSTOMERS:
        return b"", b""
    customer = orjson.dumps(record.customer)
    if record.entity is Entity.EVENTS:
        return b'{"events":[', b'],"id":' + customer + b"}"
    return b'{"id":' + customer + b',"transactions":[', b"]}"


def _shell_size(record: Record) -> int:
    before, after = _shell(record)
    return len(before) + len(after)


def _unsendable(group: Sequence[Record], limits: Limits) -> ValueError:
    return ValueError(
        f"{group[0].entity}: {len(group)} record(s) of {_weight(group):,} bytes do not fit a request of {limits.records}"
        f" records and {limits.body_bytes:,} bytes; ask fits_alone first, and reject or hold what it refuses"
    )
