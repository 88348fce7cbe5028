"""The platform's own health as events: how long to frames and screens, how far behind, what came twice.

A replay reads these events from the log and makes none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from citytwin.models.batch import Changes, EventBatch
from citytwin.models.columns import Coded, Column

#: At most so many latencies of one frame are logged, evenly over those that were seen.
SAMPLES = 64
#: Lag and intake are logged with every so many-th frame.
LAG_EVERY = 10
#: The one queue of a city in one process.
PARTITION = "ingest"
SOURCE = "citytwin/health"


class Health:
    """Collects what the runtime sees between two frames and turns it into at most four small batches."""

    def __init__(self) -> None:
        self._arrived: list[int] = []
        self._frames = 0
        self._intake = np.zeros(3, np.int64)

    def fed(self, arrived_ms: int, done: Sequence[Changes]) -> None:
        """A submission that arrived then was fed, with what became of it; its frame is still to come."""
        self._arrived.append(arrived_ms)
        for c in done:
            self._intake += (c.accepted + c.duplicates, c.late, c.duplicates)

    def pushed(self, pairs: Sequence[tuple[int, int]], now_ms: int, position: int) -> list[EventBatch]:
        """Event `ws.push` for each message to a screen: when its frame was published, when the socket had taken it."""
        if not pairs:
            return []
        queued, sent = np.array(thinned(pairs), np.int64).T
        sent = np.minimum(sent, now_ms)
        fields = {"queued_ts": np.minimum(queued, sent), "sent_ts": sent}
        ids = [f"w{position}-{i}" for i in range(len(sent))]
        return [EventBatch.of("ws.push", sent, ids, SOURCE, fields=fields)]

    def published(self, published_ms: int, position: int, waiting: int, lag_ms: int) -> list[EventBatch]:
        """Events that tell of the frame at `position`: `indicator.value`, now and then `platform.lag`."""
        seen, self._arrived = self._arrived, []
        self._frames += 1
        batches = [_latencies(seen, published_ms, position)] if seen else []
        if self._frames % LAG_EVERY == 1:
            batches += self._told(published_ms, position, waiting, max(0, lag_ms))
        return batches

    def _told(self, now: int, position: int, waiting: int, lag_ms: int) -> list[EventBatch]:
        lag: dict[str, Column] = {
            "partition": Coded.of([PARTITION]),
            "records": np.array([waiting], np.int64),
            "lag_ms": np.array([lag_ms], np.int64),
        }
        events, late, twice = self._intake.reshape(3, 1).copy()
        self._intake[:] = 0
        intake: dict[str, Column] = {"events": events, "late": late, "duplicates": twice}
        return [
            EventBatch.of("platform.lag", [now], [f"lag-{position}"], SOURCE, fields=lag),
            EventBatch.of("platform.intake", [now], [f"intake-{position}"], SOURCE, fields=intake),
        ]


T = TypeVar("T")


def thinned(seen: Sequence[T]) -> list[T]:
    """At most SAMPLES of them, evenly."""
    if len(seen) <= SAMPLES:
        return list(seen)
    return [seen[i] for i in np.linspace(0, len(seen) - 1, SAMPLES).astype(np.int64).tolist()]


def _latencies(seen: list[int], published_ms: int, position: int) -> EventBatch:
    arrived = np.array(thinned(seen), np.int64)
    n = len(arrived)
    # A clock that was set back in between must not make a latency below zero.
    arrived = np.minimum(arrived, published_ms)
    fields = {"event_ts": arrived, "published_ts": np.full(n, published_ms, np.int64)}
    return EventBatch.of(
        "indicator.value",
        np.full(n, published_ms, np.int64),
        [f"f{position}-{i}" for i in range(n)],
        SOURCE,
        fields=fields,
    )
