"""Deadlines of rows: a timer wheel of one-second buckets, so that clocks move values without events."""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from citytwin.models.columns import MISSING, Int64, unique
from citytwin.twin.growable import Grow

NEVER = 2**62
_BUCKET_MS = 1000


class Deadlines:
    """At most one planned time per row; a row whose real deadline moved later is looked at early and planned again."""

    def __init__(self) -> None:
        self._planned = Grow(np.int64, NEVER)
        self._buckets: dict[int, list[Int64]] = {}
        self._heap: list[int] = []
        #: The earliest planned time, None where it has to be looked for.
        self._next: int | None = NEVER

    def plan(self, rows: Int64, when: Int64) -> None:
        """Wake rows (int64[n]) at these times (int64 ms; NEVER, MISSING: not at all), or earlier if so planned."""
        if len(rows) == 0:
            return
        self._planned.resize(int(rows.max()) + 1)
        planned = self._planned.data
        want = (when != MISSING) & (when < planned[rows])
        rows, when = rows[want], when[want]
        if len(rows) == 0:
            return
        planned[rows] = when
        if self._next is not None:  # nothing is ever planned later than it was
            self._next = min(self._next, int(when.min()))
        bucket = when // _BUCKET_MS
        order = np.argsort(bucket, kind="stable")
        names, starts = np.unique(bucket[order], return_index=True)
        for name, part in zip(names.tolist(), np.split(rows[order], starts[1:]), strict=True):
            if name not in self._buckets:
                self._buckets[name] = []
                heapq.heappush(self._heap, name)
            self._buckets[name].append(part)

    def due(self, now: int) -> Int64:
        """Rows whose planned time is now or past; they are planned no more (int64[m], sorted, unique)."""
        found: list[Int64] = []
        if self._heap and self._heap[0] <= now // _BUCKET_MS:
            self._next = None
        while self._heap and self._heap[0] <= now // _BUCKET_MS:
            name = heapq.heappop(self._heap)
            rows = unique(np.concatenate(self._buckets.pop(name)))
            when = self._planned.data[rows]
            live = rows[when // _BUCKET_MS == name]
            ripe = self._planned.data[live] <= now
            found.append(live[ripe])
            self._planned.data[live[ripe]] = NEVER
            late = live[~ripe]
            if len(late):
                self._buckets[name] = [late]
                heapq.heappush(self._heap, name)
                break
        return unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def next_due(self) -> int:
        """The earliest planned time, NEVER if none."""
        if self._next is None:
            self._next = self._earliest()
        return self._next

    def _earliest(self) -> int:
        while self._heap:
            name = self._heap[0]
            rows = np.concatenate(self._buckets[name])
            when = self._planned.data[rows]
            when = when[when // _BUCKET_MS == name]
            if len(when):
                return int(when.min())
            heapq.heappop(self._heap)
            del self._buckets[name]
        return NEVER

    def state(self) -> dict[str, Int64]:
        """Planned time per row."""
        return {"planned": self._planned.data.copy()}

    def load(self, state: Mapping[str, Int64]) -> None:
        """Restore."""
        self.__init__()  # type: ignore[misc]
        when = state["planned"]
        rows = np.flatnonzero(when < NEVER)
        self.plan(rows, when[rows])
