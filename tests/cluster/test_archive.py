"""Backup and restore of a log on a real Kafka: transactions, a trimmed topic, a broker that starts from nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from citytwin.archiving import Topics, backup, restore_log
from citytwin.streams import kafka as streams_kafka
from citytwin.streams.archive import Raw
from citytwin.streams.backup import BadBackup
from citytwin.streams.brokers import Cluster, Place, plan
from citytwin.streams.clusterbackup import check
from citytwin.streams.kafka import Writer
from citytwin.streams.pack import pack, unpack
from citytwin.streams.simulator import Simulator
from tests.servers.kafka import Kafka
from tests.streams.towns import small_city

START = 1_754_000_000_000
SHARDS = 2


async def fill(cluster: Cluster, prefix: str) -> int:
    """A city's events by a bridge, with the marks of a clock between them, one transaction given up; the events."""
    sim, total = Simulator(small_city(), 7, START, story=False), 0
    names = [t.name for t in plan(prefix, SHARDS)]
    await streams_kafka.create_topics(cluster, plan(prefix, SHARDS))
    assert f"{prefix}.events" in names
    async with Writer(cluster) as bridge, Writer(cluster, transactional_id=f"{prefix}-clock") as clock:
        for minute in range(1, 4):
            for i, batch in enumerate(sim.step(START + minute * 60_000)):
                at = START + minute * 60_000
                await bridge.write(f"{prefix}.events", i % SHARDS, pack(batch), b"k", {"v": b"1"})
                await (await bridge.send(f"{prefix}.desk", 0, b"d%d" % i, None, {}, at))
                total += len(batch)
            async with clock.transaction():
                for shard in range(SHARDS):
                    await clock.write(f"{prefix}.events", shard, b"tick %d" % minute)
        with pytest.raises(ZeroDivisionError):
            await give_up(clock, f"{prefix}.events")
    return total


async def give_up(clock: Writer, topic: str) -> None:
    """A transaction that is begun and aborted."""
    async with clock.transaction():
        await clock.write(topic, 0, b"never")
        raise ZeroDivisionError


async def all_of(cluster: Cluster, prefix: str) -> dict[str, dict[int, list[Raw]]]:
    """Committed records that say something, by topic and partition."""
    topics = Topics(cluster, prefix)
    return {
        t: {
            p: [r async for part in topics.read(t, p, first, end) for r in part if r.value is not None]
            for p, (first, end) in spans.items()
        }
        for t, spans in (await topics.spans()).items()
    }


async def anew(cluster: Cluster, prefix: str) -> None:
    """The topics again, empty."""
    names = [t.name for t in plan(prefix, SHARDS)]
    await streams_kafka.delete_topics(cluster, names)
    for _ in range(100):
        left = (await streams_kafka.describe(cluster)).topics
        if not any(n in left for n in names):
            break
        await asyncio.sleep(0.05)
    await streams_kafka.create_topics(cluster, plan(prefix, SHARDS))


def test_a_log_comes_back_at_its_offsets(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    asyncio.run(there_and_back(Cluster(kafka.plain.bootstrap), prefix, tmp_path))


async def there_and_back(cluster: Cluster, prefix: str, folder: Path) -> None:
    total = await fill(cluster, prefix)
    await streams_kafka.trim(cluster, {Place(f"{prefix}.desk", 0): 9})
    before = await all_of(cluster, prefix)
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    (checkpoints / "00000017.ckpt").write_bytes(b"state")
    made = await backup(cluster, prefix, folder / "b", checkpoints=checkpoints)
    assert check(folder / "b") == made
    await anew(cluster, prefix)
    await restore_log(cluster, prefix, folder / "b", made)
    assert await all_of(cluster, prefix) == before, "offsets, times, keys, headers and values"
    first, end = (await Topics(cluster, prefix).spans())["desk"][0]
    assert (first, end) == made.topics["desk"][0] == (9, end)
    values = [r.value for parts in before["events"].values() for r in parts]
    assert b"never" not in values
    assert sum(len(unpack(v)) for v in values if v is not None and not v.startswith(b"tick")) == total
    assert await restore_log(cluster, prefix, folder / "b", made) == 0, "nothing is left to do"


def test_it_grows_and_knows_another_log(kafka: Kafka, prefix: str, tmp_path: Path) -> None:
    asyncio.run(growing(Cluster(kafka.plain.bootstrap), prefix, tmp_path))


async def growing(cluster: Cluster, prefix: str, folder: Path) -> None:
    with pytest.raises(BadBackup, match="has no topics"):
        await backup(cluster, prefix, folder / "b", checkpoints=None)
    await fill(cluster, prefix)
    first = await backup(cluster, prefix, folder / "b", checkpoints=None)
    await streams_kafka.trim(cluster, {Place(f"{prefix}.desk", 0): first.topics["desk"][0][1]})
    async with Writer(cluster) as writer:
        await writer.write(f"{prefix}.desk", 0, b"later")
    second = await backup(cluster, prefix, folder / "b", checkpoints=None)
    assert second.topics["desk"][0] == (0, first.topics["desk"][0][1] + 1)
    await anew(cluster, prefix)
    with pytest.raises(BadBackup, match="this is another log"):
        await backup(cluster, prefix, folder / "b", checkpoints=None)
    async with Writer(cluster) as writer:
        await writer.write(f"{prefix}.desk", 0, b"somebody else")
    with pytest.raises(BadBackup, match="record 0 is not the one of the backup"):
        await restore_log(cluster, prefix, folder / "b", second)
