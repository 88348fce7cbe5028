"""A member of the group of workers on a real Kafka: it outlives a partition that went away, and tells when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

import pytest
from faust.types import TP

from citytwin.streams.brokers import Cluster, Place, Topic
from citytwin.streams.faustapp import Left, Member
from citytwin.streams.kafka import Writer, committed, create_topics
from tests.servers.kafka import Kafka

WAIT_S = 90


class Hears:
    """Takes records from the beginning; each may be committed."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        self.loads = 0

    async def load(self, places: Sequence[Place]) -> Mapping[Place, int]:
        self.loads += 1
        return dict.fromkeys(places, 0)

    async def take(self, place: Place, offset: int, value: bytes) -> bool:
        self.offsets.append(offset)
        return True


Act = Callable[[Member, Cluster, Hears], Awaitable[None]]


def one(kafka: Kafka, prefix: str, folder: str, act: Act, *, stops: bool = True) -> None:
    """Run one member on one partition that holds a record, and something with it once that record was taken."""

    async def go() -> None:
        cluster, hears = Cluster(kafka.plain.bootstrap), Hears()
        await create_topics(cluster, [Topic(f"{prefix}.t", 1)])
        async with Writer(cluster) as writer:
            await writer.write(f"{prefix}.t", 0, b"first")
        member = Member(cluster, f"{prefix}.group", [f"{prefix}.t"], hears, folder=folder)
        stop = asyncio.Event()
        running = asyncio.ensure_future(member.run(stop))
        try:
            async with asyncio.timeout(WAIT_S):
                while not hears.offsets:
                    await asyncio.sleep(0.05)
                await act(member, cluster, hears)
                if stops:
                    stop.set()
                await running
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await member.app.stop()

    asyncio.run(go())


def test_an_offset_of_a_partition_that_went_away_ends_nothing(kafka: Kafka, prefix: str, tmp_path: str) -> None:
    """A rebalance while a checkpoint is written: what is still ours is committed, and records go on coming."""
    here, gone = f"{prefix}.t", f"{prefix}.gone"

    async def act(member: Member, cluster: Cluster, hears: Hears) -> None:
        assert not await member.commit({TP(gone, 3): 7})
        assert not await member.commit({TP(gone, 3): 7, TP(here, 0): 1})
        assert await member.commit({TP(here, 0): 1})
        async with Writer(cluster) as writer:
            await writer.write(here, 0, b"second")
        while len(hears.offsets) < 2:
            await asyncio.sleep(0.05)
        while (await committed(cluster, f"{prefix}.group")).get(Place(here, 0)) != 2:
            await asyncio.sleep(0.05)
        assert hears.offsets == [0, 1]

    one(kafka, prefix, str(tmp_path), act)


def test_a_member_whose_faust_ended_says_so(kafka: Kafka, prefix: str, tmp_path: str) -> None:
    """It would hold its partitions and take nothing, so that the city stood still."""

    async def act(member: Member, cluster: Cluster, hears: Hears) -> None:
        del cluster, hears
        await member.app.consumer._thread.crash(RuntimeError("a broken client"))  # type: ignore[attr-defined]

    with pytest.raises(Left, match="a broken client"):
        one(kafka, prefix, str(tmp_path), act, stops=False)
