"""What the desk of a city in shards is told of a marker: indicators that rules and plans read, and what rules heard.

Rules look at events of all shards and at values that only exist where parts are merged; alarms, plans and cases are
decided at the desk. So the clock writes it into the desk's own topic, where everybody reads it in the same place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from citytwin.models.batch import EventBatch
from citytwin.models.columns import Float64, Int32, UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Values of one indicator that changed: scope rows, float64 (NaN none), quality, what bands are shares of."""

    rows: Int32
    value: Float64
    quality: UInt8
    scale: Float64 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """Events of one type that some rule looks at and that begin (+1) or cease (-1) to count, as they were fed.

    0: events that the desk's own parts follow, of each subject the newest: where units are.
    """

    sign: int
    batch: EventBatch


@dataclass(frozen=True, slots=True, eq=False)
class Telling:
    """Piece `index` of `count` of what is told of marker `k` (ms UTC `now`); the last one closes it."""

    k: int
    now: int
    index: int = 0
    count: int = 1
    readings: Mapping[str, Reading] = field(default_factory=dict)
    heard: tuple[Heard, ...] = ()

    @property
    def last(self) -> bool:
        """Whether all of the marker is told with it."""
        return self.index == self.count - 1
