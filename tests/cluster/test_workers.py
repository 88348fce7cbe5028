"""Eight partitions and one to four workers on a real Kafka: every final frame is that of one process on that log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from citytwin.engine import Engine
from citytwin.models.part import Marker
from citytwin.models.shards import DESK
from citytwin.streams.brokers import Place
from citytwin.streams.records import Events
from tests.cluster.harness import Load, Town, now_ms
from tests.cluster.reference import Logs, compare, lost, read
from tests.conftest import proving
from tests.servers.kafka import Kafka
from tests.servers.process import until

IDLE = 6
#: Final frames to be seen with each number of workers.
FRAMES = 40 if proving() else 4
PLUGIN = """
from citytwin.indicators.api import *

META = dict(theme="t", levels="city district", owner="me", source="local")

@indicator("tried.callers", window="sliding 1h/1m", **META)
def a(n=distinct("call.offered", col.caller), users=distinct("citycode.use", col.user)):
    return n + users

@indicator("tried.speed", window="sliding 1h/1m", **META)
def b(hi=maximum("obs", col.value, col.property == "traffic.speed"), q=quantile("obs", col.value, 0.9,
      col.property == "traffic.speed")):
    return hi + q
"""


@pytest.fixture
def town(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Town]:
    found = Town(tmp_path, kafka.bootstrap, prefix)
    try:
        found.create()
        yield found
    finally:
        found.close()


def owners(town: Town) -> set[str]:
    """Who holds the shards, by the newest final frame."""
    return {s["owner"] for s in town.board.ops.get("shards", ()) if s["owner"]}


def test_one_to_four_workers_equal_one_process(town: Town, figure: Callable[[str, float, str], None]) -> None:
    """Workers join one after the other under load; who holds a shard changes, no value does."""
    town.add("clock")
    load: Load | None = None
    for number in range(1, 5):
        joined = now_ms()
        town.add("worker")
        town.caught_up(joined, 180, f"worker {number} joined")
        if load is None:
            load = town.load(seed=7, idle=IDLE)
        _owned_by(town, number)
        figure(f"workers: from a worker's start to frames of {number} workers", (now_ms() - joined) / 1000, "s")
        _shown(town, town.board.final + FRAMES)
        if number == 2:
            town.loop.run(load.define("tried.py", PLUGIN))
    assert load is not None
    town.quiet()
    last = town.settle()
    logs = town.loop.run(read(town.options))
    tried: list[float] = []
    verdict = compare(town.options, logs, lambda engine: tried.append(_tried(engine)))
    assert not verdict.wrong, "\n".join(verdict.wrong)
    assert verdict.finals >= last
    assert lost(logs, load.acknowledged) == []
    assert verdict.events == load.events
    assert max(tried) > 0, "the plugin counts nothing"
    _everything_is_among(town, logs)
    figure("workers: final frames compared", verdict.finals, "frames")
    figure("workers: events in them", verdict.events, "events")


def _owned_by(town: Town, number: int) -> None:
    until(lambda: len(owners(town)) == number, 180, lambda: f"{number} workers hold shards; {town.words()}")


def _shown(town: Town, k: int) -> None:
    until(lambda: town.board.final >= k, 120 + 3 * FRAMES, lambda: f"frame {k}; {town.words()}")


def _tried(engine: Engine) -> float:
    line = engine.board.lines.get("tried.callers")
    return 0.0 if line is None else float(line.value[0])


def _everything_is_among(town: Town, logs: Logs) -> None:
    """What must be among the events is, and where it must be."""
    options = town.options
    idle = logs.records[Place(options.topic("events"), IDLE)]
    assert all(isinstance(m, Marker) for _, m in idle)
    seen: dict[str, list[tuple[int, Any]]] = {}
    for place, records in logs.records.items():
        shard = DESK if place.topic == options.topic("desk") else place.partition
        for _, message in records:
            if isinstance(message, Events):
                seen.setdefault(message.batch.type, []).append((shard, message.batch))
    units = {b.subject.tolist()[0]: set[str]() for _, b in seen["unit.state"]}
    for _, batch in seen["unit.state"]:
        for subject, lon in zip(batch.subject.tolist(), batch.lon.tolist(), strict=True):
            units.setdefault(subject, set()).add("west" if lon < 114.1 else "east")
    assert any(where == {"west", "east"} for where in units.values()), "no unit crossed districts"
    uses = [b for _, b in seen["citycode.use"]]
    assert any(c and s == "C1" for b in uses for c, s in zip(b.corrects.tolist(), b.scope.tolist(), strict=True))
    assert {shard for shard, _ in seen["case.merged"]} == {DESK}
    assert "call.offered" in seen
    assert {"device.registered", "device.changed", "device.removed"} <= set(seen)
    assert logs.finals[-1].frame.sys["duplicates"] > 0
