"""
The first rows of an entity, made into records as a sync makes them: what would not go, by reason,
and what looks odd.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from masivo_engine.checks.content.amounts import Amounts, Decimals
from masivo_engine.checks.content.times import Moments
from masivo_engine.checks.finding import Finding, blocker, note, several, warning
from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.aliases import CHANGED, KEY, Query, find
from masivo_engine.mapping.lineage import expressions
from masivo_engine.mapping.loader import Mapping
from masivo_engine.model.errors import MigrationError
from masivo_engine.model.limits import Limits
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import LegacyRow, Record, Rejection, UnreadableRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of, shaper_of
from masivo_engine.source.reader import Source


_PHP = re.compile(r"\s*(?:[aOC]:\d+:|[sibd]:[\d.-]+[;:])")
_LONG = 2**53
_LONGEST = 40  # characters of an expression that are worth showing in a sentence
_FRACTIONS = {Kind.MONEY: "money", Kind.POINTS: "points", Kind.QUANTITY: "quantity"}


class Rows:
    """
    Looks at the rows of one entity, as many as *most*; *columns* are the aliases of each file.

    *strangers* are the values, for people, that the contract does not know, by column. Afterwards
    *rows* is how many were looked at, and *elements* those of each list; it *is_whole* unless it
    was cut short by *most*, and *has_ended* if the last row was reached.
    """

    def __init__(
        self,
        legacy: Source,
        mapping: Mapping,
        columns: dict[Query, list[str]],
        *,
        now: datetime,
        limits: Limits,
        most: int | None,
        strangers: dict[str, str] | None = None,
    ) -> None:
        self.entity = legacy.entity
        self._legacy = legacy
        self._most = most
        self._strangers = strangers or {}
        self._query = mapping.queries[self.entity]
        self._own = _File(mapping, self._query, columns[self._query], now)
        self._lists = {
            path: _File(mapping, query, columns[query], now, path=path)
            for path, query in mapping.lists[self.entity].items()
        }
        self._amounts = Amounts(self.entity, limits)
        self._key = legacy.columns.index(KEY[self.entity])
        self._faults: Counter[tuple[str, str]] = Counter()
        self._details: dict[tuple[str, str], Counter[str]] = {}
        self._keys: Counter[str] = Counter()
        self._long_keys = 0
        self.rows = 0
        self.elements = dict.fromkeys(self._lists, 0)
        self.is_whole = True
        self.has_ended = False

    def look(self) -> Iterator[Finding]:
        """Read the rows and yield what was found."""
        everything = Slice.everything(self.entity)
        maker = maker_of(self._legacy)
        try:
            with closing(self._legacy.pages(everything, Window())) as pages:  # type: ignore[type-var]
                for whole in pages:
                    page = whole if self._most is None else whole[: self._most - self.rows]
                    made = maker.make_all(page)
                    twins = self._twins(made)
                    for row, became in zip(page, made, strict=True):
                        self._see(row, became, is_twin=became.key in twins)
                    self.rows += len(page)
                    if self._most is not None and self.rows >= self._most:
                        self.is_whole = False
                        break
                else:
                    self.has_ended = True
        except MigrationError as error:
            yield blocker(str(self.entity), "cannot_be_read", f"after {self.rows:,} rows: {error}", "see the words")
        yield from self._findings()

    def _see(self, row: LegacyRow | UnreadableRow, became: Record | Rejection, *, is_twin: bool) -> None:
        if isinstance(became, Rejection):
            self._faults[became.reason, became.column] += 1
            self._note_detail(row, became)
        elif not is_twin:  # twins share their lines, so nothing of theirs adds up
            self._amounts.see(became)
        if isinstance(row, LegacyRow):
            self._own.see(row.values)
            for path, file in self._lists.items():
                for element in row.lists.get(path, ()):
                    file.see(element)
                    self.elements[path] += 1
            key = row.values[self._key]
            self._long_keys += isinstance(key, int) and abs(key) >= _LONG

    def _twins(self, made: Sequence[Record | Rejection]) -> set[str]:
        """Judge rows of one key as a sync does; they are always in one page. Return their keys."""
        alike: dict[str, list[Record | Rejection]] = {}
        for row in made:
            if row.key:
                alike.setdefault(row.key, []).append(row)
        for rows in alike.values():
            records = [row for row in rows if isinstance(row, Record)]
            if len(rows) == 1 or not records:
                continue
            is_copy = len(records) == len(rows) and len({(row.customer, row.content_hash) for row in records}) == 1
            self._keys["keys"] += 1
            self._keys["rows"] += len(rows)
            if is_copy:
                self._faults["duplicate_row", ""] += len(rows) - 1
            else:
                self._faults["duplicate_key", ""] += len(records)
        return {key for key, rows in alike.items() if len(rows) > 1}

    def _note_detail(self, row: LegacyRow | UnreadableRow, became: Rejection) -> None:
        detail = ""
        if isinstance(row, LegacyRow) and became.column in self._own.index:
            value = row.values[self._own.index[became.column]]
            if became.reason == "not_a_date":
                detail = _date_kind(value)
            elif isinstance(value, str) and _PHP.match(value):
                detail = "PHP-serialised text: decode it in customers.py, or leave it out"
        if detail:
            self._details.setdefault((became.reason, became.column), Counter())[detail] += 1

    def _findings(self) -> Iterator[Finding]:
        where = str(self.entity)
        lost = sum(self._faults.values())
        first = f"the first {self.rows:,} rows" if not self.is_whole else f"all {self.rows:,} rows"
        if not self.rows:
            yield warning(where, "no_rows", "the SQL finds no rows", "check its conditions and the rights of the user")
        elif lost >= self.rows:
            worst = self._faults.most_common(1)[0][0]
            matter = f"none of {first} becomes a record, most of them because of {worst[0]}"
            yield blocker(where, "no_row_goes", matter, REASONS[worst[0]].do, rows=self.rows)
        else:
            yield note(where, "records", f"{self.rows - lost:,} of {first} become records", rows=self.rows)
        for (code, column), count in self._faults.items():
            yield self._of_fault(code, column, count)
        for column, values in self._strangers.items():
            matter = f"{column} has values that the contract does not know: {values}"
            yield warning(where, "unknown_code", matter, "map each in SQL; never to a guess")
        if self._keys["rows"] > 0.5 * self.rows:
            matter = f"a key stands on {self._keys['rows'] / self._keys['keys']:.1f} rows on average"
            do = (
                "a join multiplies the rows: aggregate or pivot the side table in SQL, or give the lines a file of"
                " their own"
            )
            yield warning(where, "join_multiplies", matter, do, rows=self._keys["rows"])
        if self._long_keys:
            matter = f"{self._long_keys:,} keys are above 2^53; they are sent as text, digit for digit"
            yield note(where, "long_keys", matter, rows=self._long_keys)
        for column in shaper_of(self._legacy).left_out:
            matter = f"{column} is newer than the contract and left out"
            yield note(where, "newer_field", matter, "the connection's newer_fields switches it on")
        yield from self._amounts.findings()
        for file in (self._own, *self._lists.values()):
            yield from file.findings()

    def _of_fault(self, code: str, column: str, count: int) -> Finding:
        reason = REASONS[code]
        origin = expressions(self._query).get(column, "")
        place = f" in {column}" if column else ""
        place += f" <- {origin}" if origin and len(origin) <= _LONGEST else ""
        place += f" ({self._strangers.pop(column)})" if column in self._strangers else ""
        details = self._details.get((code, column))
        kinds = f" ({', '.join(f'{n:,} {kind}' for kind, n in details.most_common(4))})" if details else ""
        return warning(
            str(self.entity), code, f"{several(count, 'row')}{place}: {reason.means}{kinds}", reason.do, rows=count
        )


class _File:
    """What is to be looked at in the columns of one file."""

    def __init__(
        self, mapping: Mapping, query: Query, columns: Sequence[str], now: datetime, *, path: str = ""
    ) -> None:
        names = [name.lower() for name in columns]
        nodes = {name: find(query, name) for name in names}
        settings = mapping.settings
        self._entity = query.entity
        self._path = path
        self.index = {name: place for place, name in enumerate(names)}
        instants = [name for name in names if name == CHANGED or _kind(nodes[name]) is Kind.INSTANT]
        self._moments = Moments(
            query.entity, [(name, self.index[name], settings.zone_of(name)) for name in instants], now, path=path
        )
        kept = [(name, _FRACTIONS.get(_kind(nodes[name]) or Kind.TEXT)) for name in names]
        self._decimals = Decimals(
            query.entity,
            [(name, self.index[name], getattr(settings.places, what)) for name, what in kept if what],
            path=path,
        )
        self._texts = [name for name in names if _kind(nodes[name]) is Kind.TEXT and name not in KEY.values()]
        self._php: Counter[str] = Counter()

    def see(self, row: Sequence[Any]) -> None:
        self._moments.see(row)
        self._decimals.see(row)
        for name in self._texts:
            value = row[self.index[name]]
            if isinstance(value, str) and ":" in value[:8] and _PHP.match(value):
                self._php[name] += 1

    def findings(self) -> Iterator[Finding]:
        yield from self._moments.findings()
        yield from self._decimals.findings()
        for name, count in self._php.items():
            matter = f"{name} holds PHP-serialised text in {count:,} rows, which would be sent as it is"
            do = f"decode it in {self._entity}.py, or leave it out"
            yield warning(str(self._entity), "php_serialised", matter, do, rows=count)


def _kind(node: Node | None) -> Kind | None:
    return node.kind if node is not None else None


def _date_kind(value: Any) -> str:
    written = str(value).strip().lower()
    if written.startswith("0000-"):
        return "zero dates"
    if "infinity" in written:
        return "infinity"
    year, _, rest = written.partition("-")
    if not year.isdecimal():
        return "not written as a date"
    if not rest:
        return "a year alone" if len(year) == 4 else "not written as a date"
    return f"in the year {year}" if int(year) > 2100 or int(year) < 1900 else "no such day"
