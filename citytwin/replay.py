"""A file of events at its own time: into a log and an event-time clock of its own, paced or as fast as it goes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from citytwin.app import Node
from citytwin.feeder import Feeder, by_time
from citytwin.indicators.api import Spec
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Int64
from citytwin.streams.decoded import Decoded
from citytwin.streams.mapping import Mapping
from citytwin.units import origin_ms

MINUTE_MS = 60_000
#: Where no event falls the clock is moved in steps of at least this: finer pane edges only matter beside data, and
#: a day of ten-second panes would be 8,640 ticks.
IDLE_MS = 15 * MINUTE_MS
NEVER = 2**62


@dataclass(slots=True)
class Summary:
    """What a replay did: rows and events, what was refused by reason, and the city's values at the end."""

    rows: int = 0
    events: int = 0
    accepted: int = 0
    duplicates: int = 0
    ticks: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    first_ms: int = 0
    last_ms: int = 0
    seconds: float = 0.0
    values: dict[str, float | None] = field(default_factory=dict)


def sources(path: Path, node: Node, mapping: str | None) -> Iterator[Decoded]:
    """What a file holds: through a mapping (a TOML file or a shipped name), else NDJSON of CloudEvents.

    Raises MappingError, OSError.
    """
    rules = node.codec.rules
    if mapping is not None:
        bound = Mapping.load(Path(mapping), rules) if Path(mapping).is_file() else Mapping.shipped(mapping, rules)
        yield from bound.read(path)
        return
    with path.open("rb") as file:
        while chunk := file.readlines(4 << 20):
            for start in range(0, len(chunk), 10_000):
                yield node.codec.decode(b"".join(chunk[start : start + 10_000]), "application/x-ndjson")


class Replay:
    """Reads all of a file, orders it by time, and drives a node through it.

    `every_ms` makes marks, at multiples of it since local midnight as panes have them: from the first event on the
    city stands at each mark with all events up to it and none after, and `at_mark` is called.
    """

    def __init__(
        self, node: Node, stop: threading.Event | None = None, *, every_ms: int = 0,
        at_mark: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self.node, self.stop, self.summary = node, stop or threading.Event(), Summary()
        self.feeder = Feeder(node.runtime, self.stop)
        self.at_mark, self._every, self._origin, self._mark = at_mark, every_ms, origin_ms(node.engine.city), NEVER
        self._batches: list[EventBatch] = []

    def read(self, found: Iterator[Decoded], name: str) -> None:
        """Take everything in; refused rows become dead letters at once."""
        for number, decoded in enumerate(found):
            self.summary.rows += decoded.total
            self._batches += decoded.batches
            if decoded.rejections:
                for rejection in decoded.rejections:
                    self.feeder.totals.reject(rejection.reason)
                self.node.runtime.refuse("file", f"{name}#{number}", decoded.rejections).result()
        if self._batches:
            self.summary.first_ms = min(int(b.time.min()) for b in self._batches)
            self.summary.last_ms = max(int(b.time.max()) for b in self._batches)

    def run(self, speed: float | None) -> Summary:
        """Feed it; `speed` 60 = a minute a second, None = as fast as it goes. Raises Stopped."""
        began = self.node.clock.now_ms()
        if self._batches:
            self._feed(speed, began)
        totals, done = self.feeder.totals, self.summary
        done.events, done.accepted, done.duplicates = totals.events, totals.accepted, totals.duplicates
        done.rejected = dict(sorted(totals.rejected.items()))
        done.seconds = (self.node.clock.now_ms() - began) / 1000
        done.values = {s.id: city_value(self.node, s) for s in self.node.engine.registry}
        return done

    def _feed(self, speed: float | None, began: int) -> None:
        """A slice a minute at most: its tick comes first, so that no event is of the future, and one after the last."""
        first = self.summary.first_ms // MINUTE_MS * MINUTE_MS
        step = MINUTE_MS if speed is None else max(1, min(MINUTE_MS, round(1000 * speed)))
        self._mark = self._mark_from(self.summary.first_ms)
        for edge, part in self._slices(step):
            if speed is not None:
                self._pace(began + round((edge - first) / speed))
            self._tick_to(self._start(edge, step))
            self.feeder.put(part)
        self._tick_to(-(-(self.summary.last_ms + 1) // MINUTE_MS) * MINUTE_MS)

    def _slices(self, step: int) -> Iterator[tuple[int, list[EventBatch]]]:
        """The ends of those slices in which anything happens, with what happens there."""
        ends = [np.unique(self._ends(b.time, step)) for b in self._batches]
        edges = [int(e) for e in np.unique(np.concatenate(ends)).tolist()]
        for start in range(0, len(edges), 4096):
            some = edges[start : start + 4096]
            low = self._start(some[0], step)
            inside = [b.take(np.flatnonzero((b.time > low) & (b.time <= some[-1]))) for b in self._batches]
            yield from zip(some, by_time([b for b in inside if len(b)], some), strict=True)

    def _ends(self, time: Int64, step: int) -> Int64:
        """Where the slices of these times end: at multiples of the step, and at marks."""
        ends: Int64 = -(-time // step) * step
        if self._every:
            ends = np.minimum(ends, -(-(time - self._origin) // self._every) * self._every + self._origin)
        return ends

    def _start(self, end: int, step: int) -> int:
        """Where the slice that ends there begins."""
        start = (end - 1) // step * step
        return max(start, self._mark_from(end) - self._every) if self._every else start

    def _mark_from(self, time: int) -> int:
        """The first mark at this time or after it."""
        return -(-(time - self._origin) // self._every) * self._every + self._origin if self._every else NEVER

    def _tick_to(self, now: int) -> None:
        """Tick where the clock alone changes a value, but not oftener than `IDLE_MS`, at marks, and at `now`."""
        engine = self.node.engine
        self.feeder.finish()
        while engine.now and (due := min(self._mark, max(engine.next_due(), engine.now + IDLE_MS))) < now:
            self._advance(due)
        self._advance(now)

    def _advance(self, now: int) -> None:
        if now > self.node.engine.now:
            self.feeder.advance(now)
            self.summary.ticks += 1
        if now >= self._mark:
            self.at_mark()
            self._mark = self._mark_from(now + 1)

    def _pace(self, at_ms: int) -> None:
        self.stop.wait(max(0, at_ms - self.node.clock.now_ms()) / 1000)


def city_value(node: Node, spec: Spec) -> float | None:
    """The city's own value of an indicator, None where there is none."""
    found = node.runtime.call(lambda: node.engine.current(spec.id)).result()
    at = np.flatnonzero(found.rows == 0)
    value = float(found.value[at[0]]) if len(at) else float("nan")
    return None if np.isnan(value) else value
