"""The settings of what is kept: the horizon of readings, and memory beyond which columns lie in files."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citytwin import spill
from citytwin.app import Node
from citytwin.clock import ManualClock
from citytwin.config import Config, Keep
from citytwin.config import Engine as EngineSettings
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded
from citytwin.spill import Spill
from citytwin.streams.log import Definition
from citytwin.testing import START_MS, TinyCity

HOUR, ROWS = 3_600_000, 60_000


def node(folder: Path, **keep: Any) -> Node:
    """The tiny city with these settings."""
    config, load = Config(engine=EngineSettings(health=False), keep=Keep(**keep)), TinyCity
    return Node(config, folder=folder, load=load, registry=builtin, clock=ManualClock(START_MS))  # type: ignore[arg-type]


def readings(first: int, n: int, ago: int = 1000) -> EventBatch:
    """Good readings of the tiny city's devices."""
    fields: dict[str, Any] = {
        "property": Coded.of(["water.pressure"] * n), "value": np.full(n, 200_000), "quality": Coded.of(["good"] * n),
    }  # fmt: skip
    numbers = range(first, first + n)
    time = np.full(n, START_MS - ago) - np.arange(n) % 1000
    return EventBatch.of("obs", time, [f"e{i}" for i in numbers], subject=[f"D{i % 32:02d}" for i in numbers],
                         fields=fields)  # fmt: skip


def test_ids_beyond_the_bound_lie_in_files_and_count_all_the_same(tmp_path: Path) -> None:
    said = []
    for name, bound in (("small", 1), ("large", 500)):
        with node(tmp_path / name, memory_mb=bound) as city:
            city.start(live=False)
            for first in (0, ROWS, ROWS // 2):
                done = city.runtime.submit([readings(first, ROWS)]).result()[0]
            assert (done.accepted, done.duplicates) == (0, ROWS)
            city.runtime.advance(START_MS).result()
            engine = city.engine
            files = list((tmp_path / name / "spill").glob("*"))
            assert (sum(f.stat().st_size for f in files) > 3 * ROWS * 8) == (bound == 1)
            said.append((engine.state_hash(), engine.frame_hash(), len(engine.revisions)))
    assert said[0] == said[1]
    left = tmp_path / "small" / "spill" / "left.column"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"of a process that was killed")
    with node(tmp_path / "small", memory_mb=1) as city:
        assert not left.exists()
        assert city.recovered.snapshot
        assert (city.engine.state_hash(), city.engine.frame_hash(), len(city.engine.revisions)) == said[0]
        city.start(live=False)
        assert city.runtime.submit([readings(0, 2 * ROWS)]).result()[0].duplicates == 2 * ROWS


def test_memory_that_is_let_go_can_be_taken_again(tmp_path: Path) -> None:
    room = Spill(tmp_path / "spill", 3 * spill.SMALL)
    small, held = room(8, np.int64), [room(spill.SMALL // 8, np.int64) for _ in range(3)]
    assert (len(small), room.held, room.spilled) == (8, 3 * spill.SMALL, 0)
    beyond = room(spill.SMALL // 4, np.int32)
    beyond[:] = np.arange(len(beyond))
    view = beyond[5:]
    del beyond
    gc.collect()
    assert (view[0], room.spilled, len(list(room.folder.iterdir()))) == (5, spill.SMALL, 1)
    del view, held
    gc.collect()
    assert (room.held, room.spilled, list(room.folder.iterdir())) == (0, 0, [])


def test_without_room_for_files_columns_stay_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    room = Spill(tmp_path / "spill", 0)
    assert len(room(spill.SMALL, np.int8)) == spill.SMALL
    assert (room.held, room.spilled, list(room.folder.iterdir())) == (spill.SMALL, 0, [])


def written(city: Node) -> list[float]:
    """The horizons that the log tells."""
    records = [record for _, record in city.log.read()]
    return [float(r.document["telemetry_hours"]) for r in records if isinstance(r, Definition)]


def test_the_horizon_of_readings_is_a_setting_that_the_log_tells(tmp_path: Path) -> None:
    # a changed definition counts the whole log again
    for hours, refused in ((24.0, {}), (2.0, {"horizon": 18})):
        with node(tmp_path, telemetry_hours=hours) as city:
            city.start(live=False)
            city.runtime.advance(START_MS).result()
            city.runtime.submit([readings(round(hours) * 100, 9, ago=3 * HOUR)]).result()
            types = city.engine.vocabulary.types
            assert (types["obs"].horizon_ms, types["call.offered"].horizon_ms) == (hours * HOUR, 7 * 24 * HOUR)
            assert city.engine.stats.rejected == refused
    with node(tmp_path, telemetry_hours=2.0) as city:
        assert written(city) == [24.0, 2.0]
