"""
A page of legacy rows into records and rejections.

Sound rows are made together, by column, at a quarter of the cost. The others are made one by one,
so that their fault can be named. `tests/include/records/test_both_ways.py` compares the bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from masivo_engine.mapping.loader import Adjust
from masivo_engine.model.errors import MappingError
from masivo_engine.model.rows import Entity, LegacyRow, Record, Rejection, UnreadableRow
from masivo_engine.records.by_column import PageMaker
from masivo_engine.records.by_row import RowMaker
from masivo_engine.records.payload import PayloadBuilder


class RecordMaker:
    """
    Makes the records of one entity. *lists*: what builds the elements of its list files, by path.

    Raises `MappingError` if a list is filled twice, or if adjust() invents columns.
    """

    def __init__(
        self,
        entity: Entity,
        builder: PayloadBuilder,
        lists: Mapping[str, PayloadBuilder],
        *,
        adjust: Adjust | None = None,
    ) -> None:
        for path, lines in lists.items():
            if path in builder.columns:
                raise MappingError(lines.query.where, f"{builder.query.where} fills {path!r} too", "keep one of them")
            builder.add_list(path)
        self._by_row = RowMaker(entity, builder, lists, adjust)
        # adjust() is asked row by row, so there is nothing to make together.
        self._by_column = PageMaker(entity, builder, lists) if adjust is None else None

    def make(self, row: LegacyRow | UnreadableRow) -> Record | Rejection:
        """Make the record of *row*."""
        return self._by_row.make(row)

    def make_all(self, rows: Sequence[LegacyRow | UnreadableRow]) -> list[Record | Rejection]:
        """Make the records of a page."""
        if self._by_column is None:
            return [self.make(row) for row in rows]
        together = iter(self._by_column.make([row for row in rows if isinstance(row, LegacyRow)]))
        return [(next(together) if isinstance(row, LegacyRow) else None) or self.make(row) for row in rows]
