"""What the log holds: batches of events, ticks, definitions, and how each becomes bytes and back."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import zstandard

from citytwin.models.batch import EventBatch
from citytwin.streams.pack import pack, unpack

_EVENTS, _TICK, _DEFINITION = 1, 2, 3
#: How the payload is written; 0 = nothing, 1 = streams.pack, 2 = JSON in zstd.
_NONE, _PACKED, _JSON = 0, 1, 2
_HEAD = struct.Struct("<qiiqqq")


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """Events of one type, as they came in together."""

    batch: EventBatch


@dataclass(frozen=True, slots=True)
class Tick:
    """The moment `now` (ms UTC) at which a frame was made."""

    now: int


@dataclass(frozen=True, slots=True)
class Definition:
    """A document that changes numbers: thresholds, a plugin's source, a city pack's edition."""

    name: str
    document: Mapping[str, Any]


Record = Events | Tick | Definition


class Row(NamedTuple):
    """A record of `n` events as the log stores it; `first_ms`, `last_ms`: times of events or tick (ms UTC)."""

    kind: int
    codec: int
    n: int
    first_ms: int
    last_ms: int
    payload: bytes

    def checksum(self, position: int) -> bytes:
        """Eight bytes over everything in the row and its position; it does not depend on other rows."""
        digest = hashlib.blake2b(digest_size=8)
        digest.update(_HEAD.pack(position, self.kind, self.codec, self.n, self.first_ms, self.last_ms))
        digest.update(self.payload)
        return digest.digest()


def encode(record: Record) -> Row:
    """The row of a record."""
    match record:
        case Events(batch):
            span = (int(batch.time.min()), int(batch.time.max())) if len(batch) else (0, 0)
            return Row(_EVENTS, _PACKED, len(batch), *span, pack(batch))
        case Tick(now):
            return Row(_TICK, _NONE, 0, now, now, b"")
        case Definition(name, document):
            text = msgspec.json.encode({"name": name, "document": document})
            return Row(_DEFINITION, _JSON, 1, 0, 0, zstandard.compress(text))


def decode(row: Row) -> Record:
    """The record of a row. Raises ValueError if kind or codec are unknown or the payload is damaged."""
    match row.kind, row.codec:
        case 1, 1:
            return Events(unpack(row.payload))
        case 2, 0:
            return Tick(row.first_ms)
        case 3, 2:
            found = msgspec.json.decode(zstandard.decompress(row.payload))
            return Definition(found["name"], found["document"])
    raise ValueError(f"a record of kind {row.kind} in codec {row.codec} is not known to this version")


def size_of(batch: EventBatch) -> int:
    """Bytes that a batch holds in memory, near enough for a bound."""
    texts = (batch.id, batch.subject, batch.scope, batch.corrects)
    total = sum(t.data.nbytes + t.offsets.nbytes for t in texts) + 33 * len(batch)
    for column in batch.fields.values():
        if isinstance(column, np.ndarray):
            total += column.nbytes
        else:
            total += column.codes.nbytes if hasattr(column, "codes") else column.data.nbytes + column.offsets.nbytes
    return total
