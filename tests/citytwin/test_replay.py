"""A replay: event-time ticks only, counted by reason, equal values at every pace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from citytwin.app import Node
from citytwin.commands.replay import Speed
from citytwin.config import Config, Engine
from citytwin.indicators.registry import builtin
from citytwin.replay import Replay, Summary, sources
from citytwin.streams.log import Tick
from citytwin.testing import START_MS, TinyCity
from citytwin.values import ValuesFile

HOUR_S = 3600


def event(number: int, second: int, device: str = "D00") -> dict[str, Any]:
    """A CloudEvent so many seconds after the start."""
    minute, rest = divmod(second, 60)
    return {
        "specversion": "1.0", "type": "obs", "id": f"e{number}", "source": "gauge", "subject": device,
        "time": f"2026-07-08T{14 + minute // 60:02d}:{minute % 60:02d}:{rest:02d}Z",
        "data": {"property": "water.pressure", "value": 0.2 + number / 1000},
    }  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three hours with gaps, out of order, one twice, one line that is no JSON, one unknown device."""
    events = [event(i, s) for i, s in enumerate((0, 30, 3 * HOUR_S, 60, 61, 2 * HOUR_S))]
    events += [events[0], event(9, 90, "nowhere")]
    lines = [json.dumps(e) for e in events]
    path = tmp_path / "events.ndjson"
    path.write_text("\n".join([*lines[:4], "{broken", *lines[4:]]) + "\n")
    return path


def replay(file: Path, folder: Path, speed: float | None) -> tuple[Summary, list[int], str, Path]:
    """Summary, moments of the ticks, frame hash and the values written."""
    load: Any = TinyCity
    config = Config(engine=Engine(health=False))
    with Node(config, folder=folder, load=load, registry=builtin) as node:
        node.start(live=False)
        run = Replay(node)
        run.read(sources(file, node, None), file.name)
        done = run.run(speed)
        with ValuesFile(node, folder / "values.csv") as out:
            out.write()
        ticks = [r.now for _, r in node.log.read() if isinstance(r, Tick)]
        return done, ticks, node.engine.frame_hash(), folder / "values.csv"


def test_what_was_taken_is_counted(file: Path, tmp_path: Path) -> None:
    done, ticks, _, values = replay(file, tmp_path / "r", None)
    assert (done.rows, done.accepted, done.duplicates) == (9, 6, 1)
    assert done.rejected == {"not_json": 1, "unknown_subject": 1}
    assert (done.first_ms, done.last_ms) == (START_MS, START_MS + 3 * HOUR_S * 1000)
    assert ticks == sorted(set(ticks))
    assert len(ticks) == done.ticks < 40, "ticks fall on data and now and then between, not on every second"
    assert done.last_ms < ticks[-1] <= done.last_ms + 60_000
    assert done.values["water_pressure_compliance"] == 100
    assert values.read_text().startswith("indicator,scope,level,value")


def test_pace_changes_nothing(file: Path, tmp_path: Path) -> None:
    fast, ticks, frame, _ = replay(file, tmp_path / "max", None)
    paced, paced_ticks, paced_frame, _ = replay(file, tmp_path / "paced", 100_000)
    assert (paced_frame, paced_ticks) == (frame, ticks)
    assert paced.values == fast.values


@pytest.mark.parametrize(("text", "speed"), [("60x", 60.0), ("1", 1.0), ("max", 0.0), ("0.5x", 0.5)])
def test_speeds(text: str, speed: float) -> None:
    assert Speed().convert(text, None, None) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1x", "nan", "1e9"])
def test_no_speeds(text: str) -> None:
    with pytest.raises(Exception, match="is no speed; give"):
        Speed().convert(text, None, None)


@pytest.mark.parametrize(("speed", "every_ms"), [(None, 8_000), (26.0, 8_000), (None, 96_000)])
def test_at_a_mark_stands_what_happened_up_to_it(tmp_path: Path, speed: float | None, every_ms: int) -> None:
    """Whatever the pace; the slices of 26 seconds and those of a minute do not end at these marks."""
    seconds = (0, 3, 6, 8, 9, 13, 16, 20, 30, 31)
    path = tmp_path / "events.ndjson"
    path.write_text("".join(json.dumps(event(i, s)) + "\n" for i, s in enumerate(seconds)))
    seen: list[tuple[int, int]] = []
    load: Any = TinyCity
    with Node(Config(engine=Engine(health=False)), folder=tmp_path / "r", load=load, registry=builtin) as node:
        node.start(live=False)
        engine = node.engine
        run = Replay(node, every_ms=every_ms, at_mark=lambda: seen.append((engine.now, engine.stats.accepted)))
        run.read(sources(path, node, None), path.name)
        run.run(speed)
    times = [START_MS + 1000 * s for s in seconds]
    first = -(-START_MS // every_ms) * every_ms  # the city's midnight is a multiple of both
    marks = range(first, START_MS + 60_001, every_ms)
    assert seen == [(m, sum(t <= m for t in times)) for m in marks]
