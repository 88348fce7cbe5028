"""Settings: who wins, what an error says, what is never told."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from citytwin.config import ConfigError, Server, check_exposure, is_local, load, names, privacy_key


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings file of the checkout."""
    monkeypatch.chdir(tmp_path)


def test_defaults() -> None:
    found = load(environ={"CITYTWIN_TEST_CHROMIUM": "/usr/bin/chromium"})
    assert (found.config.city.pack, found.config.server.host, found.config.engine.tick_ms) == (
        "wuhan",
        "127.0.0.1",
        500,
    )
    assert {where for _, _, where in found.rows()} == {"default"}
    assert [name for name, _, _ in found.rows()] == names()


def test_each_layer_wins_over_the_one_before(tmp_path: Path) -> None:
    (tmp_path / "citytwin.toml").write_text('language = "en"\n[server]\nport = 1\nhost = "::1"\n[log]\nkeep_days = 7\n')
    found = load(environ={"CITYTWIN_SERVER__PORT": "2", "CITYTWIN_ENGINE__HEALTH": "false", "HOME": "/"})
    assert (found.config.server.port, found.config.server.host, found.config.log.keep_days) == (2, "::1", 7)
    assert found.config.engine.health is False
    assert found.config.language == "en"
    assert (
        load(environ={"CITYTWIN_SERVER__PORT": "2"}, flags={"server.port": 3, "data.dir": None}).config.server.port == 3
    )
    where = {name: (value, origin) for name, value, origin in found.rows()}
    assert where["server.port"] == ("2", "CITYTWIN_SERVER__PORT")
    assert where["log.keep_days"] == ("7.0", "citytwin.toml")
    assert where["server.host"][1] == "citytwin.toml"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[server]\nprot = 1", r"citytwin.toml: there is no setting server.prot; there is .*server.port"),
        ("[server]\nport = 99999", r"citytwin.toml: server.port cannot be used: .*65535.*99999"),
        ('[server]\nport = "x"', r"server.port cannot be used: Expected `int`"),
        ('language = "fr"', r"language cannot be used: Invalid enum value 'fr'"),
        ("[engine]\ntick_ms = 10", r"engine.tick_ms cannot be used: .*100"),
        ("[server\n", "is no TOML"),
        ("[nothing]\na = 1", "no setting nothing.a"),
    ],
)
def test_errors_name_the_setting(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "citytwin.toml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(environ={})


def test_errors_of_the_environment_and_of_a_named_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CITYTWIN_SERVER__PORT: server.port cannot be used"):
        load(environ={"CITYTWIN_SERVER__PORT": "many"})
    with pytest.raises(ConfigError, match=r"CITYTWIN_SERVR__PORT: there is no setting servr.port"):
        load(environ={"CITYTWIN_SERVR__PORT": "1"})
    with pytest.raises(ConfigError, match=r"no settings file .*other.toml"):
        load(tmp_path / "other.toml", environ={})


def test_secrets_come_from_files_and_are_not_told(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hush-hush\n")
    found = load(environ={"CITYTWIN_SERVER__TOKEN_FILE": str(tmp_path / "token")})
    assert found.config.server.token == "hush-hush"
    assert "hush" not in repr(list(found.rows()))
    assert ("server.token", "(set)", "default") in list(found.rows())
    with pytest.raises(ConfigError, match="both given"):
        load(environ={"CITYTWIN_SERVER__TOKEN_FILE": str(tmp_path / "token"), "CITYTWIN_SERVER__TOKEN": "x"})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(environ={"CITYTWIN_SERVER__TOKEN_FILE": str(tmp_path / "none")})
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigError, match="is empty"):
        load(environ={"CITYTWIN_PRIVACY__KEY_FILE": str(tmp_path / "empty")})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_local_hosts_need_no_token(host: str) -> None:
    assert is_local(host)
    check_exposure(Server(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "city.example"])
def test_other_hosts_need_one(host: str) -> None:
    with pytest.raises(ConfigError, match=r"make accounts .* for programs set server.token_file"):
        check_exposure(Server(host=host))
    check_exposure(Server(host=host, token="x"))
    check_exposure(Server(host=host), known=True)


def test_privacy_key_is_made_once_and_private(tmp_path: Path) -> None:
    config = load(environ={}).config
    key = privacy_key(config, tmp_path / "data")
    assert len(key) == 64
    assert privacy_key(config, tmp_path / "data") == key
    assert stat.S_IMODE((tmp_path / "data" / "privacy.key").stat().st_mode) == 0o600
    given = load(environ={"CITYTWIN_PRIVACY__KEY": "mine"}).config
    assert privacy_key(given, tmp_path / "data") == b"mine"
