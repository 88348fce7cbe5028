"""A town on a real Kafka: its members as processes, a load of everything it may send, and an eye on the board."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from citytwin.cluster.board import INTENT, PROVISIONAL, BoardReader, Seen
from citytwin.cluster.options import Options
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.models.part import Marker
from citytwin.models.shards import DESK, route
from citytwin.streams.brokers import BrokerError, Cluster, Place, plan
from citytwin.streams.kafka import Writer as KafkaWriter
from citytwin.streams.kafka import create_topics
from citytwin.streams.parts import FRAME, decode_frame
from citytwin.streams.records import Definition, Events
from citytwin.streams.wire import to_bytes
from tests.conftest import proving
from tests.indicators.histories import WORDS, Writer
from tests.indicators.oracle_law import HOUR
from tests.indicators.town import TYPES, batches, centre, town
from tests.servers.process import ROOT, SLOW, Server, free_ports, until

T = TypeVar("T")
TICK_MS = 1000
PROVE = proving()
SPAN = 40 * HOUR


def now_ms() -> int:
    """The time in ms UTC."""
    return time.time_ns() // 1_000_000


class Loop:
    """An event loop in a thread of its own, for the clients of the broker."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def spawn(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Have it done."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T], seconds: float = 60) -> T:
        """Do it and wait."""
        return self.spawn(work).result(seconds * SLOW)

    def close(self) -> None:
        """End it; all tasks are over before."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


class Member(Server):
    """A worker, clock or gateway as a process; it serves once it has said `ready`."""

    patience = 120.0

    def __init__(self, verb: str, name: str, home: Path, settings: dict[str, object]) -> None:
        super().__init__(name, home)
        self.verb, self.port = verb, int(str(settings.get("SERVER__PORT", 0)))
        self._settings = [f"CITYTWIN_{key}={value}" for key, value in settings.items()]

    def command(self) -> list[str]:
        """The command line, with the settings in the environment."""
        return ["env", f"PYTHONPATH={ROOT}", *self._settings, sys.executable, "-m", "tests.cluster.member", self.verb]

    def answers(self) -> bool:
        """Whether it said so."""
        return any(line.startswith("ready") for line in self.said().splitlines())

    @property
    def code(self) -> int | None:
        """Exit code; None while it runs."""
        return None if self._process is None else self._process.poll()


class Board:
    """Reads the board all the time: when each final frame was first there, and every intent."""

    def __init__(self, options: Options) -> None:
        self._reader = BoardReader(options)
        self.intents: dict[int, Marker] = {}
        #: Final frames in order: k, and the time (ms) at which they could be read.
        self.finals: list[tuple[int, int]] = []
        self.provisionals: list[int] = []
        self.newest = b""
        self._stop = asyncio.Event()

    async def run(self) -> None:
        """Read until `stop`."""
        while not self._stop.is_set():
            try:
                for seen in await self._reader.take(100):
                    self._note(seen)
            except BrokerError:
                with suppress(BrokerError):
                    await self._reader.stop()
                await asyncio.sleep(0.2)
        await self._reader.stop()

    async def stop(self) -> None:
        """End the reading."""
        self._stop.set()

    def _note(self, seen: Seen) -> None:
        if seen.sort == INTENT:
            marker = msgspec.json.decode(seen.body, type=Marker)
            self.intents[marker.k] = marker
        elif seen.sort == FRAME:
            self.finals.append((seen.k, now_ms()))
            self.newest = seen.body
        elif seen.sort == PROVISIONAL:
            self.provisionals.append(seen.k)

    @property
    def ops(self) -> dict[str, Any]:
        """The state of the cluster as the newest final frame tells it."""
        return dict(decode_frame(self.newest).frame.sys["ops"]) if self.newest else {}

    @property
    def final(self) -> int:
        """The newest final frame."""
        return self.finals[-1][0] if self.finals else 0

    def first_after(self, moment: int) -> int | None:
        """When the first final frame could be read whose marker was written after `moment` (both ms)."""
        return next((at for k, at in self.finals if k in self.intents and self.intents[k].now > moment), None)


@dataclass
class Load:
    """Writes what a town may send, now: deeds of the histories, and what must be among it. One record a batch."""

    options: Options
    seed: int
    #: Deeds at a time, times a second, and a partition that gets nothing.
    deeds: int = 6
    hz: float = 5.0 if PROVE else 2.0
    idle: int | None = None
    #: Offsets that Kafka acknowledged, by partition, and how many events they hold.
    acknowledged: dict[Place, set[int]] = field(default_factory=dict)
    events: int = 0
    errors: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._born = now_ms()
        self._writer = Writer(self._born - SPAN, [self._born])
        self._writers: list[KafkaWriter] = []
        self._said = 0
        self._stop = asyncio.Event()
        self._moves = 0
        self._known: dict[str, tuple[str, str]] = {}

    async def run(self) -> None:
        """Write until `stop`; what a broker does not acknowledge is written again."""
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                await self.say(self.more())
            except Exception as error:  # told by the test: the thread has nobody to tell it to
                self.errors.append(repr(error))
                raise
            with suppress(TimeoutError):
                rest = max(0.01, 1 / self.hz - (time.monotonic() - began))
                await asyncio.wait_for(self._stop.wait(), rest)
        await self.close()

    async def stop(self) -> None:
        """End the writing."""
        self._stop.set()

    async def close(self) -> None:
        """Close the connections."""
        for writer in self._writers:
            await writer.stop()
        self._writers.clear()

    def more(self) -> list[dict[str, Any]]:
        """The next events."""
        self._writer.ticks = [now_ms()]
        for _ in range(self.deeds):
            self._writer.deed(self._chance.randbytes(WORDS))
        self._roam()
        fresh = self._writer.events[self._said :]
        self._said = len(self._writer.events)
        return [e for e in fresh if self._fits(e)]

    def _fits(self, event: dict[str, Any]) -> bool:
        """A correction of another subject or type is refused by one process; a shard that has no original waits for it.

        No value differs by that, only the counts.
        """
        self._known[event["id"]] = what = (event["type"], event["subject"])
        return self._known.get(event.get("corrects", event["id"]), what) == what

    def _roam(self) -> None:
        """A unit crosses the city, a correction moves a use to the other district, a device comes, changes and goes."""
        self._moves += 1
        told = self._writer.add("unit.state", now_ms(), f"U{self._moves % 3}", state=("ready", "busy")[self._moves % 2])
        told["lon"], told["lat"] = centre(self._moves * 5 % 16)
        told.pop("scope", None)
        first = self._writer.add("citycode.use", now_ms(), "", user=f"u{self._moves % 7}", service="bus")
        first["scope"] = "C0"
        code = f"X{self._moves // 3}"
        if self._moves % 3 == 0:
            known = {"device_kind": "waterlog", "period_s": 60.0, "in_service": 1, "properties": "waterlog.depth"}
            self._writer.add("device.registered", now_ms(), code, 4, **known)
        elif self._moves % 3 == 1:
            self._writer.add("device.changed", now_ms(), code, 5, in_service=self._moves % 2)
            self._writer.add("obs", now_ms(), code, property="waterlog.depth", value=14.9, quality="good")
        elif self._moves % 4:
            self._writer.add("device.removed", now_ms(), code, why="lost")
        again = {k: v for k, v in first.items() if k != "scope"}
        again |= {"id": f"{first['id']}b", "corrects": first["id"], "revision": 1, "scope": "C1"}
        self._writer.events.append(again)

    async def say(self, events: list[dict[str, Any]]) -> None:
        """Write events as a bridge does, now and then a second time as another bridge would."""
        if not events:
            return
        again = self._chance.random() < 0.15
        for batch in batches(events):
            await self._route(batch, 0)
            if again:
                await self._route(batch, 1)

    async def define(self, file: str, text: str | None) -> None:
        """Put a plugin on the registers."""
        await self._write(
            Place(self.options.topic("registers"), 0), Definition("plugin", {"file": file, "text": text}), 0
        )

    async def _route(self, batch: EventBatch, way: int) -> None:
        options, kind = self.options, TYPES[batch.type]
        if kind.register is not None:
            await self._write(Place(options.topic("registers"), 0), Events(batch), way)
            return
        where = route(batch, kind, options.shards)
        for shard in np.unique(where).tolist():
            if shard == self.idle:
                continue
            place = Place(options.topic("desk"), 0) if shard == DESK else Place(options.topic("events"), shard)
            await self._write(place, Events(batch.take(np.flatnonzero(where == shard))), way)

    async def _write(self, place: Place, record: Events | Definition, way: int) -> None:
        value = to_bytes(record)
        while True:
            try:
                while len(self._writers) < 2:
                    writer = KafkaWriter(self.options.cluster)
                    await writer.start()
                    self._writers.append(writer)
                offset = await self._writers[way].write(*place, value)
            except BrokerError as error:
                if not error.passing:
                    raise
                if self._stop.is_set():
                    return  # nobody was told that it is taken
                await asyncio.sleep(0.2)
                continue
            self.acknowledged.setdefault(place, set()).add(offset)
            self.events += len(record.batch) if isinstance(record, Events) else 0
            return


class Town:
    """The cluster: `create` its topics, start members, look at the board."""

    def __init__(
        self, home: Path, bootstrap: str, prefix: str, *, shards: int = 8, replication: int = 1,
        settings: dict[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.home, self.replication = home, replication
        self.given: dict[str, object] = {
            "KAFKA__BOOTSTRAP": bootstrap, "KAFKA__PREFIX": prefix, "KAFKA__SHARDS": shards,
            "CLUSTER__CHECKPOINTS": home / "checkpoints", "CLUSTER__HASHES": "true", "CLUSTER__TICK_MS": TICK_MS,
            "CLUSTER__CHECKPOINT_SECONDS": 3, "CLUSTER__KEY_EVERY": 20, "PRIVACY__KEY": "k", "DESK__AUTOMATIC": "false",
            **(settings or {}),
        }  # fmt: skip
        self.options = Options(
            Cluster(bootstrap), prefix, shards, home / "checkpoints", lambda: town()[0], builtin, hashes=True
        )
        self.members: list[Member] = []
        self.loop = Loop()
        self.board = Board(self.options)
        self._reading: Future[None] | None = None
        self._loads: list[tuple[Load, Future[None]]] = []

    def create(self) -> None:
        """Make the topics, and look at the board from now on."""
        o = self.options
        topics = plan(o.prefix, o.shards, self.replication, max(1, self.replication - 1))
        self.loop.run(create_topics(o.cluster, topics))
        self._reading = self.loop.spawn(self.board.run())

    def add(self, verb: str, name: str = "", **settings: object) -> Member:
        """Start a member without waiting for it."""
        name = name or f"{verb}-{1 + sum(m.verb == verb for m in self.members)}"
        given = {**self.given, "CLUSTER__INSTANCE": name, "DATA__DIR": self.home / name / "data", **settings}
        if verb == "gateway":
            given["SERVER__PORT"] = free_ports(1)[0]
        member = Member(verb, name, self.home / name, given)
        self.members.append(member)
        member.launch()
        return member

    def of(self, verb: str) -> list[Member]:
        """All members of a kind."""
        return [m for m in self.members if m.verb == verb]

    def load(self, seed: int, **how: Any) -> Load:
        """Start a load."""
        load = Load(self.options, seed, **how)
        self._loads.append((load, self.loop.spawn(load.run())))
        return load

    def quiet(self) -> None:
        """End the loads; what they were told is taken, is in Kafka."""
        loads, self._loads = self._loads, []
        for load, running in loads:
            self.loop.run(load.stop())
            running.result(90)
            assert not load.errors, load.errors

    def caught_up(self, since: int, seconds: float, what: str) -> float:
        """Wait for a final frame of after `since` (ms); seconds that it took from then on."""
        until(lambda: self.board.first_after(since), seconds, lambda: f"a final frame of after {what}; {self.words()}")
        at = self.board.first_after(since)
        assert at is not None
        return (at - since) / 1000

    def words(self) -> str:
        """The end of what each member said, for a failure."""
        return "\n".join(f"{m.name} ({m.code}): {m.said()[-600:]}" for m in self.members if m.said() or m.code)

    def settle(self, seconds: float = 240) -> int:
        """Wait until everything that was written is in a final frame; its k."""
        self.caught_up(now_ms() + TICK_MS, seconds, "the end")
        return self.board.final

    def close(self) -> None:
        """End all of it."""
        for member in self.members:
            member.close()
        for load, _ in self._loads:
            self.loop.run(load.stop())
        if self._reading is not None:
            self.loop.run(self.board.stop())
            self._reading.result(30)
        self.loop.close()
