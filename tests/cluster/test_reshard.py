"""A city moves to another number of shards: the same events in order, without markers; or it is refused by name."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from citytwin.models.events import VOCABULARY
from citytwin.models.part import Marker
from citytwin.models.shards import route
from citytwin.reshard import Reshard, next_prefix
from citytwin.streams import wire
from citytwin.streams.brokers import Refused
from citytwin.streams.kafka import Cluster, Writer, describe
from citytwin.streams.records import Definition, Events
from tests.cluster.bridges import NOW, SHARDS, codec, config, event, make_topics, raw, read
from tests.servers.kafka import Kafka

NEW = 7


async def fill(cluster: Cluster, prefix: str) -> None:
    """Batches with a marker after each, a register and a definition."""
    kind = VOCABULARY().types["obs"]
    lines = codec()
    async with Writer(cluster) as writer:
        for k in range(20):
            body = b"\n".join(raw(event(k * 100 + i)) for i in range(100))
            (batch,) = lines.decode(body, "application/x-ndjson").batches
            shard = route(batch, kind, SHARDS)
            for partition in range(SHARDS):
                mine = batch.take(shard == partition)
                if len(mine):
                    await writer.write(f"{prefix}.events", partition, wire.to_bytes(Events(mine)))
                await writer.write(f"{prefix}.events", partition, wire.to_bytes(Marker(k, NOW + k)))
        removed = lines.decode(raw(event(1, type="device.removed", subject="D1", data={})), "application/json").batches
        await writer.write(f"{prefix}.registers", 0, wire.to_bytes(Events(removed[0])))
        await writer.write(f"{prefix}.registers", 0, wire.to_bytes(Definition("bands", {"a": 1})))


def test_events_move_in_order(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix)
        cluster = await make_topics(given)
        await fill(cluster, prefix)
        target = next_prefix(prefix)
        moved = await Reshard(given, VOCABULARY(), target, NEW).run()
        assert (moved.events, moved.definitions) == (2001, 1)
        found = await read(cluster, f"{target}.events", NEW)
        kind, ids = VOCABULARY().types["obs"], []
        for partition, values in found.items():
            by_old: dict[int, list[int]] = {}
            for value in values:
                record = wire.from_bytes(value)
                assert isinstance(record, Events)
                assert (route(record.batch, kind, NEW) == partition).all()
                for old, i in zip(route(record.batch, kind, SHARDS).tolist(), record.batch.id.tolist(), strict=True):
                    by_old.setdefault(old, []).append(int(i[1:]))
                ids += record.batch.id.tolist()
            assert all(numbers == sorted(numbers) for numbers in by_old.values())
        assert Counter(ids) == Counter(f"e{i}" for i in range(2000))
        registers = [wire.from_bytes(v) for v in (await read(cluster, f"{target}.registers"))[0]]
        assert [type(r) for r in registers] == [Events, Definition]
        with pytest.raises(Refused, match="holds records already"):
            await Reshard(given, VOCABULARY(), target, NEW).run()

    asyncio.run(go())


def test_a_damaged_record_is_named(kafka: Kafka, prefix: str) -> None:
    async def go() -> None:
        given = config(kafka.plain.bootstrap, prefix)
        cluster = await make_topics(given)
        async with Writer(cluster) as writer:
            await writer.write(f"{prefix}.events", 2, b"CTW1 and then nothing that fits")
        with pytest.raises(Refused, match=f"{prefix}.events/2/0 cannot be read"):
            await Reshard(given, VOCABULARY(), f"{prefix}-e2", NEW).run()
        assert f"{prefix}-e2.events" in (await describe(cluster, prefix)).topics

    asyncio.run(go())
