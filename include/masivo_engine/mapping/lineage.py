"""
Where each value of a mapping comes from: the expression in front of an alias, and the tables behind
it.

SQL is read only as far as people need it: the outermost select list, and the names behind FROM and
JOIN. What is written in another way (``SELECT *``, an alias without AS before a UNION) is not
known, and nothing depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from masivo_engine.mapping.aliases import Query


_WORDS = re.compile(
    r"(?P<blank>\s+|--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<name>\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|[\w$.]+(?:\.[\"`][^\"`]*[\"`])*)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_QUALIFIED = re.compile(r"(?:[\w$]+|\"[^\"]+\"|`[^`]+`)(?:\.(?:[\w$]+|\"[^\"]+\"|`[^`]+`))*")
_NO_ALIAS = frozenset(
    [
        "on",
        "where",
        "join",
        "left",
        "right",
        "inner",
        "outer",
        "cross",
        "full",
        "natural",
        "using",
        "group",
        "order",
        "limit",
        "having",
        "union",
        "window",
    ]
)


@lru_cache(maxsize=64)
def expressions(query: Query) -> dict[str, str]:
    """Return the expression behind each lower-case alias, blanks and comments as one blank."""
    found: dict[str, str] = {}
    for item in _select_list(query.sql):
        words = list(item)
        while words and words[-1].isspace():
            words.pop()
        if not words:
            continue
        alias, rest = words[-1], words[:-1]
        if rest and not rest[-1].isspace():
            # Nothing stands between the two: a column such as `m.no`, or an expression without
            # alias.
            if len(words) == 1 or not _QUALIFIED.fullmatch("".join(words).strip()):
                continue
            rest = words
        elif rest and "".join(rest).strip().lower().endswith(" as"):
            rest = list("".join(rest).strip()[:-3])
        expression = " ".join("".join(rest).split()) or alias
        found[plain(alias.rpartition(".")[2] if "." in alias else alias).lower()] = expression
    return found


def tables(query: Query) -> dict[str, str]:
    """Return the unquoted tables of *query* by the lower-case name that qualifies their columns."""
    words = [(kind, word) for kind, word in _words(query.sql) if kind != "blank"]
    found: dict[str, str] = {}
    for index, (_, word) in enumerate(words[:-1]):
        if word.lower() not in {"from", "join"} or words[index + 1][0] != "name":
            continue
        end = index + 1
        name = words[end][1]
        while end + 2 < len(words) and words[end + 1][1] == "." and words[end + 2][0] == "name":
            name += "." + words[end + 2][1]
            end += 2
        table = plain(name.rpartition(".")[2])
        found.setdefault(table.lower(), table)
        following = [word for _, word in words[end + 1 : end + 3]]
        if following and following[0].lower() == "as":
            following = following[1:]
        if following and re.fullmatch(r"[\w$]+|\"[^\"]+\"|`[^`]+`", following[0]):
            called = plain(following[0]).lower()
            if called not in _NO_ALIAS:
                found[called] = table
    return found


def column_behind(query: Query, alias: str) -> tuple[str, str] | None:
    """Return table and column behind *alias* where it is a plain column, otherwise None."""
    expression = expressions(query).get(alias.lower(), "")
    if not _QUALIFIED.fullmatch(expression) or expression[:1].isdigit():
        return None
    owner, _, name = expression.rpartition(".")
    known = tables(query)
    if not owner:
        only = set(known.values())
        return (only.pop(), plain(name)) if len(only) == 1 else None
    table = known.get(plain(owner.rpartition(".")[2]).lower())
    return (table, plain(name)) if table else None


def words_of(query: Query) -> set[str]:
    """Return every name and key word of *query*, in lower case, without texts and comments."""
    names = (plain(part) for kind, word in _words(query.sql) if kind == "name" for part in word.split("."))
    return {name.lower() for name in names}


def plain(name: str) -> str:
    """Return *name* without its quotes."""
    return name.strip('"`[]')


def _words(sql: str) -> Iterator[tuple[str, str]]:
    return ((match.lastgroup or "other", match.group()) for match in _WORDS.finditer(sql))


def _select_list(sql: str) -> Iterator[list[str]]:
    """Yield the items of the outermost SELECT, each as its words; several blanks are one blank."""
    depth, is_inside = 0, False
    item: list[str] = []
    for kind, word in _words(sql):
        lower = word.lower()
        if kind == "blank":
            if item:
                item.append(" ")
            continue
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0 and not is_inside and lower == "select":
            is_inside = True
        elif depth == 0 and is_inside and lower == "from":
            break
        elif depth == 0 and is_inside and word == ",":
            yield item
            item = []
        elif is_inside and not (not item and lower in {"distinct", "all"}):
            item.append(word)
    if item:
        yield item
