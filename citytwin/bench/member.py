"""A process of the measured cluster: `python -m citytwin.bench.member ROLE JSON`; prints `ready`, goes on until told.

Roles: worker, clock, bridge, and faust: the same job as most people would write it, an event a record and tables.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from pathlib import Path

import msgspec

from citytwin.bench.job import SECONDS, START_MS
from citytwin.bench.measures import registry
from citytwin.bench.town import BOX, BenchCity
from citytwin.cluster import serving
from citytwin.cluster.clock import Clock
from citytwin.cluster.options import Options, wall_ms
from citytwin.config import load
from citytwin.streams.brokers import Cluster
from citytwin.streams.codec import Codec


class Given(msgspec.Struct):
    """What a process is told; `began`: wall clock (ms) at which the job's own time was at its end."""

    bootstrap: str
    prefix: str
    shards: int
    folder: str
    devices: int
    began: int
    foreign: str = ""
    instance: str = ""

    def now_ms(self) -> int:
        """The job's own time: everything of it has happened when the measuring begins."""
        return START_MS + SECONDS * 1000 + wall_ms() - self.began

    def options(self) -> Options:
        """For a worker or the clock."""
        city = BenchCity(self.devices)
        return Options(
            Cluster(self.bootstrap), self.prefix, self.shards, Path(self.folder), lambda: city, registry,
            instance=self.instance, now_ms=self.now_ms, patience_ms=5_000,
        )  # fmt: skip


class JobClock:
    """The bridge's clock, by the job's time."""

    def __init__(self, given: Given) -> None:
        self._given = given

    def now_ms(self) -> int:
        """The time now."""
        return self._given.now_ms()

    def wait(self, condition: threading.Condition, until_ms: int) -> None:
        """Wait on the held condition until it is notified, for a second at most."""
        condition.wait(min(1.0, max(0.0, (until_ms - self.now_ms()) / 1000)))


async def _bridge(given: Given, stop: asyncio.Event) -> None:
    from citytwin.bridge import Bridge
    from citytwin.sections import FromKafka

    config = load(None, {}, {}).config
    config.kafka.bootstrap, config.kafka.prefix, config.kafka.shards = given.bootstrap, given.prefix, given.shards
    config.bridge.port, config.bridge.group = 0, f"{given.prefix}.bridge"
    config.bridge.kafka = [FromKafka(topics=[given.foreign], mapping="job_w")]
    codec = Codec(BenchCity(given.devices).vocabulary, b"bench", BOX)
    bridge = Bridge(config, codec, JobClock(given))
    ending = asyncio.ensure_future(stop.wait())
    ending.add_done_callback(lambda _: bridge.end())
    await bridge.run(lambda _: print("ready", flush=True))


async def _worker(given: Given, stop: asyncio.Event) -> None:
    await serving.be_worker(given.options(), stop, lambda text: print(text, flush=True))


async def _clock(given: Given, stop: asyncio.Event) -> None:
    clock = Clock(given.options(), serving.fatal)
    print("ready", flush=True)
    await clock.run(stop)


async def _faust(given: Given, stop: asyncio.Event) -> None:
    from citytwin.bench.faust_tables import run

    await run(given.bootstrap, given.foreign, given.prefix, given.folder, BenchCity(given.devices), stop)


def main() -> None:
    """Be the process."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    serving.quiet()
    role, given = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Given)
    run = {"worker": _worker, "clock": _clock, "bridge": _bridge, "faust": _faust}[role]
    serving.until_told(lambda stop: run(given, stop))


if __name__ == "__main__":
    main()
