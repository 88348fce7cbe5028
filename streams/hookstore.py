"""What webhooks still have to tell: targets, a durable queue for each, dead letters, and how far the log was read.

A delivery is a row from the moment its event is read off the log until the target has answered for it; the place in the
log moves in the same transaction. So a crash between sending and marking sends it once more, and never loses it. Of one
target at most `most` deliveries wait: beyond it the oldest goes, and is counted as dropped; as many dead ones are kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from citytwin.streams.hooks import Target
from citytwin.streams.store import connect, migrate, transaction

_MIGRATIONS = (
    """
    CREATE TABLE target (
      name TEXT PRIMARY KEY, url TEXT NOT NULL, types TEXT NOT NULL, scopes TEXT NOT NULL, private INTEGER NOT NULL,
      texts INTEGER NOT NULL, secret TEXT NOT NULL);
    CREATE TABLE delivery (
      id INTEGER PRIMARY KEY AUTOINCREMENT, target TEXT NOT NULL, key TEXT NOT NULL, type TEXT NOT NULL,
      body BLOB NOT NULL, made_ms INTEGER NOT NULL, due_ms INTEGER NOT NULL, tries INTEGER NOT NULL DEFAULT 0,
      state TEXT NOT NULL DEFAULT 'waiting', why TEXT NOT NULL DEFAULT '', UNIQUE (target, key, state));
    CREATE INDEX delivery_due ON delivery (target, state, due_ms);
    CREATE TABLE tally (target TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (target, name));
    """,
)
_WHY = 300


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event for one target; `state` is waiting or dead, `why` what the last try said."""

    id: int
    target: str
    key: str
    type: str
    body: bytes
    made_ms: int
    due_ms: int
    tries: int
    state: str
    why: str


@dataclass(frozen=True, slots=True)
class Fresh:
    """An event that is to be told to a target."""

    target: str
    key: str
    type: str
    body: bytes


_COLUMNS = "id, target, key, type, body, made_ms, due_ms, tries, state, why"


class HookStore:
    """The tables in an SQLite file of their own, which only its owner may read: it holds the secrets of targets."""

    def __init__(self, path: Path, *, most: int = 10_000) -> None:
        """Open or make it. Raises StoreVersion, StoreUnavailable."""
        self.path, self.most = path.absolute(), most
        self._lock = threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        os.fchmod(file, 0o600)  # also one that was copied
        os.close(file)
        self._db = connect(self.path)
        migrate(self._db, self.path, _MIGRATIONS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    # Targets.

    def targets(self) -> list[Target]:
        """All targets that were added, by name."""
        found = self._rows("SELECT name, url, types, scopes, private, texts, secret FROM target ORDER BY name")
        return [
            Target(str(n), str(u), tuple(str(t).split()), str(s), tuple(str(at).split()), bool(p), bool(x))
            for n, u, t, at, p, x, s in found
        ]

    def add(self, target: Target) -> None:
        """Add a target, or change the one of that name. Raises ValueError when it cannot be used."""
        if problem := target.problem():
            raise ValueError(problem)
        values = (
            target.name, target.url, " ".join(target.types), " ".join(target.scopes), target.private,
            target.texts, target.secret,
        )  # fmt: skip
        with self._lock, transaction(self._db, self.path):
            self._db.execute("INSERT OR REPLACE INTO target VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def remove(self, name: str) -> bool:
        """Forget a target and what it was still to be told; whether it was there."""
        with self._lock, transaction(self._db, self.path):
            gone = self._db.execute("DELETE FROM target WHERE name = ?", (name,)).rowcount
            self._db.execute("DELETE FROM delivery WHERE target = ?", (name,))
            self._db.execute("DELETE FROM tally WHERE target = ?", (name,))
        return gone > 0

    # The queue.

    @property
    def position(self) -> int:
        """Position of the last log record that was read; -1 before the first."""
        found = self._rows("SELECT value FROM tally WHERE target = '' AND name = 'position'")
        return int(str(found[0][0])) if found else -1

    def take_in(self, fresh: Sequence[Fresh], position: int, now_ms: int) -> dict[str, int]:
        """Queue events and move the place in the log, both or none; how many went at the bound, by target.

        One that waits already is not queued again.
        """
        query = "INSERT OR IGNORE INTO delivery (target, key, type, body, made_ms, due_ms) VALUES (?, ?, ?, ?, ?, ?)"
        with self._lock, transaction(self._db, self.path):
            self._db.executemany(query, [(f.target, f.key, f.type, f.body, now_ms, now_ms) for f in fresh])
            names = sorted({f.target for f in fresh})
            went = {name: n for name in names if (n := self._bound(name, "waiting", "dropped"))}
            self._set("", "position", position)
        return went

    def _bound(self, target: str, state: str, tally: str) -> int:
        count = "SELECT count(*) FROM delivery WHERE target = ? AND state = ?"
        excess = int(self._db.execute(count, (target, state)).fetchone()[0]) - self.most
        if excess > 0:
            oldest = "SELECT id FROM delivery WHERE target = ? AND state = ? ORDER BY id LIMIT ?"
            self._db.execute(f"DELETE FROM delivery WHERE id IN ({oldest})", (target, state, excess))
            self._count(target, tally, excess)
        return max(0, excess)

    def _set(self, target: str, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO tally VALUES (?, ?, ?)", (target, name, value))

    def _count(self, target: str, name: str, more: int = 1) -> None:
        query = "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value"
        self._db.execute(query, (target, name, more))

    def note(self, target: str, name: str, more: int) -> None:
        """Count something of a target ("" = of all)."""
        with self._lock, transaction(self._db, self.path):
            self._count(target, name, more)

    def next(self, target: str, now_ms: int) -> Delivery | None:
        """The delivery whose time has come first; None if none is due."""
        query = (
            f"SELECT {_COLUMNS} FROM delivery WHERE target = ? AND state = 'waiting' AND due_ms <= ?"
            " ORDER BY due_ms, id LIMIT 1"
        )
        found = self._rows(query, target, now_ms)
        return Delivery(*found[0]) if found else None  # type: ignore[arg-type]

    def due(self, target: str) -> int | None:
        """When the next delivery is due (ms); None if none waits."""
        query = "SELECT min(due_ms) FROM delivery WHERE target = ? AND state = 'waiting'"
        (found,) = self._rows(query, target)[0]
        return None if found is None else int(str(found))

    def done(self, delivery: Delivery) -> None:
        """The target has it."""
        with self._lock, transaction(self._db, self.path):
            self._db.execute("DELETE FROM delivery WHERE id = ?", (delivery.id,))
            self._count(delivery.target, "sent")

    def failed(self, delivery: Delivery, due_ms: int | None, why: str) -> None:
        """A try failed: the next one is at `due_ms`, None makes it a dead letter."""
        with self._lock, transaction(self._db, self.path):
            self._count(delivery.target, "failed")
            if due_ms is not None:
                again = "UPDATE delivery SET due_ms = ?, tries = tries + 1, why = ? WHERE id = ?"
                self._db.execute(again, (due_ms, why[:_WHY], delivery.id))
                return
            self._db.execute(
                "DELETE FROM delivery WHERE target = ? AND key = ? AND state = 'dead'", (delivery.target, delivery.key)
            )
            ended = "UPDATE delivery SET state = 'dead', tries = tries + 1, why = ? WHERE id = ?"
            self._db.execute(ended, (why[:_WHY], delivery.id))
            self._bound(delivery.target, "dead", "forgotten")

    def retry(self, target: str, number: int | None, now_ms: int) -> int:
        """Drive dead deliveries of a target again, one or all; how many."""
        with self._lock, transaction(self._db, self.path):
            which = "target = ? AND state = 'dead' AND (? IS NULL OR id = ?)"
            # one that waits again already, for the event came once more, takes the place of the dead one
            twice = "SELECT key FROM delivery WHERE target = ? AND state = 'waiting'"
            self._db.execute(
                f"DELETE FROM delivery WHERE {which} AND key IN ({twice})", (target, number, number, target)
            )
            query = f"UPDATE delivery SET state = 'waiting', tries = 0, due_ms = ? WHERE {which}"
            return self._db.execute(query, (now_ms, target, number, number)).rowcount

    def dead(self, target: str, limit: int = 100) -> list[Delivery]:
        """Dead letters of a target, newest first."""
        query = f"SELECT {_COLUMNS} FROM delivery WHERE target = ? AND state = 'dead' ORDER BY id DESC LIMIT ?"
        return [Delivery(*f) for f in self._rows(query, target, limit)]  # type: ignore[arg-type]

    def counts(self, target: str) -> dict[str, int]:
        """`waiting`, `dead`, `sent`, `failed`, `dropped`, `forgotten` of a target since it was added."""
        counted = dict.fromkeys(("waiting", "dead", "sent", "failed", "dropped", "forgotten"), 0)
        for query in (
            "SELECT state, count(*) FROM delivery WHERE target = ? GROUP BY state",
            "SELECT name, value FROM tally WHERE target = ?",
        ):
            counted |= {str(n): int(str(v)) for n, v in self._rows(query, target)}
        return counted
