"""The payloads as they would be sent, for people: made by the very stations that a sync uses, and sent nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator

import orjson

from include.journey import Record, Rejection, Slice
from include.legacy import Legacy
from include.reasons import REASONS
from include.selection import Window


def preview(legacy: Legacy, *, limit: int, key: str = "") -> Iterator[str]:
    """
    Yield the first *limit* payloads of *legacy*, or those of *key* alone, as text.

    Rows that cannot go are shown where they stand among them, at most *limit* of them too: they must not hide what can.
    """
    everything = Slice(legacy.entity, 1, 1, None, None, 0)
    maker = legacy.maker()
    left = {Record: limit, Rejection: limit}
    for page in legacy.pages(everything, Window()):
        for row in map(maker.make, page):
            if not left[Record]:
                return
            if left[type(row)] and (not key or row.key == key):
                left[type(row)] -= 1
                yield _shown(row)


def _shown(row: Record | Rejection) -> str:
    if isinstance(row, Record):
        owner = "" if row.key == row.customer else f" of customer {row.customer}"
        return f"{row.entity} {row.key}{owner}\n{json.dumps(orjson.loads(row.body), indent=2, ensure_ascii=False)}"
    reason = REASONS[row.reason]
    column = f", column {row.column}" if row.column else ""
    shape = f" ({row.shape})" if row.shape else ""
    return f"{row.entity} {row.key or '(no key)'}: {reason.state}, {row.reason}{column}{shape}: {reason.means}; {reason.do}"
