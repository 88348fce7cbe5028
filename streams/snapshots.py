"""Snapshot files: the state at a position, written aside, synced and renamed; the newest valid one wins.

A file is the magic, a JSON header of fixed length in front, and one raw or zstd block per array:
    "CTSNAP1\\n" | uint64 header length | header | blocks | blake2b-32 of all before it
A snapshot only shortens a replay: a damaged one is passed over, an older one or the log itself takes its place.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
import zstandard
from numpy.typing import NDArray

from citytwin.streams.store import StoreError, unavailable

_log = logging.getLogger(__name__)
_MAGIC = b"CTSNAP1\n"
_NAME = re.compile(r"snapshot-(\d{20})\.bin")
_PIECE = 8 << 20


class BadSnapshot(StoreError):
    """A snapshot file is damaged or of another format."""


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """State as of log `position`: arrays by name (any shape, no objects), and what is JSON (`meta`)."""

    position: int
    arrays: Mapping[str, NDArray[Any]]
    meta: Mapping[str, Any] = field(default_factory=dict)


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    dtype: str
    shape: tuple[int, ...]
    stored: int
    packed: bool


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    position: int
    meta: dict[str, Any]


def write(path: Path, snapshot: Snapshot, *, level: int = 1) -> str:
    """Write it aside, sync, rename to `path`; the file's blake2b in hex. Level 0 stores raw.

    Raises StoreUnavailable; what was at `path` before is then still there.
    """
    # a name of its own: a process that was given up may still write the same state beside the one that took over
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with aside.open("wb") as out:
            digest = _write(out, snapshot, level)
            out.flush()
            os.fsync(out.fileno())
        os.replace(aside, path)
        _sync_folder(path.parent)
    except OSError as error:
        plain = unavailable(error, path)
        _discard(aside)
        raise (plain or StoreError(f"{path} cannot be written: {error}")) from error
    return digest


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s is left over: %s", path, error)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(out: BinaryIO, snapshot: Snapshot, level: int) -> str:
    digest = hashlib.blake2b(digest_size=32)

    def put(piece: bytes | memoryview) -> int:
        digest.update(piece)
        return out.write(piece)

    header = msgspec.json.encode(_Header(snapshot.position, dict(snapshot.meta)))
    put(_MAGIC)
    put(struct.pack("<QI", len(header), len(snapshot.arrays)))
    put(header)
    # one for all: thousands of small arrays would cost more to make one for each than to compress
    packer = zstandard.ZstdCompressor(level=level) if level else None
    for name, array in snapshot.arrays.items():
        _write_array(put, name, array, packer)
    out.write(digest.digest())
    return digest.hexdigest()


def _write_array(
    put: Callable[[bytes | memoryview], int], name: str, array: NDArray[Any], packer: zstandard.ZstdCompressor | None
) -> None:
    if array.dtype.hasobject:
        raise TypeError(f"array {name} holds Python objects; a snapshot takes numbers and bytes only")
    solid = np.ascontiguousarray(array)
    raw = memoryview(solid.reshape(-1).view(np.uint8).data) if solid.size else memoryview(b"")
    entry = _Entry(name, solid.dtype.str, array.shape, raw.nbytes, packer is not None)
    text = msgspec.json.encode(entry)
    put(struct.pack("<I", len(text)))
    put(text)
    # Pieces of 8 MB, each with its length: a state of gigabytes is never held twice.
    for start in range(0, raw.nbytes, _PIECE):
        piece: bytes | memoryview = raw[start : start + _PIECE]
        piece = packer.compress(piece) if packer else piece
        put(struct.pack("<I", len(piece)))
        put(piece)


def read(path: Path) -> Snapshot:
    """The snapshot of a file. Raises BadSnapshot, StoreError."""
    try:
        with path.open("rb") as source:
            return _Reader(source, path).snapshot()
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


class _Reader:
    def __init__(self, source: BinaryIO, path: Path) -> None:
        self._source, self._path = source, path
        self._digest, self._unpacker = hashlib.blake2b(digest_size=32), zstandard.ZstdDecompressor()
        self._left = os.fstat(source.fileno()).st_size

    def take(self, n: int) -> bytes:
        """The next `n` bytes, hashed."""
        if n > self._left:
            raise BadSnapshot(f"{self._path} is damaged: it ends too early")
        piece = self._source.read(n)
        self._left -= len(piece)
        self._digest.update(piece)
        return piece

    def number(self) -> int:
        """The next uint32."""
        return int(struct.unpack("<I", self.take(4))[0])

    def snapshot(self) -> Snapshot:
        """All of it, with the hash at the end compared."""
        if self._left < len(_MAGIC) + 12 or self.take(len(_MAGIC)) != _MAGIC:
            raise BadSnapshot(f"{self._path} is no snapshot of this format")
        try:
            size, count = struct.unpack("<QI", self.take(12))
            header = msgspec.json.decode(self.take(size), type=_Header)
            arrays = dict(self._array() for _ in range(count))
        except (msgspec.MsgspecError, ValueError, zstandard.ZstdError, struct.error, TypeError) as error:
            raise BadSnapshot(f"{self._path} is damaged: {error}") from error
        expected = self._digest.digest()
        if self.take(32) != expected or self._left:
            raise BadSnapshot(f"{self._path} is damaged: its hash is wrong")
        return Snapshot(header.position, arrays, header.meta)

    def _array(self) -> tuple[str, NDArray[Any]]:
        entry = msgspec.json.decode(self.take(self.number()), type=_Entry)
        array = np.empty(entry.shape, np.dtype(entry.dtype))
        if array.nbytes != entry.stored:
            raise ValueError(f"array {entry.name} has {entry.stored} bytes, its shape needs {array.nbytes}")
        raw = array.reshape(-1).view(np.uint8) if array.size else np.empty(0, np.uint8)
        for start in range(0, entry.stored, _PIECE):
            piece = self.take(self.number())
            plain = self._unpacker.decompress(piece, _PIECE) if entry.packed else piece
            raw[start : start + _PIECE] = np.frombuffer(plain, np.uint8)
        return entry.name, array


class Snapshots:
    """A folder of snapshots, of which the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int = 3) -> None:
        self.folder, self.keep = folder, max(1, keep)

    def path(self, position: int) -> Path:
        """Where the snapshot of a position lies."""
        return self.folder / f"snapshot-{position:020d}.bin"

    def positions(self) -> list[int]:
        """Positions of which there is a file, newest first."""
        if not self.folder.is_dir():
            return []
        found = (_NAME.fullmatch(p.name) for p in self.folder.iterdir())
        return sorted((int(m[1]) for m in found if m), reverse=True)

    def oldest(self) -> int:
        """Position of the oldest snapshot, 0 without one: the log is needed from there on."""
        return min(self.positions(), default=0)

    def save(self, snapshot: Snapshot) -> Path:
        """Write it, then drop the oldest beyond `keep`. Raises StoreUnavailable."""
        path = self.path(snapshot.position)
        write(path, snapshot)
        positions = self.positions()
        for position in positions[self.keep :]:
            _discard(self.path(position))
        for left in self.folder.glob("snapshot-*.part"):  # of processes that were killed
            if left.name < self.path(positions[min(self.keep, len(positions)) - 1]).name:
                _discard(left)
        return path

    def valid(self, upto: int | None = None) -> Iterator[Snapshot]:
        """Snapshots that can be read, newest first; one beyond position `upto` is of another log and passed over."""
        for position in self.positions():
            if upto is not None and position > upto:
                _log.warning("%s is ahead of the log, which ends at %d; passed over", self.path(position), upto)
                continue
            try:
                yield read(self.path(position))
            except StoreError as error:
                _log.warning("%s; passed over, an older one or the log takes its place", error)

    def newest(self, upto: int | None = None) -> Snapshot | None:
        """The newest that can be read, None if there is none."""
        return next(self.valid(upto), None)
