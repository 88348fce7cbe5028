"""What the doctor says of brokers, checkpoints, InfluxDB and MQTT that are not there: what to do, and quickly."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

from citytwin import neighbours
from citytwin.config import load
from citytwin.neighbours import SKEW_MS, Finding

NOW = 1_790_000_000_000


@pytest.fixture
def nobody() -> str:
    """An address at which nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"127.0.0.1:{taken.getsockname()[1]}"


def looked(folder: Path, text: str) -> list[Finding]:
    """What is found with these settings."""
    (folder / "citytwin.toml").write_text(text)
    found = load(folder / "citytwin.toml", {})
    return list(neighbours.examine(found.config, found.origin))


def test_a_city_in_one_process_has_none(tmp_path: Path) -> None:
    assert looked(tmp_path, '[server]\nport = 0\n[history]\nparquet = true\n[mqtt]\nhost = "nowhere"\n') == []


def test_nobody_answers(tmp_path: Path, nobody: str) -> None:
    port = nobody.split(":")[1]
    text = f"""
    [kafka]
    bootstrap = "{nobody}"
    [cluster]
    checkpoints = "{tmp_path / "none"}"
    [influx]
    url = "http://{nobody}"
    [mqtt]
    port = {port}
    [[bridge.mqtt]]
    filters = ["v1.1/#"]
    """
    started = time.monotonic()
    found = {f.subject: f for f in looked(tmp_path, text)}
    assert time.monotonic() - started < 2 * neighbours.PATIENCE_S
    assert {s: f.level for s, f in found.items()} == {
        "brokers": "wrong", "saved": "note", "influx": "wrong", "mqtt": "wrong",
    }  # fmt: skip
    assert "start Kafka, or look at kafka.bootstrap" in found["brokers"].text
    assert "every worker and clock must reach the same one" in found["saved"].text
    assert "look whether it runs and influx.url is right" in found["influx"].text
    assert "start the broker" in found["mqtt"].text


def test_settings_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    (influx,) = looked(tmp_path, '[influx]\nurl = "http://127.0.0.1:1"\nuser = "a"\n')
    assert (influx.level, "give both" in influx.text) == ("wrong", True)


def test_mqtt_that_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        text = f'[mqtt]\nport = {port}\n[[bridge.mqtt]]\nfilters = ["a"]\n[kafka]\nbootstrap = "127.0.0.1:1"\n'
        found = {f.subject: f.level for f in looked(tmp_path, text)}
    assert found["mqtt"] == "ok"


@pytest.mark.parametrize(
    ("newest", "level", "words"),
    [
        (NOW - 800, "ok", "0.8 s old"),
        (NOW + SKEW_MS, "ok", "0.0 s old"),
        (NOW + 5_000, "wrong", "at least 5.0 s behind"),
        (NOW - 60_000, "wrong", "start `citytwin clock`"),
    ],
)
def test_clocks(newest: int, level: str, words: str) -> None:
    found = neighbours.clocks(newest, NOW)
    assert (found.level, words in found.text) == (level, True)


def test_checkpoints(tmp_path: Path) -> None:
    (none,) = neighbours.checkpoints(tmp_path, 20)
    assert (none.level, "no checkpoint" in none.text) == ("note", True)
    one = tmp_path / "citytwin" / "events-0" / f"snapshot-{7:020d}.bin"
    one.parent.mkdir(parents=True)
    one.write_bytes(b"x")
    (found,) = neighbours.checkpoints(tmp_path, 20)
    assert (found.level, found.text.startswith("1 checkpoints, the newest 0 s old")) == ("ok", True)
    os.utime(one, (0, time.time() - 600))
    (old,) = neighbours.checkpoints(tmp_path, 20)
    assert (old.level, "no worker writes them" in old.text) == ("note", True)
