"""How many events a bridge takes through a second of processor time; `CITYTWIN_TEST_PROVE` takes many."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from citytwin.sections import FromKafka
from citytwin.streams.brokers import Topic
from tests.cluster.bridges import NOW, SHARDS, codec, config, event, make_topics, produce, raw, running, until
from tests.conftest import Figure, proving
from tests.servers.kafka import Kafka

ROWS = """
format = "ndjson"
[[events]]
type = "obs"
id = "{n}"
source = "air"
subject = "{station}"
time = { column = "t", format = "ms" }
fields = { property = "air.pm25", value = { column = "pm" } }
"""


def row(i: int) -> bytes:
    """A foreign reading."""
    return json.dumps({"n": f"r{i}", "station": f"4201060010{i % 100:02d}{i % 7:03d}", "t": NOW, "pm": i % 90}).encode()


@pytest.mark.parametrize(("kind", "make"), [("CloudEvents", lambda i: raw(event(i))), ("rows of a mapping", row)])
def test_speed(
    kafka: Kafka, prefix: str, tmp_path: Path, figure: Figure, kind: str, make: Callable[[int], bytes]
) -> None:
    count = 1_000_000 if proving() else 100_000
    (tmp_path / "rows.toml").write_text(ROWS)

    async def go() -> float:
        mapping = "" if kind == "CloudEvents" else str(tmp_path / "rows.toml")
        given = config(kafka.plain.bootstrap, prefix, kafka=[FromKafka([f"{prefix}-in"], mapping=mapping)])
        cluster = await make_topics(given, Topic(f"{prefix}-in", SHARDS))
        for partition in range(SHARDS):
            await produce(cluster, f"{prefix}-in", [make(i) for i in range(partition, count, SHARDS)], partition)
        codec().decode(b"\n".join(raw(event(i)) for i in range(9)), "application/x-ndjson")
        start = time.process_time()
        async with running(given) as bridge:
            await until(lambda: bridge.outbox.counts.events == count, "all events are written", 300)
        return count / (time.process_time() - start)

    rate = asyncio.run(go())
    figure(f"bridge, {kind}", rate, "events per second of processor time")
