"""Running a worker or a clock from the settings until it is told to end, or cannot go on."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from citytwin import topics
from citytwin.cluster.clock import Clock
from citytwin.cluster.options import Options
from citytwin.cluster.worker import Worker
from citytwin.config import Config
from citytwin.models.vocabulary import HOUR_MS
from citytwin.plugins import base
from citytwin.streams.brokers import BrokerError
from citytwin.streams.faustapp import Member
from citytwin.twin.pack import City, load_city

_log = logging.getLogger(__name__)
#: How long the end waits for markers, so that what is left to count again is short.
DRAIN_S = 2.5
#: How long a member may take to leave after that.
_LEAVE_S = 10.0
_FAILED = 70
_MMAP_THRESHOLD = -3
Say = Callable[[str], None]


def options_of(config: Config) -> Options:
    """What the settings say to a member."""
    given = config.cluster

    def city() -> City:
        made = load_city(config.city.pack)
        made.vocabulary.keep_telemetry(round(config.keep.telemetry_hours * HOUR_MS))
        return made

    return Options(
        cluster=topics.cluster(config), prefix=config.kafka.prefix, shards=config.kafka.shards,
        folder=Path(given.checkpoints).absolute(), city=city, registry=lambda: base()[0], instance=given.instance,
        epoch=given.epoch, checkpoint_s=given.checkpoint_seconds, keep=given.keep, tick_ms=given.tick_ms,
        patience_ms=given.patience_ms, takeover_ms=given.takeover_ms, key_every=given.key_every, hashes=given.hashes,
        automatic=config.desk.automatic,
    )  # fmt: skip


def quiet() -> None:
    """Let the clients of brokers say only what is an error: what passes is said by us in one sentence."""
    for name in ("aiokafka", "faust", "mode", "faust.transport"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def spare_memory() -> None:
    """Have large blocks of zeros taken from the system as they are: a shard touches few of the pages of its columns.

    The C library would hand out memory that was used before, and fill it with zeros: half a gigabyte for eight shards.
    """
    with contextlib.suppress(OSError, AttributeError):  # another C library has no such switch
        ctypes.CDLL("libc.so.6").mallopt(_MMAP_THRESHOLD, 1 << 16)


def fatal(why: str) -> None:
    """Say why this process cannot go on, and end it where it stands: all that counts is on disk."""
    print(f"citytwin: {why}", file=sys.stderr, flush=True)
    os._exit(_FAILED)


def _stray(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What nobody waited for: of a client of Kafka it was told by whoever waited for its neighbour."""
    error = context.get("exception")
    if type(error).__module__.startswith("aiokafka"):
        _log.debug("%s: %s", context["message"], error)
    else:
        loop.default_exception_handler(context)


def until_told(run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Run with an event that SIGINT and SIGTERM set."""

    async def main() -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        loop.set_exception_handler(_stray)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await run(stop)

    asyncio.run(main())


async def run_worker(config: Config, stop: asyncio.Event, say: Say) -> None:
    """Be a worker of the settings."""
    await be_worker(options_of(config), stop, say)


async def be_worker(options: Options, stop: asyncio.Event, say: Say) -> None:
    """Be a worker. `say` gets one line when it is a member."""
    spare_memory()
    worker = Worker(options, fatal)
    await _started(worker)
    names = (options.topic("events"), options.topic("desk"))
    group, folder = f"{options.prefix}.worker", options.place("faust")
    folder.mkdir(parents=True, exist_ok=True)
    member = Member(options.cluster, group, names, worker, instance=options.instance, folder=str(folder))
    leave = asyncio.Event()
    running = asyncio.ensure_future(member.run(leave))
    say("ready")
    ended = asyncio.ensure_future(stop.wait())
    await asyncio.wait({running, ended}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        fatal(f"the group of workers was left ({running.exception()}): start it again, it goes on at its checkpoints")
    await worker.drain(DRAIN_S)
    leave.set()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(running, _LEAVE_S)
    await worker.stop()


async def _started(worker: Worker) -> None:
    while True:
        try:
            return await worker.start()
        except BrokerError as error:
            if not error.passing:
                fatal(str(error))
            _log.warning("%s; trying again", error)
            await asyncio.sleep(1.0)


async def run_gateway(config: Config, stop: asyncio.Event, say: Say) -> None:
    """Be a gateway. `say` gets one line with its address when it shows the city."""
    from citytwin.cluster.gateway import GatewayNode

    await GatewayNode(config, options_of(config), fatal, say).run(stop)


async def run_clock(config: Config, stop: asyncio.Event, say: Say) -> None:
    """Be a clock, active or standing by."""
    clock = Clock(options_of(config), fatal)
    say("ready")
    await clock.run(stop)
