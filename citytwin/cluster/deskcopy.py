"""The desk as a gateway has it: the topic of the desk folded here, from a worker's checkpoint on.

Whoever folds the same records has the same desk, so a command needs nobody's leave: it is written to the topic, and its
answer is what the fold here says of that very record. Nothing is said from here by itself; that is the owner's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from citytwin import desking
from citytwin.cluster.options import Options
from citytwin.cluster.registers import RegisterLog
from citytwin.cluster.shard import Gap, Shard
from citytwin.engine import Engine
from citytwin.models.batch import Changes, EventBatch, Rejection
from citytwin.models.part import Marker
from citytwin.models.shards import DESK, route
from citytwin.models.telling import Telling
from citytwin.snapshot import DefinitionsChanged
from citytwin.streams.bridging import letters, spread
from citytwin.streams.brokers import BrokerError, Place
from citytwin.streams.kafka import Reader, Writer
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.records import Events
from citytwin.streams.snapshots import Snapshots
from citytwin.streams.wire import from_bytes, to_bytes
from citytwin.submissions import Busy, Unavailable, done_now

_log = logging.getLogger(__name__)
T = TypeVar("T")
#: Answers of records that are kept for who wrote them, the newest.
ANSWERS_MAX = 4096
#: Commands that wait for their answer; more are told to come again.
WAITING_MAX = 1000
_AGAIN_S = 0.5
_LATER = "the desk is being read by this gateway and will be there in a moment; send the same command again"


class DeskCopy:
    """Stands where one process has its runtime; every public method but `run` may be called from any thread."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.place = Place(options.topic("desk"), 0)
        self.lock = threading.RLock()
        self._shard: Shard | None = None
        self._next = 0
        self._ready = threading.Event()
        #: Set once the desk has its engine, or never will.
        self.restored = asyncio.Event()
        self._registers = RegisterLog(options.cluster, options.prefix)
        self._writer: Writer | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._answers: OrderedDict[int, Changes] = OrderedDict()
        self._wanted: dict[int, asyncio.Future[Changes]] = {}
        self._waiting = 0
        #: Why there is no desk here, "" if there is or will be.
        self.trouble = ""

    # What others ask for

    @property
    def engine(self) -> Engine | None:
        """The engine of the desk, the same as long as this lives; None before `restored`, or where there is none."""
        return None if self._shard is None else self._shard.engine

    def _present(self) -> Engine:
        if self._shard is None or not self._ready.is_set():
            raise Unavailable(self.trouble or _LATER)
        return self._shard.engine

    @property
    def ready(self) -> bool:
        """Whether the desk is read up to the present."""
        return self._ready.is_set()

    @property
    def position(self) -> int:
        """Offset of the record that is folded next."""
        return self._next

    def call(self, run: Callable[[], T]) -> Future[T]:
        """Do something with the desk between two records, in the thread that asks. Raises Unavailable."""
        self._present()
        return done_now(self.lock, run)

    def submit(self, batches: Sequence[EventBatch]) -> Future[list[Changes]]:
        """Changes per batch: of the desk's once it is in the topic and folded here, of the others' once Kafka has it.

        What shards count they judge when they come to it. Raises Busy, Unavailable (the future too).
        """
        engine, loop = self._present(), self._loop
        assert loop is not None
        if self._waiting >= WAITING_MAX:
            raise Busy(1.0)
        for batch in batches:
            if engine.vocabulary.types[batch.type].register is not None:
                raise Unavailable(f"a gateway takes no registers; send {batch.type} to the port of `citytwin bridge`")
        return asyncio.run_coroutine_threadsafe(self._submit(list(batches)), loop)

    async def _submit(self, batches: list[EventBatch]) -> list[Changes]:
        self._waiting += 1
        try:
            return [await self._one(batch) for batch in batches]
        except BrokerError as error:
            raise Unavailable(
                f"{error}; it is not known whether it was taken: send the same again under the same key"
            ) from error
        finally:
            self._waiting -= 1

    async def _one(self, batch: EventBatch) -> Changes:
        if len(batch) == 0:
            return Changes(0, 0, 0, 0)
        assert self._writer is not None  # it is there before the desk is
        kind = self._present().vocabulary.types[batch.type]
        if (route(batch, kind, 1) != DESK).any():
            return await self._elsewhere(batch)
        offset = await self._writer.write(*self.place, to_bytes(Events(batch)))
        if offset in self._answers:
            return self._answers[offset]
        if offset < self._next:
            raise Unavailable("the answer went by unseen; send the same again under the same key")
        wanted = self._wanted.setdefault(offset, asyncio.get_running_loop().create_future())
        try:
            return await wanted
        finally:
            self._wanted.pop(offset, None)

    async def _elsewhere(self, batch: EventBatch) -> Changes:
        assert self._writer is not None
        for out in spread([batch], self._present().vocabulary, self.options.shards, len(batch)):
            await self._writer.write(self.options.topic(out.topic), out.partition, to_bytes(Events(out.batch)))
        return Changes(len(batch), 0, 0, 0)

    def refuse(self, door: str, place: str, rejections: Sequence[Rejection]) -> Future[int]:
        """Dead letters of a door, once they are in their topic: how many. Raises Unavailable (the future too)."""
        self._present()
        assert self._loop is not None
        told = letters(rejections, door, lambda i: f"{place}/{i}", self.options.now_ms())
        return asyncio.run_coroutine_threadsafe(self._refuse(told), self._loop)

    async def _refuse(self, told: Sequence[bytes]) -> int:
        assert self._writer is not None
        try:
            for value in told:
                await self._writer.write(self.options.topic("deadletters"), 0, value)
        except BrokerError as error:
            raise Unavailable(str(error)) from error
        return len(told)

    # Reading

    async def run(self, stop: asyncio.Event) -> None:
        """Read until `stop` is set; broker trouble is waited out, what does not pass is told in `trouble`."""
        self._loop = asyncio.get_running_loop()
        try:
            while not stop.is_set() and not self.trouble:
                try:
                    await self._read(stop)
                except BrokerError as error:
                    if not error.passing:
                        self._give_up(str(error))
                        break
                    _log.warning("%s; trying again", error)
                    await asyncio.sleep(_AGAIN_S)
                except Exception as error:  # half a record is no state to answer from
                    _log.exception("the desk at %d", self._next)
                    self._give_up(f"record {self._next}: {type(error).__name__}: {error}; start this gateway again")
        finally:
            self._ready.clear()
            for wanted in (w for w in self._wanted.values() if not w.done()):
                wanted.set_exception(Unavailable(self.trouble or "this gateway is stopping; send the same again"))
            if self._writer is not None:
                await self._writer.stop()
            await self._registers.stop()

    def _give_up(self, why: str) -> None:
        self.trouble = f"there is no desk at this gateway: {why}"
        self._ready.clear()
        self.restored.set()
        _log.error("%s", self.trouble)

    async def _read(self, stop: asyncio.Event) -> None:
        if self._shard is None:
            self._shard, self._next = await asyncio.to_thread(self._restore)
            self.restored.set()
        if self._writer is None:
            writer = Writer(self.options.cluster)
            await writer.start()
            self._writer = writer
        async with Reader(self.options.cluster, {self.place: self._next}) as reader:
            end = (await reader.end_offsets([self.place]))[self.place]
            while not stop.is_set():
                if self._next >= end and not self._ready.is_set():
                    await asyncio.to_thread(self._attend)
                for record in (await reader.take(1_000, 100)).get(self.place, ()):
                    await self._fold(record.offset, record.value or b"")

    def _restore(self) -> tuple[Shard, int]:
        """The desk of the newest checkpoint that can be read, else an empty one at the beginning of the topic."""
        options, registry = self.options, self.options.registry()
        for saved in Snapshots(options.place("desk"), options.keep).valid():
            try:
                shard = Shard.restore(options.city(), registry, saved.arrays, saved.meta, DESK, options.shards)
            except (DefinitionsChanged, ValueError, KeyError) as error:
                _log.warning("the desk's checkpoint at %d is passed over: %s", saved.position, error)
                continue
            return self._quiet(shard), int(saved.meta["next"])
        return self._quiet(Shard(options.city(), registry, DESK, options.shards)), 0

    def _quiet(self, shard: Shard) -> Shard:
        if shard.engine.desk is not None:
            shard.engine.desk.quiet = not self.options.automatic
        return shard

    def _attend(self) -> None:
        assert self._shard is not None
        with self.lock:
            desking.attend(self._shard.engine)
        self._ready.set()
        _log.info("the desk is here, up to record %d", self._next)

    async def _fold(self, offset: int, value: bytes) -> None:
        """Take one record as the owner of the desk takes it; what that one leaves out is left out here."""
        shard = self._shard
        assert shard is not None
        if offset != self._next:
            raise Gap(f"{offset} came instead: the topic was trimmed while it was read")
        try:
            message = from_bytes(value)
        except CorruptRecord:
            self._next = offset + 1  # its owner tells of it
            return
        if isinstance(message, Marker) and message.k > shard.engine.k:
            found = await self._registers.between(shard.registers, message.registers)
            await asyncio.to_thread(self._locked, lambda: shard.mark(message, found, offset))
        elif isinstance(message, Telling):
            await asyncio.to_thread(self._locked, lambda: shard.tell(message))
        elif isinstance(message, Events):
            changes = await asyncio.to_thread(self._locked, lambda: shard.take_in(message.batch, offset))
            self._answer(offset, changes)
        self._next = offset + 1

    def _locked(self, run: Callable[[], Any]) -> Any:
        with self.lock:
            return run()

    def _answer(self, offset: int, changes: Changes) -> None:
        self._answers[offset] = changes
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        wanted = self._wanted.get(offset)
        if wanted is not None and not wanted.done():
            wanted.set_result(changes)
