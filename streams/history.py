"""Values over time: the rows that are kept, the stores that may keep them, and how a chart reads them.

A store keeps changes: a value holds from its time on. So that no reader must look back for ever, each hour begins with
a whole picture of all that has a value, and each written block carries a beat, so that a value is never drawn over
hours in which nobody watched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from citytwin.geo.scopes import LEVELS
from citytwin.models.columns import Bool, Coded, Float64, Int64, UInt8
from citytwin.streams.store import StoreError

HOUR_MS = 3_600_000
#: What the column `level` can say: those of scopes, and that of telemetry.
LEVEL_NAMES = (*LEVELS, "device")
DEVICE = len(LEVELS)
#: The indicator of the beats: value 1 where a block is a whole picture, 0 where it holds what changed.
BEAT = "history.beat"
#: A read looks back so far for the last whole picture before its start.
LOOK_BACK_MS = HOUR_MS + 300_000
#: A read gives at most so many points; of more the oldest are left out.
POINTS_MAX = 1_000_000


class HistoryError(StoreError):
    """The history cannot be read or set up; the text is a sentence for the operator."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Values that hold from `time` (ms UTC) on, as parallel columns.

    `level` int8 into LEVEL_NAMES; `value` float64, NaN = no data; `quality` uint8 of `models.frame.Quality`. Telemetry
    has the property as `indicator` and the device as `scope`.
    """

    time: Int64
    indicator: Coded
    scope: Coded
    level: NDArray[np.int8]
    value: Float64
    quality: UInt8

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.integer] | Bool) -> Rows:
        """The given rows (indices or mask), in that order."""
        return Rows(
            self.time[rows], self.indicator.take(rows), self.scope.take(rows), self.level[rows], self.value[rows],
            self.quality[rows],
        )  # fmt: skip

    @staticmethod
    def concat(parts: Sequence[Rows]) -> Rows:
        """One of several, in order."""
        if len(parts) == 1:
            return parts[0]
        return Rows(
            np.concatenate([np.zeros(0, np.int64), *(p.time for p in parts)]),
            Coded.concat([p.indicator for p in parts]),
            Coded.concat([p.scope for p in parts]),
            np.concatenate([np.zeros(0, np.int8), *(p.level for p in parts)]),
            np.concatenate([np.zeros(0), *(p.value for p in parts)]),
            np.concatenate([np.zeros(0, np.uint8), *(p.quality for p in parts)]),
        )


class Points(NamedTuple):
    """One series: `time` int64 ms ascending, `value` float64 (NaN = no data), `quality` uint8."""

    time: Int64
    value: Float64
    quality: UInt8

    def take(self, rows: NDArray[np.integer] | Bool) -> Points:
        """The given rows (indices or mask), in that order."""
        return Points(self.time[rows], self.value[rows], self.quality[rows])

    @staticmethod
    def none() -> Points:
        """A series without points."""
        return Points(np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.uint8))


@dataclass(slots=True)
class Standing:
    """How a store stands: rows `written`, `refused` (the store will never take them), `dropped` at a bound; failed
    `errors`; `spilled` bytes that wait on disk, `waiting` rows in memory; `trouble`: a sentence, "" while all is well.
    """

    written: int = 0
    refused: int = 0
    dropped: int = 0
    errors: int = 0
    spilled: int = 0
    waiting: int = 0
    trouble: str = ""


class History(Protocol):
    """A store of values over time. `read` may be called from any thread, the rest from one."""

    name: str
    standing: Standing

    def write(self, rows: Rows) -> None:
        """Take rows over. What goes on by itself (a full disk, a server away) is kept or spilled, never raised."""

    def read(self, indicator: str, scope: str, start: int, stop: int, step: int) -> Points:
        """The series start <= time < stop (ms UTC); `step` 0: as kept, else what held at the end of each step.

        Raises HistoryError.
        """

    def work(self) -> None:
        """What is due by the clock: files, retries, retention; called about each second."""

    def close(self) -> None:
        """Write what is held, or leave it on disk for the next start."""


def held(points: Points, beats: Points, start: int, stop: int, step: int, beat_ms: int) -> Points:
    """What held at the end of each step, at the step's beginning; steps in which nobody watched are left out.

    `points`, `beats` begin LOOK_BACK_MS before `start`, or are the last and the highest of each step. A value from
    before the step of the last whole picture no longer holds: the picture would have it. `beat_ms`: between two beats.
    """
    if not len(beats.time):
        return Points.none()
    first = max(start, int(beats.time[0])) // step
    number = np.arange(first, max(first, -(-stop // step)), dtype=np.int64)[-POINTS_MAX:]
    of_point, of_beat, of_whole = (t // step for t in (points.time, beats.time, beats.time[beats.value > 0]))
    at, last, picture = (np.searchsorted(t, number, "right") - 1 for t in (of_point, of_beat, of_whole))
    slack = 0 if step >= 2 * beat_ms else -(-2 * beat_ms // step)
    ok = (at >= 0) & (last >= 0) & (picture >= 0)
    ok[ok] &= number[ok] - of_beat[last[ok]] <= slack
    ok[ok] &= of_point[at[ok]] >= of_whole[picture[ok]]
    return Points(number[ok] * step, points.value[at[ok]], points.quality[at[ok]])


def between(points: Points, start: int, stop: int) -> Points:
    """The points with start <= time < stop, the newest POINTS_MAX of them."""
    low, high = np.searchsorted(points.time, [start, stop])
    low = max(low, high - POINTS_MAX)
    return Points(points.time[low:high], points.value[low:high], points.quality[low:high])
