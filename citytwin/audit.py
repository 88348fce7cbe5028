"""The audit trail: who changed what and who read personal data, as a chain of hashes that nobody can mend unseen.

Each row is a JSON text; its hash is BLAKE2b of the hash before it and that text. Rows lie in SQLite; when there are
many they go into sealed files whose digest is a row itself. Heads of the chain are put elsewhere by citytwin.anchors.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from citytwin.dashboards.people import Person
from citytwin.models.desk.rights import masked

_log = logging.getLogger(__name__)
FILE = "audit.db"
#: Where the chain begins.
GENESIS = bytes(32)
_NO_UPDATE = (
    "CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON rows BEGIN SELECT RAISE(ABORT, 'append-only'); END"
)
_NO_DELETE = (
    "CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON rows BEGIN SELECT RAISE(ABORT, 'append-only'); END"
)
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS marks (name TEXT PRIMARY KEY, seq INTEGER NOT NULL, hash BLOB NOT NULL);
{_NO_UPDATE};
{_NO_DELETE};
"""
#: Rows that may wait for the disk; beyond them whoever writes waits.
WAITING_MAX = 10_000
_LONGEST = 4_000


class Row(msgspec.Struct, omit_defaults=True):
    """One row: `seq` from 1, `t` ms UTC, who and how they came in, what they did to what and where."""

    seq: int
    t: int
    who: str
    how: str
    action: str
    subject: str = ""
    scope: str = ""
    detail: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest row of the chain."""

    seq: int
    hash: bytes


def link(before: bytes, body: str) -> bytes:
    """Hash of a row: of the hash before it and its text (32 bytes)."""
    return hashlib.blake2b(before + body.encode(), digest_size=32).digest()


def sealed_name(first: int) -> str:
    """Name of the sealed file that begins with a row."""
    return f"audit-{first:012d}.ndjson.gz"


class Audit:
    """Appends rows. Safe for threads and for several processes on one folder."""

    def __init__(
        self, folder: Path, *, seal_rows: int = 100_000, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        """Open or make the trail of a folder. Raises sqlite3.Error, OSError."""
        folder.mkdir(0o700, parents=True, exist_ok=True)
        (folder / FILE).touch(0o600)
        self.folder, self.seal_rows, self._now = folder, seal_rows, now_ms
        self._lock = threading.Lock()
        self._db = sqlite3.connect(folder / FILE, timeout=30, check_same_thread=False, isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_SCHEMA}")
        self._queue: queue.Queue[Row | None] = queue.Queue(WAITING_MAX)
        self._thread = threading.Thread(target=self._run, name="citytwin-audit", daemon=True)
        self._thread.start()

    def note(
        self, person: Person, action: str, subject: str = "", scope: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Write down what a person did; returns before it is on disk, and waits when very much is on its way."""
        self._queue.put(self._row(person.user, person.how, action, subject, scope, detail or {}))

    def write(
        self, who: str, how: str, action: str, subject: str = "", scope: str = "",
        detail: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        """Write a row now; it is on disk when this returns. Raises sqlite3.Error."""
        self._append([self._row(who, how, action, subject, scope, detail or {})])

    def _row(self, who: str, how: str, action: str, subject: str, scope: str, detail: Mapping[str, Any]) -> Row:
        told = masked(dict(detail))
        if len(msgspec.json.encode(told)) > _LONGEST:
            told = {"cut": True, "digest": hashlib.blake2b(msgspec.json.encode(told), digest_size=16).hexdigest()}
        return Row(0, self._now(), who[:200], how, action, subject[:_LONGEST], scope[:200], told)

    def head(self) -> Head:
        """The newest row that is on disk; (0, GENESIS) for none."""
        with self._lock:
            found = self._db.execute("SELECT seq, hash FROM marks WHERE name = 'head'").fetchone()
        return Head(*found) if found else Head(0, GENESIS)

    def flush(self, seconds: float | None = None) -> bool:
        """Wait until all that was noted is on disk, at most so long; whether it is."""
        with self._queue.all_tasks_done:
            return self._queue.all_tasks_done.wait_for(lambda: not self._queue.unfinished_tasks, seconds)

    def close(self) -> None:
        """Write what waits, and close."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join(30)
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Write what waits in groups; trouble of the disk is tried again until it passes."""
        more = True
        while more:
            rows = [self._queue.get()]
            while len(rows) < 1000 and not self._queue.empty():
                rows.append(self._queue.get())
            more = None not in rows
            self._persist([r for r in rows if r is not None])
            for _ in rows:
                self._queue.task_done()

    def _persist(self, rows: list[Row]) -> None:
        pause = threading.Event()
        for attempt in range(30):
            try:
                return self._append(rows)
            except (sqlite3.Error, OSError) as error:
                _log.error("the audit trail cannot be written (%s); trying again", error)
                pause.wait(min(10.0, 0.2 * 2**attempt))
        _log.error("%d rows of the audit trail are lost: the disk did not come back", len(rows))

    def _append(self, rows: list[Row]) -> None:
        if not rows:
            return
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                head = self._add(rows)
                if head.seq - self._mark("base").seq >= self.seal_rows:
                    self._seal(head)
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _mark(self, name: str) -> Head:
        found = self._db.execute("SELECT seq, hash FROM marks WHERE name = ?", (name,)).fetchone()
        return Head(*found) if found else Head(0, GENESIS)

    def _put_mark(self, name: str, head: Head) -> None:
        self._db.execute("INSERT OR REPLACE INTO marks VALUES (?, ?, ?)", (name, head.seq, head.hash))

    def _add(self, rows: list[Row]) -> Head:
        head = self._mark("head")
        for row in rows:
            body = msgspec.json.encode(msgspec.structs.replace(row, seq=head.seq + 1)).decode()
            head = Head(head.seq + 1, link(head.hash, body))
            self._db.execute("INSERT INTO rows VALUES (?, ?, ?)", (head.seq, body, head.hash))
        self._put_mark("head", head)
        return head

    def _seal(self, head: Head) -> None:
        """Move all rows into a file named after the first; what a crash leaves of it is written again."""
        first = self._mark("base").seq + 1
        lines = "".join(f"{h.hex()} {b}\n" for b, h in self._db.execute("SELECT body, hash FROM rows ORDER BY seq"))
        packed, path = gzip.compress(lines.encode(), 6, mtime=0), self.folder / sealed_name(first)
        aside = path.with_suffix(".part")
        with aside.open("wb") as out:
            out.write(packed)
            out.flush()
            os.fsync(out.fileno())
        aside.rename(path)
        detail = {"first": first, "last": head.seq, "digest": hashlib.blake2b(packed, digest_size=32).hexdigest()}
        self._db.execute("DROP TRIGGER no_delete")
        self._db.execute("DELETE FROM rows")
        self._db.execute(_NO_DELETE)
        self._put_mark("base", head)
        self._add([self._row("audit", "auto", "audit.sealed", path.name, "", detail)])
