"""What can be wrong with what a city is connected to: brokers, topics, lag, clocks, checkpoints, InfluxDB, MQTT.

Each is looked at only where the settings name it; a city in one process has none of them.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from citytwin.config import Config, ConfigError

if TYPE_CHECKING:
    from citytwin.streams.brokers import Cluster, Described, Place

T = TypeVar("T")
#: How long any of them is waited for.
PATIENCE_S = 15.0
#: A clock that differs by so much puts events into other windows than those in which they happened.
SKEW_MS = 2_000
#: A clock process writes a marker at least so often.
_MARKER_S = 15.0
_BEHIND = 1_000
_LOOK_BACK = 10
_TRIES = 10
_BEYOND = ("kafka.", "cluster.", "bridge.")


class Finding(NamedTuple):
    """One thing that was looked at: `ok`, `note` (good to know) or `wrong` (to be done)."""

    level: Literal["ok", "note", "wrong"]
    subject: str
    text: str


def examine(config: Config, given: Collection[str]) -> Iterator[Finding]:
    """All findings; `given`: names of the settings that are no defaults, which say what is used at all."""
    if any(name.startswith(_BEYOND) for name in given):
        yield from kafka(config, bridge=any(n.startswith("bridge.") for n in given))
        yield from checkpoints(Path(config.cluster.checkpoints).absolute(), config.cluster.checkpoint_seconds)
    if config.influx.url:
        yield influx(config)
    if config.bridge.mqtt:
        yield mqtt(config)


def kafka(config: Config, *, bridge: bool = False) -> Iterator[Finding]:
    """Brokers, topics, lag of the workers and the bridge, clocks by the newest marker."""
    try:
        from citytwin.streams.brokers import BrokerError
        from citytwin.streams.kafka import describe
        from citytwin.topics import cluster, troubles, wanted
    except ModuleNotFoundError as error:
        yield Finding("wrong", "brokers", f"{error.name} is not installed: run `pip install 'citytwin[kafka]'`")
        return
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it says while a broker is away is said below
    try:
        reached = cluster(config)
        found = _run(describe(reached, f"{config.kafka.prefix}."))
        yield from _brokers(config, found)
        wrong = troubles(wanted(config), found)
        yield from (Finding("wrong", "topics", sentence) for sentence in wrong)
        if not wrong:
            yield Finding("ok", "topics", f"{len(found.topics)} of {config.kafka.prefix}, {config.kafka.shards} shards")
        if f"{config.kafka.prefix}.events" in found.topics:
            yield from _run(_moving(config, reached, found, bridge))
    except TimeoutError:
        text = f"{config.kafka.bootstrap} does not answer within {PATIENCE_S:.0f} s: look at kafka.bootstrap"
        yield Finding("wrong", "brokers", text)
    except BrokerError as error:
        yield Finding("wrong", "brokers", str(error))


def _run(awaited: Awaitable[T]) -> T:
    async def run() -> T:
        return await asyncio.wait_for(awaited, PATIENCE_S)

    return asyncio.run(run())


def _brokers(config: Config, found: Described) -> Iterator[Finding]:
    names = ", ".join(found.brokers)
    yield Finding("ok", "brokers", f"{len(found.brokers)} answer: {names}")
    if config.kafka.replication < 2:
        more = "" if len(found.brokers) >= 3 else "with three brokers "
        text = f"one copy of each record: a lost disk loses events; {more}set kafka.replication = 3, kafka.min_isr = 2"
        yield Finding("note", "copies", text)
    elif config.kafka.min_isr >= config.kafka.replication:
        text = "kafka.min_isr equals kafka.replication: writing stops when one broker is away; set it one lower"
        yield Finding("note", "copies", text)


async def _moving(config: Config, cluster: Cluster, found: Described, bridge: bool) -> list[Finding]:
    """What moves: the lag of workers and bridge, and the newest marker."""
    from citytwin.streams.brokers import LATEST, Place
    from citytwin.streams.kafka import Reader

    prefix = config.kafka.prefix
    names = [n for n in (f"{prefix}.events", f"{prefix}.desk") if n in found.topics]
    places = [Place(n, p) for n in names for p in range(found.topics[n].partitions)]
    async with Reader(cluster, dict.fromkeys(places, LATEST)) as reader:
        ends = await reader.end_offsets(places)
    out = [await _lag(cluster, f"{prefix}.worker", "workers", ends, "start `citytwin worker`")]
    if bridge:
        out += await _bridge(config, cluster)
    out.append(await _clock(cluster, prefix, ends))
    return out


async def _committed(cluster: Cluster, group: str) -> dict[Place, int]:
    """Offsets of a group; a broker that was never asked for one needs a moment to find out who keeps them."""
    from citytwin.streams.brokers import BrokerError
    from citytwin.streams.kafka import committed

    for _ in range(_TRIES):
        try:
            return await committed(cluster, group)
        except BrokerError as error:
            if "GroupCoordinatorNotAvailable" not in str(error):
                raise
            await asyncio.sleep(0.5)
    return await committed(cluster, group)


async def _lag(cluster: Cluster, group: str, who: str, ends: Mapping[Place, int], start: str) -> Finding:
    known = await _committed(cluster, group)
    lags = {p: end - known[p] for p, end in ends.items() if p in known}
    new = [p for p, end in ends.items() if p not in known and end > 0]
    if not lags:
        level: Literal["ok", "wrong"] = "wrong" if new else "ok"
        return Finding(level, "lag", f"no {who} have read yet" + (f"; {start}" if new else ", and there is nothing"))
    total, worst = sum(lags.values()), max(lags, key=lambda p: lags[p])
    text = f"{who}: {total} records wait, most in {worst.topic}/{worst.partition} ({lags[worst]})"
    if new:
        return Finding("wrong", "lag", f"{text}; {len(new)} partitions were never read: {start}")
    if lags[worst] > _BEHIND:
        return Finding("note", "lag", f"{text}; look again in a minute, and if it grows, {start} once more")
    return Finding("ok", "lag", text)


async def _bridge(config: Config, cluster: Cluster) -> list[Finding]:
    from citytwin.streams.brokers import LATEST, Place
    from citytwin.streams.kafka import Reader, describe
    from citytwin.topics import cluster as reached

    out = []
    for source in config.bridge.kafka:
        there = reached(config, source.bootstrap) if source.bootstrap else cluster
        topics = (await describe(there)).topics
        missing = [n for n in source.topics if n not in topics]
        if missing:
            text = f"the bridge reads {', '.join(missing)}, which are not there: make them, or correct bridge.kafka"
            out.append(Finding("wrong", "sources", text))
        places = [Place(n, p) for n in source.topics if n in topics for p in range(topics[n].partitions)]
        if places:
            async with Reader(there, dict.fromkeys(places, LATEST)) as reader:
                ends = await reader.end_offsets(places)
            group = source.group or config.bridge.group
            out.append(await _lag(there, group, "the bridge", ends, "start `citytwin bridge`"))
    return out


async def _clock(cluster: Cluster, prefix: str, ends: Mapping[Place, int]) -> Finding:
    """The age of the newest record of the events: a clock writes markers, and they tell by how much clocks differ."""
    from citytwin.streams.brokers import LATEST, Place
    from citytwin.streams.kafka import Reader

    place = Place(f"{prefix}.events", 0)
    if not ends.get(place):
        return Finding("note", "clocks", "no marker was ever written: start `citytwin clock`")
    async with Reader(cluster, {place: LATEST}) as reader:
        first = (await reader.start_offsets([place]))[place]
        # the very last offset may be the end of a transaction, which is no record
        reader.seek(place, max(first, ends[place] - _LOOK_BACK))
        taken = await reader.take(_LOOK_BACK, 3_000)
    times = [m.timestamp for records in taken.values() for m in records]
    if not times:
        return Finding("note", "clocks", "no record of the events could be read; how clocks differ is not known")
    return clocks(max(times), round(time.time() * 1000))


def clocks(newest_ms: int, now_ms: int) -> Finding:
    """What the newest marker says, written by another machine at `newest_ms` of its own clock."""
    ahead = newest_ms - now_ms
    if ahead > SKEW_MS:
        text = f"this machine is at least {ahead / 1000:.1f} s behind the clock process: let NTP set both clocks"
        return Finding("wrong", "clocks", text)
    if -ahead > _MARKER_S * 1000:
        text = f"the newest marker is {-ahead / 1000:.0f} s old: start `citytwin clock`, or let NTP set this clock"
        return Finding("wrong", "clocks", text)
    return Finding("ok", "clocks", f"the newest marker is {max(0, -ahead) / 1000:.1f} s old")


def checkpoints(folder: Path, every_s: float) -> Iterator[Finding]:
    """Whether the folder of checkpoints is there, and how old the newest one is."""
    if not folder.is_dir():
        text = f"{folder} is not there: it is made by the first worker; every worker and clock must reach the same one"
        yield Finding("note", "saved", text)
        return
    times = [p.stat().st_mtime for p in folder.rglob("snapshot-*.bin")]
    if not times:
        yield Finding("note", "saved", f"no checkpoint is in {folder} yet")
        return
    age = max(0.0, time.time() - max(times))
    text = f"{len(times)} checkpoints, the newest {age:.0f} s old"
    if age > 3 * max(every_s, 5.0):
        yield Finding("note", "saved", f"{text}: no worker writes them; start one, or look at room and rights")
    else:
        yield Finding("ok", "saved", text)


def influx(config: Config) -> Finding:
    """Whether the InfluxDB of the settings answers and has the bucket."""
    from citytwin.history import server

    try:
        from citytwin.streams.history import HistoryError
        from citytwin.streams.influx import Sender

        sender = Sender(server(config))
    except ModuleNotFoundError as error:
        return Finding("wrong", "influx", f"{error.name} is not installed: run `pip install 'citytwin[influx]'`")
    except (ConfigError, HistoryError) as error:
        return Finding("wrong", "influx", str(error))
    try:
        version = sender.version()
        sender.ask("SHOW RETENTION POLICIES")
    except HistoryError as error:
        return Finding("wrong", "influx", str(error))
    finally:
        sender.close()
    return Finding("ok", "influx", f"{config.influx.url} answers, version {version}, bucket {config.influx.bucket}")


def mqtt(config: Config) -> Finding:
    """Whether somebody answers at the address of the MQTT broker; a login would end the bridge's own session."""
    given = config.mqtt
    where = f"{given.host}:{given.port}"
    try:
        socket.create_connection((given.host, given.port), 5.0).close()
    except OSError as error:
        return Finding("wrong", "mqtt", f"{where} does not answer ({error}): start the broker, or look at mqtt.host")
    return Finding("ok", "mqtt", f"{where} answers; the account is tried by the bridge alone")
