"""What the tallies of one tick share: columns of the same rows, and changed readings split by property."""

from __future__ import annotations

import numpy as np

from citytwin.indicators.columns import RowColumns
from citytwin.models.columns import Int64
from citytwin.twin.entities import Entities
from citytwin.twin.tables import NewestTable, Table

_NONE = np.zeros(0, np.int64)


class Memo:
    """Kept for one tick: nothing changes while it is in use."""

    def __init__(self, entities: Entities, now: int) -> None:
        self._entities, self._now = entities, now
        self._columns: dict[tuple[int, bytes], RowColumns] = {}
        #: By table and rows: the rows of each property. The rows are held too, so that no other array takes their id.
        self._split: dict[tuple[int, int], tuple[Int64, dict[int, Int64]]] = {}

    def columns(self, table: Table, rows: Int64) -> RowColumns:
        """Columns of the rows, which every tally over the same rows shares."""
        key = (id(table), rows.tobytes())
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = RowColumns(table, rows, self._entities, self._now)
        return found

    def of_property(self, table: NewestTable, rows: Int64, name: str) -> tuple[Int64, Int64]:
        """Those of the rows (int64, sorted) that hold a property, and those that hold none any more."""
        codes, names = table.codes("property")
        key = (id(table), id(rows))
        if key not in self._split:
            mine = codes[rows]
            order = np.argsort(mine, kind="stable")
            cuts = np.flatnonzero(np.diff(mine[order])) + 1
            parts = np.split(rows[order], cuts)
            self._split[key] = (rows, {int(codes[p[0]]): p for p in parts if len(p)})
        split = self._split[key][1]
        known = names.index(name) if name in names else -2
        return split.get(known, _NONE), split.get(-1, _NONE)
