"""Parts as they come from their topic: put together, held by marker until it is their turn, and how far that is."""

from __future__ import annotations

import logging
from typing import Literal

import msgspec

from citytwin.cluster.board import PRESENCE
from citytwin.cluster.options import Options
from citytwin.models.part import Part
from citytwin.models.shards import DESK
from citytwin.streams.arrays import Assembler, Chunk, chunk
from citytwin.streams.brokers import Place
from citytwin.streams.kafka import Reader
from citytwin.streams.pack import CorruptRecord
from citytwin.streams.parts import PART, decode_part

_log = logging.getLogger(__name__)
#: Bytes of parts that wait for their marker; beyond it no more are read, they stay in Kafka.
WAITING_MAX = 512 << 20
#: Parts of markers further ahead than this are none of this city: a day has fewer.
AHEAD_MAX = 1_000_000
_MEMBERS_MAX = 1_000


class _Presence(msgspec.Struct):
    role: Literal["worker", "clock", "gateway", "bridge", "city"]
    id: str
    k: int = 0
    active: bool = True


class Pieces:
    """Reads `<prefix>.parts` from an offset; holds each (k, shard) once, the first that came."""

    def __init__(self, options: Options, start: int) -> None:
        self._place = Place(options.topic("parts"), 0)
        self._options, self._next = options, start
        self._reader: Reader | None = None
        self._whole = Assembler()
        self._first: dict[int, int] = {}
        #: Parts by marker and shard.
        self.held: dict[int, dict[int, bytes]] = {}
        self.bytes = 0
        #: Signs of life of members, by role and id.
        self.presence: dict[tuple[str, str], dict[str, object]] = {}

    async def take(self, after: int, timeout_ms: int = 100) -> list[tuple[int, int]]:
        """Read on; (k, shard) of the parts that came whole. Those up to marker `after` are done with.

        Raises BrokerError, LogGap.
        """
        came = list[tuple[int, int]]()
        if self.bytes > WAITING_MAX:
            return came
        if self._reader is None:
            reader = Reader(self._options.cluster, {self._place: self._next})
            await reader.start()
            self._reader = reader
        for record in (await self._reader.take(1_000, timeout_ms)).get(self._place, ()):
            self._next = record.offset + 1
            try:
                piece = chunk(record.value or b"")
            except CorruptRecord as error:
                _log.error("%s at %d: %s", self._place.topic, record.offset, error)
                continue
            body = self._whole.add(piece)
            if piece.sort == PRESENCE and body is not None:
                self._see(body, record.timestamp, record.offset)
            if piece.sort != PART or not self._awaited(piece, after, record.offset):
                continue
            self._first.setdefault(piece.k, record.offset)
            if body is not None and piece.shard not in self.held.get(piece.k, {}):
                self.held.setdefault(piece.k, {})[piece.shard] = body
                came.append((piece.k, piece.shard))
                self.bytes += len(body)
        return came

    def _see(self, body: bytes, at: int, offset: int) -> None:
        try:
            told = msgspec.json.decode(body, type=_Presence)
        except msgspec.MsgspecError as error:
            _log.error("%s at %d is no sign of life: %s", self._place.topic, offset, error)
            return
        if (told.role, told.id) in self.presence or len(self.presence) < _MEMBERS_MAX:
            self.presence[told.role, told.id] = {**msgspec.structs.asdict(told), "at": at}

    def _awaited(self, piece: Chunk, after: int, offset: int) -> bool:
        """Whether it is of a shard that there is, and of a marker that may come: what is not would wait for ever."""
        known = piece.shard == DESK or 0 <= piece.shard < self._options.shards
        if not known or piece.k > after + AHEAD_MAX:
            _log.error(
                "%s at %d is passed over: a part of shard %d at marker %d; there are %d shards, and marker %d is due",
                self._place.topic, offset, piece.shard, piece.k, self._options.shards, after + 1,
            )  # fmt: skip
            return False
        return piece.k > after

    def part(self, k: int, shard: int) -> Part | None:
        """The part of a shard, if it is in; one that cannot be read is passed over, and another one is waited for."""
        body = self.held.get(k, {}).get(shard)
        if body is None:
            return None
        try:
            found = decode_part(body)
            if (found.k, found.shard) == (k, shard):
                return found
            why = f"it says that it is of shard {found.shard} at marker {found.k}"
        except CorruptRecord as error:
            why = str(error)
        _log.error("%s: the part of shard %d at marker %d is passed over: %s", self._place.topic, shard, k, why)
        self.bytes -= len(self.held[k].pop(shard))
        return None

    def done(self, upto: int) -> None:
        """Forget the parts of markers up to this one."""
        for k in [k for k in self.held if k <= upto]:
            self.bytes -= sum(map(len, self.held.pop(k).values()))
        self._first = {k: n for k, n in self._first.items() if k > upto}

    @property
    def needed(self) -> int:
        """Offset from which on parts are needed by who comes back to the state of now."""
        return min(self._first.values(), default=self._next)

    async def stop(self) -> None:
        """Leave; the next call goes on where this one ended."""
        if self._reader is not None:
            await self._reader.stop()
            self._reader = None
