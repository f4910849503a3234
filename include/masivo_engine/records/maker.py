"""
A legacy row and its list elements into a record, or into a rejection that says why not.

Nothing here raises for bad data: the page that a bad row came in goes on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import lt
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from masivo_engine.contract.fields import LONGEST_KEY, Kind
from masivo_engine.contract.tree import MODELS, Node, required_lists, tree
from masivo_engine.mapping.aliases import CUSTOMER, KEY, POSITION
from masivo_engine.mapping.loader import Adjust
from masivo_engine.mapping.values import Unfit, shape, text
from masivo_engine.model import ledger_capacity
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import NO_BALANCE, Entity, LegacyRow, Lists, Record, Rejection, Row, UnreadableRow
from masivo_engine.records.columns import Filling, Page
from masivo_engine.records.outliers import are_outliers, is_outlier
from masivo_engine.records.payload import Misfit, PayloadBuilder, complete, path_of, put


_CODES = {
    "missing": "missing_value",
    "string_too_short": "missing_value",
    "too_short": "empty_list",
    "literal_error": "unknown_code",
}
_PATTERNS = {Kind.EMAIL: "email_malformed", Kind.UUID: "not_a_uuid", Kind.INSTANT: "not_a_date", Kind.DAY: "not_a_date"}


# What a record is looked at for, column by column. A mapping that lacks one makes no record; which column it is, rows say by themselves.
_JUDGED_BY = {
    Entity.CUSTOMERS: frozenset({"email", "registration_date"}),
    Entity.EVENTS: frozenset({"order__value", "order__discounted_value"}),
    Entity.TRANSACTIONS: frozenset({"amount", "reward_id"}),
}


class _Lines(NamedTuple):
    """The elements of a list over a page: what is written of them, where those of each row end, and their *values* by path."""

    filling: Filling
    ends: Sequence[int]
    values: Mapping[str, Sequence[Any]]


class _Worth(NamedTuple):
    """What records are worth, in the order in which `Record` has it, a value for each row."""

    points: Sequence[Decimal]
    balances: Iterable[Mapping[str, Decimal]]
    rewards: Iterable[str]
    emails: Iterable[str]


class RecordMaker:
    """
    Makes the records of one entity. *lists* are the shapers of its list files, by path.

    Raises `MappingError` for what is wrong with every row: a list that is filled twice, an adjust() that invents columns.
    """

    def __init__(
        self,
        entity: Entity,
        shaper: PayloadBuilder,
        lists: Mapping[str, PayloadBuilder],
        *,
        adjust: Adjust | None = None,
    ) -> None:
        self.entity = entity
        self._shaper = shaper
        self._lists = dict(lists)
        for path, lines in self._lists.items():
            if path in shaper.columns:
                raise MappingError(lines.query.where, f"{shaper.query.where} fills {path!r} too", "keep one of them")
        self._paths = {path: path_of(path) for path in self._lists}
        self._required_lists = [path_of(path) for path, _ in required_lists(tree(entity))]
        self._adjust = adjust
        self._check: Callable[[Any], Any] = MODELS[entity].__pydantic_validator__.validate_python
        self._key = shaper.index(KEY[entity])
        self._customer = shaper.index(CUSTOMER[entity])
        self._positions = {path: lines.index(POSITION) for path, lines in self._lists.items()}

    def make(self, row: LegacyRow | UnreadableRow) -> Record | Rejection:
        """Make the record of *row*."""
        if isinstance(row, UnreadableRow):
            return self._unreadable(row)
        values = row.values
        key = customer = ""
        try:
            if self._adjust is not None:
                values = self._adjusted(self._adjust, values)
            key = self._identity(values, self._key, "missing_key")
            customer = key if self._customer == self._key else self._identity(values, self._customer, "missing_value")
            payload = self._payload(values, row.lists)
            self._check(payload)
            return self._record(key, customer, payload)
        except Misfit as fault:
            reason, column, described = fault.reason, fault.column, fault.shape
        except ValidationError as error:
            reason, column, described = self._fault(error)
        points = self._points_at_stake(values, row.lists)
        return Rejection(self.entity, key, customer, reason, column, described, points)

    def make_all(self, rows: Sequence[LegacyRow | UnreadableRow]) -> list[Record | Rejection]:
        """Make the records of a page: together those that nothing is wrong with, which costs a quarter, and the others one by one."""
        whole = [row for row in rows if isinstance(row, LegacyRow)] if self._adjust is None else []
        together = iter(self._together(whole)) if whole else repeat(None)
        return [(next(together) if isinstance(row, LegacyRow) else None) or self.make(row) for row in rows]

    def _together(self, rows: Sequence[LegacyRow]) -> list[Record | None]:
        """Make what records can be made without a doubt, None for the other rows."""
        count, unsure = len(rows), set[int]()
        lines = {path: self._lines(path, shaper, rows, unsure) for path, shaper in self._lists.items()}
        page = Page([row.values for row in rows], {path: found.filling for path, found in lines.items()}, unsure)
        texts = self._shaper.write(page).texts(count)
        keys = self._shaper.texts(page, self._key)
        customers = keys if self._customer == self._key else self._shaper.texts(page, self._customer)
        for names in (keys, customers):
            if max(len(name or "") for name in names) > LONGEST_KEY:
                unsure.update(position for position, name in enumerate(names) if len(name or "") > LONGEST_KEY)
        if not _JUDGED_BY[self.entity] <= page.values.keys():
            return [None] * count
        worth = self._worth(page, lines)
        odd = are_outliers(self.entity, page.values, worth.points)
        bodies = list(map(str.encode, texts))
        what = (repeat(self.entity, count), keys, customers, bodies, map(_hash, bodies))
        made: list[Record | None] = list(map(Record._make, zip(*what, *worth, repeat(0, count), odd, strict=True)))
        for position in unsure:
            made[position] = None
        return made

    def _lines(self, path: str, shaper: PayloadBuilder, rows: Sequence[LegacyRow], unsure: set[int]) -> _Lines:
        """Write the elements of the list at *path* of each of *rows*."""
        lists = [row.lists.get(path, ()) for row in rows]
        counts = list(map(len, lists))
        ends = list(accumulate(counts))
        lines = list(chain.from_iterable(lists))
        if not lines:
            return _Lines(Filling([""] * len(rows), counts), ends, {})
        page = Page(lines)
        texts = shaper.write(page).texts(len(lines))
        index, joined, start = self._positions[path], [], 0
        positions = page.columns[index] if index >= 0 else [None] * len(lines)
        rises = _rises(positions)
        for position, end in enumerate(ends):
            mine = texts[start:end]
            if end - start > 1 and not all(rises[start : end - 1]):
                mine = [mine[place] for place in _order(positions[start:end], mine)]
            joined.append(",".join(mine))
            if page.unsure and not page.unsure.isdisjoint(range(start, end)):
                unsure.add(position)
            start = end
        return _Lines(Filling(joined, counts), ends, page.values)

    def _worth(self, page: Page, lines: Mapping[str, _Lines]) -> _Worth:
        """Return what the records of *page* are worth; the positions of customers who owe points are unsure."""
        count = len(page.rows)
        no_balance, nothing = [NO_BALANCE] * count, [""] * count
        if self.entity is Entity.EVENTS:
            return _Worth([Decimal(0)] * count, no_balance, nothing, nothing)
        if self.entity is Entity.TRANSACTIONS:
            points = [Decimal(0) if amount is None else _decimal(amount) for amount in page.values["amount"]]
            rewards = [str(reward or "").lower() for reward in page.values["reward_id"]]
            self._doubt_too_many(page, points)
            return _Worth(points, no_balance, rewards, nothing)
        balances = [_by_reward(some) for some in self._balances(page, lines)]
        for position, balance in enumerate(balances):
            if any(amount < 0 for amount in balance.values()):
                page.unsure.add(position)
        points = [sum(balance.values(), Decimal(0)) for balance in balances]
        self._doubt_too_many(page, points)
        emails = [str(email or "").lower() for email in page.values["email"]]
        return _Worth(points, balances, nothing, emails)

    def _doubt_too_many(self, page: Page, points: Sequence[Decimal]) -> None:
        page.unsure.update(position for position, some in enumerate(points) if not ledger_capacity.holds(some))

    def _balances(self, page: Page, lines: Mapping[str, _Lines]) -> Iterator[list[tuple[Any, Any]]]:
        """Yield the lines of each customer's balance, as reward and amount."""
        if "balance" not in lines:
            for position, found in enumerate(page.values.get("balance", [()] * len(page.rows))):
                is_sound = position not in page.unsure
                yield [(line["reward_id"], line["amount"]) for line in found or ()] if is_sound else []
            return
        found = lines["balance"]
        start = 0
        for position, end in enumerate(found.ends):
            rewards, amounts = (found.values.get(name, ())[start:end] for name in ("reward_id", "amount"))
            yield [] if position in page.unsure else list(zip(rewards, amounts, strict=True))
            start = end

    def _unreadable(self, row: UnreadableRow) -> Rejection:
        values = [row.amount if column == "amount" else None for column in self._shaper.columns]
        points = self._points_at_stake(values, {})
        key, customer = _name(row.key), _name(row.customer)
        return Rejection(self.entity, key, customer, row.reason, row.column, row.shape, points)

    def _payload(self, values: Row, lists: Lists) -> dict[str, Any]:
        payload = self._shaper.payload(values)
        for path, shaper in self._lists.items():
            elements = self._elements(path, shaper, lists.get(path, ()))
            if elements:
                put(payload, self._paths[path], elements)
        for place in self._required_lists:
            complete(payload, place)
        return payload

    def _record(self, key: str, customer: str, payload: dict[str, Any]) -> Record:
        body = orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)
        digest = _hash(body)
        if self.entity is Entity.EVENTS:
            odd = is_outlier(self.entity, payload, Decimal(0))
            return Record(self.entity, key, customer, body, digest, is_outlier=odd)
        if self.entity is Entity.TRANSACTIONS:
            points, reward = _decimal(payload["amount"]), payload["reward_id"].lower()
            _refuse_too_many(points, "amount")
            odd = is_outlier(self.entity, payload, points)
            return Record(self.entity, key, customer, body, digest, points, reward=reward, is_outlier=odd)
        balance = _by_reward((line["reward_id"], line["amount"]) for line in payload["balance"])
        if any(amount < 0 for amount in balance.values()):
            raise Misfit("negative_balance", "balance", "number below zero")
        email, points = payload["email"].lower(), sum(balance.values(), Decimal(0))
        is_one = any(not ledger_capacity.holds(_decimal(line["amount"])) for line in payload["balance"])
        _refuse_too_many(points, "balance[].amount" if is_one else "balance")
        odd = is_outlier(self.entity, payload, points)
        return Record(self.entity, key, customer, body, digest, points, balance, email=email, is_outlier=odd)

    def _identity(self, row: Row, index: int, reason: str) -> str:
        column = self._shaper.columns[index]
        try:
            found = text(row[index]) if row[index] is not None else None
        except Unfit as fault:
            raise Misfit(fault.reason, column, fault.shape) from None
        if found is None:
            raise Misfit(reason, column, "nothing")
        if len(found) > LONGEST_KEY:
            raise Misfit("contract", column, shape(found))
        return found

    def _elements(self, path: str, shaper: PayloadBuilder, rows: Sequence[Row]) -> list[dict[str, Any]]:
        try:
            elements = [shaper.payload(row) for row in rows]
        except Misfit as fault:
            raise Misfit(fault.reason, f"{path}[].{fault.column}", fault.shape) from None
        if len(elements) < 2:
            return elements
        index = self._positions[path]
        return _ordered([row[index] for row in rows] if index >= 0 else [None] * len(rows), elements)

    def _adjusted(self, adjust: Adjust, values: Row) -> Row:
        columns = self._shaper.columns
        try:
            changed = adjust(dict(zip(columns, values, strict=True)))
            adjusted = tuple(changed.get(column) for column in columns)
        except Exception as error:  # noqa: BLE001 (a person wrote it, for rows that nobody foresaw)
            raise Misfit("adjust_failed", "adjust()", type(error).__name__) from None
        if len(changed) > len(columns) or not changed.keys() <= set(columns):
            invented = ", ".join(sorted(map(repr, changed.keys() - set(columns))))
            where = self._shaper.query.where.removesuffix(".sql") + ".py"
            raise MappingError(where, f"adjust() returns unknown columns: {invented}", "select them in the SQL first")
        return adjusted

    def _points_at_stake(self, values: Row, lists: Lists) -> Decimal:
        """Return what a rejected row is worth, as far as it can be read and written down, so that the account in points is whole."""
        points = self._points_read(values, lists)
        return points if ledger_capacity.holds(points) else Decimal(0)

    def _points_read(self, values: Row, lists: Lists) -> Decimal:
        if self.entity is Entity.TRANSACTIONS:
            return _amount(self._shaper, values)
        if self.entity is Entity.EVENTS:
            return Decimal(0)
        if "balance" in self._lists:
            lines = lists.get("balance", ())
            return sum((_amount(self._lists["balance"], line) for line in lines), Decimal(0))
        try:
            lines = self._shaper.value(values, "balance") or ()
        except Unfit:
            return Decimal(0)
        return sum((_decimal(line["amount"]) for line in lines if line.get("amount") is not None), Decimal(0))

    def _fault(self, error: ValidationError) -> tuple[str, str, str]:
        first = error.errors(include_url=False, include_context=False)[0]
        column, node = _named(tree(self.entity), first["loc"])
        code = _CODES.get(first["type"], "contract")
        if first["type"] == "string_pattern_mismatch" and node is not None and node.kind is not None:
            code = _PATTERNS.get(node.kind, code)
        described = "nothing" if code == "missing_value" else shape(first["input"])
        if code == "empty_list":
            described = "no elements"
        return code, column, described


def _named(node: Node, loc: tuple[int | str, ...]) -> tuple[str, Node | None]:
    """Translate pydantic's *loc* into a column alias; the elements of a list are written ``path[].column``."""
    name, found = "", node
    for step in loc:
        if found.kind is not None:
            break  # pydantic names the member of a union next, which is no column
        if isinstance(step, int):
            name += "[]"
            continue
        name += ("" if not name else "." if name.endswith("[]") else "__") + step
        following = (found.item or found).children.get(step)
        if following is None:
            return name, None
        found = following
    return name, found


def _ordered(positions: Sequence[Any], elements: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """
    Put *elements* in the order of their *positions*, equals by their content.

    A database promises no order; without one of our own, the same row would hash differently tomorrow.
    """
    if all(_rises(positions)):
        return elements
    written = [orjson.dumps(element, option=orjson.OPT_SORT_KEYS).decode() for element in elements]
    return [elements[place] for place in _order(positions, written)]


def _rises(positions: Sequence[Any]) -> list[bool]:
    """Say of each of *positions* but the last whether it is before the next one, as far as they can be compared."""
    try:
        return list(map(lt, positions, positions[1:]))
    except (TypeError, InvalidOperation):
        return [False] * len(positions)  # some position is NULL or NaN, or they are not all of one type


def _order(positions: Sequence[Any], written: Sequence[str]) -> Sequence[int]:
    """Return the order of elements, given by their *positions* and as JSON."""
    if all(_rises(positions)):
        return range(len(positions))  # only others cannot be compared
    ranks = [(*_rank(position), text) for position, text in zip(positions, written, strict=True)]
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def _rank(position: Any) -> tuple[int, Any]:
    """Numbers come first, then everything else as text, then what has no position."""
    if position is None:
        return 2, ""
    is_number = isinstance(position, int | float | Decimal) and Decimal(position).is_finite()
    return (0, position) if is_number else (1, str(position))


def _name(value: Any) -> str:
    """Return a key as text as far as it is one, for a row of which nothing else is known."""
    try:
        return ((text(value) if value is not None else None) or "")[:LONGEST_KEY]
    except Unfit:
        return ""


def _amount(shaper: PayloadBuilder, row: Row) -> Decimal:
    try:
        return _decimal(shaper.value(row, "amount") or 0)
    except Unfit:
        return Decimal(0)


def _refuse_too_many(points: Decimal, column: str) -> None:
    """Raise `Misfit` for *points* that the ledger cannot hold: no till and no person has so many."""
    if not ledger_capacity.holds(points):
        raise Misfit("not_a_number", column, shape(points))


def _by_reward(lines: Iterable[tuple[Any, Any]]) -> dict[str, Decimal]:
    """Add up the lines of a balance, given as reward and amount."""
    sums: dict[str, Decimal] = {}
    for reward, amount in lines:
        name = str(reward).lower()
        sums[name] = sums.get(name, Decimal(0)) + _decimal(amount)
    return sums


def _hash(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


@lru_cache(maxsize=65536)  # amounts repeat; a whole one is always an int, so 1 and 1.0 do not meet here
def _decimal(number: float) -> Decimal:
    return Decimal(repr(number))
