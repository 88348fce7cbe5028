"""The doors of a bridge: foreign Kafka topics, MQTT filters, HTTP. Each acknowledges only what Kafka has."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from citytwin.clock import Clock
from citytwin.dashboards.ports import Refused, Taken
from citytwin.ingest import decode_body, without_desk
from citytwin.models.batch import Rejection
from citytwin.outbox import Outbox, Parcel
from citytwin.streams.bridging import Lines, PlaceOf, letters, refuse_future
from citytwin.streams.brokers import BrokerError, Place
from citytwin.streams.codec import CONTENT_TYPES, Codec
from citytwin.streams.decoded import MAX_BODY_BYTES, Decoded
from citytwin.streams.kafka import GroupReader, Message
from citytwin.streams.mqtt import Arrived, Inbox, MqttBroker, MqttError, matches
from citytwin.streams.rules import Rules

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

#: Wait before a source that failed is asked again: doubled each time, in seconds.
FIRST_WAIT, LONGEST_WAIT = 0.2, 5.0
#: How long one that loses partitions waits for what it has on the way, and how long one that ends, in seconds.
LEAVING_S, ENDING_S = 4.0, 9.0
#: Messages of MQTT that are read together.
_MESSAGES = 1000


class Pending(Generic[_T]):
    """What was handed over and is not confirmed to its source; confirmed in order, all that is done by then at once."""

    def __init__(self, confirm: Callable[[list[_T]], Awaitable[None]]) -> None:
        self._confirm, self._some, self._lock = confirm, asyncio.Event(), asyncio.Lock()
        self._open: deque[tuple[asyncio.Future[None], _T]] = deque()

    def add(self, token: _T) -> asyncio.Future[None]:
        """Note what is on the way; the future is to be set when it is safe."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._open.append((done, token))
        self._some.set()
        return done

    async def run(self) -> None:
        """Confirm as things get safe. Raises what confirming raises."""
        while True:
            await self._some.wait()
            await asyncio.wait([self._open[0][0]])
            await self._confirm_done()

    async def settle(self, seconds: float) -> None:
        """Wait at most so long for all of it, and confirm what is safe."""
        if self._open:
            await asyncio.wait([done for done, _ in self._open], timeout=seconds)
        await self._confirm_done()

    async def _confirm_done(self) -> None:
        async with self._lock:
            tokens = []
            while self._open and self._open[0][0].done():
                done, token = self._open.popleft()
                if done.cancelled():
                    # it was not written: neither it nor what follows may be confirmed
                    self._open.clear()
                    break
                tokens.append(token)
            if not self._open:
                self._some.clear()
            if tokens:
                await self._confirm(tokens)


class Inlet:
    """A door: `trouble` says why nothing comes through now; `taken` and `refused` count events since the start."""

    def __init__(self, name: str, outbox: Outbox, clock: Clock, rules: Rules) -> None:
        self.name, self.outbox, self.clock, self.rules = name, outbox, clock, rules
        self.trouble = "not connected yet"
        self.taken = self.refused = 0
        self.ending = asyncio.Event()

    async def run(self) -> None:
        """Read until told to end; a source that is away is asked again, ever more slowly."""
        wait = FIRST_WAIT
        while not self.ending.is_set():
            try:
                await self._attempt()
            except (BrokerError, MqttError) as error:
                if str(error) != self.trouble:
                    _log.warning("%s: %s; trying again", self.name, error)
                wait = min(2 * wait, LONGEST_WAIT) if self.trouble else FIRST_WAIT
                self.trouble = str(error)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.ending.wait(), wait)

    async def _attempt(self) -> None:
        """Read until it fails or is told to end."""
        await self.ending.wait()

    async def _while_confirming(self, pending: Pending[Any], turn: Callable[[], Awaitable[None]]) -> None:
        """Take turns until told to end, then settle; what goes wrong in confirming ends it too."""
        confirming = asyncio.create_task(pending.run())
        try:
            while not self.ending.is_set():
                if confirming.done():
                    confirming.result()
                await turn()
            await pending.settle(ENDING_S)
        finally:
            confirming.cancel()
            await asyncio.gather(confirming, return_exceptions=True)

    def checked(self, decoded: Decoded, payload: Callable[[int], bytes], place: PlaceOf) -> tuple[Decoded, list[bytes]]:
        """What was read without what lies ahead of the clock or says it is the desk, and its dead letters."""
        now = self.clock.now_ms()
        done = refuse_future(without_desk(decoded), self.rules, now, payload)
        self.taken += done.taken
        self.refused += len(done.rejections)
        return done, letters(done.rejections, self.name, place, now)


Connect = Callable[[Callable[[], Awaitable[None]]], GroupReader]


class KafkaInlet(Inlet):
    """Foreign topics of single events, `most` records at a time. Offsets are committed once Kafka has their events."""

    def __init__(self, name: str, outbox: Outbox, clock: Clock, lines: Lines, connect: Connect, most: int) -> None:
        super().__init__(name, outbox, clock, lines.rules)
        self.lines, self._connect, self._most = lines, connect, most

    async def _attempt(self) -> None:
        pending: Pending[dict[Place, int]] = Pending(lambda offsets: self._commit(reader, offsets))
        reader = self._connect(lambda: pending.settle(LEAVING_S))
        async with reader:
            self.trouble = ""
            await self._while_confirming(pending, lambda: self._turn(reader, pending))

    async def _turn(self, reader: GroupReader, pending: Pending[dict[Place, int]]) -> None:
        got = await reader.take(self._most, 200)
        if not got:
            return
        # before anything is waited for, so that a rebalance knows of it
        done = pending.add({place: records[-1].offset + 1 for place, records in got.items()})
        found = [r for records in got.values() for r in records]
        decoded, dead = await asyncio.to_thread(self._read, found)
        await self.outbox.put(Parcel(decoded.batches, dead, sum(len(r.value or b"") for r in found), done))

    def _read(self, found: Sequence[Message]) -> tuple[Decoded, list[bytes]]:
        def place(i: int) -> str:
            return f"{found[i].topic}/{found[i].partition}/{found[i].offset}"

        decoded = self.lines.read([r.value for r in found], place)
        return self.checked(decoded, lambda i: found[i].value or b"", place)

    async def _commit(self, reader: GroupReader, offsets: list[dict[Place, int]]) -> None:
        whole: dict[Place, int] = {}
        for some in offsets:
            whole |= some
        if not await reader.commit(whole):
            _log.info("%s: partitions went to another member before their offsets were committed", self.name)


ReadMessages = Callable[[Sequence[tuple[str, bytes]], PlaceOf], Decoded]


class MqttInlet(Inlet):
    """MQTT filters with QoS 1, each with how its messages are read; acknowledged once Kafka has them."""

    def __init__(
        self,
        outbox: Outbox,
        clock: Clock,
        rules: Rules,
        broker: MqttBroker,
        filters: Sequence[tuple[str, ReadMessages]],
    ) -> None:
        super().__init__("mqtt", outbox, clock, rules)
        self._broker, self._filters = broker, filters
        #: Messages of QoS 0 that there was no room for.
        self.dropped = 0

    async def _attempt(self) -> None:
        async with Inbox(self._broker, [f for f, _ in self._filters]) as inbox:

            async def acknowledge(messages: list[list[Arrived]]) -> None:
                for some in messages:
                    inbox.acknowledge(some)

            self.trouble = ""
            pending: Pending[list[Arrived]] = Pending(acknowledge)
            await self._while_confirming(pending, lambda: self._turn(inbox, pending))

    async def _turn(self, inbox: Inbox, pending: Pending[list[Arrived]]) -> None:
        got = await inbox.take(_MESSAGES, 0.2)
        self.dropped += inbox.forget_dropped()
        if not got:
            return
        done = pending.add(got)
        read = await asyncio.to_thread(self._read, got)
        batches = [b for decoded, _ in read for b in decoded.batches]
        dead = [letter for _, some in read for letter in some]
        await self.outbox.put(Parcel(batches, dead, sum(len(m.payload) for m in got), done))

    def _read(self, got: Sequence[Arrived]) -> list[tuple[Decoded, list[bytes]]]:
        """Each message by the first of the filters that it matches."""
        groups: dict[int, list[Arrived]] = {}
        for message in got:
            number = next((i for i, (f, _) in enumerate(self._filters) if matches(f, message.topic)), 0)
            groups.setdefault(number, []).append(message)
        return [self._read_by(self._filters[number][1], mine) for number, mine in groups.items()]

    def _read_by(self, read: ReadMessages, mine: Sequence[Arrived]) -> tuple[Decoded, list[bytes]]:
        def place(i: int) -> str:
            whole = mine[i].topic.encode("utf-8", "replace") + b"\0" + mine[i].payload
            return f"mqtt/{hashlib.blake2b(whole, digest_size=16).hexdigest()}"

        decoded = read([(m.topic, m.payload) for m in mine], place)
        return self.checked(decoded, lambda i: mine[i].payload, place)


class HttpDoor(Inlet):
    """Bodies of POST /ingest, as `citytwin run` takes them; answered once Kafka has all of it.

    Duplicates are not known here and count as accepted; the position in the answer is 0.
    """

    content_types: Sequence[str] = tuple(CONTENT_TYPES)
    max_bytes: int = MAX_BODY_BYTES

    def __init__(self, outbox: Outbox, clock: Clock, codec: Codec) -> None:
        super().__init__("http", outbox, clock, codec.rules)
        self.codec, self.trouble = codec, ""
        self._loop = asyncio.get_running_loop()

    def submit(self, body: bytes, content_type: str) -> Future[Taken]:
        """Decode on the calling (worker) thread; resolves once Kafka has the events. Raises Refused."""
        if not self.outbox.fits(len(body)):
            raise _full(self.outbox.trouble)
        read = decode_body(self.codec, body, content_type)
        digest = hashlib.blake2b(body, digest_size=12).hexdigest()
        decoded, dead = self.checked(read, lambda _: b"", lambda i: f"{digest}/{i}")
        rejected = [_fact(r) for r in decoded.rejections]
        taken = Taken(decoded.taken, 0, 0, rejected)
        answer: Future[Taken] = Future()
        self._loop.call_soon_threadsafe(self._offer, decoded, dead, len(body), taken, answer)
        return answer

    def _offer(self, decoded: Decoded, dead: list[bytes], size: int, taken: Taken, answer: Future[Taken]) -> None:
        parcel = Parcel(decoded.batches, dead, size)
        if not self.outbox.offer(parcel):
            answer.set_exception(_full(self.outbox.trouble))
            return

        def settle(done: asyncio.Future[None]) -> None:
            if done.cancelled():
                answer.set_exception(Refused(503, "unavailable", "Events cannot be kept now", "the bridge ends", 5))
            else:
                answer.set_result(taken)

        parcel.done.add_done_callback(settle)


def _full(trouble: str) -> Refused:
    if trouble:
        return Refused(503, "unavailable", "Events cannot be kept now", trouble, 5)
    return Refused(429, "busy", "Too many events are waiting", "the events on the way take all the room; come again", 1)


def _fact(r: Rejection) -> Mapping[str, Any]:
    return {"index": r.index, "reason": r.reason, "field": r.field, "detail": r.detail}
