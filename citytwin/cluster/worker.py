"""A worker: the shards that it is dealt, each fed from where its checkpoint ends, and a part at each marker.

What is on disk decides. A record before a checkpoint's `next` is skipped, one beyond it is a gap and ends the process;
a part is durable before the checkpoint that knows of it; a checkpoint is durable before the group hears of the offset.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from citytwin import desking
from citytwin.cluster.cities import Cities
from citytwin.cluster.fitting import damaged
from citytwin.cluster.options import Options
from citytwin.cluster.registers import RegisterLog
from citytwin.cluster.shard import Gap, Shard
from citytwin.models.batch import EventBatch, Rejection
from citytwin.models.part import Marker, Part
from citytwin.models.shards import DESK
from citytwin.models.telling import Telling
from citytwin.snapshot import DefinitionsChanged
from citytwin.streams.arrays import split
from citytwin.streams.bridging import letters, spread
from citytwin.streams.brokers import BrokerError, Place
from citytwin.streams.kafka import Reader, Writer
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.parts import PART, encode_part
from citytwin.streams.records import Definition, Events
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.streams.store import StoreError
from citytwin.streams.wire import from_bytes, to_bytes

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
_AGAIN_S = 0.5
#: A marker younger than this (ms) is of the present.
PRESENT_MS = 60_000


@dataclass(slots=True)
class Held:
    """A shard in this process: the offset of the record that it takes next, and of its newest checkpoint."""

    shard: Shard
    next: int
    saved_at: float
    saved_k: int = 0
    events: int = 0
    #: Ids of what the desk said, and has not heard yet.
    said: set[str] = field(default_factory=set)


class Worker:
    """Takes records of partitions, and tells parts. `fatal` is called with a sentence where it cannot go on."""

    def __init__(self, options: Options, fatal: Callable[[str], None]) -> None:
        self.options, self._fatal = options, fatal
        self._cities = Cities(options.city)
        self._registry = options.registry()
        self._writer = Writer(options.cluster)
        self.registers = RegisterLog(options.cluster, options.prefix)
        self.held: dict[Place, Held] = {}
        #: Set when the process is to end: each shard writes a checkpoint at its next marker.
        self.draining = False

    async def start(self) -> None:
        """Connect. Raises BrokerError."""
        await self._writer.start()

    async def stop(self) -> None:
        """Leave; nothing is lost that checkpoints do not know, it comes again."""
        await self._writer.stop()
        await self.registers.stop()

    # Assignments

    async def load(self, places: Sequence[Place]) -> Mapping[Place, int]:
        """Come back to the newest checkpoint of each partition; none is kept, for a rebalance rewinds all of them."""
        self.held.clear()
        found = {}
        for place in places:
            held = await asyncio.to_thread(self._restore, place)
            found[place] = held
        starts = {place: held.next for place, held in found.items()}
        if starts:
            try:
                async with Reader(self.options.cluster, starts):
                    pass  # it says where the log no longer holds what a checkpoint needs
            except BrokerError as error:
                if not error.passing:
                    self._fatal(str(error))
                raise
        self.held = found
        _log.info("shards here: %s", ", ".join(f"{h.shard.shard}@{h.next}" for h in found.values()))
        return starts

    def _restore(self, place: Place) -> Held:
        options = self.options
        number = DESK if place.topic == options.topic("desk") else place.partition
        for saved in self._checkpoints(number).valid():
            try:
                shard = Shard.restore(
                    self._cities(), self._registry, saved.arrays, saved.meta, number, options.shards,
                    digests=options.hashes,
                )  # fmt: skip
            except DefinitionsChanged:
                self._fatal(
                    f"shard {number}: its checkpoint was counted by other indicators, vocabulary or city pack; what is "
                    "counted anew is another epoch: `citytwin reshard` makes it, or run the version as before"
                )
                raise
            except (ValueError, KeyError) as error:
                _log.error("shard %s: the checkpoint at %d is passed over: %s", number, saved.position, error)
                self._check_shards(saved)
                continue
            return self._hold(shard, int(saved.meta["next"]))
        return self._hold(Shard(self._cities(), self._registry, number, options.shards, digests=options.hashes), 0)

    def _hold(self, shard: Shard, next: int) -> Held:
        if shard.engine.desk is not None:
            shard.engine.desk.quiet = not self.options.automatic
        return Held(shard, next, time.monotonic(), shard.engine.k)

    def _check_shards(self, saved: Snapshot) -> None:
        there = saved.meta.get("cluster", {}).get("shards")
        if there != self.options.shards:
            self._fatal(
                f"the checkpoints in {self.options.folder} are of {there} shards, the settings say "
                f"{self.options.shards}: set kafka.shards back, or make another epoch by `citytwin reshard`"
            )

    def _checkpoints(self, number: int) -> Snapshots:
        name = "desk" if number == DESK else f"shard-{number:04d}"
        return Snapshots(self.options.place(name), self.options.keep)

    # Records

    async def take(self, place: Place, offset: int, value: bytes) -> bool:
        """Do what one record says; True when a checkpoint of it is durable."""
        held = self.held.get(place)
        if held is None or offset < held.next:
            return False
        if offset > held.next:
            self._fatal(
                f"{place.topic}/{place.partition}: record {held.next} is missing, {offset} came instead; the topic was "
                "trimmed while it was read: restore it from a backup, or begin another epoch"
            )
            return False
        try:
            return await self._do(place, held, offset, value)
        except Gap as error:
            self._fatal(f"{place.topic}/{place.partition} at {offset}: {error}")
        except Exception as error:  # Faust would acknowledge the record and go on without it
            _log.exception("%s/%d at %d", place.topic, place.partition, offset)
            self._fatal(f"{place.topic}/{place.partition} at {offset}: {type(error).__name__}: {error}")
        return False

    async def _do(self, place: Place, held: Held, offset: int, value: bytes) -> bool:
        try:
            message = from_bytes(value or b"")
        except CorruptRecord as error:
            await self._leave_out(place, held, offset, [damaged(str(error), value)])
            return False
        if isinstance(message, Definition):
            fault = Rejection(0, "misplaced", "", "definitions belong to the registers", message.name.encode()[:200])
            await self._leave_out(place, held, offset, [fault])
            return False
        if isinstance(message, Telling) and held.shard.shard != DESK:
            fault = Rejection(0, "misplaced", "", "what the desk is told belongs to the desk's topic", b"")
            await self._leave_out(place, held, offset, [fault])
            return False
        if isinstance(message, Telling):
            if held.shard.tell(message):
                await self._say(held)
        elif isinstance(message, Events):
            await self._feed(place, held, offset, message.batch)
        elif message.k > held.shard.engine.k:
            await self._mark(place, held, message, offset)
        held.next = offset + 1
        if isinstance(message, Marker) and self._due(held):
            await self._save(held)
            return True
        return False

    async def _feed(self, place: Place, held: Held, offset: int, batch: EventBatch) -> None:
        changes = held.shard.take_in(batch, offset)
        held.events += changes.accepted
        await self._refuse(place, offset, changes.rejected)

    async def _leave_out(self, place: Place, held: Held, offset: int, rejections: Sequence[Rejection]) -> None:
        """Pass a record over that is none of ours: counted, and a dead letter before it counts as taken."""
        held.shard.leave_out(rejections)
        await self._refuse(place, offset, rejections)
        held.next = offset + 1

    async def _mark(self, place: Place, held: Held, marker: Marker, offset: int) -> None:
        registers = await again(lambda: self.registers.between(held.shard.registers, marker.registers))
        part, refused = held.shard.mark(marker, registers, offset)
        facts = {**part.facts, "member": self._member(held, offset + 1)}
        told = Part(part.shard, part.k, part.now, part.share, facts, part.newest)
        pieces = split(PART, part.shard, part.k, encode_part(told))
        await again(lambda: self._send("parts", pieces))
        await self._refuse(place, offset, refused)
        if held.shard.shard == DESK:
            self._attend(held, marker)
            await self._say(held)

    def _attend(self, held: Held, marker: Marker) -> None:
        """Have the desk live once it has come to the present: reminders of a past that is read again were said then."""
        work = held.shard.engine.casework
        if work is not None and not work.live and self.options.now_ms() - marker.now < PRESENT_MS:
            work.attend()

    async def _say(self, held: Held) -> None:
        """Write what the desk has to say and this process has not written yet; it is heard when it is read."""
        engine = held.shard.engine
        wanted = [b for b in desking.batches(engine) if len(b)]
        fresh = [b.take(np.array([id not in held.said for id in b.id.tolist()], np.bool_)) for b in wanted]
        for out in spread([b for b in fresh if len(b)], engine.vocabulary, self.options.shards, desking.COMMANDS_MAX):
            value = to_bytes(Events(out.batch))
            await again(lambda out=out, value=value: self._put(out.topic, out.partition, value))  # type: ignore[misc]
        held.said = {id for b in wanted for id in b.id.tolist()}

    async def _put(self, topic: str, partition: int, value: bytes) -> None:
        await self._writer.write(self.options.topic(topic), partition, value)

    def _member(self, held: Held, next: int) -> dict[str, object]:
        """What pages tell of a shard and its owner."""
        return {
            "owner": self.options.instance or f"worker-{os.getpid()}", "next": next, "events": held.events,
            "checkpoint_k": held.saved_k, "checkpoint_age_s": round(time.monotonic() - held.saved_at, 1),
        }  # fmt: skip

    async def _send(self, topic: str, values: Iterable[bytes]) -> None:
        for sent in [await self._writer.send(self.options.topic(topic), 0, value) for value in values]:
            await sent

    async def _refuse(self, place: Place, offset: int, rejections: Sequence[Rejection]) -> None:
        """Dead letters are durable before the record counts as taken."""
        if rejections:
            where = f"{place.topic}/{place.partition}/{offset}"
            told = letters(rejections, "worker", lambda i: f"{where}/{i}", time.time_ns() // 1_000_000)
            await again(lambda: self._send("deadletters", told))

    # Checkpoints

    def _due(self, held: Held) -> bool:
        return self.draining or time.monotonic() - held.saved_at >= self.options.checkpoint_s

    async def _save(self, held: Held) -> None:
        """Write a checkpoint, named by the next offset. Without room the older ones stay, and it is tried again."""
        taken = held.shard.snapshot()
        saved = Snapshot(held.next, taken.arrays, {**taken.meta, "next": held.next})
        try:
            await asyncio.to_thread(self._checkpoints(held.shard.shard).save, saved)
        except (OSError, StoreError) as error:
            _log.error("shard %s: no checkpoint could be written: %s", held.shard.shard, error)
            return
        held.saved_at, held.saved_k = time.monotonic(), held.shard.engine.k

    async def drain(self, seconds: float) -> None:
        """Let every shard write a checkpoint at its next marker, for at most so long."""
        self.draining = True
        end, before = time.monotonic() + seconds, {p: h.saved_k for p, h in self.held.items()}
        while time.monotonic() < end and any(h.saved_k == before.get(p) for p, h in self.held.items()):
            await asyncio.sleep(0.05)


async def again(call: Callable[[], Awaitable[_T]]) -> _T:
    """Do something with the broker until it works; what waits meanwhile stays in Kafka. Raises what will not pass."""
    while True:
        try:
            return await call()
        except BrokerError as error:
            if not error.passing:
                raise
            _log.warning("%s; trying again", error)
            await asyncio.sleep(_AGAIN_S)
