"""
Full batches: records go in as they are read, and a request comes out as soon as no better use of it
is left.

=============  =============================================  ======================================
entity         how its requests are filled                    requests
=============  =============================================  ======================================
customers      one after the other                            the least possible
events         one after the other; a customer may go on in   the least possible
               the next one
transactions   best fit over a few open requests, a           the least possible, or very near
               customer always whole
=============  =============================================  ======================================

The caps of `Limits` on records, customers and bytes hold for every batch; bytes are those of the
finished body. What is in memory is the open requests, whatever the number of rows. Equal input
gives equal batches, so a plan can be repeated.

Sources: docs/api-facts.md#f-caps and docs/api-facts.md#u1 (1,000 records),
docs/api-facts.md#f-transactions-once, docs/api-facts.md#u14 (bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from masivo_engine.batching.capacity import Request, fits_alone, load_of, shell_size, weight_of
from masivo_engine.model.batches import Batch
from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity, Record


# Measured: 4 lose 3 % more where customers are large, 64 gain 0.4 % for four times the memory.
OPEN_REQUESTS = 16
# Above it, packing anew gains under 0.5 % of the requests and costs up to 25 us a record.
FULL_ENOUGH = 0.99


class Packer(Protocol):
    """Takes the groups of one entity in order and gives the batches that are ready."""

    def add(self, group: Sequence[Record]) -> list[Batch]:
        """
        Take *group* and return the batches that this completes.

        Raises `ValueError` if `fits_alone` says no to *group*. The packer is of no use afterwards.
        """

    def close(self) -> list[Batch]:
        """Return what is still open. The packer is empty afterwards and goes on counting."""


def packer_for(entity: Entity, limits: Limits) -> Packer:
    """
    Return the packer of *entity*. Its batches count from 1, in the order in which they come out.

    A group is any records in their order; for transactions it is **all** sendable ones of one
    customer.
    """
    if entity is Entity.TRANSACTIONS:
        return _WholeCustomers(limits)
    return _InOrder(entity, limits)


def one_request(groups: Sequence[Sequence[Record]], number: int) -> Batch:
    """Make one request of *groups*, which came out of one and so fit into one."""
    request = Request(groups[0][0].entity)
    for group in groups:
        request.take(group, weight_of(group))
    return request.batch(number)


class _InOrder:
    """Fills one request after the other. What a full one cannot take goes on in the next."""

    def __init__(self, entity: Entity, limits: Limits) -> None:
        self._entity = entity
        self._limits = limits
        self._number = 1
        self._customers = limits.customers
        # In the customers' request each record is a customer, so both caps are about the same
        # thing.
        self._records = limits.records if entity.has_parent else min(limits.records, limits.customers)
        self._open = Request(entity)

    def add(self, group: Sequence[Record]) -> list[Batch]:
        ready: list[Batch] = []
        if not self._take_whole(group):
            for record in group:
                self._put(record, ready)
        return ready

    def close(self) -> list[Batch]:
        return [self._emit()] if self._open.records else []

    def _take_whole(self, group: Sequence[Record]) -> bool:
        """
        Take all of *group* at once, as is mostly possible; say whether it was.

        It must be one customer's, and the request must have room for it and for more.
        """
        request = self._open
        if not group or request.records + len(group) >= self._records or len(request.groups) >= self._customers:
            return False
        first = group[0]
        if len(group) > 1 and any(record.customer != first.customer for record in group):
            return False
        weight = weight_of(group)
        if first.customer not in request.groups:
            weight += shell_size(first)
        if request.size + weight > self._limits.body_bytes:
            return False
        request.take(group, weight)
        return True

    def _put(self, record: Record, ready: list[Batch]) -> None:
        request = self._open
        weight = len(record.body) + 1
        comes_new = record.customer not in request.groups
        if comes_new:
            weight += shell_size(record)
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
        self._open = Request(self._entity)
        return batch


class _WholeCustomers:
    """
    Puts each customer's transactions into the fullest open request that has room for all of them.

    Where none has room, the fullest request goes. If it is not full enough, what is open is packed
    anew before that, the largest customers first. With customers of 100 to 600 transactions, this
    saves 3 % of the requests.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._number = 1
        self._open: list[Request] = []

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


def _put(group: Sequence[Record], requests: list[Request], limits: Limits, *, most: int | None = None) -> bool:
    """
    Put *group* where it fits best. *requests* stand fullest first, before and after.

    Say no if none has room and there are *most* already.
    """
    weight = shell_size(group[0]) + weight_of(group)
    request = next((one for one in requests if one.has_room(len(group), weight, limits)), None)
    if request is None:
        if len(requests) == most:
            return False
        request = Request(Entity.TRANSACTIONS)
        requests.append(request)

    request.take(group, weight)
    if request is not requests[0]:
        requests.sort(key=lambda one: one.load(limits), reverse=True)
    return True


def _packed_anew(requests: list[Request], limits: Limits) -> list[Request]:
    """Pack what *requests* hold by best-fit decreasing. Return *requests* if they are fewer."""
    groups = [group for request in requests for group in request.groups.values()]
    groups.sort(key=lambda group: load_of(len(group), weight_of(group), 1, limits), reverse=True)
    anew: list[Request] = []
    for group in groups:
        _put(group, anew, limits)
    return anew if len(anew) <= len(requests) else requests


def _unsendable(group: Sequence[Record], limits: Limits) -> ValueError:
    return ValueError(
        f"{group[0].entity}: {len(group)} record(s) of {weight_of(group):,} bytes do not fit a request of"
        f" {limits.records} records and {limits.body_bytes:,} bytes; ask fits_alone first, and reject or hold"
        " what it refuses"
    )
