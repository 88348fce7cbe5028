"""The demo: a simulated city with its last 30 days already there, living on in the machine's time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from citytwin import demo_shift
from citytwin.app import Node, say
from citytwin.feeder import Feeder, Stopped, by_time
from citytwin.models.batch import EventBatch
from citytwin.models.desk.columns import batches_of
from citytwin.streams.simulator import Simulator

_log = logging.getLogger(__name__)
HOUR, DAY = 3_600_000, 86_400_000
#: The last day of the history is ticked through this often: trends have points, and a rule that waits for an answer
#: hears it (no event is later than it may be for a rule).
_FINE_MS = 10 * 60_000
_COARSE_MS = 6 * HOUR
_STEP_S = 0.25


class Story(msgspec.Struct):
    """What a demo must remember to go on after a restart."""

    seed: int
    speed: float
    anchor_ms: int


@dataclass(frozen=True, slots=True)
class Options:
    """How the demo is to be: seed and pace of its story, days of history before it."""

    seed: int = 7
    speed: float = 1.0
    days: int = 30


class Demo:
    """Feeds a node from a simulator in a thread of its own: first the history, then the city's life as it comes."""

    def __init__(self, node: Node, options: Options) -> None:
        self.node, self.options = node, options
        self.stop = threading.Event()
        self.live = threading.Event()
        self.feeder = Feeder(node.runtime, self.stop)
        self._thread = threading.Thread(target=self._run, name="citytwin-demo", daemon=True)

    def start(self) -> None:
        """Begin to feed."""
        self._thread.start()

    def close(self) -> None:
        """End the feeding and wait for it."""
        self.stop.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        try:
            self._feed()
        except Stopped:
            _log.info("the demo was stopped")
        except Exception:
            _log.exception("the simulator failed; the city goes on without it")
            say("the simulator failed; the city goes on without new events (see the log above)")
            self.node.runtime.go_live()

    def _feed(self) -> None:
        node, now = self.node, self.node.clock.now_ms()
        story = self._story(node.folder / "demo.json", now)
        city: Any = node.engine.city
        sim = Simulator(
            city, story.seed, now, speed=story.speed, anchor_ms=story.anchor_ms, open_days=self.options.days
        )
        since = node.engine.now if node.engine.k else None
        if since is None or now - since > 1000:
            self._history(sim, now, since)
        if since is None:
            self._hand_over(sim.town.offset_ms)
        node.runtime.go_live().result()
        self.live.set()
        self._live(sim)

    def _story(self, path: Path, now: int) -> Story:
        if path.exists():
            try:
                return msgspec.json.decode(path.read_bytes(), type=Story)
            except msgspec.MsgspecError as error:
                say(f"{path} cannot be read ({error}); the story begins anew")
        story = Story(self.options.seed, self.options.speed, now)
        path.write_bytes(msgspec.json.encode(story))
        return story

    def _history(self, sim: Simulator, now: int, since: int | None) -> None:
        start = now - self.options.days * DAY if since is None else since
        say(f"bringing the last {max(1, round((now - start) / HOUR))} hours in ...")
        began = self.node.clock.now_ms()
        past = sim.history(self.options.days, now) if since is None else sim.history(self.options.days, now, since)
        recent: list[EventBatch] = []
        for batch in self._older(past, now - DAY, recent):
            if self.stop.is_set():
                raise Stopped
            # Few ticks: the clock only must not be behind the events, or they would be of the future.
            self.feeder.advance(min(-(-int(batch.time.max()) // _COARSE_MS) * _COARSE_MS, now - DAY))
            self.feeder.put([batch])
        edges = [*range(max(start, now - DAY) // _FINE_MS * _FINE_MS, now, _FINE_MS), now]
        for edge, part in zip(edges, by_time(recent, edges), strict=True):
            self.feeder.advance(edge)
            self.feeder.put(part)
        self.feeder.finish()
        spent = (self.node.clock.now_ms() - began) / 1000
        say(f"{self.feeder.totals.events} events of the past are in after {spent:.1f} s")

    def _hand_over(self, offset_ms: int) -> None:
        """Have a roster, and the alarms of the past seen by the shift of the past."""
        engine = self.node.engine
        if engine.casework is None:
            return
        said = demo_shift.roster(engine.scopes, engine.now, offset_ms)
        said += demo_shift.seen(engine.casework.alarms.rows(), engine.now)
        self.feeder.put(batches_of(said, engine.vocabulary))
        self.feeder.finish()

    @staticmethod
    def _older(past: Iterator[EventBatch], cut: int, recent: list[EventBatch]) -> Iterator[EventBatch]:
        """What lies before the cut, a batch at a time; the rest goes to `recent`."""
        for batch in past:
            old = batch.time < cut
            if old.any():
                yield batch if old.all() else batch.take(old)
            if not old.all():
                recent.append(batch if not old.any() else batch.take(~old))

    def _live(self, sim: Simulator) -> None:
        while not self.stop.wait(_STEP_S):
            self.feeder.put(self.played(sim.step(self.node.clock.now_ms())))
            self.feeder.finish()

    def played(self, batches: list[EventBatch]) -> list[EventBatch]:
        """What the city plays by itself: the cases that somebody took into their hands are theirs."""
        work = self.node.engine.casework
        taken = frozenset(work.in_hand) if work is not None else frozenset()
        if not taken:
            return batches
        return [left for batch in batches if len(left := _without(batch, taken))]


def _without(batch: EventBatch, cases: frozenset[str]) -> EventBatch:
    """A batch without the moves of some cases."""
    if not batch.type.startswith("case."):
        return batch
    return batch.take(np.array([code not in cases for code in batch.subject.tolist()], np.bool_))
