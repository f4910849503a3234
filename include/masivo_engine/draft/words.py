"""
Names of tables and columns as words, in English and Spanish.

`customer_id`, `CustomerID`, `id_cliente` and `customerids` all begin with the same thought.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache


_PARTS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def listed(words: str) -> frozenset[str]:
    """Return *words* apart."""
    return frozenset(words.split())


#: What makes a key of a name.
KEY_WORDS = frozenset(
    [
        "id",
        "no",
        "num",
        "nr",
        "number",
        "key",
        "code",
        "ref",
        "pk",
        "fk",
        "uuid",
        "guid",
        "codigo",
        "numero",
        "nro",
        "cod",
    ]
)
#: What says nothing.
FILLERS = frozenset(
    [
        "tbl",
        "table",
        "tab",
        "t",
        "the",
        "of",
        "master",
        "main",
        "base",
        "header",
        "hdr",
        "entity",
        "data",
        "dim",
        "fact",
        "res",
        "app",
        "core",
        "x",
        "at",
        "on",
        "el",
        "la",
        "de",
        "del",
        "cabecera",
        "maestro",
        "tabla",
        "dato",
        "gmt",
        "utc",
        "local",
    ]
)

# Both halves of a name that is written in one, such as `firstname` or `orderid`.
_KNOWN = frozenset(
    [
        "first",
        "last",
        "full",
        "name",
        "user",
        "order",
        "customer",
        "client",
        "member",
        "product",
        "item",
        "line",
        "date",
        "time",
        "birth",
        "day",
        "email",
        "mail",
        "address",
        "code",
        "number",
        "point",
        "total",
        "price",
        "value",
        "amount",
        "type",
        "status",
        "created",
        "updated",
        "modified",
        "changed",
        "id",
        "no",
        "key",
        "add",
        "upd",
        "loyalty",
        "card",
        "reward",
        "balance",
        "sale",
        "purchase",
        "quantity",
        "qty",
        "phone",
        "gender",
        "country",
        "store",
        "shop",
    ]
)


def singular(word: str) -> str:
    """Return *word* as of one: `orders` as `order`, `entries` as `entry`; `status` stays."""
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """Return the words of *name* in lower case, as of one, without accents."""
    plain = "".join(sign for sign in unicodedata.normalize("NFKD", name) if not unicodedata.combining(sign))
    found: list[str] = []
    for part in _PARTS.findall(plain):
        found += _taken_apart(part.lower())
    return tuple(found)


def _taken_apart(word: str) -> tuple[str, ...]:
    alone = singular(word)
    if alone not in _KNOWN:
        for cut in range(2, len(word) - 1):
            begin, end = word[:cut], singular(word[cut:])
            if begin in _KNOWN and end in _KNOWN:
                return begin, end
    return (alone,)


def shared_prefix(names: Sequence[str]) -> str:
    """Return the word with which most of *names* begin, as `wp`; empty where there is none."""
    firsts = [found[0] for found in map(words, names) if len(found) > 1]
    often = max(sorted({*firsts}), key=firsts.count, default="")
    return often if len(names) > 3 and firsts.count(often) > 0.6 * len(names) else ""


def vocabulary(**weights: str) -> dict[str, float]:
    """Return the weight of each word; ``_6="order sale"`` gives both of them 6."""
    return {word: float(weight.strip("_")) for weight, listed in weights.items() for word in listed.split()}


def without(found: Iterable[str], *more: Iterable[str]) -> tuple[str, ...]:
    """Return the words of *found* that say something, and are none of *more*."""
    left_out = FILLERS.union(*more)
    return tuple(word for word in found if word not in left_out and not word.isdigit())
