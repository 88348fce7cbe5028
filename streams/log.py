"""The log that is the truth: one SQLite file, a row per record, durable when `append` returns."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from citytwin.streams.records import Definition, Events, Record, Row, Tick, decode, encode
from citytwin.streams.store import (
    CorruptLog,
    LogFailed,
    LogFull,
    LogGap,
    LogReadOnly,
    Ownership,
    StoreError,
    StoreInUse,
    StoreUnavailable,
    StoreVersion,
    connect,
    migrate,
    transaction,
)

__all__ = [
    "CorruptLog",
    "Definition",
    "Events",
    "Log",
    "LogFailed",
    "LogFull",
    "LogGap",
    "LogReadOnly",
    "Record",
    "SqliteLog",
    "StoreError",
    "StoreInUse",
    "StoreUnavailable",
    "StoreVersion",
    "Tick",
]

_MIGRATIONS = (
    """
    CREATE TABLE record (
      position INTEGER PRIMARY KEY, kind INTEGER NOT NULL, codec INTEGER NOT NULL, count INTEGER NOT NULL,
      first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, checksum BLOB NOT NULL, payload BLOB NOT NULL);
    CREATE INDEX tick ON record (first_ms) WHERE kind = 2;
    """,
)
_COLUMNS = "position, kind, codec, count, first_ms, last_ms, checksum, payload"
#: Rows read at a time: each read is a transaction of its own, so that a slow reader pins no old state of the file.
_CHUNK = 64


class Log(Protocol):
    """What the runtime needs of a log; positions count from 1 without gaps."""

    @property
    def end(self) -> int:
        """Position of the last record, 0 if there is none."""

    @property
    def first(self) -> int:
        """Position of the oldest record that is still there, `end + 1` if there is none."""

    def append(self, records: Sequence[Record]) -> list[int]:
        """Make the records durable, all or none, and return their positions. Raises StoreUnavailable."""

    def read(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records from `start` to before `stop`. Raises CorruptLog, LogGap."""


class SqliteLog:
    """A log in one SQLite file in WAL mode; one process owns it, any thread may read while another appends."""

    def __init__(self, path: Path, *, read_only: bool = False, max_bytes: int = 0) -> None:
        """Open or make it; `max_bytes` bounds the file (0: only the disk does).

        Raises StoreInUse, StoreVersion, StoreUnavailable, CorruptLog.
        """
        self.path = path.absolute()
        self._lock = threading.Lock()
        self._owner = None if read_only else Ownership(self.path.with_name("log.lock"))
        try:
            self._db = connect(self.path, read_only=read_only)
            if not read_only:
                migrate(self._db, self.path, _MIGRATIONS)
            if max_bytes:
                self.limit(max_bytes)
            self._end = self._last()
        except BaseException as error:
            if self._owner:
                self._owner.release()
            if isinstance(error, sqlite3.DatabaseError):
                raise CorruptLog(f"{self.path} cannot be read ({error}); restore a backup") from error
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def end(self) -> int:
        """Position of the last record, 0 if there is none."""
        return self._end

    @property
    def first(self) -> int:
        """Position of the oldest record that is still there, `end + 1` if there is none."""
        with self._lock:
            row = self._db.execute("SELECT min(position) FROM record").fetchone()
        return self._end + 1 if row[0] is None else int(row[0])

    def append(self, records: Sequence[Record]) -> list[int]:
        """Make the records durable, all or none, and return their positions.

        Raises LogFull, LogReadOnly or LogFailed; after each the log goes on once the cause is gone.
        """
        rows = [encode(r) for r in records]
        with self._lock:
            try:
                positions = self._write(rows)
            except StoreUnavailable:
                # A commit whose sync failed may stand all the same: the file knows, not we.
                self._end = self._last()
                raise
            self._end = positions[-1] if positions else self._end
        return positions

    def _write(self, rows: list[Row]) -> list[int]:
        with transaction(self._db, self.path):
            start = self._last() + 1
            full = [(p, *row[:5], row.checksum(p), row.payload) for p, row in enumerate(rows, start)]
            self._db.executemany(f"INSERT INTO record ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", full)
        return list(range(start, start + len(rows)))

    def _last(self) -> int:
        try:
            return int(self._db.execute("SELECT coalesce(max(position), 0) FROM record").fetchone()[0])
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                raise StoreVersion(f"{self.path} holds no log of CityTwin") from error
            raise

    def read(self, start: int = 1, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        """Records from `start` to before `stop` (None: to the end as it is now), checked one by one.

        Reads on a connection of its own and holds no lock between chunks. Raises CorruptLog, LogGap.
        """
        until = self._end + 1 if stop is None else stop
        if start >= until:  # asked before each append: no connection for nothing
            return
        if start < self.first:
            raise LogGap(
                f"{self.path} begins at position {self.first}, but position {start} is needed; "
                "start from a newer snapshot or restore a backup that reaches further back"
            )
        db = connect(self.path, read_only=True)
        try:
            while start < until:
                chunk = self._chunk(db, start, min(until, start + _CHUNK))
                if not chunk:
                    return
                for found in chunk:
                    yield start, self._record(start, found)
                    start += 1
        finally:
            db.close()

    def _chunk(self, db: sqlite3.Connection, start: int, stop: int) -> list[tuple[Any, ...]]:
        query = f"SELECT {_COLUMNS} FROM record WHERE position >= ? AND position < ? ORDER BY position"
        try:
            return db.execute(query, (start, stop)).fetchall()
        except sqlite3.DatabaseError as error:
            raise CorruptLog(self._advice(start, str(error))) from error

    def _record(self, position: int, found: tuple[Any, ...]) -> Record:
        if found[0] != position:
            raise CorruptLog(self._advice(position, "it is missing"))
        row = Row._make((*found[1:6], found[7]))
        if found[6] != row.checksum(position):
            raise CorruptLog(self._advice(position, "its checksum is wrong"))
        try:
            return decode(row)
        except ValueError as error:
            raise CorruptLog(self._advice(position, str(error))) from error

    def _advice(self, position: int, why: str) -> str:
        return (
            f"record {position} of {self.path} cannot be read: {why}. Stop CityTwin, run `citytwin doctor`, "
            "and restore the last backup; events after it must be sent again"
        )

    def tick_before(self, at_ms: int) -> tuple[int, int] | None:
        """Position and time (ms UTC) of the last tick at or before a time, None if there is none."""
        return self._tick("first_ms <= ? ORDER BY first_ms DESC, position DESC", at_ms)

    def first_tick(self) -> int | None:
        """Time of the oldest tick (ms UTC), None if there is none."""
        found = self._tick("first_ms >= ? ORDER BY first_ms, position", -(2**62))
        return None if found is None else found[1]

    def tick_after(self, position: int) -> int | None:
        """Time of the first tick after a position, None if there is none."""
        found = self._tick("position > ? ORDER BY position", position)
        return None if found is None else found[1]

    def _tick(self, which: str, value: int) -> tuple[int, int] | None:
        with self._lock:
            query = f"SELECT position, first_ms FROM record WHERE kind = 2 AND {which} LIMIT 1"
            found = self._db.execute(query, (value,)).fetchone()
        return None if found is None else (int(found[0]), int(found[1]))

    def verify(self) -> int:
        """Read and check every record; how many there are. Raises CorruptLog."""
        return sum(1 for _ in self.read(self.first))

    def size(self) -> int:
        """Bytes of the file and its write-ahead part on disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(os.stat(f).st_size for f in files if f.exists())

    def used(self) -> int:
        """Bytes that records take inside the file; what trimming frees counts at once."""
        with self._lock:
            pages, free, size = (
                int(self._db.execute(f"PRAGMA {p}").fetchone()[0])
                for p in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def limit(self, max_bytes: int) -> None:
        """Bound the file to `max_bytes`; an append beyond it raises LogFull. 0 takes the bound away."""
        size = int(self._db.execute("PRAGMA page_size").fetchone()[0])
        pages = max(1, max_bytes // size) if max_bytes else 2**30
        self._db.execute(f"PRAGMA max_page_count={pages}")

    def trim(self, *, keep_from: int, before_ms: int | None = None, max_bytes: int | None = None) -> int:
        """Forget old records: those before a tick older than `before_ms`, and the oldest beyond `max_bytes`.

        Never one at or after `keep_from` (what the oldest snapshot needs), never the last one. Returns how many went.
        """
        cut = 0
        if before_ms is not None:
            query = "SELECT coalesce(max(position), 0) FROM record WHERE kind = 2 AND first_ms < ?"
            with self._lock:
                cut = int(self._db.execute(query, (before_ms,)).fetchone()[0])
        if max_bytes is not None:
            cut = max(cut, self._oversize(max_bytes))
        return self._forget(min(cut, keep_from - 1, self._end - 1))

    def _oversize(self, max_bytes: int) -> int:
        excess, cut = self.used() - max_bytes, 0
        if excess <= 0:
            return 0
        with self._lock:
            for position, size in self._db.execute(
                "SELECT position, length(payload) + 64 FROM record ORDER BY position"
            ):
                cut, excess = position, excess - size
                if excess <= 0:
                    break
        return cut

    def _forget(self, upto: int) -> int:
        gone, some = 0, "SELECT position FROM record WHERE position <= ? LIMIT 500"
        while True:  # small transactions: appends go on in between
            with self._lock, transaction(self._db, self.path):
                count = self._db.execute(f"DELETE FROM record WHERE position IN ({some})", (upto,)).rowcount
            gone += count
            if not count:
                break
        if gone:
            with self._lock:
                self._db.execute("PRAGMA incremental_vacuum(20000)").fetchall()
        return gone

    def backup(self, target: Path) -> int:
        """Copy the log as it is at one moment to `target`; position of its last record."""
        source, copy = connect(self.path, read_only=True), sqlite3.connect(target)
        try:
            source.backup(copy)  # one step: with several, a writer would make it begin again and again
            return int(copy.execute("SELECT coalesce(max(position), 0) FROM record").fetchone()[0])
        finally:
            copy.close()
            source.close()

    def close(self) -> None:
        """Close the file and give up its ownership; a second call does nothing."""
        with self._lock:
            self._db.close()
        if self._owner:
            self._owner.release()
