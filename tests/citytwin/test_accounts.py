"""Accounts, sessions and the lock-out: what is kept, who comes in, and that a change acts at once."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from citytwin.accounts import LONGEST_MS, SESSIONS_MAX, AccountError, Accounts, Cost
from citytwin.lockout import ADDRESS, PAIR, WINDOW_MS, Lockout

CHEAP = Cost(n=2, r=1, p=1)
PASSWORD = "a long password"
HOUR = 3_600_000


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def notes() -> list[tuple[str, str, dict[str, Any]]]:
    return []


@pytest.fixture
def accounts(tmp_path: Path, clock: Clock, notes: list[tuple[str, str, dict[str, Any]]]) -> Iterator[Accounts]:
    def note(action: str, user: str, detail: Any) -> None:
        notes.append((action, user, dict(detail)))

    with Accounts(tmp_path / "accounts.db", session_ms=HOUR, cost=CHEAP, note=note, now_ms=clock) as made:
        yield made


def test_passwords_are_kept_as_scrypt_and_never_told(accounts: Accounts, notes: list[Any], tmp_path: Path) -> None:
    accounts.add("anna", PASSWORD, name="安娜")
    with contextlib.closing(sqlite3.connect(tmp_path / "accounts.db")) as db:
        row = db.execute("SELECT salt, hash, n, r, p FROM users").fetchone()
    assert row[1] == hashlib.scrypt(PASSWORD.encode(), salt=row[0], n=2, r=1, p=1, dklen=32)
    assert (tmp_path / "accounts.db").stat().st_mode & 0o077 == 0
    assert PASSWORD not in repr(notes)
    assert all(PASSWORD.encode() not in p.read_bytes() for p in tmp_path.iterdir())
    found = accounts.check("anna", PASSWORD)
    assert found is not None
    assert (found.name, found.local, found.disabled) == ("安娜", True, False)
    for user, password in (("anna", "wrong password"), ("bob", PASSWORD), ("anna", ""), ("Anna", PASSWORD)):
        assert accounts.check(user, password) is None
    assert Cost() == Cost(n=2**15, r=8, p=3)


def test_unknown_users_cost_as_much_as_known_ones(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts.add("anna", PASSWORD)
    accounts.add("carl", None)
    accounts.add("dora", PASSWORD)
    accounts.disable("dora")
    spent: list[tuple[int, int, int]] = []
    true = hashlib.scrypt

    def counted(password: bytes, **how: Any) -> bytes:
        spent.append((how["n"], how["r"], how["p"]))
        return true(password, **how)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    for user in ("anna", "nobody", "carl", "dora"):
        assert accounts.check(user, "not the password") is None
    assert spent == [(CHEAP.n, CHEAP.r, CHEAP.p)] * 4


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda a: a.add("an na", PASSWORD), "no user name"), (lambda a: a.add("anna", PASSWORD), "already"),
        (lambda a: a.add("bob", "short"), "at least 10"),
        (lambda a: a.add("longer-name", "Longer-Name"), "not the user's"),
        (lambda a: a.passwd("bob", PASSWORD), "no user bob"), (lambda a: a.grant("bob", "dispatcher"), "no user bob"),
        (lambda a: a.grant("anna", "boss"), "no role boss"), (lambda a: a.revoke("anna", "dispatcher"), "anna is no"),
        (lambda a: a.disable("bob"), "no user bob"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(accounts: Accounts, call: Any, said: str) -> None:
    accounts.add("anna", PASSWORD)
    before, version = accounts.users(), accounts.version()
    with pytest.raises(AccountError, match=said):
        call(accounts)
    assert (accounts.users(), accounts.version()) == (before, version)


def test_rights_change_at_once_in_other_processes_too(accounts: Accounts, clock: Clock, notes: list[Any]) -> None:
    accounts.add("anna", PASSWORD)
    token, session = accounts.open("anna", "Anna", "session")
    assert session.rights.roles() == []
    with Accounts(accounts.path, cost=CHEAP, now_ms=clock) as other:
        seen = [accounts.version()]
        other.grant("anna", "dispatcher", "420102")
        seen.append(accounts.version())
        found = accounts.by_token(token)
        assert found is not None
        assert found.rights.grants == {("dispatcher", "420102")}
        assert other.revoke("anna", "dispatcher") == 1
        seen.append(accounts.version())
        assert found is not accounts.by_token(token)
        other.disable("anna")
        seen.append(accounts.version())
    assert seen == sorted(set(seen)), "the version grew with each"
    assert accounts.by_token(token) is None
    accounts.disable("anna", False)
    assert accounts.by_token(token) is None, "the session ended for good"
    assert [a for a, _, _ in notes] == ["user.added", "session.opened", "user.enabled"]


def test_a_session_is_kept_as_a_hash_and_ends(accounts: Accounts, clock: Clock, tmp_path: Path) -> None:
    accounts.add("anna", PASSWORD)
    token, session = accounts.open("anna", "Anna", "session")
    assert all(token.encode() not in p.read_bytes() for p in tmp_path.iterdir())
    assert session.until == clock.now + HOUR
    clock.now += HOUR // 8
    first = accounts.by_token(token)
    assert first is not None
    assert not first.renewed
    clock.now += HOUR // 2
    second = accounts.by_token(token)
    assert second is not None
    assert (second.renewed, second.until) == (True, clock.now + HOUR)
    clock.now += HOUR
    assert accounts.by_token(token) is None
    token, _ = accounts.open("anna", "Anna", "session")
    accounts.end(token)
    assert accounts.by_token(token) is None
    assert accounts.by_token("nonsense") is None


def test_a_session_does_not_live_for_ever_and_there_are_not_many(accounts: Accounts, clock: Clock) -> None:
    accounts.add("anna", PASSWORD)
    token, _ = accounts.open("anna", "Anna", "session")
    made = clock.now
    while accounts.by_token(token) is not None:
        clock.now += HOUR // 2
    assert made + LONGEST_MS <= clock.now <= made + LONGEST_MS + HOUR
    tokens = [accounts.open("anna", "Anna", "session")[0] for _ in range(SESSIONS_MAX + 3)]
    assert [accounts.by_token(t) is not None for t in tokens] == [False] * 3 + [True] * SESSIONS_MAX
    accounts.passwd("anna", "another password")
    assert all(accounts.by_token(t) is None for t in tokens)


def test_who_is_vouched_for_keeps_the_roles_of_the_provider(accounts: Accounts) -> None:
    token, session = accounts.open("carl@idp", "Carl", "oidc", frozenset({("operator", "*")}))
    assert session.rights.roles() == ["operator"]
    accounts.add("carl@idp", None)
    accounts.grant("carl@idp", "dispatcher")
    found = accounts.by_token(token)
    assert found is not None
    assert found.rights.roles() == ["dispatcher", "operator"]
    assert not accounts.any(), "nobody could sign in with a password"
    accounts.disable("carl@idp")
    assert accounts.by_token(token) is None


def test_lock_out_is_by_rate_and_ends() -> None:
    lock, at = Lockout(), 1_000
    for i in range(PAIR):
        assert lock.wait_ms("anna", "a", at) == 0
        lock.failed("anna", "a", at + i)
    assert lock.wait_ms("anna", "a", at + 10) == WINDOW_MS - 10
    assert lock.wait_ms("anna", "b", at + 10) == 0, "from elsewhere it is let through"
    assert lock.wait_ms("anna", "a", at + WINDOW_MS + PAIR) == 0
    lock.failed("anna", "a", at + WINDOW_MS + PAIR)
    lock.succeeded("anna", "a")
    assert lock.wait_ms("anna", "a", at + WINDOW_MS + PAIR) == 0


def test_many_names_from_one_address_are_locked_out_and_memory_is_bounded() -> None:
    lock = Lockout(keys=100)
    for i in range(ADDRESS):
        assert lock.wait_ms(f"u{i}", "a", i) == 0
        lock.failed(f"u{i}", "a", i)
    assert lock.wait_ms("new", "a", ADDRESS) > 0
    for i in range(1000):
        lock.failed(f"u{i}" * 200, f"a{i}", i)
    assert len(lock) <= 100
