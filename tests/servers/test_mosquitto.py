"""The real Mosquitto: QoS 1 over both doors, a session that outlives a kill, strangers outside."""

from __future__ import annotations

import asyncio
from typing import Any

import aiomqtt
import pytest

from tests.servers.mosquitto import ForeignMosquitto, Mosquitto, Way


async def listen(client: aiomqtt.Client, count: int) -> list[Any]:
    found: list[Any] = []
    async with asyncio.timeout(20):
        async for message in client.messages:
            found.append(message.payload)
            if len(found) == count:
                break
    return found


@pytest.mark.parametrize("door", ["plain", "tls"])
def test_what_is_published_is_heard(mosquitto: Mosquitto, prefix: str, door: str) -> None:
    async def talk() -> None:
        way: Way = getattr(mosquitto, door)
        async with aiomqtt.Client(**way.aiomqtt()) as hears, aiomqtt.Client(**way.aiomqtt()) as says:
            await hears.subscribe(f"{prefix}/+/value", qos=1)
            for n in range(3):
                await says.publish(f"{prefix}/{n}/value", str(n), qos=1)
            assert await listen(hears, 3) == [b"0", b"1", b"2"]

    asyncio.run(talk())


def test_a_session_outlives_a_kill(mosquitto: Mosquitto, prefix: str) -> None:
    session: dict[str, Any] = {"identifier": prefix, "clean_session": False}

    async def leave() -> None:
        async with aiomqtt.Client(**mosquitto.tls.aiomqtt(), **session) as client:
            await client.subscribe(f"{prefix}/#", qos=1)
        async with aiomqtt.Client(**mosquitto.plain.aiomqtt()) as says:
            for n in range(3):
                await says.publish(f"{prefix}/gauge", str(n), qos=1)

    async def come_back() -> list[Any]:
        async with aiomqtt.Client(**mosquitto.tls.aiomqtt(), **session) as client:
            return await listen(client, 3)

    asyncio.run(leave())
    mosquitto.saved()
    mosquitto.kill()
    mosquitto.start()
    assert asyncio.run(come_back()) == [b"0", b"1", b"2"]


def test_strangers_stay_outside(mosquitto: Mosquitto) -> None:
    way = mosquitto.tls
    wrong = Way(way.host, way.port, way.user, "guessed", way.authority)

    async def enter(door: Way) -> None:
        async with aiomqtt.Client(**door.aiomqtt()):
            pass

    for door in (wrong, Way(way.host, way.port, authority=way.authority)):
        with pytest.raises(aiomqtt.MqttError):
            asyncio.run(enter(door))


def test_the_broker_of_another_is_not_touched() -> None:
    other = ForeignMosquitto("127.0.0.1:1884")
    assert (other.plain.host, other.plain.port) == ("127.0.0.1", 1884)
    with pytest.raises(RuntimeError, match="CITYTWIN_TEST_MQTT"):
        other.kill()
