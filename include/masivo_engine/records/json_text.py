"""
Payloads as canonical JSON: keys sorted, no spaces, UTF-8.

`canonical` writes one value. The rest writes a page column by column, to the same bytes. The
payloads of a page are mostly the same text. That text is made once, with a gap for each value that
varies, and filled row by row: no dictionary is built only to be taken apart again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from itertools import repeat
from types import NoneType
from typing import Any, NamedTuple

import orjson


Texts = Sequence[str]

_STR = frozenset({str})
_PLAIN = frozenset({int, float, bool})


def canonical(value: Any) -> bytes:
    """Write *value*."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def content_hash(body: bytes) -> bytes:
    """Return the hash by which two bodies are told apart."""
    return hashlib.blake2b(body, digest_size=16).digest()


class JsonColumn(NamedTuple):
    """One value of every row of a page, as JSON."""

    template: str  #: with a ``%s`` for each of *columns*
    columns: list[Texts]
    is_always: bool = True  #: if not, there is one column, which is empty where a row has no such value

    def texts(self, count: int) -> Texts:
        """Return the JSON of each of *count* rows."""
        if self.template == "%s":
            return self.columns[0]
        if not self.columns:
            return [self.template % ()] * count
        # Joining takes half the time of %. JSON has no NUL, so it can stand for a percent sign.
        first, *pieces = (piece.replace("\0", "%") for piece in self.template.replace("%%", "\0").split("%s"))
        between = (
            column for values, piece in zip(self.columns, pieces, strict=True) for column in (values, repeat(piece))
        )
        return list(map("".join, zip(repeat(first, len(self.columns[0])), *between, strict=False)))

    def or_else(self, other: str) -> JsonColumn:
        """Write *other* where a row has no such value."""
        if self.is_always:
            return self
        return JsonColumn("%s", [[text or other for text in self.columns[0]]])


def sometimes(texts: Texts) -> JsonColumn:
    """Take a column of JSON that is empty where a row has no such value."""
    return JsonColumn("%s", [texts], is_always=False)


def column(values: Sequence[Any]) -> JsonColumn:
    """Write a column of JSON values; None is no value."""
    types = frozenset(map(type, values))
    if NoneType in types:
        found = [value for value in values if value is not None]
        following = iter(column(found).texts(len(found)) if found else ())
        return sometimes(["" if value is None else next(following) for value in values])
    if types == _STR:
        joined = "".join(values)
        if joined.isprintable() and '"' not in joined and "\\" not in joined:
            return _of('"%s"', values)
    elif types and types <= _PLAIN:
        return _of("%s", orjson.dumps(values).decode()[1:-1].split(","))
    return JsonColumn("%s", [[canonical(value).decode() for value in values]])


def lists(joined: Texts, *, is_always: bool) -> JsonColumn:
    """Write lists of *joined* elements: without any, an empty list if it *is_always* there."""
    if is_always:
        return JsonColumn("[%s]", [joined])
    return sometimes([f"[{text}]" if text else "" for text in joined])


def an_object(parts: Mapping[str, JsonColumn], count: int) -> JsonColumn:
    """Write objects with the keys and values *parts*; a row that has none of them has no object."""
    names = sorted(parts)
    # Before the first key that is always there a comma follows, afterwards it goes before.
    first = next((index for index, name in enumerate(names) if parts[name].is_always), -1)
    pieces: list[str] = []
    columns: list[Texts] = []
    for index, name in enumerate(names):
        key = orjson.dumps(name).decode() + ":"
        template, filled, is_always = parts[name]
        if is_always:
            pieces.append(("," if index > first else "") + key.replace("%", "%%") + template)
            columns += filled
            continue
        pieces.append("%s")
        (texts,) = filled
        if index < first:
            columns.append([f"{key}{text}," if text else "" for text in texts])
        else:
            columns.append([f",{key}{text}" if text else "" for text in texts])
    if first >= 0:
        return JsonColumn("{" + "".join(pieces) + "}", columns)
    if not names:
        return sometimes([""] * count)
    members = map("".join, zip(*columns, strict=True))
    return sometimes([f"{{{text[1:]}}}" if text else "" for text in members])


def _of(template: str, values: Texts) -> JsonColumn:
    """Write *values* into *template*, once where they are all the same."""
    if values[0] == values[-1] and values.count(values[0]) == len(values):
        return JsonColumn((template % values[0]).replace("%", "%%"), [])
    return JsonColumn(template, [values])
