"""Batches into a runtime with back-pressure, by a clock of the events' own: for history, simulations and replays."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from citytwin.models.batch import Changes, EventBatch
from citytwin.runtime import Busy, Runtime, Unavailable

#: Submissions that may be under way; their batches are all that is held in memory.
_AHEAD = 8
_RETRY_S = 0.25


class Stopped(Exception):
    """The feeding was stopped from outside."""


@dataclass(slots=True)
class Totals:
    """What became of the events that were fed."""

    events: int = 0
    accepted: int = 0
    duplicates: int = 0
    corrected: int = 0
    rejected: dict[str, int] = field(default_factory=dict)

    def add(self, events: int, changes: Sequence[Changes]) -> None:
        """Count the answer of one submission."""
        self.events += events
        for found in changes:
            self.accepted += found.accepted
            self.duplicates += found.duplicates
            self.corrected += found.corrected
            for rejection in found.rejected:
                self.reject(rejection.reason)

    def reject(self, reason: str, count: int = 1) -> None:
        """Count refused events."""
        self.rejected[reason] = self.rejected.get(reason, 0) + count


class Feeder:
    """Hands batches over in order; waits where the runtime is busy or the log full, and tries the same ones again."""

    def __init__(self, runtime: Runtime, stop: threading.Event | None = None) -> None:
        self.runtime, self.stop, self.totals = runtime, stop or threading.Event(), Totals()
        self._under_way: deque[tuple[list[EventBatch], Future[list[Changes]]]] = deque()

    def put(self, batches: Iterable[EventBatch]) -> None:
        """Hand batches over; returns while the last of them may still be under way. Raises Stopped."""
        kept = [b for b in batches if len(b)]
        if kept:
            while len(self._under_way) >= _AHEAD:
                self._settle()
            self._under_way.append((kept, self._submit(kept)))

    def advance(self, now_ms: int) -> None:
        """Finish what is under way, then move the city's clock. Raises Stopped."""
        self.finish()
        while now_ms > self.runtime.engine.now:
            try:
                self.runtime.advance(now_ms).result()
            except Unavailable:
                self._pause()
            else:
                return

    def finish(self) -> None:
        """Wait for everything that is under way. Raises Stopped."""
        while self._under_way:
            self._settle()

    def _submit(self, batches: list[EventBatch]) -> Future[list[Changes]]:
        while True:
            try:
                return self.runtime.submit(batches)
            except (Busy, Unavailable):
                self._pause()

    def _settle(self) -> None:
        batches, future = self._under_way.popleft()
        while True:
            try:
                self.totals.add(sum(map(len, batches)), future.result())
            except Unavailable:  # the log is full: the same again until there is room
                self._pause()
                future = self._submit(batches)
            else:
                return

    def _pause(self) -> None:
        if self.stop.wait(_RETRY_S) or self.runtime.status["failed"]:
            raise Stopped


def by_time(batches: Sequence[EventBatch], edges: Sequence[int]) -> list[list[EventBatch]]:
    """Batches cut at the edges (ms, ascending): part i holds the events after edge i - 1 and not after edge i.

    Events after the last edge are left out. The order of batches and rows stays.
    """
    parts: list[list[EventBatch]] = [[] for _ in edges]
    marks = np.array(edges, np.int64)
    for batch in batches:
        place = np.searchsorted(marks, batch.time)
        for part in np.unique(place[place < len(edges)]).tolist():
            mask = place == part
            parts[part].append(batch if mask.all() else batch.take(np.flatnonzero(mask)))
    return parts
