"""The bridge on a real Mosquitto and a real Kafka: SensorThings observations in, acknowledged once Kafka has them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiomqtt
import pytest

from citytwin.bridge import Bridge
from citytwin.models.batch import EventBatch
from citytwin.sections import FromMqtt, Mqtt
from tests.cluster.bridges import FixedClock, batches, codec, config, dead, event, ids, make_topics, raw, running, until
from tests.conftest import proving
from tests.servers.fixtures import Kafkas
from tests.servers.kafka import Kafka
from tests.servers.mosquitto import Mosquitto, Way

THINGS = """
source = "things"
qualities = { "3" = "bad" }
[[datastreams]]
id = "12"
subject = "420106001001-PM-1"
property = "air.pm25"
factor = 1000
[[patterns]]
match = '(?P<subject>[^/]+)/(?P<property>.+)'
properties = { "PM10" = "air.pm10" }
"""


def settings(way: Way, prefix: str, version: Any = 5) -> Mqtt:
    """How the bridge reaches the broker."""
    return Mqtt(
        host=way.host, port=way.port, tls=bool(way.ca_file), ca_file=way.ca_file, username=way.user,
        password=way.password, client_id=f"{prefix}-bridge", version=version,
    )  # fmt: skip


async def publish(way: Way, messages: list[tuple[str, bytes]]) -> None:
    """Publish with QoS 1; returns once the broker has them."""
    async with aiomqtt.Client(**way.aiomqtt(), max_inflight_messages=100) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1)


SEEN = "2026-09-21T14:13:19Z"


def observation(result: Any, time: str = SEEN, **more: Any) -> bytes:
    """The payload of an Observation."""
    return json.dumps({"result": result, "phenomenonTime": time, **more}).encode()


def rows(found: dict[str, list[tuple[int, EventBatch]]]) -> list[tuple[str, str, str, int, str]]:
    """Id, subject, property, value and quality of the observations that were written."""
    out = []
    for _, b in found["events"]:
        for i in range(len(b)):
            fields: Any = b.fields
            value = int(fields["value"][i])
            out.append((b.id[i], b.subject[i], str(fields["property"][i]), value, str(fields["quality"][i])))
    return sorted(out)


@pytest.mark.parametrize("version", [3, 5])
def test_observations_become_events(
    kafka: Kafka, mosquitto: Mosquitto, prefix: str, tmp_path: Path, version: int
) -> None:
    things = tmp_path / "things.toml"
    things.write_text(THINGS)
    at = f"{prefix}/v1.1/Datastreams"
    interval = "2026-09-21T14:13:00Z/2026-09-21T14:13:18Z"
    stream = {"@iot.id": 40, "name": "420106001001-PM-2/PM10"}
    messages = [
        (f"{at}(12)/Observations", observation(0.0355, SEEN, **{"@iot.id": 7})),
        (f"{at}(40)/Observations", observation(80, interval, Datastream=stream, resultQuality="3", **{"@iot.id": 8})),
        (f"{at}(99)/Observations", observation(1)),
        (f"{at}(12)/Observations", observation("much")),
        (f"{at}(12)/Observations", b"\xff\x00"),
        (f"{at}(12)/Observations", b'{"result": NaN, "phenomenonTime": "2026-09-21T14:13:19Z"}'),
        (f"{at}(12)/Observations", observation(1, "2027-09-21T14:13:19Z")),
        (f"{at}(12)/Observations", b'{"phenomenonTime": "2026-09-21T14:13:19Z"}'),
        (f"{at}(12)/Observations", observation(0.001)),
    ]

    async def go() -> None:
        sources = [FromMqtt([f"{prefix}/v1.1/+/Observations"], observations=str(things))]
        given = config(kafka.plain.bootstrap, prefix, broker=settings(mosquitto.plain, prefix, version), mqtt=sources)
        cluster = await make_topics(given)
        async with running(given) as bridge:
            await until(lambda: not bridge.troubles(), "the bridge listens")
            await publish(mosquitto.plain, messages)
            await until(lambda: bridge.outbox.counts.events == 3, "three events")
            await until(lambda: bridge.outbox.counts.letters == 6, "six dead letters")
        found = rows(await batches(cluster, prefix))
        assert found[0][0].startswith("mqtt/")
        assert [found[0][1:], *found[1:]] == [
            ("420106001001-PM-1", "air.pm25", 10, "good"),
            ("things/7", "420106001001-PM-1", "air.pm25", 355, "good"),
            ("things/8", "420106001001-PM-2", "air.pm10", 800, "bad"),
        ]
        assert Counter(x["reason"] for x in await dead(cluster, prefix)) == {
            "unknown_property": 1, "wrong_type": 1, "not_utf8": 1, "bad_number": 1, "future": 1, "missing": 1,
        }  # fmt: skip

    asyncio.run(go())


def test_the_broker_keeps_what_comes_while_we_are_away(kafka: Kafka, mosquitto: Mosquitto, prefix: str) -> None:
    async def go() -> None:
        sources = [FromMqtt([f"{prefix}/#"])]
        given = config(kafka.plain.bootstrap, prefix, broker=settings(mosquitto.tls, prefix), mqtt=sources)
        cluster = await make_topics(given)
        async with running(given) as bridge:
            await until(lambda: not bridge.troubles(), "the bridge listens")
            await publish(mosquitto.plain, [(f"{prefix}/{i}", raw(event(i))) for i in range(100)])
            await until(lambda: bridge.outbox.counts.events >= 100, "a hundred events")
        await publish(mosquitto.plain, [(f"{prefix}/{i}", raw(event(i))) for i in range(100, 200)])
        async with running(given) as bridge:
            await until(lambda: bridge.outbox.counts.events >= 100, "the events of meanwhile")
        assert set(await ids(cluster, prefix)) == {f"e{i}" for i in range(200)}

    asyncio.run(go())


def test_nothing_is_acknowledged_before_kafka_has_it(own_kafka: Kafkas, mosquitto: Mosquitto, prefix: str) -> None:
    server = own_kafka()

    async def go() -> None:
        sources = [FromMqtt([f"{prefix}/#"])]
        given = config(server.plain.bootstrap, prefix, broker=settings(mosquitto.plain, prefix), mqtt=sources)
        cluster = await make_topics(given)
        bridge = Bridge(given, codec(), FixedClock())
        task = asyncio.create_task(bridge.run())
        await until(lambda: not bridge.troubles(), "the bridge listens")
        server.kill()
        await publish(mosquitto.plain, [(f"{prefix}/{i}", raw(event(i))) for i in range(300)])
        await until(lambda: bridge.door.outbox.waiting > 0 and "kafka" in bridge.troubles(), "the bridge holds events")
        # as a kill would: no farewell, nothing is finished
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        server.start()
        async with running(given):
            while len(set(await ids(cluster, prefix))) < 300:
                await asyncio.sleep(0.1)

    asyncio.run(asyncio.wait_for(go(), 90))


def test_a_broker_that_restarts(kafka: Kafka, mosquitto: Mosquitto, prefix: str) -> None:
    async def go() -> None:
        sources = [FromMqtt([f"{prefix}/#"])]
        given = config(kafka.plain.bootstrap, prefix, broker=settings(mosquitto.plain, prefix), mqtt=sources)
        cluster = await make_topics(given)
        async with running(given) as bridge:
            await until(lambda: not bridge.troubles(), "the bridge listens")
            await publish(mosquitto.plain, [(f"{prefix}/{i}", raw(event(i))) for i in range(500)])
            mosquitto.stop()
            await until(lambda: "mqtt" in bridge.troubles(), "the bridge says that the broker is away")
            await asyncio.sleep(120 if proving() else 0)
            mosquitto.start()
            await publish(mosquitto.plain, [(f"{prefix}/{i}", raw(event(i))) for i in range(500, 1000)])
            while len(set(await ids(cluster, prefix))) < 1000:
                await asyncio.sleep(0.1)
            assert not bridge.troubles()

    asyncio.run(asyncio.wait_for(go(), 300))


def test_a_wrong_password_is_told(kafka: Kafka, mosquitto: Mosquitto, prefix: str) -> None:
    async def go() -> None:
        broker = settings(mosquitto.tls, prefix)
        broker.password = "wrong"
        given = config(kafka.plain.bootstrap, prefix, broker=broker, mqtt=[FromMqtt([f"{prefix}/#"])])
        await make_topics(given)
        async with running(given) as bridge:
            await until(lambda: "refused the login" in bridge.troubles().get("mqtt", ""), "the login is refused")
            assert "wrong" not in bridge.troubles()["mqtt"]

    asyncio.run(go())
