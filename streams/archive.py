"""A broker's log as files: segments of records with their offsets, each written aside, synced, renamed and hashed.

A segment holds all records of one partition at offsets from `start` to before `next`. An offset without a record
(the broker's own marks of transactions) stays open. A file is
    "CTSEGM1\\n" | uint32 length | header | (uint32 length | zstd piece)* | uint32 0 | blake2b-32 of all before it
"""

from __future__ import annotations

import hashlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec
import zstandard

from citytwin.streams.store import StoreError, unavailable

_MAGIC = b"CTSEGM1\n"
_NAME = re.compile(r"(\d{20})\.seg")
_LENGTH = struct.Struct("<I")
#: Bytes of keys and values in a piece, and in a segment, near enough: what is held in memory at once.
_PIECE, SEGMENT = 4 << 20, 64 << 20
#: What a record takes beside its key and value.
_EXTRA = 64


class BadArchive(StoreError):
    """A segment is damaged, or segments do not follow each other."""


class Raw(NamedTuple):
    """A record as the broker has it: offset, time (ms UTC), key, value (None: it only holds its offset), headers."""

    offset: int
    time: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def size(self) -> int:
        """Bytes that it takes, near enough for a bound."""
        return len(self.key or b"") + len(self.value or b"") + _EXTRA


class Segment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Head of a segment: offsets covered from `start` to before `next`, offset of the last record (-1: none)."""

    topic: str
    partition: int
    start: int
    next: int
    records: int
    last: int


class Archive:
    """A folder `<topic>/<partition>/<start>.seg`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, topic: str, partition: int, start: int) -> Path:
        """Where the segment from `start` lies."""
        return self.folder / topic / f"{partition:05d}" / f"{start:020d}.seg"

    def topics(self) -> dict[str, list[int]]:
        """Topics with their partitions, in order."""
        found: dict[str, list[int]] = {}
        for path in sorted(self.folder.glob("*/*")):
            if path.is_dir() and path.name.isdigit():
                found.setdefault(path.parent.name, []).append(int(path.name))
        return found

    def segments(self, topic: str, partition: int) -> list[Segment]:
        """Heads of a partition's segments, in order. Raises BadArchive where one is missing between two."""
        folder = self.path(topic, partition, 0).parent
        names = sorted(p.name for p in folder.iterdir() if _NAME.fullmatch(p.name)) if folder.is_dir() else []
        found: list[Segment] = []
        for name in names:
            head = _head_of(folder / name)
            if (head.topic, head.partition, f"{head.start:020d}.seg") != (topic, partition, name):
                raise BadArchive(f"{folder / name} is the segment of another place; use another backup")
            if found and head.start != found[-1].next:
                raise BadArchive(
                    f"{folder}: records {found[-1].next} to {head.start - 1} are missing; use another backup"
                )
            found.append(head)
        return found

    def append(self, topic: str, partition: int, start: int, stop: int, records: Sequence[Raw]) -> Path:
        """Write what lies from `start` to before `stop`; durable on return. Raises StoreError."""
        last = records[-1].offset if records else -1
        path = self.path(topic, partition, start)
        _write(path, Segment(topic, partition, start, stop, len(records), last), records)
        return path

    def read(self, topic: str, partition: int, start: int = 0) -> Iterator[Raw]:
        """Records from offset `start` on, in order. Raises BadArchive."""
        for head in self.segments(topic, partition):
            if head.next > start:
                yield from (r for r in read(self.path(topic, partition, head.start)) if r.offset >= start)

    def record(self, topic: str, partition: int, offset: int) -> Raw | None:
        """The record of an offset, None where that offset has none. Raises BadArchive."""
        found = next(self.read(topic, partition, offset), None)
        return found if found is not None and found.offset == offset else None


def _write(path: Path, head: Segment, records: Sequence[Raw]) -> None:
    aside = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as out:
            _fill(out, head, records)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise unavailable(error, path) or StoreError(f"{path} cannot be written: {error}") from error


def _fill(out: BinaryIO, head: Segment, records: Sequence[Raw]) -> None:
    digest = hashlib.blake2b(digest_size=32)

    def put(piece: bytes) -> None:
        digest.update(piece)
        out.write(piece)

    def sized(piece: bytes) -> None:
        put(_LENGTH.pack(len(piece)))
        put(piece)

    put(_MAGIC)
    sized(msgspec.json.encode(head))
    packer = zstandard.ZstdCompressor(level=1)
    for part in _pieces(records):
        sized(packer.compress(msgspec.msgpack.encode(part)))
    put(_LENGTH.pack(0))
    out.write(digest.digest())


def _pieces(records: Sequence[Raw]) -> Iterator[list[Raw]]:
    part: list[Raw] = []
    size = 0
    for record in records:
        part.append(record)
        size += record.size
        if size >= _PIECE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _head_of(path: Path) -> Segment:
    try:
        with path.open("rb") as source:
            return _Reader(source, path).head()
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror}") from error


def read(path: Path) -> Iterator[Raw]:
    """Records of a segment, in order; its hash is compared at the end. Raises BadArchive."""
    try:
        with path.open("rb") as source:
            yield from _Reader(source, path).records()
    except OSError as error:
        raise BadArchive(f"{path} cannot be read: {error.strerror}") from error


class _Reader:
    def __init__(self, source: BinaryIO, path: Path) -> None:
        self._source, self._path = source, path
        self._digest = hashlib.blake2b(digest_size=32)

    def _take(self, n: int) -> bytes:
        piece = self._source.read(n)
        if len(piece) != n:
            raise BadArchive(f"{self._path} is damaged: it ends too early; use another backup")
        self._digest.update(piece)
        return piece

    def _sized(self) -> bytes:
        (length,) = _LENGTH.unpack(self._take(4))
        # A flipped bit in a length must not ask for gigabytes: a piece is never larger than the file.
        if length > os.fstat(self._source.fileno()).st_size:
            raise BadArchive(f"{self._path} is damaged: a length is wrong; use another backup")
        return self._take(length) if length else b""

    def head(self) -> Segment:
        """Magic and header."""
        if self._take(len(_MAGIC)) != _MAGIC:
            raise BadArchive(f"{self._path} is no segment of this format")
        try:
            return msgspec.json.decode(self._sized(), type=Segment)
        except msgspec.MsgspecError as error:
            raise BadArchive(f"{self._path} is damaged: {error}; use another backup") from error

    def records(self) -> Iterator[Raw]:
        """All records; the count and the hash are compared after the last."""
        head, seen = self.head(), 0
        unpacker = zstandard.ZstdDecompressor()
        while piece := self._sized():
            try:
                part = msgspec.msgpack.decode(unpacker.decompress(piece), type=list[Raw])
            except (msgspec.MsgspecError, zstandard.ZstdError, ValueError) as error:
                raise BadArchive(f"{self._path} is damaged: {error}; use another backup") from error
            seen += len(part)
            yield from part
        expected = self._digest.digest()
        if self._source.read(33) != expected or seen != head.records:
            raise BadArchive(f"{self._path} is damaged: its hash is wrong; use another backup")
