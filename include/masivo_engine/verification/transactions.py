"""
A customer's transactions, one by one, against those that the API shows.

They are told apart by their ``details``, the only text that comes back (docs/api-facts.md#u25), of
which the ledger keeps a digest as they were sent; where several have one text, by amount, reward
and date. What the API shows
besides (docs/api-facts.md#u4: it may write a line of its own for a migrated balance) is nobody's
fault.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from masivo_engine.ledger.verification.pending import Sent
from masivo_engine.ledger.writing.handles import names
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import FIRST_YEAR_SHOWN, Movement, moment
from masivo_engine.verification.customers import plain
from masivo_engine.verification.differences import Bucket, Difference, as_date, is_same_moment, is_shifted
from masivo_engine.verification.expected import Delivered, Expected


@dataclass(slots=True)
class Compared:
    """
    What came of it: the records that are *confirmed*, what was *found*, and the records *not_shown*
    because they are too old.
    """

    confirmed: list[Sent] = field(default_factory=list)
    found: list[Difference] = field(default_factory=list)
    not_shown: list[Sent] = field(default_factory=list)


def years_of(owed: Expected) -> set[int]:
    """Return the years in which to look for the transactions of a customer."""
    return {int(_day(one)[:4]) for one in owed.transactions if not _is_too_old(one)}


def every_year() -> set[int]:
    """Return the years that the API shows."""
    return set(range(FIRST_YEAR_SHOWN, datetime.now(UTC).year + 1))


def of_transactions(owed: Expected, shown: Sequence[Movement], digest: Callable[[str], bytes]) -> Compared:
    """
    Compare all that was delivered with all that is *shown* of the same years; *digest* is the
    ledger's.
    """
    texts = {movement.text: digest(movement.text).hex() for movement in shown}
    shown = [replace(movement, told=texts[movement.text]) for movement in shown]
    compared = Compared()
    left = list(shown)
    open_: list[Delivered] = []
    for one in owed.transactions:
        if _is_too_old(one):
            compared.not_shown.append(one.sent)
        elif _take(left, one, _agrees) is None:
            open_.append(one)
        else:
            compared.confirmed.append(one.sent)
    for bucket, agrees in ((Bucket.SIGN, _is_flipped), (Bucket.TIME_ZONE, _is_moved), (Bucket.OTHER, _is_named)):
        for one in list(open_):
            movement = _take(left, one, agrees)
            if movement is not None:
                open_.remove(one)
                compared.found.append(_variance(one, bucket, movement))
    compared.found += [_variance(one, Bucket.MISSING) for one in open_]
    in_doubt = [sent.key for sent in owed.in_doubt if sent.entity is Entity.TRANSACTIONS]
    for movement in left:
        # Once is right, and something in doubt may be it.
        twin = next((one for one in owed.transactions if not _is_too_old(one) and _is_twin(one, movement)), None)
        if twin is not None and not any(names(movement.text, key) for key in in_doubt):
            compared.confirmed = [sent for sent in compared.confirmed if sent is not twin.sent]
            compared.found.append(_variance(twin, Bucket.DOUBLED, movement))
    return compared


def _take(left: list[Movement], one: Delivered, agrees: Callable[[Delivered, Movement], bool]) -> Movement | None:
    found = next((movement for movement in left if agrees(one, movement)), None)
    if found is not None:
        left.remove(found)
    return found


def _agrees(one: Delivered, movement: Movement) -> bool:
    return _is_told(one, movement) and _is_worth(one, movement) and _is_dated(one, movement)


def _is_flipped(one: Delivered, movement: Movement) -> bool:
    is_opposite = movement.amount == -one.amount and movement.reward == one.sent.reward
    return is_opposite and _is_told(one, movement) and _is_dated(one, movement)


def _is_moved(one: Delivered, movement: Movement) -> bool:
    issued_at = _issued_at(one)
    if issued_at is None or movement.issued_at is None:
        return False
    return _is_told(one, movement) and _is_worth(one, movement) and is_shifted(issued_at, movement.issued_at)


def _is_named(one: Delivered, movement: Movement) -> bool:
    return names(movement.text, one.key)


def _is_twin(one: Delivered, movement: Movement) -> bool:
    return names(movement.text, one.key) or _agrees(one, movement)


def _is_told(one: Delivered, movement: Movement) -> bool:
    """Whether the texts are the same."""
    return movement.told == one.handle.get("d")


def _is_worth(one: Delivered, movement: Movement) -> bool:
    return movement.amount == one.amount and movement.reward == one.sent.reward


def _is_dated(one: Delivered, movement: Movement) -> bool:
    issued_at = _issued_at(one)
    return issued_at is None or movement.issued_at is None or is_same_moment(issued_at, movement.issued_at)


def _is_too_old(one: Delivered) -> bool:
    """Whether the API does not show it."""
    return int(_day(one)[:4]) < FIRST_YEAR_SHOWN


def _day(one: Delivered) -> str:
    """Return the day in UTC that was sent as that of the transaction."""
    return str(one.handle.get("y") or f"{FIRST_YEAR_SHOWN}")


def _issued_at(one: Delivered) -> datetime | None:
    return None if one.body is None else moment(one.body.get("issued_at"))


def _variance(one: Delivered, bucket: Bucket, movement: Movement | None = None) -> Difference:
    expected, found = plain(one.amount), "" if movement is None else plain(movement.amount)
    is_about_dates = movement is not None and movement.amount == one.amount and bucket is not Bucket.DOUBLED
    if movement is not None and is_about_dates:
        expected, found = as_date(_issued_at(one)), as_date(movement.issued_at)
    if bucket is Bucket.DOUBLED:
        found = f"{expected} twice"
    return Difference(Entity.TRANSACTIONS, one.key, bucket, one.sent.reward, expected, found)
