"""The least possible number of requests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from masivo_engine.model.limits import Limits
from masivo_engine.model.rows import Entity


def least_requests(entity: Entity, counts: Iterable[int], limits: Limits) -> int:
    """
    Return a number of requests below which nobody can carry *counts*, the records of each customer.

    For customers and events it can be reached. For transactions it is a bound (Martello and Toth's
    L2). It knows that a customer stays whole, so that 600 + 600 + 600 records need three requests
    of 1,000; but it is not always possible to reach it. Customers with more transactions than a
    request may carry are not sent and do not count. Bytes are not considered.
    """
    customers_by_count = Counter(count for count in counts if count > 0)
    if entity is Entity.CUSTOMERS:
        return _ceil(customers_by_count.total(), min(limits.records, limits.customers))

    if entity is Entity.TRANSACTIONS:
        customers_by_count = Counter({n: times for n, times in customers_by_count.items() if n <= limits.records})
        by_records = _least_bins(customers_by_count, limits.records)
    else:
        by_records = _ceil(sum(n * times for n, times in customers_by_count.items()), limits.records)
    return max(by_records, _ceil(customers_by_count.total(), limits.customers))


def least_with_tail(entity: Entity, counts: Iterable[int], limits: Limits) -> int:
    """
    Return the least number of requests where one record, or a customer's smallest set, goes by
    itself after all others, as a run sends them (`masivo_engine.migrate`).
    """
    by_count = Counter(count for count in counts if count > 0)
    is_set = entity is Entity.TRANSACTIONS
    units = by_count.total() if is_set else sum(count * times for count, times in by_count.items())
    if units < 2:
        return units
    smallest = min(by_count)
    by_count[smallest] -= 1
    if not is_set and smallest > 1:
        by_count[smallest - 1] += 1
    return least_requests(entity, by_count.elements(), limits) + 1


def _ceil(count: int, per_request: int) -> int:
    return -(-count // per_request)


def _least_bins(customers_by_count: Counter[int], capacity: int) -> int:
    """
    Return Martello and Toth's L2.

    No two counts above half a request share one. The other counts, from each threshold on, fill the
    rest.
    """
    large = {n: times for n, times in customers_by_count.items() if 2 * n > capacity}
    small = {n: times for n, times in customers_by_count.items() if 2 * n <= capacity}
    least = 0
    for threshold in (0, *small):
        # A customer of more than capacity - threshold leaves no room for a small one that counts
        # here.
        room = sum((capacity - n) * times for n, times in large.items() if n + threshold <= capacity)
        filling = sum(n * times for n, times in small.items() if n >= threshold)
        least = max(least, sum(large.values()) + _ceil(max(0, filling - room), capacity))
    return least
