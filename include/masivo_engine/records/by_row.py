"""
One row into its record, or into a rejection that says why not.

This is the definition of a record, and the only place that knows why a row is bad. Nothing here
raises for bad data: the page of a bad row goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from masivo_engine.contract.fields import LONGEST_KEY, Kind
from masivo_engine.contract.tree import MODELS, Node, tree
from masivo_engine.mapping.loader import Adjust
from masivo_engine.mapping.values import Unfit, key_text, shape, text
from masivo_engine.model import ledger_capacity
from masivo_engine.model.errors import MappingError
from masivo_engine.model.places import place_of, place_of_row
from masivo_engine.model.rows import NO_BALANCE, Entity, LegacyRow, Lists, Record, Rejection, Row, UnreadableRow
from masivo_engine.records.json_text import canonical, content_hash
from masivo_engine.records.outliers import is_outlier
from masivo_engine.records.payload import (
    PayloadBuilder,
    UnfitColumn,
    as_decimal,
    by_reward,
    change_text,
    element_order,
    rises,
)


# Reasons by pydantic's type of error; patterns by the kind of field.
_REASONS = {
    "missing": "missing_value",
    "string_too_short": "missing_value",
    "too_short": "empty_list",
    "literal_error": "unknown_code",
}
_PATTERNS = {Kind.EMAIL: "email_malformed", Kind.UUID: "not_a_uuid", Kind.INSTANT: "not_a_date", Kind.DAY: "not_a_date"}
# What is said instead of a value's shape.
_SHAPES = {"missing_value": "nothing", "empty_list": "no elements"}


class RowMaker:
    """
    Makes one record at a time.

    Raises `MappingError` if `adjust` invents columns.
    """

    def __init__(
        self, entity: Entity, builder: PayloadBuilder, lists: Mapping[str, PayloadBuilder], adjust: Adjust | None
    ) -> None:
        self._entity = entity
        self._builder = builder
        self._lists = lists
        self._adjust = adjust
        self._key, self._customer = builder.key, builder.customer
        self._check: Callable[[Any], Any] = MODELS[entity].__pydantic_validator__.validate_python

    def make(self, row: LegacyRow | UnreadableRow) -> Record | Rejection:
        """Make the record of *row*."""
        if isinstance(row, UnreadableRow):
            return self._unreadable(row)
        values = row.values
        at = self._at(values)
        key = customer = ""
        try:
            if self._adjust is not None:
                values = self._adjusted(self._adjust, values)
            key = self._identity(values, self._key, "missing_key")
            customer = key if self._customer == self._key else self._identity(values, self._customer, "missing_value")
            payload = self._payload(values, row.lists)
            self._check(payload)
            return self._record(key, customer, payload)._replace(**at)
        except UnfitColumn as fault:
            reason, column, described = fault.reason, fault.column, fault.shape
        except ValidationError as error:
            reason, column, described = self._broken_rule(error)
        points = self._points_at_stake(values, row.lists)
        key = key or self._name_in(self._key, values, row.values)
        customer = customer or self._name_in(self._customer, values, row.values)
        return Rejection(self._entity, key, customer, reason, column, described, points, **at)

    def _at(self, values: Row) -> dict[str, Any]:
        """Return where a row stands, before anything of it is judged."""
        key, customer = values[self._key], values[self._customer]
        amount, changed = self._builder.index("amount"), self._builder.changed
        return {
            "place": place_of_row(key, customer, values[amount] if amount >= 0 else None),
            "owner": place_of(customer),
            "changed": change_text(values[changed]) if changed >= 0 else "",
        }

    def _name_in(self, index: int, adjusted: Row, given: Row) -> str:
        """Return a key as text as far as it is one: as adjust() has it, or else as it was given."""
        return _name(adjusted[index]) or _name(given[index])

    def _adjusted(self, adjust: Adjust, values: Row) -> Row:
        columns = self._builder.columns
        try:
            changed = adjust(dict(zip(columns, values, strict=True)))
            adjusted = tuple(changed.get(column) for column in columns)
        except Exception as error:  # noqa: BLE001 (a person wrote it, for rows that nobody foresaw)
            raise UnfitColumn("adjust_failed", "adjust()", type(error).__name__) from None
        if len(changed) > len(columns) or not changed.keys() <= set(columns):
            invented = ", ".join(sorted(map(repr, changed.keys() - set(columns))))
            where = self._builder.query.where.removesuffix(".sql") + ".py"
            raise MappingError(where, f"adjust() returns unknown columns: {invented}", "select them in the SQL first")
        return adjusted

    def _identity(self, row: Row, index: int, reason: str) -> str:
        """Read a key as text; *reason* says what it means that there is none."""
        column = self._builder.columns[index]
        try:
            found = key_text(row[index]) if row[index] is not None else None
        except Unfit as fault:
            raise UnfitColumn(fault.reason, column, fault.shape) from None
        if found is None:
            raise UnfitColumn(reason, column, "nothing")
        if len(found) > LONGEST_KEY:
            raise UnfitColumn("contract", column, shape(found))
        return found

    def _payload(self, values: Row, lists: Lists) -> dict[str, Any]:
        try:
            elements = {path: _elements(path, lists.get(path, ()), builder) for path, builder in self._lists.items()}
        except UnfitColumn:
            self._builder.payload(values)  # a fault of the row itself is named first
            raise
        return self._builder.payload(values, elements)

    def _record(self, key: str, customer: str, payload: dict[str, Any]) -> Record:
        body = canonical(payload)
        points, balance, reward, email = Decimal(0), NO_BALANCE, "", ""
        if self._entity is Entity.TRANSACTIONS:
            points, reward = as_decimal(payload["amount"]), payload["reward_id"].lower()
            _refuse_too_many(points, "amount")
        elif self._entity is Entity.CUSTOMERS:
            balance = by_reward((line["reward_id"], line["amount"]) for line in payload["balance"])
            if any(amount < 0 for amount in balance.values()):
                raise UnfitColumn("negative_balance", "balance", "number below zero")
            points, email = sum(balance.values(), Decimal(0)), payload["email"].lower()
            is_one = any(not ledger_capacity.holds(as_decimal(line["amount"])) for line in payload["balance"])
            _refuse_too_many(points, "balance[].amount" if is_one else "balance")
        odd = is_outlier(self._entity, payload, points)
        digest = content_hash(body)
        return Record(self._entity, key, customer, body, digest, points, balance, reward, email, is_outlier=odd)

    # Why a row is bad, and what it is worth all the same.

    def _unreadable(self, row: UnreadableRow) -> Rejection:
        values = [row.amount if column == "amount" else None for column in self._builder.columns]
        points = self._points_at_stake(values, {})
        key, customer = _name(row.key), _name(row.customer)
        place, owner = place_of_row(row.key, row.customer, row.amount), place_of(row.customer)
        return Rejection(self._entity, key, customer, row.reason, row.column, row.shape, points, place, owner)

    def _broken_rule(self, error: ValidationError) -> tuple[str, str, str]:
        """Return reason, column and shape of the first rule that is broken."""
        first = error.errors(include_url=False, include_context=False)[0]
        column, node = _named(tree(self._entity), first["loc"])
        reason = _REASONS.get(first["type"], "contract")
        if first["type"] == "string_pattern_mismatch" and node is not None and node.kind is not None:
            reason = _PATTERNS.get(node.kind, reason)
        return reason, column, _SHAPES.get(reason) or shape(first["input"])

    def _points_at_stake(self, values: Row, lists: Lists) -> Decimal:
        """Return what a rejected row is worth, as far as it can be read: the account is whole."""
        if self._entity is Entity.EVENTS:
            return Decimal(0)
        if self._entity is Entity.TRANSACTIONS:
            amounts = [_readable(self._builder, values, "amount")]
        elif "balance" in self._lists:
            amounts = [_readable(self._lists["balance"], line, "amount") for line in lists.get("balance", ())]
        else:
            amounts = [line.get("amount") for line in _readable(self._builder, values, "balance") or ()]
        points = sum((as_decimal(amount) for amount in amounts if amount is not None), Decimal(0))
        return points if ledger_capacity.holds(points) else Decimal(0)


def _elements(path: str, rows: Sequence[Row], builder: PayloadBuilder) -> list[dict[str, Any]]:
    """Build the elements of the list at *path*, in their order."""
    try:
        elements = [builder.payload(row) for row in rows]
    except UnfitColumn as fault:
        raise UnfitColumn(fault.reason, f"{path}[].{fault.column}", fault.shape) from None
    if len(rows) < 2:
        return elements
    positions = [row[builder.position] for row in rows] if builder.position >= 0 else [None] * len(rows)
    if all(rises(positions)):
        return elements
    return [elements[index] for index in element_order(positions, [canonical(one).decode() for one in elements])]


def _refuse_too_many(points: Decimal, column: str) -> None:
    """Raise `UnfitColumn` for *points* that the ledger cannot hold: nobody has so many."""
    if not ledger_capacity.holds(points):
        raise UnfitColumn("not_a_number", column, shape(points))


def _readable(builder: PayloadBuilder, row: Row, column: str) -> Any:
    """Return the value of *column* of *row*, None where it is unfit."""
    try:
        return builder.value(row, column)
    except Unfit:
        return None


def _name(value: Any) -> str:
    """Return a key as text as far as it is one, for a row of which nothing else is known."""
    try:
        return ((text(value) if value is not None else None) or "")[:LONGEST_KEY]
    except Unfit:
        return ""


def _named(node: Node, loc: tuple[int | str, ...]) -> tuple[str, Node | None]:
    """Translate pydantic's *loc* into a column alias; in a list it is ``path[].column``."""
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
