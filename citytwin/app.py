"""The only place that knows every part: opens a city's folder, wires engine, log, runtime and server, and ends them."""

from __future__ import annotations

import dataclasses
import gc
import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from citytwin import desking, showing
from citytwin.clock import Clock, SystemClock
from citytwin.config import Config, privacy_key
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.deskdoor import DeskDoor
from citytwin.doors import CityDoors, Intake
from citytwin.engine import Engine
from citytwin.evidence import Evidence
from citytwin.folder import Folder
from citytwin.history import historian
from citytwin.hooked import store as hook_store
from citytwin.hooked import webhooks
from citytwin.indicators.registry import Registry
from citytwin.ingest import Door
from citytwin.keeper import Keeper, Retention
from citytwin.letterbox import Letterbox
from citytwin.metrics import HistoryMetrics, HookMetrics, Metrics
from citytwin.models.frame import Frame
from citytwin.models.ops import HistoryState
from citytwin.models.vocabulary import HOUR_MS
from citytwin.ops import CityOps, standing_of
from citytwin.past import Make, Past
from citytwin.plugins import base, plugin_files
from citytwin.recovery import Recovered, recover
from citytwin.runtime import Runtime, Settings
from citytwin.snapshot import DefinitionsChanged, definitions, restore
from citytwin.spill import Spill
from citytwin.staffing import Staffed, staffed
from citytwin.streams.codec import Codec
from citytwin.streams.deadletters import DeadLetters
from citytwin.streams.log import Definition, SqliteLog
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.submissions import Unavailable
from citytwin.twin.pack import City, load_city
from citytwin.views import CityBoard, Views
from citytwin.watchdog import Budget, Watchdog
from citytwin.workshop import Workshop

_log = logging.getLogger(__name__)


#: A replay may be on a slower machine: a call of a plugin has so many times its budget before it is ended.
_REPLAY_PATIENCE = 10.0


def say(text: str) -> None:
    """A line for whoever started the program; stdout is kept for what programs read."""
    print(text, file=sys.stderr, flush=True)


def settle() -> None:
    """Tell the garbage collector that what was loaded stays: walking it takes 40 ms, in the middle of some tick."""
    gc.collect()
    gc.freeze()


class Node:
    """One city in one process. Made: everything is open and caught up. `start`: it runs. `close`: all is written."""

    def __init__(
        self,
        config: Config,
        *,
        folder: Path | None = None,
        load: Callable[[], City] | None = None,
        registry: Callable[[], Registry] | None = None,
        clock: Clock | None = None,
        make: Make | None = None,
        demo: bool = False,
    ) -> None:
        """Open the folder and come back to its last state. Raises ConfigError, PackError, StoreError.

        `make`: how another process comes by the same pack and indicators, to look into the past; by the settings.
        `demo`: whoever comes from this machine is signed in as its dispatcher.
        """
        self.demo = demo
        self.config, self.clock = config, clock or SystemClock()
        self.folder = (folder or Path(config.data.dir)).absolute()
        self._load = load or (lambda: load_city(config.city.pack))
        self._registry = registry or (lambda: base()[0])
        if config.city.plugins:
            plugin_files(Path(config.city.plugins))
        self._make: Callable[[], Make] | None = (lambda: make) if make is not None else None
        if make is None and load is None and registry is None:
            self._make = lambda: _by_settings(config, self._texts())
        self._frame: Callable[[Frame], None] = lambda _: None
        #: Set once a frame was made since the start.
        self.first_frame = threading.Event()
        with ExitStack() as stack:
            self._open(stack)
            self._stack = stack.pop_all()

    def _open(self, stack: ExitStack) -> None:
        config = self.config
        self.log = stack.enter_context(SqliteLog(self.folder / "log.db"))
        bounds = config.deadletters
        self.letters = stack.enter_context(
            DeadLetters(self.folder / "deadletters.db", max_count=bounds.max_count, max_bytes=bounds.max_mb << 20)
        )
        self.snapshots = Snapshots(self.folder / "snapshots", config.engine.snapshots)
        self.letterbox, self.metrics = Letterbox(self.letters), Metrics()
        self._watch_plugins(stack)
        self.recovered = self._recover()
        self.engine = self.recovered.engine
        self._note_definitions()
        retention = Retention(config.log.keep_days, int(config.log.max_gb * 2**30))
        keeper = Keeper(self.snapshots, self.log, retention=retention, metrics=self.metrics, clock=self.clock)
        self.runtime = Runtime(
            self.engine,
            self.log,
            letterbox=self.letterbox,
            position=self.recovered.position,
            keeper=keeper,
            take=self.engine.snapshot,
            clock=self.clock,
            settings=self._settings(),
            metrics=self.metrics,
            on_frame=self._on_frame,
        )
        if self.engine.desk is not None:
            self.engine.desk.quiet = not config.desk.automatic
        self.runtime.drafts = lambda: desking.batches(self.engine)
        self.runtime.showing = lambda frame: showing.with_desk(self.engine, frame)
        self.runtime.on_live = lambda: desking.attend(self.engine)
        self.past = Past(self.folder, self.log, self._make) if self._make is not None else None
        self._open_history(stack)
        self.views = Views(self.runtime, self.engine, self.letters, self.past, self.history)
        box = getattr(self.engine.city, "box", None)
        secret = privacy_key(config, self.folder)
        self.codec = Codec(self.engine.vocabulary, secret, box)
        self.door = Door(self.codec, self.runtime)
        intake = Intake(self.codec, self.runtime, self.engine, self.clock)
        self.doors = CityDoors(intake, config.open311, config.cap, secret)
        hooks = stack.enter_context(hook_store(config, self.folder))
        self.hooks = webhooks(config, hooks, self.runtime, self.engine, self.log, self.letters, self.clock)
        self.hooks.on_counts = HookMetrics(self.metrics.registry).told
        self.ops = self._ops(keeper)
        self.web: ServerThread | None = None
        self._open_workshop()

    def _ops(self, keeper: Keeper) -> CityOps:
        runtime = self.runtime
        return CityOps(
            self.engine,
            runtime.status,
            self.log,
            self.snapshots,
            waiting=lambda: runtime.waiting,
            letters=self.letters.counts,
            went=lambda: self.letters.dropped,
            history=self._standing,
            saved_k=lambda: keeper.last_k,
            checkpoint_s=self.config.engine.snapshot_minutes * 60,
            clock=self.clock,
        )

    def _standing(self) -> HistoryState | None:
        lag = self.metrics.registry.get_sample_value("citytwin_history_lag_seconds")
        return standing_of(self.history.stores if self.history else (), lag or 0.0)

    def _open_history(self, stack: ExitStack) -> None:
        engine, metrics = self.engine, HistoryMetrics(self.metrics.registry)
        self.history = historian(self.config, self.folder, engine.scopes, engine.vocabulary, metrics)
        self._recorded: Registry | None = None
        if self.history is not None:
            stack.callback(self.history.close)
            if self.history.properties:
                self.runtime.on_fed = self.history.readings

    def _keep(self, frame: Frame) -> None:
        """Into the history; with it, where they changed, the indicators that are in force."""
        if self.history is not None:
            now = self.engine.registry
            self.history.note(frame, {s.id for s in now} if now is not self._recorded else None)
            self._recorded = now

    def _watch_plugins(self, stack: ExitStack) -> None:
        """The watchdog is there before the log is replayed: a plugin that loops would loop again."""
        given = self.config.workshop
        self.watchdog = Watchdog(Budget(given.call_seconds, given.average_ms, given.slow_ticks, given.memory_mb))
        stack.callback(self.watchdog.close)
        self.watchdog.patience = _REPLAY_PATIENCE

    def _open_workshop(self) -> None:
        """Bring in what was saved while the city did not run."""
        self.watchdog.patience = 1.0
        folder = self.config.city.plugins
        self.workshop = Workshop(self.engine, self.runtime, base()[1], self.watchdog)
        self.plugins: Folder | None = None
        for file, why in self.engine.troubles.items():
            say(f"{file}: {why}")
        try:
            if folder:
                given, now = self.config.workshop, self.clock.now_ms
                self.plugins = Folder(Path(folder), self.workshop, given, self.folder, say=say, now_ms=now)
                self.plugins.look(at_once=True)
            else:
                self.workshop.take_all_out()
        except Unavailable as error:
            say(f"the plugins stay as they were: {error}")

    def _texts(self) -> dict[str, str]:
        """Texts of the plugin files in force, by name."""
        return {f: a.plugin.text for f, a in list(self.engine.annexes.by_file.items())}

    def _settings(self) -> Settings:
        engine, ingest = self.config.engine, self.config.ingest
        return Settings(
            tick_ms=engine.tick_ms,
            group_events=ingest.group_events,
            queue_events=ingest.queue_events,
            queue_bytes=ingest.queue_mb << 20,
            snapshot_every_ms=round(engine.snapshot_minutes * 60_000),
            health=engine.health,
        )

    def _recover(self) -> Recovered[Engine]:
        spill = Spill(self.folder / "spill", self.config.keep.memory_mb << 20)

        def watched(engine: Engine) -> Engine:
            engine.board.guard, engine.board.clock = self.watchdog, time.thread_time_ns
            return engine

        def make() -> Engine:
            return watched(Engine(self._city(), self._registry(), allocate=spill))

        def back(snapshot: Snapshot) -> Engine:
            try:
                return watched(restore(self._city(), self._registry(), snapshot.arrays, snapshot.meta, allocate=spill))
            except DefinitionsChanged as error:
                raise ValueError(str(error)) from error

        now = self.clock.now_ms()
        return recover(
            self.log,
            self.snapshots,
            make,
            back,
            refused=lambda position, found: self.letterbox.from_log(position, found, now),
            progress=_progress(),
        )

    def _city(self) -> City:
        """The pack as the settings want it."""
        city = self._load()
        city.vocabulary.keep_telemetry(round(self.config.keep.telemetry_hours * HOUR_MS))
        return city

    def _note_definitions(self) -> None:
        """Write into the log under which definitions what follows is counted, when they are not those before."""
        found = self.recovered
        document: Mapping[str, Any] = definitions(self.engine.city, self.engine.base)
        # A snapshot was only of use because they were equal; what the log says after it is newer.
        last = document if found.snapshot else None
        if found.last_definition is not None:
            last = {name: found.last_definition.get(name) for name in document}
        if last != document:
            hours = self.config.keep.telemetry_hours
            whole = {**document, "sources": self.engine.base.sources(), "telemetry_hours": hours}
            found.position = self.log.append([Definition("definitions", whole)])[0]

    def _on_frame(self, frame: Frame) -> None:
        letters = self.letterbox.open
        sys_facts = {**frame.sys, **_status(self.runtime.status), "deadletters": letters}
        self.views.note(frame)
        self.ops.note(frame, letters)
        self._frame(dataclasses.replace(frame, sys=sys_facts))
        self._keep(frame)
        if not self.letterbox.waiting:  # what the state refused is known by its dead letter, and not told
            self.hooks.upto(frame.position)
        self.first_frame.set()
        self.workshop.ticked(frame)
        self.views.ticked(frame)

    # Running

    def serve(self) -> str:
        """Open the port; the address. Raises ConfigError when others could reach it unknown, OSError."""
        server = self.config.server
        self.people: Staffed = staffed(self.config, self.folder, self._stack, demo=self.demo)
        board = CityBoard(self.views)
        access = self.people.access
        desk = DeskDoor(self.codec, self.runtime, self.engine, self.clock, Evidence(self.folder / "evidence"))
        parts = Parts(board, self.views, self.door, self.views, access, desk=desk, doors=self.doors)
        web = Web(dataclasses.replace(parts, workshop=self.workshop, ops=self.ops))
        self.web = ServerThread(web, server.host, server.port)
        port = self.web.start()
        self._frame = web.gateway.publish
        self.workshop.adopt = web.gateway.redefine
        self.runtime.pushes = web.gateway.pushes
        shown = f"[{server.host}]" if ":" in server.host else server.host
        return f"http://{shown}:{port}"

    def start(self, *, live: bool = True) -> None:
        """Start the engine's thread."""
        self.runtime.on_status = self._on_status
        if self.history is not None:
            if self.engine.k:
                self.history.prime(self.engine.now, {s.id: self.engine.current(s.id) for s in self.engine.registry})
            self.history.start()
        self.hooks.start(self.runtime.position)
        self.runtime.start(live=live)
        if self.plugins is not None and self.config.workshop.watch:
            self.plugins.start()

    def _on_status(self, news: Mapping[str, Any]) -> None:
        # Without room in the log no frame is made, so that the pages hear of it here.
        engine = self.engine
        if "log" in news and news["log"] != "ok":
            _log.error("%s", self.runtime.status["log_reason"])
            self._frame(Frame(engine.k, engine.now, engine.position, sys=_status(self.runtime.status)))

    def close(self) -> None:
        """Stop taking events, write a last snapshot, close the port and the files. A second call does nothing."""
        if self.plugins is not None:
            self.plugins.close()
        if self.web is not None:
            self.web.stop()
            self.web = None
        self.runtime.stop()
        self.hooks.stop()
        if self.past is not None:
            self.past.close()
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _by_settings(config: Config, texts: Mapping[str, str]) -> Make:
    given = {"pack": config.city.pack, "telemetry_hours": config.keep.telemetry_hours, "texts": dict(texts)}
    return Make("citytwin.asof:from_settings", given)


def _status(status: Mapping[str, Any]) -> dict[str, Any]:
    return {name: status[name] for name in ("log", "clock", "live", "failed")}


def _progress() -> Callable[[int, int], None]:
    shown = [0]

    def progress(done: int, total: int) -> None:
        percent = 100 * done // max(1, total)
        if percent >= shown[0] + 10:
            shown[0] = percent
            say(f"replaying the log: {percent} % of {total} records")

    return progress
