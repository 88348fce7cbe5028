"""Events that were not taken: kept with their reason, bounded, to be corrected and driven again."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from citytwin.models.batch import Rejection
from citytwin.streams.store import StoreError, connect, migrate, transaction

_MIGRATIONS = (
    """
    CREATE TABLE letter (
      id INTEGER PRIMARY KEY AUTOINCREMENT, seen_ms INTEGER NOT NULL, door TEXT NOT NULL, place TEXT NOT NULL,
      row INTEGER NOT NULL, reason TEXT NOT NULL, field TEXT NOT NULL, detail TEXT NOT NULL, head BLOB NOT NULL,
      source TEXT NOT NULL, event TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'open', retried_ms INTEGER,
      UNIQUE (door, place, row));
    CREATE INDEX letter_reason ON letter (state, reason);
    CREATE TABLE tally (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO tally VALUES ('bytes', 0), ('dropped', 0), ('position', 0)
    """,
)
_COLUMNS = "id, seen_ms, door, place, row, reason, field, detail, head, source, event, state, retried_ms"
#: Bytes that a letter is reckoned at.
_WEIGHT = "length(head) + 2 * length(detail) + 200"
#: Longest sentence and longest id that a letter keeps, in characters.
_DETAIL, _ID = 1000, 200


class LetterGone(StoreError):
    """No letter of that number is waiting; the text says what became of it."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One event that was not taken; `place` is the log position or the digest of the body, `row` the index in it."""

    id: int
    seen_ms: int
    door: str
    place: str
    row: int
    reason: str
    field: str
    detail: str
    head: bytes
    source: str
    event: str
    state: str
    retried_ms: int | None


class DeadLetters:
    """A table of letters in an SQLite file of its own; at most `max_count` of them and `max_bytes` of their heads."""

    def __init__(self, path: Path, *, max_count: int = 100_000, max_bytes: int = 64 << 20) -> None:
        """Open or make it. Raises StoreVersion, StoreUnavailable."""
        self.path, self.max_count, self.max_bytes = path.absolute(), max_count, max_bytes
        self._lock = threading.Lock()
        self._db = connect(self.path)
        migrate(self._db, self.path, _MIGRATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add(self, door: str, place: int | str, rejections: Sequence[Rejection], now_ms: int) -> int:
        """Keep refused events of one body or log record; how many were new.

        The same (door, place, row) is kept once, so that a replay or a repeated request adds nothing. Beyond the
        bounds the oldest go, and are counted. Raises StoreUnavailable; nothing was kept then.
        """
        rows = [_row(door, str(place), r, now_ms) for r in rejections[: self.max_count]]
        query = (
            "INSERT OR IGNORE INTO letter (seen_ms, door, place, row, reason, field, detail, head, source, event)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        )
        with self._lock, transaction(self._db, self.path):
            last = int(self._db.execute("SELECT coalesce(max(id), 0) FROM letter").fetchone()[0])
            self._db.executemany(query, rows)
            found = f"SELECT count(*), coalesce(sum({_WEIGHT}), 0) FROM letter WHERE id > ?"
            new, size = self._db.execute(found, (last,)).fetchone()
            if new:
                self._db.execute("UPDATE tally SET value = value + ? WHERE name = 'bytes'", (size,))
                self._bound()
        return int(new)

    def add_from_log(self, position: int, rejections: Sequence[Rejection], now_ms: int) -> int:
        """Keep what the state refused of the record at `position`; a position that was done before adds nothing.

        So a letter that was dropped or discarded does not come back when the log is replayed.
        """
        if position <= self._tally("position"):
            return 0
        new = self.add("log", position, rejections, now_ms)
        with self._lock, transaction(self._db, self.path):
            self._db.execute("UPDATE tally SET value = ? WHERE name = 'position'", (position,))
        return new

    def _tally(self, name: str) -> int:
        with self._lock:
            return int(self._db.execute("SELECT value FROM tally WHERE name = ?", (name,)).fetchone()[0])

    def _bound(self) -> None:
        count = int(self._db.execute("SELECT count(*) FROM letter").fetchone()[0])
        size = int(self._db.execute("SELECT value FROM tally WHERE name = 'bytes'").fetchone()[0])
        excess, excess_bytes = count - self.max_count, size - self.max_bytes
        if excess <= 0 and excess_bytes <= 0:
            return
        upto = gone = freed = 0
        for number, weight in self._db.execute(f"SELECT id, {_WEIGHT} FROM letter ORDER BY id"):
            if gone >= excess and freed >= excess_bytes:
                break
            upto, gone, freed = number, gone + 1, freed + weight
        self._db.execute("DELETE FROM letter WHERE id <= ?", (upto,))
        self._db.execute("UPDATE tally SET value = value + ? WHERE name = 'dropped'", (gone,))
        self._db.execute("UPDATE tally SET value = value - ? WHERE name = 'bytes'", (freed,))

    @property
    def dropped(self) -> int:
        """How many letters went because there were too many."""
        return self._tally("dropped")

    def counts(self, state: str = "open") -> dict[str, int]:
        """Letters in that state by reason."""
        query = "SELECT reason, count(*) FROM letter WHERE state = ? GROUP BY reason ORDER BY 2 DESC, 1"
        with self._lock:
            return dict(self._db.execute(query, (state,)).fetchall())

    def sources(self, limit: int = 50) -> dict[str, int]:
        """Open letters by source, the `limit` largest."""
        query = "SELECT source, count(*) FROM letter WHERE state = 'open' GROUP BY source ORDER BY 2 DESC, 1 LIMIT ?"
        with self._lock:
            return dict(self._db.execute(query, (limit,)).fetchall())

    def total(self, state: str = "open") -> int:
        """How many letters are in that state."""
        return sum(self.counts(state).values())

    def list(
        self, *, state: str | None = "open", reason: str = "", before: int = 2**62, limit: int = 100
    ) -> list[Letter]:
        """Letters, newest first; `before` an id for the next page, `state` None for all."""
        query = (
            f"SELECT {_COLUMNS} FROM letter WHERE id < ? AND (? IS NULL OR state = ?) AND (? = '' OR reason = ?)"
            " ORDER BY id DESC LIMIT ?"
        )
        with self._lock:
            found = self._db.execute(query, (before, state, state, reason, reason, limit)).fetchall()
        return [Letter(*f) for f in found]

    def rows_of(self, door: str, place: int | str) -> set[int]:
        """Indices of what was refused of one body or log record, also of what was driven again since."""
        query = "SELECT row FROM letter WHERE door = ? AND place = ?"
        with self._lock:
            return {int(row) for (row,) in self._db.execute(query, (door, str(place)))}

    def show(self, number: int) -> Letter:
        """One letter. Raises LetterGone."""
        with self._lock:
            found = self._db.execute(f"SELECT {_COLUMNS} FROM letter WHERE id = ?", (number,)).fetchone()
        if found is None:
            raise LetterGone(f"there is no dead letter {number}; `citytwin deadletters list` shows those there are")
        return Letter(*found)

    def retry(
        self, number: int, body: bytes, submit: Callable[[bytes], Sequence[Rejection]], now_ms: int
    ) -> Sequence[Rejection]:
        """Drive the corrected event `body` in through `submit`; what is wrong with it still, () = it was taken.

        A letter that was taken is closed and cannot be retried again. If the process dies between the two, a second
        retry is harmless: the event keeps its id, and the same id counts once. Raises LetterGone.
        """
        letter = self.show(number)
        if letter.state != "open":
            raise LetterGone(f"dead letter {number} is {letter.state} already; nothing was done")
        wrong = submit(body)
        if not wrong:
            self._close_letter(number, "retried", now_ms)
        return wrong

    def discard(self, number: int, now_ms: int) -> None:
        """Say that the event shall not be driven again. Raises LetterGone."""
        if self.show(number).state == "open":
            self._close_letter(number, "discarded", now_ms)

    def _close_letter(self, number: int, state: str, now_ms: int) -> None:
        with self._lock, transaction(self._db, self.path):
            self._db.execute("UPDATE letter SET state = ?, retried_ms = ? WHERE id = ?", (state, now_ms, number))

    def backup(self, target: Path) -> None:
        """Copy the table as it is at one moment to `target`."""
        source, copy = connect(self.path, read_only=True), sqlite3.connect(target)
        try:
            source.backup(copy)
        finally:
            copy.close()
            source.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()


def _row(door: str, place: str, r: Rejection, now_ms: int) -> tuple[Any, ...]:
    def clean(text: str, size: int) -> str:
        return text[:size].encode("utf-8", "replace").decode("utf-8")

    head = bytes(r.head[:2048])
    texts = clean(r.field, _ID), clean(r.detail, _DETAIL), head, clean(r.source, _ID), clean(r.id, _ID)
    return now_ms, door, place, r.index, r.reason, *texts
