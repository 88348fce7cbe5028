"""The cluster's pure parts, by processor time: what an event, a part and a frame cost, by shards and by load.

The real city with all its indicators, in one process and without a broker: shards fed by the route of events, parts
through their bytes, merged. From these figures follow the machines for more cities and more events (docs/scale.md).
"""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from citytwin.bench.job import START_MS
from citytwin.bench.report import Report
from citytwin.cluster.cities import Cities
from citytwin.cluster.merge import Merge
from citytwin.cluster.shard import Shard
from citytwin.indicators.registry import builtin
from citytwin.models.batch import EventBatch
from citytwin.models.part import Marker
from citytwin.models.shards import DESK, route
from citytwin.streams.bridging import rows
from citytwin.streams.pack import pack, unpack
from citytwin.streams.parts import BoardFrame, decode_part, encode_frame, encode_part
from citytwin.streams.simulator import Simulator
from citytwin.twin.pack import load_city

_WARM = 30


@dataclass(slots=True)
class Costs:
    """Processor seconds by stage over `ticks` ticks of `events` events in all; bytes of parts and frames."""

    shards: int
    ticks: int
    events: int = 0
    unpack: float = 0.0
    feed: float = 0.0
    part: float = 0.0
    idle: float = 0.0
    merge: float = 0.0
    frame: float = 0.0
    part_bytes: int = 0
    frame_bytes: int = 0
    shard_mb: float = 0.0
    loaded_mb: float = 0.0


def measure(shards: int, load: float, ticks: int, seed: int = 7) -> Costs:
    """Ticks once a second with `load` readings a second, after half a minute of the same."""
    cities = Cities(lambda: load_city("wuhan"))
    registry = builtin()
    merge = Merge(cities(), registry, shards)
    empty = _rss()
    parts = {s: Shard(cities(), registry, s, shards) for s in (DESK, *range(shards))}
    out = Costs(shards, ticks, shard_mb=(_rss() - empty) / len(parts))
    for k in range(1, 4):
        _tick(merge, parts, Marker(k, START_MS + k * 1000), Costs(shards, 0))
    out.idle = _idle(merge, parts, START_MS)
    before = _rss()
    live = Simulator(load_city("wuhan"), seed, START_MS + 20_000, load=load)
    for k in range(24, 24 + _WARM + ticks):
        now = START_MS + k * 1000
        costs = out if k >= 24 + _WARM else Costs(shards, 0)
        for batch in live.step(now):
            _feed(parts, batch, shards, costs)
        _tick(merge, parts, Marker(k, now), costs)
    out.loaded_mb = out.shard_mb + (_rss() - before) / len(parts)
    return out


def _idle(merge: Merge, parts: dict[int, Shard], start: int) -> float:
    """Processor seconds of a marker in one shard without events."""
    costs = Costs(0, 0)
    for k in range(4, 24):
        _tick(merge, parts, Marker(k, start + k * 1000), costs)
    return costs.part / 20 / len(parts)


def _feed(parts: dict[int, Shard], batch: EventBatch, shards: int, costs: Costs) -> None:
    """As bridges cut it, packed as Kafka has it."""
    kind = next(iter(parts.values())).engine.vocabulary.types[batch.type]
    if kind.register is not None:
        return
    where = route(batch, kind, shards)
    for shard in np.unique(where).tolist():
        mine = batch.take(np.flatnonzero(where == shard))
        for first in range(0, len(mine), 1000):
            record = pack(rows(mine, first, min(first + 1000, len(mine))))
            begun = time.process_time()
            found = unpack(record)
            costs.unpack += time.process_time() - begun
            begun = time.process_time()
            parts[shard].feed(found, 1)
            costs.feed += time.process_time() - begun
            costs.events += len(found)


def _tick(merge: Merge, parts: dict[int, Shard], marker: Marker, costs: Costs) -> None:
    begun = time.process_time()
    bodies = [encode_part(s.mark(marker, [], marker.k).part) for s in parts.values()]
    costs.part += time.process_time() - begun
    costs.part_bytes += sum(map(len, bodies))
    begun = time.process_time()
    for body in bodies:
        merge.put(decode_part(body))
    frame = merge.close(marker, [])
    costs.merge += time.process_time() - begun
    begun = time.process_time()
    costs.frame_bytes += len(encode_frame(BoardFrame(frame)))
    costs.frame += time.process_time() - begun


def _rss() -> float:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def shards(
    counts: tuple[int, ...], loads: tuple[float, ...], ticks: int, report: Report, say: Callable[[str], None]
) -> None:
    """Each number of shards under the first load, and the last number under each load."""
    from citytwin.cluster.serving import spare_memory

    spare_memory()
    runs = [(n, loads[0]) for n in counts[:-1]] + [(counts[-1], load) for load in loads]
    for n, load in runs:
        say(f"the city in {n} shards, {load:.0f} readings a second")
        found = measure(n, load, ticks)
        what, per = f"{n} shards, {found.events / ticks:.0f} events/s", 1e6 / found.events
        report.add(f"{what}: unpack a record", found.unpack * per, "us/event")
        report.add(f"{what}: feed", found.feed * per, "us/event")
        report.add(f"{what}: tick, part and its bytes", found.part / ticks * 1e3 / (n + 1), "ms/shard")
        report.add(f"{what}: the same without events", found.idle * 1e3, "ms/shard")
        report.add(f"{what}: bytes of parts", found.part_bytes / ticks / 1e3, "kB/tick")
        report.add(f"{what}: merge and values", found.merge / ticks * 1e3, "ms/tick")
        report.add(f"{what}: bytes of the frame", found.frame_bytes / ticks / 1e3, "kB/tick")
        report.add(f"{what}: write the frame", found.frame / ticks * 1e3, "ms/tick")
        report.add(f"{what}: memory of a shard that holds nothing", found.shard_mb, "MB")
        report.add(f"{what}: memory of a shard at the end", found.loaded_mb, "MB")
        gc.collect()
