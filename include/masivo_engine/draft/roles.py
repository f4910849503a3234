"""
Which table holds customers, purchases, lines of purchases, movements of points, and what is left
of them.

A table is judged by its name, by its columns and by what refers to what. The judgement is a number
with its reasons in words; people see the reasons, and the next best tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from masivo_engine.draft.schema import Column, Family, Table
from masivo_engine.draft.words import KEY_WORDS, listed, shared_prefix, vocabulary, without, words


class Role(StrEnum):
    """What a table may be for a migration."""

    CUSTOMERS = "customers"
    PURCHASES = "purchases"
    LINES = "lines"
    POINTS = "points"
    LOTS = "lots"  # what is left of points that were given


@dataclass(frozen=True, slots=True)
class Step:
    """From *column* of one table to the column *target* of the table *to*."""

    column: str
    to: Table
    target: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    The *table* taken for a role, *why*, the *others* that might be it, and the *way* from it to the
    table that it belongs to: one step, or two over a table between.
    """

    table: Table
    why: str
    others: tuple[str, ...]
    way: tuple[Step, ...] = ()


_PEOPLE = vocabulary(
    _6="customer client member cliente socio miembro",
    _4="user people person usuario persona",
    _3="account partner contact buyer shopper subscriber cardholder afiliado titular contacto",
)
_SALES = vocabulary(
    _6="order purchase sale receipt pedido compra venta",
    _4="invoice ticket bill transaction factura recibo orden boleta",
)
_LINES = vocabulary(_6="line item detail linea detalle renglon partida", _3="product article row position articulo")
_POINTS = vocabulary(
    _4="point loyalty reward punto bonus mile stamp credit fidelidad premio",
    _3="ledger log history transaction entry movement movimiento historial",
)
_LOTS = vocabulary(
    _4="lot balance wallet award saldo lote purse", _3="point loyalty reward punto bonus mile stamp card credit"
)
_OF_POINTS = listed("point loyalty reward punto bonus mile stamp fidelidad")
_LEFT = listed("balance remaining left available rest saldo restante disponible")
_ENDS = frozenset(
    ["expire", "expiry", "expiration", "expires", "expired", "validity", "vencimiento", "caduca", "vence"]
)
_TIMES = {Family.MOMENT, Family.DAY}
_LEAST = 4.0


class Roles:
    """The tables of one database, and which of them have which role."""

    def __init__(self, tables: Iterable[Table]) -> None:
        self.tables = list(tables)
        self.by_place = {table.place: table for table in self.tables}
        self.prefix = shared_prefix([table.name for table in self.tables])
        self.chosen: dict[Role, Chosen] = {}
        self._choose(Role.CUSTOMERS, self._as_customers)
        self._choose(Role.PURCHASES, self._as_purchases, Role.CUSTOMERS)
        self._choose(Role.LINES, self._as_lines, Role.PURCHASES)
        self._choose(Role.LOTS, self._as_lots, Role.CUSTOMERS)
        self._choose(Role.POINTS, self._as_points, Role.CUSTOMERS)

    def words(self, table: Table) -> tuple[str, ...]:
        """Return what the name of *table* says."""
        return without(words(table.name), {self.prefix})

    def way(self, table: Table, role: Role) -> tuple[Step, ...]:
        """Return how *table* refers to the table of *role*, over one between at most."""
        target = self.chosen[role].table
        direct = self._step(table, target, role)
        if direct or table is target:
            return (direct,) if direct else ()
        for reference in table.references:
            between = self.by_place.get(reference.of)
            if between is not None and between not in (table, target):
                step = self._step(between, target, role)
                if step:
                    return Step(reference.column, between, reference.target), step
        return ()

    def beside(self, role: Role) -> list[tuple[Table, Step]]:
        """Return the tables without a role that refer to the table of *role*."""
        target, taken = self.chosen[role].table, [one.table for one in self.chosen.values()]
        found = ((table, self._step(table, target, role)) for table in self.tables if table not in taken)
        return [(table, step) for table, step in found if step]

    def _choose(
        self, role: Role, judge: Callable[[Table], tuple[float, list[str]]], parent: Role | None = None
    ) -> None:
        if parent is not None and parent not in self.chosen:
            return
        taken = [one.table for one in self.chosen.values()]
        found: list[tuple[float, list[str], Table, tuple[Step, ...]]] = []
        for table in self.tables:
            if table in taken or not any(is_key(column) for column in table.columns):
                continue
            way = self.way(table, parent) if parent else ()
            points, why = judge(table)
            if parent is not None and not way:
                continue
            if parent is not None:
                points += 3 if len(way) == 1 else 1
                why.append(f"{way[0].column} leads to {self.chosen[parent].table.name}")
            if points >= _LEAST and len(why) > (1 if parent else 0):
                found.append((points, why, table, way))
        found.sort(key=lambda one: (-one[0], one[2].name))
        if found:
            _, why, table, way = found[0]
            self.chosen[role] = Chosen(table, ", ".join(why), tuple(one[2].name for one in found[1:4]), way)

    def _named(self, table: Table, known: dict[str, float], *also: Iterable[str]) -> tuple[float, list[str]]:
        """Judge the name of *table*; its last word says what it holds, in Spanish its first."""
        said = self.words(table)
        hits = [(word, known[word] * (1 if place in (0, len(said) - 1) else 0.5)) for place, word in enumerate(said)
                if word in known]  # fmt: skip
        if not hits:
            return 0.0, []
        fits = frozenset(known).union(*also)
        strangers = [word for word in said if word not in fits and len(word) > 2]
        is_head = said[-1] in known or said[0] in _SPANISH
        points = max(points for _, points in hits) - 1.5 * len(strangers)
        return points - (0 if is_head else 2), [f"its name says {hits[-1][0]}"]

    def _as_customers(self, table: Table) -> tuple[float, list[str]]:
        points, why = self._named(table, _PEOPLE)
        said = {word for column in table.columns for word in words(column.name)}
        if said & {"email", "mail", "correo"}:
            points, why = points + 3, [*why, "it has an e-mail address"]
        if said & {"first", "last", "surname", "nombre", "apellido"}:
            points, why = points + 2, [*why, "it has names"]
        points += bool(table.only_key) + bool(said & {"birth", "birthday", "gender", "nacimiento", "sexo", "joined"})
        referring = sum(1 for other in self.tables if any(one.of == table.place for one in other.references))
        if referring:
            points, why = points + min(referring, 3), [*why, f"{referring} tables refer to it"]
        return (points, why) if said & {"email", "mail", "correo", "name", "nombre", "first", "last"} else (0, [])

    def _as_purchases(self, table: Table) -> tuple[float, list[str]]:
        points, why = self._named(table, _SALES, _PEOPLE)
        if set(self.words(table)) & _OF_POINTS or not points:
            return 0.0, []
        said = {word for column in table.columns for word in words(column.name)}
        if said & {"total", "amount", "subtotal", "importe", "monto", "cents"}:
            points, why = points + 2, [*why, "it has amounts"]
        points += any(column.family in _TIMES for column in table.columns)
        points += bool(self._as_parent(table))
        return points, why

    def _as_parent(self, table: Table) -> bool:
        """Whether some table looks like the lines of *table*."""
        own = self.words(table)[-1:]
        return any(
            other is not table
            and set(self.words(other)) & set(_LINES)
            and set(self.words(other)) & set(own)
            and any(column.name == table.only_key for column in other.columns)
            for other in self.tables
        )

    def _as_lines(self, table: Table) -> tuple[float, list[str]]:
        points, why = self._named(table, _LINES, _SALES)
        if set(self.words(table)) & _OF_POINTS or not points:
            return 0.0, []
        said = {word for column in table.columns for word in words(column.name)}
        if said & {"quantity", "qty", "cantidad", "unit"}:
            points, why = points + 3, [*why, "it has quantities"]
        if said & {"sku", "product", "article", "producto", "articulo", "ean"}:
            points, why = points + 2, [*why, "it names products"]
        return points, why

    def _as_lots(self, table: Table) -> tuple[float, list[str]]:
        named = set(self.words(table))
        said = {word for column in table.columns for word in words(column.name)}
        points, why = self._named(table, _LOTS, _PEOPLE)
        if not (named | said) & _OF_POINTS or not any(column.family in _NUMBERS for column in table.columns):
            return 0.0, []
        if said & _LEFT:
            points, why = points + 4, [*why, "it says what is left"]
        elif not named & {"lot", "lote", "balance", "saldo", "wallet", "purse"}:
            return 0.0, []
        if said & _ENDS:
            points, why = points + 1, [*why, "it says when points end"]
        return points, why

    def _as_points(self, table: Table) -> tuple[float, list[str]]:
        named = set(self.words(table))
        said = {word for column in table.columns for word in words(column.name)}
        numbers = {word for column in table.columns if column.family in _NUMBERS for word in words(column.name)}
        points, why = self._named(table, _POINTS, _PEOPLE)
        if not (named | numbers) & _OF_POINTS:
            return 0.0, []
        if numbers & (_OF_POINTS | {"amount", "issued", "used", "cantidad"}):
            points, why = points + 3, [*why, "it has points"]
        elif not named & _OF_POINTS:
            return 0.0, []
        points += any(column.family in _TIMES for column in table.columns)
        if said & {"balance", "saldo"}:
            points -= 1
        return points, why

    def _step(self, table: Table, target: Table, role: Role) -> Step | None:
        """Return how a column of *table* refers to *target*, the best of them, or None."""
        if table is target:
            return None
        best: tuple[float, Step] | None = None
        for column in table.columns:
            points, goal = self._refers(table, column, target, role)
            if points and (best is None or points > best[0]):
                best = points, Step(column.name, target, goal)
        return best[1] if best else None

    def _refers(self, table: Table, column: Column, target: Table, role: Role) -> tuple[float, str]:
        for reference in table.references:
            if reference.column == column.name and reference.of == target.place:
                return 9.0 - len(words(column.name)) / 10, reference.target
        goal = next((one for one in target.columns if one.name == key_of(target)), None)
        if goal is None or not is_key(column) or not _alike(column, goal):
            return 0.0, ""
        said = words(column.name)
        if column.name.lower() == goal.name.lower() and without(said, KEY_WORDS):
            return 8.0, goal.name
        rest = without(said, KEY_WORDS, {self.prefix})
        known = {Role.CUSTOMERS: _PEOPLE, Role.PURCHASES: _SALES}.get(role, {})
        if not rest or (not set(said) & KEY_WORDS and said[-1:] != self.words(target)[-1:]):
            return 0.0, ""
        own = {*self.words(target)}
        hits = [word for word in rest if word in own or word in known]
        return (6.0 + (rest[-1] in own), goal.name) if len(hits) == len(rest) else (0.0, "")


_SPANISH = frozenset(
    [
        "cliente",
        "socio",
        "miembro",
        "usuario",
        "pedido",
        "compra",
        "venta",
        "linea",
        "detalle",
        "movimiento",
        "punto",
        "saldo",
    ]
)
_NUMBERS = {Family.NUMBER, Family.ANY}
_KEYS = {Family.NUMBER, Family.TEXT, Family.UUID, Family.BYTES, Family.ANY, Family.CODE}


def is_key(column: Column) -> bool:
    """Whether *column* can be a key at all."""
    return column.family in _KEYS


def _alike(one: Column, other: Column) -> bool:
    return one.family is other.family or Family.ANY in (one.family, other.family)


def key_of(table: Table) -> str:
    """Return the column by which a row of *table* is known, as far as one can tell; or nothing."""
    able = [column.name for column in table.columns if is_key(column)]
    if table.only_key in able:
        return table.only_key
    keyed = [name for name in able if set(words(name)) & KEY_WORDS]
    named = [name for name in keyed if {*without(words(name), KEY_WORDS)} <= {*words(table.name)}]
    return next(iter([*named, *keyed, *able]), "")
