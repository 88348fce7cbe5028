"""Which case is merged into which, both ways; what follows from the fold, so that no snapshot needs it."""

from __future__ import annotations

import numpy as np

from citytwin.models.columns import Int64, Strings
from citytwin.twin.growable import Grow


class CaseLinks:
    """Parents of merged cases by row, and the children of each parent by code."""

    def __init__(self) -> None:
        self._child = Grow(np.bool_, False)
        self._parent: dict[int, str] = {}
        self._children: dict[str, set[int]] = {}

    def settle(self, slots: Int64, merged_by: Int64, into: Strings) -> None:
        """Follow the fold of these rows: `merged_by` int64[n] the event that merged each (-1 none), `into` by event."""
        if len(slots) == 0:
            return
        self._child.resize(int(slots.max()) + 1)
        for i in np.flatnonzero((merged_by >= 0) | self._child.data[slots]).tolist():
            slot = int(slots[i])
            old = self._parent.pop(slot, None)
            if old is not None:
                self._children[old].discard(slot)
            if merged_by[i] >= 0:
                parent = self._parent[slot] = into[int(merged_by[i])]
                self._children.setdefault(parent, set()).add(slot)
            self._child.data[slot] = merged_by[i] >= 0

    def parent(self, slot: int) -> str:
        """Code of the case that this row is merged into, "" for none."""
        return self._parent.get(slot, "")

    def children(self, code: str) -> list[int]:
        """Rows that are merged into this case, sorted."""
        return sorted(self._children.get(code, ()))
