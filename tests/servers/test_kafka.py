"""The real Kafka: every door, a node that is killed, frozen and started again, three nodes of which one dies."""

from __future__ import annotations

import asyncio
import gc
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError

from tests.servers.certificates import Authority
from tests.servers.kafka import MECHANISMS, Door, Foreign, Kafka

DOORS: dict[str, Callable[[Kafka], Door]] = {
    "plain": lambda k: k.plain,
    "tls": lambda k: k.tls,
    **{m: lambda k, m=m: k.sasl(m) for m in MECHANISMS},  # type: ignore[misc]
}


async def create(door: Door, topic: str, copies: int = 1) -> None:
    admin = AIOKafkaAdminClient(**door.aiokafka())
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, 2, copies)])
    finally:
        await admin.close()


async def produce(door: Door, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(**door.aiokafka(), acks="all", enable_idempotence=True)
    try:
        await producer.start()
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def consume(door: Door, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(topic, **door.aiokafka(), auto_offset_reset="earliest")
    try:
        await consumer.start()
        return [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(count)]
    finally:
        await consumer.stop()


@pytest.mark.parametrize("door", DOORS)
def test_what_is_produced_is_consumed(kafka: Kafka, prefix: str, door: str) -> None:
    async def round_trip() -> None:
        way = DOORS[door](kafka)
        await create(way, prefix)
        await produce(way, prefix, [b"one", b"two"])
        assert await consume(way, prefix, 2) == [b"one", b"two"]

    asyncio.run(round_trip())


def refused(door: Door, topic: str) -> None:
    with pytest.raises(KafkaConnectionError):
        asyncio.run(produce(door, topic, [b"x"]))
    gc.collect()  # aiokafka leaves a connection open that fails early: told here, not in a later test


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_strangers_stay_outside(kafka: Kafka, prefix: str) -> None:
    way = kafka.sasl()
    refused(Door(way.bootstrap, way.protocol, way.mechanism, way.user, "guessed", way.authority), prefix)
    refused(Door(kafka.tls.bootstrap), prefix)


def test_the_authority_is_asked(kafka: Kafka, tmp_path: Path) -> None:
    host, port = kafka.tls.bootstrap.split(":")

    async def connect(context: ssl.SSLContext) -> None:
        _, writer = await asyncio.open_connection(host, int(port), ssl=context)
        writer.close()

    asyncio.run(connect(kafka.authority.trusting()))
    with pytest.raises(ssl.SSLCertVerificationError):
        asyncio.run(connect(Authority(tmp_path / "stranger", "a stranger").trusting()))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_data_and_port_outlive_the_process(kafka: Kafka, prefix: str) -> None:
    asyncio.run(create(kafka.plain, prefix))
    asyncio.run(produce(kafka.plain, prefix, [b"before"]))
    kafka.kill()
    assert not kafka.nodes[0].alive
    refused(kafka.plain, prefix)
    kafka.start()
    asyncio.run(produce(kafka.plain, prefix, [b"after"]))
    kafka.stop()
    kafka.start()
    assert asyncio.run(consume(kafka.plain, prefix, 2)) == [b"before", b"after"]


def test_a_frozen_node_answers_when_it_is_thawed(kafka: Kafka, prefix: str) -> None:
    async def through_the_ice() -> None:
        await create(kafka.plain, prefix)
        kafka.freeze()
        late = asyncio.create_task(produce(kafka.plain, prefix, [b"late"]))
        done, _ = await asyncio.wait([late], timeout=0.5)
        assert not done
        kafka.thaw()
        await asyncio.wait_for(late, 20)
        assert await consume(kafka.plain, prefix, 1) == [b"late"]

    asyncio.run(through_the_ice())


def test_three_nodes_bear_the_death_of_one(own_kafka: Callable[..., Kafka], prefix: str) -> None:
    three = own_kafka(nodes=3)
    asyncio.run(create(three.plain, prefix, copies=3))
    asyncio.run(produce(three.plain, prefix, [b"by three"]))
    three.nodes[1].kill()
    asyncio.run(produce(three.plain, prefix, [b"by two"]))
    assert asyncio.run(consume(three.plain, prefix, 2)) == [b"by three", b"by two"]
    three.nodes[1].start()
    assert asyncio.run(consume(Door(f"127.0.0.1:{three.nodes[1].plain}"), prefix, 2)) == [b"by three", b"by two"]


def test_the_kafka_of_another_is_not_touched() -> None:
    other = Foreign("127.0.0.1:9092")
    assert other.bootstrap == other.plain.bootstrap == "127.0.0.1:9092"
    with pytest.raises(RuntimeError, match="CITYTWIN_TEST_KAFKA"):
        other.kill()
    with pytest.raises(RuntimeError, match="unset it"):
        other.sasl()
