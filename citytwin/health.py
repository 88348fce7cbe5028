"""The platform's own health as events: how long from ingest to frame, how far behind. A replay reads and makes none."""

from __future__ import annotations

import numpy as np

from citytwin.models.batch import EventBatch

#: At most so many latencies of one frame are logged, evenly over those that were seen.
SAMPLES = 64
#: The lag is logged with every so many-th frame.
LAG_EVERY = 10
SOURCE = "citytwin/health"


class Health:
    """Collects what the runtime sees between two frames and turns it into at most two small batches."""

    def __init__(self) -> None:
        self._arrived: list[int] = []
        self._frames = 0

    def fed(self, arrived_ms: int) -> None:
        """A submission that arrived then was fed; its frame is still to come."""
        self._arrived.append(arrived_ms)

    def published(self, published_ms: int, position: int, waiting: int, lag_ms: int) -> list[EventBatch]:
        """Events that tell of the frame at `position`: `indicator.value`, now and then `platform.lag`."""
        seen, self._arrived = self._arrived, []
        self._frames += 1
        batches = [_latencies(seen, published_ms, position)] if seen else []
        if self._frames % LAG_EVERY == 1:
            fields = {"records": np.array([waiting], np.int64), "lag_ms": np.array([max(0, lag_ms)], np.int64)}
            batches.append(EventBatch.of("platform.lag", [published_ms], [f"lag-{position}"], SOURCE, fields=fields))
        return batches


def _latencies(seen: list[int], published_ms: int, position: int) -> EventBatch:
    arrived = np.array(seen, np.int64)
    if len(arrived) > SAMPLES:
        arrived = arrived[np.linspace(0, len(arrived) - 1, SAMPLES).astype(np.int64)]
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
