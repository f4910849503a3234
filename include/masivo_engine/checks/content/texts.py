"""
Do the texts say what they were meant to: UTF-8 that was once read as another encoding, a text that
is the same in every row, transactions that a read-back cannot tell apart.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from masivo_engine.checks.finding import Finding, warning
from masivo_engine.model.rows import Entity, Record


_FEW = 20  # rows of which it means nothing that a text is the same in all
# What must be told apart, by entity; what is a code or an id may well be the same everywhere.
_TEXTS: Mapping[Entity, tuple[tuple[str, ...], ...]] = {
    Entity.CUSTOMERS: (("name",), ("email",)),
    Entity.EVENTS: (),
    Entity.TRANSACTIONS: (("details",),),
}


class SameTexts:
    """Looks at the texts of records that ought to differ from row to row."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._first: dict[str, Any] = {}
        self._differ: set[str] = set()
        self._rows = 0
        self._without_key = 0

    def see(self, record: Record) -> None:
        """Look at one record."""
        self._rows += 1
        body = orjson.loads(record.body)
        for (name,) in _TEXTS[self._entity]:
            value = body.get(name)
            if name not in self._differ and self._first.setdefault(name, value) != value:
                self._differ.add(name)
        if self._entity is Entity.TRANSACTIONS:
            self._without_key += not _has_word(str(body.get("details") or ""), record.key)

    def findings(self) -> Iterator[Finding]:
        """Yield which texts do not tell one row from another."""
        where = str(self._entity)
        if self._rows >= _FEW:
            for name, value in self._first.items():
                if name not in self._differ and value is not None:
                    matter = f"{name} is the same text in all {self._rows:,} rows"
                    do = "see what the SQL makes of it: an expression may mean something else on this database"
                    yield warning(where, "same_text", matter, do, rows=self._rows)
        if self._without_key:
            matter = f"details does not hold the transaction's key in {self._without_key:,} of {self._rows:,} rows"
            do = (
                "write it into details in SQL: when what is in doubt is read back, a transaction is known by its"
                " details alone"
            )
            yield warning(where, "details_without_key", matter, do, rows=self._without_key)


class DoubleEncoded:
    """Looks for texts in UTF-8 that were once read as Latin-1, and written so."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._rows: Counter[str] = Counter()
        self._of: Counter[str] = Counter()

    def see(self, name: str, value: Any) -> None:
        """Look at the *value* of column *name*."""
        if isinstance(value, str) and not value.isascii():
            self._of[name] += 1
            self._rows[name] += _is_double(value)

    def findings(self) -> Iterator[Finding]:
        """Yield in which columns there are some."""
        for name, count in self._rows.items():
            if count:
                matter = (
                    f"{name} looks encoded twice in {count:,} of {self._of[name]:,} values beyond ASCII (two odd signs"
                    " where one letter was)"
                )
                do = "repair them in the legacy database, or convert them in SQL; nothing is repaired here"
                yield warning(str(self._entity), "encoded_twice", matter, do, rows=count)


def _is_double(value: str) -> bool:
    for encoding in ("cp1252", "latin-1"):
        try:
            return value.encode(encoding).decode("utf-8") != value
        except UnicodeError:
            continue
    return False


def _has_word(text: str, key: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(key)}(?!\w)", text) is not None
