"""The bridge in trouble: killed, told to end, frozen, its broker gone. What was acknowledged is there."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from citytwin.bridge import Bridge
from citytwin.sections import FromKafka
from citytwin.streams.brokers import Cluster, Place, Topic
from citytwin.streams.kafka import committed
from tests.cluster.bridges import SHARDS, config, event, ids, make_topics, produce, raw, running, until
from tests.conftest import proving
from tests.servers.fixtures import Kafkas
from tests.servers.kafka import Kafka
from tests.servers.process import SLOW
from tests.servers.process import until as ready

LINES = {"Content-Type": "application/x-ndjson"}
MANY = 20_000


Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def start(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Start]:
    """Starts bridges of their own processes, each ready when it is returned; what still runs at the end is killed."""
    started: list[subprocess.Popen[bytes]] = []

    def make(name: str) -> subprocess.Popen[bytes]:
        folder = tmp_path / name
        folder.mkdir()
        settings, said = folder / "citytwin.toml", folder / "said"
        settings.write_text(f"""
            data.dir = "{folder}/data"
            city.pack = "new_york"
            kafka = {{ bootstrap = "{kafka.plain.bootstrap}", prefix = "{prefix}", shards = {SHARDS} }}
            [bridge]
            port = 0
            group = "{prefix}-bridge"
            take_records = 500
            kafka = [{{ topics = ["{prefix}-in"] }}]
        """)
        with said.open("wb") as out:
            command = [sys.executable, "-m", "citytwin", "bridge", "--config", str(settings)]
            started.append(subprocess.Popen(command, stdout=out, stderr=out))
        ready(lambda: b"ready http" in said.read_bytes(), 60, f"a bridge that says ready in {said}")
        return started[-1]

    yield make
    for process in started:
        process.kill()
        process.wait()


async def fill(bootstrap: str, prefix: str) -> Cluster:
    """The topics, and many events on the foreign one."""
    cluster = await make_topics(config(bootstrap, prefix), Topic(f"{prefix}-in", 2))
    for partition in (0, 1):
        await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(partition, MANY, 2)], partition)
    return cluster


async def some(cluster: Cluster, prefix: str, least: int) -> int:
    """How many events are written, once there are so many."""
    while (count := len(await ids(cluster, prefix))) < least:
        await asyncio.sleep(0.05)
    return count


async def read_up_to(cluster: Cluster, prefix: str, records: int) -> None:
    """Wait until the bridge has written, and said so, what the foreign topic holds: it ends wherever it is."""
    end = time.monotonic() + 120 * SLOW
    while sum((await committed(cluster, f"{prefix}-bridge")).values()) < records:
        assert time.monotonic() < end, "the bridge does not come to the end of the foreign topic"
        await asyncio.sleep(0.2)


def test_a_kill_loses_nothing(kafka: Kafka, prefix: str, start: Start) -> None:
    cluster = asyncio.run(fill(kafka.plain.bootstrap, prefix))
    process = start("first")
    asyncio.run(some(cluster, prefix, 1))
    process.send_signal(signal.SIGKILL)
    process.wait()
    process = start("second")

    # the one before may have written all of it; it is over when the other has read what the group did not know as done
    asyncio.run(read_up_to(cluster, prefix, MANY))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    found = asyncio.run(ids(cluster, prefix))
    assert set(found) == {f"e{i}" for i in range(MANY)}
    done = asyncio.run(committed(cluster, f"{prefix}-bridge"))
    assert done == {Place(f"{prefix}-in", p): MANY // 2 for p in (0, 1)}


def test_told_to_end_it_finishes_and_commits(kafka: Kafka, prefix: str, start: Start) -> None:
    cluster = asyncio.run(fill(kafka.plain.bootstrap, prefix))
    process = start("first")
    asyncio.run(some(cluster, prefix, 1))
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    done = asyncio.run(committed(cluster, f"{prefix}-bridge"))
    found = asyncio.run(ids(cluster, prefix))
    # exactly what is committed is written: nothing twice, nothing beyond
    assert len(found) == len(set(found)) == sum(done.values())


def test_a_frozen_one_does_no_harm(kafka: Kafka, prefix: str, start: Start) -> None:
    """Frozen for longer than its session, it comes back to partitions that another one reads."""
    cluster = asyncio.run(fill(kafka.plain.bootstrap, prefix))
    first = start("first")
    asyncio.run(some(cluster, prefix, 1))
    os.kill(first.pid, signal.SIGSTOP)
    second = start("second")

    # the one before may have written all of it; it is over when the other has read what the group did not know as done
    asyncio.run(read_up_to(cluster, prefix, MANY))
    os.kill(first.pid, signal.SIGCONT)
    for process in (first, second):
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert set(asyncio.run(ids(cluster, prefix))) == {f"e{i}" for i in range(MANY)}
    done = asyncio.run(committed(cluster, f"{prefix}-bridge"))
    assert done == {Place(f"{prefix}-in", p): MANY // 2 for p in (0, 1)}


async def post(bridge: Bridge, number: int, taken: set[str]) -> None:
    """Post a body until it is taken, as a patient source does; what was taken is noted."""
    body = b"\n".join(raw(event(number * 100 + i)) for i in range(100))
    async with httpx.AsyncClient(timeout=300) as client:
        while True:
            answer = await client.post(f"http://127.0.0.1:{bridge.port}/ingest", content=body, headers=LINES)
            if answer.status_code == 200:
                taken |= {f"e{number * 100 + i}" for i in range(100)}
                return
            assert answer.status_code in (429, 503), answer.text
            await asyncio.sleep(0.2)


def test_a_broker_that_goes_and_comes_back(own_kafka: Kafkas, prefix: str) -> None:
    server = own_kafka()

    async def go() -> None:
        given = config(server.plain.bootstrap, prefix, kafka=[FromKafka([f"{prefix}-in"])], inflight_mb=1)
        cluster = await make_topics(given, Topic(f"{prefix}-in", 2))
        await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(1_000_000, 1_005_000)])
        taken: set[str] = set()
        async with running(given) as bridge:
            posting = [asyncio.create_task(post(bridge, n, taken)) for n in range(40)]
            await until(lambda: len(taken) > 500, "some posts are taken")
            server.kill()
            late = [asyncio.create_task(post(bridge, n, taken)) for n in range(40, 80)]
            await until(lambda: "kafka" in bridge.troubles(), "the bridge says that the broker is away")
            await asyncio.sleep(120 if proving() else 0)
            async with httpx.AsyncClient() as client:
                assert (await client.get(f"http://127.0.0.1:{bridge.port}/readyz")).status_code == 503
            assert bridge.outbox.waiting <= bridge.outbox.most_bytes
            server.start()
            await asyncio.wait_for(asyncio.gather(*posting, *late), 120)
            await until(lambda: not bridge.troubles(), "the bridge is well again")
            await read_up_to(cluster, prefix, 5000)
        found = Counter(await ids(cluster, prefix))
        assert taken == {f"e{i}" for i in range(8000)}
        assert set(found) == taken | {f"e{i}" for i in range(1_000_000, 1_005_000)}

    asyncio.run(go())


def test_one_of_three_brokers_dies(own_kafka: Kafkas, prefix: str) -> None:
    server = own_kafka(nodes=3)

    async def go() -> None:
        given = config(server.plain.bootstrap, prefix, kafka=[FromKafka([f"{prefix}-in"])])
        given.kafka.replication, given.kafka.min_isr = 3, 2
        cluster = await make_topics(given, Topic(f"{prefix}-in", 2, 3))
        taken: set[str] = set()
        async with running(given) as bridge:
            early = [asyncio.create_task(post(bridge, n, taken)) for n in range(20)]
            await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(1_000_000, 1_003_000)])
            server.nodes[1].kill()
            late = [asyncio.create_task(post(bridge, n, taken)) for n in range(20, 40)]
            await produce(cluster, f"{prefix}-in", [raw(event(i)) for i in range(1_003_000, 1_006_000)], 1)
            await asyncio.wait_for(asyncio.gather(*early, *late), 120)
            await read_up_to(cluster, prefix, 6000)
            server.nodes[1].start()
        assert taken == {f"e{i}" for i in range(4000)}
        assert set(await ids(cluster, prefix)) == taken | {f"e{i}" for i in range(1_000_000, 1_006_000)}

    asyncio.run(go())
