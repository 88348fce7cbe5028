"""MQTT, and nothing else: an inbox of messages that are acknowledged by hand, over aiomqtt."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

#: How long connecting and subscribing may take, in seconds.
_TIMEOUT_S = 10.0


# what the client says while a broker is away is said by us in one sentence
_SILENT = logging.getLogger("citytwin.streams.mqtt.client")
_SILENT.setLevel(logging.CRITICAL)


class MqttError(RuntimeError):
    """The broker could not do it; the text says what to do."""


@dataclass(frozen=True, slots=True)
class MqttBroker:
    """How the broker is reached. The session of `client_id` is kept for `session_s` seconds while we are away.

    `inflight`: messages that it may send before the first is acknowledged (MQTT 5; for 3.1.1 the broker decides).
    """

    host: str = "127.0.0.1"
    port: int = 1883
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    client_id: str = "citytwin-bridge"
    version: int = 5
    session_s: int = 604_800
    inflight: int = 2000

    def context(self) -> ssl.SSLContext | None:
        """The TLS context, None without TLS. Raises MqttError where a certificate cannot be read."""
        if not self.tls:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file or None)
            if self.cert_file:
                context.load_cert_chain(self.cert_file, self.key_file or None)
        except (OSError, ssl.SSLError) as error:
            raise MqttError(
                f"the certificates for MQTT cannot be read ({error}): look at mqtt.ca_file, mqtt.cert_file and "
                "mqtt.key_file"
            ) from error
        return context


class Arrived(NamedTuple):
    """A message; `number` and `qos` name it to the broker."""

    topic: str
    payload: bytes
    number: int
    qos: int


class _Queue(asyncio.Queue[aiomqtt.Message]):
    """Holds what came in. The broker bounds messages of QoS 1, which wait for us; of those of QoS 0, which nobody
    would send again, at most `most` are held, the others are dropped and counted."""

    most = 10_000

    def __init__(self, maxsize: int = 0) -> None:
        super().__init__(0)
        self.dropped = 0

    def put_nowait(self, item: aiomqtt.Message) -> None:
        """Take a message in."""
        if item.qos == 0 and self.qsize() >= self.most:
            self.dropped += 1
            return
        super().put_nowait(item)


def matches(pattern: str, topic: str) -> bool:
    """Whether a topic is one of a filter's (+ one level, # the rest).

    >>> matches("v1.1/+/Observations", "v1.1/Datastreams(7)/Observations"), matches("a/#", "b/c")
    (True, False)
    """
    return aiomqtt.Topic(topic).matches(pattern)


class Inbox:
    """A connection with a session that the broker keeps. Acknowledgements belong to the connection: what it did not
    acknowledge comes again over the next one."""

    def __init__(self, broker: MqttBroker, filters: Sequence[str]) -> None:
        self._broker, self._filters = broker, list(filters)
        self._queue = _Queue()
        self._client: Any = None

    async def __aenter__(self) -> Self:
        """Connect and subscribe with QoS 1. Raises MqttError."""
        b = self._broker
        options: dict[str, Any] = {
            "port": b.port, "identifier": b.client_id, "username": b.username or None, "password": b.password or None,
            "tls_context": b.context(), "timeout": _TIMEOUT_S, "keepalive": 30, "logger": _SILENT,
            "queue_type": lambda maxsize: self._queue,
        }  # fmt: skip
        options |= self._session()
        self._client = aiomqtt.Client(b.host, **options)
        # the library has no setting for it; without it a message would be acknowledged before anybody has read it
        self._client._client.manual_ack_set(True)
        try:
            await self._client.__aenter__()
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            raise self._told(error) from error
        try:
            await self._client.subscribe([(f, 1) for f in self._filters])
        except (aiomqtt.MqttError, OSError, ValueError) as error:
            await self.__aexit__(None, None, None)
            raise self._told(error) from error
        return self

    def _session(self) -> dict[str, Any]:
        if self._broker.version == 3:
            return {"protocol": aiomqtt.ProtocolVersion.V311, "clean_session": False}
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._broker.session_s
        properties.ReceiveMaximum = self._broker.inflight
        return {"protocol": aiomqtt.ProtocolVersion.V5, "clean_start": False, "properties": properties}

    def _told(self, error: Exception) -> MqttError:
        b = self._broker
        text = str(error)
        if any(word in text.lower() for word in ("authori", "credential", "bad user name", "code:4", "code:5")):
            advice = "the broker refused the login: look at mqtt.username and mqtt.password_file"
        else:
            advice = "no broker answers: start it, or look at mqtt.host, mqtt.port and mqtt.tls"
        return MqttError(f"MQTT at {b.host}:{b.port}: {advice} ({type(error).__name__}: {text[:200]})")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; the broker keeps the session."""
        with contextlib.suppress(aiomqtt.MqttError, OSError):
            await self._client.__aexit__(None, None, None)

    def forget_dropped(self) -> int:
        """How many messages of QoS 0 there was no room for since the last call."""
        count, self._queue.dropped = self._queue.dropped, 0
        return count

    async def take(self, most: int, seconds: float) -> list[Arrived]:
        """The next messages, none after so many seconds. Raises MqttError when the connection is lost."""
        if self._queue.empty():
            waiting = asyncio.ensure_future(self._queue.get())
            lost = self._client._disconnected
            await asyncio.wait({waiting, lost}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                if lost.done():
                    raise self._told(lost.exception() or aiomqtt.MqttError("the broker closed the connection"))
                return []
            first = [waiting.result()]
        else:
            first = [self._queue.get_nowait()]
        while len(first) < most and not self._queue.empty():
            first.append(self._queue.get_nowait())
        return [Arrived(str(m.topic), _bytes(m.payload), m.mid, m.qos) for m in first]

    def acknowledge(self, messages: Sequence[Arrived]) -> None:
        """Tell the broker that these are safe, in the order in which they came."""
        for message in messages:
            if message.qos:
                self._client._client.ack(message.number, message.qos)


def _bytes(payload: Any) -> bytes:
    return payload if isinstance(payload, bytes) else bytes(payload) if isinstance(payload, bytearray) else b""
