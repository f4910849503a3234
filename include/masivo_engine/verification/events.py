"""
A customer's events, by what the API counts: no address of the API shows them
(docs/api-facts.md#f-events-unseen), only a number of purchases and a sum.

Metrics are the migrated ones until the first event is worked off, and are counted from then on
(fact 9). So a number that fits proves something only where it could not have fitted before; and the
sum tells which of the events is missing or counted twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import chain
from typing import Any

from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Shown, number
from masivo_engine.verification.customers import plain
from masivo_engine.verification.differences import Bucket, Difference
from masivo_engine.verification.expected import Delivered, Expected
from masivo_engine.verification.transactions import Compared


_CENT = Decimal("0.01")
_COMPARED = ("number_of_purchases", "spend_total", "tier_id", "last_visit")


def of_events(owed: Expected, shown: Shown) -> Compared:
    """Compare the purchases that were delivered with those that are counted."""
    compared = Compared()
    if not owed.events:
        return compared
    purchases = [one for one in owed.events if one.body is None or one.body.get("type") == "PURCHASE"]
    counted, spent = _counted(shown.metrics)
    migrated = _migrated(owed)
    is_untouched = migrated is not None and migrated != (None, None) and migrated == (counted, spent)
    if is_untouched and not (counted == len(purchases) and _fits(purchases, spent)):
        compared.found += [_missing(one) for one in purchases]  # nothing is counted yet, or at all
        return compared
    surplus = (counted or 0) - len(purchases)
    if surplus < 0:
        compared.found += _absent(owed, purchases, -surplus, spent)
    elif surplus > owed.events_in_doubt:
        compared.found += _repeated(owed, purchases, surplus, spent)
    elif surplus or owed.events_in_doubt:
        return compared  # what is in doubt could be among them
    elif not _fits(purchases, spent):
        compared.found.append(_of_sum(owed, purchases, spent))
    if any(variance.key == owed.customer for variance in compared.found) or is_untouched or migrated is None:
        return compared  # it cannot be said which of them are counted
    wrong = {variance.key for variance in compared.found}
    compared.confirmed += [one.sent for one in purchases if one.key not in wrong]
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
            has_events = bool(owed.events or owed.events_in_doubt)
            bucket = Bucket.METRICS if has_events else Bucket.OTHER
            expected = _as_text(period, changed, migrated)
            yield Difference(Entity.CUSTOMERS, owed.account.key, bucket, "", expected, _as_text(period, changed, found))
            return  # one is enough: they change together


def _counted(metrics: Mapping[str, Any]) -> tuple[Decimal | None, Decimal | None]:
    lifetime = metrics.get("lifetime")
    lifetime = lifetime if isinstance(lifetime, dict) else {}
    return number(lifetime.get("number_of_purchases")), number(lifetime.get("spend_total"))


def _migrated(owed: Expected) -> tuple[Decimal | None, Decimal | None] | None:
    """Return number and sum that the customer was migrated with; None where that cannot be said."""
    if owed.account is None or owed.account.body is None:
        return None
    return _counted(owed.account.body.get("metrics") or {})


def _fits(purchases: list[Delivered], spent: Decimal | None) -> bool:
    """
    Whether the sum is that of the purchases, before discounts or after; true where nothing can be
    said against it.
    """
    if spent is None or any(one.body is None for one in purchases):
        return True
    return any(abs(sum(values, Decimal(0)) - spent) < _CENT for values in _columns(purchases))


def _columns(purchases: list[Delivered]) -> list[list[Decimal]]:
    return [
        [number(one.body["order"][name]) or Decimal(0) for one in purchases if one.body is not None]
        for name in ("discounted_value", "value")
    ]


def _absent(
    owed: Expected, purchases: list[Delivered], lacking: Decimal | int, spent: Decimal | None
) -> list[Difference]:
    if lacking == len(purchases):
        return [_missing(one) for one in purchases]
    one = _the_one(purchases, spent, -1) if lacking == 1 else None
    if one is not None:
        return [_missing(one)]
    return [_of_count(owed, Bucket.MISSING, len(purchases), len(purchases) - lacking)]


def _repeated(
    owed: Expected, purchases: list[Delivered], surplus: Decimal | int, spent: Decimal | None
) -> list[Difference]:
    one = _the_one(purchases, spent, 1) if surplus == 1 else None
    if one is not None:
        return [Difference(Entity.EVENTS, one.key, Bucket.DOUBLED, "", "1 purchase", "2 purchases")]
    if surplus == len(purchases):
        return [
            Difference(Entity.EVENTS, one.key, Bucket.DOUBLED, "", "1 purchase", "2 purchases") for one in purchases
        ]
    return [_of_count(owed, Bucket.DOUBLED, len(purchases), len(purchases) + surplus)]


def _the_one(purchases: list[Delivered], spent: Decimal | None, sign: int) -> Delivered | None:
    """Return the only purchase by which the sum is wrong."""
    if len(purchases) == 1:
        return purchases[0]
    if spent is None or any(one.body is None for one in purchases):
        return None
    suspects = {
        index: one
        for values in _columns(purchases)
        for index, (one, value) in enumerate(zip(purchases, values, strict=True))
        if abs(sum(values, Decimal(0)) + sign * value - spent) < _CENT
    }
    return next(iter(suspects.values())) if len(suspects) == 1 else None


def _missing(one: Delivered) -> Difference:
    return Difference(Entity.EVENTS, one.key, Bucket.MISSING, "", "1 purchase", "0 purchases")


def _of_count(owed: Expected, bucket: Bucket, expected: int, found: Decimal | int) -> Difference:
    return Difference(Entity.EVENTS, owed.customer, bucket, "", f"{expected} purchases", f"{found} purchases")


def _of_sum(owed: Expected, purchases: list[Delivered], spent: Decimal | None) -> Difference:
    expected = sum(chain(_columns(purchases)[0]), Decimal(0))
    found = "none" if spent is None else plain(spent)
    return Difference(Entity.EVENTS, owed.customer, Bucket.OTHER, "", f"spent {plain(expected)}", f"spent {found}")


def _is_same(one: Any, other: Any) -> bool:
    amounts = number(one), number(other)
    if None not in amounts:
        return amounts[0] == amounts[1]
    return str(one).lower() == str(other).lower() or (one is None and other is None)


def _as_text(period: str, names: list[str], values: Mapping[str, Any]) -> str:
    # Numbers and dates only.
    return f"{period}: " + ", ".join(f"{name} {values.get(name, 'none')}" for name in names)
