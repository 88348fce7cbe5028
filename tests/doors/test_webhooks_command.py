"""`citytwin webhooks`: targets, counts, dead letters, by a user who makes mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from citytwin.cli import cli
from citytwin.config import Config, ConfigError
from citytwin.door_config import HookTarget, Webhooks
from citytwin.hooked import targets
from citytwin.streams.hookstore import Fresh, HookStore


def run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = CliRunner().invoke(cli, ["webhooks", arguments[0], "--data", str(folder), *arguments[1:]])
    return done.exit_code, done.output


def test_targets_are_added_listed_and_removed(tmp_path: Path) -> None:
    assert "no targets" in run(tmp_path, "list")[1]
    code, said = run(tmp_path, "add", "ops", "https://example.com/x", "--types", "case.* alarm.raised")
    assert code == 0
    secret = said.split("secret ")[1].strip()
    assert len(secret) == 64
    shown = run(tmp_path, "list")[1]
    assert "ops  https://example.com/x  case.* alarm.raised  (added)" in shown
    assert secret not in shown
    with HookStore(tmp_path / "webhooks.db") as store:
        assert store.targets()[0].secret == secret
        store.take_in([Fresh("ops", "s#1", "case.closed", b"{}")], 1, 0)
        found = store.next("ops", 0)
        assert found is not None
        store.failed(found, None, "the target answered 500")
    assert "dead 1" in run(tmp_path, "list")[1]
    assert "the target answered 500" in run(tmp_path, "list", "--dead", "ops")[1]
    assert run(tmp_path, "retry", "ops")[1] == "1 of ops will be sent again\n"
    assert "waiting 1  dead 0" in run(tmp_path, "list")[1]
    assert run(tmp_path, "remove", "ops")[0] == 0
    code, said = run(tmp_path, "remove", "ops")
    assert code == 1
    assert "there is no added target ops" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("add", "a", "ftp://x/", "--types", "case.*"), "http"), (("add", "a", "http://x/", "--types", " "), "types"),
        (("add", "a b", "http://x/", "--types", "case.*"), "name"),
    ],
)  # fmt: skip
def test_a_wrong_target_is_refused(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    code, text = run(tmp_path, *arguments)
    assert code == 1
    assert said in text


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    assert "name the city's data folder" in run(tmp_path / "nowhere", "list")[1]


@pytest.mark.parametrize(("secret", "said"), [(None, "cannot be read"), ("short", "shorter than 16")])
def test_targets_of_the_settings_are_checked(tmp_path: Path, secret: str | None, said: str) -> None:
    if secret is not None:
        (tmp_path / "s").write_text(secret)
    given = HookTarget("a", "https://x/", ["case.*"], str(tmp_path / "s"))
    with pytest.raises(ConfigError, match=said):
        targets(Config(webhooks=Webhooks(targets=[given])))


def test_one_name_is_one_target(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x" * 20)
    given = HookTarget("a", "https://x/", ["case.*"], str(tmp_path / "s"))
    with pytest.raises(ConfigError, match="twice"):
        targets(Config(webhooks=Webhooks(targets=[given, given])))
