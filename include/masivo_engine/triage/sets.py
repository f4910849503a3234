"""The transactions beside customers: whether they can go is asked before a changed balance goes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property

from masivo_engine.ledger.rows import Parent
from masivo_engine.model.rows import Entity
from masivo_engine.model.runs import Slice, Window
from masivo_engine.records.stream import record_pages
from masivo_engine.source.reader import Source
from masivo_engine.triage.triage import Judgement, Row, Triage


class SetsBeside:
    """
    Reads the transactions that stand beside *customers*, and judges them by what *triage* makes of
    their source. Nothing is opened before it is needed.
    """

    def __init__(self, customers: Source, triage: Callable[[Source], Triage]) -> None:
        self._customers = customers
        self._made = triage

    @cached_property
    def _source(self) -> Source:
        return self._customers.beside(Entity.TRANSACTIONS)

    @cached_property
    def _triage(self) -> Triage:
        return self._made(self._source)

    def pages(self, owners: Collection[str]) -> Iterable[Sequence[Row]]:
        """Yield the transactions of *owners*, all of a customer on one page."""
        window = Window(places=tuple(sorted(owners)))
        return filter(None, record_pages(self._source, Slice.everything(Entity.TRANSACTIONS), window))

    def judge(self, page: Sequence[Row], family: Mapping[str, Parent]) -> Judgement:
        """Judge them as if *family* were what the API has of their customers."""
        return self._triage.judge(page, family)
