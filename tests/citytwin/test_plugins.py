"""A folder of indicators: what keeps the contract counts, what does not is refused with a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from citytwin.app import Node
from citytwin.config import City, Config, ConfigError, Engine
from citytwin.plugins import registry_of
from citytwin.testing import TinyCity

GOOD = '''
from citytwin.indicators.api import count, indicator

@indicator(
    "calls_lost", theme="livelihood", window="sliding 1h/1m", unit="count", better="down", levels="city", decimals=0,
    name={"zh": "放弃来电", "en": "Calls lost"}, meaning={"zh": "放弃的来电数", "en": "Calls given up"},
    bands={"yellow": 10, "red": 20}, source="local", status="L", owner="hotline",
    examples=[dict(lost=5, gives=5.0), dict(lost=0, gives=0.0)],
)
def calls_lost(lost=count("call.abandoned")):
    """Calls given up within the hour."""
    return lost
'''


def test_a_file_of_the_folder_counts(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "lost.py").write_text(GOOD, "utf-8")
    config = Config(city=City(plugins=str(tmp_path / "plugins")), engine=Engine(health=False))
    load: Any = TinyCity
    with Node(config, folder=tmp_path / "data", load=load) as node:
        assert "calls_lost" in node.engine.registry
        assert len(node.engine.registry) == len(registry_of("")) + 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = 1", "declares no indicator"),
        (GOOD.replace("gives=5.0", "gives=6.0"), "citytwin check"),
        (GOOD.replace('"calls_lost"', '"case_backlog"'), "taken by a built-in"),
        ("raise RuntimeError('no')", "RuntimeError while it was loaded"),
    ],
)
def test_a_bad_file_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "bad.py").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=words):
        registry_of(str(tmp_path))


def test_a_folder_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        registry_of("nowhere")
