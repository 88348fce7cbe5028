"""`citytwin bench`: everything in one run, progress on stderr, table on stdout, list in build/bench.json."""

from __future__ import annotations

import argparse
import functools
import itertools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from citytwin.bench import baselines, scale
from citytwin.bench.job import FORMATS, Job, bodies, prepare
from citytwin.bench.plain import Plain
from citytwin.bench.report import Report
from citytwin.bench.town import BenchCity
from citytwin.bench.whole import STAGES, Result, measure
from citytwin.engine import Engine

PARTS = ("whole", "ticks", "devices", "shards", "cluster")


@dataclass(frozen=True, slots=True)
class Size:
    """How much of everything; `loop_seconds`, `faust_seconds`: simulated seconds that the baselines get."""

    job: Job
    loop_seconds: int
    faust_seconds: int
    tick_seconds: int
    tick_load: float
    few: int
    many: int
    growth_events: int
    faust_events: int
    rate: float
    rate_seconds: float
    shards: tuple[int, ...]
    loads: tuple[float, ...]


FULL = Size(
    Job(), 120, 40, 120, 2_000.0, 10_000, 1_000_000, 500_000, 50_000, 50_000.0, 15.0, (1, 4, 16),
    (2_000.0, 50_000.0),
)  # fmt: skip
QUICK = Size(
    Job(20_000, 2_000, 20), 20, 5, 5, 200.0, 1_000, 5_000, 10_000, 2_000, 2_000.0, 5.0, (1, 2), (200.0,)
)  # fmt: skip


class Differs(RuntimeError):
    """Engine and plain loop came to different totals."""


def say(text: str) -> None:
    """Progress."""
    print(f"bench: {text}", file=sys.stderr, flush=True)


def whole(size: Size, folder: Path, report: Report) -> None:
    """Job W through each door, the baselines beside it, and the ratios. Raises Differs."""
    say(f"writing job W, {size.job.events} events (kept for the next time)")
    files = prepare(size.job, folder)
    say("warming up")
    for form in FORMATS:
        measure(form, itertools.islice(bodies(files[form]), 12), BenchCity(size.job.devices), folder)
    loop, faust = _baselines(size, files["ndjson"], folder, report)
    for form in FORMATS:
        say(f"job W as {form}")
        result, _ = measure(form, bodies(files[form]), BenchCity(size.job.devices), folder)
        _tell(form, result, report)
        rate = result.rows / result.clock.total
        if form == "ndjson":
            report.add("ndjson over plain loop", rate / loop, "x", rate / loop)
            if faust:
                report.add("ndjson over Faust agent", rate / faust, "x", rate / faust)


def _baselines(size: Size, path: Path, folder: Path, report: Report) -> tuple[float, float]:
    """Events a second of the loop and of Faust (0 without it), after the loop was found to agree with the engine."""
    city = BenchCity(size.job.devices)
    say(f"the plain loop, {size.loop_seconds} simulated seconds of it")
    plain, cpu, lines = baselines.run_plain(itertools.islice(bodies(path), size.loop_seconds), city)
    _, engine = measure("ndjson", itertools.islice(bodies(path), size.loop_seconds), city, folder)
    agree(plain, engine, city)
    loop = lines / cpu
    report.add("plain Python loop", loop, "events/s", 1.0)
    say(f"a Faust agent, {size.faust_seconds} simulated seconds of it")
    try:
        cpu, lines = baselines.run_faust(path, size.faust_seconds, size.job.devices)
    except ImportError:
        say("Faust is not installed: pip install faust-streaming")
        return loop, 0.0
    report.add("Faust agent in process", lines / cpu, "events/s", lines / cpu / loop)
    return loop, lines / cpu


def agree(plain: Plain, engine: Engine, city: BenchCity) -> None:
    """Raises Differs unless loop and engine hold the same totals at every cell, district and the city."""
    if found := baselines.differences(plain, engine, city):
        raise Differs("; ".join(found))
    say(f"loop and engine agree: {engine.stats.accepted} events accepted, the same values at every scope")


def _tell(form: str, result: Result, report: Report) -> None:
    clock, n = result.clock, result.rows
    loop = report.value("plain Python loop")
    report.add(f"{form}: events per second of a core", n / clock.total, "events/s", n / clock.total / loop)
    report.add(f"{form}: events per second of wall clock", n / clock.wall, "events/s", n / clock.wall / loop)
    for stage in STAGES:
        report.add(f"{form}: {stage}", clock.cpu[stage] / n * 1e6, "us/event")
    report.add(f"{form}: values sent per event", result.values / n, "values")
    report.add(f"{form}: tick p99", float(np.percentile(result.tick_ms, 99)), "ms")


def ticks(size: Size, folder: Path, report: Report) -> None:
    """Ticks of the real city with the built-in indicators."""
    say("the city of Wuhan: an hour of life, then ticks")
    found = scale.ticks(size.tick_seconds, size.tick_load)
    say("the same with the first two dozen indicators")
    few = scale.ticks(size.tick_seconds, size.tick_load, ids=scale.FIRST)
    what = f"{found.indicators} indicators, {found.grids} grids"
    report.add(f"tick and encode p50, {what}", found.p50, "ms")
    report.add(f"tick and encode p99, {what}", found.p99, "ms")
    report.add(f"tick and encode p99, {few.indicators} indicators", few.p99, "ms")
    report.add(f"feed, {few.indicators} indicators", few.feed_us, "us/event", 1.0)
    report.add(f"feed, {found.indicators} indicators", found.feed_us, "us/event", found.feed_us / few.feed_us)
    report.add(f"feed and tick, {few.indicators} indicators", few.whole_us, "us/event", 1.0)
    more = found.whole_us / few.whole_us
    report.add(f"feed and tick, {found.indicators} indicators", found.whole_us, "us/event", more)
    report.add("events per tick", found.events / size.tick_seconds, "events")


def devices(size: Size, folder: Path, report: Report) -> None:
    """Cost and bytes with few and with many devices, and a restart with many."""
    found, engine = scale.growth(size.few, size.many, size.growth_events, folder, say)
    for n, cost, held in zip((found.few, found.many), found.cost, found.size, strict=True):
        report.add(f"cost with {n} devices", cost, "us/event", cost / found.cost[0])
        report.add(f"state with {n} devices", held, "B/device", held / found.size[0])
    say(f"a restart with {size.many} devices")
    took = scale.restart(engine, folder)
    report.add(f"snapshot of {size.many} devices: the engine waits", took.copy, "s")
    report.add(f"snapshot of {size.many} devices: written", took.write, "s")
    report.add(f"snapshot of {size.many} devices: file", took.size / 1e6, "MB")
    report.add(f"restart with {size.many} devices", took.restore, "s")


def shards(size: Size, folder: Path, report: Report) -> None:
    """What the pure parts of a cluster cost."""
    from citytwin.bench.shards import shards as costs

    costs(size.shards, size.loads, max(5, size.tick_seconds // 6), report, say)


def _cluster(broker: str, size: Size, folder: Path, report: Report) -> None:
    from citytwin.bench.cluster import cluster

    more = {"faust_events": size.faust_events, "rate": size.rate, "rate_seconds": size.rate_seconds}
    cluster(size.job, folder, report, broker, say, **more)  # type: ignore[arg-type]


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are asked for (all by default); 1 where engine and plain loop differ."""
    parser = argparse.ArgumentParser("citytwin bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke run of a few seconds; its figures mean nothing")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part (may be given more than once)")
    parser.add_argument("--broker", default="", metavar="HOST:PORT", help="a Kafka for the part cluster")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"), help="where input files are kept")
    parser.add_argument("--out", type=Path, default=Path("build/bench.json"), help="where the list is written")
    given = parser.parse_args(arguments)
    size = QUICK if given.quick else FULL
    report = Report(" ".join(["citytwin bench", *arguments]))
    parts: dict[str, Callable[[Size, Path, Report], None]] = {
        "whole": whole, "ticks": ticks, "devices": devices, "shards": shards
    }  # fmt: skip
    if given.broker:
        parts["cluster"] = functools.partial(_cluster, given.broker)
    elif "cluster" in (given.only or ()):
        parser.error("the part `cluster` needs a Kafka: --broker HOST:PORT")
    try:
        for name in given.only or parts:
            parts[name](size, given.folder, report)
    except Differs as why:
        say(f"engine and plain loop differ: {why}")
        return 1
    report.write(given.out)
    print(report.table())
    return 0
