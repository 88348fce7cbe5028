"""Local accounts: users, passwords as scrypt hashes, roles by scope, sessions; one SQLite file that processes share.

Nothing of it is in the log. Every change of what somebody may do raises `version`, which running servers look at.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import msgspec

from citytwin.models.desk.rights import EVERYWHERE, Rights

_USER = re.compile(r"[\w.@+-]{1,100}")
_SCHEMA = """
CREATE TABLE IF NOT EXISTS users (
  user TEXT PRIMARY KEY, name TEXT NOT NULL, unit TEXT NOT NULL DEFAULT '', salt BLOB, hash BLOB, n INTEGER, r INTEGER,
  p INTEGER, disabled INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS grants (
  user TEXT NOT NULL REFERENCES users(user), role TEXT NOT NULL, scope TEXT NOT NULL, PRIMARY KEY (user, role, scope));
CREATE TABLE IF NOT EXISTS sessions (
  hash BLOB PRIMARY KEY, user TEXT NOT NULL, name TEXT NOT NULL, how TEXT NOT NULL, grants TEXT NOT NULL,
  made INTEGER NOT NULL, until INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO meta VALUES ('version', 1);
"""
#: Sessions of one user; the oldest ends when there are more.
SESSIONS_MAX = 20
#: No session lives longer than this, however often it is renewed (ms).
LONGEST_MS = 7 * 86_400_000
SHORTEST_PASSWORD = 10
Note = Callable[[str, str, Mapping[str, Any]], None]


class AccountError(ValueError):
    """An account cannot be made or changed; the text says why."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters of scrypt (RFC 7914): 32 MiB and three passes, some 0.2 s of a processor."""

    n: int = 2**15
    r: int = 8
    p: int = 3


@dataclass(frozen=True, slots=True)
class User:
    """One account as others may see it."""

    user: str
    name: str
    unit: str
    disabled: bool
    local: bool
    grants: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Session:
    """An open session: who, how they came in, until when (ms UTC), and whether it was renewed just now."""

    user: str
    name: str
    how: str
    rights: Rights
    key: bytes = field(repr=False)
    until: int = 0
    unit: str = ""
    renewed: bool = False


class Accounts:
    """The accounts of a data folder. Safe for threads and for several processes."""

    def __init__(
        self, path: Path, *, session_ms: int = 12 * 3_600_000, cost: Cost | None = None, note: Note | None = None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:  # fmt: skip
        """`note(action, user, detail)` is told of every change. Raises sqlite3.Error, OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        self.path, self.session_ms, self.cost = path, session_ms, cost or Cost()
        self._note, self._now = note or (lambda _a, _u, _d: None), now_ms
        self._lock = threading.RLock()
        self._db = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; {_SCHEMA}")
        # who does not exist is checked against this, so that it takes as long
        self._nobody = (secrets.token_bytes(16), bytes(32), self.cost.n, self.cost.r, self.cost.p)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _change(self, action: str, user: str, *, rights: bool = True, **detail: Any) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                if rights:
                    self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'version'")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        if action:
            self._note(action, user, detail)

    def _rows(self, sql: str, *given: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(sql, given).fetchall()

    # -- accounts --------------------------------------------------------------------------------------------------

    def version(self) -> int:
        """A number that grows with every change of what somebody may do, in whatever process."""
        return int(self._rows("SELECT value FROM meta WHERE name = 'version'")[0][0])

    def any(self) -> bool:
        """Whether there is an account with which somebody can sign in."""
        return bool(self._rows("SELECT 1 FROM users WHERE hash IS NOT NULL AND NOT disabled LIMIT 1"))

    def users(self) -> list[User]:
        """All accounts by name."""
        return [u for (name,) in self._rows("SELECT user FROM users ORDER BY user") if (u := self.get(name))]

    def get(self, user: str) -> User | None:
        """One account; None when there is none."""
        found = self._rows("SELECT user, name, unit, disabled, hash IS NOT NULL FROM users WHERE user = ?", user)
        if not found:
            return None
        code, name, unit, disabled, local = found[0]
        grants = self._rows("SELECT role, scope FROM grants WHERE user = ?", user)
        return User(code, name, unit, bool(disabled), bool(local), frozenset((r, s) for r, s in grants))

    def _known(self, user: str) -> User:
        found = self.get(user)
        if found is None:
            raise AccountError(f"there is no user {user}; `citytwin users list` shows all")
        return found

    def add(self, user: str, password: str | None, *, name: str = "", unit: str = "") -> None:
        """Make an account; without a password it is one that a provider of identities vouches for.

        Raises AccountError.
        """
        if not _USER.fullmatch(user):
            raise AccountError(f"{user!r} is no user name: letters, digits and . @ + - _, at most 100")
        if self.get(user) is not None:
            raise AccountError(f"there is a user {user} already; `citytwin users passwd {user}` gives a new password")
        hashed = self._hash(user, password) if password is not None else (None, None, None, None, None)
        with self._change("user.added", user, name=name or user, unit=unit) as db:
            db.execute(
                "INSERT INTO users VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
                (user, name or user, unit, *hashed, self._now()),
            )

    def passwd(self, user: str, password: str) -> None:
        """Give a new password; all sessions of the user end. Raises AccountError."""
        self._known(user)
        hashed = self._hash(user, password)
        with self._change("user.password", user) as db:
            db.execute("UPDATE users SET salt = ?, hash = ?, n = ?, r = ?, p = ? WHERE user = ?", (*hashed, user))
            db.execute("DELETE FROM sessions WHERE user = ?", (user,))

    def grant(self, user: str, role: str, scope: str = EVERYWHERE) -> None:
        """Give a role at a scope. Raises AccountError."""
        self._known(user)
        try:
            Rights.of([(role, scope)])
        except ValueError as error:
            raise AccountError(str(error)) from error
        with self._change("user.granted", user, role=role, scope=scope) as db:
            db.execute("INSERT OR IGNORE INTO grants VALUES (?, ?, ?)", (user, role, scope))

    def revoke(self, user: str, role: str, scope: str | None = None) -> int:
        """Take a role away, at one scope or (None) everywhere; how many grants went. Raises AccountError."""
        held = [s for r, s in self._known(user).grants if r == role and scope in (None, s)]
        if not held:
            raise AccountError(f"{user} is no {role}{f' at {scope}' if scope else ''}")
        with self._change("user.revoked", user, role=role, scope=scope or "all") as db:
            db.executemany(
                "DELETE FROM grants WHERE user = ? AND role = ? AND scope = ?", [(user, role, s) for s in held]
            )
        return len(held)

    def disable(self, user: str, disabled: bool = True) -> None:
        """Let nobody in under this name any more, or again; open sessions end. Raises AccountError."""
        self._known(user)
        with self._change("user.disabled" if disabled else "user.enabled", user) as db:
            db.execute("UPDATE users SET disabled = ? WHERE user = ?", (disabled, user))
            if disabled:
                db.execute("DELETE FROM sessions WHERE user = ?", (user,))

    # -- passwords -------------------------------------------------------------------------------------------------

    def _hash(self, user: str, password: str) -> tuple[bytes, bytes, int, int, int]:
        if len(password) < SHORTEST_PASSWORD or password.casefold() == user.casefold():
            raise AccountError(f"a password has at least {SHORTEST_PASSWORD} characters and is not the user's name")
        cost, salt = self.cost, secrets.token_bytes(16)
        return salt, _scrypt(password, salt, cost.n, cost.r, cost.p), cost.n, cost.r, cost.p

    def check(self, user: str, password: str) -> User | None:
        """The user, when the password is theirs; None otherwise, after the same time whatever was wrong."""
        found = self._rows("SELECT salt, hash, n, r, p FROM users WHERE user = ? AND hash IS NOT NULL", user)
        salt, known, n, r, p = found[0] if found else self._nobody
        same = hmac.compare_digest(_scrypt(password, salt, n, r, p), known)
        account = self.get(user) if found and same else None
        return account if account is not None and not account.disabled else None

    # -- sessions --------------------------------------------------------------------------------------------------

    def open(
        self, user: str, name: str, how: str, grants: frozenset[tuple[str, str]] = frozenset()
    ) -> tuple[str, Session]:
        """Begin a session; its token (only the hash is kept) and the session. `grants` are those of the provider."""
        token, now = secrets.token_urlsafe(32), self._now()
        until = now + self.session_ms
        said = msgspec.json.encode(sorted(grants)).decode()
        with self._change("session.opened", user, rights=False, how=how) as db:
            db.execute("DELETE FROM sessions WHERE until <= ?", (now,))
            db.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", (_key(token), user, name, how, said, now, until)
            )
            db.execute(
                "DELETE FROM sessions WHERE hash IN "
                "(SELECT hash FROM sessions WHERE user = ? ORDER BY made DESC, rowid DESC LIMIT -1 OFFSET ?)",
                (user, SESSIONS_MAX),
            )
        found = self.session(_key(token))
        assert found is not None
        return token, found

    def end(self, token: str) -> None:
        """End a session; nothing when there is none."""
        found = self.session(_key(token))
        if found is not None:
            with self._change("session.ended", found.user, how=found.how) as db:
                db.execute("DELETE FROM sessions WHERE hash = ?", (found.key,))

    def by_token(self, token: str) -> Session | None:
        """The session of a token with the rights of now; it is renewed when a quarter of its time is over."""
        return self.session(_key(token), renew=True)

    def session(self, key: bytes, renew: bool = False) -> Session | None:
        """A session by the hash of its token; None when it is over or its user may no longer come in."""
        now = self._now()
        found = self._rows("SELECT user, name, how, grants, made, until FROM sessions WHERE hash = ?", key)
        if not found or found[0][5] <= now:
            return None
        user, name, how, said, made, until = found[0]
        account = self.get(user)
        if account.disabled if account is not None else how == "session":
            return None
        fresh = min(now + self.session_ms, made + LONGEST_MS)
        renewed = renew and fresh - until > self.session_ms // 4
        if renewed:
            until = fresh
            with self._change("", user, rights=False) as db:
                db.execute("UPDATE sessions SET until = ? WHERE hash = ?", (until, key))
        grants = frozenset((r, s) for r, s in msgspec.json.decode(said))
        rights = Rights(grants | (account.grants if account is not None else frozenset()))
        return Session(user, name, how, rights, key, until, account.unit if account is not None else "", renewed)


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=256 * n * r + (1 << 20), dklen=32)


def _key(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
