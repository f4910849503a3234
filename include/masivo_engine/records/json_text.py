"""
A page's payloads as JSON, column by column: byte for byte what orjson makes of each with its keys sorted.

The payloads of a page are mostly the same text. So the text is made once, with a place for each value that varies, and then filled row by
row: no dictionary is built that would only be taken apart again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat
from types import NoneType
from typing import Any, NamedTuple

import orjson


Texts = Sequence[str]

_STR = frozenset({str})
_PLAIN = frozenset({int, float, bool})


class JsonColumn(NamedTuple):
    """
    One value of every row of a page, as JSON: *template* with a ``%s`` for each of *columns*.

    Unless it *is_always* there, it is one column, which is empty where a row has no such value.
    """

    template: str
    columns: list[Texts]
    is_always: bool = True

    def texts(self, count: int) -> Texts:
        """Return the JSON of each of *count* rows."""
        if self.template == "%s":
            return self.columns[0]
        if not self.columns:
            return [self.template % ()] * count
        # Joining takes half the time of filling the template in. JSON has no NUL, so it can stand for a percent sign.
        first, *pieces = (piece.replace("\0", "%") for piece in self.template.replace("%%", "\0").split("%s"))
        between = (
            column for values, piece in zip(self.columns, pieces, strict=True) for column in (values, repeat(piece))
        )
        return list(map("".join, zip(repeat(first, len(self.columns[0])), *between, strict=False)))


def column(values: Sequence[Any]) -> JsonColumn:
    """Write a column of JSON values; None is no value."""
    types = frozenset(map(type, values))
    if NoneType in types:
        found = [value for value in values if value is not None]
        following = iter(column(found).texts(len(found))) if found else iter(())
        return JsonColumn("%s", [["" if value is None else next(following) for value in values]], is_always=False)
    if types == _STR:
        joined = "".join(values)
        if joined.isprintable() and '"' not in joined and "\\" not in joined:
            return _of('"%s"', values)
    elif types and types <= _PLAIN:
        return _of("%s", orjson.dumps(values).decode()[1:-1].split(","))
    return JsonColumn("%s", [[orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode() for value in values]])


def with_null(values: Sequence[Any]) -> JsonColumn:
    """Write a column of JSON values in which None is null."""
    written = column(values)
    if written.is_always:
        return written
    return JsonColumn("%s", [[text or "null" for text in written.columns[0]]])


def a_list(joined: Texts) -> JsonColumn:
    """Write lists whose elements, with a comma between them, are *joined*; none is an empty list."""
    return JsonColumn("[%s]", [joined])


def some_lists(joined: Texts) -> JsonColumn:
    """Write lists whose elements, with a comma between them, are *joined*; none is no list."""
    return JsonColumn("%s", [[f"[{text}]" if text else "" for text in joined]], is_always=False)


def an_object(parts: Mapping[str, JsonColumn], count: int) -> JsonColumn:
    """Write objects with the keys and values *parts*; where all of *count* rows may have none of them, none is no object."""
    names = sorted(parts)
    # Before the first key that is always there a comma follows, afterwards it goes before.
    first = next((place for place, name in enumerate(names) if parts[name].is_always), -1)
    pieces: list[str] = []
    columns: list[Texts] = []
    for place, name in enumerate(names):
        key = orjson.dumps(name).decode() + ":"
        template, filled, is_always = parts[name]
        if is_always:
            pieces.append(("," if place > first else "") + key.replace("%", "%%") + template)
            columns += filled
            continue
        pieces.append("%s")
        (texts,) = filled
        if place < first:
            columns.append([f"{key}{text}," if text else "" for text in texts])
        else:
            columns.append([f",{key}{text}" if text else "" for text in texts])
    if first >= 0:
        return JsonColumn("{" + "".join(pieces) + "}", columns)
    if not names:
        return JsonColumn("%s", [[""] * count], is_always=False)
    members = map("".join, zip(*columns, strict=True))
    return JsonColumn("%s", [[f"{{{text[1:]}}}" if text else "" for text in members]], is_always=False)


def _of(template: str, values: Texts) -> JsonColumn:
    """Write *values* into *template*, once where they are all the same."""
    if values[0] == values[-1] and values.count(values[0]) == len(values):
        return JsonColumn((template % values[0]).replace("%", "%%"), [])
    return JsonColumn(template, [values])
