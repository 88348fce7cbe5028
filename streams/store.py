"""What the embedded stores share: how an SQLite file is opened and moved up, who owns a folder, what errors mean.

StoreError
 +-- StoreUnavailable      goes on by itself once the cause is gone; nothing was written
 |    +-- LogFull
 |    +-- LogReadOnly
 |    +-- LogFailed
 +-- StoreVersion
 +-- StoreInUse
 +-- CorruptLog
 +-- LogGap
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class StoreError(Exception):
    """A store cannot do what was asked; the text is a sentence for the operator."""


class StoreUnavailable(StoreError):
    """Nothing can be written now; nothing was; it goes on by itself once the cause is gone."""

    state = "failed"


class LogFull(StoreUnavailable):
    """There is no room for what was to be written."""

    state = "full"


class LogReadOnly(StoreUnavailable):
    """The file or its folder may not be written."""

    state = "readonly"


class LogFailed(StoreUnavailable):
    """The disk gave an error that is neither of the other two."""


class StoreVersion(StoreError):
    """The file was written by a version that this one does not know."""


class StoreInUse(StoreError):
    """Another process owns the folder."""


class CorruptLog(StoreError):
    """A record's bytes are not what was written."""


class LogGap(StoreError):
    """Records that are needed are no longer, or not, in the log."""


_READONLY_ERRNO = {errno.EROFS, errno.EACCES, errno.EPERM}
_FULL_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def unavailable(error: Exception, path: Path) -> StoreUnavailable | None:
    """The plain error for what SQLite or the system said while writing to `path`; None if it is of another kind."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_FULL:
            return _full(path)
        if code == sqlite3.SQLITE_READONLY:
            return _readonly(path)
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
            # SQLite hides the errno of a failed write, so a write of our own finds it out.
            return _probe(path) or LogFailed(f"the disk under {path} gives errors ({error}); look at the system's log")
    if isinstance(error, OSError):
        return _of_errno(error.errno, path)
    return None


def _full(path: Path) -> LogFull:
    return LogFull(f"no room left for {path}; free space or raise its limit, it goes on by itself")


def _readonly(path: Path) -> LogReadOnly:
    return LogReadOnly(f"{path} may not be written; make its file system writable, it goes on by itself")


def _of_errno(code: int | None, path: Path) -> StoreUnavailable | None:
    if code in _FULL_ERRNO:
        return _full(path)
    return _readonly(path) if code in _READONLY_ERRNO else None


def _probe(path: Path) -> StoreUnavailable | None:
    probe = path.with_name(path.name + ".probe")
    try:
        for file in (path, path.with_name(path.name + "-wal")):
            if file.exists():
                os.close(os.open(file, os.O_RDWR))
        with probe.open("wb", buffering=0) as out:
            out.write(bytes(65536))
    except OSError as error:
        return _of_errno(error.errno, path)
    finally:
        try:
            probe.unlink(missing_ok=True)
        except OSError:
            probe = path  # a folder that may not be written keeps no probe either
    return None


def connect(path: Path, *, read_only: bool = False, page_size: int = 4096) -> sqlite3.Connection:
    """A connection in autocommit mode that any thread may use in turn. Raises StoreUnavailable."""
    path = path.absolute()
    try:
        if read_only:
            # Without a -wal nobody has it open: then SQLite need not leave files of its own beside it.
            how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
            where = f"{path.as_uri()}?{how}"
            return sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        db.execute(f"PRAGMA page_size={page_size}")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        # FULL: a kill -9 would not show its absence, a power cut would.
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA secure_delete=OFF")
        db.execute(f"PRAGMA journal_size_limit={64 << 20}")
    except (sqlite3.Error, OSError) as error:
        plain = unavailable(error, path)
        if plain is None and "not a database" in str(error):
            plain_text = f"{path} is no CityTwin file; move it away or restore a backup"
            raise CorruptLog(plain_text) from error
        raise plain or StoreError(f"{path} cannot be opened: {error}") from error
    return db


def migrate(db: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    """Bring the schema to version `len(steps)`; step i moves it from version i to i + 1. Raises StoreVersion."""
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version > len(steps):
        raise StoreVersion(
            f"{path} was written by a newer CityTwin (format {version}, this one knows {len(steps)}); "
            "install that version or restore a backup made by this one"
        )
    for number in range(version, len(steps)):
        with transaction(db, path):
            for statement in filter(str.strip, steps[number].split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={number + 1}")


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[sqlite3.Connection]:
    """All or nothing; what goes wrong comes out as StoreUnavailable where it is one."""
    try:
        db.execute("BEGIN IMMEDIATE")
        yield db
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            try:
                db.execute("ROLLBACK")
            except sqlite3.Error as second:  # SQLite has rolled back by itself
                error.add_note(f"rollback: {second}")
        plain = unavailable(error, path) if isinstance(error, sqlite3.Error | OSError) else None
        if plain is None:
            raise
        raise plain from error


class Ownership:
    """The right to write in a folder: a locked file that holds the owner's pid; it ends with the process."""

    def __init__(self, path: Path) -> None:
        """Take it. Raises StoreInUse if another process has it, StoreUnavailable if the file cannot be made."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[str] = path.open("a+", encoding="ascii")
        except OSError as error:
            raise unavailable(error, path) or StoreError(f"{path} cannot be opened: {error}") from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            pid = self._file.read(32).strip() or "unknown"
            self._file.close()
            raise StoreInUse(
                f"{path.parent} is in use by process {pid}; stop that one first, or name another folder with --data"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(f"{os.getpid()}\n")
        try:
            self._file.flush()
        except OSError as error:  # a full disk: the lock holds without the pid
            if _of_errno(error.errno, path) is None:
                raise

    def release(self) -> None:
        """Give it back; a second call does nothing."""
        if not self._file.closed:
            try:
                self._file.close()
            except OSError:
                return
