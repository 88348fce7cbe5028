"""Snapshots in the background, and the retention of the log that they allow."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from citytwin.clock import Clock, SystemClock
from citytwin.metrics import Metrics
from citytwin.streams.log import SqliteLog
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.streams.store import StoreError

_log = logging.getLogger(__name__)
DAY_MS = 86_400_000


class SnapshotLike(Protocol):
    """What an engine hands out: the state at `position`."""

    @property
    def position(self) -> int:
        """Last log position in it."""

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Columns by name, in arrays that nobody changes any more."""

    @property
    def meta(self) -> Mapping[str, Any]:
        """What is plain JSON."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of the log stays: days by its ticks and bytes; 0 keeps all."""

    days: float = 0
    max_bytes: int = 0


class Keeper:
    """Writes snapshots in a thread of its own, one at a time, then lets the log forget what none needs."""

    def __init__(
        self,
        snapshots: Snapshots,
        log: SqliteLog,
        *,
        retention: Retention | None = None,
        metrics: Metrics | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.snapshots, self.log, self.retention = snapshots, log, retention or Retention()
        self.metrics, self.clock = metrics or Metrics(), clock or SystemClock()
        self.last_error = ""
        #: Tick of the newest snapshot that was written here; 0: none was.
        self.last_k = 0
        self._last = max(snapshots.positions(), default=0)
        self._thread: threading.Thread | None = None

    def offer(self, take: Callable[[], SnapshotLike]) -> bool:
        """Take a snapshot in the caller's thread, write it in the background; False if one is being written."""
        if self._thread and self._thread.is_alive():
            return False
        snapshot = take()
        if snapshot.position > self._last:
            thread = threading.Thread(target=self._write, args=(snapshot,), name="citytwin-snapshot")
            thread.start()
            self._thread = thread
        return True

    def finish(self, take: Callable[[], SnapshotLike] | None) -> None:
        """Wait for the one being written, then write a last one in the caller's thread if it is to be taken."""
        self.wait()
        if take is None:
            return
        snapshot = take()
        if snapshot.position > self._last:
            self._write(snapshot)

    def wait(self) -> None:
        """Wait for the one being written, if any."""
        if self._thread:
            self._thread.join()

    def _write(self, found: SnapshotLike) -> None:
        started = time.perf_counter()
        try:
            self.snapshots.save(Snapshot(found.position, found.arrays, found.meta))
            self._last, self.last_error = found.position, ""
            self.last_k = int(found.meta.get("clock", {}).get("k", 0))
            self.metrics.snapshot_position.set(found.position)
            self.trim()
        except StoreError as error:
            self.last_error = str(error)
            self.metrics.snapshot_failures.inc()
            _log.warning("no snapshot at position %d: %s", found.position, error)
        self.metrics.snapshot.observe(time.perf_counter() - started)
        self.metrics.log_bytes.set(self.log.size())

    def trim(self) -> int:
        """Let the log forget what is older than the retention and no snapshot needs; how many records went."""
        keep, before = self.retention, None
        if keep.days:
            before = self.clock.now_ms() - round(keep.days * DAY_MS)
        if before is None and not keep.max_bytes:
            return 0
        oldest = self.snapshots.oldest()
        return self.log.trim(keep_from=oldest + 1, before_ms=before, max_bytes=keep.max_bytes or None)
