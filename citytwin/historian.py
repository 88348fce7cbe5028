"""Carries frames to the stores of the history, in a thread of its own; whoever gives the frames never waits.

It needs a scope tree, frames and their times, no engine: the running city, a clock or a gateway can use it.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from citytwin.geo.scopes import ScopeTree
from citytwin.metrics import HistoryMetrics
from citytwin.models.batch import Changes, EventBatch
from citytwin.models.columns import Coded, Strings, UInt8, physical
from citytwin.models.frame import Frame, Quality, Values
from citytwin.recorder import Recorder
from citytwin.streams.history import DEVICE, History, HistoryError, Points, Rows

_log = logging.getLogger(__name__)
_QUALITIES = {"good": Quality.GOOD, "suspect": Quality.PARTIAL, "bad": Quality.ERROR}
_LOOK_S = 1.0


@dataclass(slots=True)
class _Item:
    """Values of one moment on their way, or readings; `size` in rows."""

    now: int
    size: int
    values: Mapping[str, Values] | None = None
    rows: Rows | None = None
    in_force: Collection[str] | None = None


class Crush:
    """Frames for which there was no room, as one: the newest value of each. Bounded by the city, not by time."""

    def __init__(self) -> None:
        self.now = self.frames = 0
        self.in_force: Collection[str] | None = None
        self._values: dict[str, list[Values]] = {}

    def add(self, now: int, values: Mapping[str, Values]) -> int:
        """Take a frame in; how many older values gave way to it."""
        self.now, self.frames, gone = now, self.frames + 1, 0
        for id, v in values.items():
            parts = self._values.setdefault(id, [])
            parts.append(v)
            if sum(len(p.rows) for p in parts[1:]) > max(1024, len(parts[0].rows)):
                gone += sum(len(p.rows) for p in parts)
                parts[:] = [newest(parts)]
                gone -= len(parts[0].rows)
        return gone

    def values(self) -> tuple[dict[str, Values], int]:
        """All of it, and how many older values gave way."""
        before = sum(len(p.rows) for parts in self._values.values() for p in parts)
        out = {id: newest(parts) for id, parts in self._values.items()}
        return out, before - sum(len(v.rows) for v in out.values())


def newest(parts: Sequence[Values]) -> Values:
    """The newest values of several frames of one indicator, oldest first."""
    if len(parts) == 1:
        return parts[0]
    rows = np.concatenate([p.rows for p in parts])
    _, last = np.unique(rows[::-1], return_index=True)
    pick = len(rows) - 1 - last

    def of(name: str) -> np.ndarray:
        return np.concatenate([getattr(p, name) for p in parts])[pick]

    return Values(rows[pick], *(of(n) for n in ("value", "quality", "fresh", "expected", "restated", "closed")))


class Historian:
    """Frames in, rows to each store; any thread may call, `note` and `readings` never wait.

    At most `queue_values` values wait; of what comes beyond, the newest of each is kept, the rest counted as dropped.
    """

    def __init__(
        self, stores: Sequence[History], scopes: ScopeTree, *, levels: Collection[int] = (0, 1, 2),
        every_ms: int = 10_000, queue_values: int = 2_000_000, metrics: HistoryMetrics | None = None,
        properties: Mapping[str, int] | None = None,
    ) -> None:  # fmt: skip
        """`stores`: the first one answers reads. `properties`: telemetry that is kept, with its steps per unit."""
        self.stores, self.scopes, self.metrics = tuple(stores), scopes, metrics or HistoryMetrics()
        self.recorder = Recorder(scopes, levels, every_ms)
        self.properties = dict(properties or {})
        self._queue_values = queue_values
        self._queue: deque[_Item] = deque()
        self._waiting = 0
        self._crush: Crush | None = None
        self._told: dict[str, str] = {}
        self._last = 0
        self._wake = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="citytwin-history", daemon=True)

    # What comes in.

    def prime(self, now: int, values: Mapping[str, Values]) -> None:
        """Tell all values as they stand, before `start`: frames only tell what changes."""
        self.recorder.prime(now, values)

    def note(self, frame: Frame, in_force: Collection[str] | None = None) -> None:
        """Take a frame; a provisional one (`frame.sys["provisional"]`) is none of the history's.

        `in_force`: ids of all indicators there are now; None: the same as before.
        """
        if frame.sys.get("provisional"):
            return
        size = sum(len(v.rows) for v in frame.values.values())
        with self._wake:
            self._last = max(self._last, frame.now)
            if self._crush is None and self._waiting + size <= self._queue_values:
                self._put(_Item(frame.now, size, frame.values, in_force=in_force))
                return
            if self._crush is None:
                self._crush = Crush()
            self._crush.in_force = in_force or self._crush.in_force
            self.metrics.dropped.labels("queue").inc(self._crush.add(frame.now, frame.values))

    def readings(self, batch: EventBatch, changes: Changes | None = None) -> None:
        """Take the readings of chosen properties; those that were refused or retracted are left out."""
        if not self.properties or batch.type != "obs":
            return
        rows = telemetry(batch, self.properties, changes)
        with self._wake:
            if not len(rows):
                return
            if self._waiting + len(rows) > self._queue_values:
                self.metrics.dropped.labels("queue").inc(len(rows))
            else:
                self._put(_Item(0, len(rows), rows=rows))

    def _put(self, item: _Item) -> None:
        self._queue.append(item)
        self._waiting += item.size
        self._wake.notify()

    # Life.

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Write what came in, end the thread and the stores; twice is harmless."""
        with self._wake:
            if self._closed:
                return
            self._closed = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join()
        else:
            self._drain()
        for rows in self.recorder.flush():
            self._write(rows)
        for store in self.stores:
            store.close()
        self._measure()

    def _run(self) -> None:
        while not self._closed:
            with self._wake:
                if not self._queue and self._crush is None:
                    self._wake.wait(_LOOK_S)
            try:
                self._drain()
                for store in self.stores:
                    store.work()
                self._measure()
            except Exception:  # whatever a store raises, the city goes on and so does its history
                _log.exception("the history stumbled; it goes on with the next frame")
        self._drain()

    def _drain(self) -> None:
        while True:
            with self._wake:
                item, crush = (self._queue.popleft(), None) if self._queue else (None, self._crush)
                if item is None:
                    self._crush = None
                else:
                    self._waiting -= item.size
            if crush is not None:
                item = self._one_of(crush)
            if item is None:
                return
            if item.rows is not None:
                self._write(item.rows)
            elif item.values is not None:
                for rows in self.recorder.fold(item.now, item.values, item.in_force):
                    self._write(rows)

    def _one_of(self, crush: Crush) -> _Item:
        values, gone = crush.values()
        self.metrics.dropped.labels("queue").inc(gone)
        _log.warning("the history is behind: %d frames became one", crush.frames)
        return _Item(crush.now, 0, values, in_force=crush.in_force)

    def _write(self, rows: Rows) -> None:
        for store in self.stores:
            try:
                store.write(rows)
            except Exception:  # one store that stumbles must not keep the rows from the others
                _log.exception("the history %s stumbled; %d rows are not in it", store.name, len(rows))
                self.metrics.dropped.labels(store.name).inc(len(rows))
        self.metrics.newest.set(int(rows.time.max()) / 1000)

    def _measure(self) -> None:
        metrics = self.metrics
        with self._wake:
            metrics.queued.set(self._waiting)
            oldest = self._queue[0].now if self._queue else 0
        metrics.lag.set(max(0, self._last - oldest) / 1000 if oldest else 0)
        for store in self.stores:
            metrics.told(store.name, store.standing)
            trouble = store.standing.trouble
            if trouble and trouble != self._told.get(store.name):
                _log.warning("history: %s", trouble)
            self._told[store.name] = trouble

    # What is asked.

    def troubles(self) -> dict[str, str]:
        """What is wrong with the stores, by name, in sentences for the operator."""
        return {s.name: s.standing.trouble for s in self.stores if s.standing.trouble}

    def series(self, indicator: str, row: int, start: int, stop: int, step: int) -> Points:
        """An indicator at a scope row, start <= time < stop (ms UTC); `step` 0: the changes, else what held at its end.

        Raises HistoryError.
        """
        return self.stores[0].read(indicator, self.scopes.code[row], start, stop, step)

    def telemetry(self, property: str, device: str, start: int, stop: int) -> Points:
        """Readings of a device that were kept by choice. Raises HistoryError."""
        return self.stores[0].read(property, device, start, stop, 0)


def telemetry(batch: EventBatch, properties: Mapping[str, int], changes: Changes | None = None) -> Rows:
    """Rows of the readings of these properties (by steps per unit): property, device, value in units, quality."""
    name, value, quality = batch.fields.get("property"), batch.fields.get("value"), batch.fields.get("quality")
    if not isinstance(name, Coded) or not isinstance(value, np.ndarray):
        return Rows.concat([])
    per_unit = np.array([properties.get(n, 0) for n in name.names] + [0], np.float64)[name.codes]
    keep = (per_unit > 0) & ~batch.retracted
    keep[[r.index for r in changes.rejected] if changes is not None else []] = False
    rows = np.flatnonzero(keep)
    grades: UInt8 = np.zeros(len(batch), np.uint8)
    if isinstance(quality, Coded):
        grades = np.array([_QUALITIES.get(n, Quality.GOOD) for n in quality.names] + [0], np.uint8)[quality.codes]
    devices: Strings = batch.subject.take(rows)
    return Rows(
        batch.time[rows], name.take(rows), Coded.of(devices.tolist()), np.full(len(rows), DEVICE, np.int8),
        physical(value[rows], per_unit[rows]), grades[rows],
    )  # fmt: skip


__all__ = ["Crush", "Historian", "HistoryError", "newest", "telemetry"]
