"""Troubles of a story: for a while a datastream reads what its trouble says instead of its ordinary value."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.columns import Float64, Int64


@dataclass(frozen=True, slots=True)
class Trouble:
    """Datastream `row` reads `value` in [begin, end) ms."""

    row: int
    begin: int
    end: int
    value: float


@dataclass(slots=True)
class Troubles:
    """The last troubles that were planned."""

    items: deque[Trouble] = field(default_factory=lambda: deque(maxlen=256))

    def add(self, rows: Int64, begin: int, end: int, value: float) -> None:
        """Plan the same trouble for these datastreams."""
        self.items.extend(Trouble(row, begin, end, value) for row in rows.tolist())

    def apply(self, rows: Int64, time: Int64, value: Float64) -> Float64:
        """Readings (datastream rows, ms, values) with the troubles in place of what they hide."""
        if not len(rows):
            return value
        first, last = int(time.min()), int(time.max())
        for each in self.items:
            if each.begin <= last and each.end > first:
                value = np.where((rows == each.row) & (time >= each.begin) & (time < each.end), each.value, value)
        return value
