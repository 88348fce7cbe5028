"""The engine's thread: commits what comes in, feeds it, ticks, answers, takes snapshots; and goes on after trouble.

Order of one group: commit to the log, feed, keep dead letters, answer. Order of a tick: commit its marker, make the
frame, write and feed what the desk says of it, hand the frame on. What the log has not taken was never fed, so a
restart that replays the log comes to the same state.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from citytwin.clock import Clock, SystemClock
from citytwin.health import Health
from citytwin.keeper import Keeper, SnapshotLike
from citytwin.letterbox import Letterbox
from citytwin.metrics import Metrics
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.frame import Frame
from citytwin.recovery import Stepper, apply
from citytwin.streams.log import Definition, Events, Log, Record, StoreUnavailable, Tick
from citytwin.submissions import Busy, Call, Queue, Submission, Unavailable

__all__ = ["Busy", "EngineLike", "Runtime", "Settings", "Unavailable"]

_log = logging.getLogger(__name__)
T = TypeVar("T")
_STOPPED = "the city is stopping; send again when it is back"


class EngineLike(Stepper, Protocol):
    """What the runtime needs of the engine."""

    @property
    def now(self) -> int:
        """Time of the last tick (ms UTC)."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds and paces of a runtime."""

    tick_ms: int = 1000
    group_events: int = 50_000
    queue_events: int = 200_000
    queue_bytes: int = 256 << 20
    snapshot_every_ms: int = 300_000
    health: bool = True


class Runtime:
    """Owns one engine and its log; every public method may be called from any thread."""

    def __init__(
        self,
        engine: EngineLike,
        log: Log,
        *,
        letterbox: Letterbox,
        position: int = 0,
        keeper: Keeper | None = None,
        take: Callable[[], SnapshotLike] | None = None,
        clock: Clock | None = None,
        settings: Settings | None = None,
        metrics: Metrics | None = None,
        on_frame: Callable[[Frame], None] = lambda _: None,
        on_status: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        """`position`: the last one in the engine's state (0: none).

        `take` copies the state, in arrays that later steps do not change; without it there are no snapshots.
        `on_frame` gets each frame, `on_status` what changed of `status`; both run in the engine's thread.
        """
        self.engine, self.log, self.letterbox, self.keeper, self.take = engine, log, letterbox, keeper, take
        self.clock: Clock = clock or SystemClock()
        self.settings, self.metrics = settings or Settings(), metrics or Metrics()
        self.on_frame, self.on_status = on_frame, on_status
        #: Gets each batch that was fed, in the engine's thread.
        self.on_fed: Callable[[EventBatch, Changes], None] | None = None
        #: Called in the engine's thread when it begins to tick by the clock.
        self.on_live: Callable[[], None] = _nothing
        #: What the desk has to say after a tick and was not heard yet; it is written and fed at once.
        self.drafts: Callable[[], Sequence[EventBatch]] = tuple
        #: Brings into a frame what of the desk changed by that; so an alarm is shown with the tick that raised it.
        self.showing: Callable[[Frame], Frame] = _same
        #: What was sent to screens since it was last asked: (published, taken by the socket) in ms.
        self.pushes: Callable[[], Sequence[tuple[int, int]]] = tuple
        self.status: dict[str, Any] = {"log": "ok", "log_reason": "", "clock": "ok", "live": False, "failed": ""}
        self._queue = Queue(self.settings.queue_events, self.settings.queue_bytes)
        self._health = Health()
        self._position = position
        self._stopped = False
        self._in_hand: list[Submission] = []
        self._own: list[EventBatch] = []
        self._due_ms: int | None = None
        self._snapshot_ms = self.clock.now_ms()
        self._thread = threading.Thread(target=self._run, name="citytwin-engine", daemon=True)

    # Life

    def start(self, *, live: bool = True) -> None:
        """Start the thread; `live` ticks by the clock, otherwise only `advance` ticks until `go_live`."""
        if live:
            self._go_live()
        self._thread.start()

    def go_live(self) -> Future[None]:
        """Tick by the clock from now on."""
        return self.call(self._go_live)

    def _go_live(self) -> None:
        self.on_live()
        self._due_ms = self.clock.now_ms()
        self._say(live=True)

    def stop(self, *, snapshot: bool = True) -> None:
        """Take nothing more, finish what waits, write a last snapshot, end the thread; twice is harmless."""
        self._queue.close(_STOPPED)
        if self._thread.is_alive():
            self._thread.join()
        if self.keeper and self.take and not self._stopped:
            self.keeper.finish(
                self.take if snapshot and not self.status["failed"] and not self.letterbox.waiting else None
            )
        self._stopped = True

    # What others ask for

    def submit(self, batches: Sequence[EventBatch]) -> Future[list[Changes]]:
        """Changes per batch, once they are in the log and fed. Raises Busy, Unavailable (the future too)."""
        self._check()
        item = Submission(batches, self.clock.now_ms())
        try:
            self._queue.put(item)
        except Busy:
            self.metrics.refused_calls.labels("busy").inc()
            raise
        return item.future

    def refuse(self, door: str, place: str, rejections: Sequence[Rejection]) -> Future[int]:
        """Keep what a door refused as dead letters; `place` names the body (a digest): a repeat adds nothing."""
        for rejection in rejections:
            self.metrics.rejected.labels(rejection.reason).inc()
        return self.call(lambda: self.letterbox.add(door, place, rejections, self.clock.now_ms()))

    def advance(self, now_ms: int) -> Future[Frame]:
        """Tick at a time of the caller's: for replays, whose clock is the events' own."""
        return self.call(lambda: self._advance(now_ms))

    def call(self, run: Callable[[], T]) -> Future[T]:
        """Do something with the engine between two groups, in its thread: reads that must be of one position."""
        self._check()
        item = Call(run)
        self._queue.put(item)
        return item.future

    def note(self, definition: Definition, run: Callable[[], None]) -> int:
        """Commit a definition and do what it says; its position. In the engine's thread, or before it was started.

        Raises StoreUnavailable, with nothing done.
        """
        position = self._append([definition])[0]
        run()
        self._position = position
        return position

    @property
    def running(self) -> bool:
        """Whether the engine's thread runs."""
        return self._thread.is_alive()

    def _check(self) -> None:
        if self.status["failed"]:
            raise Unavailable(str(self.status["failed"]))

    @property
    def position(self) -> int:
        """Last log position in the engine's state."""
        return self._position

    @property
    def waiting(self) -> int:
        """Events that wait to be committed."""
        return self._queue.events

    # The thread

    def _run(self) -> None:
        try:
            while self._turn():
                continue
        except BaseException as error:
            _log.exception("the engine failed at position %d", self.log.end)
            self._fail(f"the engine failed ({type(error).__name__}: {error}); `citytwin doctor` says more")

    def _turn(self) -> bool:
        item = self._queue.take(self.clock, self._due_ms, self.settings.group_events)
        if isinstance(item, Call):
            self._do(item)
        elif item:
            self._group(item)
        elif self._queue.closed:
            return False
        if self._due_ms is not None:
            self._tick_if_due(self._due_ms)
        return True

    def _do(self, item: Call) -> None:
        try:
            result = item.run()
        except StoreUnavailable as error:
            item.future.set_exception(Unavailable(str(error)))
        except Exception as error:
            item.future.set_exception(error)
        else:
            _answer(item.future, result)

    def _group(self, group: list[Submission]) -> None:
        self._in_hand = group
        batches = [b for s in group for b in s.batches if len(b)]
        own, self._own = self._own, []
        try:
            positions = self._append([Events(b) for b in (*batches, *own)])
        except StoreUnavailable as error:
            for submission in group:
                self.metrics.refused_calls.labels(error.state).inc()
                submission.future.set_exception(Unavailable(str(error)))
            return
        with self.metrics.feed.time():
            done = [self._feed(b, p) for b, p in zip((*batches, *own), positions, strict=True)]
        self.metrics.group.observe(sum(map(len, batches)))
        self._answer_all(group, done)

    def _answer_all(self, group: list[Submission], done: list[Changes]) -> None:
        at = iter(done)
        for submission in group:
            changes = [next(at) if len(b) else Changes(0, 0, 0, 0) for b in submission.batches]
            if submission.batches and self.status["live"]:
                self._health.fed(submission.arrived_ms, changes)
            _answer(submission.future, changes)

    def _append(self, records: Sequence[Record]) -> list[int]:
        try:
            with self.metrics.commit.time():
                positions = self.log.append(records)
        except StoreUnavailable as error:
            self._say(log=error.state, log_reason=str(error))
            self.metrics.log_ok.set(0)
            raise
        self._say(log="ok", log_reason="")
        self.metrics.log_ok.set(1)
        if positions:
            # A commit that was reported as failed may stand all the same; then it is fed now, before what came later.
            self._catch_up(positions[0])
        return positions

    def _catch_up(self, before: int) -> None:
        for position, record in self.log.read(self._position + 1, before):
            apply(self.engine, position, record, self._refused)
            self._position = position

    def _feed(self, batch: EventBatch, position: int) -> Changes:
        changes = self.engine.feed(batch, position)
        self._position = position
        self._refused(position, changes.rejected)
        if (told := self.on_fed) is not None:
            self._tell(lambda b: told(b, changes), batch)
        count = self.metrics.events
        for name in ("accepted", "late", "corrected"):
            count.labels(name).inc(getattr(changes, name))
        count.labels("duplicate").inc(changes.duplicates)
        count.labels("rejected").inc(len(changes.rejected))
        return changes

    def _refused(self, position: int, rejections: Sequence[Rejection]) -> None:
        if rejections:
            for rejection in rejections:
                self.metrics.rejected.labels(rejection.reason).inc()
            self.letterbox.from_log(position, rejections, self.clock.now_ms())

    # Ticks

    def _tick_if_due(self, due_ms: int) -> None:
        now = self.clock.now_ms()
        step = self.settings.tick_ms
        if due_ms - now > 2 * step:  # the clock was set back: the schedule follows, the engine's time does not
            due_ms = now
        if now < due_ms:
            return
        self._due_ms = (now // step + 1) * step
        self._say(clock="ok" if now >= self.engine.now else "behind")
        try:
            frame = self._frame(max(now // step * step, self.engine.now + 1))
        except StoreUnavailable:
            self.metrics.missed_ticks.inc()
            return
        self._after_tick(frame, now - due_ms)

    def _advance(self, now: int) -> Frame:
        try:
            return self._frame(now)
        except StoreUnavailable:
            raise
        except Exception as error:  # half a tick is no state to go on from
            _log.exception("the engine failed in the tick of %d", now)
            self._fail(f"the engine failed ({type(error).__name__}: {error}); `citytwin doctor` says more")
            raise

    def _frame(self, now: int) -> Frame:
        position = self._append([Tick(now)])[0]
        started = time.perf_counter()
        frame = self.engine.tick(now, position)
        self._position = position
        self.metrics.tick.observe(time.perf_counter() - started)
        self._refused(position, frame.refused)
        self._say_drafts()
        frame = self.showing(frame)
        self._tell(self.on_frame, frame)
        return frame

    def _say_drafts(self) -> None:
        """Write and feed what the tick made the desk say; without room in the log it is tried after the next tick."""
        self._own.extend(self.drafts())
        if self._own:
            self._group([])

    def _after_tick(self, frame: Frame, lag_ms: int) -> None:
        published = self.clock.now_ms()
        metrics = self.metrics
        metrics.lag.set(max(0, lag_ms) / 1000)
        metrics.queue_events.set(self._queue.events)
        metrics.queue_bytes.set(self._queue.size)
        metrics.position.set(frame.position)
        self.letterbox.flush()
        metrics.letters.set(self.letterbox.open)
        if self.settings.health and self.status["live"]:  # history that is brought in says nothing of the pace
            told = self._health.published(published, frame.position, self._queue.events, lag_ms)
            self._log_health(told + self._health.pushed(self.pushes(), published, frame.position))
        self._maybe_snapshot(published)

    def _log_health(self, batches: list[EventBatch]) -> None:
        for batch in batches:
            if batch.type == "indicator.value":
                for ms in (batch.time - batch.fields["event_ts"]).tolist():  # type: ignore[operator]
                    self.metrics.latency.observe(ms / 1000)
        self._own.extend(batches)
        if self._own:
            self._group([])

    def _maybe_snapshot(self, now: int) -> None:
        if not self.keeper or not self.take or self.letterbox.waiting:
            return
        if now - self._snapshot_ms >= self.settings.snapshot_every_ms and self.keeper.offer(self.take):
            self._snapshot_ms = now

    # Trouble

    def _say(self, **news: Any) -> None:
        changed = {k: v for k, v in news.items() if self.status.get(k) != v}
        if changed:
            self.status.update(changed)
            self._tell(self.on_status, changed)

    def _tell(self, listener: Callable[[T], None], news: T) -> None:
        # A page that cannot be served must not stop the city: what listeners raise is theirs.
        try:
            listener(news)
        except Exception:
            _log.exception("a listener failed; the engine goes on")

    def _fail(self, why: str) -> None:
        self._queue.close(why)
        self._say(failed=why, live=False)
        for item in (*self._in_hand, *self._queue.drain()):
            if not item.future.done():
                item.future.set_exception(Unavailable(why))


def _same(frame: Frame) -> Frame:
    return frame


def _nothing() -> None:
    return None


def _answer(future: Future[T], result: T) -> None:
    try:
        future.set_result(result)
    except InvalidStateError:  # the asker went away; the events are in
        _log.debug("an answer found nobody waiting")
