"""
A mapping folder to begin with, for a database that nobody has mapped.

What a schema shows is taken as it is; what codes mean and what money is made of, it does not show,
and no draft guesses it. The SQL runs as it is written: each file is tried before it is kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Engine, column, func, quoted_name, select
from sqlalchemy.exc import SQLAlchemyError

from masivo_engine.draft import files, schema
from masivo_engine.draft.guesses import FileGuess, guesses
from masivo_engine.draft.roles import Role, Roles
from masivo_engine.model.errors import Misconfigured
from masivo_engine.source.database import Database
from masivo_engine.sql import REFUSALS


_FIRST_ROWS = 20_000
_MOST_VALUES = 12
_LONGEST = 30
_MISSING = {
    Role.PURCHASES: "no table looks like purchases of these customers: there is no events.sql",
    Role.LINES: "no table looks like lines of purchases: there is no events.order__products.sql",
    Role.POINTS: "no table looks like movements of points: there is no transactions.sql",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """The *texts* of the files by name, the *guesses* in them, and what is *missing*."""

    texts: dict[str, str]
    guesses: list[FileGuess]
    missing: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Say for people what was taken for what, and how much is left to fill in."""
        for file in self.guesses:
            others = f" (or {', '.join(file.chosen.others)})" if file.chosen.others else ""
            yield f"{file.name}.sql: {file.chosen.table.name}{others}, because {file.chosen.why}"
        yield from self.missing

    @property
    def to_fill_in(self) -> int:
        """How many lines are left to a person."""
        return sum(text.count(files.FILL_IN) for text in self.texts.values())


def drafted(engine: Engine) -> Draft:
    """
    Return a draft for the database of *engine*, which is only read.

    Raises `LegacyError` if it cannot be reached, `Misconfigured` if nothing in it looks like
    customers.
    """
    roles = Roles(schema.tables(engine))
    made = guesses(roles)
    if not made:
        seen = ", ".join(one.name for one in roles.tables[:12]) or "no tables at all"
        raise Misconfigured(
            "nothing in the legacy database looks like customers, with a key and a name or an e-mail address: this user"
            f" sees {seen}; name another database or schema, or write customers.sql by hand"
        )
    writer = files.Writer(engine)
    held = _Held(engine)
    texts = {f"{file.name}.sql": writer.sql(file, held.values) for file in made}
    times = [
        f"{file.chosen.table.name}.{one.name}"
        for file in made
        for guess in file.guesses
        for one in guess.columns
        if files.is_time(one)
    ]
    texts["mapping.yaml"] = files.settings(list(dict.fromkeys(times)))
    missing = tuple(text for role, text in _MISSING.items() if role not in roles.chosen)
    return Draft(texts, made, missing)


def write(draft: Draft, folder: Path) -> None:
    """Write *draft* into the new *folder*. Raises `Misconfigured` where that cannot be."""
    try:
        folder.mkdir(parents=True)
        for name, text in draft.texts.items():
            (folder / name).write_text(text, "utf-8")
    except FileExistsError:
        raise Misconfigured(
            f"{folder} is there already, and a draft overwrites nothing: give it another name"
        ) from None
    except OSError as error:
        raise Misconfigured(f"the draft cannot be written to {folder}: {error.strerror}") from None


class _Held:
    """What columns of codes hold: a person has to know it, to say what the codes mean."""

    def __init__(self, engine: Engine) -> None:
        self._database = Database(engine)

    def values(self, of: schema.Table, wanted: schema.Column) -> Sequence[str]:
        """
        Return the values of the first rows; none if they are too many or too long for codes, or do
        not come again, as what people type does not.
        """
        name: ColumnElement[Any] = column(quoted_name(wanted.name, quote=True))
        first = select(name.label("v")).select_from(schema.rows_of(of.schema, of.name))
        some = first.limit(_FIRST_ROWS).subquery("some")
        statement = select(some.c.v, func.count()).group_by(some.c.v).order_by(func.count().desc())
        rows: Sequence[Any] = ()
        with suppress(SQLAlchemyError, *REFUSALS), self._database.reading() as connection:
            rows = connection.execute(statement.limit(_MOST_VALUES + 1)).all()
        if len(rows) > _MOST_VALUES or sum(row[1] for row in rows) < 2 * len(rows):
            return ()
        found = [row[0] for row in rows]
        said = ["NULL" if one is None else repr(one) if isinstance(one, str) else str(one) for one in found]
        return said if all(len(one) <= _LONGEST for one in said) else ()
