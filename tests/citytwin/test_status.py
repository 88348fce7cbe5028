"""`citytwin status`: what is wrong in words, and a code that a script can go by."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from citytwin.commands.status import command, lines
from citytwin.dashboards.access import Access
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.models.diagnosis import diagnose
from citytwin.models.ops import OpsState, ShardState
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads
from tests.dashboards.test_ops import FakeOps, cluster


@pytest.fixture
def ops() -> FakeOps:
    return FakeOps(OpsState(mode="single", now=1, shards=[ShardState(shard=0, owner="me")]))


@pytest.fixture
def url(ops: FakeOps, tmp_path: Path) -> Iterator[str]:
    access = Access(token="geheim")
    parts = Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), access, static=tmp_path, ops=ops)
    thread = ServerThread(Web(parts))
    yield f"http://127.0.0.1:{thread.start()}"
    thread.stop()


@pytest.fixture
def token(tmp_path: Path) -> str:
    (tmp_path / "token").write_text("geheim\n")
    return str(tmp_path / "token")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Code, and what it said."""
    code = command.main([*arguments], standalone_mode=False)
    said = capsys.readouterr()
    return int(code), said.out, said.err


def test_the_code_says_how_it_is(url: str, ops: FakeOps, token: str, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ("--url", url, "--token-file", token)
    for change, code, words in (
        (None, 0, "● 正常  一切正常"),
        ({"lag_ms": 7000}, 1, "▲ 警告  1 个分片滞后：0 (7 s)"),
        ({"state": "missing", "owner": ""}, 2, "◆ 告警  引擎已停止"),
    ):
        for name, value in (change or {}).items():
            setattr(ops.given.shards[0], name, value)
        ops.given.verdicts = diagnose(ops.given)
        found, out, err = run(capsys, *ask)
        assert (found, err) == (code, "")
        assert words in out.splitlines()[0]
    assert "处理: " in out
    found, out, _ = run(capsys, *ask, "--lang", "en")
    assert (found, out.splitlines()[0]) == (2, "◆ alarm  The engine has stopped")
    found, out, _ = run(capsys, *ask, "--json")
    assert (found, json.loads(out)["verdicts"][0]["code"]) == (2, "engine_stopped")


def test_nobody_to_ask_is_told_with_what_to_do(
    url: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    cases: list[tuple[tuple[str, ...], str]] = [
        (("--url", f"http://127.0.0.1:{free}"), "start the city, or name --url"),
        (("--url", url), "name the file of its token with --token-file"),
        (("--url", url, "--token-file", str(tmp_path / "none")), "cannot be read"),
        (("--url", "nonsense"), "is no address"),
        (("--config", str(tmp_path / "none.toml")), "there is no settings file"),
    ]
    for arguments, words in cases:
        code, out, err = run(capsys, *arguments)
        assert (code, out) == (3, "")
        assert words in err
        assert "geheim" not in err


def test_the_address_and_the_token_are_those_of_the_settings(
    url: str, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    port = url.rsplit(":", 1)[1]
    (tmp_path / "citytwin.toml").write_text(
        f'language = "en"\n[server]\nhost = "0.0.0.0"\nport = {port}\ntoken_file = "{token}"\n'
    )
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert "Shards" not in out.splitlines()[0]


def test_a_server_that_tells_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thread = ServerThread(Web(Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), static=tmp_path)))
    try:
        code, _, err = run(capsys, "--url", f"http://127.0.0.1:{thread.start()}")
    finally:
        thread.stop()
    assert (code, "ask a gateway or the city" in err) == (3, True)


@pytest.mark.parametrize("english", [False, True])
def test_the_tables_stand_in_columns(english: bool) -> None:
    state = cluster()
    state.shards += [ShardState(shard=i, owner="w1", k=40) for i in range(2, 64)]
    state.verdicts = diagnose(state)
    text = lines(state, english)
    begin = text.index("") + 1
    rows = text[begin : begin + 42]
    assert [r.split()[0] for r in rows[1:3]] == ["1", "0"], "what is not well comes first"
    assert rows[41] == ("25 more" if english else "另有 25 个")
    assert ("worker   w1" in "\n".join(text), "bad_time 4, unknown_type 1" in "\n".join(text)) == (True, True)
    assert len(text) < 80
