"""The SQL of a drafted mapping, as its database reads it, with what was guessed in comments."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine

from masivo_engine.draft.guesses import FileGuess, Guess
from masivo_engine.draft.schema import Column, Family, Table


FILL_IN = "FILL IN"

_WIDE = 110
_LETTERS = {
    "customers": "c",
    "customers.balance": "b",
    "events": "o",
    "events.order__products": "l",
    "transactions": "t",
}
# Have CONCAT, which takes values of any type and NULL; the others have `||`.
_CONCATENATES = frozenset({"mysql", "mariadb", "mssql", "postgresql"})
# Elsewhere a name that is a word of SQL's own needs quotes there, too, and no list has all of them.
_ANY_WORD_AFTER_A_DOT = frozenset({"mysql", "mariadb", "postgresql"})

Values = Callable[[Table, Column], Sequence[str]]


class Writer:
    """Writes SQL for the database of *engine*."""

    def __init__(self, engine: Engine) -> None:
        self.dialect = engine.dialect.name
        # Not the engine's own: its driver's parameters would double each percent sign of a name.
        kind: Any = type(engine.dialect)
        self._names = kind(paramstyle="named").identifier_preparer

    def column(self, name: str) -> str:
        """Return the name of a column behind that of a table, in quotes where it needs them."""
        is_safe = self.dialect in _ANY_WORD_AFTER_A_DOT and name.strip()
        return str(self._names.quote(name) if is_safe else self._names.quote_identifier(name))

    def table(self, table: Table) -> str:
        """Return the name of *table* in quotes, because it may be a word of SQL's own."""
        return ".".join(self._names.quote_identifier(name) for name in (table.schema, table.name) if name is not None)

    def sql(self, file: FileGuess, values: Values) -> str:
        """Return the text of *file*; *values* are what a column of codes holds."""
        own = _LETTERS[file.name]
        letters = {file.chosen.table.place: own}
        if len(file.chosen.way) > 1:
            letters[file.chosen.way[0].to.place] = f"{own}1"
        last = len(file.guesses) - 1
        lines = [*_comment(f"Draft: {file.chosen.table.name}, because {file.chosen.why}.", "")]
        if file.chosen.others:
            lines += _comment(f"It might also be {', '.join(file.chosen.others)}.", "")
        lines.append("SELECT")
        for place, guess in enumerate(file.guesses):
            lines += self._line(file, guess, letters, values, comma="" if place == last else ",")
        lines.append(f"FROM {self.table(file.chosen.table)} {own}")
        if len(file.chosen.way) > 1:
            first = file.chosen.way[0]
            on = f"{own}1.{self.column(first.target)} = {own}.{self.column(first.column)}"
            lines.append(f"LEFT JOIN {self.table(first.to)} {own}1 ON {on}")
        if file.sums:
            lines.append(f"GROUP BY {self._of(file.guesses[0], letters)[0]}")
        return "\n".join(lines) + "\n"

    def _line(
        self, file: FileGuess, guess: Guess, letters: dict[tuple[str | None, str], str], values: Values, comma: str
    ) -> list[str]:
        found = self._of(guess, letters)
        others = [one if "." in one else f"{letters[guess.table.place]}.{one}" for one in guess.others]
        if not guess.fill_in:
            line = f"    {self._expression(file, guess, found)} AS {guess.alias}{comma}"
            said = _comment(guess.why + (f"; or {', '.join(others)}" if others else ""), "")
            fits = len(said) == 1 and len(line) + len(said[0]) < _WIDE
            return [f"{line} {said[0]}"] if fits else [*(f"    {one}" for one in said), line]
        said_of = f"{FILL_IN} {guess.alias}: {guess.fill_in}."
        if found or others:
            said_of += f" It may be in {', '.join((*found, *others))}."
        if guess.is_code and (held := values(guess.table, guess.columns[0])):
            said_of += f" {guess.columns[0].name} holds {', '.join(held)}."
        return [*_comment(said_of, "    "), f"    NULL AS {guess.alias}{comma}"]

    def _of(self, guess: Guess, letters: dict[tuple[str | None, str], str]) -> list[str]:
        return [f"{letters[guess.table.place]}.{self.column(column.name)}" for column in guess.columns]

    def _expression(self, file: FileGuess, guess: Guess, found: list[str]) -> str:
        if guess.constant:
            return f"'{guess.constant}'"
        if guess.alias == "details":
            return self._joined("'legacy:'", found[0])
        if guess.alias == "name" and len(found) > 1:
            first, last = (f"COALESCE({one}, '')" for one in found)
            return f"TRIM({self._joined(first, chr(39) + ' ' + chr(39), last)})"
        if guess.alias == "email":
            return f"LOWER(TRIM({found[0]}))"
        if file.sums and guess.alias == "amount":
            return f"SUM({found[0]})"
        return found[0]

    def _joined(self, *terms: str) -> str:
        return f"CONCAT({', '.join(terms)})" if self.dialect in _CONCATENATES else " || ".join(terms)


def _comment(said: str, margin: str, mark: str = "--") -> list[str]:
    """Write *said* as comments; whatever a name holds, no line of it ends the comment."""
    plain = " ".join("".join(sign if sign.isprintable() else " " for sign in said).split())
    return [f"{margin}{mark} {line}" for line in textwrap.wrap(plain, _WIDE, break_on_hyphens=False)]


def settings(times: Sequence[str]) -> str:
    """Return `mapping.yaml` with the zone left to say; *times* are the columns that it is about."""
    said = (
        f"{FILL_IN}: the time zone of times without one, e.g. America/Bogota. Nothing in a schema says which: ask who"
        " runs the shop, or look at what hour of the day people buy. Until it is said, no run begins."
    )
    about = f"It is about {', '.join(times)}." if times else ""
    lines = [
        "description: A draft, made from the tables alone.",
        "",
        *_comment(said, "", "#"),
        *_comment(about, "", "#"),
    ]
    return "\n".join([*lines, "timezone:", ""])


def is_time(column: Column) -> bool:
    """Whether *column* is a point in time by its type."""
    return column.family in {Family.MOMENT, Family.DAY}
