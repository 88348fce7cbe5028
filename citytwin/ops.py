"""How the running city is, for `/ops`, `citytwin status` and `/metrics`: the state of one process, and what follows.

`Watch` and `heard` serve one process and a cluster alike: they make of bare facts what only time tells.
"""

from __future__ import annotations

import os
import shutil
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import msgspec

from citytwin.clock import Clock, SystemClock
from citytwin.indicators.pulse import Declared
from citytwin.indicators.quality import DEFAULT_PERIOD_S, PERIODS
from citytwin.models.diagnosis import Limits, diagnose
from citytwin.models.frame import Frame
from citytwin.models.ops import (
    SOURCES_MAX,
    FramesState,
    HistoryState,
    LettersState,
    MemberState,
    OpsState,
    ShardState,
    SourceState,
    StoreState,
)
from citytwin.streams.history import Standing
from citytwin.streams.log import SqliteLog
from citytwin.streams.snapshots import Snapshots

#: Rates and growth are told of so much time, from samples that are at least a second apart.
_SPAN_MS = 60_000
_APART_MS = 1_000
_FRESH_MS = 500


def heard(times: Mapping[str, int], declared: Iterable[Declared], now: int) -> tuple[list[SourceState], int]:
    """Sources by their newest event times (ms UTC): those that the pack declares, then others; how many are left out.

    Stale after two periods of silence, as the indicators take it; late after one and a half.
    """
    periods = {s.id: s.period_s for s in declared}
    names = [*periods, *sorted(set(times) - set(periods))]
    found = [_source(name, times.get(name), periods.get(name), now) for name in names[:SOURCES_MAX]]
    return found, max(0, len(names) - SOURCES_MAX)


def _source(name: str, time: int | None, period_s: float | None, now: int) -> SourceState:
    if time is None:
        return SourceState(source=name, period_s=period_s, state="stale")
    age, period = max(0.0, (now - time) / 1000), period_s or DEFAULT_PERIOD_S
    state: Literal["ok", "late", "stale"] = "ok"
    if age >= PERIODS * period:
        state = "stale"
    elif age >= (PERIODS - 0.5) * period:
        state = "late"
    return SourceState(source=name, watermark=time, age_s=age, period_s=period_s, state=state)


class _Store(Protocol):
    name: str

    @property
    def standing(self) -> Standing: ...


def standing_of(stores: Sequence[_Store], lag_s: float) -> HistoryState | None:
    """How the history stands: by the store in trouble, else by the first; None without one."""
    if not stores:
        return None
    bad = [s for s in stores if s.standing.trouble or s.standing.spilled]
    one = (bad or stores)[0].standing
    return HistoryState(
        store=bad[0].name if bad else " + ".join(s.name for s in stores), written=one.written, errors=one.errors,
        spilled_bytes=one.spilled, dropped=sum(s.standing.dropped + s.standing.refused for s in stores), lag_s=lag_s,
        error=one.trouble,
    )  # fmt: skip


class _Sample(msgspec.Struct):
    at: int
    letters: int
    events: dict[int | str, int]
    lost: int = 0


class Watch:
    """Sees one state after the other and fills in what one alone does not tell: rates, growth, how long, verdicts.

    May be called from any thread.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._samples: deque[_Sample] = deque(maxlen=_SPAN_MS // _APART_MS + 1)
        self._lock = threading.Lock()
        self._final, self._moved_ms = -1, 0
        self._oldest, self._waits_ms = -1, 0

    def look(self, state: OpsState, at_ms: int | None = None) -> OpsState:
        """The same state with `rate`, `recent`, `waiting_s`, `still_s` and `verdicts` filled in, late shards marked.

        `at_ms`: the time that passes here, where `state.now` is another one (history that is brought in).
        """
        with self._lock:
            return self._look(state, state.now if at_ms is None else at_ms)

    def _look(self, state: OpsState, now: int) -> OpsState:
        ever = max(state.deadletters.ever, state.deadletters.total)
        lost = state.history.dropped if state.history else 0
        self._sample(now, ever, {s.shard: s.events for s in state.shards}, lost)
        first = self._samples[0]
        seconds = (now - first.at) / 1000
        for shard in state.shards if seconds > 0 else ():
            if not shard.rate:  # a clock knows it from the parts
                shard.rate = max(0.0, (shard.events - first.events.get(shard.shard, shard.events)) / seconds)
        for shard in state.shards:
            if shard.state == "ok" and shard.lag_ms >= self.limits.late_ms:
                shard.state = "late"
        state.deadletters.recent = max(0, ever - first.letters)
        if state.history:
            state.history.recent = max(0, lost - first.lost)
        self._frames(state.frames, now)
        state.verdicts = diagnose(state, self.limits)
        return state

    def sample(self, now: int, ever: int, events: dict[int | str, int], lost: int | None = None) -> None:
        """Keep how much there was of all, for the pace of later looks: dead letters, events by shard, lost points.

        `lost` None: as many as before.
        """
        with self._lock:
            self._sample(now, ever, events, lost)

    def _sample(self, now: int, ever: int, events: dict[int | str, int], lost: int | None) -> None:
        samples = self._samples
        if samples and now < samples[-1].at:  # the clock was set back: what was seen before says nothing
            samples.clear()
            self._moved_ms = self._waits_ms = now
        if not samples or now - samples[-1].at >= _APART_MS:
            before = samples[-1].lost if samples else 0
            samples.append(_Sample(now, ever, events, before if lost is None else lost))
        while len(samples) > 1 and now - samples[0].at > _SPAN_MS:
            samples.popleft()

    def _frames(self, frames: FramesState, now: int) -> None:
        if frames.final != self._final:
            self._final, self._moved_ms = frames.final, now
        oldest = min(frames.open, default=0) if frames.missing else -1
        if oldest != self._oldest or oldest < 0:  # another frame waits: each waits a moment, that is no trouble
            self._oldest, self._waits_ms = oldest, now
        frames.still_s = max(frames.still_s, (now - self._moved_ms) / 1000)
        frames.waiting_s = max(frames.waiting_s, (now - self._waits_ms) / 1000)


class _Stats(Protocol):
    @property
    def accepted(self) -> int: ...


class EngineFacts(Protocol):
    """What is asked of an engine, from any thread."""

    now: int
    k: int
    position: int
    city: Any

    @property
    def stats(self) -> _Stats: ...


class CityOps:
    """The state of a city in one process: one shard, 0, that this process owns. `state` may be called by any thread."""

    def __init__(
        self,
        engine: EngineFacts,
        status: Mapping[str, Any],
        log: SqliteLog,
        snapshots: Snapshots,
        *,
        waiting: Callable[[], int] = lambda: 0,
        letters: Callable[[], Mapping[str, int]] = dict,
        went: Callable[[], int] = lambda: 0,
        history: Callable[[], HistoryState | None] = lambda: None,
        saved_k: Callable[[], int] = lambda: 0,
        checkpoint_s: float = 300.0,
        clock: Clock | None = None,
    ) -> None:
        """`status`: the runtime's; `waiting`: events in the queue; `letters`: open ones by reason; `went`: how many
        fell to the bound.

        `saved_k`: tick of the newest snapshot; `checkpoint_s`: how often one is made, three times that is too old.
        """
        self._engine, self._status, self._log, self._snapshots = engine, status, log, snapshots
        self._waiting, self._letters, self._went, self._history, self._saved_k = (
            waiting, letters, went, history, saved_k,
        )  # fmt: skip
        self._clock = clock or SystemClock()
        self._watch = Watch(Limits(checkpoint_s=3 * checkpoint_s))
        self._id = f"{socket.gethostname()}:{os.getpid()}"
        self._marks: Mapping[str, int] = {}
        self._lock = threading.Lock()
        self._began_ms = self._clock.now_ms()
        self._told: tuple[int, OpsState] | None = None

    def note(self, frame: Frame, letters: int) -> None:
        """Remember what a frame says of sources and events, with the open dead letters; in the engine's thread."""
        self._marks = frame.sys.get("watermarks", self._marks)
        self._watch.sample(self._clock.now_ms(), letters + self._went(), {0: int(frame.sys.get("accepted", 0))})

    def state(self) -> OpsState:
        """The state now, with verdicts, found out at most twice a second; it is not to be changed."""
        with self._lock:
            at = self._clock.now_ms()
            if self._told is None or not 0 <= at - self._told[0] < _FRESH_MS:
                self._told = at, self._watch.look(self._find(at), at)
            return self._told[1]

    def _find(self, at: int) -> OpsState:
        engine = self._engine
        # While history is brought in the city's time is the events', and nothing is behind.
        now = max(at, engine.now) if self._status["live"] else engine.now
        found, more = heard(self._marks, getattr(engine.city, "sources", ()), now)
        reasons = self._letters()
        total = sum(reasons.values())
        return OpsState(
            mode="single",
            now=now,
            k=engine.k,
            shards=[self._shard(now, at)],
            members=[MemberState(role="city", id=self._id, shards=[0])],
            frames=FramesState(final=engine.k),
            sources=found,
            more_sources=more,
            deadletters=LettersState(total=total, by_reason=dict(reasons), ever=total + self._went()),
            log=self._store(),
            history=self._history(),
        )

    def _shard(self, now: int, at: int) -> ShardState:
        engine, failed = self._engine, bool(self._status["failed"])
        lag = max(0, now - engine.now)
        shard = ShardState(
            shard=0, owner="" if failed else self._id, k=engine.k, lag_records=self._waiting(), lag_ms=lag,
            events=engine.stats.accepted, next=engine.position + 1, checkpoint_k=self._saved_k(),
            state="missing" if failed else "late" if lag >= self._watch.limits.late_ms else "ok",
        )  # fmt: skip
        size, saved_ms = self._saved()
        # One of before a stop is no sign of trouble: the next is due so long after the process began.
        shard.bytes, shard.checkpoint_age_s = size, max(0, at - max(saved_ms, self._began_ms)) / 1000
        return shard

    def _saved(self) -> tuple[int, int]:
        """Bytes of the newest snapshot and when it was written (ms UTC); zeros without one."""
        for position in self._snapshots.positions():
            try:
                found = self._snapshots.path(position).stat()
            except OSError:  # a newer one has just taken its place
                continue
            return found.st_size, round(found.st_mtime * 1000)
        return 0, 0

    def _store(self) -> StoreState:
        state = "failed" if self._status["failed"] else str(self._status["log"])
        try:
            free = shutil.disk_usage(self._log.path.parent).free
            return StoreState(state=state, bytes=self._log.size(), free_bytes=free)
        except OSError:
            return StoreState(state=state)
