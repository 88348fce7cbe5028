"""Job W through the cluster on a real broker, beside a plain Faust app on the same topic: events a second, latency.

From single-event records of a foreign topic by bridge, workers and clock to the final frame on the board, which is what
a gateway hands on; the same from batches that lie ready; and the delay of each event from produce to that frame.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from citytwin.bench.job import Job, bodies, prepare
from citytwin.bench.member import Given
from citytwin.bench.report import Report
from citytwin.bench.town import BenchCity
from citytwin.bench.whole import decoder, measure
from citytwin.cluster.board import BoardReader
from citytwin.cluster.options import Options
from citytwin.streams.bridging import spread
from citytwin.streams.brokers import Cluster, Topic, plan
from citytwin.streams.kafka import Writer, create_topics
from citytwin.streams.parts import FRAME, decode_frame
from citytwin.streams.records import Events
from citytwin.streams.wire import to_bytes

PARTITIONS = 4
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True)
class Run:
    """One run: wall seconds and CPU seconds by role, events that were accepted; delays in ms."""

    accepted: int = 0
    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    delays: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Events a second of wall clock."""
        return self.accepted / self.wall_s if self.wall_s else 0.0


class Members:
    """Processes of one measured cluster."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self._running: list[tuple[str, subprocess.Popen[str]]] = []

    def start(self, role: str, count: int = 1) -> None:
        """Start processes of a role and wait until they are ready."""
        for i in range(count):
            told = msgspec.structs.replace(self.given, instance=f"{role}-{i}")
            text = msgspec.json.encode(told).decode()
            process = subprocess.Popen(
                [sys.executable, "-m", "citytwin.bench.member", role, text], stdout=subprocess.PIPE, text=True
            )
            self._running.append((role, process))
        if role != "faust":
            for _, process in self._running[-count:]:
                assert process.stdout is not None
                process.stdout.readline()

    def output(self, role: str) -> Iterator[str]:
        """Lines of the first process of a role."""
        process = next(p for r, p in self._running if r == role)
        assert process.stdout is not None
        yield from process.stdout

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by role."""
        out: dict[str, float] = {}
        for role, process in self._running:
            parts = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
            out[role] = out.get(role, 0.0) + (int(parts[11]) + int(parts[12])) / _TICK
        return out

    def stop(self) -> None:
        """End them all."""
        for _, process in self._running:
            process.terminate()
        for _, process in self._running:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = []


@contextmanager
def members(bootstrap: str, job: Job, folder: Path, foreign: str) -> Iterator[Members]:
    """A new city on the broker, and its processes until the end."""
    prefix = f"bench-{secrets.token_hex(4)}"
    where = folder / prefix
    where.mkdir(parents=True)
    began = time.time_ns() // 1_000_000
    given = Given(bootstrap, prefix, PARTITIONS, str(where), job.devices, began, foreign)
    asyncio.run(create_topics(Cluster(bootstrap), plan(prefix, PARTITIONS)))
    found = Members(given)
    try:
        yield found
    finally:
        found.stop()
        shutil.rmtree(where, ignore_errors=True)


async def fill(bootstrap: str, topic: str, lines: Sequence[bytes], rate: float = 0.0) -> list[float]:
    """Write one record for each line, at a rate (0: as fast as it goes); when each was handed over (seconds)."""
    out = list[float]()
    async with Writer(Cluster(bootstrap), linger_ms=5) as writer:
        began, last = time.time(), None
        for i, line in enumerate(lines):
            last = await writer.send(topic, i % PARTITIONS, line)
            out.append(time.time())
            if rate and i % 500 == 499:
                await asyncio.sleep(max(0.0, began + i / rate - time.time()))
        if last is not None:
            await last
    return out


async def watch(given: Given, accepted: int, patience_s: float) -> list[tuple[float, int]]:
    """(seconds, events accepted) of each final frame until so many are in."""
    options = Options(Cluster(given.bootstrap), given.prefix, given.shards, Path(given.folder), dict, dict)  # type: ignore[arg-type]
    board, out, end = BoardReader(options), list[tuple[float, int]](), time.time() + patience_s
    while time.time() < end and (not out or out[-1][1] < accepted):
        for seen in await board.take(100):
            if seen.sort == FRAME:
                out.append((time.time(), int(decode_frame(seen.body).frame.sys["accepted"])))
    await board.stop()
    return out


def lines_of(job: Job, folder: Path) -> list[bytes]:
    """The job's events, one line each."""
    path = prepare(job, folder, ("ndjson",))["ndjson"]
    return [line for body in bodies(path) for line in body.splitlines()]


def expected(job: Job, folder: Path) -> int:
    """How many of them are accepted, by the engine in one process."""
    path = prepare(job, folder, ("ndjson",))["ndjson"]
    result, _ = measure("ndjson", bodies(path), BenchCity(job.devices), folder)
    return result.accepted


def singles(bootstrap: str, job: Job, folder: Path, foreign: str, accepted: int, workers: int) -> Run:
    """Single events of the foreign topic, from the start of the bridge to the frame that knows the last one."""
    with members(bootstrap, job, folder, foreign) as cluster:
        cluster.start("worker", workers)
        cluster.start("clock")
        asyncio.run(watch(cluster.given, 0, 60))
        before, began = cluster.cpu(), time.time()
        cluster.start("bridge")
        return _run(cluster, before, began, accepted)


def batches(bootstrap: str, job: Job, folder: Path, accepted: int, workers: int) -> Run:
    """The same events as batches by shard, as bridges write them, to workers that wait."""
    city = BenchCity(job.devices)
    decode, ready = decoder("ndjson", city), list[tuple[str, int, bytes]]()
    for body in bodies(prepare(job, folder, ("ndjson",))["ndjson"]):
        for out in spread(decode(body).batches, city.vocabulary, PARTITIONS, 1000):
            ready.append((out.topic, out.partition, to_bytes(Events(out.batch))))
    with members(bootstrap, job, folder, "") as cluster:
        cluster.start("worker", workers)
        cluster.start("clock")
        asyncio.run(watch(cluster.given, 0, 60))
        before, began = cluster.cpu(), time.time()
        asyncio.run(_write(bootstrap, cluster.given.prefix, ready))
        return _run(cluster, before, began, accepted)


async def _write(bootstrap: str, prefix: str, records: list[tuple[str, int, bytes]]) -> None:
    async with Writer(Cluster(bootstrap)) as writer:
        for sent in [await writer.send(f"{prefix}.{t}", p, value) for t, p, value in records]:
            await sent


def delays(bootstrap: str, job: Job, folder: Path, rate: float, seconds: float) -> Run:
    """Single events at a rate, and how long each took to the first final frame that counts it (ms)."""
    lines = lines_of(job, folder)[: int(rate * seconds)]
    foreign = f"bench-in-{secrets.token_hex(4)}"
    asyncio.run(create_topics(Cluster(bootstrap), [Topic(foreign, PARTITIONS)]))
    with members(bootstrap, job, folder, foreign) as cluster:
        for role in ("worker", "clock", "bridge"):
            cluster.start(role)
        asyncio.run(watch(cluster.given, 0, 60))
        before, began = cluster.cpu(), time.time()

        async def both() -> tuple[list[float], list[tuple[float, int]]]:
            filling = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(fill(bootstrap, foreign, lines, rate))))
            frames = await watch(cluster.given, int(len(lines) * 0.99), seconds * 4 + 30)
            return await filling, frames

        sent, frames = asyncio.run(both())
        run = Run(frames[-1][1], frames[-1][0] - began, _used(cluster, before))
    # one of two hundred is refused, so event i is the one that makes i * 0.995 accepted ones
    at, shown = np.array([n for _, n in frames]), np.array([t for t, _ in frames])
    place = np.searchsorted(at, np.arange(1, len(sent) + 1) * run.accepted / len(sent))
    known = place < len(shown)
    run.delays = ((shown[place[known]] - np.array(sent)[known]) * 1000).tolist()
    return run


def plain_faust(bootstrap: str, job: Job, folder: Path, foreign: str, events: int, patience_s: float) -> float:
    """Events a second of a plain Faust app on the same topic, from its first thousand to the end of `events`."""
    with members(bootstrap, job, folder, foreign) as cluster:
        cluster.start("faust")
        first, last = (0.0, 0), (0.0, 0)
        for line in cluster.output("faust"):
            last = (time.time(), int(line))
            first = first if first[1] else last
            if last[1] >= events or last[0] - first[0] > patience_s:
                break
        return (last[1] - first[1]) / (last[0] - first[0]) if last[1] > first[1] else 0.0


def _used(cluster: Members, before: dict[str, float]) -> dict[str, float]:
    return {role: s - before.get(role, 0.0) for role, s in cluster.cpu().items()}


def _run(cluster: Members, before: dict[str, float], began: float, accepted: int) -> Run:
    frames = asyncio.run(watch(cluster.given, accepted, 900))
    if not frames or frames[-1][1] < accepted:
        raise RuntimeError(f"{frames[-1][1] if frames else 0} of {accepted} events came to a frame within 15 minutes")
    return Run(frames[-1][1], frames[-1][0] - began, _used(cluster, before))


def cluster(job: Job, folder: Path, report: Report, bootstrap: str, say: Callable[[str], None], *, faust_events: int,
            rate: float, rate_seconds: float) -> None:  # fmt: skip
    """All of it into the report; `bootstrap`: a real broker, of which topics of the name bench-... are used."""
    accepted, foreign = expected(job, folder), f"bench-in-{secrets.token_hex(4)}"
    say(f"cluster: writing {job.events} single events to a topic of {PARTITIONS} partitions")
    asyncio.run(create_topics(Cluster(bootstrap), [Topic(foreign, PARTITIONS)]))
    asyncio.run(fill(bootstrap, foreign, lines_of(job, folder)))
    say("cluster: a plain Faust app, an event a record, with tables")
    plain = plain_faust(bootstrap, job, folder, foreign, faust_events, 60)
    report.add("cluster: plain Faust app with tables", plain, "events/s", 1.0)
    for workers in (1, 2):
        say(f"cluster: bridge, {workers} worker(s), clock")
        _tell(
            report,
            f"single events, {workers} worker(s)",
            singles(bootstrap, job, folder, foreign, accepted, workers),
            plain,
        )
        say(f"cluster: from batches, {workers} worker(s)")
        _tell(report, f"batches, {workers} worker(s)", batches(bootstrap, job, folder, accepted, workers), plain)
    say(f"cluster: {rate:.0f} events/s for {rate_seconds:.0f} s")
    run = delays(bootstrap, job, folder, rate, rate_seconds)
    for q in (50, 99):
        what = f"cluster: produce to final frame p{q}, {rate:.0f} events/s"
        report.add(what, float(np.percentile(run.delays, q)) if run.delays else float("nan"), "ms")


def _tell(report: Report, what: str, run: Run, plain: float) -> None:
    report.add(f"cluster: {what}", run.rate, "events/s", run.rate / plain if plain else None)
    for role, seconds in run.cpu_s.items():
        report.add(f"cluster: {what}: {role}", seconds / run.accepted * 1e6, "us/event")
