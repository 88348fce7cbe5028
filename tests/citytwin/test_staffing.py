"""What a server opens for people: accounts and trail of a data folder, anchors, a provider, copies of it all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from citytwin.config import Config, ConfigError, Data, Server
from citytwin.dashboards.people import TOKEN
from citytwin.dashboards.problems import Trouble
from citytwin.people_config import Audit, Oidc
from citytwin.staffing import AUDIT, accounts_of, audit_of, check, staffed
from citytwin.streams.backup import backup, restore
from citytwin.streams.log import SqliteLog, Tick
from citytwin.verification import newest, verify

PASSWORD = "a long password"


def config(folder: Path, host: str = "127.0.0.1", **more: object) -> Config:
    return Config(data=Data(dir=str(folder)), server=Server(host=host), **more)  # type: ignore[arg-type]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def make(folder: Path) -> None:
    """An account, as somebody at the keyboard makes it."""
    given = config(folder)
    with audit_of(folder, given) as audit, accounts_of(folder, given, audit, "root", "cli") as accounts:
        accounts.add("anna", PASSWORD)
        accounts.grant("anna", "dispatcher", "D1")


def test_beyond_loopback_nothing_starts_without_accounts(tmp_path: Path, stack: ExitStack) -> None:
    for demo in (False, True):
        with pytest.raises(ConfigError, match=r"make accounts \(`citytwin users add"):
            staffed(config(tmp_path, "0.0.0.0"), tmp_path, stack, demo=demo)
    assert list(tmp_path.iterdir()) == [], "it refused before it made anything"
    check(config(tmp_path, "0.0.0.0", oidc=Oidc(issuer="https://idp.example", audience="x")), tmp_path)
    make(tmp_path)
    found = staffed(config(tmp_path, "0.0.0.0"), tmp_path, stack)
    assert found.access.guest() is None
    assert found.access.sign_on is None


def test_who_signs_in_and_who_fails_is_in_the_trail(tmp_path: Path) -> None:
    make(tmp_path)
    with ExitStack() as stack:
        found = staffed(config(tmp_path), tmp_path, stack)
        signed = found.staff.sign_in("anna", PASSWORD, "127.0.0.1")
        with pytest.raises(Trouble):
            found.staff.sign_in("anna", "wrong", "10.0.0.9")
        with pytest.raises(Trouble):
            found.staff.sign_in(PASSWORD, "anna", "10.0.0.9")  # typed into the wrong field
        found.audit.note(signed.person, "case.dispatched", "K1", "D1", {"caller": "13900000000", "rev": 3})
        found.staff.sign_out(signed.token)
        assert found.access.trail is found.audit
    rows = [json.loads(body) for body in newest(tmp_path / AUDIT, 99)]
    said = [(r["who"], r["how"], r["action"], r.get("subject", "")) for r in rows]
    assert sorted(said[2:]) == [
        ("", "session", "session.refused", ""), ("", "session", "session.refused", "anna"),
        ("anna", "auto", "session.ended", "anna"),
        ("anna", "auto", "session.opened", "anna"), ("anna", "session", "case.dispatched", "K1"),
    ]  # fmt: skip
    assert "13900000000" not in json.dumps(rows)
    assert PASSWORD not in json.dumps(rows)


def test_anchors_begin_with_the_server_and_lie_where_the_settings_say(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere" / "anchors"
    make(data)
    with ExitStack() as stack:
        found = staffed(config(data, audit=Audit(anchor_file=str(elsewhere))), data, stack)
        found.audit.note(TOKEN, "case.reported", "K1")
    told = [json.loads(line)["seq"] for line in elsewhere.read_bytes().splitlines()]
    assert told[-1] == 3
    looked = verify(data / AUDIT, elsewhere)
    assert (looked.problems, looked.rows, looked.anchors) == ([], 3, len(told))


def test_a_provider_of_the_settings_is_one_of_the_people(tmp_path: Path, stack: ExitStack) -> None:
    given = Oidc(issuer="https://idp.example", client_id="city", redirect_uri="https://city.example/callback")
    found = staffed(config(tmp_path, oidc=given), tmp_path, stack)
    assert found.access.guest() is None, "who comes to this machine signs in, too"
    assert found.access.sign_on is not None
    assert found.staff.by_bearer("x.y.z") is None


def test_a_backup_brings_accounts_and_trail_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make(data)
    with SqliteLog(data / "log.db") as log:
        log.append([Tick(1_000)])
    given = config(data, audit=Audit(seal_rows=2))
    with audit_of(data, given) as audit:
        for i in range(5):
            audit.write("anna", "session", "x", str(i))
        backup(data, tmp_path / "copy")
    restore(tmp_path / "copy", tmp_path / "back")
    found, whole = verify(tmp_path / "back" / AUDIT), verify(data / AUDIT)
    assert found.problems == []
    assert (found.head, found.files) == (whole.head, whole.files)
    assert found.files > 1
    with audit_of(tmp_path / "other", given) as audit, accounts_of(tmp_path / "back", given, audit, "x", "cli") as back:
        assert back.check("anna", PASSWORD) is not None
    for name in ("accounts.db", f"{AUDIT}/audit.db"):
        assert (tmp_path / "back" / name).stat().st_mode & 0o077 == 0, name
