"""A document with arrays as bytes: JSON-like values, columns of numbers and codes, under zstd level 1; and in chunks.

A body beyond CHUNK is cut: each chunk says which body it is of, its place and how many there are, with a checksum.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from citytwin.models.columns import Coded
from citytwin.streams.pack import MAX_BYTES, CorruptRecord

#: Bytes of a chunk: below the megabyte that brokers take by default.
CHUNK = 900_000
_MAGIC = b"CTA1"
_HEAD = struct.Struct("<4sBiqHH8s")
#: Chunks of a body: what is larger than this many of them is refused by who writes it.
CHUNKS_MAX = 4096


def dump(document: Any, arrays: Mapping[str, NDArray[Any] | Coded]) -> bytes:
    """The bytes of a document (what JSON has) and arrays by name."""
    heads, buffers = list[tuple[str, str, tuple[int, ...], tuple[str, ...] | None]](), list[bytes]()
    for name, column in arrays.items():
        held = column.codes if isinstance(column, Coded) else column
        names = tuple(column.names) if isinstance(column, Coded) else None
        heads.append((name, held.dtype.str, held.shape, names))
        buffers.append(np.ascontiguousarray(held).tobytes())
    head = msgspec.msgpack.encode((document, heads))
    return zstandard.compress(struct.pack("<I", len(head)) + head + b"".join(buffers), 1)


def load(body: bytes) -> tuple[Any, dict[str, NDArray[Any] | Coded]]:
    """Document and arrays of `dump`. Raises CorruptRecord."""
    try:
        raw = zstandard.decompress(body, MAX_BYTES)
        (size,) = struct.unpack_from("<I", raw)
        document, heads = msgspec.msgpack.decode(raw[4 : 4 + size], strict=False)
        at, out = 4 + size, dict[str, NDArray[Any] | Coded]()
        for name, dtype, shape, names in heads:
            kind, count = np.dtype(dtype), int(np.prod(shape))
            held = np.frombuffer(raw, kind, count, at).reshape(shape)
            out[name] = held if names is None else Coded(held, tuple(names))
            at += kind.itemsize * count
    except (zstandard.ZstdError, struct.error, ValueError, TypeError, msgspec.DecodeError) as error:
        raise CorruptRecord(f"not what was written: {error}") from error
    return document, out


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a body: its sort, the shard that says it, marker, place and number of pieces."""

    sort: int
    shard: int
    k: int
    index: int
    count: int
    data: bytes


def split(sort: int, shard: int, k: int, body: bytes) -> list[bytes]:
    """The body as chunks. Raises ValueError for one that is too large."""
    count = max(1, -(-len(body) // CHUNK))
    if count > CHUNKS_MAX:
        raise ValueError(f"a body of {len(body)} bytes is larger than {CHUNKS_MAX} chunks of {CHUNK}")
    out = []
    for i in range(count):
        data = body[i * CHUNK : (i + 1) * CHUNK]
        out.append(_HEAD.pack(_MAGIC, sort, shard, k, i, count, _sum(sort, shard, k, i, count, data)) + data)
    return out


def chunk(value: bytes) -> Chunk:
    """One chunk. Raises CorruptRecord."""
    if len(value) < _HEAD.size or value[:4] != _MAGIC:
        raise CorruptRecord("no record of this version: it does not begin with CTA1")
    _, sort, shard, k, index, count, checksum = _HEAD.unpack_from(value)
    data = value[_HEAD.size :]
    if _sum(sort, shard, k, index, count, data) != checksum:
        raise CorruptRecord("the record is damaged: its checksum does not fit")
    return Chunk(sort, shard, k, index, count, data)


def _sum(sort: int, shard: int, k: int, index: int, count: int, data: bytes) -> bytes:
    digest = hashlib.blake2b(struct.pack("<BiqHH", sort, shard, k, index, count), digest_size=8)
    digest.update(data)
    return digest.digest()


class Assembler:
    """Puts bodies together; a chunk that begins a body anew (its writer died and came back) begins it anew here."""

    def __init__(self) -> None:
        self._open: dict[tuple[int, int], list[Chunk]] = {}

    def add(self, piece: Chunk) -> bytes | None:
        """The whole body once its last chunk is in; None before, and for one whose beginning was not seen."""
        key = (piece.sort, piece.shard)
        held = self._open.setdefault(key, [])
        if piece.index == 0 or (held and held[0].k != piece.k):
            held.clear()
        if piece.index != len(held):
            return None  # pieces of two writers met: the later one will begin again
        held.append(piece)
        if len(held) < piece.count:
            return None
        del self._open[key]
        return b"".join(p.data for p in held)
