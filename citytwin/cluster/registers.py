"""The registers as everybody reads them: the records between two offsets, in order, whenever they are asked for."""

from __future__ import annotations

import asyncio
import logging

from citytwin.cluster.fitting import damaged
from citytwin.cluster.shard import Register
from citytwin.models.part import Marker
from citytwin.models.telling import Telling
from citytwin.streams.brokers import Cluster, LogGap, Place
from citytwin.streams.kafka import Reader
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.wire import from_bytes

_log = logging.getLogger(__name__)

#: Ranges that are kept: shards of one process ask for the same one after the other.
_KEPT = 4


class RegisterLog:
    """Reads `<prefix>.registers`; one call at a time."""

    def __init__(self, cluster: Cluster, prefix: str) -> None:
        self._place = Place(f"{prefix}.registers", 0)
        self._cluster = cluster
        self._reader: Reader | None = None
        self._kept: dict[tuple[int, int], list[Register]] = {}
        self._lock = asyncio.Lock()

    async def end(self) -> int:
        """The offset of the next record. Raises BrokerError."""
        async with self._lock:
            return (await (await self._open()).end_offsets([self._place]))[self._place]

    async def between(self, start: int, stop: int) -> list[Register]:
        """Records with start <= offset < stop. Raises BrokerError, LogGap where one is missing."""
        if start >= stop:
            return []
        async with self._lock:
            if (start, stop) not in self._kept:
                found = await self._read(start, stop)
                while len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[start, stop] = found
            return self._kept[start, stop]

    async def _open(self) -> Reader:
        if self._reader is None:
            reader = Reader(self._cluster, {self._place: 0})
            await reader.start()
            self._reader = reader
        return self._reader

    async def _read(self, start: int, stop: int) -> list[Register]:
        reader = await self._open()
        reader.seek(self._place, start)
        out, at = list[Register](), start
        while at < stop:
            for record in (await reader.take(5_000)).get(self._place, ()):
                if record.offset != at:
                    raise LogGap(f"{self._place.topic} has no record {at}: restore the topic from a backup")
                if at >= stop:
                    break
                message = self._message(record.offset, record.value)
                if message is not None:
                    out.append(message)
                at += 1
        return out

    def _message(self, offset: int, value: bytes | None) -> Register | None:
        """A record; what cannot be read is passed over, by everybody alike."""
        try:
            message = from_bytes(value or b"")
        except CorruptRecord as error:
            _log.error("%s at %d is passed over: %s", self._place.topic, offset, error)
            return damaged(f"offset {offset} of the registers: {error}", value)
        return None if isinstance(message, Marker | Telling) else message

    async def stop(self) -> None:
        """Leave."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
