"""How right a draft is, by a ready mapping of the same schema; and databases of any names."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Engine

from masivo_engine.draft.draft import Draft
from masivo_engine.draft.guesses import Guess
from masivo_engine.mapping.aliases import Query
from masivo_engine.mapping.lineage import expressions, tables
from masivo_engine.mapping.loader import Mapping


_QUALIFIED = re.compile(r"\b([A-Za-z_]\w*)\.([A-Za-z_]\w*)\b")


def compared(draft: Draft, ready: Mapping) -> Counter[str]:
    """
    Count the aliases of *ready* that come out of columns: *selected* rightly by *draft*, *named*
    rightly in a line to fill in, *elsewhere* (another column), or *absent*.

    A column is right if the ready mapping's expression has it, too.
    """
    return Counter(verdicts(draft, ready).values())


def verdicts(draft: Draft, ready: Mapping) -> dict[tuple[str, str], str]:
    """Return the words of `compared` by file and alias."""
    made = {file.name: {guess.alias: guess for guess in file.guesses} for file in draft.guesses}
    queries = [*ready.queries.values(), *(query for lists in ready.lists.values() for query in lists.values())]
    found: dict[tuple[str, str], str] = {}
    for query in queries:
        name = query.file_name.removesuffix(".sql")
        for alias, columns in _columns(query).items():
            guess = made.get(name, {}).get(alias)
            found[name, alias] = _verdict(guess, columns) if guess else "absent"
    return found


def _columns(query: Query) -> dict[str, set[tuple[str, str]]]:
    """Return tables and columns behind each alias; of a subquery's column the table is ``*``."""
    known = tables(query)
    found: dict[str, set[tuple[str, str]]] = {}
    for alias, expression in expressions(query).items():
        pairs = _QUALIFIED.findall(re.sub(r"'[^']*'|--[^\n]*", "", expression))
        if pairs:
            found[alias] = {(known.get(owner.lower(), "*").lower(), column.lower()) for owner, column in pairs}
    return found


def _verdict(guess: Guess, columns: set[tuple[str, str]]) -> str:
    said = {(guess.table.name.lower(), column.name.lower()) for column in guess.columns}
    if not said and guess.others:
        table, _, column = guess.others[0].lower().rpartition(".")
        said = {(table, column)}
    if not said:
        return "absent"
    right = all(pair in columns or ("*", pair[1]) in columns for pair in said)
    if not right:
        return "elsewhere"
    return "named" if guess.fill_in else "selected"


# Words of shops, and what makes names hard: reserved words, blanks, signs, quotes, other scripts.
_WORDS = st.sampled_from(
    [
        "customer",
        "user",
        "member",
        "order",
        "sale",
        "receipt",
        "line",
        "item",
        "product",
        "point",
        "loyalty",
        "reward",
        "ledger",
        "log",
        "balance",
        "lot",
        "id",
        "no",
        "code",
        "email",
        "mail",
        "name",
        "first",
        "last",
        "date",
        "created",
        "updated",
        "total",
        "amount",
        "quantity",
        "sku",
        "status",
        "type",
        "payment",
        "shop",
        "cliente",
        "pedido",
        "puntos",
        "correo",
        "nombre",
        "fecha",
        "compra",
        "detalle",
        "saldo",
        "group",
        "select",
        "key",
        "desc",
    ]
)
_SIGNS = st.text("aZ09_ -.%:;'\"`[](){}$#@!?/\\ñéß漢", min_size=1, max_size=8).map(str.strip).filter(bool)
_JOINS = st.sampled_from(["_", "", " ", "-", "%", "\n", "--", "'", '"', "`", ";", ":", "\u2028", "\x85"])
NAMES = st.one_of(
    st.builds(lambda first, second, join: f"{first}{join}{second}", _WORDS, _WORDS, _JOINS),
    _WORDS,
    st.builds(lambda one, two, three: f"{one}_{two}_{three}", _WORDS, _WORDS, _WORDS),
    st.builds(lambda word, sign: f"{word}{sign}".strip(), _WORDS, _SIGNS),
)
_TYPES = {
    "sqlite": "INTEGER|TEXT||DATETIME|DATE|NUMERIC(10,2)|REAL|BLOB|BOOLEAN|VARCHAR(40)|NONSENSE",
    "postgresql": "BIGINT|TEXT|TIMESTAMP|TIMESTAMPTZ|DATE|NUMERIC(10,2)|REAL|BYTEA|BOOLEAN|VARCHAR(40)|UUID|JSONB|INET|"
    "TEXT[]|MONEY|TSVECTOR|XML|INTERVAL|BIT(3)|CHAR(4)",
    "mysql": "BIGINT|TEXT|DATETIME|TIMESTAMP NULL|DATE|DECIMAL(10,2)|FLOAT|VARBINARY(16)|TINYINT(1)|VARCHAR(40)|JSON|"
    "ENUM('a','b')|SET('a','b')|YEAR|TIME|BIT(3)|CHAR(4)|GEOMETRY",
}


def schemas(dialect: str) -> st.SearchStrategy[dict[str, list[tuple[str, str]]]]:
    """Return tables by name, each with its columns and their types as *dialect* writes them."""
    columns = st.lists(
        st.tuples(NAMES, st.sampled_from(_TYPES[dialect].split("|"))), min_size=1, max_size=8, unique_by=_folded
    )
    return st.lists(st.tuples(NAMES, columns), min_size=1, max_size=6, unique_by=_folded).map(dict)


def _folded(named: tuple[str, Any]) -> str:
    return named[0].casefold()


def create(engine: Engine, schema: dict[str, list[tuple[str, str]]]) -> None:
    """Create the tables of *schema*, each with a row of nothing; a first column is often a key."""
    with engine.begin() as begun:
        connection = begun.execution_options(no_parameters=True)
        for number, (name, columns) in enumerate(schema.items()):
            listed = ", ".join(f"{quoted(engine, column)} {kind}" for column, kind in columns)
            first, kind = columns[0]
            key = f", PRIMARY KEY ({quoted(engine, first)})" if number % 2 and kind in {"INTEGER", "BIGINT"} else ""
            connection.exec_driver_sql(f"CREATE TABLE {quoted(engine, name)} ({listed}{key})")
            row = ", ".join("7" if key and not place else "NULL" for place in range(len(columns)))
            connection.exec_driver_sql(f"INSERT INTO {quoted(engine, name)} VALUES ({row})")


def drop(engine: Engine, schema: dict[str, list[tuple[str, str]]]) -> None:
    """Drop the tables of *schema* that are there."""
    with engine.begin() as connection:
        for name in schema:
            connection.execution_options(no_parameters=True).exec_driver_sql(
                f"DROP TABLE IF EXISTS {quoted(engine, name)}"
            )


def quoted(engine: Engine, name: str) -> str:
    """Return *name* in quotes, whatever it holds."""
    mark = "`" if engine.dialect.name in {"mysql", "mariadb"} else '"'
    return f"{mark}{name.replace(mark, mark * 2)}{mark}"
