"""What a server does not take now: on disk in order, in segments, bounded; beyond the bound the oldest goes, counted.

A record is a head (length, rows, checksum) and its bytes. After a crash those of the oldest segment are given out once
more, so what is sent must be harmless twice; a torn end is cut off.
"""

from __future__ import annotations

import logging
import os
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_log = logging.getLogger(__name__)
_HEAD = struct.Struct("<III")
_SEGMENTS = 16


@dataclass(slots=True)
class _Segment:
    """A file, its bytes, and its rows that were not yet given out."""

    path: Path
    size: int = 0
    rows: int = 0


class Spool:
    """A queue of byte strings in a folder that one process has. At most `max_bytes` lie there."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int | None = None) -> None:
        """Open the folder and what a former run left there. Raises OSError."""
        self.folder, self.max_bytes = folder, max_bytes
        self._segment_bytes = segment_bytes or max(1, max_bytes // _SEGMENTS)
        #: Bytes on disk; rows that wait; rows that went at the bound or could not be kept.
        self.size = self.rows = self.dropped = 0
        folder.mkdir(parents=True, exist_ok=True)
        #: Oldest first; the last one may be open for writing.
        self._segments: deque[_Segment] = deque()
        self._out: IO[bytes] | None = None
        self._in: Iterator[tuple[bytes, int]] | None = None
        self._given: list[tuple[bytes, int]] = []
        self._number = 0
        for path in sorted(folder.glob("*.spool")):
            self._adopt(path)

    def _adopt(self, path: Path) -> None:
        size, rows = 0, 0
        for payload, count in _records(path):
            size, rows = size + _HEAD.size + len(payload), rows + count
        if size < path.stat().st_size:
            _log.warning("%s ends in half a record, which is cut off", path)
            os.truncate(path, size)
        self._number = max(self._number, int(path.stem) if path.stem.isdigit() else 0)
        if not size:
            path.unlink()
            return
        self._segments.append(_Segment(path, size, rows))
        self.size, self.rows = self.size + size, self.rows + rows

    def __bool__(self) -> bool:
        return self.rows > 0

    def append(self, payload: bytes, rows: int) -> bool:
        """Keep it behind all others; False if the disk does not take it: then its rows are counted as dropped."""
        record = _HEAD.pack(len(payload), rows, zlib.crc32(payload)) + payload
        try:
            out = self._writer(len(record))
            at = out.tell()
            try:
                out.write(record)
                out.flush()
            except OSError:
                out.truncate(at)
                out.seek(at)
                raise
        except OSError as error:
            _log.debug("the spool %s takes nothing: %s", self.folder, error)
            self.dropped += rows
            return False
        last = self._segments[-1]
        last.size, last.rows = last.size + len(record), last.rows + rows
        self.size, self.rows = self.size + len(record), self.rows + rows
        while self.size > self.max_bytes and len(self._segments) > 1:
            self.dropped += self._segments[0].rows
            self._forget_oldest()
        return True

    def _writer(self, more: int) -> IO[bytes]:
        if self._out is not None and self._segments[-1].size + more > self._segment_bytes:
            self._seal()
        if self._out is None:
            self._number += 1
            path = self.folder / f"{self._number:08d}.spool"
            self._out = path.open("wb", buffering=0)
            self._segments.append(_Segment(path))
        return self._out

    def _seal(self) -> None:
        if self._out is not None:
            os.fsync(self._out.fileno())
            self._out.close()
            self._out = None

    def peek(self, rows: int = 1) -> list[tuple[bytes, int]]:
        """The oldest records with the rows of each, left where they are: so many rows at least, or all of a segment.

        Empty if there are none; the same again until `pop`.
        """
        while not self._given and self.rows:
            if self._in is None:
                self._in = _records(self._segments[0].path)
            while sum(n for _, n in self._given) < rows and (found := next(self._in, None)) is not None:
                self._given.append(found)
            if not self._given:
                self._forget_oldest()
        return list(self._given)

    def pop(self) -> None:
        """Done with the records that `peek` gave; nothing if they went at the bound meanwhile."""
        if not self._given:
            return
        done = sum(n for _, n in self._given)
        self._given = []
        self._segments[0].rows -= done
        self.rows -= done
        if not self._segments[0].rows:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        gone = self._segments.popleft()
        if not self._segments and self._out is not None:
            self._out.close()
            self._out = None
        self._in, self._given = None, []
        self.size, self.rows = self.size - gone.size, self.rows - gone.rows
        gone.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Sync and close; what waits is there at the next start."""
        self._seal()
        self._in, self._given = None, []


def _records(path: Path) -> Iterator[tuple[bytes, int]]:
    """Whole records of a segment; ends where one is torn."""
    with path.open("rb") as file:
        while len(head := file.read(_HEAD.size)) == _HEAD.size:
            length, rows, check = _HEAD.unpack(head)
            payload = file.read(length)
            if len(payload) < length or zlib.crc32(payload) != check:
                return
            yield payload, rows
