"""A customer's own fields; of those that tell who it is, a finding says only that they differ."""

from __future__ import annotations

from collections.abc import Iterator

from masivo_engine.model.rows import Entity
from masivo_engine.readback.showing import Shown
from masivo_engine.verification.differences import Bucket, Variance, as_date, moment, of_dates
from masivo_engine.verification.expected import Owed


_TEXTS = ("email", "name", "gender", "status", "document_type", "document_number", "country")
_DATES = ("registration_date", "dob")
_PERSONAL = frozenset({"dob"})


def of_fields(owed: Owed, shown: Shown) -> Iterator[Variance]:
    """Yield the fields that were sent and are shown otherwise; what the API does not show is not compared."""
    account = owed.account
    if account is None or account.body is None:
        return
    for name in _TEXTS:
        sent, found = account.body.get(name), shown.fields.get(name)
        if sent is not None and found is not None and _folded(sent) != _folded(found):
            yield Variance(Entity.CUSTOMERS, account.key, Bucket.OTHER, "", name, f"another {name}")
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
            yield Variance(Entity.CUSTOMERS, account.key, bucket, "", *texts)


def _folded(value: object) -> str:
    return " ".join(str(value).split()).casefold()
