"""
A customer's events, by what the API counts: no address of the API shows them
(docs/api-facts.md#f-events-unseen), only a number of purchases and a sum. Which of them are proved,
or proved not to be there, `masivo_engine.readback.purchase_counts` says; the rest here names what
is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from masivo_engine.model.rows import Entity
from masivo_engine.readback.purchase_counts import Passed, Purchase, Purchases, is_same
from masivo_engine.readback.shown import Counted, Shown, counted, number
from masivo_engine.verification.customers import plain
from masivo_engine.verification.differences import Bucket, Difference
from masivo_engine.verification.expected import Expected
from masivo_engine.verification.transactions import Compared


_COMPARED = ("number_of_purchases", "spend_total", "tier_id", "last_visit")


def of_events(owed: Expected, shown: Shown, theirs: Purchases | None, passed: Passed) -> Compared:
    """
    Compare the purchases that were delivered with those that are counted. *theirs* are all that
    were sent, None where more may be there; the queue has *passed* so far.
    """
    compared, metrics = Compared(), counted(shown)
    if theirs is None or metrics is None or not owed.events:
        return compared
    by_sent = {(one.sent.batch, one.sent.place): one for one in owed.events}
    told = theirs.if_queued().told(metrics, passed)
    absent = [sent for sent, is_counted in told.items() if not is_counted and sent in by_sent]
    compared.found += [Difference(Entity.EVENTS, by_sent[sent].key, *_ONE_MISSING) for sent in absent]
    every = theirs.all_of()
    surplus = metrics.number - len(every)
    if surplus > 0 and metrics.number != theirs.migrated.number:
        keys = {sent: one.key for sent, one in by_sent.items()}
        twice = _repeated(owed.customer, keys, every, surplus, metrics)
        compared.found += twice
        if len(twice) == 1 and twice[0].key != owed.customer:  # named by the sum, which has all others once
            compared.confirmed += [one.sent for one in by_sent.values() if one.key != twice[0].key]
    elif not told and surplus < 0 and _is_passed(theirs, passed) and metrics.number != theirs.migrated.number:
        compared.found.append(_of_count(owed.customer, Bucket.MISSING, len(every), metrics.number))
    elif surplus == 0 and told and not _fits(every, metrics.spent):
        compared.found.append(_of_sum(owed.customer, every, metrics.spent))
    elif not any(variance.key == owed.customer for variance in compared.found):
        compared.confirmed += [
            by_sent[sent].sent for sent, is_counted in told.items() if is_counted and sent in by_sent
        ]
    return compared


def of_metrics(owed: Expected, shown: Shown) -> Iterator[Difference]:
    """Yield that migrated metrics are others now: because events were migrated, if some were."""
    body = owed.account.body if owed.account is not None else None
    if owed.account is None or body is None or not body.get("metrics"):
        return
    for period, migrated in sorted(body["metrics"].items()):
        found = shown.metrics.get(period)
        if not isinstance(migrated, dict):
            continue
        found = found if isinstance(found, dict) else {}
        changed = [name for name in _COMPARED if name in migrated and not _is_same(migrated[name], found.get(name))]
        if changed:
            bucket = Bucket.METRICS if owed.has_events else Bucket.OTHER
            expected = _as_text(period, changed, migrated)
            yield Difference(Entity.CUSTOMERS, owed.account.key, bucket, "", expected, _as_text(period, changed, found))
            return  # one is enough: they change together


_ONE_MISSING = (Bucket.MISSING, "", "1 purchase", "0 purchases")
_ONE_TWICE = (Bucket.DOUBLED, "", "1 purchase", "2 purchases")


def _is_passed(theirs: Purchases, passed: Passed) -> bool:
    return passed.number >= theirs.requests[-1].batch


def _fits(purchases: list[Purchase], spent: Decimal | None) -> bool:
    """Whether the sum is that of *purchases*, before discounts or after."""
    return any(is_same(one, spent) for one in _sums(purchases))


def _sums(purchases: list[Purchase]) -> tuple[Decimal, Decimal]:
    return sum((one.paid for one in purchases), Decimal(0)), sum((one.worth for one in purchases), Decimal(0))


def _repeated(
    customer: str, keys: dict[Any, str], every: list[Purchase], surplus: int, metrics: Counted
) -> list[Difference]:
    """Say what is counted more than once: the purchase that the sum names, or all, or how many."""
    twice = every if surplus == len(every) else []
    if surplus == 1 and len(every) > 1 and metrics.spent is not None:
        twice = [one for one in every if _fits([*every, one], metrics.spent)]
        twice = twice if len(twice) == 1 else []
    named = [Difference(Entity.EVENTS, keys[one.sent], *_ONE_TWICE) for one in twice if one.sent in keys]
    return named or [_of_count(customer, Bucket.DOUBLED, len(every), metrics.number)]


def _of_count(customer: str, bucket: Bucket, expected: int, found: int) -> Difference:
    return Difference(Entity.EVENTS, customer, bucket, "", f"{expected} purchases", f"{found} purchases")


def _of_sum(customer: str, every: list[Purchase], spent: Decimal | None) -> Difference:
    found = "none" if spent is None else plain(spent)
    return Difference(Entity.EVENTS, customer, Bucket.OTHER, "", f"spent {plain(_sums(every)[0])}", f"spent {found}")


def _is_same(one: Any, other: Any) -> bool:
    amounts = number(one), number(other)
    if None not in amounts:
        return amounts[0] == amounts[1]
    return str(one).lower() == str(other).lower() or (one is None and other is None)


def _as_text(period: str, names: list[str], values: Any) -> str:
    # Numbers and dates only.
    return f"{period}: " + ", ".join(f"{name} {values.get(name, 'none')}" for name in names)
