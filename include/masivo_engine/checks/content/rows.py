"""
The first rows of an entity, made into records as a sync makes them: what would not go, by reason,
and what looks odd.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import Any

from masivo_engine.checks.content.amounts import Amounts, Decimals
from masivo_engine.checks.content.owners import OwnersOfRows
from masivo_engine.checks.content.texts import DoubleEncoded, SameTexts
from masivo_engine.checks.content.times import Moments
from masivo_engine.checks.finding import Finding, blocker, note, several, warning
from masivo_engine.checks.first_load import FirstLoad
from masivo_engine.contract.fields import Kind
from masivo_engine.contract.tree import Node
from masivo_engine.mapping.aliases import CHANGED, KEY, Query, find
from masivo_engine.mapping.lineage import expressions
from masivo_engine.mapping.loader import Mapping
from masivo_engine.mapping.values import unseen
from masivo_engine.model.errors import MigrationError, TryAgainLater
from masivo_engine.model.reasons import REASONS
from masivo_engine.model.rows import Entity, LegacyRow, Record, Rejection, State, UnreadableRow
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import maker_of, shaper_of, whole_customers
from masivo_engine.source.reader import Source
from masivo_engine.triage.triage import Judgement


_PHP = re.compile(r"\s*(?:[aOC]:\d+:|[sibd]:[\d.-]+[;:])")
_LONG = 2**53
_TWINS = frozenset({"duplicate_key", "duplicate_row"})
_LONGEST = 40  # characters of an expression that are worth showing in a sentence
_FRACTIONS = {Kind.MONEY: "money", Kind.POINTS: "points", Kind.QUANTITY: "quantity"}


class Rows:
    """
    Looks at the rows of one entity, as many as *most*; *columns* are the aliases of each file.

    What becomes of each is judged as *load* has it. *strangers* are the values, for people, that
    the contract does not know, by column. Afterwards *rows* is how many were looked at, and
    *elements* those of each list; it *is_whole* unless it was cut short by *most*, and *has_ended*
    if the last row was reached.
    """

    def __init__(
        self,
        legacy: Source,
        mapping: Mapping,
        columns: dict[Query, list[str]],
        load: FirstLoad,
        *,
        now: datetime,
        most: int | None,
        strangers: dict[str, str] | None = None,
    ) -> None:
        self.entity = legacy.entity
        self._legacy = legacy
        self._load = load
        self._most = most
        self._strangers = strangers or {}
        self._query = mapping.queries[self.entity]
        self._own = _File(mapping, self._query, columns[self._query], now)
        self._lists = {
            path: _File(mapping, query, columns[query], now, path=path)
            for path, query in mapping.lists[self.entity].items()
        }
        self._amounts = Amounts(self.entity, load.limits)
        self._owners = OwnersOfRows(self.entity, load)
        self._texts = SameTexts(self.entity)
        self._key = legacy.columns.index(KEY[self.entity])
        self._faults: Counter[tuple[str, str]] = Counter()
        self._details: dict[tuple[str, str], Counter[str]] = {}
        self._keys: Counter[str] = Counter()
        self._long_keys = 0
        self._judged = self._lost = 0
        self.rows = 0
        self.elements = dict.fromkeys(self._lists, 0)
        self.is_whole = True
        self.has_ended = False

    def look(self) -> Iterator[Finding]:
        """Read the rows and yield what was found."""
        twins: dict[str, int] = {}
        try:
            try:
                twins |= self._legacy.twins(Window())
            except TryAgainLater as error:
                matter = f"whether keys are on more than one row: {error}"
                yield note(str(self.entity), "not_checked", matter, "the plan of a run asks, however long it takes")
            pages = whole_customers(self._pages())
            triage = self._load.triage(self._legacy, twins)
            for made in pages:
                self._judge(triage.judge(made))
            if not self.is_whole and twins:
                matter = f"{several(len(twins), 'key')} on more than one row, {sum(twins.values()):,} rows altogether"
                do = "of copies one goes, of different rows none"
                yield warning(str(self.entity), "keys_repeated", matter, do, rows=sum(twins.values()))
        except MigrationError as error:
            yield blocker(str(self.entity), "cannot_be_read", f"after {self.rows:,} rows: {error}", "see the words")
        yield from self._findings()

    def _pages(self) -> Iterator[list[Record | Rejection]]:
        """
        Read, look at each row as it was handed out, and yield what was made of those that can be
        judged: of the customers who are looked at, all that they own.
        """
        part = Slice.everything(self.entity)
        if self.entity.has_parent and self._load.end is not None and self._load.reaches(self._legacy):
            part = replace(part, upper=self._load.end)
            self.is_whole = False
        maker = maker_of(self._legacy)
        with closing(self._legacy.pages(part, Window())) as pages:  # type: ignore[type-var]
            for whole in pages:
                room = None if self._most is None else self._most - self.rows
                if room is not None and room <= 0:
                    self._stop_before(whole[0])
                    return
                page = whole[:room]
                made = maker.make_all(page)
                for row, became in zip(page, made, strict=True):
                    self._see(row, became)
                self.rows += len(page)
                if len(page) < len(whole):
                    self._stop_before(whole[len(page)])
                    yield _without(made, made[-1].customer) if self.entity is Entity.TRANSACTIONS else made
                    return
                self._note_twins(made)
                yield made
        self.has_ended = part.upper is None

    def _stop_before(self, row: LegacyRow | UnreadableRow) -> None:
        self.is_whole = False
        if self.entity is Entity.CUSTOMERS:
            self._load.end = row.key if isinstance(row, UnreadableRow) else row.values[self._key]

    def _see(self, row: LegacyRow | UnreadableRow, became: Record | Rejection) -> None:
        if isinstance(became, Rejection):
            self._note_detail(row, became)
        if isinstance(row, LegacyRow):
            self._own.see(row.values)
            for path, file in self._lists.items():
                for element in row.lists.get(path, ()):
                    file.see(element)
                    self.elements[path] += 1
            key = row.values[self._key]
            self._long_keys += isinstance(key, int) and abs(key) >= _LONG

    def _note_twins(self, made: Sequence[Record | Rejection]) -> None:
        """Note how many rows the keys have that stand on several; they are always in one page."""
        for rows in Counter(row.key for row in made if row.key).values():
            if rows > 1:
                self._keys["keys"] += 1
                self._keys["rows"] += rows

    def _judge(self, judgement: Judgement) -> None:
        self._load.projection.note(self.entity, judgement.judged)
        for one in judgement.judged:
            self._judged += 1
            reason = one.verdict.reason
            if not one.verdict.is_sent:
                self._lost += one.verdict.state is State.QUARANTINED
                self._faults[reason, one.verdict.column] += 1
            if isinstance(one.row, Record):
                self._texts.see(one.row)
                if reason not in _TWINS:  # twins share their lines, so nothing of theirs adds up
                    self._amounts.see(one.row)
            self._owners.see(one)

    def _note_detail(self, row: LegacyRow | UnreadableRow, became: Rejection) -> None:
        detail = ""
        if isinstance(row, LegacyRow) and became.column in self._own.index:
            value = row.values[self._own.index[became.column]]
            if became.reason == "not_a_date":
                detail = _date_kind(value)
            elif became.reason == "invisible_sign":
                detail = ", ".join(unseen(str(value)))
            elif isinstance(value, str) and _PHP.match(value):
                detail = "PHP-serialised text: decode it in customers.py, or leave it out"
        if detail:
            self._details.setdefault((became.reason, became.column), Counter())[detail] += 1

    def _findings(self) -> Iterator[Finding]:
        where = str(self.entity)
        first = f"the first {self._judged:,} rows" if not self.is_whole else f"all {self._judged:,} rows"
        if not self.rows:
            yield warning(where, "no_rows", "the SQL finds no rows", "check its conditions and the rights of the user")
        elif self._lost >= self._judged > self.rows // 2:  # of a sample that was cut, less may be judged
            worst = self._faults.most_common(1)[0][0]
            matter = f"none of {first} becomes a record, most of them because of {worst[0]}"
            yield blocker(where, "no_row_goes", matter, REASONS[worst[0]].do, rows=self.rows)
        else:
            yield note(where, "records", f"{self._judged - self._lost:,} of {first} become records", rows=self.rows)
        for (code, column), count in self._faults.items():
            if code not in self._owners.says:
                yield self._of_fault(code, column, count)
        yield from self._owners.findings(self._judged, is_cut=not self._load.reaches(self._legacy))
        yield from self._texts.findings()
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


def _without(made: Sequence[Record | Rejection], customer: str) -> list[Record | Rejection]:
    """Return *made* without the rows of *customer*, of whom there may be more."""
    return [row for row in made if row.customer != customer]


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
        self._double = DoubleEncoded(query.entity)

    def see(self, row: Sequence[Any]) -> None:
        self._moments.see(row)
        self._decimals.see(row)
        for name in self._texts:
            value = row[self.index[name]]
            self._double.see(name, value)
            if isinstance(value, str) and ":" in value[:8] and _PHP.match(value):
                self._php[name] += 1

    def findings(self) -> Iterator[Finding]:
        yield from self._moments.findings()
        yield from self._decimals.findings()
        yield from self._double.findings()
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
