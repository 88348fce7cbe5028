"""Where indicators come from: built in, packages, files of a folder; what cannot be used is told in words."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from citytwin import plugins
from citytwin.app import Node
from citytwin.config import City, Config, ConfigError, Engine
from citytwin.plugins import base, catalogue, load_file, plugin_files
from citytwin.testing import TinyCity
from tests.citytwin.bad_plugins import GOOD


def test_a_file_of_the_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "good.py").write_text(GOOD, "utf-8")
    config = Config(city=City(plugins=str(tmp_path / "plugins")), engine=Engine(health=False))
    load: Any = TinyCity
    with Node(config, folder=tmp_path / "data", load=load) as node:
        assert "good.calls" in node.engine.registry
        assert len(node.engine.registry) == len(base()[0]) + 1
        assert [f["status"] for f in node.workshop.files()] == ["in force"]


def test_a_bad_file_is_told_and_the_city_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "nothing.py").write_text("x = 1", "utf-8")
    (folder / "taken.py").write_text(GOOD.replace("good.calls", "case_backlog"), "utf-8")
    (folder / "latin.py").write_bytes(b"# \xe9\n")
    load: Any = TinyCity
    config = Config(city=City(plugins=str(folder)), engine=Engine(health=False))
    with Node(config, folder=tmp_path / "data", load=load) as node:
        said = {f["file"]: f["problems"][0] for f in node.workshop.files()}
        wrong = {s["id"]: s["error"] for s in node.workshop.state() if s["error"]}
    assert "declares no indicator" in said["nothing.py"]
    assert "taken by a built-in indicator" in said["taken.py"]
    assert "no UTF-8" in said["latin.py"]
    assert set(wrong) == {"nothing.py", "latin.py"}, "case_backlog itself is fine"
    assert "nothing.py is refused: declaration: declares no indicator" in capsys.readouterr().err


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    load: Any = TinyCity
    with pytest.raises(ConfigError, match="is no folder"):
        Node(Config(city=City(plugins="nowhere")), folder=tmp_path, load=load)


def test_tests_and_hidden_files_are_no_plugins(tmp_path: Path) -> None:
    for name in ("a.py", "b.toml", "test_a.py", "conftest.py", "_c.py", ".d.py", "e.txt", "f.py~"):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "g.py").mkdir()
    assert [p.name for p in plugin_files(tmp_path)] == ["a.py", "b.toml"]


def test_the_catalogue_tells_all_and_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text(GOOD, "utf-8")
    (tmp_path / "bad.py").write_text("x = 1", "utf-8")
    rows, problems = catalogue(str(tmp_path))
    mine = next(r for r in rows if r["id"] == "good.calls")
    assert (mine["origin"], mine["window"], mine["unit"]) == ("file good.py", "sliding 1h/1m", "count")
    assert mine["parameters"] == {"n": "count(call.offered, window=sliding 1h/1m)"}
    assert sum(r["origin"] == "builtin" for r in rows) >= 99
    assert len(problems) == 1
    assert "declares no indicator" in problems[0]


def test_the_text_that_was_read_is_the_source(tmp_path: Path) -> None:
    """Not what lies in the file when somebody asks."""
    file = tmp_path / "good.py"
    file.write_text(GOOD, "utf-8")
    loaded = load_file(file)
    file.write_text(GOOD.replace("return n", "return 2 * n"), "utf-8")
    again = load_file(file)
    from citytwin.indicators.api import source_text

    assert "return n\n" in source_text(loaded.specs[0].formula)
    assert "return 2 * n\n" in source_text(again.specs[0].formula)
    assert loaded.specs[0].code_hash != again.specs[0].code_hash


def test_a_package_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> None:
        raise ImportError("no module named rates")

    point = SimpleNamespace(dist=SimpleNamespace(name="city-rates"), value="rates:ALL", load=load)
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point] if group == "citytwin.indicators" else [])
    with pytest.raises(ConfigError, match=r"the package city-rates .* no module named rates.*pip uninstall city-rates"):
        base()
