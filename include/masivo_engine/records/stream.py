"""Records of a slice, in pages that are read ahead and keep a customer's transactions together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from masivo_engine.model.rows import Entity, Record, Rejection
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.maker import RecordMaker
from masivo_engine.records.payload import PayloadBuilder
from masivo_engine.source.prefetch import read_ahead
from masivo_engine.source.reader import Source


_Made = TypeVar("_Made", Record, Rejection, Record | Rejection)


def shaper_of(legacy: Source) -> PayloadBuilder:
    """Return what builds payloads of the rows of *legacy*, without their lists."""
    return PayloadBuilder(legacy.query, legacy.columns.names, legacy.settings, newer_fields=legacy.newer_fields)


def maker_of(legacy: Source) -> RecordMaker:
    """Return what makes records of the rows of *legacy*."""
    lists = {
        path: PayloadBuilder(query, columns.names, legacy.settings, newer_fields=legacy.newer_fields)
        for path, (query, columns) in legacy.lists.items()
    }
    return RecordMaker(legacy.entity, shaper_of(legacy), lists, adjust=legacy.adjust)


def record_pages(legacy: Source, part: Slice, window: Window) -> Iterator[Sequence[Record | Rejection]]:
    """
    Yield the records of the rows, in pages. A customer's transactions are never on two pages.

    Empty pages come while the database is waited for, so that the caller can do something else.
    """
    maker = maker_of(legacy)
    made = (maker.make_all(found) if found else [] for found in read_ahead(legacy.pages(part, window)))
    yield from whole_customers(made) if legacy.entity is Entity.TRANSACTIONS else made


def whole_customers(pages: Iterable[list[_Made]]) -> Iterator[list[_Made]]:
    """
    Cut *pages*, which are in the order of their customers, so that no customer is on two; empty
    ones are passed on.
    """
    held: list[_Made] = []
    for made in pages:
        if not made:
            yield made
            continue
        held += made
        last = held[-1].customer
        cut = len(held)
        while cut and held[cut - 1].customer == last:
            cut -= 1
        if cut:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held
