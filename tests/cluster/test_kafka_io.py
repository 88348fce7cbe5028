"""Topics, writers and readers on a real Kafka: what they promise, and what they say when it cannot be kept."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from click.testing import CliRunner

from citytwin.cli import cli
from citytwin.streams.brokers import (
    EARLIEST,
    MAX_RECORD_BYTES,
    BrokerError,
    Cluster,
    Fenced,
    LogGap,
    Place,
    Refused,
    Topic,
    plan,
)
from citytwin.streams.kafka import GroupReader, Reader, Writer, committed, create_topics, describe, trim
from citytwin.topics import troubles
from tests.servers.kafka import Door, Kafka


def reach(door: Door) -> Cluster:
    """The same door for us."""
    return Cluster(
        door.bootstrap, door.protocol.lower(), ca_file=door.ca_file, mechanism=door.mechanism, username=door.user,
        password=door.password,
    )  # fmt: skip


def on(kafka: Kafka, go: Callable[[Cluster], Awaitable[None]]) -> None:
    """Run a test against the open door."""

    async def run() -> None:
        await go(Cluster(kafka.plain.bootstrap))

    asyncio.run(run())


async def values(reader: Reader | GroupReader, count: int) -> list[tuple[int, int, bytes | None]]:
    """Partition, offset and value of the next records."""
    found: list[tuple[int, int, bytes | None]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            for place, records in (await reader.take()).items():
                found += [(place.partition, r.offset, r.value) for r in records]
    return found


def test_topics_are_made_once_and_refused_with_another_number_of_shards(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        topics = plan(prefix, 8, hours={"events": 24})
        assert len(await create_topics(cluster, topics)) == 6
        assert await create_topics(cluster, topics) == []
        with pytest.raises(Refused, match=r"has 8 partitions .* 4: .*citytwin reshard --shards 4"):
            await create_topics(cluster, plan(prefix, 4))
        found = await describe(cluster, f"{prefix}.")
        assert found.brokers == (cluster.bootstrap,)
        assert {n.split(".")[1]: t.partitions for n, t in found.topics.items()} == {
            "events": 8, "registers": 1, "desk": 1, "parts": 1, "board": 1, "deadletters": 1,
        }  # fmt: skip
        kept = {n.split(".")[1]: t.config["retention.ms"] for n, t in found.topics.items()}
        assert (kept["events"], kept["registers"], kept["desk"]) == ("86400000", "-1", "-1")
        assert troubles(topics, found) == []
        assert "retention.ms=3600000" in troubles(plan(prefix, 8, hours={"events": 1}), found)[0]
        assert "not there" in troubles(plan(f"{prefix}-x", 8), found)[0]

    on(kafka, go)


def test_records_come_back_in_order_with_headers(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        await create_topics(cluster, [Topic(prefix, 2, config={"max.message.bytes": str(MAX_RECORD_BYTES)})])
        async with Writer(cluster) as writer:
            sent = [await writer.send(prefix, i % 2, b"%d" % i, headers={"n": b"%d" % i}) for i in range(100)]
            assert [await s for s in sent] == [i // 2 for i in range(100)]
            assert await writer.write(prefix, 0, b"x" * 7_000_000) == 50
            with pytest.raises(Refused, match=r"max\.message\.bytes"):
                await writer.write(prefix, 0, b"x" * 9_000_000)
            with pytest.raises(Refused, match="topics create"):
                await writer.write(prefix, 2, b"x")
            with pytest.raises(Refused, match="topics create"):
                await writer.write(f"{prefix}-no", 0, b"x")
        async with Reader.of(cluster, prefix, [1], 10) as reader:
            assert await values(reader, 40) == [(1, i, b"%d" % (2 * i + 1)) for i in range(10, 50)]
            reader.seek(Place(prefix, 1), 48)
            (records,) = (await reader.take()).values()
            assert [(r.offset, r.headers) for r in records] == [(48, (("n", b"97"),)), (49, (("n", b"99"),))]
            assert await reader.end_offsets([Place(prefix, 0), Place(prefix, 1)]) == {
                Place(prefix, 0): 51,
                Place(prefix, 1): 50,
            }

    on(kafka, go)


def test_what_is_missing_is_never_jumped_over(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        await create_topics(cluster, [Topic(prefix, 1)])
        place = Place(prefix, 0)
        async with Writer(cluster) as writer:
            for i in range(10):
                await writer.write(prefix, 0, b"%d" % i)
        async with Reader(cluster, {place: 2}) as behind:
            await trim(cluster, {place: 5})
            with pytest.raises(LogGap, match="holds offsets 5 to 10; 4 is needed"):
                async with Reader(cluster, {place: 4}):
                    pass
            behind.seek(place, 3)
            with pytest.raises(LogGap, match="does not hold that offset"):
                await values(behind, 1_000)
        with pytest.raises(LogGap, match="11 is needed"):
            async with Reader(cluster, {place: 11}):
                pass
        async with Reader(cluster, {place: EARLIEST}) as reader:
            assert [o for _, o, _ in await values(reader, 5)] == [5, 6, 7, 8, 9]

    on(kafka, go)


async def give_up(writer: Writer, topic: str) -> None:
    """A transaction that fails."""
    async with writer.transaction():
        await writer.write(topic, 0, b"never seen")
        raise ValueError("given up")


def test_a_second_clock_fences_the_first(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        await create_topics(cluster, [Topic(prefix, 1)])
        old, new = Writer(cluster, transactional_id=prefix), Writer(cluster, transactional_id=prefix)
        async with old, new:
            with pytest.raises(Fenced, match="must end"):
                async with old.transaction():
                    await old.write(prefix, 0, b"of the old one")
            async with new.transaction():
                await new.write(prefix, 0, b"of the new one")
            with pytest.raises(ValueError, match="given up"):
                await give_up(new, prefix)
            async with new.transaction():
                await new.write(prefix, 0, b"the next")
        async with Reader.of(cluster, prefix, [0], committed_only=True) as reader:
            assert [v for _, _, v in await values(reader, 2)] == [b"of the new one", b"the next"]

    on(kafka, go)


def test_a_group_goes_on_where_it_committed(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        await create_topics(cluster, [Topic(prefix, 2)])
        async with Writer(cluster) as writer:
            for i in range(10):
                await writer.write(prefix, i % 2, b"%d" % i)
        async with GroupReader(cluster, [prefix], prefix) as reader:
            assert len(await values(reader, 10)) == 10
            assert reader.assignment() == [Place(prefix, 0), Place(prefix, 1)]
            assert await reader.commit({Place(prefix, 0): 3, Place(prefix, 1): 5})
            assert not await reader.commit({Place(prefix, 0): 4, Place(f"{prefix}-of-others", 0): 9})
        assert await committed(cluster, prefix) == {Place(prefix, 0): 4, Place(prefix, 1): 5}
        async with GroupReader(cluster, [prefix], prefix) as reader:
            assert await values(reader, 1) == [(0, 4, b"8")]

    on(kafka, go)


def test_who_leaves_settles_first(kafka: Kafka, prefix: str) -> None:
    async def go(cluster: Cluster) -> None:
        await create_topics(cluster, [Topic(prefix, 2)])
        left = asyncio.Event()

        async def leaving() -> None:
            left.set()

        async def read(reader: GroupReader) -> None:
            while True:
                await reader.take(timeout_ms=50)

        async with GroupReader(cluster, [prefix], prefix, leaving=leaving) as first:
            reading = asyncio.create_task(read(first))
            left.clear()
            async with GroupReader(cluster, [prefix], prefix) as second:
                await asyncio.wait_for(left.wait(), 30)
                while len(first.assignment()) != 1 or len(second.assignment()) != 1:
                    await asyncio.sleep(0.05)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    on(kafka, go)


@pytest.mark.parametrize("door", ["plain", "tls", "sasl"])
def test_every_door(kafka: Kafka, prefix: str, door: str) -> None:
    found: Door = kafka.sasl() if door == "sasl" else getattr(kafka, door)

    async def go() -> None:
        cluster = reach(found)
        await create_topics(cluster, [Topic(prefix, 1)])
        async with Writer(cluster) as writer:
            await writer.write(prefix, 0, b"x")
        async with Reader.of(cluster, prefix, [0]) as reader:
            assert await values(reader, 1) == [(0, 0, b"x")]

    asyncio.run(go())


def test_a_wrong_password_and_a_wrong_port_are_told(kafka: Kafka) -> None:
    way = reach(kafka.sasl())
    wrong = Cluster(way.bootstrap, way.security, way.ca_file, "", "", way.mechanism, way.username, "not it")
    with pytest.raises(Refused, match=r"kafka\.username") as told:
        asyncio.run(describe(wrong))
    assert "not it" not in str(told.value) + repr(wrong)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = taken.getsockname()[1]
    with pytest.raises(BrokerError, match=r"start Kafka, or look at kafka\.bootstrap") as away:
        asyncio.run(describe(Cluster(f"127.0.0.1:{free}")))
    assert away.value.passing
    missing = Cluster(way.bootstrap, "ssl", ca_file="/no/such/file")
    with pytest.raises(Refused, match=r"kafka\.ca_file"):
        asyncio.run(describe(missing))


def test_the_command_makes_and_lists(kafka: Kafka, prefix: str) -> None:
    environ = {"CITYTWIN_KAFKA__BOOTSTRAP": kafka.plain.bootstrap, "CITYTWIN_KAFKA__PREFIX": prefix}
    environ["CITYTWIN_KAFKA__SHARDS"] = "3"
    runner = CliRunner()
    absent = runner.invoke(cli, ["topics", "list"], env=environ, standalone_mode=False)
    assert absent.return_value == 1
    assert "topics create" in absent.output
    made = runner.invoke(cli, ["topics", "create"], env=environ)
    assert f"made {prefix}.events" in made.output
    again = runner.invoke(cli, ["topics", "create"], env=environ)
    assert "all 6 topics" in again.output
    listed = runner.invoke(cli, ["topics", "list"], env=environ, standalone_mode=False)
    assert listed.return_value == 0, listed.output
    assert f"{prefix}.events" in listed.output
