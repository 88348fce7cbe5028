"""What the tests of the bridge share: settings, a bridge in this process, foreign records, and what came out."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from citytwin import topics
from citytwin.bridge import Bridge
from citytwin.clock import Clock, SystemClock
from citytwin.config import Config
from citytwin.models.batch import EventBatch
from citytwin.models.events import VOCABULARY
from citytwin.sections import Bridge as Settings
from citytwin.sections import Kafka as KafkaSettings
from citytwin.sections import Mqtt
from citytwin.streams import wire
from citytwin.streams.brokers import Cluster, Place, Topic
from citytwin.streams.codec import Codec
from citytwin.streams.kafka import Reader, Writer, create_topics
from citytwin.streams.records import Events
from tests.servers.process import SLOW

NOW = 1_790_000_000_000
SHARDS = 4


class FixedClock(SystemClock):
    """Stands still."""

    def now_ms(self) -> int:
        return NOW


def codec() -> Codec:
    """Reads the built-in vocabulary."""
    return Codec(VOCABULARY(), b"key")


def config(bootstrap: str, prefix: str, *, broker: Mqtt | None = None, **bridge: Any) -> Config:
    """Settings of a bridge on a free port."""
    found = Config(kafka=KafkaSettings(bootstrap=bootstrap, prefix=prefix, shards=SHARDS))
    found.bridge = Settings(port=0, group=f"{prefix}-bridge", **bridge)
    found.mqtt = broker or Mqtt()
    return found


async def make_topics(given: Config, *foreign: Topic) -> Cluster:
    """The city's topics and foreign ones."""
    cluster = topics.cluster(given)
    await create_topics(cluster, [*topics.wanted(given), *foreign])
    return cluster


@contextlib.asynccontextmanager
async def running(given: Config, clock: Clock | None = None) -> AsyncIterator[Bridge]:
    """A bridge that runs until the end of the block, then ends gracefully."""
    bridge = Bridge(given, codec(), clock or FixedClock())
    task = asyncio.create_task(bridge.run())
    try:
        await until(lambda: task.done() or not bridge.outbox.trouble, "the bridge reaches Kafka")
        yield bridge
    finally:
        bridge.end()
        assert await asyncio.wait_for(task, 40)


async def until(true: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait for a condition."""
    for _ in range(round(SLOW * seconds / 0.05)):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {SLOW * seconds} s: {what}")


def event(number: int, **given: Any) -> dict[str, Any]:
    """An observation as a CloudEvent; `given` replaces attributes, None takes one away."""
    time = datetime.fromtimestamp((NOW - 1000 + number % 1000) / 1000, UTC).isoformat()
    data = {"property": "air.pm25", "value": number % 500}
    whole = {
        "specversion": "1.0", "type": "obs", "source": "test", "id": f"e{number}", "time": time,
        "subject": f"42010600100{number % 7}{number % 11:03d}", "data": data, **given,
    }  # fmt: skip
    return {k: v for k, v in whole.items() if v is not None}


def raw(value: Mapping[str, Any]) -> bytes:
    """As JSON on one line."""
    return json.dumps(value).encode()


async def produce(cluster: Cluster, topic: str, values: Sequence[bytes], partition: int = 0) -> None:
    """Write records of a foreign topic."""
    async with Writer(cluster) as writer:
        sent = [await writer.send(topic, partition, v) for v in values]
        for one in sent:
            await one


async def read(cluster: Cluster, topic: str, partitions: int = 1) -> dict[int, list[bytes]]:
    """Everything that a topic holds, by partition."""
    places = [Place(topic, p) for p in range(partitions)]
    found: dict[int, list[bytes]] = {p: [] for p in range(partitions)}
    async with Reader(cluster, dict.fromkeys(places, -2)) as reader:
        ends = await reader.end_offsets(places)
        while any([await reader.position(p) < ends[p] for p in places]):
            for place, records in (await reader.take()).items():
                found[place.partition] += [r.value or b"" for r in records]
    return found


async def batches(cluster: Cluster, prefix: str) -> dict[str, list[tuple[int, EventBatch]]]:
    """Partition and batch of every record of events, registers and desk."""
    found: dict[str, list[tuple[int, EventBatch]]] = {}
    for name, partitions in (("events", SHARDS), ("registers", 1), ("desk", 1)):
        values = await read(cluster, f"{prefix}.{name}", partitions)
        found[name] = [(p, _batch(v)) for p, mine in values.items() for v in mine]
    return found


def _batch(value: bytes) -> EventBatch:
    record = wire.from_bytes(value)
    assert isinstance(record, Events)
    return record.batch


async def ids(cluster: Cluster, prefix: str) -> list[str]:
    """Ids of all events that were written, with repetitions."""
    found = await batches(cluster, prefix)
    return [i for some in found.values() for _, batch in some for i in batch.id.tolist()]


async def dead(cluster: Cluster, prefix: str) -> list[dict[str, Any]]:
    """The dead letters."""
    return [json.loads(v) for v in (await read(cluster, f"{prefix}.deadletters"))[0]]
