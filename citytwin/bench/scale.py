"""How the engine scales: ticks of the real city, cost and bytes with few and many devices, restart with a million."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from citytwin import snapshot
from citytwin.app import settle
from citytwin.bench.job import START_MS, Job, bodies, prepare
from citytwin.bench.measures import EVENT, KINDS, registry
from citytwin.bench.town import BenchCity, device_codes, homes
from citytwin.bench.whole import decoder, run, wire
from citytwin.dashboards.encode import Bands
from citytwin.engine import Engine
from citytwin.indicators.registry import Registry, builtin
from citytwin.models.batch import EventBatch
from citytwin.models.columns import Coded, Column, Int64, Strings
from citytwin.streams.log import SqliteLog
from citytwin.streams.simulator import Simulator
from citytwin.streams.snapshots import Snapshot, Snapshots
from citytwin.twin.pack import load_city

_HOUR_MS = 3_600_000


#: The indicators of the first build: how much the others cost is told beside them.
FIRST = (
    "traffic_tti", "traffic_tpi", "congested_length_ratio", "water_pressure_compliance", "gas_ch4_max", "aqi",
    "surface_water_class", "rain_1h_max", "river_level", "waterlog_points", "waterlog_depth_max",
    "case_on_time_closing_rate", "case_backlog", "case_overdue_open", "hotline_answer_rate", "hotline_wait_p95",
    "citycode_active_users", "ems_coverage_5km", "data_timeliness_rate", "device_online_rate", "obs_valid_rate",
    "e2e_latency_p95", "aqi_hourly", "online_items",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ticks:
    """Tick times in ms of wall clock, frame encoded, under which load; CPU us an event to feed it, and to tick too."""

    p50: float
    p99: float
    events: int
    indicators: int
    grids: int
    feed_us: float
    whole_us: float


def ticks(seconds: int, load: float, seed: int = 7, ids: Collection[str] | None = None) -> Ticks:
    """Ticks once a second on the real city after an hour of simulated life, each frame encoded for the wire.

    `ids`: these built-in indicators alone (default: all, at their levels and every coarser one).
    """
    city = load_city("wuhan")
    specs = Registry(s for s in builtin() if ids is None or s.id in ids)
    engine, simulator = Engine(city, specs), Simulator(city, seed, START_MS, load=None)
    position, bands = itertools.count(1), Bands()
    for now in range(START_MS, START_MS + _HOUR_MS, 60_000):
        for batch in simulator.step(now):
            engine.feed(batch, next(position))
        engine.tick(now, next(position))
    settle()
    start = START_MS + _HOUR_MS
    live, fed, took, feeding, cpu = Simulator(city, seed + 1, start, load=load), 0, [], 0.0, 0.0
    for now in range(start + 1000, start + 1000 * (seconds + 1), 1000):
        batches = live.step(now)
        fed += sum(map(len, batches))
        begun = time.process_time()
        for batch in batches:
            engine.feed(batch, next(position))
        feeding += time.process_time() - begun
        began = time.perf_counter()
        wire(engine.tick(now, next(position)), bands)
        took.append((time.perf_counter() - began) * 1000)
        cpu += time.process_time() - begun
    p50, p99 = np.percentile(took, (50, 99)).tolist()
    grids = len(city.scopes.at_level(4))
    return Ticks(p50, p99, fed, len(specs), grids, feeding / fed * 1e6, cpu / fed * 1e6)


@dataclass(frozen=True, slots=True)
class Growth:
    """With few and many devices: CPU microseconds an event (median), bytes a device."""

    few: int
    many: int
    cost: tuple[float, float]
    size: tuple[float, float]


def first_readings(job: Job) -> Iterator[EventBatch]:
    """One reading of every device, in batches."""
    lon, lat = homes(job.devices, job.seed)
    for first in range(0, job.devices, 10_000):
        rows: Int64 = np.arange(first, min(job.devices, first + 10_000), dtype=np.int64)
        n = len(rows)
        fields: dict[str, Column] = {
            "kind": Coded((rows % len(KINDS)).astype(np.int32), KINDS), "v1": 100 + rows % 900, "v2": 200 + rows % 90,
            "q": Coded(np.zeros(n, np.int32), ("good",)),
        }  # fmt: skip
        yield EventBatch.of(
            EVENT, np.full(n, START_MS - 60_000), [f"first-{i}" for i in rows.tolist()], Coded.of(["bench"] * n),
            Strings.of(device_codes(rows)), lon[rows], lat[rows], fields=fields,
        )  # fmt: skip


def settled(job: Job) -> tuple[Engine, BenchCity]:
    """An engine that has heard of every device once."""
    city = BenchCity(job.devices, job.seed)
    engine = Engine(city, registry())
    for position, batch in enumerate(first_readings(job)):
        engine.feed(batch, -position)
    return engine, city


def bytes_of_devices(engine: Engine) -> int:
    """Bytes that the engine keeps per device, not per event: registers, newest readings, places, contributions."""
    newest = engine.newest[EVENT]
    parts: list[Any] = [*newest._all().values(), engine.last_seen, engine.places._lon, engine.places._lat]
    parts += [engine.places._scope, newest.now.seen]
    for tally in engine.aggregates.tallies.values():
        parts += [tally.contrib, tally.where_at]
    held = sum(int(p.data.nbytes) for p in parts) + newest.index.nbytes()
    return held + sum(engine.entities.nbytes().values())


def growth(few: int, many: int, events: int, folder: Path, say: Callable[[str], None]) -> tuple[Growth, Engine]:
    """Five interleaved runs of job W with few and with many devices; also gives the engine with many."""
    jobs = [Job(events, n, max(10, events * 3 // 5000)) for n in (few, many)]
    sides = []
    for job in jobs:
        say(f"an engine with {job.devices} devices")
        engine, city = settled(job)
        size = bytes_of_devices(engine) / job.devices
        path = prepare(job, folder, ("ndjson",))["ndjson"]
        sides.append((engine, decoder("ndjson", city), bodies(path), size, folder / f"devices-{job.devices}.log"))
    costs: tuple[list[float], list[float]] = ([], [])
    step = jobs[0].seconds // 5
    for turn in range(5):
        for (engine, decode, given, _, path), cost in zip(sides, costs, strict=True):
            folder_log = path.with_suffix(f".{turn}")
            with SqliteLog(folder_log) as log:
                done = run(itertools.islice(given, step), decode, engine, log, first=turn * step)
            cost.append(done.clock.total / done.rows * 1e6)
            for old in folder.glob(folder_log.name + "*"):
                old.unlink()
    middle = (statistics.median(costs[0]), statistics.median(costs[1]))
    return Growth(few, many, middle, (sides[0][3], sides[1][3])), sides[1][0]


@dataclass(frozen=True, slots=True)
class Restart:
    """Wall seconds: the copy that stops the engine, writing it, reading and restoring it; bytes of the file."""

    copy: float
    write: float
    restore: float
    size: int


def restart(engine: Engine, folder: Path) -> Restart:
    """Snapshot an engine into a file and restore it from there."""
    marks = [time.perf_counter()]
    found = snapshot.take(engine)
    marks.append(time.perf_counter())
    snapshots = Snapshots(folder / "snapshots", keep=1)
    path = snapshots.save(Snapshot(found.position, found.arrays, found.meta))
    size = path.stat().st_size
    del found
    marks.append(time.perf_counter())
    read = snapshots.newest()
    assert read is not None
    city = BenchCity(10)
    city.edition, city.locator = engine.city.edition, engine.city.locator  # type: ignore[assignment]
    snapshot.restore(city, registry(), read.arrays, read.meta)
    marks.append(time.perf_counter())
    path.unlink()
    copy, write, restore = (b - a for a, b in itertools.pairwise(marks))
    return Restart(copy, write, restore, size)
