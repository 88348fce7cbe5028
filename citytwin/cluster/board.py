"""The board as its one writer and its readers see it: intents, frames and keyframes, in transactions of the clock.

An intent says which time and registers marker k has. It is committed before the marker is written anywhere, so that two
clocks can never mean different things by one k: the second is fenced, and all it could still write are markers that the
board already has.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from citytwin.cluster.options import Options
from citytwin.models.part import Marker
from citytwin.models.telling import Telling
from citytwin.streams.arrays import Assembler, chunk, split
from citytwin.streams.brokers import EARLIEST, Place
from citytwin.streams.kafka import Reader, Writer
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.parts import FRAME, BoardFrame, encode_frame
from citytwin.streams.wire import to_bytes

_log = logging.getLogger(__name__)
KEY, INTENT, PRESENCE, PROVISIONAL = 3, 4, 5, 6
#: A read that brought nothing for so long (ms) has come to the end.
_IDLE_MS = 300


class Seen(NamedTuple):
    """Something on the board: an intent, or the body of a frame; the offset at which it begins, when it was written."""

    sort: int
    k: int
    body: bytes
    offset: int
    at: int


class Pen:
    """Writes the board: connecting fences whoever wrote before. Markers go to the partitions beside it."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._writer = Writer(options.cluster, transactional_id=f"{options.prefix}.clock")
        self._markers = Writer(options.cluster)
        #: Offset of the last record that was written.
        self.last = -1

    async def start(self) -> None:
        """Take the board over. Raises BrokerError."""
        await self._writer.start()
        try:
            await self._markers.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave it."""
        await asyncio.gather(self._writer.stop(), self._markers.stop())

    @asynccontextmanager
    async def committed(self) -> AsyncIterator[None]:
        """What is written inside is seen at once or never. Raises Fenced where another clock took over."""
        async with self._writer.transaction():
            yield

    async def _put(self, sort: int, k: int, body: bytes) -> int:
        topic = self._options.topic("board")
        sent = [await self._writer.send(topic, 0, value) for value in split(sort, 0, k, body)]
        offsets = [await each for each in sent]
        self.last = offsets[-1]
        return offsets[0]

    async def intend(self, marker: Marker) -> int:
        """Say what marker k is, inside of `committed`; the offset at which the board says it."""
        return await self._put(INTENT, marker.k, msgspec.json.encode(marker))

    async def frame(self, told: BoardFrame) -> None:
        """Put a frame on the board; inside of `committed`."""
        sort = KEY if told.key else FRAME if told.final else PROVISIONAL
        await self._put(sort, told.frame.k, encode_frame(told))

    async def mark(self, markers: Iterable[Marker]) -> None:
        """Write markers to the end of every partition and of the desk; a repeated one changes nothing there."""
        places = [(self._options.topic("events"), p) for p in range(self._options.shards)]
        places.append((self._options.topic("desk"), 0))
        sent = [await self._markers.send(*place, to_bytes(m)) for m in markers for place in places]
        for each in sent:
            await each

    async def tell(self, tellings: Iterable[Telling]) -> None:
        """Tell the desk what was found at markers, in order; what it was told before changes nothing there."""
        desk = self._options.topic("desk")
        for each in [await self._markers.send(desk, 0, to_bytes(told)) for told in tellings]:
            await each


class BoardReader:
    """Reads what is committed on the board, in order."""

    def __init__(self, options: Options, start: int = EARLIEST) -> None:
        self.place = Place(options.topic("board"), 0)
        self._options, self._start = options, start
        self._reader: Reader | None = None
        self._whole = Assembler()
        self._began: dict[int, int] = {}

    async def open(self) -> Reader:
        """Connect. Raises BrokerError, LogGap where the start is no longer there."""
        if self._reader is None:
            reader = Reader(self._options.cluster, {self.place: self._start}, committed_only=True)
            await reader.start()
            self._reader = reader
        return self._reader

    async def take(self, timeout_ms: int = 200) -> list[Seen]:
        """What came. Raises BrokerError."""
        reader = await self.open()
        out = list[Seen]()
        for record in (await reader.take(2_000, timeout_ms)).get(self.place, ()):
            self._start = record.offset + 1
            if record.value is None:  # a restored board has one where a transaction ended
                continue
            try:
                piece = chunk(record.value)
            except CorruptRecord as error:
                _log.error("%s at %d is passed over: %s", self.place.topic, record.offset, error)
                continue
            if piece.index == 0:
                self._began[piece.sort] = record.offset
            body = self._whole.add(piece)
            if body is not None:
                out.append(Seen(piece.sort, piece.k, body, self._began[piece.sort], record.timestamp))
        return out

    async def rest(self) -> list[Seen]:
        """Everything up to the end as it is now. Raises BrokerError; then all of it comes again at the next call."""
        began = self._start
        try:
            reader = await self.open()
            end = (await reader.end_offsets([self.place]))[self.place]
            out = list[Seen]()
            while self._start < end:
                found = await self.take(_IDLE_MS)
                if not found and await reader.position(self.place) >= end:
                    break
                out += found
        except BaseException:
            await self.stop()
            self._start, self._whole = began, Assembler()
            raise
        return out

    async def skip(self, upto: int) -> None:
        """Leave out what was written by oneself, up to this offset."""
        await self.stop()
        self._start = max(self._start, upto + 1)
        self._whole = Assembler()

    async def stop(self) -> None:
        """Leave; the next call goes on where this one ended."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None


async def newest_key(options: Options, back: int, step: int = 2_000) -> int:
    """Offset of a keyframe that has `back` others after it, or of the oldest there is; -1 where there is none."""
    place = Place(options.topic("board"), 0)
    async with Reader(options.cluster, {place: EARLIEST}, committed_only=True) as reader:
        first = (await reader.start_offsets([place]))[place]
        end = (await reader.end_offsets([place]))[place]
        found, high = list[int](), end
        while high > first and len(found) <= back:
            low = max(first, high - step)
            reader.seek(place, low)
            found = [*await _keys(reader, place, high), *found]
            high = low
    return found[-min(len(found), back + 1)] if found else -1


async def _keys(reader: Reader, place: Place, stop: int) -> list[int]:
    out, idle = list[int](), 0
    while await reader.position(place) < stop and idle < 3:
        records = (await reader.take(500, _IDLE_MS)).get(place, ())
        idle = 0 if records else idle + 1
        out += [r.offset for r in records if r.offset < stop and _begins_key(r.value)]
    return out


def _begins_key(value: bytes | None) -> bool:
    try:
        piece = chunk(value or b"")
    except CorruptRecord:
        return False
    return piece.sort == KEY and piece.index == 0
