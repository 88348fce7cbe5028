"""`citytwin bridge`: wires sources, the outbox and a port of its own, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from citytwin import topics
from citytwin.clock import Clock, SystemClock
from citytwin.cluster.presence import tell
from citytwin.config import Config, ConfigError, is_local, privacy_key
from citytwin.dashboards import ingest
from citytwin.dashboards.access import Access, Gate
from citytwin.dashboards.problems import Trouble, on_error, on_http, on_trouble
from citytwin.inlets import HttpDoor, Inlet, KafkaInlet, MqttInlet, ReadMessages
from citytwin.models.vocabulary import HOUR_MS
from citytwin.outbox import Outbox, Target
from citytwin.sections import FromKafka, FromMqtt
from citytwin.streams.bridging import Lines, spread
from citytwin.streams.brokers import BrokerError, Refused
from citytwin.streams.codec import Codec
from citytwin.streams.kafka import GroupReader, Writer, describe
from citytwin.streams.mapping import Mapping
from citytwin.streams.mqtt import MqttBroker
from citytwin.streams.sensorthings import Observations
from citytwin.twin.pack import City, load_city

_log = logging.getLogger(__name__)

#: How long the end waits for what is on the way before it is left to the sources, in seconds.
ENDING_S = 10.0


def load_codec(config: Config) -> Codec:
    """The reader of events under the city of the settings. Raises PackError, ConfigError."""
    city: City = load_city(config.city.pack)
    city.vocabulary.keep_telemetry(round(config.keep.telemetry_hours * HOUR_MS))
    codec = Codec(city.vocabulary, privacy_key(config, Path(config.data.dir)), city.box)
    _warm_up(codec)
    return codec


def _warm_up(codec: Codec) -> None:
    """Load the compiled kernels, which takes a second that the first events would wait."""
    event = {
        "specversion": "1.0", "type": "obs", "source": "warm", "subject": "1", "time": "2026-01-01T00:00:00Z",
        "data": {"property": next(iter(codec.rules.vocabulary.properties)), "value": 1},
    }  # fmt: skip
    body = [msgspec.json.encode({**event, "id": str(i)}) for i in range(8)]
    read = Lines.of_codec(codec).read(body, str)
    list(spread(read.batches, codec.rules.vocabulary, 2, 1000))


class Bridge:
    """All of a bridge on one event loop. `run` until told to end."""

    def __init__(self, config: Config, codec: Codec, clock: Clock | None = None) -> None:
        """Read the mappings and make the parts. Raises ConfigError, MappingError."""
        self.config, self.codec, self.clock = config, codec, clock or SystemClock()
        given = config.bridge
        if not is_local(given.host) and not given.token:
            raise ConfigError(
                f"bridge.host {given.host} can be reached from other machines and no token is set: set "
                "bridge.token_file to a file that holds one, or use 127.0.0.1"
            )
        cluster = topics.cluster(config)
        target = Target(config.kafka.prefix, config.kafka.shards, given.batch_events, given.batch_kb * 1000)
        self.outbox = Outbox(
            lambda: Writer(cluster), target, codec.rules.vocabulary, linger_s=given.linger_ms / 1000,
            most_bytes=given.inflight_mb << 20,
        )  # fmt: skip
        self.door = HttpDoor(self.outbox, self.clock, codec)
        self.inlets: list[Inlet] = [self.door, *map(self._kafka, given.kafka)]
        if given.mqtt:
            self.inlets.append(self._mqtt(given.mqtt))
        self._ending = asyncio.Event()
        self.port = 0

    def _kafka(self, source: FromKafka) -> KafkaInlet:
        if not source.topics:
            raise ConfigError("a [[bridge.kafka]] names no topics")
        if own := [t for t in source.topics if t.startswith(f"{self.config.kafka.prefix}.")]:
            raise ConfigError(f"bridge.kafka: {', '.join(own)} is a topic of the city itself; name foreign topics")
        cluster = topics.cluster(self.config, source.bootstrap)
        group = source.group or self.config.bridge.group
        connect = functools.partial(_reader, cluster, source.topics, group, self.config.bridge.instance)
        lines = self._lines(source.mapping)
        return KafkaInlet(
            f"kafka {','.join(source.topics)}", self.outbox, self.clock, lines, connect, self.config.bridge.take_records
        )

    def _mqtt(self, sources: Sequence[FromMqtt]) -> MqttInlet:
        m = self.config.mqtt
        broker = MqttBroker(
            m.host, m.port, m.tls, m.ca_file, m.cert_file, m.key_file, m.username, m.password, m.client_id, m.version,
            round(m.session_hours * 3600), m.inflight,
        )  # fmt: skip
        filters = [(f, self._messages(source)) for source in sources for f in source.filters]
        if not filters:
            raise ConfigError("a [[bridge.mqtt]] names no filters")
        return MqttInlet(self.outbox, self.clock, self.codec.rules, broker, filters)

    def _lines(self, mapping: str) -> Lines:
        if not mapping:
            return Lines.of_codec(self.codec)
        rules = self.codec.rules
        shipped = "/" not in mapping and not mapping.endswith(".toml")
        found = Mapping.shipped(mapping, rules) if shipped else Mapping.load(Path(mapping), rules)
        return Lines.of_mapping(found, rules)

    def _messages(self, source: FromMqtt) -> ReadMessages:
        if source.observations:
            return Observations.load(Path(source.observations), Lines.of_codec(self.codec)).read
        lines = self._lines(source.mapping)
        return lambda messages, place: lines.read([payload for _, payload in messages], place)

    def end(self) -> None:
        """Take nothing more, finish what is on the way, leave."""
        self._ending.set()

    async def run(self, ready: Callable[[str], None] = lambda _: None) -> bool:
        """Serve until `end`; `ready` gets the address of the door. True if nothing was left unwritten.

        Raises BrokerError where the city's topics are not as the settings say, OSError for a port that is taken.
        """
        await self._look()
        server, listener = self._server()
        writing = asyncio.create_task(self.outbox.run())
        reading = [asyncio.create_task(i.run()) for i in self.inlets]
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        ending = asyncio.create_task(self._ending.wait())
        name = self.config.bridge.instance or f"bridge-{os.getpid()}"
        cluster, prefix = topics.cluster(self.config), self.config.kafka.prefix
        alive = asyncio.create_task(tell(cluster, prefix, lambda: {"role": "bridge", "id": name}))
        ready(f"http://{self.config.bridge.host}:{self.port}")
        try:
            await asyncio.wait({writing, *reading, serving, ending}, return_when=asyncio.FIRST_COMPLETED)
            return await self._end(server, serving, reading, writing)
        finally:
            for task in (writing, *reading, serving, ending, alive):
                task.cancel()
            await asyncio.gather(writing, *reading, serving, ending, alive, return_exceptions=True)
            listener.close()

    async def _look(self) -> None:
        """Refuse to start on topics with another number of shards; a broker that is away is waited for later."""
        name, shards = f"{self.config.kafka.prefix}.events", self.config.kafka.shards
        try:
            found = (await describe(topics.cluster(self.config), name)).topics.get(name)
        except Refused:
            raise
        except BrokerError as error:
            _log.warning("%s; trying again", error)
            return
        if found is None:
            raise Refused(f"{name} is not there: run `citytwin topics create`")
        if found.partitions != shards:
            raise Refused(
                f"{name} has {found.partitions} partitions and kafka.shards says {shards}: set kafka.shards = "
                f"{found.partitions}, or move with `citytwin reshard`"
            )

    async def _end(
        self, server: uvicorn.Server, serving: asyncio.Task[None], reading: Sequence[asyncio.Task[None]],
        writing: asyncio.Task[None],
    ) -> bool:  # fmt: skip
        """Doors first, then what is on the way; who waits for a Kafka that is away is told to come again."""
        for inlet in self.inlets:
            inlet.ending.set()
        server.should_exit = True
        await asyncio.wait({serving, *reading}, timeout=ENDING_S)
        await self.outbox.close()
        if not serving.done() or self.outbox.trouble:
            writing.cancel()
        await asyncio.wait({writing, serving}, timeout=ENDING_S)
        for task in (writing, *reading, serving):
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error
        return not self.outbox.waiting

    def _server(self) -> tuple[uvicorn.Server, socket.socket]:
        given = self.config.bridge
        family = socket.AF_INET6 if ":" in given.host else socket.AF_INET
        listener = socket.create_server((given.host, given.port), family=family, backlog=2048)
        self.port = int(listener.getsockname()[1])
        how = uvicorn.Config(
            self._app(), access_log=False, log_level="warning", server_header=False, loop="asyncio", http="httptools",
            timeout_graceful_shutdown=2 * int(ENDING_S), lifespan="off",
        )  # fmt: skip
        server = uvicorn.Server(how)
        # signals are ours: the door closes first, then the rest
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        return server, listener

    def _app(self) -> Starlette:
        routes = [
            *ingest.Door(self.door).routes(),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        handlers: Any = {Trouble: on_trouble, HTTPException: on_http, Exception: on_error}
        access = Access(self.config.bridge.token or None)
        return Starlette(routes=routes, middleware=[Middleware(Gate, access=access)], exception_handlers=handlers)

    def troubles(self) -> dict[str, str]:
        """What is wrong now, by the part; empty while all goes through."""
        found = {"kafka": self.outbox.trouble, **{i.name: i.trouble for i in self.inlets}}
        return {name: said for name, said in found.items() if said}

    async def _livez(self, _: Request) -> Response:
        return Response(msgspec.json.encode({"live": True}), media_type="application/json")

    async def _readyz(self, _: Request) -> Response:
        wrong = self.troubles()
        body = {"ready": not wrong, "troubles": wrong, "waiting_bytes": self.outbox.waiting}
        return Response(msgspec.json.encode(body), 503 if wrong else 200, media_type="application/json")

    async def _metrics(self, _: Request) -> Response:
        """Counts since the start as Prometheus text."""
        registry = CollectorRegistry()
        counts = self.outbox.counts
        gauges: list[tuple[str, str, float]] = [
            ("events_total", "events written", counts.events), ("records_total", "records written", counts.records),
            ("deadletters_total", "dead letters written", counts.letters),
            ("groups_total", "groups written", counts.groups),
            ("repeated_total", "groups written again after a failure", counts.repeated),
            ("waiting_bytes", "bytes on the way", self.outbox.waiting),
            ("ready", "1 while all goes through", not self.troubles()),
        ]  # fmt: skip
        for name, text, value in gauges:
            Gauge(f"citytwin_bridge_{name}", text, registry=registry).set(value)
        taken = Gauge("citytwin_bridge_taken_total", "events taken by door", ["door"], registry=registry)
        refused = Gauge("citytwin_bridge_refused_total", "events refused by door", ["door"], registry=registry)
        dropped = sum(i.dropped for i in self.inlets if isinstance(i, MqttInlet))
        Gauge("citytwin_bridge_dropped_total", "MQTT messages of QoS 0 without room", registry=registry).set(dropped)
        for inlet in self.inlets:
            taken.labels(inlet.name).set(inlet.taken)
            refused.labels(inlet.name).set(inlet.refused)
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")


def _reader(cluster: Any, names: Sequence[str], group: str, instance: str, leaving: Any) -> GroupReader:
    return GroupReader(cluster, names, group, instance=instance, leaving=leaving)


async def serve(config: Config, codec: Codec, ready: Callable[[str], None]) -> bool:
    """A bridge until SIGTERM or SIGINT; True if all that was taken is in Kafka."""
    bridge = Bridge(config, codec)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, bridge.end)
    return await bridge.run(ready)
