"""
A refused batch taken apart, until every record has a verdict of its own.

The API refuses a whole batch for one bad record and says why in prose (docs/api-facts.md#f-errors),
and may have taken a part of it (docs/api-facts.md#u8). So each refused request is read back before
any of it goes again, and that waits for the queue. Requests are cheap beside that wait: there are
few rounds, each in as many parts as the next one will have records in a part. Whom the prose names
is tried alone, the others together. The last unit of a round goes alone, so that what is refused
before it can be proved not to have been taken: something that was sent later is there.

A part that is accepted is delivered by that very request. A record that is refused alone is bad.
"""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Sequence
from dataclasses import dataclass

from masivo_engine.batching.units import Unit
from masivo_engine.delivery.refusal_text import culprits, sentences
from masivo_engine.model.answers import Answer


# So few units are sent one by one, where each round is a wait for the queue.
_FEW = 8
_TOO_LARGE = re.compile(
    r"\b(?:payload|body|request|request entity|batch)[^\w\n]+(?:\w+[^\w\n]+){0,2}(?:too (?:large|big)|exceeds|over the"
    r" limit)"
    r"|\b(?:body|size|payload) limit\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refused:
    """
    *units* that the API refused together with *answer*, and that are proved not to have been taken.
    """

    units: Sequence[Unit]
    answer: Answer


def isolate(refused: Refused) -> Generator[list[Sequence[Unit]], Sequence[Refused], None]:
    """
    Find the bad ones among *refused*.

    Yields the parts to be sent next, each as one request. Expects what of them was refused again,
    and is proved not to have been taken; a unit that was refused alone has its verdict and is left
    out. Ends when nothing is left.
    """
    left, is_first = [refused], True
    while left:
        *parts, last = [part for one in left for part in _parts(one, is_first=is_first)]
        ending = [last[:-1], last[-1:]] if len(last) > 1 else [last]
        left = [one for one in (yield [*parts, *ending]) if one.units]
        is_first = False


def is_too_large(refusal: Answer) -> bool:
    """
    Whether *refusal* says that the request was too large, so that nothing is wrong with its
    records.
    """
    return refusal.status == 413 or bool(refusal.status == 422 and _TOO_LARGE.search(sentences(refusal.text)))


def _parts(refused: Refused, *, is_first: bool) -> list[Sequence[Unit]]:
    """
    Return halves by bytes of what was too large, those who are named alone, else as many parts as
    each has units.
    """
    units = refused.units
    if len(units) > 1 and is_too_large(refused.answer):
        return list(_halves_by_bytes(units))
    if len(units) <= _FEW:
        return [[unit] for unit in units]
    named = {id(unit) for unit in culprits(refused.answer.text, units)}
    others = [unit for unit in units if id(unit) not in named]
    size = len(others) if named and is_first else max(1, math.isqrt(len(others)))
    alone = [[unit] for unit in units if id(unit) in named]
    return [*alone, *(others[first : first + size] for first in range(0, len(others), max(size, 1)))]


def _halves_by_bytes(large: Sequence[Unit]) -> tuple[Sequence[Unit], Sequence[Unit]]:
    sizes = [sum(len(record.body) for record in unit) for unit in large]
    middle, size = 1, sizes[0]
    while middle < len(large) - 1 and size + sizes[middle] <= sum(sizes) / 2:
        size += sizes[middle]
        middle += 1
    return large[middle:], large[:middle]
