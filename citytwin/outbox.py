"""The way out of a bridge: what sources hand over goes to Kafka in groups, and is answered once Kafka has all of it.

One group is written at a time; what comes meanwhile makes up the next. Bounded by the bytes of what came in. While the
broker is away the group is written again and again, and sources wait. A record that may have been written before is
written a second time rather than lost: its events have ids, and the same id counts once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from citytwin.models.batch import EventBatch
from citytwin.models.vocabulary import Vocabulary
from citytwin.streams import wire
from citytwin.streams.bridging import Outgoing, halves, spread
from citytwin.streams.brokers import BrokerError
from citytwin.streams.kafka import Writer
from citytwin.streams.records import Events

_log = logging.getLogger(__name__)

#: Wait before a failed group is written again: doubled each time, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0
#: A group that takes longer is told of, in seconds.
SLOW_S = 3.0
#: A parcel weighs at least so much, so that empty ones are bounded too.
_LEAST_BYTES = 200


@dataclass(slots=True, eq=False)
class Parcel:
    """What one read of a source came to: events, dead letters as records, and the bytes that it holds."""

    batches: Sequence[EventBatch]
    letters: Sequence[bytes]
    size: int
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(frozen=True, slots=True)
class Target:
    """Where it goes: topics of a prefix with so many shards; records of at most `events` events and `size` bytes."""

    prefix: str
    shards: int
    events: int = 1000
    size: int = 900_000


@dataclass(slots=True)
class Counts:
    """What went out since the start; `repeated`: groups that were written again after a failure."""

    events: int = 0
    records: int = 0
    letters: int = 0
    groups: int = 0
    repeated: int = 0


class Outbox:
    """Takes parcels and writes them. `run` until `close`; all of it on one event loop, packing on a worker thread."""

    def __init__(
        self, connect: Callable[[], Writer], target: Target, vocabulary: Vocabulary, *, linger_s: float = 0.05,
        most_bytes: int = 64 << 20,
    ) -> None:  # fmt: skip
        self._connect, self._target, self._vocabulary = connect, target, vocabulary
        self._linger, self.most_bytes = linger_s, most_bytes
        self._parcels: list[Parcel] = []
        self._group: list[Parcel] = []
        #: Bytes that are on the way, those of the group that is written included.
        self.waiting = 0
        self.counts = Counts()
        #: Why nothing can be written now, "" while it can.
        self.trouble = "not connected yet"
        self._writer: Writer | None = None
        self._some, self._room, self._many = asyncio.Event(), asyncio.Condition(), asyncio.Event()
        self._closing = False

    def fits(self, size: int) -> bool:
        """Whether a parcel of so many bytes can be taken now; an empty outbox takes any."""
        return not self._closing and (not self.waiting or self.waiting + size <= self.most_bytes)

    def offer(self, parcel: Parcel) -> bool:
        """Take a parcel if there is room."""
        parcel.size = max(parcel.size, _LEAST_BYTES)
        if not self.fits(parcel.size):
            return False
        self.waiting += parcel.size
        self._parcels.append(parcel)
        self._some.set()
        if self.waiting >= self.most_bytes // 4:
            self._many.set()
        return True

    async def put(self, parcel: Parcel) -> None:
        """Take a parcel as soon as there is room."""
        async with self._room:
            await self._room.wait_for(lambda: self._closing or self.fits(max(parcel.size, _LEAST_BYTES)))
            if not self.offer(parcel):
                parcel.done.cancel()

    async def close(self) -> None:
        """Take nothing more; `run` ends when what is here is written."""
        self._closing = True
        self._some.set()
        self._many.set()
        async with self._room:
            self._room.notify_all()

    async def run(self) -> None:
        """Write until closed and empty. Cancelled, it leaves what is not written to the sources, who have it still."""
        try:
            await self._deliver(())
            while await self._wait():
                self._group, self._parcels = self._parcels, []
                await self._deliver(await asyncio.to_thread(self._records, self._group))
                self.counts.groups += 1
                self._answer()
                async with self._room:
                    self._room.notify_all()
        finally:
            await self._part()
            for parcel in (*self._group, *self._parcels):
                parcel.done.cancel()

    async def _wait(self) -> bool:
        """Wait for parcels, and a little longer for more of them; False at the end."""
        await self._some.wait()
        if not self._closing:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._many.wait(), self._linger)
            self._some.clear()
            self._many.clear()
        return bool(self._parcels) or not self._closing

    def _records(self, group: Sequence[Parcel]) -> list[tuple[str, int, bytes]]:
        """Topic, partition and value of every record of a group."""
        batches = [b for p in group for b in p.batches]
        outs = spread(batches, self._vocabulary, self._target.shards, self._target.events)
        found = [r for out in outs for r in self._packed(out)]
        letters = [value for p in group for value in p.letters]
        self.counts.records += len(found)
        self.counts.events += sum(map(len, batches))
        self.counts.letters += len(letters)
        return [*found, *((f"{self._target.prefix}.deadletters", 0, value) for value in letters)]

    def _packed(self, out: Outgoing) -> list[tuple[str, int, bytes]]:
        value = wire.to_bytes(Events(out.batch))
        if len(value) <= self._target.size or len(out.batch) < 2:
            return [(f"{self._target.prefix}.{out.topic}", out.partition, value)]
        return [r for half in halves(out) for r in self._packed(half)]

    async def _deliver(self, records: Sequence[tuple[str, int, bytes]]) -> None:
        """Write, and after a failure again with a new connection, until it is done."""
        wait = FIRST_WAIT
        while True:
            slow = asyncio.get_running_loop().call_later(SLOW_S, self._say_slow)
            try:
                await self._write(records)
                self.trouble = ""
                return
            except BrokerError as error:
                if str(error) != self.trouble:
                    _log.warning("%s; trying again, sources wait", error)
                self.trouble = str(error)
                self.counts.repeated += bool(records)
            finally:
                slow.cancel()
            await self._part()
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _say_slow(self) -> None:
        """The client tries for half a minute before it says that nobody answers."""
        self.trouble = self.trouble or f"Kafka has not taken a group for {SLOW_S:g} s; trying on, sources wait"

    async def _write(self, records: Sequence[tuple[str, int, bytes]]) -> None:
        if self._writer is None:
            writer = self._connect()
            await writer.start()
            self._writer = writer
        sent, failed = [], None
        for topic, partition, value in records:
            try:
                sent.append(await self._writer.send(topic, partition, value))
            except BrokerError as error:
                failed = error
                break
        for one in sent:
            try:
                await one
            except BrokerError as error:
                failed = failed or error
        if failed is not None:
            raise failed

    async def _part(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()

    def _answer(self) -> None:
        group, self._group = self._group, []
        for parcel in group:
            self.waiting -= parcel.size
            if not parcel.done.done():
                parcel.done.set_result(None)
