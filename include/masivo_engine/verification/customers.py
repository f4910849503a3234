"""A customer's own fields; of those that tell who it is, a finding says only that they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import tree
from masivo_engine.model.rows import Entity
from masivo_engine.readback.shown import Line, Shown, moment, number
from masivo_engine.verification.differences import Bucket, Difference, as_date, is_same_moment, is_shifted, of_dates
from masivo_engine.verification.expected import Delivered, Expected


#: What is sent of a customer and not compared here: it is what the customer is asked for by, is
#: compared elsewhere (balances below, metrics with the events), or is not shown as it was sent.
NOT_COMPARED = frozenset({"id", "balance", "metrics", "devices", "metadata"})
_FIELDS = {name: node for name, node in tree(Entity.CUSTOMERS).children.items() if name not in NOT_COMPARED}
_DATES = tuple(name for name, node in _FIELDS.items() if node.kind in {Kind.INSTANT, Kind.DAY})
_TEXTS = tuple(name for name in _FIELDS if name not in _DATES)
_PERSONAL = frozenset({"dob"})


def of_fields(owed: Expected, shown: Shown) -> Iterator[Difference]:
    """
    Yield the fields that were sent and are shown otherwise; what the API does not show is not
    compared.
    """
    account = owed.account
    if account is None or account.body is None:
        return
    for name in _TEXTS:
        sent, found = account.body.get(name), shown.fields.get(name)
        if sent is not None and found is not None and _folded(sent) != _folded(found):
            yield Difference(Entity.CUSTOMERS, account.key, Bucket.OTHER, "", name, f"another {name}")
    for name in _DATES:
        expected, seen = moment(account.body.get(name)), moment(shown.fields.get(name))
        if expected is None or seen is None:
            continue
        bucket = of_dates(expected, seen)
        if bucket is not None:
            texts = (
                (name, f"{name} moved by {seen - expected}")
                if name in _PERSONAL
                else (as_date(expected), as_date(seen))
            )
            yield Difference(Entity.CUSTOMERS, account.key, bucket, "", *texts)


def _folded(value: object) -> str:
    return " ".join(str(value).split()).casefold()


def of_balances(owed: Expected, shown: Shown, *, at: datetime) -> Iterator[Difference]:
    """
    Yield what is wrong with the points of a customer who was delivered; *at* is now, aware UTC.
    """
    account = owed.account
    if account is None:
        return
    expected = account.sent.worth
    for reward in sorted(expected.keys() | shown.balance.keys()):
        amount, found = expected.get(reward, Decimal(0)), shown.balance.get(reward, Decimal(0))
        if amount != found:
            yield _of_amount(owed, account, reward, amount, found, at)
        elif account.body is not None:
            yield from _of_lines(account, reward, shown)


def _of_amount(
    owed: Expected, account: Delivered, reward: str, expected: Decimal, found: Decimal, at: datetime
) -> Difference:
    lines = [line for line in _lines(account) if line.reward == reward]
    rows = {one.key: one.amount for one in owed.transactions if one.sent.reward == reward}
    difference = found - expected
    key, bucket = account.key, Bucket.OTHER
    expired = sum((line.amount for line in lines if line.expires_at is not None and line.expires_at <= at), Decimal(0))
    if expired and difference == -expired:
        bucket = Bucket.EXPIRY
    elif found == -expected:
        bucket = Bucket.SIGN
    elif found == 0:
        bucket = Bucket.MISSING
    elif expected and found == 2 * expected:
        bucket = Bucket.DOUBLED
    elif abs(difference) in {abs(amount) for amount in [*rows.values(), *(line.amount for line in lines)]}:
        bucket = Bucket.OFF_BY_ONE_ROW
    elif difference in {-2 * amount for amount in rows.values()}:
        bucket = Bucket.SIGN
    return Difference(Entity.CUSTOMERS, key, bucket, reward, plain(expected), plain(found))


def _of_lines(account: Delivered, reward: str, shown: Shown) -> Iterator[Difference]:
    """
    Compare the dates of lines that can be told apart; an API that keeps other lines for the same
    sum is within its rights.
    """
    expected = [line for line in _lines(account) if line.reward == reward and line.amount]
    found = [line for line in shown.lines if line.reward == reward and line.amount]
    if sorted(line.amount for line in expected) != sorted(line.amount for line in found):
        return
    for ours, theirs in _pairs(expected, found):
        for bucket, one, other in _of_dates(ours, theirs):
            yield Difference(Entity.CUSTOMERS, account.key, bucket, reward, as_date(one), as_date(other))


def _pairs(expected: Sequence[Line], found: list[Line]) -> Iterator[tuple[Line, Line]]:
    """Pair lines of one amount, those that agree first."""
    left, alone = list(found), []
    for ours in expected:
        same = next((line for line in left if line.amount == ours.amount and not _of_dates(ours, line)), None)
        if same is None:
            alone.append(ours)
        else:
            left.remove(same)
    for ours in alone:
        theirs = next(line for line in left if line.amount == ours.amount)
        left.remove(theirs)
        yield ours, theirs


def _of_dates(ours: Line, theirs: Line) -> list[tuple[Bucket, datetime, datetime | None]]:
    found = []
    for one, other, otherwise in (
        (ours.expires_at, theirs.expires_at, Bucket.EXPIRY),
        (ours.issued_at, theirs.issued_at, Bucket.OTHER),
    ):
        if one is None or (other is not None and is_same_moment(one, other)):
            continue  # the API may give a date to what has none
        is_zone = other is not None and is_shifted(one, other)
        found.append((Bucket.TIME_ZONE if is_zone else otherwise, one, other))
    return found


def _lines(account: Delivered) -> list[Line]:
    lines: list[dict[str, Any]] = list((account.body or {}).get("balance") or ())
    return [
        Line(
            str(line["reward_id"]).lower(),
            number(line["amount"]) or Decimal(0),
            moment(line.get("issued_at")),
            moment(line.get("expiration_date")),
        )
        for line in lines
    ]


def plain(amount: Decimal) -> str:
    """Write *amount* for a finding, without zeros at its end."""
    return f"{amount.normalize():f}"
