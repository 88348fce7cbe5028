"""Corrections whose originals have not come, in the order in which they are given up: memory for them is bounded."""

from __future__ import annotations

import heapq
from typing import NamedTuple

_SPARE = 1024


class Entry(NamedTuple):
    """A correction: when it is given up (its own time where only their number is bounded), ledger row, type, chain."""

    when: int
    row: int
    kind: int
    chain: int


class Waiting:
    """A queue by `when`; one whose original came is taken out at once."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._open: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._open)

    def add(self, entry: Entry) -> None:
        """One more waits."""
        heapq.heappush(self._heap, entry)
        self._open.add((entry.kind, entry.row))

    def met(self, kind: int, row: int) -> None:
        """Its original came."""
        self._open.discard((kind, row))
        if len(self._heap) > 2 * len(self._open) + _SPARE:
            self._heap = [e for e in self._heap if (e.kind, e.row) in self._open]
            heapq.heapify(self._heap)

    def before(self, when: int, most: int) -> list[Entry]:
        """Take out those with an earlier `when`, at most so many, the earliest first."""
        found: list[Entry] = []
        while self._heap and self._heap[0].when < when and len(found) < most:
            found += self._pop()
        return found

    def beyond(self, limit: int, most: int) -> list[Entry]:
        """Take out the earliest until `limit` are left, at most so many."""
        found: list[Entry] = []
        while len(self._open) > limit and len(found) < most:
            found += self._pop()
        return found

    def _pop(self) -> list[Entry]:
        entry = heapq.heappop(self._heap)
        if (entry.kind, entry.row) not in self._open:
            return []
        self._open.remove((entry.kind, entry.row))
        return [entry]
